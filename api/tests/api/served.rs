//! What is served after promotions and rollbacks, against an oracle: a database into which the rows that the switches point at were copied
//! one by one, as the live run. Every answer has to be the same, but for the names of the runs.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::{Value, json};

use crate::world::{Post, Window, World, at, send};

const FIRST: i64 = 720;
const END: i64 = 900;
const RUNS: [&str; 3] = ["live", "r1", "r2"];
/// When the runs were done, and when each step was taken.
const DONE: &str = "2026-11-23T08:00:00Z";
const STEPS: [&str; 6] = [
    "2026-11-23T08:30:00Z",
    "2026-11-23T09:00:00Z",
    "2026-11-23T09:30:00Z",
    "2026-11-23T10:00:00Z",
    "2026-11-23T10:30:00Z",
    "2026-11-23T11:00:00Z",
];

/// A promotion: run, range in minutes, the step that made it, and the one that took it back.
type Switch = (&'static str, i64, i64, usize, Option<usize>);

/// What each step does: nothing, promote, roll back, promote, promote another that overlaps, roll back the former.
const SWITCHES: [Switch; 3] = [("r1", 755, 805, 1, Some(2)), ("r1", 735, 820, 3, Some(5)), ("r2", 790, 855, 4, None)];

/// The run that answers for a minute after a step.
fn run_at(minute: i64, step: usize) -> &'static str {
    let counts = |(_, from, to, made, back): &&Switch| {
        *made <= step && back.is_none_or(|back| step < back) && (*from..*to).contains(&minute)
    };
    SWITCHES.iter().rev().find(counts).map_or("live", |(run, ..)| run)
}

/// A number of a run, an asset and a minute that looks like chance.
fn dice(run: &str, asset: &str, minute: i64) -> i64 {
    let text = format!("{run} {asset} {minute}");
    let hash = text
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    (hash >> 40) as i64
}

fn assets(run: &str) -> &'static [&'static str] {
    // Another table of assets finds one more often, and one less.
    match run {
        "live" => &["*", "BTC", "ETH", "SOL"],
        "r1" => &["*", "BTC", "ETH", "SOL"],
        _ => &["*", "BTC", "SOL"],
    }
}

/// Writes what `run` has of the minutes that `has` lets pass, under another name.
async fn write(world: &World, run: &str, name: &str, has: impl Fn(i64) -> bool) {
    for minute in (FIRST..END).step_by(5).filter(|minute| has(*minute)) {
        let start = at(minute);
        for asset in assets(run) {
            let posts = dice(run, asset, minute) % 9 + i64::from(minute == FIRST);
            if posts == 0 && *asset != "*" || *asset == "SOL" && run == "live" && minute > FIRST {
                continue;
            }
            let posts = if *asset == "*" { 30 + posts } else { posts };
            let positive = dice(run, asset, minute) % (posts + 1);
            let mean = Some((dice(asset, run, minute) % 200 - 100) as f64 / 100.0);
            let window = Window {
                run: name,
                labels: [posts - positive, 0, positive],
                authors: 1 + posts / 2,
                emitted: if run == "live" { &start } else { DONE },
                ..Window::of(asset, &start, posts, mean)
            };
            world.window(window).await;
        }
        let asset = assets(run)[1 + (dice(run, "post", minute) % 2) as usize];
        let score = (dice(run, "score", minute) % 200 - 100) as f64 / 100.0;
        let (id, author, text) = (format!("p{minute}"), format!("a{}", minute % 7), format!("words of {minute}"));
        let label = Some(if score < 0.0 { "negative" } else { "positive" });
        let post = Post {
            run: name,
            author: Some(&author),
            label,
            score: Some(score),
            text: &text,
            ..Post::of(asset, &id, &start)
        };
        world.post(post).await;
        if minute % 25 == 0 {
            let end = at(minute + 5);
            let alert = format!(
                "INSERT INTO alerts VALUES ('{run}/{minute}', '{name}', '{asset}', 'attention_spike', '{start}', '{end}', 9, 1, 0.9, '{start}', true, 300)"
            );
            world.sql(&alert).await;
        }
    }
}

fn paths() -> Vec<String> {
    let (from, to) = (at(FIRST), at(END));
    let mut paths: Vec<String> = Vec::new();
    for interval in ["5m", "15m", "1h", "4h", "1d", "1w"] {
        for asset in ["BTC", "SOL", "*"] {
            paths.push(format!("/v1/assets/{asset}/series?interval={interval}&from={from}&to={to}&lineage=true"));
        }
    }
    let weighted = "metrics=weighted_sentiment,posts,unique_authors&finalized=true";
    paths.push(format!("/v1/series?assets=btc,ETH,*&interval=15m&from={from}&to={to}&{weighted}"));
    for window in ["1h", "6h", "24h"] {
        paths.push(format!("/v1/trends?window={window}&at={}&posts=3", at(825)));
        paths.push(format!("/v1/market-trends?window={window}&min_voices=1"));
    }
    paths.extend(["/v1/trends", "/v1/assets", "/v1/alerts?limit=100", "/v1/alerts?asset=SOL"].map(str::to_owned));
    for asset in ["*", "BTC", "SOL"] {
        paths.push(format!("/v1/assets/{asset}/posts?limit=200"));
        paths.push(format!("/v1/assets/{asset}/posts?limit=7&unique=true&from={from}&label=positive"));
    }
    paths.push(format!("/v1/search?q=words&from={from}&to={to}&limit=100"));
    paths.push(format!("/v1/search?q=words+-730&asset=SOL&from={from}&to={to}"));
    paths.push(format!("/v1/search/volume?q=words&interval=15m&from={from}&to={to}"));
    paths
}

/// The answer, without the names of runs; of a problem the status.
async fn ask(router: axum::Router, path: &str) -> Value {
    let answer = send(router, "GET", path, &[]).await;
    if answer.status != 200 {
        return json!(answer.status.as_u16());
    }
    let mut answer = answer.json();
    strip(&mut answer);
    answer
}

fn strip(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            ["run_id", "runs", "next"].iter().for_each(|name| drop(fields.remove(*name)));
            fields.values_mut().for_each(strip);
        }
        Value::Array(items) => items.iter_mut().for_each(strip),
        _ => {}
    }
}

/// The first place where two answers differ, with what they have there. PostgreSQL adds up in whatever order.
fn difference(a: &Value, b: &Value) -> Option<String> {
    let inner =
        |name: &dyn std::fmt::Display, a: &Value, b: &Value| difference(a, b).map(|inner| format!("{name}.{inner}"));
    match (a, b) {
        (Value::Object(a), Value::Object(b)) if a.keys().eq(b.keys()) => {
            a.iter().find_map(|(name, a)| inner(name, a, &b[name]))
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            a.iter().zip(b).enumerate().find_map(|(at, (a, b))| inner(&at, a, b))
        }
        (Value::Number(a), Value::Number(b)) => {
            let [x, y] = [a, b].map(|number| number.as_f64().unwrap());
            ((x - y).abs() > 1e-9 * x.abs().max(y.abs())).then(|| format!(" {a} is not {b}"))
        }
        _ => (a != b).then(|| format!(" {a} is not {b}")),
    }
}

fn with(path: &str, more: &str) -> String {
    format!("{path}{}{more}", if path.contains('?') { '&' } else { '?' })
}

/// `as_of` the moment of a step; `/v1/assets` has none.
fn known_at(step: usize) -> impl Fn(String) -> Option<String> {
    move |path| (path != "/v1/assets").then(|| with(&path, &format!("as_of={}", STEPS[step])))
}

type Answers = BTreeMap<String, Value>;

/// What has to be answered after each step, and about each step later.
async fn oracle() -> Vec<(Answers, Answers)> {
    let flat = World::with(&["--api-rate=0", "--api-cache=0MiB"]).await;
    let mut expected = Vec::new();
    for step in 0..STEPS.len() {
        flat.sql("DELETE FROM stored_windows; DELETE FROM stored_window_revisions; DELETE FROM stored_posts; DELETE FROM post_assets; DELETE FROM alerts").await;
        for run in RUNS {
            write(&flat, run, "live", |minute| run_at(minute, step) == run).await;
        }
        let (mut now, mut then) = (Answers::new(), Answers::new());
        for path in paths() {
            now.insert(path.clone(), ask(flat.router.clone(), &path).await);
        }
        for path in paths().into_iter().filter_map(known_at(step)) {
            then.insert(path.clone(), ask(flat.router.clone(), &path).await);
        }
        expected.push((now, then));
    }
    expected
}

async fn take(world: &World, step: usize) {
    let time = STEPS[step];
    for (run, from, to, made, back) in SWITCHES {
        let (from, to) = (at(from), at(to));
        if made == step {
            world.sql(&format!("INSERT INTO served_runs (run_id, from_time, to_time, promoted_at) VALUES ('{run}', '{from}', '{to}', '{time}')")).await;
        }
        if back == Some(step) {
            world
                .sql(&format!(
                    "UPDATE served_runs SET rolled_back_at = '{time}' WHERE run_id = '{run}' AND from_time = '{from}'"
                ))
                .await;
        }
    }
}

async fn world_with_runs() -> World {
    let world = World::with(&["--api-rate=0"]).await;
    for run in RUNS {
        write(&world, run, run, |_| true).await;
    }
    for run in ["r1", "r2"] {
        world
            .sql(&format!(
                "INSERT INTO runs VALUES ('{run}', 'posts.raw.v1', '{}', '{}', 'tiny', 'finished', '2026-11-23T07:00:00Z', '{DONE}', 1, '{{}}')",
                at(FIRST),
                at(END)
            ))
            .await;
    }
    world.commit("insights.trends.v1").await;
    world.commit("replays.trends.v1").await;
    world
}

#[tokio::test]
async fn what_the_switches_point_at_is_served_and_nothing_else() {
    let (world, expected) = tokio::join!(world_with_runs(), oracle());
    let ctx = vigie_daemon::Context { metrics: Default::default(), ..world.ctx.clone() };
    let other = vigie_api::router(&world.checked(), &ctx).unwrap();
    let mut live = Answers::new();
    for step in 0..STEPS.len() {
        take(&world, step).await;
        let (now, _) = &expected[step];
        // What was kept of the step before may still be answered, but whole.
        let before = &expected[step.saturating_sub(1)].0;
        for (path, answer) in now {
            let early = ask(world.router.clone(), path).await;
            let differs = difference(&early, &before[path]);
            assert!(differs.is_none() || difference(&early, answer).is_none(), "step {step}, {path}: {differs:?}");
        }
        world.clock.advance(Duration::from_secs(1));
        for router in [&world.router, &other] {
            for (path, answer) in now {
                for kept in [false, true] {
                    let served = ask(router.clone(), path).await;
                    assert_eq!(difference(&served, answer), None, "step {step}, kept: {kept}, {path}");
                }
            }
        }
        for (_, then) in &expected[..=step] {
            for (path, answer) in then {
                let served = ask(world.router.clone(), path).await;
                assert_eq!(difference(&served, answer), None, "after step {step}, {path}");
            }
        }
        for path in paths() {
            let asked = with(&path, "run=live");
            let answer = ask(world.router.clone(), &asked).await;
            let first = live.entry(asked).or_insert_with(|| answer.clone());
            assert_eq!(difference(&answer, first), None, "step {step}, run=live, {path}");
        }
        say_their_runs(&world, step).await;
    }
    assert_ne!(expected[0], expected[4]);
    assert_eq!(expected[0].0, expected[2].0, "after a rollback all is as before");
}

/// Every row says the run that it comes from.
async fn say_their_runs(world: &World, step: usize) {
    let minute = |time: &Value| (FIRST - 60..END).find(|minute| at(*minute) == *time).unwrap();
    let runs_of = |from: i64, to: i64| {
        let mut runs: Vec<&str> = (from..to).step_by(5).map(|minute| run_at(minute, step)).collect();
        let mut seen = BTreeSet::new();
        runs.retain(|run| seen.insert(*run));
        runs
    };
    for (interval, length) in [("5m", 5), ("15m", 15), ("1h", 60)] {
        let path = format!("/v1/assets/BTC/series?interval={interval}&from={}&to={}&lineage=true", at(FIRST), at(END));
        let series = world.json(&path).await;
        for point in series["points"].as_array().unwrap() {
            let start = minute(&point["start"]);
            assert_eq!(point["runs"], json!(runs_of(start, start + length)), "step {step}, {point}");
            if let Some(lineage) = point.get("lineage") {
                assert_eq!(lineage["runs"], point["runs"]);
            }
        }
        let runs = runs_of(FIRST, END);
        assert_eq!(series["lineage"]["runs"], json!(runs));
        assert_eq!(series["lineage"]["run_id"], if runs.len() == 1 { "live" } else { "served" });
    }
    for post in world.json("/v1/assets/*/posts?limit=200").await["posts"].as_array().unwrap() {
        assert_eq!(post["lineage"]["run_id"], run_at(minute(&post["published_at"]), step), "{post}");
    }
    for alert in world.json("/v1/alerts").await["alerts"].as_array().unwrap() {
        assert_eq!(alert["run_id"], run_at(minute(&alert["window_start"]), step), "{alert}");
    }
    for asset in world.json("/v1/assets").await["assets"].as_array().unwrap() {
        let latest = &asset["latest_window"];
        assert_eq!(latest["run_id"], run_at(minute(&latest["start"]), step), "{asset}");
    }
    let runs = world.json("/v1/runs").await;
    let served = |minute: i64| {
        let time = at(minute);
        let holds = |range: &Value| {
            range["from"].as_str().is_none_or(|from| from <= time.as_str())
                && range["to"].as_str().is_none_or(|to| time.as_str() < to)
        };
        let holding = |run: &&Value| run["served"].as_array().unwrap().iter().any(holds);
        let holding = runs["runs"].as_array().unwrap().iter().filter(holding);
        holding.map(|run| run["run_id"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    for minute in (FIRST..END).step_by(5) {
        // The live run is recorded by the sink, which is not here.
        let run = Some(run_at(minute, step)).filter(|run| *run != "live");
        assert_eq!(served(minute), Vec::from_iter(run));
    }
}

#[tokio::test]
async fn pages_and_an_export_have_each_served_post_once() {
    let world = world_with_runs().await;
    for step in 0..STEPS.len() {
        take(&world, step).await;
        world.clock.advance(Duration::from_secs(1));
        for asset in ["*", "BTC"] {
            let all = world.json(&format!("/v1/assets/{asset}/posts?limit=200")).await;
            let (mut paged, mut cursor) = (Vec::new(), String::new());
            loop {
                let page = world.json(&format!("/v1/assets/{asset}/posts?limit=4{cursor}")).await;
                paged.extend(page["posts"].as_array().unwrap().clone());
                let Some(next) = page["next"].as_str() else { break };
                cursor = format!("&cursor={next}");
            }
            assert_eq!(Value::from(paged), all["posts"], "step {step}");
            let lines = world.get(&format!("/v1/assets/{asset}/posts?format=ndjson")).await.text();
            let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
            assert_eq!(Value::from(lines), all["posts"], "step {step}");
        }
    }
}
