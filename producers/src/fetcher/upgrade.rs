//! Websockets: a GET that is asked for politely and guarded like any other, and then kept open (RFC 6455).

use std::sync::Arc;
use std::time::Duration;

use reqwest::StatusCode;
use reqwest::header::{self, HeaderName, HeaderValue};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

use super::headers::{retry_after, user_agent};
use super::network::GuardedResolver;
use super::{FetchError, Fetcher, Request, chain};

/// An open websocket.
pub(crate) type Socket = WebSocketStream<reqwest::Upgraded>;

const KEY: HeaderName = HeaderName::from_static("sec-websocket-key");
const ACCEPT: HeaderName = HeaderName::from_static("sec-websocket-accept");
const VERSION: HeaderName = HeaderName::from_static("sec-websocket-version");

impl Fetcher {
    /// Opens a websocket at an http address: robots.txt, spacing, guard and User-Agent as in [`Fetcher::fetch`]; redirects are not followed. A message
    /// longer than `max_message` bytes breaks it.
    ///
    /// # Errors
    /// If the server is not asked or does not agree.
    pub(crate) async fn upgrade(&self, request: &Request, max_message: usize) -> Result<Socket, FetchError> {
        self.check(&request.url, request.local).await?;
        let limit = self.config.timeout;
        let handshake = async {
            tokio::time::timeout(limit, self.handshake(request, max_message))
                .await
                .unwrap_or(Err(FetchError::Timeout(limit)))
        };
        self.in_turn(&request.url, request.local, handshake).await
    }

    async fn handshake(&self, request: &Request, max_message: usize) -> Result<Socket, FetchError> {
        let key = generate_key();
        let value = HeaderValue::from_str(&key).map_err(|e| FetchError::Network(e.to_string()))?;
        let asked = self
            .upgrading_client(request.local)?
            .get(request.url.clone())
            .header(header::CONNECTION, "Upgrade")
            .header(header::UPGRADE, "websocket")
            .header(VERSION, "13")
            .header(KEY, value);
        let response = asked.send().await.map_err(|e| self.network(e))?;
        let status = response.status();
        if status != StatusCode::SWITCHING_PROTOCOLS {
            let retry_after = retry_after(response.headers(), response.status(), self.clock.now());
            return Err(FetchError::Status { status: status.as_u16(), retry_after });
        }
        let accepted = response.headers().get(ACCEPT).and_then(|value| value.to_str().ok());
        if accepted.map(str::trim) != Some(derive_accept_key(key.as_bytes()).as_str()) {
            return Err(FetchError::Network("the server does not speak websocket".into()));
        }
        let upgraded = response.upgrade().await.map_err(|e| self.network(e))?;
        let config = WebSocketConfig::default()
            .max_message_size(Some(max_message))
            .max_frame_size(Some(max_message))
            .read_buffer_size(64 * 1024)
            .write_buffer_size(0)
            .max_write_buffer_size(64 * 1024);
        Ok(WebSocketStream::from_raw_socket(upgraded, Role::Client, Some(config)).await)
    }

    /// A client that stays with HTTP/1.1, which alone can be upgraded here. Connections are rare, so that it is made for each.
    fn upgrading_client(&self, local: bool) -> Result<reqwest::Client, FetchError> {
        let broken = |error: reqwest::Error| FetchError::Network(chain(&error));
        let mut builder = reqwest::Client::builder()
            .http1_only()
            .user_agent(user_agent(self.config.contact.as_deref()))
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(Duration::from_secs(10).min(self.config.timeout))
            .no_proxy();
        if !local {
            builder = match &self.config.proxy {
                Some(proxy) => builder.proxy(reqwest::Proxy::all(proxy.clone()).map_err(broken)?),
                None => builder.dns_resolver(Arc::new(GuardedResolver(Arc::clone(&self.config.network)))),
            };
        }
        builder.build().map_err(broken)
    }
}
