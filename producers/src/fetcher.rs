//! The polite fetcher: everything between a source and an answer in memory.
//!
//! ```text
//!  request ─▶ robots.txt ─▶ spacing per host ─▶ address guard ─▶ GET ─▶ redirect? (each hop again from the guard on)
//!                                                                 └▶ 304 │ status │ body, capped while it is decompressed
//! ```
//!
//! Guarantees: no more than [`FetcherConfig::max_body`] bytes of an answer are ever held, compressed or not; a source that is not marked local is never
//! asked at a private address, whatever DNS or a redirect says; requests to one host are at least [`FetcherConfig::spacing`] apart; no
//! request outlives [`FetcherConfig::timeout`]. Nothing is retried here: the scheduler decides.

pub mod guard;
mod headers;
mod robots;
mod spacing;

use std::sync::Arc;
use std::time::Duration;

use reqwest::StatusCode;
use reqwest::header::{self, HeaderName};
use url::Url;
use vigie_clock::SharedClock;

use guard::GuardedResolver;
use headers::{charset, fresh_for, headers, retry_after, target, user_agent};
use robots::Robots;
use spacing::Spacing;

use crate::lease::Lease;

/// How the fetcher behaves.
#[derive(Clone, Debug)]
pub struct FetcherConfig {
    /// Address or mail of who runs this instance, for the `User-Agent`.
    pub contact: Option<String>,
    /// Decompressed bytes of one answer at most.
    pub max_body: usize,
    /// One request from first byte to last, all redirects included.
    pub timeout: Duration,
    /// Silence on a connection that is taken for its end.
    pub read_timeout: Duration,
    /// Least time between two requests to one host.
    pub spacing: Duration,
    /// The same for local sources.
    pub local_spacing: Duration,
    /// A proxy for the public web. The environment's proxy variables are not read: a proxy resolves names, so that the guard cannot.
    pub proxy: Option<Url>,
}

impl Default for FetcherConfig {
    fn default() -> Self {
        Self {
            contact: None,
            max_body: 16 * 1024 * 1024,
            timeout: Duration::from_secs(30),
            read_timeout: Duration::from_secs(15),
            spacing: Duration::from_secs(1),
            local_spacing: Duration::from_millis(2),
            proxy: None,
        }
    }
}

/// Redirects followed at most.
pub const MAX_REDIRECTS: usize = 5;

/// The longest `Retry-After` that is honoured; a longer one is cut to this.
pub const MAX_RETRY_AFTER: Duration = Duration::from_secs(24 * 3600);

/// What to ask for.
#[derive(Clone, Debug)]
pub struct Request {
    /// Where.
    pub url: Url,
    /// Media types.
    pub accept: &'static str,
    /// `ETag` of the last answer, as it came.
    pub etag: Option<String>,
    /// `Last-Modified` of the last answer, as it came.
    pub last_modified: Option<String>,
    /// Private and loopback addresses are allowed.
    pub local: bool,
}

/// A useful answer.
#[derive(Clone, Debug)]
pub enum Fetched {
    /// New content.
    Body(Body),
    /// What we have is current (304).
    NotModified {
        /// How long the server says that it stays so.
        fresh_for: Option<Duration>,
    },
}

/// New content.
#[derive(Clone, Debug)]
pub struct Body {
    /// HTTP status.
    pub status: u16,
    /// Where it came from in the end.
    pub url: Url,
    /// Decompressed content.
    pub bytes: Vec<u8>,
    /// Character set of the `Content-Type`.
    pub charset: Option<String>,
    /// `ETag`, opaque, quotes kept.
    pub etag: Option<String>,
    /// `Last-Modified`, opaque.
    pub last_modified: Option<String>,
    /// `Cache-Control: max-age`.
    pub fresh_for: Option<Duration>,
}

/// Why there is no useful answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FetchError {
    /// robots.txt or the address guard forbids it.
    #[error("blocked: {0}")]
    Blocked(String),
    /// The server refuses or fails.
    #[error("http status {status}")]
    Status {
        /// HTTP status.
        status: u16,
        /// How long the server asks us to stay away, capped.
        retry_after: Option<Duration>,
    },
    /// The answer is longer than we take.
    #[error("answer exceeds {limit} bytes, cut off")]
    TooLarge {
        /// The cap.
        limit: usize,
    },
    /// Too many redirects, or one that leads nowhere.
    #[error("redirect: {0}")]
    Redirect(String),
    /// It took too long.
    #[error("timed out after {0:?}")]
    Timeout(Duration),
    /// Name resolution, connection, TLS, protocol or decompression failed.
    #[error("network: {0}")]
    Network(String),
}

/// Fetches politely. Cheap to share behind an [`Arc`].
#[derive(Debug)]
pub struct Fetcher {
    config: FetcherConfig,
    public: reqwest::Client,
    local: reqwest::Client,
    spacing: Spacing,
    robots: Robots,
    clock: SharedClock,
    /// Where there is one, nobody is asked unless it holds.
    lease: Option<Arc<Lease>>,
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
                .pool_max_idle_per_host(2)
                .no_proxy()
        };
        let mut public = builder().dns_resolver(Arc::new(GuardedResolver));
        if let Some(proxy) = &config.proxy {
            public = public.proxy(reqwest::Proxy::all(proxy.clone()).map_err(broken)?);
        }
        Ok(Self {
            public: public.build().map_err(broken)?,
            local: builder().build().map_err(broken)?,
            spacing: Spacing::default(),
            robots: Robots::default(),
            config,
            clock,
            lease: None,
        })
    }

    /// The same, for one of several replicas: nobody is asked unless `lease` holds.
    pub(crate) fn under(self, lease: Arc<Lease>) -> Self {
        Self { lease: Some(lease), ..self }
    }

    /// Whoever had a host before may have asked it a moment ago: it is not asked before its spacing is over.
    pub(crate) fn hold_off(&self, host: &str, local: bool) {
        let gap = if local { self.config.local_spacing } else { self.config.spacing };
        self.spacing.hold_off(host, gap, &self.clock);
    }

    /// Asks once.
    ///
    /// # Errors
    /// If there is no useful answer.
    pub async fn fetch(&self, request: &Request) -> Result<Fetched, FetchError> {
        let limit = self.config.timeout;
        // The time that robots.txt and spacing take is not the server's fault.
        self.check_robots(request).await?;
        match tokio::time::timeout(limit, self.follow(request)).await {
            Ok(result) => result,
            Err(_) => Err(FetchError::Timeout(limit)),
        }
    }

    async fn check_robots(&self, request: &Request) -> Result<(), FetchError> {
        if request.local {
            return Ok(());
        }
        let now = self.clock.monotonic();
        let site = request.url.origin().ascii_serialization();
        let rules = if let Some(rules) = self.robots.cached(&site, now) {
            rules
        } else {
            let mut url = request.url.clone();
            url.set_path("/robots.txt");
            url.set_query(None);
            url.set_fragment(None);
            let ask =
                Request { url, accept: "text/plain, */*;q=0.1", etag: None, last_modified: None, local: request.local };
            let answer = tokio::time::timeout(self.config.timeout, self.follow(&ask)).await;
            let rules = match answer {
                Ok(Ok(Fetched::Body(body))) => robots::Rules::parse(&body.bytes),
                // RFC 9309, 2.3.1: "unavailable" (4xx) allows all, "unreachable" (5xx, network) forbids all.
                Ok(
                    Ok(Fetched::NotModified { .. })
                    | Err(FetchError::Status { status: 400..=499, .. } | FetchError::Redirect(_)),
                ) => robots::Rules::allow_all(),
                Ok(Err(error)) => return Err(error),
                Err(_) => return Err(FetchError::Timeout(self.config.timeout)),
            };
            self.robots.keep(site, rules, now)
        };
        let path = &request.url[url::Position::BeforePath..url::Position::AfterQuery];
        if rules.allows(path) { Ok(()) } else { Err(FetchError::Blocked(format!("robots.txt disallows {path}"))) }
    }

    /// Follows redirects, each hop checked and spaced like the first.
    async fn follow(&self, request: &Request) -> Result<Fetched, FetchError> {
        let mut url = request.url.clone();
        for hop in 0..=MAX_REDIRECTS {
            if !request.local {
                guard::check(&url).map_err(FetchError::Blocked)?;
            }
            let gap = if request.local { self.config.local_spacing } else { self.config.spacing };
            self.spacing.wait(url.host_str().unwrap_or_default(), gap, &self.clock).await;
            if self.lease.as_ref().is_some_and(|lease| !lease.holds()) {
                return Err(FetchError::Blocked("the source may be another replica's by now".to_owned()));
            }
            let client = if request.local { &self.local } else { &self.public };
            let response =
                client.get(url.clone()).headers(headers(request, hop)?).send().await.map_err(|e| self.network(&e))?;
            let status = response.status();
            if status == StatusCode::NOT_MODIFIED {
                return Ok(Fetched::NotModified { fresh_for: fresh_for(response.headers()) });
            }
            if status.is_redirection() {
                url = target(&url, response.headers())?;
                continue;
            }
            if !status.is_success() {
                let retry_after = retry_after(response.headers(), self.clock.now());
                return Err(FetchError::Status { status: status.as_u16(), retry_after });
            }
            return self.read(response, url).await.map(Fetched::Body);
        }
        Err(FetchError::Redirect(format!("more than {MAX_REDIRECTS} hops")))
    }

    /// Reads the body as it is decompressed, up to the cap.
    async fn read(&self, mut response: reqwest::Response, url: Url) -> Result<Body, FetchError> {
        let limit = self.config.max_body;
        if response.content_length().is_some_and(|length| length > limit as u64) {
            return Err(FetchError::TooLarge { limit });
        }
        let text = |name: HeaderName| response.headers().get(name).and_then(|v| v.to_str().ok()).map(str::to_owned);
        let mut body = Body {
            status: response.status().as_u16(),
            url,
            bytes: Vec::new(),
            charset: text(header::CONTENT_TYPE).as_deref().and_then(charset),
            etag: text(header::ETAG),
            last_modified: text(header::LAST_MODIFIED),
            fresh_for: fresh_for(response.headers()),
        };
        while let Some(chunk) = response.chunk().await.map_err(|e| self.network(&e))? {
            if body.bytes.len() + chunk.len() > limit {
                return Err(FetchError::TooLarge { limit });
            }
            body.bytes.extend_from_slice(&chunk);
        }
        Ok(body)
    }

    fn network(&self, error: &reqwest::Error) -> FetchError {
        let text = chain(error);
        if text.contains(guard::REFUSED) {
            FetchError::Blocked(guard::REFUSED.to_owned())
        } else if error.is_timeout() {
            FetchError::Timeout(self.config.read_timeout)
        } else {
            FetchError::Network(text)
        }
    }
}

/// An error with its causes in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text.push_str(": ");
            text.push_str(&inner_text);
        }
        cause = inner.source();
    }
    text
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
        // Nobody listens there: whoever asks is told so.
        let url = Url::parse("http://127.0.0.1:1/").unwrap();
        let request = Request { url, accept: "*/*", etag: None, last_modified: None, local: true };
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
