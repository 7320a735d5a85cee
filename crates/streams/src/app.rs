//! An application: a topology, run by stream threads, until it is asked to stop or, in a bounded run, until it is done.

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, ScopedJoinHandle};
use std::time::Duration;

use prometheus::Registry;
use tracing::{debug, error, info, warn};
use vigie_clock::SharedClock;
use vigie_kafka_client::{Admin, TopicSpec};

use crate::app_state::{AppState, StateBoard};
use crate::changelog;
use crate::config::{StateBackend, StreamsConfig};
use crate::error::StreamsError;
use crate::metrics::StreamsMetrics;
use crate::processor::dead_letter::DeadLetterEncoder;
use crate::snapshot::{self, StateDir, StateDirParts};
use crate::standby::Standbys;
use crate::store::database::Memory;
use crate::thread::StreamThread;
use crate::thread::bounds::Bounds;
use crate::thread::pace::Pace;
use crate::thread::shared::Shared;
use crate::thread::stall::Heartbeat;
use crate::thread::standby;
use crate::topology::Topology;

/// How long a start waits for a broker.
const BROKER_WAIT: Duration = Duration::from_secs(10);
/// How long a start waits for topics that another process is creating.
const TOPIC_WAIT: Duration = Duration::from_secs(30);
/// How often a wait looks again.
const LOOK_AGAIN: Duration = Duration::from_millis(100);
/// How often the threads are looked at.
const WATCH: Duration = Duration::from_millis(50);

/// Runs a [`Topology`] on Kafka.
pub struct StreamsApp {
    pub(crate) config: StreamsConfig,
    pub(crate) topology: Topology,
    encoder: Arc<dyn DeadLetterEncoder>,
    clock: SharedClock,
    metrics: Arc<StreamsMetrics>,
    listener: Option<Arc<crate::app_state::Listener>>,
}

impl StreamsApp {
    /// An application of `topology`. Does not connect yet.
    pub fn new(
        config: StreamsConfig,
        topology: Topology,
        encoder: Arc<dyn DeadLetterEncoder>,
        clock: SharedClock,
        registry: &Registry,
    ) -> Self {
        let metrics = Arc::new(StreamsMetrics::new(registry, &config.application_id));
        Self { config, topology, encoder, clock, metrics, listener: None }
    }

    /// Calls `listener` whenever the application's state changes, from the thread that changed it.
    #[must_use]
    pub fn on_state(mut self, listener: impl Fn(&AppState) + Send + Sync + 'static) -> Self {
        self.listener = Some(Arc::new(listener));
        self
    }

    /// The changelog topics of the application.
    pub fn changelog_topics(&self) -> Vec<String> {
        self.topology.changelogs(&self.config.application_id)
    }

    /// Deletes what the application keeps: its consumer group, its changelogs and what is in this instance's folder. It must not be running.
    ///
    /// # Errors
    /// If the brokers refuse or do not answer.
    pub fn delete_state(&self) -> Result<(), StreamsError> {
        let admin = Admin::new(&self.config.kafka)?;
        // The offsets first: without them what is left of the state is refused, not continued.
        admin.delete_groups(&[&self.config.application_id])?;
        admin.delete_topics(&self.changelog_topics())?;
        if let Some(root) = &self.config.state_dir {
            let folder = snapshot::folder(root, &self.config.kafka.wire_name(&self.config.application_id));
            // What is left would be found to be of another incarnation.
            let removed = fs::remove_dir_all(&folder);
            debug!(folder = %folder.display(), ok = removed.is_ok(), "local state removed");
        }
        Ok(())
    }

    /// Runs until `shutdown` says so (asked every 100 ms or so), or until the offsets of
    /// [`stop_at`](StreamsConfig::stop_at) are reached. Blocks. On a shutdown the batch in hand is finished and committed.
    ///
    /// Brokers that go away while it runs are waited for; at the start they are waited for only some seconds.
    ///
    /// # Errors
    /// [`StreamsError::Unavailable`] or [`StreamsError::MissingTopics`] at the start; later only what repeating cannot mend.
    pub fn run(&self, shutdown: impl Fn() -> bool + Send + Sync) -> Result<(), StreamsError> {
        let failed = AtomicBool::new(false);
        let stop = || shutdown() || failed.load(Ordering::SeqCst);
        let admin = self.admin()?;
        let partitions = self.prepare(&admin, &stop)?;
        if stop() {
            return Ok(());
        }
        let shared = self.shared(&admin, partitions)?;
        info!(
            application = self.config.application_id,
            instance = self.config.instance_id,
            threads = self.config.threads,
            partitions,
            "application started"
        );
        let outcome = run_threads(&shared, &stop, &failed);
        info!(application = self.config.application_id, ok = outcome.is_ok(), "application stopped");
        outcome
    }

    /// A client of brokers that answer.
    pub(crate) fn admin(&self) -> Result<Admin, StreamsError> {
        self.config.kafka.ping(BROKER_WAIT)?;
        Ok(Admin::new(&self.config.kafka)?)
    }

    /// What the threads of a run over `partitions` partitions share.
    pub(crate) fn shared<'a>(&'a self, admin: &'a Admin, partitions: i32) -> Result<Shared<'a>, StreamsError> {
        let bounds = match &self.config.stop_at {
            None => None,
            Some(stop_at) => Some(Bounds::find(admin, stop_at)?),
        };
        Ok(Shared {
            config: &self.config,
            admin,
            topology: &self.topology,
            encoder: &self.encoder,
            clock: &self.clock,
            metrics: &self.metrics,
            state_dir: self.state_dir(admin)?,
            changelogs: self.changelog_topics(),
            partitions,
            hearts: (0..self.config.threads).map(|_| Heartbeat::default()).collect(),
            board: StateBoard::new(self.config.threads, self.listener.clone()),
            bounds,
            pace: self.config.rate.map(Pace::new),
            standbys: self.standbys(admin, partitions),
        })
    }

    /// Looks until `found` says so; `false` if it does not within the time that topics may take to show.
    pub(crate) fn wait_until(
        &self,
        mut found: impl FnMut() -> Result<bool, StreamsError>,
    ) -> Result<bool, StreamsError> {
        for _ in 0..TOPIC_WAIT.as_millis() / LOOK_AGAIN.as_millis() {
            if found()? {
                return Ok(true);
            }
            self.clock.sleep(LOOK_AGAIN);
        }
        Ok(false)
    }

    /// The folder for local state, if there is one. Without knowing for how long the changelogs keep tombstones there are no snapshots.
    fn state_dir(&self, admin: &Admin) -> Result<Option<StateDir>, StreamsError> {
        let (changelogs, on_disk) = (self.changelog_topics(), self.config.state_backend == StateBackend::Disk);
        if changelogs.is_empty() {
            return Ok(None);
        }
        let root = match self.config.state_dir.clone() {
            Some(root) => root,
            None if on_disk => return Err(StreamsError::NoStateDir),
            None => return Ok(None),
        };
        let kept = match changelog::delete_retention(admin, &changelogs) {
            Ok(kept) => kept,
            Err(error) if on_disk => return Err(error.into()),
            Err(error) => {
                warn!(%error, "changelogs cannot be described, snapshots are off");
                return Ok(None);
            }
        };
        Ok(Some(StateDir::new(StateDirParts {
            root,
            application: self.config.kafka.wire_name(&self.config.application_id),
            instance: self.config.instance_id.clone(),
            topology: self.topology.fingerprint().into(),
            max_age: snapshot::max_age(kept),
            interval: self.config.snapshot_interval,
            disk: on_disk.then(|| Arc::new(Memory::new(self.config.state_cache))),
            clock: Arc::clone(&self.clock),
        })))
    }

    /// Room for copies of what others run, if they are wanted and there is state. Without knowing for how long the changelogs keep tombstones there are
    /// none.
    fn standbys(&self, admin: &Admin, partitions: i32) -> Option<Standbys> {
        let changelogs = self.changelog_topics();
        if self.config.num_standby_replicas == 0 || self.config.stop_at.is_some() || changelogs.is_empty() {
            return None;
        }
        match changelog::delete_retention(admin, &changelogs) {
            Ok(kept) => Some(Standbys::new(partitions, snapshot::max_age(kept))),
            Err(error) => {
                warn!(%error, "changelogs cannot be described, there are no standby copies");
                None
            }
        }
    }

    /// Checks the topics, creates changelogs and dead-letter topics, and returns the number of partitions.
    fn prepare(&self, admin: &Admin, stop: &dyn Fn() -> bool) -> Result<i32, StreamsError> {
        changelog::refuse_half_grown(admin, &self.config.application_id)?;
        let wanted: Vec<&str> = self.topology.sources().chain(self.topology.sinks()).collect();
        let found = wait_for_topics(admin, &self.clock, &wanted, stop)?;
        let Some((source, partitions)) = self.topology.sources().find_map(|s| Some((s, *found.get(s)?))) else {
            return Ok(0);
        };
        let changelogs = self.changelog_topics();
        let check = |topic: &str, found: &BTreeMap<String, i32>| match found.get(topic) {
            Some(found) if *found != partitions => Err(StreamsError::PartitionMismatch {
                topic: topic.to_owned(),
                found: *found,
                expected: partitions,
                source_topic: source.to_owned(),
                state: changelog::place_of_state(&self.config, &changelogs),
            }),
            _ => Ok(()),
        };
        self.topology.sources().try_for_each(|other| check(other, &found))?;
        changelog::refuse_loss(admin, &self.config, &self.topology, &changelogs, partitions)?;
        changelog::create(admin, &changelogs, partitions)?;
        let dead_letters: Vec<TopicSpec> =
            self.topology.sources().map(|topic| self.encoder.topic(topic, partitions)).collect();
        for spec in &dead_letters {
            // Whoever may not create topics does without where they exist.
            if admin.partitions(&spec.name)?.is_none() {
                admin.create_topics(std::slice::from_ref(spec))?;
            }
        }
        // A topic that was just created takes a moment to show.
        let made = changelogs.iter().chain(dead_letters.iter().map(|spec| &spec.name));
        let made: Vec<&str> = made.map(String::as_str).collect();
        let made = wait_for_topics(admin, &self.clock, &made, stop)?;
        changelogs.iter().try_for_each(|changelog| check(changelog, &made))?;
        Ok(partitions)
    }
}

/// The partitions of `topics`, once all exist; of those that do when `stop` says so.
fn wait_for_topics(
    admin: &Admin,
    clock: &SharedClock,
    topics: &[&str],
    stop: &dyn Fn() -> bool,
) -> Result<BTreeMap<String, i32>, StreamsError> {
    let mut found = BTreeMap::new();
    let mut looks = TOPIC_WAIT.as_millis() / LOOK_AGAIN.as_millis();
    loop {
        for topic in topics {
            if !found.contains_key(*topic)
                && let Some(partitions) = admin.partitions(topic)?
            {
                found.insert((*topic).to_owned(), partitions);
            }
        }
        // A topology may read what it writes: a name can be there twice.
        if topics.iter().all(|topic| found.contains_key(*topic)) || stop() {
            return Ok(found);
        }
        looks -= 1;
        if looks == 0 {
            let missing = topics.iter().filter(|topic| !found.contains_key(**topic));
            return Err(StreamsError::MissingTopics { topics: missing.map(|topic| (*topic).to_owned()).collect() });
        }
        clock.sleep(LOOK_AGAIN);
    }
}

/// Runs the stream threads; the first that fails stops the others.
fn run_threads(shared: &Shared<'_>, stop: &(dyn Fn() -> bool + Sync), failed: &AtomicBool) -> Result<(), StreamsError> {
    thread::scope(|scope| {
        let mut handles = Vec::new();
        let mut outcome = Ok(());
        for index in 0..shared.config.threads {
            shared.hearts[index].beat(shared.clock);
            shared.board.set(index, AppState::Starting);
            let run = move || {
                let ended = StreamThread::new(index, shared, stop).run();
                if let Err(error) = &ended {
                    error!(thread = index, %error, "stream thread failed");
                    failed.store(true, Ordering::SeqCst);
                }
                ended
            };
            let name = format!("{}-{index}", shared.topology.name());
            match thread::Builder::new().name(name).spawn_scoped(scope, run) {
                Ok(handle) => handles.push((index, handle)),
                Err(error) => {
                    failed.store(true, Ordering::SeqCst);
                    outcome = Err(StreamsError::Spawn { thread: index, reason: error.to_string() });
                    break;
                }
            }
        }
        let copies = shared.standbys.as_ref().map(|standbys| scope.spawn(|| standby::run(shared, standbys, stop)));
        watch(shared, handles.iter().map(|(index, handle)| (*index, handle)).collect());
        for (index, handle) in handles {
            let ended = handle.join().unwrap_or_else(|_| {
                failed.store(true, Ordering::SeqCst);
                Err(StreamsError::Panicked { thread: index })
            });
            shared.board.set(index, AppState::Stopped);
            outcome = outcome.and(ended);
        }
        if copies.is_some_and(|copies| copies.join().is_err()) {
            error!("the thread of the standby copies panicked");
        }
        outcome
    })
}

/// Until all threads have ended: reports those that do not come back from their processor. They cannot be ended from outside.
fn watch<T>(shared: &Shared<'_>, handles: Vec<(usize, &ScopedJoinHandle<'_, T>)>) {
    let patience = shared.config.stuck_timeout;
    loop {
        let running: Vec<usize> =
            handles.iter().filter(|(_, handle)| !handle.is_finished()).map(|(index, _)| *index).collect();
        if running.is_empty() {
            return;
        }
        for thread in running {
            if let Some(silence) = shared.hearts[thread].stuck_for(shared.clock.monotonic(), patience) {
                let seconds = silence.as_secs();
                warn!(thread, seconds, "stream thread does not come back from its processor");
                shared.metrics.stalls.inc();
                let reason = format!("stream thread {thread} has been in its processor for {seconds} s");
                shared.board.set(thread, AppState::Degraded(reason));
            }
        }
        shared.clock.sleep(WATCH);
    }
}
