//! Looking at a source without Kafka: `vigie source test`, and whether the public web is there at all.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use clap::ValueEnum;
use serde_json::json;
use tokio::task::JoinSet;
use url::Url;
use vigie_clock::SharedClock;
use vigie_daemon::{Mistake, ServiceError};
use vigie_schemas::RawPost;

use crate::content::document::Document;
use crate::discover::{self, DiscoverError};
use crate::fetcher::{Body, FetchError, Fetched, Fetcher, FetcherConfig, Request, guard};
use crate::keys::Key;
use crate::kinds::Kind;
use crate::kinds::source::Origin;
use crate::poll::listen::listen;
use crate::poll::page;
use crate::sources::SourceConfig;
use crate::sources::catalogue::as_web;
use crate::sources::key;

/// How long [`reachable`] waits at most.
const PROBE: Duration = Duration::from_secs(5);

/// Reads `target` (a file or an address) once as a source of this kind and writes its posts as JSON Lines. Returns how many there are. `base` is where
/// relative links of a file start; those of an address start there. `key` is shown to the API of a kind that takes one.
///
/// # Errors
/// [`ServiceError::Config`] if the target is neither a readable file nor an http address, [`ServiceError::Unavailable`] if nobody answers,
/// [`ServiceError::Failed`] if the answer is refused, too long, or not what this kind of source sends.
pub async fn test_source(
    kind: Kind,
    target: &str,
    base: Option<Url>,
    key: Option<Key>,
    config: FetcherConfig,
    clock: SharedClock,
    out: &mut (dyn Write + Send),
) -> Result<usize, ServiceError> {
    let url = Url::parse(target).ok().filter(|url| matches!(url.scheme(), "http" | "https" | "ws" | "wss"));
    let (bytes, charset, base) = match url {
        Some(url) => fetch(kind, url, key, config, clock.clone()).await?,
        None => (read(Path::new(target), config.max_body)?, None, base),
    };
    let origin = Origin { source: "test", language: None, sample: false, select: None, fetched_at: clock.now() };
    let document = Document { bytes: &bytes, charset: charset.as_deref(), base: base.as_ref() };
    let page = kind.read(document, origin).map_err(ServiceError::failed)?;
    let line = |post: &RawPost| {
        let mut line = to_json(post);
        line["edited_at"] = page.edited.get(&post.post_id).map(ToString::to_string).into();
        line
    };
    let written = page.posts.iter().try_for_each(|post| writeln!(out, "{}", line(post))).and_then(|()| out.flush());
    match written {
        // The reader closed the pipe.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => {}
        other => other.map_err(ServiceError::failed)?,
    }
    Ok(page.posts.len())
}

/// The kind of source that a target is, with the address or file where it is read. Of an address it is what `source add` would find; of a file, the
/// first kind whose parser finds posts in it.
///
/// # Errors
/// As [`test_source`], and if the target is nothing that can be followed.
pub async fn detect(
    target: &str,
    base: Option<&Url>,
    config: FetcherConfig,
    clock: SharedClock,
) -> Result<(Kind, String), ServiceError> {
    let Some(url) = Url::parse(target).ok().filter(|url| matches!(url.scheme(), "http" | "https")) else {
        let bytes = read(Path::new(target), config.max_body)?;
        let document = Document { bytes: &bytes, charset: None, base };
        let origin = || Origin { source: "test", language: None, sample: false, select: None, fetched_at: clock.now() };
        // A page of any kind is HTML, so that comes last.
        let mut kinds: Vec<Kind> = Kind::value_variants().to_vec();
        kinds.sort_by_key(|kind| *kind == Kind::Html);
        let fits = |kind: &Kind| kind.read(document, origin()).is_ok_and(|page| !page.posts.is_empty());
        let kind = kinds.into_iter().find(fits);
        let nothing = || ServiceError::failed(format!("{target}: no kind of source has posts in it, expected --kind"));
        return kind.map(|kind| (kind, target.to_owned())).ok_or_else(nothing);
    };
    let local = guard::is_inside(&url);
    let host = url.host_str().unwrap_or_default().to_owned();
    let fetcher = Fetcher::new(config, clock.clone()).map_err(ServiceError::failed)?;
    let found = discover::discover(&url, local, &fetcher, &clock).await.map_err(|error| match error {
        DiscoverError::Unreachable(error) => ServiceError::unavailable(host, error),
        other => ServiceError::failed(other),
    })?;
    Ok((found.kind, found.url.to_string()))
}

/// A post as people read it: times in RFC 3339.
pub fn to_json(post: &RawPost) -> serde_json::Value {
    json!({
        "post_id": post.post_id, "source": post.source, "kind": post.kind, "url": post.url, "author": post.author, "title": post.title,
        "text": post.text, "quoted": post.quoted, "parent_id": post.parent_id, "declared_language": post.declared_language,
        "published_at": post.published_at.to_string(), "published_at_estimated": post.published_at_estimated,
        "fetched_at": post.fetched_at.to_string(), "sample": post.sample,
    })
}

type Answer = (Vec<u8>, Option<String>, Option<Url>);

async fn fetch(
    kind: Kind,
    url: Url,
    key: Option<Key>,
    config: FetcherConfig,
    clock: SharedClock,
) -> Result<Answer, ServiceError> {
    // Who types a private address means it. A public one that leads to a private one is still refused.
    let local = guard::is_inside(&as_web(&url));
    let host = url.host_str().unwrap_or_default().to_owned();
    let fetcher = Fetcher::new(config, clock.clone()).map_err(ServiceError::failed)?;
    let mistake = key::mistake(kind, &url, local, key.as_ref().map(Key::variable));
    let source = once(kind, url, local, key);
    let missing = || source.waits_for_key().then(|| Mistake::new("--key", "its variable is not set", "a key in it"));
    if let Some(mistake) = mistake.or_else(missing) {
        return Err(mistake.into());
    }
    let answer = if as_web(&source.url) == source.url {
        // An API says little of a post unless it is asked for more.
        let has_key = source.access().is_some();
        let url = if has_key { kind.source().newest(&source.url, None) } else { source.url.clone() };
        fetcher.fetch(&page::request(&source, url)).await
    } else {
        listen(&source, None, &fetcher, &*clock)
            .await
            .map(|heard| Fetched::Body(Body::bare(101, source.url, heard.lines)))
    };
    match answer {
        Ok(Fetched::Body(body)) => Ok((body.bytes, body.charset, Some(body.url))),
        Ok(Fetched::NotModified { .. }) => Err(ServiceError::failed("http status 304 to an unconditional request")),
        Err(error @ (FetchError::Network(_) | FetchError::Timeout(_))) => Err(ServiceError::unavailable(host, error)),
        Err(error) => Err(ServiceError::failed(error)),
    }
}

/// A source to read once.
fn once(kind: Kind, url: Url, local: bool, key: Option<Key>) -> SourceConfig {
    SourceConfig { local, max_pages: 1, key, ..SourceConfig::new("test", kind, url) }
}

fn read(path: &Path, limit: usize) -> Result<Vec<u8>, ServiceError> {
    use std::io::Read as _;
    let unreadable = |e: std::io::Error| -> ServiceError {
        Mistake::new(path.display().to_string(), e, "a file or an http(s) address").into()
    };
    let file = std::fs::File::open(path).map_err(unreadable)?;
    let mut bytes = Vec::new();
    file.take(limit as u64 + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() > limit {
        return Err(ServiceError::failed(FetchError::TooLarge { limit }));
    }
    Ok(bytes)
}

/// Whether any public source answers, asked all at once; takes 5 s at most.
pub async fn reachable(sources: &[SourceConfig], clock: SharedClock) -> bool {
    let config =
        FetcherConfig { timeout: PROBE, spacing: Duration::ZERO, max_body: 64 * 1024, ..FetcherConfig::default() };
    let Ok(fetcher) = Fetcher::new(config, clock) else { return false };
    let fetcher = Arc::new(fetcher);
    let mut probes = JoinSet::new();
    for source in sources.iter().filter(|source| !source.local && source.key.is_none()).take(16) {
        let fetcher = Arc::clone(&fetcher);
        let request = Request::new(source.url.clone(), "*/*", false);
        probes.spawn(async move { is_answer(&fetcher.fetch(&request).await) });
    }
    let any = async {
        while let Some(answered) = probes.join_next().await {
            if answered.unwrap_or(false) {
                return true;
            }
        }
        false
    };
    tokio::time::timeout(PROBE, any).await.unwrap_or(false)
}

/// Whether a site answered, be it with a refusal.
fn is_answer(result: &Result<Fetched, FetchError>) -> bool {
    match result {
        Ok(_) | Err(FetchError::TooLarge { .. } | FetchError::Ratio { .. } | FetchError::Redirect(_)) => true,
        Err(FetchError::Status { status, .. }) => *status < 500,
        Err(FetchError::Blocked(reason)) => reason.starts_with("robots.txt"),
        Err(FetchError::Wait { .. } | FetchError::Key(_) | FetchError::Network(_) | FetchError::Timeout(_)) => false,
    }
}
