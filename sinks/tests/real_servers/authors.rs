//! What the history keeps of authors, and what an erasure leaves of them.

use vigie_clock::Timestamp;
use vigie_kafka_client::OutgoingRecord;
use vigie_schemas::{AuthorKeyRecord, ScoredPost, Topic};

use crate::harness::Pipeline;
use crate::records::post;

const KEYS: &str = "SELECT count(*) FROM author_keys";
const TEXTS: &str = "SELECT count(*) FROM posts WHERE url IS NOT NULL AND title IS NOT NULL AND excerpt <> ''";
const STRIPPED: &str = "SELECT count(*) FROM posts WHERE url IS NULL AND title IS NULL AND excerpt = ''";
/// Authors whose handle could be opened with its key.
const HANDLES: &str = "SELECT count(*) FROM authors WHERE sealed = '\\x0100' AND sealed_at IS NOT NULL";

fn key(author: &str, dek: &str, at: Timestamp) -> (String, AuthorKeyRecord) {
    let record = AuthorKeyRecord {
        author_id: author.to_owned(),
        dek_id: Some(dek.to_owned()),
        kek_id: Some("1".to_owned()),
        wrapped_key: Some(vec![0, 1, 255]),
        at,
    };
    (record.key(), record)
}

fn by(author: &str, n: i64) -> (String, ScoredPost) {
    let title = Some("A title".to_owned());
    let written = ScoredPost { author_id: Some(author.to_owned()), author_sealed: Some(vec![1, 0]), title, ..post(n) };
    (written.post_id.clone(), written)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_erasure_takes_keys_and_texts_and_redelivered_posts_stay_without() {
    let pipeline = Pipeline::new().await;
    let sink = pipeline.start_postgres();
    let erased_at = by("alice", 5).1.fetched_at;
    let keys = [key("alice", "d1", erased_at), key("alice", "d2", erased_at), key("bob", "d3", erased_at)];
    pipeline.publish_all(Topic::AuthorsKeys, &keys).await;
    let posts: Vec<_> = (0..5).map(|n| by("alice", n)).chain((5..8).map(|n| by("bob", n))).collect();
    pipeline.publish_all(Topic::InsightsSentiment, &posts).await;
    pipeline.until_number(KEYS, 3).await;
    pipeline.until_number(TEXTS, 8).await;
    assert_eq!(pipeline.number(HANDLES).await, 2);

    // As the command does it: tombstones for the keys, and the erasure itself, which outlives them.
    let tombstone = |key: &str| OutgoingRecord {
        topic: Topic::AuthorsKeys.name().to_owned(),
        key: Some(key.to_owned().into()),
        ..OutgoingRecord::default()
    };
    let erasure = AuthorKeyRecord::erasure("alice".to_owned(), erased_at);
    let erasure = pipeline.encode(Topic::AuthorsKeys, &erasure.key(), &erasure).await;
    pipeline.publish(vec![tombstone("alice/d1"), tombstone("alice/d2"), erasure]).await;
    pipeline.until_number(KEYS, 1).await;
    pipeline.until_number(STRIPPED, 5).await;
    assert_eq!(pipeline.number(TEXTS).await, 3, "another author's posts are untouched");
    assert_eq!(pipeline.number(HANDLES).await, 1, "and so is the handle");
    assert_eq!(pipeline.number("SELECT count(*) FROM posts WHERE author_id = 'alice'").await, 5, "they still count");

    // A replay reads old posts again, and a producer that has not heard of it sends an old key again; what is new is new.
    let mut replayed = by("alice", 1);
    replayed.1.lineage.run_id = "run-1".to_owned();
    pipeline.publish_all(Topic::ReplaysSentiment, &[replayed]).await;
    let later = erased_at.saturating_add(std::time::Duration::from_millis(1));
    pipeline.publish_all(Topic::AuthorsKeys, &[key("alice", "d1", erased_at), key("alice", "d4", later)]).await;
    pipeline.publish_all(Topic::InsightsSentiment, &[by("alice", 9)]).await;
    pipeline.until_number(STRIPPED, 6).await;
    pipeline.until_number(TEXTS, 4).await;
    assert_eq!(pipeline.number(HANDLES).await, 2, "what was published later has its own");
    pipeline.until_number("SELECT count(*) FROM author_keys WHERE author_id = 'alice' AND dek_id = 'd4'", 1).await;
    assert_eq!(pipeline.number(KEYS).await, 2);
    assert!(pipeline.dead_letters(Topic::AuthorsKeys).await.is_empty());
    sink.stop().await;
}
