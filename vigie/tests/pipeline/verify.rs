//! An audit of the running pipeline, as an operator makes it.

use std::path::Path;
use std::process::{Command, Output};

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use vigie_clock::{Clock, SystemClock};

use crate::up::{self, Up};

/// Audits the windows of a week before and an hour after `now`.
fn verify(up: &Up, data_dir: &Path, now: Timestamp, more: &[&str]) -> Output {
    let (from, to) = (now - SignedDuration::from_hours(7 * 24), now + SignedDuration::from_hours(1));
    let mut command = Command::new(env!("CARGO_BIN_EXE_vigie"));
    command.args(["--json", "verify", "--from", &from.to_string(), "--to", &to.to_string(), "--api-url", up.url()]);
    // A debug build takes its time over the sample's backlog.
    command.args(["--wait", "10m"]);
    command.args(more).env("VIGIE_DATA_DIR", data_dir).current_dir(up::root()).output().unwrap()
}

/// Recomputes an interval of an asset, and lists the posts behind it.
fn recompute(up: &Up, data_dir: &Path, asset: &str, at: &str, interval: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vigie"));
    command.args(["--json", "recompute", "--asset", asset, "--at", at, "--interval", interval, "--api-url", up.url()]);
    command.args(["--posts", "--wait", "10m"]).env("VIGIE_DATA_DIR", data_dir);
    command.current_dir(up::root()).output().unwrap()
}

fn lines(output: &Output) -> Vec<Value> {
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"))).collect()
}

#[track_caller]
fn assert_code(output: &Output, code: i32) {
    let print = |bytes| String::from_utf8_lossy(bytes).into_owned();
    assert_eq!(output.status.code(), Some(code), "{}{}", print(&output.stdout), print(&output.stderr));
}

/// Runs `statement`, which must change rows, and says in the same transaction that the data are others now.
fn sql(up: &Up, statement: &str) {
    let statement = format!("{statement}; UPDATE sink_offsets SET updated_at = clock_timestamp()");
    let mut psql = Command::new("psql");
    psql.args(["--no-psqlrc", "--set", "ON_ERROR_STOP=1", "--dbname", up.endpoint("postgres_url")]);
    let output = psql.args(["--command", &statement]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let done = String::from_utf8_lossy(&output.stdout);
    assert!(done.lines().all(|command| !command.ends_with(" 0")), "{statement}: {done}");
}

#[test]
fn an_audit_passes_on_an_untouched_pipeline_and_names_windows_that_were_altered_by_hand() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let mut up = Up::start(dir.path(), &up::SAMPLE);
    up.wait_for("/v1/assets", |v| {
        let market = v["assets"].as_array().and_then(|assets| assets.first());
        market.is_some_and(|market| market["asset"] == "*" && market["posts_24h"].as_i64() > Some(1_000))
    });

    let untouched = verify(&up, &data, SystemClock::default().now().to_jiff().unwrap(), &[]);
    assert_code(&untouched, 0);
    let summary = lines(&untouched).pop().unwrap();
    assert_eq!(summary["differing"], 0, "{summary}");
    assert!(summary["compared"].as_i64() > Some(100) && summary["posts"].as_i64() > Some(1_000), "{summary}");

    // The backlog is counted now.
    let assets = up.wait_for("/v1/assets", |v| !v["newest"].is_null());
    let newest: Timestamp = assets["newest"].as_str().unwrap().parse().unwrap();

    for (asset, interval, ago) in [("*", "5m", 7_200), ("bitcoin", "1h", 7_200), ("*", "1h", 10_800)] {
        let at = newest - SignedDuration::from_secs(ago);
        let again = recompute(&up, &data, asset, &at.to_string(), interval);
        assert_code(&again, 0);
        let again = lines(&again).pop().unwrap();
        assert_eq!(again["equal"], true, "{again}");
        let posts = again["recomputed"]["posts"].as_u64().unwrap();
        let inputs = again["inputs"].as_array().unwrap().iter().map(|input| input["posts"].as_u64().unwrap());
        assert_eq!((again["posts"].as_array().unwrap().len() as u64, inputs.sum::<u64>()), (posts, posts), "{again}");
        assert_eq!(again["lineage"]["runs"], serde_json::json!(["live"]), "{again}");
    }

    // One window that lost posts, one that lost what it says of sources and scores, one that is gone, one that never was.
    let window = |ago: i64| {
        let start = newest.as_second().div_euclid(300) * 300 - ago * 300;
        Timestamp::from_second(start).unwrap().to_string()
    };
    let (short, wrong, gone, made_up) = (window(24), window(25), window(26), window(27));
    let at = |asset: &str, start: &str| format!("WHERE asset = '{asset}' AND window_start = '{start}'");
    // No revision that comes meanwhile puts it right.
    sql(&up, &format!("UPDATE stored_windows SET revision = 1000, posts = posts - 1 {}", at("*", &short)));
    sql(
        &up,
        &format!(
            "INSERT INTO sources VALUES (-1, 'nobody'); \
             UPDATE stored_windows SET revision = 1000, mean_score = 0.99, sources = '-1:1' {}",
            at("*", &wrong)
        ),
    );
    sql(&up, &format!("DELETE FROM stored_windows {}", at("*", &gone)));
    sql(
        &up,
        &format!(
            "CREATE TEMP TABLE made_up AS SELECT * FROM stored_windows {}; UPDATE made_up SET asset = 'NEVER-SEEN'; \
             INSERT INTO stored_windows SELECT * FROM made_up",
            at("*", &made_up)
        ),
    );
    let altered = verify(&up, &data, newest, &[]);
    assert_code(&altered, 1);
    let found = lines(&altered);
    let differs = |asset: &str, start: &str, field: &str| {
        let is = |line: &&Value| line["asset"] == asset && line["window_start"] == start && line["field"] == field;
        let line = found.iter().find(is).unwrap_or_else(|| panic!("no {field} of {asset} at {start} in {found:?}"));
        (line["served"].clone(), line["recounted"].clone())
    };
    let (served, recounted) = differs("*", &short, "posts");
    assert_eq!(served.as_i64().map(|posts| posts + 1), recounted.as_i64());
    differs("*", &wrong, "sources");
    assert_eq!(differs("*", &wrong, "mean_score").0, 0.99);
    assert_eq!(differs("*", &gone, "posts").0, Value::Null);
    assert_eq!(differs("NEVER-SEEN", &made_up, "posts").1, 0);
    assert_eq!(found.last().unwrap()["differing"], 4, "{found:?}");

    let short_again = recompute(&up, &data, "*", &short, "5m");
    assert_code(&short_again, 1);
    let short_again = lines(&short_again).pop().unwrap();
    assert_eq!(short_again["differences"][0]["field"], "posts", "{short_again}");
    assert_code(&recompute(&up, &data, "*", &gone, "5m"), 1);

    // Without the model scores are not looked at, the rest is.
    let counts_only = verify(&up, &data, newest, &["--counts-only"]);
    assert_code(&counts_only, 1);
    let found = lines(&counts_only);
    assert!(
        found.iter().all(|line| line["field"] != "mean_score") && found.last().unwrap()["differing"] == 4,
        "{found:?}"
    );
    up.stop(std::time::Duration::from_secs(30));
}

#[test]
fn an_audit_finds_the_posts_that_torn_transactions_lost() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    // Some commits of the topologies leave out their outputs: state and offsets go on without them.
    let torn: Vec<String> = (4..12).map(|commit| format!("commit.begin=omit@{commit}")).collect();
    let mut up = Up::start_with(dir.path(), &up::SAMPLE, &[("VIGIE_FAILPOINTS", &torn.join(","))]);
    let assets = up.wait_for("/v1/assets", |v| !v["newest"].is_null());
    let newest: Timestamp = assets["newest"].as_str().unwrap().parse().unwrap();
    // Windows to which posts still come are skipped, and while the backlog is read that may be all of the whole market.
    let lost = |_| {
        let audit = verify(&up, &data, newest, &["--counts-only"]);
        let of_market = |line: &Value| line["asset"] == "*" && line["field"] == "posts";
        let posts = |line: &Value| line["recounted"].as_i64().unwrap() - line["served"].as_i64().unwrap_or(0);
        let lost: i64 = lines(&audit).iter().filter(|line| of_market(line)).map(posts).sum();
        (lost > 0).then_some(audit)
    };
    let audit = (0..20).find_map(lost).expect("twenty audits find a lost post");
    assert_code(&audit, 1);
    up.stop(std::time::Duration::from_secs(30));
}
