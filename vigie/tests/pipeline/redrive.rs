//! Dead letters sent again, by a command that is killed on the way.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use vigie_clock::{Clock, SystemClock, Timestamp};
use vigie_kafka_client::{KafkaConfig, OutgoingRecord, ProducerOptions, Start, TransactionalProducer, read_to_end};
use vigie_schemas::{Codec, RawPost, RegistryConfig, Topic};

use crate::authors::{json, vigie};
use crate::up::{self, Up};

const LETTERS: u64 = 1000;
const TOPIC: &str = Topic::PostsRaw.name();

/// Records of five kinds that no topology takes, as many of each.
fn poison(up: &Up, kafka: &KafkaConfig) {
    let registry = RegistryConfig::at(up.endpoint("schema_registry_url"));
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let codec = runtime.block_on(Codec::connect(&registry, "")).unwrap();
    let now = SystemClock::default().now();
    let post = |post_id: String, published_at: Timestamp| {
        let (source, kind, text) = ("nobody".to_owned(), "rss".to_owned(), format!("{post_id} is about Bitcoin"));
        let post = RawPost { post_id, source, kind, text, published_at, fetched_at: now, ..RawPost::default() };
        runtime.block_on(codec.encode(TOPIC, &post)).unwrap()
    };
    let options =
        ProducerOptions { transactional_id: "poison".to_owned(), transaction_timeout: Duration::from_secs(30) };
    let mut producer = TransactionalProducer::new(kafka, &options).unwrap();
    producer.begin().unwrap();
    for n in 0..LETTERS {
        let key = format!("poison-{n}");
        let value = match n % 5 {
            0 => b"no avro".to_vec(),
            1 => vec![0, 0x7f, 0, 0, 1],
            2 => post(key.clone(), now)[..9].to_vec(),
            3 => post("another".to_owned(), now),
            _ => post(key.clone(), now.saturating_add(Duration::from_secs(7 * 86_400))),
        };
        producer.send(&OutgoingRecord::new(TOPIC, Bytes::from(key), value)).unwrap();
    }
    producer.commit().unwrap();
}

/// How often each poisoned record is on the topic.
fn times(kafka: &KafkaConfig) -> BTreeMap<Bytes, u64> {
    let mut times = BTreeMap::new();
    for record in read_to_end(kafka, TOPIC, &Start::Beginning).unwrap() {
        let key = record.unwrap().key.unwrap();
        if key.starts_with(b"poison") {
            *times.entry(key).or_default() += 1;
        }
    }
    times
}

/// Letters, and how many of them were redriven.
fn letters(data: &Path) -> (u64, u64) {
    let output = vigie(data, &["--json", "dlq", "list"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut counts = (0, 0);
    for line in String::from_utf8(output.stdout).unwrap().lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        counts.0 += line["letters"].as_u64().unwrap();
        counts.1 += line["redriven"].as_u64().unwrap();
    }
    counts
}

fn start(data: &Path, args: &[&str]) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vigie"));
    command.args(args).env("VIGIE_DATA_DIR", data).current_dir(up::root());
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

#[test]
fn a_thousand_dead_letters_of_five_kinds_are_sent_again_once_each_although_the_command_is_killed_and_one_is_put_right()
{
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let sources = dir.path().join("sources.toml");
    let silent = "[[source]]\nid = \"nobody\"\nkind = \"rss\"\nurl = \"http://127.0.0.1:9/feed.xml\"\nevery_seconds = 3600\nlocal = true\n";
    std::fs::write(&sources, silent).unwrap();
    let mut up = Up::start(dir.path(), &["--sources", sources.to_str().unwrap()]);
    let kafka = KafkaConfig::new(up.endpoint("kafka_brokers"), "");
    poison(&up, &kafka);
    up.settled(|_| letters(&data), |counts, _| *counts == (LETTERS, 0));

    let dry = json(&vigie(&data, &["--json", "dlq", "redrive", TOPIC, "--dry-run"]));
    assert_eq!((&dry["redriven"], &dry["dry_run"]), (&json!(LETTERS), &json!(true)));
    assert_eq!(letters(&data).1, 0);

    let sent = |_: &Up| times(&kafka).values().sum::<u64>() - LETTERS;
    let mut killed = start(&data, &["dlq", "redrive", TOPIC, "--rate", "40"]);
    up.settled(sent, |sent, _| *sent > 20);
    killed.kill().unwrap();
    killed.wait().unwrap();
    let rest = json(&vigie(&data, &["--json", "dlq", "redrive", TOPIC, "--max-attempts", "1"]));
    assert!(rest["redriven"].as_u64().unwrap() < LETTERS - 20, "{rest}");
    assert!(times(&kafka).values().all(|times| *times == 2), "{:?}", times(&kafka));

    // They fail again, and are left alone from then on.
    up.settled(|_| letters(&data), |counts, _| *counts == (2 * LETTERS, LETTERS));
    let looping = json(&vigie(&data, &["--json", "dlq", "redrive", TOPIC, "--max-attempts", "1"]));
    assert_eq!(looping["redriven"], 0);
    assert_eq!(looping["left_out"], json!({"at --max-attempts": LETTERS, "redriven before": LETTERS}));

    let exported = dir.path().join("letters");
    let into = exported.to_str().unwrap();
    let future = ["--json", "dlq", "export", TOPIC, into, "--reason", "future_timestamp", "--from", "1h"];
    assert_eq!(json(&vigie(&data, &future))["exported"], 2 * LETTERS / 5);
    let described = std::fs::read_to_string(exported.join("letters.jsonl")).unwrap();
    let last: Value = serde_json::from_str(described.lines().next_back().unwrap()).unwrap();
    assert_eq!((&last["attempts"], &last["redriven"], last["version"].is_string()), (&json!(1), &json!(false), true));
    let file = exported.join(last["file"].as_str().unwrap());
    let mut post: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    let now = json!(SystemClock::default().now().as_millis());
    (post["published_at"], post["fetched_at"]) = (now.clone(), now);
    std::fs::write(&file, post.to_string()).unwrap();
    let letter = last["letter"].as_str().unwrap();
    let right = ["--json", "dlq", "redrive", TOPIC, "--letter", letter, "--value", file.to_str().unwrap()];
    assert_eq!(json(&vigie(&data, &right))["redriven"], 1);
    let shown = json(&vigie(&data, &["dlq", "show", TOPIC, "--letter", letter, "--raw"]));
    assert!(shown["redriven_at"].is_string() && shown["redriven_to"].is_string(), "{shown}");

    let sum = |counts: &[Value], what: &str| counts.iter().map(|count| count[what].as_u64().unwrap()).sum::<u64>();
    up.wait_for("/v1/dead-letters?topic=posts.raw.v1&limit=1", |v| {
        let counts = v["counts"].as_array().unwrap();
        counts.len() == 3 && sum(counts, "letters") == 2 * LETTERS && sum(counts, "redriven") == LETTERS + 1
    });
    let one = up.wait_for(&format!("/v1/dead-letters/{TOPIC}/{letter}"), |v| v["redriven_at"].is_string());
    assert_eq!((&one["key"], one["raw_value"].is_string(), &one["attempts"]), (&last["key"], true, &json!(1)));
    let posts = up.wait_for("/v1/assets/BTC/posts", |v| v["posts"].as_array().is_some_and(|posts| !posts.is_empty()));
    assert_eq!(posts["posts"][0]["post_id"], last["key"]);
    up.stop(Duration::from_secs(30));
}
