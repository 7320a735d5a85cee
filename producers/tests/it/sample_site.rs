//! The real scrapers against the sample site, without Kafka.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use vigie_clock::{Clock, ManualClock, Timestamp};
use vigie_producers::fetcher::FetcherConfig;
use vigie_producers::poll::{fresh_cursor, poll};
use vigie_sample::{Generator, Site, SiteConfig};
use vigie_schemas::{Cursor, RawPost};

use crate::server::fetcher;

/// Polls every source once; cursors go on from poll to poll.
async fn scrape(site: &Site, cursors: &mut BTreeMap<String, Cursor>, clock: &ManualClock) -> Vec<RawPost> {
    let fetcher = fetcher(FetcherConfig { local_spacing: Duration::ZERO, ..FetcherConfig::default() });
    let mut posts = Vec::new();
    for source in site.sources() {
        let cursor = cursors.remove(&source.id).unwrap_or_else(|| fresh_cursor(&source));
        let polled = poll(&source, &cursor, &fetcher, clock).await;
        assert!(matches!(polled.record.decision.as_str(), "fetched" | "not_modified"), "{:?}", polled.record);
        posts.extend(polled.posts);
        cursors.insert(source.id, polled.cursor);
    }
    posts
}

#[tokio::test]
async fn every_post_of_the_sample_site_is_read_once_as_it_grows_and_restarts() {
    let clock = ManualClock::new(Timestamp::parse_rfc3339("2026-11-23T12:00:00Z").unwrap());
    let shutdown = CancellationToken::new();
    let folder = tempfile::tempdir().unwrap();
    let config =
        SiteConfig { sample_rate: 24.0, file: Some(folder.path().join("sample.json")), ..SiteConfig::default() };
    let mut site = Site::start(&config, Arc::new(clock.clone()), shutdown.clone()).await.unwrap();
    let mut cursors = BTreeMap::new();
    // The oldest part comes first, the rest once all sources have asked again.
    let mut all = scrape(&site, &mut cursors, &clock).await;
    let oldest = all.len();
    for _ in 0..2 {
        all.extend(scrape(&site, &mut cursors, &clock).await);
    }
    assert!(oldest > 500 && oldest * 3 < all.len() && all.len() > 4000, "{oldest} of {}", all.len());
    for round in 0..40 {
        clock.advance(Duration::from_secs(47));
        all.extend(scrape(&site, &mut cursors, &clock).await);
        if round % 10 == 9 {
            // Its port is taken by the one before.
            site = Site::start(&config, Arc::new(clock.clone()), shutdown.clone()).await.unwrap();
        }
    }
    let ids: HashSet<&str> = all.iter().map(|post| post.post_id.as_str()).collect();
    assert_eq!(ids.len(), all.len(), "a post was read twice");
    let generator = Generator::new(7, 24.0, Timestamp::parse_rfc3339("2026-11-23T06:00:00Z").unwrap())
        .opened_at(Timestamp::parse_rfc3339("2026-11-23T12:00:00Z").unwrap());
    assert_eq!(all.len(), generator.newest_first(clock.now()).len());
    assert!(
        all.iter()
            .all(|post| post.sample && !post.published_at_estimated && post.author.is_some() && !post.text.is_empty())
    );
    let kinds: HashSet<&str> = all.iter().map(|post| post.kind.as_str()).collect();
    assert_eq!(kinds.len(), 3);
    shutdown.cancel();
}
