//! Publishes the posts beside the faults: at a pace while there are faults, at full speed afterwards.
//!
//! A batch whose outcome is unknown is published again, so that a record may be on the topic twice: the pipeline must bear that, and the
//! checks take the records as they are on the topic.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::task::JoinHandle;
use vigie_clock::{Clock, SystemClock};
use vigie_kafka_client::{KafkaConfig, OutgoingRecord, Publisher};
use vigie_schemas::{Codec, Topic};

use crate::error::ChaosError;
use crate::posts::{Generator, Planned};

/// Time between two batches while there are faults.
const TICK: Duration = Duration::from_millis(200);
/// Records in a batch at full speed.
const LARGE: u64 = 250;
const PAUSE: Duration = Duration::from_millis(250);

/// Writes records to `posts.raw.v1` and remembers them.
#[derive(Clone)]
pub(crate) struct Writer {
    codec: Codec,
    publisher: Publisher,
    clock: SystemClock,
    /// A broker that is away for longer than this ends the run.
    patience: Duration,
    written: Arc<Mutex<Vec<Planned>>>,
    retries: Arc<AtomicU64>,
}

impl Writer {
    pub(crate) fn new(kafka: &KafkaConfig, codec: Codec, patience: Duration) -> Self {
        let publisher = Publisher::new(kafka, "chaos");
        let (clock, written) = (SystemClock::default(), Arc::default());
        Self { codec, publisher, clock, patience, written, retries: Arc::default() }
    }

    /// Publishes `records`, again and again until the broker has them.
    pub(crate) async fn write(&self, records: Vec<Planned>) -> Result<(), ChaosError> {
        let mut outgoing = Vec::with_capacity(records.len());
        for record in &records {
            outgoing.push(self.outgoing(record).await?);
        }
        let since = self.clock.monotonic();
        while let Err(error) = self.publisher.publish(outgoing.clone()).await {
            if self.clock.monotonic().saturating_sub(since) > self.patience {
                return Err(error.into());
            }
            self.retries.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(PAUSE).await;
        }
        self.written.lock().extend(records);
        Ok(())
    }

    pub(crate) fn written(&self) -> Vec<Planned> {
        self.written.lock().clone()
    }

    pub(crate) fn count(&self) -> u64 {
        self.written.lock().len() as u64
    }

    /// How often a batch had to be published again.
    pub(crate) fn retries(&self) -> u64 {
        self.retries.load(Ordering::Relaxed)
    }

    async fn outgoing(&self, record: &Planned) -> Result<OutgoingRecord, ChaosError> {
        let topic = Topic::PostsRaw.name();
        let value = match (&record.bytes, &record.post) {
            (Some(bytes), _) => bytes.clone(),
            (None, Some(post)) => Some(self.codec.encode(topic, post).await?.into()),
            (None, None) => None,
        };
        let key = Some(record.key.clone().into());
        let (topic, partition) = (topic.to_owned(), record.partition);
        Ok(OutgoingRecord { topic, partition, key, value, ..OutgoingRecord::default() })
    }
}

/// The publishing task.
pub(crate) struct Feeder {
    finish: Arc<AtomicBool>,
    task: JoinHandle<Result<Generator, ChaosError>>,
}

impl Feeder {
    /// Publishes `per_second` records a second until [`Feeder::finish`], whatever their number.
    pub(crate) fn start(writer: Writer, generator: Generator, per_second: u64, total: u64) -> Self {
        let finish = Arc::new(AtomicBool::new(false));
        let task = tokio::spawn(feed(writer, generator, per_second, total, Arc::clone(&finish)));
        Self { finish, task }
    }

    /// Publishes what is left of the total, at full speed, and gives the generator back.
    pub(crate) async fn finish(self) -> Result<Generator, ChaosError> {
        self.finish.store(true, Ordering::SeqCst);
        self.task.await.map_err(|error| ChaosError::Other(format!("the feeder ended: {error}")))?
    }

    /// Whether it has ended early, by an error.
    pub(crate) fn has_ended(&self) -> bool {
        self.task.is_finished()
    }
}

async fn feed(
    writer: Writer,
    mut generator: Generator,
    per_second: u64,
    total: u64,
    finish: Arc<AtomicBool>,
) -> Result<Generator, ChaosError> {
    let mut tick = tokio::time::interval(TICK);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        let left = total.saturating_sub(writer.count());
        let size = match finish.load(Ordering::SeqCst) {
            true if left == 0 => return Ok(generator),
            true => left.min(LARGE),
            false => {
                tick.tick().await;
                (per_second * TICK.as_millis() as u64 / 1000).max(1)
            }
        };
        let now = writer.clock.now();
        let batch = (0..size).map(|_| generator.next(now)).collect();
        writer.write(batch).await?;
    }
}
