//! Raw and scored posts of a real Kafka in an archive, whose store breaks at every step.

mod breaking;
mod s3;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use object_store::ObjectStore;
use object_store::local::LocalFileSystem;
use tokio::runtime::Handle;
use vigie_archive::{Archive, Archived, Content, Row, TOPICS, read_rows};
use vigie_clock::{Clock, ManualClock, SystemClock, Timestamp};
use vigie_daemon::Context;
use vigie_kafka_client::{Admin, OutgoingRecord, Start, TopicPartition, read_to_end};
use vigie_schemas::{AssetMention, AuthorKeyRecord, RawPost, ScoredPost, Topic};
use vigie_sinks::{Archiver, RoundError};

use self::breaking::{Break, Breaking};
use crate::harness::Pipeline;
use crate::records;

const TOPIC: &str = Topic::PostsRaw.name();
const POSTS: i64 = 400;
/// In one partition.
const SCORED: i64 = 60;

/// Of both topics.
type Rows = (Vec<Row<RawPost>>, Vec<Row<ScoredPost>>);

fn post(n: i64, author: &str) -> RawPost {
    let now = SystemClock::default().now();
    RawPost {
        post_id: format!("reddit:{n}"),
        source: "r-bitcoin".to_owned(),
        kind: "reddit".to_owned(),
        url: Some(format!("https://example.org/u/{author}/{n}")),
        title: Some(format!("Title by {author}")),
        text: format!("text {n} by {author}"),
        published_at: now,
        fetched_at: now,
        author_id: Some(author.to_owned()),
        author_sealed: Some(vec![1, 0, 255]),
        quoted: (n % 3 == 0).then(|| "quoted".to_owned()),
        ..RawPost::default()
    }
}

/// About no asset, or up to three, of which the second has the mood of the post.
fn scored(n: i64, author: &str) -> ScoredPost {
    let RawPost { post_id, url, title, text, fetched_at, author_id, author_sealed, .. } = post(n, author);
    let score = f64::from(i32::try_from(n).unwrap()) / 1024.0;
    let mention = |(asset, score): (&str, Option<f64>)| {
        let (asset, label) = (asset.to_owned(), score.map(|_| "positive".to_owned()));
        AssetMention { asset, evidence: "ticker".to_owned(), label, score }
    };
    let assets = [("BTC", Some(score)), ("ETH", None), ("SOL", Some(-score))].map(mention);
    let reasons = ["promotion", "link_only"].map(str::to_owned);
    ScoredPost {
        post_id,
        url,
        title,
        excerpt: text,
        fetched_at,
        author_id,
        author_sealed,
        score: (n % 7 > 0).then_some(score),
        assets: assets.into_iter().take(usize::try_from(n % 4).unwrap()).collect(),
        spam_reasons: reasons.into_iter().take(usize::try_from(n % 3).unwrap()).collect(),
        fingerprint: (n % 2 == 0).then_some(-n),
        deleted_at: (n % 9 == 0).then_some(fetched_at),
        ..records::post(n)
    }
}

fn author(n: i64) -> &'static str {
    if n % 2 == 0 { "alice" } else { "bob" }
}

/// Posts in several transactions; of each topic one that was deleted, and one that cannot be decoded.
async fn publish(pipeline: &Pipeline, from: i64) {
    for chunk in 0..4 {
        let first = from + chunk * POSTS / 4;
        let posts = (first..first + POSTS / 4).map(|n| post(n, author(n)));
        let posts: Vec<_> = posts.map(|post| (post.post_id.clone(), post)).collect();
        pipeline.publish_all(Topic::PostsRaw, &posts).await;
    }
    let mut records = Vec::new();
    for post in (from..from + SCORED).map(|n| scored(n, author(n))) {
        records.push(pipeline.encode(Topic::InsightsSentiment, &post.post_id, &post).await);
    }
    for topic in TOPICS.map(Topic::name) {
        let deleted =
            OutgoingRecord { topic: topic.to_owned(), key: Some("reddit:1".into()), ..OutgoingRecord::default() };
        records.extend([deleted, OutgoingRecord::new(topic, "garbage", "no avro")]);
    }
    for record in records.iter_mut().filter(|record| record.topic != TOPIC) {
        record.partition = Some(0);
    }
    pipeline.publish(records).await;
}

/// A context in which the hour of now has passed.
fn later() -> Context {
    Context::new(Arc::new(ManualClock::new(SystemClock::default().now().saturating_add(Duration::from_secs(3600)))))
}

async fn round(pipeline: &Pipeline, archive: &Archive) -> Result<(), RoundError> {
    let (kafka, codec, archive) = (pipeline.kafka.clone(), pipeline.codec.clone(), archive.clone());
    let handle = Handle::current();
    let work = move || Archiver::new(kafka, codec, archive, &later())?.round(&handle);
    tokio::task::spawn_blocking(work).await.unwrap()
}

/// Everything that the manifests name. Each is checked against itself.
async fn archived(archive: &Archive) -> Rows {
    (archived_of(archive).await, archived_of(archive).await)
}

async fn archived_of<R: Archived>(archive: &Archive) -> Vec<Row<R>> {
    let (topic, mut rows) = (R::TOPIC.name(), Vec::new());
    for partition in archive.partitions(topic).await.unwrap() {
        let manifest = archive.load(topic, partition).await.unwrap().unwrap().manifest;
        assert_eq!(manifest.flaws(), Vec::<String>::new());
        for file in &manifest.files {
            let bytes = archive.get(file).await.unwrap();
            rows.extend(read_rows(&file.path, bytes).unwrap().map(Result::unwrap));
        }
    }
    rows
}

/// What the topics hold, as the archive should.
async fn in_kafka(pipeline: &Pipeline) -> Rows {
    (in_topic(pipeline).await, in_topic(pipeline).await)
}

async fn in_topic<R: Archived>(pipeline: &Pipeline) -> Vec<Row<R>> {
    let kafka = pipeline.kafka.clone();
    let read = move || {
        read_to_end(&kafka, R::TOPIC.name(), &Start::Beginning).unwrap().map(Result::unwrap).collect::<Vec<_>>()
    };
    let mut rows = Vec::new();
    for record in tokio::task::spawn_blocking(read).await.unwrap() {
        let content = match (&record.key, &record.value) {
            (Some(key), None) => Content::Deleted(String::from_utf8(key.to_vec()).unwrap()),
            (_, Some(value)) => match pipeline.codec.decode::<R>(value).await {
                Ok(post) => Content::Post(Box::new(post)),
                Err(_) => Content::Undecoded { key: record.key.clone(), value: record.value.clone() },
            },
            (None, None) => panic!("nobody wrote that"),
        };
        let (partition, offset, appended_at) = (record.partition, record.offset, record.timestamp);
        rows.push(Row { partition, offset, appended_at, content });
    }
    rows.sort_by_key(|row| (row.partition, row.offset));
    rows
}

/// Whether `part` is of `all`, and nothing of it twice.
fn is_part<R: PartialEq>(part: &[Row<R>], all: &[Row<R>]) -> bool {
    let names: BTreeSet<_> = part.iter().map(|row| (row.partition, row.offset)).collect();
    names.len() == part.len() && part.iter().all(|row| all.contains(row))
}

fn folder() -> (tempfile::TempDir, Arc<dyn ObjectStore>) {
    let folder = tempfile::tempdir().unwrap();
    let store = LocalFileSystem::new_with_prefix(folder.path()).unwrap();
    (folder, Arc::new(store))
}

/// Breaks each write of a round in turn, in each way, and goes on with another archiver on a sound store.
async fn survives_every_break(pipeline: &Pipeline, store: Arc<dyn ObjectStore>, breaks: &[Break]) {
    let expected = in_kafka(pipeline).await;
    for &how in breaks {
        for nth in 0.. {
            let prefix = format!("{how:?}-{nth}");
            let breaking = Arc::new(Breaking::new(Arc::clone(&store), how, nth));
            let outcome = round(pipeline, &Archive::on(breaking.clone(), &prefix)).await;
            let sound = Archive::on(Arc::clone(&store), &prefix);
            let half = archived(&sound).await;
            let is_part = is_part(&half.0, &expected.0) && is_part(&half.1, &expected.1);
            assert!(is_part, "{prefix}: nothing twice, and nothing that is not in the topic");
            let is_one_whole = half.0 == expected.0 || half.1 == expected.1;
            assert!(how == Break::Dies || is_one_whole, "{prefix}: the other topic is archived all the same");
            round(pipeline, &sound).await.unwrap();
            assert!(archived(&sound).await == expected, "{prefix}: all, once");
            if !breaking.is_broken() {
                outcome.unwrap();
                assert!(nth >= 10, "a file and a manifest for each partition: four of raw posts, one of scored ones");
                break;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_write_fails_each_record_is_archived_once_and_no_file_half() {
    let pipeline = Pipeline::new().await;
    publish(&pipeline, 0).await;
    let (_folder, store) = folder();
    survives_every_break(&pipeline, Arc::clone(&store), &[Break::Before, Break::Dies]).await;

    // A slow one, and a second archiver that is faster: of both only one commits.
    let slow = Arc::new(Breaking::new(Arc::clone(&store), Break::WaitsForAnother, 1));
    let (slow_archive, sound) = (Archive::on(slow.clone(), "two"), Archive::on(store, "two"));
    let first = round(&pipeline, &slow_archive);
    let second = async {
        slow.reached().await;
        round(&pipeline, &sound).await.unwrap();
        slow.go_on();
    };
    let (first, ()) = tokio::join!(first, second);
    first.unwrap();
    assert!(archived(&sound).await == in_kafka(&pipeline).await, "all, once");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_present_hour_waits_and_what_expired_unread_is_reported() {
    let pipeline = Pipeline::new().await;
    publish(&pipeline, 0).await;
    let (_folder, store) = folder();
    let archive = Archive::on(store, "");
    round(&pipeline, &archive).await.unwrap();
    let before = archived(&archive).await;
    publish(&pipeline, POSTS).await;

    // In the hour of now there is nothing to do.
    let (kafka, codec, copy, ctx) =
        (pipeline.kafka.clone(), pipeline.codec.clone(), archive.clone(), Context::system());
    let handle = Handle::current();
    let now = ctx.clock.now();
    let work = move || Archiver::new(kafka, codec, copy, &ctx).unwrap().round(&handle);
    tokio::task::spawn_blocking(work).await.unwrap().unwrap();
    let hour = Duration::from_secs(3600);
    let present = archived(&archive).await;
    let passed = |at: Timestamp| at < now.window_start(hour);
    assert!(present.0.iter().all(|row| passed(row.appended_at) || before.0.contains(row)));
    assert!(present.1.iter().all(|row| passed(row.appended_at) || before.1.contains(row)));

    // Kafka removes what the archive has not got, in one partition.
    let at = TopicPartition::new(TOPIC, 0);
    let manifest = archive.load(TOPIC, 0).await.unwrap().unwrap().manifest;
    let oldest = manifest.next_offset + 7;
    let admin = Admin::new(&pipeline.kafka).unwrap();
    tokio::task::block_in_place(|| admin.delete_records(&[(at, oldest)].into())).unwrap();
    round(&pipeline, &archive).await.unwrap();
    let stored = archive.load(TOPIC, 0).await.unwrap().unwrap();
    let gap = vigie_archive::Span { first_offset: manifest.next_offset, next_offset: oldest };
    assert_eq!((&stored.manifest.expired[..], stored.manifest.flaws()), (&[gap][..], Vec::new()));
    let (rest, all_scored) = in_kafka(&pipeline).await;
    let expected: Vec<_> = before.0.into_iter().chain(rest).filter(|row| row.partition == 0).collect();
    let (mut found, found_scored) = archived(&archive).await;
    found.retain(|row| row.partition == 0);
    assert!(found == expected, "what was archived before, and what Kafka still had");
    assert!(found_scored == all_scored, "the other topic is not concerned");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_erasure_reaches_the_files_and_what_is_archived_after_it() {
    let pipeline = Pipeline::new().await;
    publish(&pipeline, 0).await;
    let at = SystemClock::default().now();
    let (folder, store) = folder();
    let archive = Archive::on(store, "");
    round(&pipeline, &archive).await.unwrap();
    assert!(archived(&archive).await == in_kafka(&pipeline).await);

    publish(&pipeline, POSTS).await;
    let old = RawPost { fetched_at: at, ..post(-2, "alice") };
    pipeline.publish_all(Topic::PostsRaw, &[(old.post_id.clone(), old)]).await;
    let old = ScoredPost { fetched_at: at, ..scored(2, "alice") };
    pipeline.publish_all(Topic::InsightsSentiment, &[(old.post_id.clone(), old)]).await;
    let erasure = AuthorKeyRecord::erasure("alice".to_owned(), at);
    let erasure = pipeline.encode(Topic::AuthorsKeys, &erasure.key(), &erasure).await;
    pipeline.publish(vec![erasure]).await;
    round(&pipeline, &archive).await.unwrap();

    let mut expected = in_kafka(&pipeline).await;
    let (mut raw, mut of_scored) = (0, 0);
    for row in &mut expected.0 {
        if let Content::Post(post) = &mut row.content
            && post.author_id.as_deref() == Some("alice")
            && post.fetched_at <= at
        {
            (post.url, post.title, post.author, post.author_sealed, post.quoted) = (None, None, None, None, None);
            post.text.clear();
            raw += 1;
        }
    }
    for row in &mut expected.1 {
        if let Content::Post(post) = &mut row.content
            && post.author_id.as_deref() == Some("alice")
            && post.fetched_at <= at
        {
            (post.url, post.title, post.author_sealed) = (None, None, None);
            post.excerpt.clear();
            of_scored += 1;
        }
    }
    assert_eq!((raw, of_scored), (POSTS / 2 + 1, SCORED / 2 + 1));
    assert!(archived(&archive).await == expected, "without the texts, and nothing else has changed");

    // The proof: nothing below the folder but what the manifests name, so the old files are gone.
    let mut named = 0;
    for topic in TOPICS.map(Topic::name) {
        for partition in archive.partitions(topic).await.unwrap() {
            named += archive.load(topic, partition).await.unwrap().unwrap().manifest.files.len();
        }
    }
    assert_eq!(files_below(folder.path()), named);
    // A round without news writes nothing.
    let stored = archive.load(TOPIC, 0).await.unwrap();
    round(&pipeline, &archive).await.unwrap();
    assert_eq!(archive.load(TOPIC, 0).await.unwrap(), stored);
}

fn files_below(folder: &std::path::Path) -> usize {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let count = |path: std::path::PathBuf| match path.is_dir() {
        true => files_below(&path),
        false => usize::from(path.extension().is_some_and(|extension| extension == "parquet")),
    };
    entries.map(count).sum()
}

/// Programs that are not ours count the same.
#[tokio::test(flavor = "multi_thread")]
async fn duckdb_and_pandas_read_what_was_archived() {
    let python = std::env::var_os("VIGIE_TEST_PYTHON").unwrap_or_else(|| "python3".into());
    let missing = std::process::Command::new(&python).args(["-c", "import duckdb, pandas, pyarrow"]).output().unwrap();
    if !missing.status.success() {
        println!("skipped: {}", String::from_utf8_lossy(&missing.stderr).lines().last().unwrap_or_default());
        return;
    }
    let pipeline = Pipeline::new().await;
    publish(&pipeline, 0).await;
    let (folder, store) = folder();
    let archive = Archive::on(store, "");
    round(&pipeline, &archive).await.unwrap();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/python/parquet_check.py");
    let (rows, scored_rows) = archived(&archive).await;
    let posts: Vec<&RawPost> = rows.iter().filter_map(|row| row.content.post()).collect();
    let scored: Vec<&ScoredPost> = scored_rows.iter().filter_map(|row| row.content.post()).collect();
    let mut moods: BTreeMap<&str, (u64, u64, f64)> = BTreeMap::new();
    for mention in scored.iter().flat_map(|post| &post.assets) {
        let (mentions, labelled, sum) = moods.entry(&mention.asset).or_default();
        (*mentions, *labelled) = (*mentions + 1, *labelled + u64::from(mention.label.is_some()));
        *sum += mention.score.unwrap_or_default();
    }
    let alice = posts.iter().filter(|post| post.author_id.as_deref() == Some("alice")).count();
    let latest = posts.iter().map(|post| post.published_at).max().unwrap_or(Timestamp::MIN);
    let output = std::process::Command::new(python).arg(script).arg(folder.path()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let counted: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let expected = serde_json::json!({
        "records": rows.len(), "posts": posts.len(), "deleted": 1, "undecoded": 1, "alice": alice,
        "latest": latest.as_millis(), "offsets": rows.iter().map(|row| row.offset).sum::<i64>(),
        "text_bytes": posts.iter().map(|post| post.text.len()).sum::<usize>(),
        "scored": {
            "records": scored_rows.len(), "posts": scored.len(), "moods": moods,
            "of_no_asset": scored.iter().filter(|post| post.assets.is_empty()).count(),
            "deleted": scored.iter().filter(|post| post.deleted_at.is_some()).count(),
            "score": scored.iter().filter_map(|post| post.score).sum::<f64>(),
            "reasons": scored.iter().map(|post| post.spam_reasons.len()).sum::<usize>(),
            "input_offsets": scored.iter().map(|post| post.lineage.last_offset).sum::<i64>(),
        },
    });
    assert_eq!(counted, serde_json::json!({"duckdb": expected, "pandas": expected}));
}
