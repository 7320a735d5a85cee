//! What happens when something goes wrong.

use std::collections::BTreeSet;

use bytes::Bytes;
use vigie_clock::Timestamp;
use vigie_daemon::SecretArg;
use vigie_kafka_client::OutgoingRecord;
use vigie_schemas::{DeadLetter, ScoredPost, Topic};
use vigie_sinks::{BatchOptions, PostgresSinkConfig, run_postgres};

use crate::harness::{Pipeline, Service, eventually};
use crate::proxy::Proxy;
use crate::records::post;

fn posts(range: std::ops::Range<i64>) -> Vec<(String, ScoredPost)> {
    range.map(|n| (format!("rss:{n}"), post(n))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn undecodable_and_invalid_records_go_to_the_dead_letter_queue_and_the_partition_moves_on() {
    let pipeline = Pipeline::new().await;
    let topic = Topic::InsightsSentiment;
    let at_0 = |record: OutgoingRecord| OutgoingRecord { partition: Some(0), ..record };
    let mut odd = post(3);
    odd.score = Some(f64::NAN);
    // As large as a record may be, and nothing that can be compressed: a letter with all of it would be refused.
    let huge: Vec<u8> =
        (1..262_050_u32).flat_map(|n| n.wrapping_mul(2_654_435_761).rotate_left(n % 31).to_le_bytes()).collect();
    let records = vec![
        at_0(pipeline.encode(topic, "rss:1", &post(1)).await),
        at_0(OutgoingRecord::new(topic.name(), "junk", Bytes::from_static(b"no avro"))),
        at_0(OutgoingRecord { value: None, ..OutgoingRecord::new(topic.name(), "gone", Bytes::new()) }),
        at_0(OutgoingRecord::new(topic.name(), "unknown schema", Bytes::from_static(&[0, 0x7f, 0, 0, 1, 2, 3]))),
        at_0(pipeline.encode(topic, "rss:3", &odd).await),
        at_0(OutgoingRecord::new(topic.name(), "huge", Bytes::from(huge))),
        at_0(pipeline.encode(topic, "rss:2", &post(2)).await),
    ];
    let published = pipeline.publish(records).await;
    let sink = pipeline.start_postgres();
    pipeline.until_number("SELECT count(*) FROM posts WHERE post_id IN ('rss:1', 'rss:2')", 2).await;
    sink.stop().await;

    let letters = pipeline.dead_letters(topic).await;
    let found: Vec<(i64, &str)> = letters.iter().map(|letter| (letter.offset, letter.reason.as_str())).collect();
    let offset = |i: usize| published[i].1;
    assert_eq!(
        found,
        [
            (offset(1), "undecodable"),
            (offset(2), "undecodable"),
            (offset(3), "undecodable"),
            (offset(4), "invalid"),
            (offset(5), "undecodable")
        ]
    );
    assert_eq!(letters[4].value, None);
    assert!(letters[4].detail.ends_with("(the value of 1048196 bytes is left out)"), "{}", letters[4].detail);
    assert_eq!(letters[0].value.as_deref(), Some(b"no avro".as_slice()));
    assert_eq!((letters[0].stage.as_str(), letters[0].key.as_deref()), ("sink-postgres", Some(b"junk".as_slice())));
    assert!(letters[3].detail.contains("score is NaN"), "{}", letters[3].detail);
    assert_eq!(pipeline.number("SELECT count(*) FROM posts").await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_and_their_marks_reach_their_table_and_what_is_no_letter_is_one_about_itself() {
    let pipeline = Pipeline::new().await;
    let queue = Topic::PostsRaw.dead_letter_queue().unwrap();
    let mut letters = Vec::new();
    for (n, detail) in ["torn", "a\0b"].into_iter().enumerate() {
        let letter = DeadLetter {
            topic: Topic::PostsRaw.name().to_owned(),
            partition: 3,
            offset: n as i64,
            timestamp: Timestamp::from_millis(1_652_100_000_000),
            key: Some(vec![0xff]),
            value: Some(b"no avro\0".to_vec()),
            stage: "sentiment".to_owned(),
            reason: "undecodable".to_owned(),
            detail: detail.to_owned(),
            failed_at: Timestamp::from_millis(1_652_100_001_000),
            version: None,
        };
        letters.push(OutgoingRecord::new(&queue, "k", pipeline.codec.encode(&queue, &letter).await.unwrap()));
    }
    letters.push(OutgoingRecord::new(&queue, "0:7", Bytes::from_static(b"no letter")));
    let at = pipeline.publish(letters).await;
    let key = Some(format!("{}:{}", at[0].0, at[0].1).into());
    let headers = [("vigie-redriven-to", "2:40"), ("vigie-redrive-attempt", "2")];
    let headers = headers.map(|(name, value)| (name.to_owned(), Bytes::from(value))).into();
    let mark = OutgoingRecord { topic: queue, partition: Some(0), key, headers, ..OutgoingRecord::default() };
    pipeline.publish(vec![mark]).await;
    let sink = pipeline.start_postgres();
    let letters = "SELECT count(*) FROM dead_letters WHERE topic = 'posts.raw.v1' AND ";
    let of_record = "(partition, key, value) = (3, '\\xff', '\\x6e6f206176726f00') AND ";
    for (condition, expected) in [
        (
            "redriven_at > failed_at AND \"offset\" = 0 AND detail = 'torn' \
             AND (redriven_partition, redriven_offset, attempt) = (2, 40, 2)",
            1,
        ),
        ("redriven_at IS NULL AND \"offset\" = 1 AND detail = 'a\u{fffd}b'", 1),
    ] {
        pipeline.until_number(&format!("{letters}{of_record}{condition}"), expected).await;
    }
    let odd = "(stage, reason, \"offset\") = ('sink-postgres', 'undecodable', letter_offset) AND value = 'no letter'";
    pipeline.until_number(&format!("{letters}{odd}"), 1).await;
    sink.stop().await;
    // Read again from the beginning, nothing changes.
    pipeline.execute("UPDATE sink_offsets SET next_offset = 0 WHERE topic LIKE '%.dlq'", &[]).await;
    let again = pipeline.start_postgres();
    pipeline
        .until_number("SELECT count(*) FROM sink_offsets WHERE topic LIKE '%posts.raw.v1.dlq' AND next_offset > 3", 1)
        .await;
    again.stop().await;
    pipeline.until_number(&format!("{letters} true"), 3).await;
    pipeline.until_number(&format!("{letters} redriven_at IS NOT NULL"), 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_the_database_refuses_is_found_and_put_aside_alone() {
    let pipeline = Pipeline::new().await;
    pipeline.execute("ALTER TABLE stored_posts ADD CHECK (post_id <> 'rss:77')", &[]).await;
    pipeline.publish_all(Topic::InsightsSentiment, &posts(0..200)).await;
    let sink = pipeline.start_postgres();
    pipeline.until_number("SELECT count(*) FROM posts", 199).await;
    sink.stop().await;
    let letters = pipeline.dead_letters(Topic::InsightsSentiment).await;
    assert_eq!(letters.len(), 1);
    assert_eq!((letters[0].key.as_deref(), letters[0].reason.as_str()), (Some(b"rss:77".as_slice()), "rejected"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_of_postgresql_is_waited_out() {
    let pipeline = Pipeline::new().await;
    let proxy = Proxy::to(pipeline.postgres_server()).await;
    let config = pipeline.postgres_config_through(proxy.port);
    let sink = Service::start(|ctx| tokio::spawn(run_postgres(config.check().unwrap(), ctx)));
    pipeline.publish_all(Topic::InsightsSentiment, &posts(0..100)).await;
    pipeline.until_number("SELECT count(*) FROM posts", 100).await;
    for round in 1..=3 {
        proxy.cut();
        pipeline.publish_all(Topic::InsightsSentiment, &posts(round * 100..round * 100 + 100)).await;
        eventually("the outage is noticed", async || if sink.ready() { Err("ready") } else { Ok(()) }).await;
        assert_eq!(pipeline.number("SELECT count(*) FROM posts").await, round * 100);
        proxy.mend();
        pipeline.until_number("SELECT count(*) FROM posts", round * 100 + 100).await;
        eventually("it recovers", async || if sink.ready() { Ok(()) } else { Err("not ready") }).await;
    }
    assert!(sink.metric("vigie_sinks_retries_total") >= 3.0);
    assert_eq!(sink.metric("vigie_sinks_records_total"), 400.0);
    sink.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shutdown_during_an_outage_ends_in_time_and_loses_nothing() {
    let pipeline = Pipeline::new().await;
    let proxy = Proxy::to(pipeline.postgres_server()).await;
    let config = pipeline.postgres_config_through(proxy.port);
    let sink = Service::start(|ctx| tokio::spawn(run_postgres(config.check().unwrap(), ctx)));
    pipeline.publish_all(Topic::InsightsSentiment, &posts(0..10)).await;
    pipeline.until_number("SELECT count(*) FROM posts", 10).await;
    proxy.cut();
    pipeline.publish_all(Topic::InsightsSentiment, &posts(10..20)).await;
    eventually("the outage is noticed", async || if sink.ready() { Err("ready") } else { Ok(()) }).await;
    sink.stop().await;
    let sink = pipeline.start_postgres();
    pipeline.until_number("SELECT count(*) FROM posts", 20).await;
    sink.stop().await;
}

/// Rows and offsets are seen together or not at all, whenever one looks and however often the sink is torn from its database.
#[tokio::test(flavor = "multi_thread")]
async fn offsets_commit_with_their_rows() {
    let pipeline = Pipeline::new().await;
    let all = posts(0..3000);
    let mut places = Vec::new();
    for part in all.chunks(500) {
        let published = pipeline.publish_all(Topic::InsightsSentiment, part).await;
        places.extend(part.iter().map(|(id, _)| id.clone()).zip(published));
    }
    let batch = BatchOptions { batch_records: 37, linger_ms: 0, ..BatchOptions::default() };
    let config = PostgresSinkConfig { batch, ..pipeline.postgres_config() };
    let sink = Service::start(|ctx| tokio::spawn(run_postgres(config.check().unwrap(), ctx)));
    let snapshot = "SELECT (SELECT coalesce(json_agg(post_id), '[]') FROM posts),
        (SELECT coalesce(json_object_agg(partition, next_offset), '{}') FROM sink_offsets WHERE topic = 'insights.sentiment.v1')";
    let (mut partial, mut torn_at) = (0, 0);
    loop {
        let row = pipeline.db().await.query_one(snapshot, &[]).await.unwrap();
        let stored: BTreeSet<String> = serde_json::from_value(row.get(0)).unwrap();
        let offsets: serde_json::Value = row.get(1);
        let passed =
            |(partition, offset): (i32, i64)| offsets[partition.to_string()].as_i64().is_some_and(|next| offset < next);
        let expected: BTreeSet<String> =
            places.iter().filter(|(_, at)| passed(*at)).map(|(id, _)| id.clone()).collect();
        assert_eq!(stored, expected);
        if stored.len() == all.len() {
            break;
        }
        if stored.len() < torn_at + 100 {
            tokio::task::yield_now().await;
            continue;
        }
        torn_at = stored.len();
        partial += 1;
        let tear = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
            WHERE application_name = 'sink-postgres' AND datname = current_database()";
        pipeline.number(tear).await;
    }
    assert!(partial > 5, "the sink was torn off {partial} times only");
    sink.stop().await;
    assert_eq!(pipeline.number("SELECT count(*) FROM posts").await, 3000);
}

#[tokio::test(flavor = "multi_thread")]
async fn instances_take_over_from_each_other_without_loss_or_repetition() {
    let pipeline = Pipeline::new().await;
    let first = pipeline.start_postgres();
    pipeline.publish_all(Topic::InsightsSentiment, &posts(0..500)).await;
    pipeline.until_number("SELECT count(*) FROM posts", 500).await;
    let second = pipeline.start_postgres();
    eventually("the second has partitions and writes", async || {
        pipeline.publish_all(Topic::InsightsSentiment, &posts(500..600)).await;
        let written = second.metric("vigie_sinks_records_total");
        if written > 0.0 { Ok(()) } else { Err(written) }
    })
    .await;
    first.stop().await;
    pipeline.publish_all(Topic::InsightsSentiment, &posts(600..1000)).await;
    pipeline.until_number("SELECT count(*) FROM posts", 1000).await;
    assert_eq!(second.metric("vigie_sinks_dead_letters_total"), 0.0);
    second.stop().await;
}

/// Someone else moved the offsets: what a zombie would find.
#[tokio::test(flavor = "multi_thread")]
async fn a_sink_whose_offsets_were_moved_reads_on_from_there() {
    let pipeline = Pipeline::new().await;
    let sink = pipeline.start_postgres();
    pipeline.publish_all(Topic::InsightsSentiment, &posts(0..50)).await;
    pipeline.until_number("SELECT count(*) FROM posts", 50).await;
    pipeline
        .db()
        .await
        .batch_execute(
            "BEGIN; DELETE FROM stored_posts; DELETE FROM post_assets; UPDATE sink_offsets SET next_offset = 0; COMMIT",
        )
        .await
        .unwrap();
    pipeline.publish_all(Topic::InsightsSentiment, &posts(50..60)).await;
    pipeline.until_number("SELECT count(*) FROM posts", 60).await;
    assert!(sink.metric("vigie_sinks_conflicts_total") >= 1.0);
    sink.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_database_is_said_plainly_with_exit_code_69() {
    let pipeline = Pipeline::new().await;
    let config = PostgresSinkConfig {
        postgres_url: SecretArg::text("postgres://vigie:hunter2@127.0.0.1:1/vigie"),
        ..pipeline.postgres_config()
    };
    let error =
        Service::start(|ctx| tokio::spawn(run_postgres(config.check().unwrap(), ctx))).ended().await.unwrap_err();
    assert_eq!(error.exit_code(), 69);
    let text = error.chain();
    assert!(text.contains("127.0.0.1:1") && !text.contains("hunter2"), "{text}");
}
