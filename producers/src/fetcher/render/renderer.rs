//! Opens pages in Chromium, each in one of its own.

use tokio::sync::Semaphore;
use url::Url;

use super::RenderConfig;
use super::chromium::Chromium;
use super::devtools::Devtools;
use super::filter::Filter;
use crate::fetcher::answer::{Body, FetchError, Fetched};
use crate::fetcher::headers::user_agent;
use crate::fetcher::{Fetcher, guard};

/// Pages rendered at once.
const AT_ONCE: usize = 2;

impl Fetcher {
    /// Renders a page in turn; robots.txt and the guard are asked before, and again where it led elsewhere.
    pub(crate) async fn render_with(&self, renderer: &Renderer, url: &Url, local: bool) -> Result<Fetched, FetchError> {
        self.check(url, local).await?;
        let agent = user_agent(self.config.contact.as_deref());
        let rendering = renderer.render(url, local, &agent, self.config.max_body);
        let body = self.in_turn(url, local, rendering).await?;
        if body.url != *url {
            // A page may lead anywhere: what is not to be read there is not read.
            self.check(&body.url, local).await?;
        }
        Ok(Fetched::Body(body))
    }
}

/// Renders pages, a few at a time, each in a Chromium of its own.
#[derive(Debug)]
pub(crate) struct Renderer {
    config: RenderConfig,
    slots: Semaphore,
}

impl Renderer {
    pub(crate) fn new(config: RenderConfig) -> Self {
        Self { config, slots: Semaphore::new(AT_ONCE) }
    }

    /// Opens a page and returns its DOM once it has settled, `max_body` bytes at most. Of private addresses only the page's own is allowed, if it is local.
    ///
    /// # Errors
    /// If it cannot be opened, or takes too long, too much memory or too many bytes.
    pub(crate) async fn render(
        &self,
        url: &Url,
        local: bool,
        user_agent: &str,
        max_body: usize,
    ) -> Result<Body, FetchError> {
        let _slot = self.slots.acquire().await.map_err(|e| FetchError::Network(e.to_string()))?;
        let timeout = self.config.timeout;
        // Dropped on every way out, and with it all of its processes.
        let page = self.page(url, local, user_agent, max_body);
        tokio::time::timeout(timeout, page).await.unwrap_or(Err(FetchError::Timeout(timeout)))
    }

    async fn page(&self, url: &Url, local: bool, user_agent: &str, max_body: usize) -> Result<Body, FetchError> {
        let broken = |error: std::io::Error| FetchError::Network(format!("chromium: {error}"));
        let filter = Filter::start(local.then_some(url), self.config.traffic).await.map_err(broken)?;
        let mut chromium = Chromium::start(&self.config.chromium, filter.address(), user_agent).map_err(broken)?;
        let watch = chromium.group();
        let pages = async {
            let address = chromium.devtools_address().await.map_err(broken)?;
            let mut devtools = Devtools::connect(&address).await?;
            devtools.open(url).await?;
            devtools.settle().await?;
            devtools.document(max_body).await
        };
        let limit = self.config.memory;
        let opened = tokio::select! {
            opened = pages => opened,
            () = watch.exceeds(limit) => Err(FetchError::Network(format!("the page takes more than {} MiB of memory", limit >> 20))),
            () = filter.exhausted() => Err(FetchError::TooLarge { limit: usize::try_from(self.config.traffic).unwrap_or(usize::MAX) }),
        };
        match opened {
            // What the page's own host leads to was refused by us, not by the site.
            Err(FetchError::Network(_) | FetchError::Status { .. }) if filter.refused(url) => {
                Err(FetchError::Blocked(guard::REFUSED.to_owned()))
            }
            Ok(document) => {
                let url = document.url.unwrap_or_else(|| url.clone());
                let body = Body::bare(document.status, url, document.html.into_bytes());
                Ok(Body { charset: Some("utf-8".to_owned()), ..body })
            }
            Err(error) => Err(error),
        }
    }
}
