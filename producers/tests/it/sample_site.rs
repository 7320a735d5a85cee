//! The real scrapers against the sample site, without Kafka.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use vigie_clock::{Clock, ManualClock, Timestamp};
use vigie_producers::fetcher::FetcherConfig;
use vigie_producers::poll::{fresh_cursor, poll};
use vigie_producers::site::{Archive, Site, SiteConfig};
use vigie_schemas::{Cursor, RawPost};

use crate::recorded;
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
    let config = SiteConfig::default();
    let mut site = Site::start(&config, Arc::new(clock.clone()), shutdown.clone()).await.unwrap();
    let mut cursors = BTreeMap::new();
    let mut all = scrape(&site, &mut cursors, &clock).await;
    assert!(all.len() > 4000, "{}", all.len());
    for round in 0..40 {
        clock.advance(Duration::from_secs(47));
        all.extend(scrape(&site, &mut cursors, &clock).await);
        if round % 10 == 9 {
            site = Site::start(&config, Arc::new(clock.clone()), shutdown.clone()).await.unwrap();
        }
    }
    let ids: HashSet<&str> = all.iter().map(|post| post.post_id.as_str()).collect();
    assert_eq!(ids.len(), all.len(), "a post was read twice");
    let generator =
        vigie_producers::site::Generator::new(7, 24.0, Timestamp::parse_rfc3339("2026-11-23T06:00:00Z").unwrap());
    assert_eq!(all.len(), generator.newest_first(clock.now()).len());
    assert!(
        all.iter()
            .all(|post| post.sample && !post.published_at_estimated && post.author.is_some() && !post.text.is_empty())
    );
    let kinds: HashSet<&str> = all.iter().map(|post| post.kind.as_str()).collect();
    assert_eq!(kinds.len(), 3);
    shutdown.cancel();
}

#[tokio::test]
async fn the_whole_archive_is_scraped_as_it_is_released() {
    let Some(folder) = recorded::folder() else { return };
    let folder = folder.join("posts");
    let clock = ManualClock::new(Timestamp::parse_rfc3339("2026-11-23T12:00:00Z").unwrap());
    let shutdown = CancellationToken::new();
    let config = SiteConfig { archive: Some(folder.clone()), archive_rate: 5000.0, ..SiteConfig::default() };
    let site = Site::start(&config, Arc::new(clock.clone()), shutdown.clone()).await.unwrap();
    let mut cursors = BTreeMap::new();
    let mut all = scrape(&site, &mut cursors, &clock).await;
    while !site.progress().unwrap().finished {
        clock.advance(Duration::from_millis(700));
        all.extend(scrape(&site, &mut cursors, &clock).await);
    }
    let archive = Archive::load(&folder, 1.0).unwrap();
    let comments = archive.items().iter().filter(|item| item.is_comment).count();
    assert_eq!((archive.items().len() - comments, comments), (7_328, 104_517));
    let expected: BTreeMap<String, _> =
        archive.items().iter().map(|item| (format!("reddit:{}", item.name), item)).collect();
    assert_eq!(all.len(), expected.len());
    let mut seen = HashSet::new();
    for post in &all {
        let item = expected[&post.post_id];
        assert!(seen.insert(&post.post_id), "{} was read twice", post.post_id);
        assert_eq!(post.published_at.as_millis(), (item.created_utc * 1000.0) as i64);
        assert_eq!(post.author.as_deref(), Some(item.author.as_str()).filter(|author| *author != "[deleted]"));
    }
    shutdown.cancel();
}
