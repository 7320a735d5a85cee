//! Finding out how a site can be read: `vigie source add`.
//!
//! ```text
//!   address ─▶ known platform? ─▶ is it a feed itself? ─▶ what its page names and links to ─▶ usual places
//! ```
//!
//! Each candidate is read once, politely; the first that is what it should be, with posts in it, is taken.

mod address;
mod page;
mod proposal;

use std::collections::HashSet;

use url::{Position, Url};
use vigie_clock::SharedClock;

use crate::content::document::Document;
use crate::content::web_page;
use crate::fetcher::{FetchError, Fetched, Fetcher, Request};
use crate::kinds::Kind;
use crate::kinds::source::{Origin, Page};

pub use address::candidates;
pub use proposal::{Proposal, append};

/// A place to look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// How it would be read.
    pub kind: Kind,
    /// Where it is.
    pub url: Url,
    /// What led there.
    pub platform: &'static str,
    /// What the source could be called.
    pub name: String,
}

/// Why nothing was found.
#[derive(Debug, thiserror::Error)]
pub enum DiscoverError {
    /// Nobody answers.
    #[error("{0}")]
    Unreachable(FetchError),
    /// The address was refused or is not there.
    #[error("{}: {error}", shown(url))]
    Refused {
        /// What was asked for.
        url: Url,
        /// What came.
        error: FetchError,
    },
    /// There is something, but nothing that can be followed.
    #[error("found nothing to follow at {}, tried {}", shown(url), tried.join(", "))]
    Nothing {
        /// Where the search began.
        url: Url,
        /// Each candidate and why it is none.
        tried: Vec<String>,
    },
}

/// An address without what may be secret in it: a user's name and password, and the query.
fn shown(url: &Url) -> String {
    format!("{}://{}", url.scheme(), &url[Position::BeforeHost..Position::AfterPath])
}

/// Finds a way to follow what `url` names. `local` allows private addresses.
///
/// # Errors
/// If nobody answers, or nothing of what answers can be followed.
pub async fn discover(
    url: &Url,
    local: bool,
    fetcher: &Fetcher,
    clock: &SharedClock,
) -> Result<Proposal, DiscoverError> {
    let mut search = Search { fetcher, clock, local, tried: Vec::new(), seen: HashSet::new() };
    if let Some(found) = search.try_all(candidates(url)).await {
        return Ok(found);
    }
    // The address itself: a feed, or a page that links feeds.
    let request = Request::new(url.clone(), Kind::Html.source().accept(), local);
    let body = match fetcher.fetch(&request).await {
        Ok(Fetched::Body(body)) => body,
        Ok(Fetched::NotModified { .. }) => return Err(search.nothing(url)),
        Err(error @ (FetchError::Network(_) | FetchError::Timeout(_))) => {
            return Err(DiscoverError::Unreachable(error));
        }
        Err(error) => return Err(DiscoverError::Refused { url: url.clone(), error }),
    };
    search.seen.insert(url.to_string());
    let document = Document { bytes: &body.bytes, charset: body.charset.as_deref(), base: Some(&body.url) };
    let name = body.url.host_str().unwrap_or_default().to_owned();
    for kind in [Kind::Rss, Kind::Sitemap] {
        if let Some(page) = search.read(kind, document) {
            let here = Candidate { kind, url: body.url.clone(), platform: "it is one itself", name: name.clone() };
            return Ok(Proposal::new(&here, &page, local));
        }
    }
    let named = web_page::parse(document).map(|html| page::candidates(&html, &body.url)).unwrap_or_default();
    if let Some(found) = search.try_all(named).await {
        return Ok(found);
    }
    match search.try_all(page::usual(&body.url)).await {
        Some(found) => Ok(found),
        None => Err(search.nothing(url)),
    }
}

/// What has been looked at so far.
struct Search<'a> {
    fetcher: &'a Fetcher,
    clock: &'a SharedClock,
    local: bool,
    tried: Vec<String>,
    seen: HashSet<String>,
}

impl Search<'_> {
    async fn try_all(&mut self, candidates: Vec<Candidate>) -> Option<Proposal> {
        for candidate in candidates {
            if !self.seen.insert(candidate.url.to_string()) {
                continue;
            }
            match self.fetch(&candidate).await {
                Ok(page) => return Some(Proposal::new(&candidate, &page, self.local)),
                Err(why) => self.tried.push(format!("{} ({why})", shown(&candidate.url))),
            }
        }
        None
    }

    async fn fetch(&self, candidate: &Candidate) -> Result<Page, String> {
        let accept = candidate.kind.source().accept();
        let request = Request::new(candidate.url.clone(), accept, self.local);
        let body = match self.fetcher.fetch(&request).await {
            Ok(Fetched::Body(body)) => body,
            Ok(Fetched::NotModified { .. }) => return Err("http status 304".into()),
            Err(error) => return Err(error.to_string()),
        };
        let document = Document { bytes: &body.bytes, charset: body.charset.as_deref(), base: Some(&body.url) };
        self.read(candidate.kind, document).ok_or_else(|| format!("no posts of kind {}", candidate.kind))
    }

    /// The posts of a document, if it has any.
    fn read(&self, kind: Kind, document: Document<'_>) -> Option<Page> {
        let origin =
            Origin { source: "new", language: None, sample: false, select: None, fetched_at: self.clock.now() };
        kind.read(document, origin).ok().filter(|page| !page.posts.is_empty())
    }

    fn nothing(&mut self, url: &Url) -> DiscoverError {
        DiscoverError::Nothing { url: url.clone(), tried: std::mem::take(&mut self.tried) }
    }
}
