//! Replays as an operator runs them: the commands of docs/replay.md, and a run that is killed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use vigie_clock::{Clock, SystemClock};
use vigie_kafka_client::{KafkaConfig, OutgoingRecord, Publisher};
use vigie_schemas::{Codec, RawPost, RegistryConfig, Topic};

use crate::authors::{json, vigie};
use crate::up::{self, Up};

fn page() -> String {
    std::fs::read_to_string(up::root().join("docs/replay.md")).unwrap()
}

/// The blocks of a language on the page.
fn blocks<'a>(page: &'a str, language: &str) -> impl Iterator<Item = &'a str> {
    page.split(&format!("```{language}\n"))
        .skip(1)
        .map(|block| block.split("```").next().unwrap())
        .collect::<Vec<_>>()
        .into_iter()
}

/// The commands of the page, in order, as words. One that ends with `&` goes on beside those after it.
fn recipes(page: &str) -> Vec<Vec<&str>> {
    let lines = blocks(page, "sh").flat_map(str::lines);
    let commands: Vec<Vec<&str>> = lines.map(|line| line.split_whitespace().collect()).collect();
    assert!(commands.len() > 25 && commands.iter().all(|words| words[0] == "vigie"), "{commands:?}");
    commands
}

/// The folder in which the page's commands are run.
fn desk(dir: &Path, page: &str) -> PathBuf {
    let desk = dir.join("desk");
    std::fs::create_dir(&desk).unwrap();
    std::os::unix::fs::symlink(up::root().join("models"), desk.join("models")).unwrap();
    std::fs::write(desk.join("harborgate.toml"), blocks(page, "toml").next().unwrap()).unwrap();
    desk
}

fn command(cwd: &Path, data: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vigie"));
    let archive = format!("file://{}", data.join("archive").display());
    command.args(args).env("VIGIE_DATA_DIR", data).env("VIGIE_ARCHIVE_URL", archive).current_dir(cwd);
    command
}

fn start(data: &Path, args: &[&str]) -> Child {
    command(&up::root(), data, args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

/// Publishes a post whose time is a week ahead.
fn publish_mistake(up: &Up) {
    let registry = RegistryConfig::at(up.endpoint("schema_registry_url"));
    let (kafka, now) = (KafkaConfig::new(up.endpoint("kafka_brokers"), ""), SystemClock::default().now());
    let topic = Topic::PostsRaw.name();
    let text = "Bitcoin will be bought by everybody next week".to_owned();
    let post = RawPost {
        post_id: "mistaken".to_owned(),
        source: "nobody".to_owned(),
        kind: "rss".to_owned(),
        text,
        published_at: now.saturating_add(Duration::from_secs(7 * 86_400)),
        fetched_at: now,
        ..RawPost::default()
    };
    let publish = async {
        let codec = Codec::connect(&registry, "").await.unwrap();
        let value = codec.encode(topic, &post).await.unwrap();
        let record = OutgoingRecord::new(topic, Bytes::from("mistaken"), value);
        Publisher::new(&kafka, "test").publish(vec![record]).await.unwrap();
    };
    tokio::runtime::Runtime::new().unwrap().block_on(publish);
}

/// Corrects the time of the post that was exported.
fn correct(file: &Path) {
    let mut post: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    post["published_at"] = json!(SystemClock::default().now().as_millis());
    std::fs::write(file, post.to_string()).unwrap();
}

/// Runs the page's commands.
fn follow(page: &str, dir: &Path, data: &Path, up: &Up) {
    let desk = desk(dir, page);
    for words in recipes(page) {
        let args: Vec<&str> = words[1..].iter().copied().filter(|word| *word != "&").collect();
        let run = |_: &Up| command(&desk, data, &args).output().unwrap();
        match words[1..] {
            [.., "&"] => {
                let mut running = command(&desk, data, &args).spawn().unwrap();
                up.settled(|_| status(data, "slow"), |seen, _| seen["alive"] == true);
                // Ended by `cancel`, some commands later.
                std::thread::spawn(move || running.wait());
            }
            // Refused until the sink has stored all.
            ["replay", "promote", ..] => drop(up.settled(run, |output, _| output.status.success())),
            ["dlq", "export", ..] => {
                up.settled(run, |_, _| desk.join("letters/0-0.json").exists());
                correct(&desk.join("letters/0-0.json"));
            }
            ["replay", "diff", "harborgate", ..] => {
                up.settled(run, |output, _| String::from_utf8_lossy(&output.stdout).contains("\nHGC "));
            }
            _ => drop(succeeds(&run(up))),
        }
    }
}

#[track_caller]
fn succeeds(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn status(data: &Path, run: &str) -> Value {
    let output = vigie(data, &["--json", "replay", "status", run]);
    serde_json::from_slice(&output.stdout).unwrap_or(Value::Null)
}

/// A copy of the model that reads less of each text, so that it judges some differently.
fn short_sighted(dir: &Path) {
    let model = up::root().join("models/sentiment");
    std::fs::create_dir(dir).unwrap();
    for file in std::fs::read_dir(model).unwrap() {
        let path = file.unwrap().path();
        if path.extension().is_some_and(|ending| ["onnx", "json", "bin", "words"].iter().any(|kept| ending == *kept)) {
            std::fs::copy(&path, dir.join(path.file_name().unwrap())).unwrap();
        }
    }
    let described = dir.join("model.json");
    let mut model: Value = serde_json::from_slice(&std::fs::read(&described).unwrap()).unwrap();
    (model["max_tokens"], model["version"]) = (json!(8), json!("0.0.1"));
    std::fs::write(described, model.to_string()).unwrap();
}

/// How often each revision of a post of a run is on the topic.
fn times(data: &Path, run: &str) -> BTreeMap<(String, u64), u64> {
    let mut times = BTreeMap::new();
    for line in succeeds(&vigie(data, &["tail", "replays.sentiment.v1"])).lines() {
        let post: Value = serde_json::from_str(line).unwrap();
        let post = post.get("value").unwrap_or(&post);
        if post["lineage"]["run_id"] == run {
            let revision = (post["post_id"].as_str().unwrap().to_owned(), post["revision"].as_u64().unwrap_or(1));
            *times.entry(revision).or_default() += 1;
        }
    }
    times
}

#[test]
fn the_recipes_work_and_a_killed_replay_goes_on_and_another_model_differs() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let mut up = Up::start(dir.path(), &up::SAMPLE);
    up.patience = Duration::from_secs(600);
    up.wait_for("/v1/assets", |v| {
        let market = v["assets"].as_array().and_then(|assets| assets.first());
        market.is_some_and(|market| market["asset"] == "*" && market["posts_24h"].as_i64() > Some(1_000))
    });
    let range = ["--from", "12h", "--to", "2h"];
    let plan = json(&vigie(&data, &[&["--json", "replay", "plan"], &range[..]].concat()));
    assert_eq!((&plan["complete"], &plan["estimate"]["measured"]), (&json!(true), &Value::Null));
    let planned = plan["posts"].as_u64().unwrap();
    assert!(planned > 100, "{plan}");

    publish_mistake(&up);
    follow(&page(), dir.path(), &data, &up);
    let letters = json(&vigie(&data, &["--json", "dlq", "list"]));
    assert_eq!((&letters["letters"], &letters["redriven"]), (&json!(1), &json!(1)), "{letters}");
    up.wait_for("/v1/assets/BTC/posts?source=nobody", |v| v.to_string().contains("\"mistaken\""));
    assert_eq!(status(&data, "slow"), Value::Null, "removed");

    // Killed, and continued.
    let from_to = [plan["from"].as_str().unwrap(), plan["to"].as_str().unwrap()];
    let run = ["replay", "run", "--run-id", "killed", "--from", from_to[0], "--to", from_to[1]];
    let mut killed = start(&data, &[&run[..], &["--rate", "100"]].concat());
    up.settled(|_| status(&data, "killed"), |seen, _| seen["progress"]["done"].as_u64() > Some(100));
    let busy = vigie(&data, &run);
    assert!(String::from_utf8_lossy(&busy.stderr).contains("in another process"), "{busy:?}");
    killed.kill().unwrap();
    killed.wait().unwrap();
    let seen = up.settled(|_| status(&data, "killed"), |seen, _| seen["alive"] == false);
    assert_eq!(seen["state"], "running");
    assert!(succeeds(&vigie(&data, &["replay", "list"])).contains("killed (last heard of"));
    let report = json(&vigie(&data, &["--json", "replay", "run", "--run-id", "killed"]));
    assert!(report["posts"].as_u64() >= Some(planned), "{report} of {plan}");
    let times = times(&data, "killed");
    assert!(
        times.len() as u64 == report["posts"].as_u64().unwrap() && times.values().all(|times| *times == 1),
        "{times:?}"
    );

    // What the live run served of these days it serves still, and the same model agrees with it.
    let same = up.wait_for("/v1/runs/killed/diff", |diff| diff["posts"]["run"] == report["posts"]);
    assert_eq!((&same["flips"], &same["posts"]["only_run"]), (&json!([]), &json!(0)), "{same}");
    assert!(same["alerts"]["judged_run"].as_i64() > Some(0), "{same}");
    let alerts = |run: &str, v: &Value| {
        let of_run = |alert: &Value| assert_eq!(alert["run_id"], run, "{alert}");
        v["alerts"].as_array().map(|alerts| {
            alerts.iter().for_each(of_run);
            alerts.len() as u64
        })
    };
    up.wait_for("/v1/alerts?run=killed&limit=200", |v| alerts("killed", v) == report["alerts"].as_u64());
    let again = json(&vigie(&data, &[&["--json", "replay", "plan"], &range[..]].concat()));
    assert_eq!(again["estimate"]["measured"]["same_model"], true, "{again}");

    // Another model.
    let model = dir.path().join("short");
    short_sighted(&model);
    let other = [
        "--json",
        "replay",
        "run",
        "--run-id",
        "short",
        "--model",
        model.to_str().unwrap(),
        "--from",
        from_to[0],
        "--to",
        from_to[1],
    ];
    let other = json(&vigie(&data, &other));
    assert_eq!(other["model"]["version"], "0.0.1");
    up.wait_for("/v1/runs/short/diff?with=killed", |diff| diff["posts"]["both"] == report["posts"]);
    let diff = json(&vigie(&data, &["--json", "replay", "diff", "short", "killed"]));
    assert!(diff["flips"].as_array().is_some_and(|flips| !flips.is_empty()), "{diff}");
    assert!(diff["assets"][0]["shift_low"].as_f64() < diff["assets"][0]["shift_high"].as_f64(), "{diff}");
    let text = succeeds(&vigie(&data, &["replay", "diff", "short", "killed", "-n", "3"]));
    assert!(text.contains("short beside killed") && text.contains(" posts from "), "{text}");

    let finished = vigie(&data, &["replay", "run", "--run-id", "short"]);
    assert!(String::from_utf8_lossy(&finished.stderr).contains("is finished and cannot go on"), "{finished:?}");
    let gone = json(&vigie(&data, &["--json", "replay", "remove", "short"]));
    assert_eq!(gone["removed"]["stored_posts"], report["posts"]);
    assert_eq!(gone["removed"]["alerts"], other["alerts"]);
    let unknown = vigie(&data, &["replay", "diff", "short"]);
    assert_eq!(unknown.status.code(), Some(1), "{unknown:?}");
    let topics = succeeds(&vigie(&data, &["topics", "list"]));
    assert!(!topics.contains("replay."), "{topics}");
    up.stop(Duration::from_secs(30));
}
