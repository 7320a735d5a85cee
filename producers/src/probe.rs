//! Looking at a source without Kafka: `vigie source test`, and whether the public web is there at all.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::task::JoinSet;
use url::Url;
use vigie_clock::SharedClock;
use vigie_daemon::ServiceError;
use vigie_schemas::RawPost;

use crate::fetcher::{FetchError, Fetched, Fetcher, FetcherConfig, Request, guard};
use crate::source::{Document, Kind, Origin, SourceConfig};

/// How long [`reachable`] waits at most.
const PROBE: Duration = Duration::from_secs(5);

/// Reads `target` (a file or an address) once as a source of this kind and writes its posts as JSON Lines. Returns how many there are.
///
/// # Errors
/// [`ServiceError::Config`] if the target is neither a readable file nor an http address, [`ServiceError::Unavailable`] if nobody answers,
/// [`ServiceError::Failed`] if the answer is refused, too long, or not what this kind of source sends.
pub async fn test_source(
    kind: Kind,
    target: &str,
    config: FetcherConfig,
    clock: SharedClock,
    out: &mut (dyn Write + Send),
) -> Result<usize, ServiceError> {
    let url = Url::parse(target).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
    let (bytes, charset, base) = match url {
        Some(url) => fetch(kind, url, config, clock.clone()).await?,
        None => (read(Path::new(target), config.max_body)?, None, None),
    };
    let origin = Origin { source: "test", language: None, sample: false, select: None, fetched_at: clock.now() };
    let document = Document { bytes: &bytes, charset: charset.as_deref(), base: base.as_ref() };
    let page = kind.source().parse(document, origin).map_err(ServiceError::failed)?;
    let line = |post: &RawPost| {
        let mut line = to_json(post);
        line["edited_at"] = page.edited.get(&post.post_id).map(ToString::to_string).into();
        line
    };
    let written = page.posts.iter().try_for_each(|post| writeln!(out, "{}", line(post))).and_then(|()| out.flush());
    match written {
        // Who reads has seen enough.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => {}
        other => other.map_err(ServiceError::failed)?,
    }
    Ok(page.posts.len())
}

/// A post as people read it: times in RFC 3339.
pub fn to_json(post: &RawPost) -> serde_json::Value {
    json!({
        "post_id": post.post_id, "source": post.source, "kind": post.kind, "url": post.url, "author": post.author, "title": post.title,
        "text": post.text, "parent_id": post.parent_id, "declared_language": post.declared_language,
        "published_at": post.published_at.to_string(), "published_at_estimated": post.published_at_estimated,
        "fetched_at": post.fetched_at.to_string(), "sample": post.sample,
    })
}

type Answer = (Vec<u8>, Option<String>, Option<Url>);

async fn fetch(kind: Kind, url: Url, config: FetcherConfig, clock: SharedClock) -> Result<Answer, ServiceError> {
    // Who types a private address means it. A public one that leads to a private one is still refused.
    let local = guard::is_inside(&url);
    let host = url.host_str().unwrap_or_default().to_owned();
    let fetcher = Fetcher::new(config, clock).map_err(|e| ServiceError::Config(vec![e.to_string()]))?;
    let request =
        Request { url, accept: kind.source().accept(), etag: None, last_modified: None, validated_by: None, local };
    match fetcher.fetch(&request).await {
        Ok(Fetched::Body(body)) => Ok((body.bytes, body.charset, Some(body.url))),
        Ok(Fetched::NotModified { .. }) => Err(ServiceError::failed("http status 304 to an unconditional request")),
        Err(error @ (FetchError::Network(_) | FetchError::Timeout(_))) => Err(ServiceError::unavailable(host, error)),
        Err(error) => Err(ServiceError::failed(error)),
    }
}

fn read(path: &Path, limit: usize) -> Result<Vec<u8>, ServiceError> {
    use std::io::Read as _;
    let unreadable = |e: std::io::Error| {
        ServiceError::Config(vec![format!("{}: {e}, expected a file or an http(s) address", path.display())])
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
    for source in sources.iter().filter(|source| !source.local).take(16) {
        let fetcher = Arc::clone(&fetcher);
        let request = Request {
            url: source.url.clone(),
            accept: "*/*",
            etag: None,
            last_modified: None,
            validated_by: None,
            local: false,
        };
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
        Err(FetchError::Wait { .. } | FetchError::Network(_) | FetchError::Timeout(_)) => false,
    }
}
