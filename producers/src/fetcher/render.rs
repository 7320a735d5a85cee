//! Pages that are built by JavaScript, rendered by headless Chromium: optional, off by default, and kept apart.
//!
//! ```text
//!   page ─▶ Chromium, a process group of its own, with an empty profile ─▶ DOM, capped ─▶ the parsers, as any page
//!              │ every request
//!              ▼
//!           our proxy on the loopback ─▶ address guard ─▶ web
//! ```
//!
//! Guarantees: whatever a page asks for goes through the address guard, checked where the connection is made; a page that takes too long, too much
//! memory or too many bytes ends with all of its processes; nothing of one page is there for the next. What is *not* promised: the sub-requests of a page
//! are not spaced, and robots.txt is asked for the page only, as a browser would.

mod chromium;
mod devtools;
mod filter;
mod traffic;

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::sync::Semaphore;
use url::Url;

use super::answer::{Body, FetchError};
use super::guard;
use chromium::Chromium;
use devtools::Devtools;
use filter::Filter;

/// Pages rendered at once.
const AT_ONCE: usize = 2;

/// How to render.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RenderConfig {
    /// The program.
    pub chromium: PathBuf,
    /// From the start of the program to the DOM.
    pub timeout: Duration,
    /// Memory of all of its processes at most, in bytes, without what they share.
    pub memory: u64,
    /// Bytes that one page may load, with all that it asks for.
    pub traffic: u64,
}

impl RenderConfig {
    /// The usual bounds.
    pub fn new(chromium: PathBuf) -> Self {
        Self { chromium, timeout: Duration::from_secs(30), memory: 1 << 30, traffic: 64 << 20 }
    }
}

/// The Chromium of this machine: the given path, or what is found by its usual names.
pub fn find(given: Option<&Path>) -> Option<PathBuf> {
    if let Some(path) = given {
        return path.is_file().then(|| path.to_owned());
    }
    let folders = std::env::var_os("PATH").unwrap_or_default();
    ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"]
        .iter()
        .flat_map(|name| std::env::split_paths(&folders).map(move |folder| folder.join(name)))
        .find(|path| path.is_file())
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
