//! Why a run could not be carried through. A broken promise of the pipeline is none of these: it is in the report.

use std::time::Duration;

use vigie_kafka_client::KafkaError;
use vigie_processors::inference::ModelError;
use vigie_schemas::CodecError;
use vigie_stack::StackError;

/// Why a run ended before its checks.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ChaosError {
    /// The servers could not be started.
    #[error(transparent)]
    Stack(#[from] StackError),
    /// Kafka refused what the harness asked.
    #[error(transparent)]
    Kafka(#[from] KafkaError),
    /// A record could not be encoded or decoded.
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// The oracle has no model.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// PostgreSQL refused what the harness asked.
    #[error("postgresql: {0}")]
    Postgres(#[from] tokio_postgres::Error),
    /// A file or a process.
    #[error("{action}: {source}")]
    Io {
        /// What was tried.
        action: String,
        /// Why it failed.
        source: std::io::Error,
    },
    /// A fault had no effect, so that the run would prove nothing.
    #[error("fault did not fire: {0}")]
    DidNotFire(String),
    /// Something that must come did not.
    #[error("{what}: not within {} s", patience.as_secs())]
    TooLong {
        /// What was waited for.
        what: String,
        /// How long.
        patience: Duration,
    },
    /// A service ended without having been asked to.
    #[error("{service} ended by itself with {status}; its log ends with:\n{log}")]
    Died {
        /// Which.
        service: String,
        /// How.
        status: String,
        /// The last lines of its log.
        log: String,
    },
    /// SIGTERM or SIGINT.
    #[error("interrupted")]
    Interrupted,
    /// A run could not be carried through, and what it wrote is kept.
    #[error("seed {seed}: {why} (what was written is in {evidence})")]
    GaveUp {
        /// Of which run.
        seed: u64,
        /// Why.
        why: Box<ChaosError>,
        /// Where.
        evidence: String,
    },
    /// Anything else, in words.
    #[error("{0}")]
    Other(String),
}

impl ChaosError {
    /// For `map_err` on input and output.
    pub(crate) fn io(action: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let action = action.into();
        move |source| Self::Io { action, source }
    }
}
