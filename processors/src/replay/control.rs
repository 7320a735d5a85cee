//! Between a running replay and those who watch and steer it.

use std::sync::Arc;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

/// What a replay is asked to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Wanted {
    /// Go on.
    #[default]
    Run,
    /// Stop where it is, and wait.
    Pause,
    /// End, and keep nothing.
    Cancel,
}

/// What a replay is busy with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Finding out what there is to do.
    #[default]
    Starting,
    /// Copying posts that Kafka no longer has out of the archive, with those after them; measured in records, of which there may be fewer.
    Restoring,
    /// Reading raw posts and scoring those of the range; measured in offsets.
    Scoring,
    /// Filling windows; measured in partitions of mentions.
    Counting,
}

/// How far a replay has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// What it is busy with.
    pub phase: Phase,
    /// Whether it waits to be resumed.
    pub paused: bool,
    /// What is done of the phase.
    pub done: u64,
    /// All of it.
    pub of: u64,
    /// Speed of this process, without pauses; none until something is done.
    pub per_second: Option<f64>,
    /// Seconds until the phase is done at this speed.
    pub eta_seconds: Option<f64>,
}

impl Progress {
    /// Of a phase of which this process has done `own` in `seconds`.
    pub(crate) fn new(phase: Phase, (done, of): (u64, u64), own: u64, seconds: f64) -> Self {
        let per_second = (own > 0 && seconds > 0.0).then(|| own as f64 / seconds);
        let eta_seconds = per_second.map(|speed| of.saturating_sub(done) as f64 / speed);
        Self { phase, paused: false, done: done.min(of), of, per_second, eta_seconds }
    }
}

/// Shared by a replay and those who watch and steer it. Clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Control(Arc<Mutex<(Wanted, Progress)>>);

impl Control {
    /// Asks the replay for something. It is done within a second or so.
    pub fn set_wanted(&self, wanted: Wanted) {
        self.0.lock().0 = wanted;
    }

    /// How far the replay has come.
    pub fn progress(&self) -> Progress {
        self.0.lock().1
    }

    pub(crate) fn wanted(&self) -> Wanted {
        self.0.lock().0
    }

    pub(crate) fn report(&self, progress: Progress) {
        self.0.lock().1 = progress;
    }
}
