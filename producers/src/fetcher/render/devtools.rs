//! Speaking to Chromium: the DevTools protocol over a websocket on the loopback.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{WebSocketStream, client_async_with_config};
use url::Url;

use super::super::answer::FetchError;
use super::traffic::Traffic;
use crate::content::plain_text;

/// Nothing under way for so long after the load counts as settled.
const QUIET: Duration = Duration::from_millis(500);

/// A page that never settles is taken as it is so long after its load.
const SETTLE: Duration = Duration::from_secs(8);

/// The longest message.
const MAX_MESSAGE: usize = 256 * 1024 * 1024;

/// A rendered page.
pub(super) struct RenderedPage {
    pub(super) status: u16,
    pub(super) url: Option<Url>,
    pub(super) html: String,
}

/// A connection to Chromium, and the one page that it shows.
pub(super) struct Devtools {
    socket: WebSocketStream<TcpStream>,
    last_id: u64,
    target: String,
    session: Option<String>,
    traffic: Traffic,
}

impl Devtools {
    /// Connects, and makes an empty page.
    pub(super) async fn connect(address: &str) -> Result<Self, FetchError> {
        let url = Url::parse(address).map_err(|e| broken(format!("{address}: {e}")))?;
        let (Some(host), Some(port)) = (url.host_str(), url.port()) else { return Err(broken(address)) };
        let stream = TcpStream::connect((host, port)).await.map_err(broken)?;
        let config = WebSocketConfig::default().max_message_size(Some(MAX_MESSAGE)).max_frame_size(Some(MAX_MESSAGE));
        let (socket, _) = client_async_with_config(address, stream, Some(config)).await.map_err(broken)?;
        let mut devtools =
            Self { socket, last_id: 0, target: String::new(), session: None, traffic: Traffic::default() };
        let made = devtools.call("Target.createTarget", json!({"url": "about:blank"})).await?;
        devtools.target = text(&made, "targetId");
        let attached =
            devtools.call("Target.attachToTarget", json!({"targetId": devtools.target, "flatten": true})).await?;
        // Of what a page downloads nothing is written to disk.
        devtools.call("Browser.setDownloadBehavior", json!({"behavior": "deny"})).await?;
        devtools.session = Some(text(&attached, "sessionId"));
        for domain in ["Page.enable", "Network.enable", "Inspector.enable"] {
            devtools.call(domain, json!({})).await?;
        }
        Ok(devtools)
    }

    /// Goes to an address.
    pub(super) async fn open(&mut self, url: &Url) -> Result<(), FetchError> {
        let tree = self.call("Page.getFrameTree", json!({})).await?;
        self.traffic.frame = tree.pointer("/frameTree/frame/id").and_then(Value::as_str).map(str::to_owned);
        let gone = self.call("Page.navigate", json!({"url": url.as_str()})).await?;
        match gone.get("errorText").and_then(Value::as_str) {
            // A refusal without a page to show.
            Some(_) if self.traffic.status.is_some_and(|status| status >= 400) => {
                Err(FetchError::Status { status: self.traffic.status.unwrap_or_default(), retry_after: None })
            }
            Some(error) => Err(FetchError::Network(error.to_owned())),
            None => Ok(()),
        }
    }

    /// Waits for the load, and then until the page has nothing under way for a while.
    pub(super) async fn settle(&mut self) -> Result<(), FetchError> {
        while !self.traffic.is_loaded {
            self.event().await?;
        }
        let late = tokio::time::sleep(SETTLE);
        tokio::pin!(late);
        loop {
            let quiet = self.traffic.is_quiet();
            tokio::select! {
                () = &mut late => return Ok(()),
                () = tokio::time::sleep(QUIET), if quiet => return Ok(()),
                event = self.event() => event?,
            }
        }
    }

    /// The page as it is now, cut to this many bytes.
    pub(super) async fn document(&mut self, max_body: usize) -> Result<RenderedPage, FetchError> {
        let status = self.traffic.status.unwrap_or(200);
        if status >= 400 {
            return Err(FetchError::Status { status, retry_after: None });
        }
        let expression = format!("document.documentElement.outerHTML.slice(0, {max_body})");
        let asked = json!({"expression": expression, "returnByValue": true, "timeout": 5000});
        let answer = self.call("Runtime.evaluate", asked).await?;
        let html = answer.pointer("/result/value").and_then(Value::as_str);
        let html = html.ok_or_else(|| FetchError::Network("the page has no document".into()))?;
        let html = plain_text::cut(html, max_body).to_owned();
        // Asked of the browser, not of the page, which may say anything.
        let session = self.session.take();
        let info = self.call("Target.getTargetInfo", json!({"targetId": self.target})).await?;
        self.session = session;
        let url = info.pointer("/targetInfo/url").and_then(Value::as_str).and_then(|url| Url::parse(url).ok());
        Ok(RenderedPage { status, url, html })
    }

    /// Sends a command and waits for its result.
    async fn call(&mut self, method: &str, params: Value) -> Result<Value, FetchError> {
        self.last_id += 1;
        let id = self.last_id;
        let mut command = json!({"id": id, "method": method, "params": params});
        if let Some(session) = &self.session {
            command["sessionId"] = session.as_str().into();
        }
        self.socket.send(Message::text(command.to_string())).await.map_err(broken)?;
        loop {
            let Some(mut answer) = self.next().await? else { continue };
            if answer.get("id").and_then(Value::as_u64) != Some(id) {
                continue;
            }
            if let Some(error) = answer.get("error") {
                return Err(broken(format!("{method}: {error}")));
            }
            return Ok(answer.get_mut("result").map(Value::take).unwrap_or_default());
        }
    }

    /// Waits for something to happen.
    async fn event(&mut self) -> Result<(), FetchError> {
        self.next().await.map(|_| ())
    }

    /// The next answer; `None` if it was an event, which is noted.
    async fn next(&mut self) -> Result<Option<Value>, FetchError> {
        let message = match self.socket.next().await {
            Some(Ok(Message::Text(text))) => text,
            Some(Ok(_)) => return Ok(None),
            Some(Err(error)) => return Err(broken(error)),
            None => return Err(broken("it is gone")),
        };
        let value: Value = serde_json::from_str(&message).map_err(broken)?;
        let Some(method) = value.get("method").and_then(Value::as_str) else { return Ok(Some(value)) };
        self.traffic.note(method, value.get("params").unwrap_or(&Value::Null));
        if self.traffic.is_crashed {
            return Err(FetchError::Network("the page crashed".into()));
        }
        Ok(None)
    }
}

fn text(value: &Value, name: &str) -> String {
    value.get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn broken(error: impl ToString) -> FetchError {
    FetchError::Network(format!("chromium: {}", error.to_string()))
}
