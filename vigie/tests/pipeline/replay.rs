//! Replays as an operator runs them: the commands of docs/replay.md, and a run that is killed.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use crate::authors::{json, vigie};
use crate::up::{self, Up};

/// The commands of the page, in order, as words. One that ends with `&` goes on beside those after it.
fn recipes() -> Vec<Vec<String>> {
    let page = std::fs::read_to_string(up::root().join("docs/replay.md")).unwrap();
    let mut commands = Vec::new();
    for block in page.split("```sh\n").skip(1) {
        let block = block.split("```").next().unwrap();
        commands.extend(block.lines().map(|line| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>()));
    }
    assert!(commands.len() > 10 && commands.iter().all(|words| words[0] == "vigie"), "{commands:?}");
    commands
}

fn start(data: &Path, args: &[&str]) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vigie"));
    command.args(args).env("VIGIE_DATA_DIR", data).current_dir(up::root());
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
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
        if path.extension().is_some_and(|ending| ending == "onnx" || ending == "json" || ending == "txt") {
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
    let mut up = Up::start(dir.path(), &["--sample"]);
    up.wait_for("/v1/assets", |v| {
        let market = v["assets"].as_array().and_then(|assets| assets.first());
        market.is_some_and(|market| market["asset"] == "*" && market["posts_24h"].as_i64() > Some(1_000))
    });
    let range = ["--from", "20h", "--to", "2h"];
    let plan = json(&vigie(&data, &[&["--json", "replay", "plan"], &range[..]].concat()));
    assert_eq!((&plan["complete"], &plan["estimate"]["measured"]), (&json!(true), &Value::Null));
    let planned = plan["posts"].as_u64().unwrap();
    assert!(planned > 100, "{plan}");

    for words in recipes() {
        let args: Vec<&str> = words[1..].iter().map(String::as_str).filter(|word| *word != "&").collect();
        if words.last().is_some_and(|word| word == "&") {
            let mut running = start(&data, &args);
            up.settled(|_| status(&data, "slow"), |seen, _| seen["alive"] == true);
            // Ended by `cancel`, some commands later.
            std::thread::spawn(move || running.wait());
        } else {
            succeeds(&vigie(&data, &args));
        }
    }
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
    let unknown = vigie(&data, &["replay", "diff", "short"]);
    assert_eq!(unknown.status.code(), Some(1), "{unknown:?}");
    let topics = succeeds(&vigie(&data, &["topics", "list"]));
    assert!(!topics.contains("replay."), "{topics}");
    up.stop(Duration::from_secs(30));
}
