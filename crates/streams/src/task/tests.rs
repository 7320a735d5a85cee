//! Topologies run by the test driver.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bytes::Bytes;
use vigie_clock::{ManualClock, Timestamp};
use vigie_kafka_client::{OutgoingRecord, Record};

use super::mark::{Mark, Position, Rollback};
use crate::testing::TopologyTestDriver;
use crate::{
    DeadLetter, DeadLetterEncoder, Every, PerRecord, Processor, ProcessorContext, ProcessorError, Punctuation,
    StoreSpec, Topology, TumblingWindows, WindowStore,
};

const WINDOWS: TumblingWindows = TumblingWindows { size: Duration::from_secs(300), grace: Duration::from_secs(60) };
const NOON: Timestamp = Timestamp::from_millis(1_652_097_600_000);

/// Counts records by key and window; the value is the event time in milliseconds. Every change is forwarded, and `final` once the
/// window is closed.
#[derive(Default)]
struct WindowedCount {
    /// A cache, to show that an abort takes it away.
    seen: u64,
}

impl Processor for WindowedCount {
    fn process(&mut self, batch: &[Record], ctx: &mut ProcessorContext<'_>) -> Result<(), ProcessorError> {
        for record in batch {
            self.seen += 1;
            let text = std::str::from_utf8(record.value.as_deref().unwrap_or_default()).unwrap_or_default();
            let Ok(millis) = text.parse() else {
                ctx.dead_letter(record, "not-a-time", "expected milliseconds since the epoch");
                continue;
            };
            let time = Timestamp::from_millis(millis);
            ctx.observe_event_time(time);
            let window = WINDOWS.window_of(time);
            if WINDOWS.is_closed(window, ctx.watermark()) {
                ctx.count_late(1);
                continue;
            }
            let key = record.key.clone().unwrap_or_default();
            let mut counts = WindowStore::over(ctx.store("counts"));
            let count =
                counts.get(window.start, &key).map_or(0, |value| u64::from_be_bytes(value[..].try_into().unwrap()));
            counts.put(window.start, &key, (count + 1).to_be_bytes().to_vec());
            ctx.forward("out", Some(key), Some(Bytes::from(format!("{}", count + 1))), window.start);
        }
        Ok(())
    }

    fn punctuate(&mut self, at: Punctuation, ctx: &mut ProcessorContext<'_>) -> Result<(), ProcessorError> {
        let Some(before) = WINDOWS.closed_before(at.watermark) else { return Ok(()) };
        let closed: Vec<_> = WindowStore::over(ctx.store("counts")).before(before).collect();
        for (start, key, _) in closed {
            WindowStore::over(ctx.store("counts")).delete(start, &key);
            ctx.forward("out", Some(key), Some(Bytes::from("final")), start);
        }
        Ok(())
    }
}

fn windowed(sources: &[&str]) -> TopologyTestDriver {
    let builder = Topology::builder("windowed").sink("out").store(StoreSpec::key_value("counts"));
    let builder = sources.iter().fold(builder, |builder, source| builder.source(source));
    let topology = builder.processor(|_| Box::new(WindowedCount::default())).build().unwrap();
    TopologyTestDriver::new(topology, ManualClock::new(NOON))
}

/// Pipes an event of key `btc` that happened `seconds` after noon.
fn event(driver: &mut TopologyTestDriver, topic: &str, seconds: i64) {
    let time = NOON.as_millis() + seconds * 1000;
    let value = Bytes::from(time.to_string());
    driver.pipe(topic, 0, Some(Bytes::from("btc")), Some(value), driver.now()).unwrap();
}

fn values(records: &[OutgoingRecord]) -> Vec<String> {
    let text = |record: &OutgoingRecord| String::from_utf8(record.value.clone().unwrap().to_vec()).unwrap();
    records.iter().map(text).collect()
}

#[test]
fn uncommitted_output_is_not_seen() {
    let mut driver = windowed(&["in"]);
    event(&mut driver, "in", 0);
    assert_eq!(driver.read("out"), []);
    driver.commit().unwrap();
    assert_eq!(values(&driver.read("out")), ["1"]);
}

#[test]
fn aborted_commit_leaves_no_output() {
    let mut driver = windowed(&["in"]);
    event(&mut driver, "in", 0);
    driver.commit().unwrap();
    event(&mut driver, "in", 1);
    event(&mut driver, "in", 2);
    driver.abort().unwrap();
    assert_eq!(values(&driver.read("out")), ["1"], "nothing of the aborted work is out");
    assert_eq!(driver.changelog("counts", 0).len(), 1, "nor in the changelog");
    driver.commit().unwrap();
    assert_eq!(values(&driver.read("out")), ["2", "3"], "done again, once");
}

#[test]
fn restart_restores_from_the_changelog() {
    let mut driver = windowed(&["in"]);
    event(&mut driver, "in", 0);
    event(&mut driver, "in", 1);
    driver.commit().unwrap();
    event(&mut driver, "in", 2);
    driver.restart().unwrap();
    driver.commit().unwrap();
    assert_eq!(values(&driver.read("out")), ["1", "2", "3"]);
}

#[test]
fn changelog_gets_the_last_value_of_each_key_per_commit() {
    let mut driver = windowed(&["in"]);
    for second in 0..10 {
        event(&mut driver, "in", second);
    }
    driver.commit().unwrap();
    let log = driver.changelog("counts", 0);
    assert_eq!(log.len(), 1);
    assert_eq!(log[0].1.as_deref(), Some(&10u64.to_be_bytes()[..]));
}

#[test]
fn window_is_final_once_the_watermark_passes_end_plus_grace() {
    let mut driver = windowed(&["in"]);
    event(&mut driver, "in", 0);
    event(&mut driver, "in", 359);
    driver.commit().unwrap();
    assert_eq!(values(&driver.read("out")), ["1", "1"], "within the grace");
    event(&mut driver, "in", 299);
    event(&mut driver, "in", 360);
    driver.commit().unwrap();
    assert_eq!(values(&driver.read("out")), ["2", "2", "final"]);
    assert_eq!(driver.late(), 0);
}

#[test]
fn late_record_is_counted_and_changes_nothing() {
    let mut driver = windowed(&["in"]);
    event(&mut driver, "in", 400);
    event(&mut driver, "in", 10);
    driver.commit().unwrap();
    assert_eq!(values(&driver.read("out")), ["1"]);
    assert_eq!(driver.late(), 1);
}

#[test]
fn absurd_future_time_closes_no_window() {
    let mut driver = windowed(&["in"]);
    event(&mut driver, "in", 0);
    event(&mut driver, "in", 10 * 365 * 86_400);
    event(&mut driver, "in", 1);
    driver.commit().unwrap();
    assert_eq!(driver.watermark(0), Some(NOON.saturating_add(Duration::from_secs(1))));
    assert!(!values(&driver.read("out")).contains(&"final".to_owned()));
    assert_eq!(driver.late(), 0);
}

#[test]
fn watermark_survives_a_restart() {
    let mut driver = windowed(&["in"]);
    event(&mut driver, "in", 400);
    driver.commit().unwrap();
    driver.restart().unwrap();
    assert_eq!(driver.watermark(0), Some(NOON.saturating_add(Duration::from_secs(400))));
    event(&mut driver, "in", 10);
    driver.commit().unwrap();
    assert_eq!(driver.late(), 1, "a window that was closed before the restart stays closed");
}

/// A task without a driver, that begins at `offset` and goes up to `stop`.
fn task(topology: &Topology, offset: i64, stop: i64) -> super::StreamTask {
    super::StreamTask::new(super::TaskParts {
        topology,
        partition: 0,
        inputs: vec![super::InputStart { topic: "in".into(), offset, metadata: String::new(), stop }],
        clock: Arc::new(ManualClock::new(NOON)),
        encoder: Arc::new(crate::PlainDeadLetters),
        idle_after: Duration::from_secs(30),
    })
}

#[test]
fn watermark_goes_back_with_an_abort() {
    let mut task = task(&topology(), 0, i64::MAX);
    task.start().unwrap();
    task.process(&[record(0, NOON.as_millis() + 400_000)]).unwrap();
    assert!(task.watermark().is_some() && task.has_staged());
    task.aborted();
    assert_eq!(task.watermark(), None);
    assert!(!task.has_staged());
    assert_eq!(task.store("counts").iter().count(), 0);
}

#[test]
fn records_outside_the_bounds_are_not_processed() {
    let mut task = task(&topology(), 2, 4);
    task.start().unwrap();
    let records: Vec<Record> = (0..6).map(|offset| record(offset, NOON.as_millis())).collect();
    task.process(&records).unwrap();
    assert_eq!(task.outputs().len(), 2);
    assert_eq!(task.positions().next().unwrap().1, 4);
}

#[test]
fn window_store_forgets_windows_after_its_retention_with_tombstones() {
    let retention = Duration::from_secs(600);
    let topology = Topology::builder("windowed").source("in").sink("out").store(StoreSpec::window("counts", retention));
    let topology = topology.processor(|_| {
        Box::new(PerRecord(|record: &Record, ctx: &mut ProcessorContext<'_>| {
            ctx.observe_event_time(record.timestamp);
            let start = WINDOWS.window_of(record.timestamp).start;
            WindowStore::over(ctx.store("counts")).put(start, b"btc", "1");
            Ok(())
        }))
    });
    let mut driver = TopologyTestDriver::new(topology.build().unwrap(), ManualClock::new(NOON));
    let at = |driver: &mut TopologyTestDriver, seconds: u64| {
        driver.pipe("in", 0, None, None, NOON.saturating_add(Duration::from_secs(seconds))).unwrap();
        driver.commit().unwrap();
        driver.changelog("counts", 0).iter().filter(|(_, value)| value.is_none()).count()
    };
    assert_eq!(at(&mut driver, 0), 0);
    assert_eq!(at(&mut driver, 600), 0, "the window is as old as the retention");
    assert_eq!(at(&mut driver, 601), 1);
    assert_eq!(at(&mut driver, 602), 1, "its tombstone is written once");
}

#[test]
fn punctuation_at_intervals_of_the_wall_clock_and_of_event_time() {
    struct Ticks(Every, Every);
    impl Processor for Ticks {
        fn process(&mut self, batch: &[Record], ctx: &mut ProcessorContext<'_>) -> Result<(), ProcessorError> {
            for record in batch {
                ctx.observe_event_time(record.timestamp);
            }
            Ok(())
        }

        fn punctuate(&mut self, at: Punctuation, ctx: &mut ProcessorContext<'_>) -> Result<(), ProcessorError> {
            if self.0.is_due(at.wall_clock) {
                ctx.forward("out", None, Some(Bytes::from("wall clock")), at.wall_clock);
            }
            if at.watermark.is_some_and(|watermark| self.1.is_due(watermark)) {
                ctx.forward("out", None, Some(Bytes::from("event time")), at.wall_clock);
            }
            Ok(())
        }
    }
    let minute = Duration::from_secs(60);
    let topology = Topology::builder("ticks").source("in").sink("out");
    let topology =
        topology.processor(move |_| Box::new(Ticks(Every::new(minute), Every::new(minute)))).build().unwrap();
    let mut driver = TopologyTestDriver::new(topology, ManualClock::new(NOON));
    driver.pipe("in", 0, None, None, NOON).unwrap();
    driver.advance(minute / 2).unwrap();
    driver.advance(minute / 2).unwrap();
    driver.commit().unwrap();
    assert_eq!(values(&driver.read("out")), ["wall clock"], "once in each minute");
    driver.pipe("in", 0, None, None, NOON.saturating_add(minute)).unwrap();
    driver.commit().unwrap();
    assert_eq!(values(&driver.read("out")), ["event time"]);
}

#[test]
fn idle_partition_does_not_hold_windows_open() {
    let mut driver = windowed(&["busy", "quiet"]);
    event(&mut driver, "quiet", 0);
    event(&mut driver, "busy", 400);
    driver.commit().unwrap();
    assert_eq!(values(&driver.read("out")), ["1", "1"], "the quiet partition holds the watermark at noon");
    driver.advance(Duration::from_secs(29)).unwrap();
    event(&mut driver, "busy", 401);
    driver.advance(Duration::from_secs(2)).unwrap();
    driver.commit().unwrap();
    assert_eq!(values(&driver.read("out")), ["2", "final"]);
}

#[test]
fn poison_record_goes_to_the_dead_letters_and_the_partition_moves_on() {
    let mut driver = windowed(&["in"]);
    driver.pipe("in", 0, Some(Bytes::from("btc")), Some(Bytes::from("noon")), NOON).unwrap();
    event(&mut driver, "in", 0);
    driver.commit().unwrap();
    let letters = driver.read("in.dlq");
    assert_eq!(values(&letters), ["noon"]);
    let header = |name: &str| letters[0].headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone());
    assert_eq!(header("dlq.reason").as_deref(), Some(&b"not-a-time"[..]));
    assert_eq!(header("dlq.offset").as_deref(), Some(&b"0"[..]));
    assert_eq!(values(&driver.read("out")), ["1"]);
}

#[test]
fn dead_letter_that_cannot_be_written_holds_the_partition() {
    struct Away;
    impl DeadLetterEncoder for Away {
        fn encode(&self, _: &DeadLetter<'_>) -> Result<Bytes, String> {
            Err("registry away".to_owned())
        }
    }
    let mut driver = windowed(&["in"]).with_dead_letters(Arc::new(Away));
    let failed = driver.pipe("in", 0, None, Some(Bytes::from("noon")), NOON);
    assert_eq!(failed, Err(ProcessorError::Retry("dead letter not encoded: registry away".to_owned())));
}

#[test]
fn processor_is_made_again_after_an_abort() {
    static MADE: AtomicU32 = AtomicU32::new(0);
    let topology = Topology::builder("windowed").source("in").sink("out").store(StoreSpec::key_value("counts"));
    let topology = topology.processor(|_| {
        MADE.fetch_add(1, Ordering::SeqCst);
        Box::new(WindowedCount::default())
    });
    let mut driver = TopologyTestDriver::new(topology.build().unwrap(), ManualClock::new(NOON));
    event(&mut driver, "in", 0);
    driver.abort().unwrap();
    assert_eq!(MADE.load(Ordering::SeqCst), 2);
}

#[test]
fn batches_are_bounded_and_in_order() {
    struct Sizes;
    impl Processor for Sizes {
        fn process(&mut self, batch: &[Record], ctx: &mut ProcessorContext<'_>) -> Result<(), ProcessorError> {
            let offsets: Vec<String> = batch.iter().map(|record| record.offset.to_string()).collect();
            ctx.forward("out", None, Some(Bytes::from(offsets.join(" "))), NOON);
            Ok(())
        }
    }
    let topology = Topology::builder("sizes").source("in").sink("out").max_batch(2);
    let topology = topology.processor(|_| Box::new(Sizes)).build().unwrap();
    let mut driver = TopologyTestDriver::new(topology, ManualClock::new(NOON));
    driver.pipe_batch("in", 0, (0..5).map(|_| (None, None, NOON))).unwrap();
    driver.commit().unwrap();
    assert_eq!(values(&driver.read("out")), ["0 1", "2 3", "4"]);
}

#[test]
#[should_panic(expected = "elsewhere is not a sink of the topology")]
fn undeclared_sink_is_a_broken_invariant() {
    struct Astray;
    impl Processor for Astray {
        fn process(&mut self, _: &[Record], ctx: &mut ProcessorContext<'_>) -> Result<(), ProcessorError> {
            ctx.forward("elsewhere", None, None, NOON);
            Ok(())
        }
    }
    let topology = Topology::builder("astray").source("in").processor(|_| Box::new(Astray)).build().unwrap();
    let mut driver = TopologyTestDriver::new(topology, ManualClock::new(NOON));
    let _ = driver.pipe("in", 0, None, None, NOON);
}

fn topology() -> Topology {
    let topology = Topology::builder("windowed").source("in").sink("out").store(StoreSpec::key_value("counts"));
    topology.processor(|_| Box::new(WindowedCount::default())).build().unwrap()
}

fn record(offset: i64, event_time: i64) -> Record {
    Record {
        topic: "in".into(),
        partition: 0,
        offset,
        timestamp: NOON,
        key: Some(Bytes::from("btc")),
        value: Some(Bytes::from(event_time.to_string())),
        headers: Vec::new(),
    }
}

/// What may happen to a running topology.
#[derive(Clone, Copy, Debug)]
enum Step {
    Event(i64),
    Commit,
    Abort,
    Restart,
}

fn step() -> impl proptest::strategy::Strategy<Value = Step> {
    use proptest::prelude::{Just, Strategy, prop_oneof};
    prop_oneof![
        6 => (0..2_000_i64).prop_map(Step::Event),
        2 => Just(Step::Commit),
        1 => Just(Step::Abort),
        1 => Just(Step::Restart),
    ]
}

/// Runs `steps` and returns all that was committed in the end, sorted.
fn committed(steps: impl IntoIterator<Item = Step>) -> (Vec<String>, u64) {
    let mut driver = windowed(&["in"]);
    for step in steps {
        match step {
            Step::Event(seconds) => event(&mut driver, "in", seconds),
            Step::Commit => driver.commit().unwrap(),
            Step::Abort => driver.abort().unwrap(),
            Step::Restart => driver.restart().unwrap(),
        }
    }
    driver.commit().unwrap();
    let line = |record: &OutgoingRecord| format!("{:?} {:?}", record.timestamp, record.value);
    let mut lines: Vec<String> = driver.read("out").iter().map(line).collect();
    lines.sort();
    (lines, driver.late())
}

proptest::proptest! {
    #[test]
    fn commits_aborts_and_restarts_anywhere_change_nothing(steps in proptest::collection::vec(step(), 1..80)) {
        let quiet = steps.iter().copied().filter(|step| matches!(step, Step::Event(_)));
        proptest::prop_assert_eq!(committed(steps.iter().copied()), committed(quiet));
    }
}

/// Swallows a record silently.
struct Careless;

impl Processor for Careless {
    fn process(&mut self, batch: &[Record], ctx: &mut ProcessorContext<'_>) -> Result<(), ProcessorError> {
        ctx.settle(crate::Outcome::Counted, batch.len() as u64 - 1);
        Ok(())
    }
}

#[test]
fn a_record_of_which_nothing_is_said_is_found_out_at_the_commit_and_stays_so() {
    let topology = Topology::builder("careless").source("in").store(crate::StoreSpec::key_value("counts"));
    let topology = topology.accounted().processor(|_| Box::new(Careless)).build().unwrap();
    let mut task = task(&topology, 0, i64::MAX);
    task.start().unwrap();
    task.process(&[record(0, 0), record(1, 0)]).unwrap();
    task.aborted();
    assert_eq!((task.unaccounted(), task.next_mark().account.consumed), (0, 0), "an abort takes the account back");
    task.process(&[record(0, 0), record(1, 0)]).unwrap();
    let mark = task.next_mark();
    task.committed();
    assert_eq!(task.distrust().as_deref(), Some("task careless-0: 1 records are not accounted for"));
    assert_eq!(*task.mark(), mark, "the changelog carries it to the next owner");
}

#[test]
fn what_a_torn_commit_wrote_is_taken_back_by_the_next_commit_also_after_an_abort() {
    let mark = |commit, offset| Mark {
        commit,
        stores: vec![commit],
        inputs: vec![Position { topic: "in".to_owned(), offset, times: "- - -".to_owned() }],
        ..Mark::default()
    };
    let mut task = task(&topology(), 9, i64::MAX);
    task.restore_record(0, Bytes::from("old"), Some(Bytes::from("1")));
    task.logged_to(0, Some(5));
    let held = vec![vec![(Bytes::from("old"), Some(Bytes::from("2"))), (Bytes::from("new"), Some(Bytes::from("1")))]];
    task.roll_back(Rollback { to: mark(7, 4), drop: vec![true], highest: 8 }, held);
    task.aborted();
    assert_eq!(task.positions().next().unwrap().1, 4);
    assert_eq!(task.logged(), None, "a snapshot of now would hide what the changelog still says");
    let changes: Vec<_> = task.changes().map(|(_, key, value)| (key.clone(), value.cloned())).collect();
    assert_eq!(changes, [(Bytes::from("new"), None), (Bytes::from("old"), Some(Bytes::from("1")))]);
    assert_eq!((task.next_mark().commit, task.next_mark().stores), (9, vec![9]));
    task.committed();
    assert!(!task.has_staged() && task.logged().is_some());
}
