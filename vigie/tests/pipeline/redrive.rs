//! Dead letters sent again, by a command that is killed on the way.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use vigie_clock::{Clock, SystemClock};
use vigie_kafka_client::{KafkaConfig, OutgoingRecord, ProducerOptions, Start, TransactionalProducer, read_to_end};
use vigie_schemas::Topic;

use crate::authors::{json, vigie};
use crate::up::{self, Up};

const LETTERS: u64 = 300;
const TOPIC: &str = Topic::PostsRaw.name();

fn poison(kafka: &KafkaConfig) {
    let options =
        ProducerOptions { transactional_id: "poison".to_owned(), transaction_timeout: Duration::from_secs(30) };
    let mut producer = TransactionalProducer::new(kafka, &options).unwrap();
    producer.begin().unwrap();
    for n in 0..LETTERS {
        let value = Bytes::from(format!("no post {n}"));
        producer.send(&OutgoingRecord::new(TOPIC, Bytes::from(format!("poison-{n}")), value)).unwrap();
    }
    producer.commit().unwrap();
}

/// How often each poisoned value is on the topic.
fn times(kafka: &KafkaConfig) -> BTreeMap<Bytes, u64> {
    let mut times = BTreeMap::new();
    for record in read_to_end(kafka, TOPIC, &Start::Beginning).unwrap() {
        let value = record.unwrap().value.unwrap();
        if value.starts_with(b"no post") {
            *times.entry(value).or_default() += 1;
        }
    }
    times
}

/// Letters with poisoned values, and how many of them were redriven.
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
fn dead_letters_are_sent_again_once_each_although_the_command_is_killed_and_one_is_put_right() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let sources = dir.path().join("sources.toml");
    let silent = "[[source]]\nid = \"nobody\"\nkind = \"rss\"\nurl = \"http://127.0.0.1:9/feed.xml\"\nevery_seconds = 3600\nlocal = true\n";
    std::fs::write(&sources, silent).unwrap();
    let mut up = Up::start(dir.path(), &["--sources", sources.to_str().unwrap()]);
    let kafka = KafkaConfig::new(up.endpoint("kafka_brokers"), "");
    poison(&kafka);
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

    let shown = vigie(&data, &["dlq", "show", TOPIC, "--raw"]);
    let last: Value = String::from_utf8(shown.stdout)
        .unwrap()
        .lines()
        .next_back()
        .map(|line| serde_json::from_str(line).unwrap())
        .unwrap();
    assert_eq!((&last["attempts"], &last["value"]), (&json!(1), &Value::Null));
    let now = SystemClock::default().now().as_millis();
    let post = json!({
        "post_id": last["key"], "source": "nobody", "kind": "rss", "text": "Bitcoin was put right, and everybody is happy",
        "published_at": now, "fetched_at": now,
    });
    let file = dir.path().join("post.json");
    std::fs::write(&file, post.to_string()).unwrap();
    let letter = last["letter"].as_str().unwrap();
    let right = ["--json", "dlq", "redrive", TOPIC, "--letter", letter, "--value", file.to_str().unwrap()];
    assert_eq!(json(&vigie(&data, &right))["redriven"], 1);
    let posts = up.wait_for("/v1/assets/BTC/posts", |v| v["posts"].as_array().is_some_and(|posts| !posts.is_empty()));
    assert_eq!(posts["posts"][0]["post_id"], last["key"]);
    up.stop(Duration::from_secs(30));
}
