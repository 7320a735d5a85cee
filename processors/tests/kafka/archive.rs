use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use vigie_archive::{Archive, Location};
use vigie_clock::{Clock, ManualClock, SystemClock, Timestamp};
use vigie_daemon::{Context, ServiceError};
use vigie_kafka_client::{Admin, TopicPartition};
use vigie_processors::replay::{Control, Phase, Wanted, survey};
use vigie_schemas::{Lineage, ScoredPost, Topic, TrendInsight};
use vigie_sinks::Archiver;

use crate::posts::{WINDOW_MS, raw_posts};
use crate::replays::until;
use crate::services::Bench;

const TOPIC: &str = Topic::PostsRaw.name();

/// What a run wrote, without what names the run and the time.
async fn written(bench: &Bench, run_id: &str) -> (Vec<TrendInsight>, Vec<ScoredPost>) {
    let mut windows: Vec<TrendInsight> = bench.decoded("replays.trends.v1").await;
    windows.retain(|window| window.lineage.run_id == run_id);
    for window in &mut windows {
        // Its offsets are those of the run's own topic of mentions.
        (window.lineage, window.emitted_at) = (Lineage::default(), Timestamp::MIN);
    }
    windows.sort_by_key(|window| (window.asset.clone(), window.window_start));
    let mut scored: Vec<ScoredPost> = bench.decoded("replays.sentiment.v1").await;
    scored.retain(|post| post.lineage.run_id == run_id);
    for post in &mut scored {
        (post.lineage.run_id, post.scored_at) = (String::new(), Timestamp::MIN);
    }
    scored.sort_by_key(|post| (post.post_id.clone(), post.revision));
    (windows, scored)
}

/// Archives what is there, as an hour later.
fn archive(bench: &Bench, archive: Archive) {
    let later = SystemClock::default().now().saturating_add(Duration::from_secs(3600));
    let ctx = Context::new(Arc::new(ManualClock::new(later)));
    let handle = Handle::current();
    let round = || Archiver::new(bench.kafka.clone(), bench.codec.clone(), archive, &ctx).unwrap().round(&handle);
    tokio::task::block_in_place(round).unwrap();
}

/// What `plan` says of the posts, and whether all are there; then runs, which must say the same.
async fn replay(
    bench: &Bench,
    range: (i64, i64),
    run_id: &str,
    options: &[&str],
) -> Result<(Option<u64>, bool), ServiceError> {
    let [from, to] = [range.0, range.1].map(|millis| Timestamp::from_millis(millis).to_string());
    let options = [&["--from", &from, "--to", &to], options].concat();
    let plan = survey(bench.replay_options(run_id, &options), true, |_| ()).await?;
    let complete = plan.partitions.iter().all(|of| !of.removed);
    let report = bench.replay(run_id, &options, Context::system(), Control::default()).await?;
    assert_eq!(report.expect("nobody cancelled it").complete, Some(complete));
    Ok((plan.posts, complete))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_range_that_begins_in_the_archive_and_ends_in_kafka_gives_what_the_topic_gave() {
    let bench = Bench::new().await;
    let now = SystemClock::default().now();
    let start = Timestamp::from_millis(now.as_millis() / WINDOW_MS * WINDOW_MS - 36 * WINDOW_MS);
    let range = (start.as_millis(), start.as_millis() + 24 * WINDOW_MS);
    let mut posts = raw_posts(start, 800);
    bench.publish(&posts[..500]).await;
    bench.publish_garbage("reddit:garbage").await;
    bench.publish(&posts[..50]).await;

    let folder = tempfile::tempdir().unwrap();
    let location = Location::Folder(folder.path().to_owned());
    let stored = Archive::open(&location).unwrap();
    archive(&bench, stored.clone());
    // An edit, a deletion, copies and new posts on the other side.
    posts[3].edited_at = Some(now);
    posts[3].text = "bitcoin is terrible".to_owned();
    bench.publish(&posts[..30]).await;
    bench.publish_deletion("reddit:7").await;
    bench.publish(&posts[450..]).await;

    let url = location.to_string();
    let option = ["--archive-url", &url];
    assert_eq!(replay(&bench, range, "topic", &[]).await.unwrap(), (Some(800), true));
    let expected = written(&bench, "topic").await;
    assert_eq!(expected.1.len(), 802, "each post once, and two revisions");

    // Retention ends within the archive, at its border, nowhere, and after the first records.
    let admin = Admin::new(&bench.kafka).unwrap();
    let mut borders = Vec::new();
    for partition in 0..4 {
        borders.push(stored.load(TOPIC, partition).await.unwrap().unwrap().manifest.next_offset);
    }
    let at = |partition| TopicPartition::new(TOPIC, partition);
    let before = [(at(0), borders[0] - 20), (at(1), borders[1]), (at(3), 3)];
    tokio::task::block_in_place(|| admin.delete_records(&before.into())).unwrap();

    let (left, complete) = replay(&bench, range, "short", &[]).await.unwrap();
    assert!(left < Some(800) && !complete, "{left:?}");
    assert!(written(&bench, "short").await.1.len() < expected.1.len(), "Kafka alone has lost posts");
    // Paused and stopped while it restores, and cancelled then; one that was stopped goes on without being given its range.
    let [from, to] = [range.0, range.1].map(|millis| Timestamp::from_millis(millis).to_string());
    let asked = ["--from", &from, "--to", &to, "--archive-url", &url];
    let (ctx, control) = (Context::system(), Control::default());
    control.set_wanted(Wanted::Pause);
    let stop = async {
        until(&control, |progress| progress.paused && progress.phase == Phase::Restoring && progress.done > 0).await;
        let progress = control.progress();
        assert!(progress.of >= progress.done && progress.per_second.is_some(), "{progress:?}");
        ctx.shutdown.cancel();
    };
    let (stopped, ()) = tokio::join!(bench.replay("restored", &asked, ctx.clone(), control.clone()), stop);
    assert_eq!(stopped.unwrap_err().to_string(), "replay restored was interrupted");
    control.set_wanted(Wanted::Cancel);
    assert_eq!(bench.replay("given-up", &asked, Context::system(), control).await.unwrap(), None);
    bench.clean_up("given-up").await;
    let report = bench.replay("restored", &option, Context::system(), Control::default()).await.unwrap().unwrap();
    assert_eq!((report.posts, report.complete), (802, Some(true)));
    let (windows, scored) = written(&bench, "restored").await;
    assert_eq!(scored, expected.1, "lineage and all");
    assert_eq!(windows, expected.0);
    bench.clean_up("restored").await;

    // What nobody has any more is no range.
    tokio::task::block_in_place(|| admin.delete_records(&[(at(3), borders[3] + 2)].into())).unwrap();
    let error = replay(&bench, range, "torn", &option).await.unwrap_err().to_string();
    let (first, next) = (borders[3], borders[3] + 2);
    let expected = format!("offsets {first} to {next} of {TOPIC}-3 are neither in the archive nor in Kafka any more");
    assert_eq!(error, expected);
}
