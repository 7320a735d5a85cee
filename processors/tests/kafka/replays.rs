//! Replays that are stopped, paused, limited, cancelled and continued.

use std::collections::BTreeMap;
use std::time::Duration;

use vigie_clock::{Clock, SystemClock, Timestamp};
use vigie_daemon::Context;
use vigie_processors::replay::{self, Control, Phase, Progress, Wanted};
use vigie_schemas::{Alert, ScoredPost, TrendInsight};

use crate::posts::{WINDOW_MS, Windows, counts, oracle, raw_posts};
use crate::services::{Bench, DEADLINE};

const POSTS: usize = 900;
/// Windows with a post each, before all others come in two hours.
const QUIET: usize = 60;
const EVER: [&str; 4] = ["--from", "2020-01-01", "--to", "2100-01-01"];

/// A bench with posts.
async fn filled() -> (Bench, Windows) {
    let bench = Bench::new().await;
    let now = SystemClock::default().now().as_millis();
    let start = now / WINDOW_MS * WINDOW_MS - 36 * WINDOW_MS;
    let mut posts = raw_posts(Timestamp::from_millis(start), POSTS);
    for (n, post) in posts[..QUIET].iter_mut().enumerate() {
        post.published_at = Timestamp::from_millis(start - (n as i64 + 1) * WINDOW_MS);
    }
    bench.publish(&posts).await;
    let windows = oracle(&posts);
    (bench, windows)
}

pub(crate) async fn until(control: &Control, test: impl Fn(&Progress) -> bool) {
    let (clock, mut looks) = (SystemClock::default(), tokio::time::interval(Duration::from_millis(5)));
    while !test(&control.progress()) {
        assert!(clock.monotonic() < DEADLINE, "{:?}", control.progress());
        looks.tick().await;
    }
}

/// How often each post of the run was scored, its windows, and its alerts.
async fn written(bench: &Bench, run_id: &str) -> (BTreeMap<String, usize>, Windows, Vec<Alert>) {
    let scored: Vec<ScoredPost> = bench.decoded("replays.sentiment.v1").await;
    let mut times = BTreeMap::new();
    for post in scored.into_iter().filter(|post| post.lineage.run_id == run_id) {
        *times.entry(post.post_id).or_default() += 1;
    }
    let windows: Vec<TrendInsight> = bench.decoded("replays.trends.v1").await;
    let windows: Vec<_> = windows.into_iter().filter(|window| window.lineage.run_id == run_id).collect();
    let counted: Windows = windows.iter().map(counts).collect();
    assert_eq!(counted.len(), windows.len(), "a window of {run_id} was written twice");
    let mut alerts: Vec<Alert> = bench.decoded("replays.alerts.v1").await;
    alerts.retain(|alert| alert.run_id == run_id);
    alerts.sort_by(|a, b| a.alert_id.cmp(&b.alert_id));
    (times, counted, alerts)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_replay_that_is_stopped_and_paused_again_and_again_writes_each_post_window_and_alert_once() {
    let (bench, expected) = filled().await;
    // Stopped twice while it scores, once while it counts. Only the first is given the range.
    let stops: [(&[&str], Phase, u64); 3] = [
        (&[&EVER[..], &["--rate", "300"]].concat(), Phase::Scoring, 200),
        (&["--rate", "300"], Phase::Scoring, 500),
        (&[], Phase::Counting, 1),
    ];
    for (options, phase, done) in stops {
        let (ctx, control) = (Context::system(), Control::default());
        let stop = async {
            until(&control, |progress| progress.phase == phase && progress.done >= done).await;
            control.set_wanted(Wanted::Pause);
            until(&control, |progress| progress.paused).await;
            ctx.shutdown.cancel();
        };
        let (outcome, ()) = tokio::join!(bench.replay("torn", options, ctx.clone(), control.clone()), stop);
        assert_eq!(outcome.unwrap_err().to_string(), "replay torn was interrupted");
    }
    let other =
        bench.replay("torn", &["--from", "2020-01-01", "--to", "2021-01-01"], Context::system(), Control::default());
    let refused = other.await.unwrap_err().chain();
    assert!(refused.contains("with which run torn began"), "{refused}");

    let report = bench.replay("torn", &[], Context::system(), Control::default()).await.unwrap().unwrap();
    let again = bench.replay("torn", &[], Context::system(), Control::default()).await.unwrap().unwrap();
    assert_eq!((report.posts, report.windows), (POSTS as u64, expected.len() as u64));
    let counts = [&report, &again].map(|report| (report.posts, report.windows, report.alerts));
    assert_eq!(counts[0], counts[1], "a finished one does nothing");
    let (times, windows, alerts) = written(&bench, "torn").await;
    assert!(times.len() == POSTS && times.values().all(|times| *times == 1), "{times:?}");
    assert_eq!(windows, expected);
    bench.clean_up("torn").await;

    // One that was never stopped raises the same alerts, each once.
    let whole = bench.replay("whole", &EVER, Context::system(), Control::default()).await.unwrap().unwrap();
    let (.., undisturbed) = written(&bench, "whole").await;
    let raised =
        |alerts: &[Alert]| alerts.iter().map(|a| (a.asset.clone(), a.kind.clone(), a.window_start)).collect::<Vec<_>>();
    assert_eq!(raised(&alerts), raised(&undisturbed));
    assert_eq!((alerts.len() as u64, undisturbed.len() as u64), (report.alerts, whole.alerts));
    assert!(alerts.iter().any(|alert| alert.asset == "*" && alert.kind == "attention_spike"), "{alerts:?}");
    assert!(bench.records("insights.alerts.v1").is_empty(), "the live topic is untouched");
    bench.clean_up("whole").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_replay_keeps_to_its_rate_and_waits_while_it_is_paused_and_a_cancelled_one_leaves_nothing() {
    let (bench, _) = filled().await;
    let (control, ctx) = (Control::default(), Context::system());
    let steer = async {
        until(&control, |progress| progress.phase == Phase::Scoring && progress.done > 0).await;
        control.set_wanted(Wanted::Pause);
        until(&control, |progress| progress.paused).await;
        let before = bench.records("replays.sentiment.v1").len();
        assert!((1..POSTS).contains(&before), "{before} posts are scored");
        assert_eq!(bench.records("replays.sentiment.v1").len(), before);
        control.set_wanted(Wanted::Run);
    };
    let options = [&EVER[..], &["--rate", "300"]].concat();
    let (report, ()) = tokio::join!(bench.replay("slow", &options, ctx, control.clone()), steer);
    let work = report.unwrap().unwrap().work;
    assert_eq!(work.posts, POSTS as u64);
    // Four tasks may have a batch each in hand at the end.
    assert!(work.seconds > (POSTS - 4 * 64) as f64 / 300.0, "{work:?}");

    let control = Control::default();
    let cancel = async {
        until(&control, |progress| progress.phase == Phase::Scoring && progress.done > 0).await;
        control.set_wanted(Wanted::Cancel);
    };
    let (report, ()) = tokio::join!(bench.replay("given-up", &options, Context::system(), control.clone()), cancel);
    assert_eq!(report.unwrap(), None);
    bench.clean_up("given-up").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_plan_counts_exactly_what_a_replay_then_does_and_changes_nothing() {
    let (bench, _) = filled().await;
    bench.publish_garbage("reddit:garbage").await;
    let topics = bench.topics();
    let survey = replay::survey(bench.replay_options("plan", &EVER), true, |_| {}).await.unwrap();
    assert_eq!((survey.posts, survey.partitions.len()), (Some(POSTS as u64), 4));
    let records: u64 = survey.partitions.iter().map(|of| of.records.unwrap()).sum();
    assert!(
        records == POSTS as u64 + 1 && survey.offsets() > records,
        "markers of transactions have offsets too: {survey:?}"
    );
    assert!(survey.partitions.iter().all(|of| !of.removed && of.oldest_offset == 0 && of.oldest_at.is_some()));
    assert_eq!(bench.topics(), topics);

    // A part of one partition.
    let options = ["--offsets", "1:10-60"];
    let survey = replay::survey(bench.replay_options("part", &options), true, |_| {}).await.unwrap();
    assert_eq!((survey.posts, survey.partitions[0].partition, survey.partitions.len()), (Some(50), 1, 1));
    let quick = replay::survey(bench.replay_options("part", &options), false, |_| {}).await.unwrap();
    assert_eq!((quick.posts, quick.offsets()), (None, 50));
    let report = bench.replay("part", &options, Context::system(), Control::default()).await.unwrap().unwrap();
    assert_eq!((report.posts, report.from), (50, None));
    bench.clean_up("part").await;

    // Of nothing.
    let future = ["--from", "2099-01-01", "--to", "2099-01-02"];
    let report = bench.replay("nothing", &future, Context::system(), Control::default()).await.unwrap().unwrap();
    assert_eq!((report.posts, report.windows), (0, 0));
    bench.clean_up("nothing").await;
    assert_eq!(bench.topics(), topics);

    let unknown = bench.replay("nobody", &[], Context::system(), Control::default()).await.unwrap_err().chain();
    assert!(unknown.contains("nobody") && unknown.contains("--from"), "{unknown}");
    assert_eq!(bench.topics(), topics);
}
