//! A small public web on one loopback port: every host of it is at a public address, as far as the fetcher can tell, so that robots.txt, the address
//! guard and the pace of the public web apply. Every request is recorded.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request as HttpRequest;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use tokio::net::TcpListener;
use url::Url;
use vigie_clock::{Clock, SharedClock, SystemClock};
use vigie_producers::fetcher::{Fetcher, FetcherConfig, Lookup, Network, Request};
use vigie_producers::{Kind, SourceConfig};

use crate::server::source;

/// Where every host is that a test does not place elsewhere. Public, and not ours: nothing connects to it in fact.
pub(crate) const PUBLIC: IpAddr = IpAddr::V4(Ipv4Addr::new(93, 184, 215, 14));

/// A request as the server saw it.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) at: Duration,
    pub(crate) host: String,
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
}

type Answer = Arc<dyn Fn(&Seen) -> Response + Send + Sync>;

#[derive(Default)]
struct Shared {
    seen: Mutex<Vec<Seen>>,
    /// By host and path.
    answers: Mutex<HashMap<String, Answer>>,
    /// What the resolver says of a name, one answer after the other; the last one stays.
    names: Mutex<HashMap<String, Vec<Vec<IpAddr>>>>,
}

/// The web.
#[derive(Clone)]
pub(crate) struct Web {
    shared: Arc<Shared>,
    pub(crate) port: u16,
}

impl std::fmt::Debug for Web {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Web").field("port", &self.port).finish_non_exhaustive()
    }
}

impl Network for Web {
    fn lookup(&self, name: &str) -> Lookup {
        let mut names = self.shared.names.lock().unwrap();
        let answer = match names.get_mut(name) {
            Some(answers) if answers.len() > 1 => answers.remove(0),
            Some(answers) => answers[0].clone(),
            None => vec![PUBLIC],
        };
        Box::pin(async move { io::Result::Ok(answer) })
    }

    fn connect_to(&self, _: IpAddr) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.port))
    }
}

impl Web {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let web = Self { shared: Arc::default(), port };
        let (shared, clock) = (Arc::clone(&web.shared), SystemClock::default());
        let serve = move |request: HttpRequest<Body>| {
            let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
            let seen = Seen {
                at: clock.monotonic(),
                host: host.split(':').next().unwrap_or_default().to_owned(),
                path: request.uri().path_and_query().map(ToString::to_string).unwrap_or_default(),
                headers: request.headers().clone(),
            };
            shared.seen.lock().unwrap().push(seen.clone());
            let answer = shared.answers.lock().unwrap().get(&format!("{}{}", seen.host, seen.path)).cloned();
            async move { answer.map_or_else(|| StatusCode::NOT_FOUND.into_response(), |answer| answer(&seen)) }
        };
        let router = Router::new().fallback(serve);
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        web
    }

    /// Answers `place`, a host with a path.
    pub(crate) fn on<R: IntoResponse>(&self, place: &str, answer: impl Fn(&Seen) -> R + Send + Sync + 'static) {
        let answer: Answer = Arc::new(move |seen| answer(seen).into_response());
        self.shared.answers.lock().unwrap().insert(place.to_owned(), answer);
    }

    /// Redirects `place`.
    pub(crate) fn redirect(&self, place: &str, status: u16, location: &str) {
        let location = location.to_owned();
        let status = StatusCode::from_u16(status).unwrap();
        self.on(place, move |_| (status, [(header::LOCATION, location.clone()), (header::CONNECTION, "close".into())]));
    }

    /// What the resolver says of a name, one answer after the other.
    pub(crate) fn name(&self, name: &str, answers: &[&[&str]]) {
        let answers = answers.iter().map(|ips| ips.iter().map(|ip| ip.parse().unwrap()).collect()).collect();
        self.shared.names.lock().unwrap().insert(name.to_owned(), answers);
    }

    /// The requests to a host so far.
    pub(crate) fn seen(&self, host: &str) -> Vec<Seen> {
        self.shared.seen.lock().unwrap().iter().filter(|seen| seen.host == host).cloned().collect()
    }

    /// Their paths.
    pub(crate) fn paths(&self, host: &str) -> Vec<String> {
        self.seen(host).into_iter().map(|seen| seen.path).collect()
    }

    /// The times between the requests to a host for anything but robots.txt.
    pub(crate) fn gaps(&self, host: &str) -> Vec<Duration> {
        let times: Vec<Duration> =
            self.seen(host).iter().filter(|seen| seen.path != "/robots.txt").map(|seen| seen.at).collect();
        times.windows(2).map(|pair| pair[1] - pair[0]).collect()
    }

    /// A fetcher for this web, in a hurry unless the test says otherwise.
    pub(crate) fn fetcher(&self, config: FetcherConfig, clock: SharedClock) -> Fetcher {
        Fetcher::new(FetcherConfig { network: Arc::new(self.clone()), ..config }, clock).unwrap()
    }

    /// The same with little spacing, on the machine's clock.
    pub(crate) fn quick(&self) -> Fetcher {
        self.fetcher(quick_config(), Arc::new(SystemClock::default()))
    }
}

pub(crate) fn quick_config() -> FetcherConfig {
    FetcherConfig { spacing: Duration::from_millis(1), ..FetcherConfig::default() }
}

/// A request as the public web gets it.
pub(crate) fn public(url: &str) -> Request {
    Request::new(url.parse().unwrap(), "*/*", false)
}

/// A feed on the public web.
pub(crate) fn feed(id: &str, url: &str) -> SourceConfig {
    let url: Url = url.parse().unwrap();
    SourceConfig { local: false, every: Duration::from_secs(60), ..source(id, Kind::Rss, url) }
}

/// A feed of one post.
pub(crate) fn rss(channel: &str) -> String {
    format!(
        "<rss version=\"2.0\"><channel><title>t</title>{channel}<item><title>a post</title><link>https://a.example/1</link></item></channel></rss>"
    )
}
