//! The polite fetcher: everything between a source and an answer in memory.
//!
//! ```text
//!  request ─▶ address guard ─▶ robots.txt ─▶ turn at the host ─▶ GET ─▶ redirect? (each hop again from the guard on)
//!                                  │               │              └▶ 304 │ status │ body, capped while it is unpacked
//!                                  └───────────────┴▶ blocked, or: wait so long, asked nothing
//! ```
//!
//! Guarantees: no more than [`FetcherConfig::max_body`] bytes of an answer are ever held, compressed or not; a source that is not marked local is never
//! asked at a private address, whatever DNS or a redirect says; between two requests to one host lies at least [`FetcherConfig::spacing`] or the
//! crawl-delay of its robots.txt, more if it is strained, and no more than [`FetcherConfig::at_once`] are under way; a host that asks for a pause gets it
//! from all sources; a key is shown to the API that it is for and to nobody else (`access`); no request outlives [`FetcherConfig::timeout`]. Nothing is retried here: the scheduler decides.

mod answer;
mod body;
mod freshness;
pub mod guard;
mod headers;
mod hosts;
mod network;
pub mod render;
mod robots;
mod sockets;
mod tokens;
mod upgrade;

use std::sync::Arc;
use std::time::Duration;

use reqwest::StatusCode;
use reqwest::header;
use url::Url;
use vigie_clock::SharedClock;
use vigie_daemon::chain;

use crate::keys::access::Means;
use crate::lease::Lease;
pub use answer::{Body, FetchError, Fetched, Request};
use body::BodyError;
use freshness::fresh_for;
use headers::{Credential, charset, headers, retry_after, target, user_agent, validator};
pub(crate) use hosts::name_of;
use hosts::{Hosts, Outcome, Politeness};
use network::GuardedResolver;
pub use network::{Lookup, Network, SystemNetwork};
use render::RenderConfig;
#[cfg(feature = "render")]
use render::renderer::Renderer;
use robots::Robots;
pub(crate) use sockets::OpenSocket;
use sockets::Sockets;
use tokens::Tokens;

pub(crate) use upgrade::Socket;

/// How the fetcher behaves.
#[derive(Clone, Debug)]
pub struct FetcherConfig {
    /// Address or mail of who runs this instance, for the `User-Agent`.
    pub contact: Option<String>,
    /// Decompressed bytes of one answer at most.
    pub max_body: usize,
    /// One request from first byte to last, all redirects included; waiting for turns is not.
    pub timeout: Duration,
    /// Silence on a connection that is taken for its end.
    pub read_timeout: Duration,
    /// How long a stream is listened to in one poll.
    pub listen: Duration,
    /// Least time between the end of an answer and the next request to its host.
    pub spacing: Duration,
    /// The same for local sources.
    pub local_spacing: Duration,
    /// Requests to one host under way at most; local sources are not limited.
    pub at_once: usize,
    /// The longest wait for a turn at a host; a longer one is returned as [`FetchError::Wait`].
    pub patience: Duration,
    /// How pages are rendered that want it; `None` leaves them alone.
    pub render: Option<RenderConfig>,
    /// A proxy for the public web. The environment's proxy variables are not read: a proxy resolves names, so that the guard cannot.
    pub proxy: Option<Url>,
    /// How names become connections.
    pub network: Arc<dyn Network>,
}

impl Default for FetcherConfig {
    fn default() -> Self {
        Self {
            contact: None,
            max_body: 16 * 1024 * 1024,
            timeout: Duration::from_secs(30),
            read_timeout: Duration::from_secs(15),
            listen: Duration::from_secs(5),
            spacing: Duration::from_secs(1),
            local_spacing: Duration::from_millis(2),
            at_once: 1,
            patience: Duration::from_secs(10),
            render: None,
            proxy: None,
            network: Arc::new(SystemNetwork),
        }
    }
}

/// Redirects followed at most.
pub const MAX_REDIRECTS: usize = 5;

/// The longest `Retry-After` that is honoured; a longer one is cut to this.
pub const MAX_RETRY_AFTER: Duration = Duration::from_secs(24 * 3600);

/// Bytes of the headers of an answer at most.
pub const MAX_HEADERS: usize = 64 * 1024;

/// Requests to a local server under way at most.
const LOCAL_AT_ONCE: usize = 64;

/// Fetches politely. Cheap to share behind an [`Arc`].
#[derive(Debug)]
pub struct Fetcher {
    config: FetcherConfig,
    public: reqwest::Client,
    local: reqwest::Client,
    hosts: Hosts,
    robots: Robots,
    tokens: Tokens,
    sockets: Sockets,
    #[cfg(feature = "render")]
    renderer: Option<Renderer>,
    clock: SharedClock,
    /// Where there is one, nobody is asked unless it holds.
    lease: Option<Arc<Lease>>,
}

/// What one request came to.
enum Hop {
    Answer(Box<Fetched>),
    Redirect { to: Url, is_permanent: bool },
}

impl Fetcher {
    /// A fetcher.
    ///
    /// # Errors
    /// If the contact, the proxy or the TLS set-up is unusable.
    pub fn new(config: FetcherConfig, clock: SharedClock) -> Result<Self, FetchError> {
        let broken = |error: reqwest::Error| FetchError::Network(chain(&error));
        // Someone else in the process may have chosen a provider of cryptography before us, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let builder = || {
            reqwest::Client::builder()
                .user_agent(user_agent(config.contact.as_deref()))
                .redirect(reqwest::redirect::Policy::none())
                .connect_timeout(Duration::from_secs(10).min(config.timeout))
                .read_timeout(config.read_timeout)
                .http2_max_header_list_size(u32::try_from(MAX_HEADERS).unwrap_or(u32::MAX))
                .pool_max_idle_per_host(2)
                // Bodies are unpacked here, where both sizes are seen.
                .no_gzip()
                .no_brotli()
                .no_zstd()
                .no_proxy()
        };
        let public = match &config.proxy {
            // The only name that is resolved here is the proxy's own, which may well be a private one.
            Some(proxy) => builder().proxy(reqwest::Proxy::all(proxy.clone()).map_err(broken)?),
            None => builder().dns_resolver(Arc::new(GuardedResolver(Arc::clone(&config.network)))),
        };
        Ok(Self {
            public: public.build().map_err(broken)?,
            local: builder().build().map_err(broken)?,
            hosts: Hosts::default(),
            robots: Robots::default(),
            tokens: Tokens::default(),
            sockets: Sockets::default(),
            #[cfg(feature = "render")]
            renderer: config.render.clone().map(Renderer::new),
            config,
            clock,
            lease: None,
        })
    }

    /// The same, for one of several replicas: nobody is asked unless `lease` holds.
    pub(crate) fn under(self, lease: Arc<Lease>) -> Self {
        Self { lease: Some(lease), ..self }
    }

    /// Whoever had the host of `url` before may have asked it a moment ago: it is not asked before its spacing is over.
    pub(crate) fn hold_off(&self, url: &Url, is_local: bool) {
        self.hosts.hold_off(&name_of(url, is_local), self.politeness(is_local), self.clock.monotonic());
    }

    /// Asks once.
    ///
    /// # Errors
    /// If there is no useful answer.
    pub async fn fetch(&self, request: &Request) -> Result<Fetched, FetchError> {
        let Some(access) = &request.access else { return self.follow(request, true, None).await };
        let credential = self.credential(access, request.local, None).await?;
        match self.follow(request, true, Some(&credential)).await {
            // A token may end before its time; there is one more, but no third.
            Err(FetchError::Status { status: 401, .. }) if matches!(access.means(), Means::Token { .. }) => {
                let renewed = self.credential(access, request.local, Some(&credential)).await?;
                self.follow(request, true, Some(&renewed)).await
            }
            other => other,
        }
    }

    /// Renders a page: robots.txt, turns and guard as in [`Fetcher::fetch`], then all that the page asks for through the guard.
    ///
    /// # Errors
    /// If the page is not to be asked, does not come, or goes beyond its bounds; [`FetchError::Blocked`] where rendering is off.
    #[cfg_attr(not(feature = "render"), expect(unused_variables, reason = "nothing is asked in this build"))]
    pub async fn render(&self, request: &Request) -> Result<Fetched, FetchError> {
        #[cfg(feature = "render")]
        if let Some(renderer) = &self.renderer {
            return self.render_with(renderer, &request.url, request.local).await;
        }
        Err(FetchError::Blocked("the page is to be rendered, and rendering is off".into()))
    }

    /// Whether an address may be asked: the guard and robots.txt.
    async fn check(&self, url: &Url, is_local: bool) -> Result<(), FetchError> {
        if is_local {
            return Ok(());
        }
        guard::check(url).map_err(FetchError::Blocked)?;
        self.check_robots(url).await
    }

    /// Waits for a turn at the host, asks, and reports the outcome to the host's pace.
    async fn in_turn<T>(
        &self,
        url: &Url,
        is_local: bool,
        asking: impl Future<Output = Result<T, FetchError>>,
    ) -> Result<T, FetchError> {
        let turn = self.hosts.turn(&name_of(url, is_local), self.politeness(is_local), &self.clock).await?;
        if self.lease.as_ref().is_some_and(|lease| !lease.holds()) {
            return Err(FetchError::Blocked("the source may be another replica's by now".to_owned()));
        }
        let result = asking.await;
        turn.end(match &result {
            Err(FetchError::Status { status: 429 | 503, retry_after }) => Outcome::Strained(*retry_after),
            Err(FetchError::Timeout(_)) => Outcome::Strained(None),
            Ok(_) | Err(FetchError::Status { .. } | FetchError::Redirect(_)) => Outcome::Fine,
            Err(_) => Outcome::Unknown,
        });
        result
    }

    /// The sockets of streams that are kept open between polls.
    pub(crate) fn sockets(&self) -> &Sockets {
        &self.sockets
    }

    /// [`FetcherConfig::listen`].
    pub(crate) fn listen_for(&self) -> Duration {
        self.config.listen
    }

    /// Follows redirects, each hop checked and spaced like the first.
    async fn follow(
        &self,
        request: &Request,
        asks_robots: bool,
        credential: Option<&Credential>,
    ) -> Result<Fetched, FetchError> {
        let mut url = request.url.clone();
        let mut moved_to = None;
        let mut is_permanent = true;
        let mut budget = self.config.timeout;
        for _ in 0..=MAX_REDIRECTS {
            // A local server is trusted with private addresses; what it sends us out to on the web is not.
            let is_local =
                request.local && (name_of(&url, true) == name_of(&request.url, true) || guard::is_inside(&url));
            if !is_local {
                guard::check(&url).map_err(FetchError::Blocked)?;
                if asks_robots && !request.is_with_access(&url) {
                    self.check_robots(&url).await?;
                }
            }
            match self.ask(request, url, is_local, &mut budget, credential).await? {
                Hop::Answer(fetched) => return Ok(moved(*fetched, moved_to)),
                Hop::Redirect { to, is_permanent: this } => {
                    url = to;
                    is_permanent &= this;
                    if is_permanent {
                        moved_to = Some(url.clone());
                    }
                }
            }
        }
        Err(FetchError::Redirect(format!("more than {MAX_REDIRECTS} hops")))
    }

    async fn check_robots(&self, url: &Url) -> Result<(), FetchError> {
        let site = self.robots.site(&url.origin().ascii_serialization());
        let mut site = site.lock().await;
        let rules = match site.standing(self.clock.monotonic()) {
            Some(standing) => standing?,
            None => {
                let mut file = url.clone();
                file.set_path("/robots.txt");
                file.set_query(None);
                file.set_fragment(None);
                let request = Request::new(file, "text/plain, */*;q=0.1", false);
                let answer = Box::pin(self.follow(&request, false, None)).await;
                let now = self.clock.monotonic();
                let rules = site.learn(answer, now)?;
                self.hosts.slow_down(&name_of(url, false), self.politeness(false), rules.delay, now);
                rules
            }
        };
        let path = &url[url::Position::BeforePath..url::Position::AfterQuery];
        if rules.allows(path) { Ok(()) } else { Err(FetchError::Blocked(format!("robots.txt disallows {path}"))) }
    }

    fn politeness(&self, is_local: bool) -> Politeness {
        let (gap, at_once) = if is_local {
            (self.config.local_spacing, LOCAL_AT_ONCE)
        } else {
            (self.config.spacing, self.config.at_once)
        };
        Politeness { gap, at_once, patience: self.config.patience }
    }

    /// Waits for a turn at the host, and asks. The wait is not the server's fault; what it takes from then on is taken off the budget.
    async fn ask(
        &self,
        request: &Request,
        url: Url,
        is_local: bool,
        budget: &mut Duration,
        credential: Option<&Credential>,
    ) -> Result<Hop, FetchError> {
        let name = url.clone();
        let timed = async {
            let begun = self.clock.monotonic();
            let result = tokio::time::timeout(*budget, self.exchange(request, url, is_local, credential)).await;
            *budget = budget.saturating_sub(self.clock.monotonic().saturating_sub(begun));
            result.unwrap_or(Err(FetchError::Timeout(self.config.timeout)))
        };
        self.in_turn(&name, is_local, timed).await
    }

    async fn exchange(
        &self,
        request: &Request,
        url: Url,
        is_local: bool,
        credential: Option<&Credential>,
    ) -> Result<Hop, FetchError> {
        let client = if is_local { &self.local } else { &self.public };
        let asked = client.get(url.clone()).headers(headers(request, &url, credential));
        let response = asked.send().await.map_err(|e| self.network(e))?;
        let status = response.status();
        let headers = response.headers();
        let size: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
        if size > MAX_HEADERS {
            return Err(FetchError::Network(format!("headers of {size} bytes, expected {MAX_HEADERS} at most")));
        }
        let now = self.clock.now();
        let (etag, last_modified) = (validator(headers, header::ETAG), validator(headers, header::LAST_MODIFIED));
        let fresh_for = fresh_for(headers, now);
        if status == StatusCode::NOT_MODIFIED {
            let current = Fetched::NotModified { fresh_for, etag, last_modified, moved_to: None };
            return Ok(Hop::Answer(Box::new(current)));
        }
        if status.is_redirection() {
            let is_permanent = matches!(status.as_u16(), 301 | 308);
            return Ok(Hop::Redirect { to: target(&url, headers)?, is_permanent });
        }
        if !status.is_success() {
            return Err(FetchError::Status { status: status.as_u16(), retry_after: retry_after(headers, status, now) });
        }
        let charset = headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).and_then(charset);
        let (bytes, is_short) = body::read(response, self.config.max_body).await.map_err(|error| match error {
            BodyError::Cap(error) => error,
            BodyError::Transport(error) => self.network(error),
        })?;
        // What may lack its end must be asked for again.
        let (etag, last_modified, fresh_for) =
            if is_short { (None, None, None) } else { (etag, last_modified, fresh_for) };
        let status = status.as_u16();
        let body = Body { status, url, bytes, charset, etag, last_modified, fresh_for, moved_to: None };
        Ok(Hop::Answer(Box::new(Fetched::Body(body))))
    }

    /// An address may hold a token, so it is no part of the message.
    fn network(&self, error: reqwest::Error) -> FetchError {
        let error = error.without_url();
        let text = chain(&error);
        if text.contains(guard::REFUSED) {
            FetchError::Blocked(guard::REFUSED.to_owned())
        } else if error.is_timeout() {
            FetchError::Timeout(self.config.read_timeout)
        } else {
            FetchError::Network(text)
        }
    }
}

/// An answer, with where the redirects before it led.
fn moved(fetched: Fetched, to: Option<Url>) -> Fetched {
    match fetched {
        Fetched::Body(body) => Fetched::Body(Body { moved_to: to, ..body }),
        Fetched::NotModified { fresh_for, etag, last_modified, .. } => {
            Fetched::NotModified { fresh_for, etag, last_modified, moved_to: to }
        }
    }
}

/// Whether the rules of a robots.txt allow a path.
pub fn robots_allow(bytes: &[u8], path: &str) -> bool {
    robots::Rules::parse(bytes).allows(path)
}

#[cfg(test)]
mod tests {
    use vigie_clock::{ManualClock, Timestamp};

    use super::*;

    #[tokio::test]
    async fn nobody_is_asked_without_the_lease() {
        let clock = ManualClock::new(Timestamp::from_millis(0));
        let shared: SharedClock = Arc::new(clock.clone());
        let lease = Arc::new(Lease::new(Arc::clone(&shared), Duration::from_secs(5)));
        let fetcher = Fetcher::new(FetcherConfig::default(), shared).unwrap().under(Arc::clone(&lease));
        // Nobody listens there: a request that is made fails otherwise.
        let url = Url::parse("http://127.0.0.1:1/").unwrap();
        let request = Request::new(url, "*/*", true);
        let asked = async || {
            clock.advance(Duration::from_millis(10));
            !matches!(fetcher.fetch(&request).await, Err(FetchError::Blocked(_)))
        };
        assert!(!asked().await);
        lease.begin();
        assert!(asked().await);
        clock.advance(Duration::from_secs(6));
        assert!(!asked().await);
    }
}
