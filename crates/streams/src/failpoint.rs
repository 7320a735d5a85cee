//! Fail points: where a test makes a commit fail. An application without one asks nobody.

#[cfg(feature = "failpoints")]
pub(crate) mod from_env;

use std::fmt;
use std::sync::Arc;

use vigie_kafka_client::KafkaError;

/// The steps of a commit, after which a [`FailPoint`] is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommitStep {
    /// Records were processed, and no transaction was begun for them yet.
    Process,
    /// The transaction was begun.
    Begin,
    /// Outputs and changelog records were sent.
    Send,
    /// The consumed offsets were sent.
    SendOffsets,
    /// The transaction was committed, and the task does not know it yet.
    Commit,
}

/// What a fail point does.
#[derive(Clone, Debug)]
pub enum Fault {
    /// The step fails with this error.
    Error(KafkaError),
    /// The thread ends at once, without commit or abort, as if its process had been killed.
    Crash,
    /// The step that comes next is left out, as a defect would. After [`CommitStep::Send`] this commits outputs and state without the
    /// offsets that they stand on: the check of a test that runs so must fail. After any other step it does nothing.
    Omit,
}

type FailPointFn = dyn Fn(CommitStep) -> Option<Fault> + Send + Sync;

type StarveFn = dyn Fn() -> bool + Send + Sync;

/// Asked after each step of each commit whether it should fail. May block, to hold a thread at a step.
#[derive(Clone)]
pub struct FailPoint {
    decide: Arc<FailPointFn>,
    starved: Option<Arc<StarveFn>>,
}

impl FailPoint {
    /// A fail point that asks `decide`.
    pub fn new(decide: impl Fn(CommitStep) -> Option<Fault> + Send + Sync + 'static) -> Self {
        Self { decide: Arc::new(decide), starved: None }
    }

    /// As long as `starved` says so, threads are not given the records that are there, as by a client that stopped fetching.
    #[must_use]
    pub fn starve(mut self, starved: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        self.starved = Some(Arc::new(starved));
        self
    }

    pub(crate) fn is_starved(&self) -> bool {
        self.starved.as_ref().is_some_and(|starved| starved())
    }

    pub(crate) fn ask(&self, step: CommitStep) -> Option<Fault> {
        (self.decide)(step)
    }
}

impl fmt::Debug for FailPoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FailPoint")
    }
}
