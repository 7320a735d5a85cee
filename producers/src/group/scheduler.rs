//! Asks every source that this replica owns when it is due, and gives what comes to the writer of its partition.
//!
//! ```text
//!   due ─▶ poll (many at once) ─▶ writer (one transaction for the polls that are there) ─▶ committed ─▶ due again
//!    ▲
//!    └── take over: claim partitions, read cursors ◀── what the group gives, or the list of sources, has changed
//! ```
//!
//! A source is not asked again before its last poll is committed, so that there is never more than one poll of a source under way.
//! That the group gave or took partitions, that a writer ended and that the list changed are one thing here: the sources that are
//! owned are not those that should be, and [`Scheduler::reconcile`] takes over what is missing.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinSet};
use tracing::{debug, error, info, warn};
use vigie_daemon::{Component, Context, ServiceError};
use vigie_kafka_client::KafkaConfig;
use vigie_schemas::FetchRecord;

use crate::config::Config;
use crate::fetcher::Fetcher;
use crate::group::membership::{Answer, Change, Membership};
use crate::group::plan::Plan;
use crate::group::reload::Reloaded;
use crate::group::slots::Slots;
use crate::group::takeover::{Taken, Takeover, take};
use crate::poll::{fresh_cursor, poll};
use crate::publish::cursors::TakeError;
use crate::publish::publisher::{PartitionWriter, Report, Shared};
use crate::sources;

/// How long a stop waits for polls under way: what they would have brought is read again after the next start.
const DRAIN: Duration = Duration::from_secs(2);

/// How long a shutdown waits for a broker that does not answer.
const PATIENCE: Duration = Duration::from_secs(6);

/// The component of the file of sources.
const SOURCES_FILE: &str = "sources-file";

/// How long partitions that could not be taken, or were taken away by another, are left alone.
const AGAIN: Duration = Duration::from_secs(1);

/// How long the loop waits if nothing is due: everything else wakes it.
const IDLE: Duration = Duration::from_secs(60);

pub(crate) struct Scheduler {
    plan: Plan,
    lists: Option<mpsc::Receiver<Reloaded>>,
    /// Of the file that the lists come from, as probes show it.
    file: Option<Component>,
    is_member: bool,
    /// The partitions that the group has given this replica.
    assigned: BTreeSet<i32>,
    /// Those of them that are claimed.
    writers: BTreeMap<i32, PartitionWriter>,
    writers_opened: u64,
    slots: Slots,
    polls: JoinSet<()>,
    taking: JoinSet<Result<Taken, TakeError>>,
    /// The sources owned may not be those that should be.
    is_stale: bool,
    /// The group has spoken: the number of partitions may be another.
    is_regrouped: bool,
    /// No take-over before this, in monotonic time.
    not_before: Duration,
    /// Revocations that wait for a take-over under way, which must not claim afterwards.
    answers: Vec<Arc<Answer>>,
    shared: Arc<Shared>,
    report: mpsc::UnboundedSender<Report>,
    reports: mpsc::UnboundedReceiver<Report>,
    fetcher: Arc<Fetcher>,
    kafka: KafkaConfig,
    concurrency: usize,
    ctx: Context,
}

impl Scheduler {
    pub(crate) fn new(
        plan: Plan,
        lists: Option<mpsc::Receiver<Reloaded>>,
        shared: Shared,
        fetcher: Arc<Fetcher>,
        config: &Config,
        ctx: Context,
    ) -> Self {
        let (report, reports) = mpsc::unbounded_channel();
        let file = lists.is_some().then(|| ctx.health.component(SOURCES_FILE)).inspect(Component::ready);
        Self {
            plan,
            lists,
            file,
            is_member: false,
            assigned: BTreeSet::new(),
            writers: BTreeMap::new(),
            writers_opened: 0,
            slots: Slots::default(),
            polls: JoinSet::new(),
            taking: JoinSet::new(),
            is_stale: false,
            is_regrouped: false,
            not_before: Duration::ZERO,
            answers: Vec::new(),
            shared: Arc::new(shared),
            report,
            reports,
            fetcher,
            kafka: config.kafka.clone(),
            concurrency: config.concurrency,
            ctx,
        }
    }

    pub(crate) async fn run(mut self, mut membership: Membership) -> Result<(), ServiceError> {
        self.count();
        while !self.ctx.shutdown.is_cancelled() {
            let wait = self.reconcile().min(self.start_due());
            tokio::select! {
                () = self.ctx.shutdown.cancelled() => break,
                () = tokio::time::sleep(wait) => {}
                Some(report) = self.reports.recv() => self.on_report(report)?,
                Some(ended) = self.polls.join_next_with_id() => self.on_poll_ended(ended),
                Some(taken) = self.taking.join_next() => self.on_taken(taken),
                change = membership.changes.recv() => self.on_change(change)?,
                Some(list) = next(&mut self.lists) => self.on_list(list),
            }
        }
        self.drain(membership).await
    }

    /// Starts the polls that are due; returns how long to wait for the next.
    fn start_due(&mut self) -> Duration {
        let now = self.ctx.clock.now();
        while let Some(at) = self.slots.next_due() {
            if at > now {
                return at.since(now).min(IDLE);
            }
            if self.polls.len() >= self.concurrency {
                return IDLE;
            }
            let Some((serial, slot)) = self.slots.take_due() else { break };
            // Sources have writers: both go at once.
            let Some(writer) = self.writers.get(&slot.partition) else { continue };
            let (source, cursor, inbox) = (Arc::clone(&slot.source), Arc::clone(&slot.cursor), writer.inbox.clone());
            let (fetcher, clock) = (Arc::clone(&self.fetcher), self.ctx.clock.clone());
            slot.polled_by(self.polls.spawn(async move {
                let polled = poll(&source, &cursor, &fetcher, &*clock).await;
                // A writer that has ended says so in its report.
                let _ = inbox.send((serial, polled)).await;
            }));
        }
        IDLE
    }

    /// Takes over what should be owned and is not; returns how long to wait before the next attempt.
    fn reconcile(&mut self) -> Duration {
        if !self.is_stale || !self.taking.is_empty() {
            return IDLE;
        }
        let now = self.ctx.clock.monotonic();
        if now < self.not_before {
            return self.not_before - now;
        }
        self.is_stale = false;
        let mut claim = BTreeSet::new();
        let mut sources = HashSet::new();
        for planned in self.plan.iter().filter(|planned| self.assigned.contains(&planned.partition)) {
            if !self.writers.contains_key(&planned.partition) {
                claim.insert(planned.partition);
            }
            if !self.slots.contains(&planned.source.id) {
                sources.insert(planned.source.id.clone());
            }
        }
        if claim.is_empty() && sources.is_empty() && !std::mem::take(&mut self.is_regrouped) {
            self.settle();
            return IDLE;
        }
        debug!(partitions = ?claim, sources = sources.len(), "taking over");
        let (codec, lease) = (self.shared.codec.clone(), Arc::clone(&self.shared.lease));
        self.taking.spawn(take(Takeover { claim, sources }, self.kafka.clone(), codec, lease));
        IDLE
    }

    fn on_taken(&mut self, taken: Result<Result<Taken, TakeError>, JoinError>) {
        // From here on this take-over claims nothing more.
        self.answers.clear();
        match taken.unwrap_or_else(|e| Err(TakeError::Failed(e.to_string()))) {
            Ok(taken) if taken.partitions != self.plan.partitions() => {
                warn!(
                    from = self.plan.partitions(),
                    to = taken.partitions,
                    "number of partitions changed, sources move"
                );
                self.drop_writers(|_| true);
                self.plan = self.plan.over(taken.partitions);
                self.is_stale = true;
            }
            Ok(taken) => self.adopt(taken),
            Err(error) => {
                debug!(%error, "take-over failed, trying again");
                self.shared.health.not_ready(error.to_string());
                self.retry();
            }
        }
    }

    /// Opens the writers of what was claimed and schedules its sources.
    fn adopt(&mut self, mut taken: Taken) {
        let mut claimed = BTreeSet::new();
        for (partition, publisher) in taken.publishers {
            if !self.assigned.contains(&partition) || self.writers.contains_key(&partition) {
                continue;
            }
            claimed.insert(partition);
            self.writers_opened += 1;
            let (shared, report) = (Arc::clone(&self.shared), self.report.clone());
            self.writers
                .insert(partition, PartitionWriter::open(self.writers_opened, partition, publisher, shared, report));
            self.shared.metrics.takeovers.inc();
        }
        let mut resumed = 0;
        {
            let mut known = self.shared.known.lock();
            for planned in self.plan.iter().filter(|planned| taken.sources.contains(&planned.source.id)) {
                let source = &planned.source;
                if !self.writers.contains_key(&planned.partition) || self.slots.contains(&source.id) {
                    continue;
                }
                let cursor = taken.cursors.remove(&source.id);
                resumed += usize::from(cursor.is_some());
                let cursor = cursor.unwrap_or_else(|| fresh_cursor(source));
                for id in &cursor.recent_ids {
                    known.insert(id);
                }
                if claimed.contains(&planned.partition) {
                    self.fetcher.hold_off(&source.url, source.local);
                }
                self.slots.insert(planned, cursor);
            }
        }
        if !taken.sources.is_empty() {
            info!(partitions = ?self.writers.keys(), sources = self.slots.len(), resumed, "sources taken over");
        }
        self.settle();
        // The list, or what the group gave, may have changed meanwhile.
        self.is_stale = true;
    }

    fn on_change(&mut self, change: Option<Change>) -> Result<(), ServiceError> {
        match change {
            Some(Change::Joined) => {
                self.is_member = true;
                self.is_stale = true;
            }
            Some(Change::Assigned(partitions)) => {
                self.assigned.extend(partitions);
                self.is_member = true;
                self.is_stale = true;
                self.is_regrouped = true;
            }
            Some(Change::Revoked(partitions, answer)) => self.give_up(&partitions, answer),
            Some(Change::Lost(answer)) => {
                self.is_member = false;
                self.assigned.clear();
                self.drop_writers(|_| true);
                self.shared.health.not_ready("not a member of the group");
                drop(answer);
            }
            Some(Change::Failed(error)) => return Err(ServiceError::failed(error)),
            None => return Err(ServiceError::failed("the thread of the group's member ended")),
        }
        self.count();
        Ok(())
    }

    /// Ends the work on partitions that go, and only then lets them go: their polls are dropped, a transaction under way is finished.
    fn give_up(&mut self, partitions: &[i32], answer: Answer) {
        self.assigned.retain(|partition| !partitions.contains(partition));
        self.slots.drop_partitions(|partition| partitions.contains(&partition));
        let going: Vec<PartitionWriter> =
            partitions.iter().filter_map(|partition| self.writers.remove(partition)).collect();
        let answer = Arc::new(answer);
        if !self.taking.is_empty() {
            self.answers.push(Arc::clone(&answer));
        }
        tokio::spawn(async move {
            for writer in going {
                writer.stop().await;
            }
            drop(answer);
        });
    }

    fn drop_writers(&mut self, goes: impl Fn(i32) -> bool) {
        self.slots.drop_partitions(&goes);
        for (_, writer) in self.writers.extract_if(.., |partition, _| goes(*partition)) {
            writer.abandon();
        }
    }

    fn on_report(&mut self, report: Report) -> Result<(), ServiceError> {
        match report {
            Report::Committed(batch) => {
                for (serial, polled) in batch {
                    let is = polled.cursor.failures > 0;
                    let before = self.slots.commit(serial, polled.cursor);
                    // A source that left its place after this poll may have another here.
                    self.is_stale |= before.is_some() && !self.slots.contains(&polled.record.source);
                    let was = before.map_or(is, |before| before.failures > 0);
                    self.account(&polled.record, was, is);
                }
                self.shared.metrics.failing.set(to_gauge(self.slots.failing()));
            }
            Report::Ended { partition, writer, reason } => {
                if self.writers.get(&partition).is_some_and(|open| open.number == writer) {
                    warn!(partition, reason, "polls not published, the partition is taken over again");
                    self.shared.metrics.publish_retries.inc();
                    self.shared.health.not_ready(reason);
                    self.drop_writers(|other| other == partition);
                    self.retry();
                }
            }
            Report::Hopeless(error) => return Err(error),
        }
        Ok(())
    }

    /// Counts a poll, and says when a source begins or ends to fail.
    fn account(&self, record: &FetchRecord, was: bool, is: bool) {
        let metrics = &self.shared.metrics;
        metrics.fetches.with_label_values(&[&record.kind, &record.decision]).inc();
        metrics.bytes.with_label_values(&[&record.kind]).inc_by(u64::try_from(record.bytes).unwrap_or_default());
        metrics.fetch_seconds.with_label_values(&[&record.kind]).observe(record.duration_ms as f64 / 1000.0);
        if is && !was {
            let reason = record.reason.as_deref().unwrap_or_default();
            warn!(source = record.source, decision = record.decision, reason, next_at = %record.next_at, "source failing");
        } else if was && !is {
            info!(source = record.source, "source recovered");
        }
    }

    /// A poll that was dropped has no slot any more. One that panicked has, and would wait for ever.
    fn on_poll_ended(&mut self, ended: Result<(tokio::task::Id, ()), JoinError>) {
        let Err(failure) = ended else { return };
        if failure.is_panic() {
            let at = self.ctx.clock.now().saturating_add(IDLE);
            if let Some(source) = self.slots.again_at(failure.id(), at) {
                error!(source = source.id, error = %failure, "poll panicked");
            }
        }
    }

    fn on_list(&mut self, list: Reloaded) {
        let metrics = &self.shared.metrics;
        metrics.file_invalid.set(i64::from(list.is_err()));
        metrics.reloads.with_label_values(&[if list.is_ok() { "applied" } else { "invalid" }]).inc();
        let sources = match list {
            Ok(sources) => sources,
            Err(mistakes) => {
                for mistake in &mistakes {
                    warn!(%mistake, "sources file has a mistake, the previous list stays in use");
                }
                if let Some(file) = &self.file {
                    file.degraded(format!(
                        "the earlier list is used: {}",
                        mistakes.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
                    ));
                }
                return;
            }
        };
        if let Some(file) = &self.file {
            file.ready();
        }
        let plan = Plan::new(sources::ready(sources), self.plan.partitions());
        let added = plan.iter().filter(|planned| self.plan.get(&planned.source.id).is_none()).count();
        let gone = self.plan.iter().filter(|planned| plan.get(&planned.source.id).is_none()).count();
        self.plan = plan;
        let applied = self.slots.apply(&self.plan, self.ctx.clock.now());
        if added + gone + applied.changed + applied.removed > 0 {
            info!(added, gone, sources = self.plan.len(), changed_here = applied.changed, "sources reloaded");
        }
        self.is_stale = true;
        self.count();
    }

    /// Everything that should be owned is.
    fn settle(&self) {
        if self.is_member {
            self.shared.health.ready();
        }
        self.count();
    }

    fn retry(&mut self) {
        self.is_stale = true;
        self.not_before = self.ctx.clock.monotonic() + AGAIN;
        self.count();
    }

    fn count(&self) {
        let metrics = &self.shared.metrics;
        metrics.sources.set(to_gauge(self.plan.len()));
        metrics.partitions.set(to_gauge(self.assigned.len()));
        metrics.owned.set(to_gauge(self.slots.len()));
        metrics.failing.set(to_gauge(self.slots.failing()));
    }

    /// Gives polls under way a moment, publishes what came, drops the rest, of which nothing is published, and leaves the group.
    async fn drain(mut self, membership: Membership) -> Result<(), ServiceError> {
        let polls = async { while self.polls.join_next().await.is_some() {} };
        let _ = tokio::time::timeout(DRAIN, polls).await;
        self.polls.abort_all();
        self.taking.abort_all();
        let writers = std::mem::take(&mut self.writers);
        let publishing = async {
            for (_, writer) in writers {
                writer.finish().await;
            }
        };
        let published = tokio::time::timeout(PATIENCE, publishing).await;
        membership.leave().await;
        // A writer that ended early says so; what it had in hand will be polled again.
        while let Ok(report) = self.reports.try_recv() {
            if let Report::Hopeless(error) = report {
                return Err(error);
            }
        }
        if published.is_err() {
            let detail = "no answer until the end of the shutdown";
            return Err(ServiceError::unavailable("kafka or schema registry", detail));
        }
        info!("producers stopped");
        Ok(())
    }
}

/// The next list; never, if there is no file to look at.
async fn next(lists: &mut Option<mpsc::Receiver<Reloaded>>) -> Option<Reloaded> {
    lists.as_mut()?.recv().await
}

fn to_gauge(n: usize) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}
