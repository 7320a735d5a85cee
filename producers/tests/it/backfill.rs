//! Reading archives back, from a local site to a real Kafka.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::Query;
use axum::http::StatusCode;
use axum::response::IntoResponse as _;
use vigie_clock::Timestamp;
use vigie_daemon::Context;
use vigie_kafka_client::KafkaConfig;
use vigie_producers::backfill::{Progress, backfill};
use vigie_producers::{Kind, SourceConfig, run};
use vigie_schemas::{Codec, Cursor, FetchRecord, Topic};
use vigie_stack::testing::TestStack;
use vigie_stack::{ServerKind, Stack};

use crate::pipeline::{checked, posts, prepare, values, wait_for};
use crate::server::{serve, source};

/// The first item's time, in seconds.
const START: i64 = 1_700_000_000;

/// An archive of one item a minute that answers as Algolia does.
#[derive(Clone, Default)]
struct Archive {
    items: Arc<Mutex<i64>>,
    /// Fails one in this many requests.
    failing_every: Arc<Mutex<usize>>,
    asked: Arc<Mutex<usize>>,
}

impl Archive {
    fn grow(&self, by: i64) {
        *self.items.lock().unwrap() += by;
    }

    fn router(&self) -> Router {
        let archive = self.clone();
        let search = move |Query(query): Query<BTreeMap<String, String>>| {
            let failing = {
                let mut asked = archive.asked.lock().unwrap();
                *asked += 1;
                let every = *archive.failing_every.lock().unwrap();
                every > 0 && asked.is_multiple_of(every)
            };
            let items = *archive.items.lock().unwrap();
            let filters = query.get("numericFilters").map(String::as_str).unwrap_or_default();
            let bound =
                |name: &str| filters.split(',').find_map(|f| f.strip_prefix(name)).map(|n| n.parse::<i64>().unwrap());
            let (until, after) = (bound("created_at_i<="), bound("created_at_i>"));
            let hits: Vec<serde_json::Value> = (0..items)
                .rev()
                .map(|n| (n, START + n * 60))
                .filter(|(_, time)| until.is_none_or(|until| *time <= until) && after.is_none_or(|after| *time > after))
                .take(20)
                .map(|(n, time)| serde_json::json!({"objectID": n.to_string(), "created_at_i": time, "comment_text": "text", "author": "ada"}))
                .collect();
            async move {
                if failing {
                    return StatusCode::SERVICE_UNAVAILABLE.into_response();
                }
                axum::Json(serde_json::json!({"hits": hits, "hitsPerPage": 20})).into_response()
            }
        };
        Router::new().route("/search", axum::routing::get(search))
    }
}

/// Calls back whenever a line of the log has these words.
#[derive(Clone)]
struct OnLine<F>(&'static str, F);

impl<F: Fn()> std::io::Write for OnLine<F> {
    fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
        if String::from_utf8_lossy(line).contains(self.0) {
            (self.1)();
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

async fn cursors(kafka: &KafkaConfig, codec: &Codec) -> BTreeMap<String, Cursor> {
    let mut cursors = BTreeMap::new();
    for (key, value) in values(kafka, Topic::SourcesCursors).await {
        cursors.insert(key, codec.decode(&value).await.unwrap());
    }
    cursors
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_backfill_goes_on_and_publishes_every_post_once() {
    let stack = tokio::task::spawn_blocking(vigie_stack::testing::shared).await.unwrap();
    let (kafka, registry) = prepare(&stack).await;
    let codec = Codec::connect(&registry, &stack.prefix).await.unwrap();
    let archive = Archive::default();
    archive.grow(1000);
    let base = serve(archive.router()).await;
    let list = vec![
        SourceConfig { backlog: false, ..source("hn", Kind::HackerNews, base.join("search").unwrap()) },
        source("feed", Kind::Rss, base.join("feed").unwrap()),
    ];
    let config = || checked(&kafka, &registry, list.clone());

    // The live source has read its first page.
    let ctx = Context::system();
    let live = tokio::spawn(run(config(), ctx.clone()));
    wait_for(&kafka, &codec, 20).await;
    ctx.shutdown.cancel();
    live.await.unwrap().unwrap();
    let live_cursor = cursors(&kafka, &codec).await.remove("hn").unwrap();

    // Item 200 and what came after. Killed in the middle of whatever it does, three times; the site fails now and then.
    let since = Timestamp::from_millis((START + 200 * 60) * 1000);
    *archive.failing_every.lock().unwrap() = 7;
    for round in 0..3_usize {
        let (sender, mut pages) = tokio::sync::mpsc::unbounded_channel();
        let progress = move |progress: Progress| {
            let _ = sender.send(progress);
        };
        let (config, id) = (config(), "hn".to_owned());
        let killed = tokio::spawn(async move { backfill(config, &id, since, Context::system(), progress).await });
        for _ in 0..=4 + round {
            tokio::time::timeout(Duration::from_secs(60), pages.recv()).await.unwrap().unwrap();
        }
        killed.abort();
        let _ = killed.await;
    }
    // Asked to stop, it stops between two pages and says how to go on.
    let ctx = Context::system();
    let stop = ctx.shutdown.clone();
    let stopped = backfill(config(), "hn", since, ctx, |_| stop.cancel()).await.unwrap_err();
    assert!(stopped.exit_code() == 1 && stopped.to_string().contains("goes on"), "{stopped}");
    // Pages are counted over all runs, requests would be more on a slow machine.
    let mut first = None;
    let count = |progress: Progress| first = first.or(Some(progress.pages));
    let report = backfill(config(), "hn", since, Context::system(), count).await.unwrap();
    assert!(first > Some(5 + 6 + 7), "it went on from the pages of earlier runs, it did not begin again: {first:?}");
    assert_eq!(report.progress.posts, 780, "{report:?}");

    let all = posts(&kafka, &codec).await;
    let mut counts: BTreeMap<i64, usize> = BTreeMap::new();
    for post in &all {
        let n: i64 = post.post_id.rsplit(':').next().unwrap().parse().unwrap();
        *counts.entry(n).or_default() += 1;
        assert_eq!((post.source.as_str(), post.published_at.as_millis()), ("hn", (START + n * 60) * 1000));
    }
    assert_eq!(counts, (200..1000).map(|n| (n, 1)).collect());

    // The live source goes on as if nothing had been.
    let found = cursors(&kafka, &codec).await;
    assert_eq!(found.get("hn"), Some(&live_cursor));
    assert!(found.contains_key("backfill:hn"));
    let mut ledger = 0;
    for (key, value) in values(&kafka, Topic::SourcesFetches).await {
        let record: FetchRecord = codec.decode(&value).await.unwrap();
        ledger += if key == "backfill:hn" { record.posts_new } else { 0 };
    }
    assert_eq!(ledger, 780, "the ledger adds up");

    // Done is done; further back goes on from there; the archive's beginning is an end.
    *archive.failing_every.lock().unwrap() = 0;
    let again =
        backfill(config(), "hn", since, Context::system(), |_| panic!("nothing is left to read")).await.unwrap();
    assert_eq!(again.progress, report.progress);
    let further = backfill(config(), "hn", Timestamp::from_millis(0), Context::system(), |_| {}).await.unwrap();
    assert_eq!(further.progress.posts, 980);
    assert_eq!(posts(&kafka, &codec).await.len(), 1000);

    let error = backfill(config(), "feed", since, Context::system(), |_| {}).await.unwrap_err();
    assert!(error.exit_code() == 64 && error.to_string().contains("no archive"), "{error}");
    let error = backfill(config(), "nobody", since, Context::system(), |_| {}).await.unwrap_err();
    assert_eq!(error.exit_code(), 64);
}

/// Kafka freezes under it, with a page that it has half published, until the attempt has failed.
#[tokio::test]
async fn an_outage_of_kafka_is_waited_out_and_every_post_is_published_once() {
    let shared = tokio::task::spawn_blocking(vigie_stack::testing::shared).await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let own = Stack::start(vigie_stack::testing::own(dir.path())).await.unwrap();
    let servers = own.endpoints().clone();
    let stack = TestStack { brokers: servers.kafka_brokers, registry_url: servers.registry_url, ..shared };
    let (kafka, registry) = prepare(&stack).await;
    let codec = Codec::connect(&registry, &stack.prefix).await.unwrap();
    let archive = Archive::default();
    archive.grow(200);
    let base = serve(archive.router()).await;
    let config = checked(&kafka, &registry, vec![source("hn", Kind::HackerNews, base.join("search").unwrap())]);

    let broker = own.server(ServerKind::Kafka(1)).unwrap().clone();
    let outages = Arc::new(AtomicUsize::new(0));
    let (resumed, seen) = (broker.clone(), Arc::clone(&outages));
    let on_failure = OnLine("page not published", move || {
        resumed.resume();
        seen.fetch_add(1, Ordering::SeqCst);
    });
    let log = tracing_subscriber::fmt().with_writer(move || on_failure.clone()).finish();
    // Of this thread, on which the test's whole runtime is.
    let log = tracing::subscriber::set_default(log);
    let freeze = |progress: Progress| {
        if progress.pages == 3 {
            broker.pause();
        }
    };
    let report = backfill(config, "hn", Timestamp::from_millis(0), Context::system(), freeze).await.unwrap();
    drop(log);
    assert!(outages.load(Ordering::SeqCst) > 0, "no attempt failed");
    assert_eq!(report.progress.posts, 200);
    let all: BTreeSet<String> = posts(&kafka, &codec).await.into_iter().map(|post| post.post_id).collect();
    assert_eq!((all.len(), posts(&kafka, &codec).await.len()), (200, 200));
    own.stop().await;
}
