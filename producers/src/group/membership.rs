//! A replica as a member of its consumer group: a thread that asks the group for partitions and reports what it gives and takes.
//!
//! ```text
//!             Assigned                     Revoked: the group waits until the work on them has ended
//!   joining ───────────▶ member ─────────────────────────────────────────────▶ member of fewer
//!      ▲                   │
//!      └───────────────────┘ Lost: they may be another's already; or asleep for too long: leave, and join as a new member
//! ```
//!
//! The partitions are those of `sources.cursors.v1`, but no record is read here: owning one is the right to ask its sources.

use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::{debug, info, warn};
use vigie_kafka_client::{Consumer, ConsumerOptions, Event, KafkaConfig, KafkaError, Reset, TopicPartition};
use vigie_schemas::{Service, Topic};

use crate::lease::Lease;

/// The consumer group of the replicas, without prefix.
pub const GROUP: &str = Service::Producers.group();

/// How long a poll waits: also how often the lease is renewed, and how soon a stop is seen.
const STEP: Duration = Duration::from_millis(200);

/// How long partitions that are taken away wait for the work on them. After that the successor's claim ends it.
const HAND_OVER: Duration = Duration::from_secs(15);

/// A member that does not poll for so long loses its partitions.
const MAX_POLL_INTERVAL: Duration = Duration::from_secs(60);

/// How long a stop waits for a group that does not answer.
const LEAVE: Duration = Duration::from_secs(2);

/// What the group says.
pub(crate) enum Change {
    /// This process is a member, be it without a partition.
    Joined,
    /// These are this process's from now on.
    Assigned(Vec<i32>),
    /// These go once the answer is dropped.
    Revoked(Vec<i32>, Answer),
    /// Nothing is this process's any more; what is under way is to be dropped, then the answer.
    Lost(Answer),
    /// The group refuses this process for good.
    Failed(KafkaError),
}

/// Dropped when a change has been carried out.
pub(crate) struct Answer(#[expect(dead_code, reason = "its end is the answer")] SyncSender<()>);

/// The member. Leaves the group when dropped.
pub(crate) struct Membership {
    pub(crate) changes: mpsc::UnboundedReceiver<Change>,
    thread: std::thread::JoinHandle<()>,
    leave: DropGuard,
}

impl Membership {
    /// Joins.
    pub(crate) fn join(kafka: &KafkaConfig, session_timeout: Duration, lease: Arc<Lease>) -> std::io::Result<Self> {
        let (sender, changes) = mpsc::unbounded_channel();
        let leave = CancellationToken::new();
        let options = ConsumerOptions {
            reset: Reset::Latest,
            session_timeout,
            max_poll_interval: MAX_POLL_INTERVAL,
            ..ConsumerOptions::new(GROUP, [Topic::SourcesCursors.name()])
        };
        let member = Member { kafka: kafka.clone(), options, lease, changes: sender, leave: leave.clone() };
        let thread = std::thread::Builder::new().name("producers-member".to_owned()).spawn(move || member.run())?;
        Ok(Self { changes, thread, leave: leave.drop_guard() })
    }

    /// Leaves the group, so that others take over at once.
    pub(crate) async fn leave(self) {
        drop((self.leave, self.changes));
        let left = tokio::task::spawn_blocking(move || self.thread.join());
        if tokio::time::timeout(LEAVE, left).await.is_err() {
            debug!("left the group without waiting for its answer");
        }
    }
}

struct Member {
    kafka: KafkaConfig,
    options: ConsumerOptions,
    lease: Arc<Lease>,
    changes: mpsc::UnboundedSender<Change>,
    leave: CancellationToken,
}

/// Why a membership ended.
enum End {
    Left,
    /// A new membership may do better.
    Rejoin(String),
    Failed(KafkaError),
}

impl Member {
    fn run(&self) {
        loop {
            self.lease.end();
            let (consumer, end) = match Consumer::new(&self.kafka, &self.options) {
                Ok(mut consumer) => {
                    let end = self.stay(&mut consumer);
                    (Some(consumer), end)
                }
                Err(error) => (None, End::Failed(error)),
            };
            match end {
                End::Left => return,
                End::Rejoin(reason) => {
                    warn!(reason, "dropping all sources and joining the group again");
                    self.lose();
                }
                End::Failed(error) => {
                    self.lose();
                    let _ = self.changes.send(Change::Failed(error));
                    return;
                }
            }
            drop(consumer);
            std::thread::sleep(STEP);
        }
    }

    fn stay(&self, consumer: &mut Consumer) -> End {
        let mut joined = false;
        let mut fresh: Vec<TopicPartition> = Vec::new();
        loop {
            if self.is_over() {
                return End::Left;
            }
            let polled = consumer.poll(STEP);
            if !self.lease.renew() {
                return End::Rejoin("asleep for longer than the group waits".to_owned());
            }
            let events = match polled {
                Ok(events) => events,
                Err(error) if error.is_retriable() => {
                    // One for each failure of a broker connection: they are worked off at once, so as not to miss the recovery.
                    debug!(%error, "consumer group not available");
                    continue;
                }
                Err(error @ KafkaError::Fatal { .. }) => return End::Failed(error),
                Err(error) => return End::Rejoin(error.to_string()),
            };
            if !fresh.is_empty() {
                // Assigned by that poll: what is written to them is our own.
                if let Err(error) = consumer.pause(&std::mem::take(&mut fresh)) {
                    debug!(%error, "assigned partitions were revoked at once");
                }
            }
            if !joined && consumer.is_member() {
                joined = true;
                let _ = self.changes.send(Change::Joined);
            }
            for event in events {
                match event {
                    Event::Records(_) => {}
                    Event::Assigned(partitions) => {
                        info!(partitions = ?numbers(&partitions), "partitions assigned");
                        self.lease.begin();
                        let _ = self.changes.send(Change::Assigned(numbers(&partitions)));
                        fresh = partitions;
                    }
                    Event::Revoked(partitions) => {
                        info!(partitions = ?numbers(&partitions), "partitions revoked");
                        self.ask(|answer| Change::Revoked(numbers(&partitions), answer));
                    }
                    Event::Lost(partitions) => {
                        warn!(partitions = ?numbers(&partitions), "partitions lost");
                        joined = false;
                        self.lose();
                    }
                }
            }
        }
    }

    fn lose(&self) {
        self.lease.end();
        self.ask(Change::Lost);
    }

    /// Sends a change and waits until it has been carried out.
    fn ask(&self, change: impl FnOnce(Answer) -> Change) {
        let (answer, answered) = sync_channel(0);
        if self.changes.send(change(Answer(answer))).is_err() {
            return;
        }
        let mut waited = Duration::ZERO;
        while answered.recv_timeout(STEP) == Err(RecvTimeoutError::Timeout) {
            waited += STEP;
            if waited >= HAND_OVER {
                warn!(seconds = HAND_OVER.as_secs(), "revoked partitions still busy, their next owner will fence them");
                return;
            }
            if self.changes.is_closed() || !self.lease.renew() {
                return;
            }
        }
    }

    fn is_over(&self) -> bool {
        self.leave.is_cancelled() || self.changes.is_closed()
    }
}

fn numbers(partitions: &[TopicPartition]) -> Vec<i32> {
    partitions.iter().map(|partition| partition.partition).collect()
}
