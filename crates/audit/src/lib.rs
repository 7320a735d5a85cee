#![doc = include_str!("../README.md")]

mod chain;
mod event;
mod log;
mod reader;
mod writer;

use vigie_daemon::{Check, Mistake, ServiceError};
use vigie_kafka_client::{KafkaConfig, KafkaError};
use vigie_schemas::{CodecError, RegistryConfig};

pub use chain::{Broken, Entry, Report, verify};
pub use event::{Action, Event, Outcome};
pub use log::AuditLog;
pub use reader::read;

/// Where audit records go.
#[derive(clap::Args, Clone, Debug)]
pub struct AuditConfig {
    /// The brokers.
    #[command(flatten)]
    pub kafka: KafkaConfig,
    /// Their schemas.
    #[command(flatten)]
    pub registry: RegistryConfig,
}

impl AuditConfig {
    /// Checks what clap cannot.
    ///
    /// # Errors
    /// With every mistake.
    pub fn check(&self) -> Result<(), Vec<Mistake>> {
        let mut check = Check::<Self>::default();
        check.part(self.kafka.check());
        check.part(self.registry.check());
        check.finish(Some(()))
    }
}

/// Why something is not done.
#[derive(Clone, Debug, thiserror::Error)]
pub enum AuditError {
    /// The subject has opened as many authors today as it may. The refusal is audited.
    #[error("{limit} authors were opened today (UTC), which is the limit")]
    OverQuota {
        /// How many it may open.
        limit: u32,
    },
    /// It cannot be written.
    #[error("the audit log cannot be written: {0}")]
    Unwritten(String),
    /// It cannot be read.
    #[error("the audit log cannot be read: {0}")]
    Unreadable(String),
    /// A server is away.
    #[error("the audit log cannot be reached: {0}")]
    Away(String),
}

impl From<KafkaError> for AuditError {
    fn from(error: KafkaError) -> Self {
        match error {
            KafkaError::Unavailable { .. } => Self::Away(error.to_string()),
            _ => Self::Unwritten(error.to_string()),
        }
    }
}

impl From<CodecError> for AuditError {
    fn from(error: CodecError) -> Self {
        match error {
            CodecError::Registry { .. } => Self::Away(error.to_string()),
            _ => Self::Unwritten(error.to_string()),
        }
    }
}

impl From<AuditError> for ServiceError {
    fn from(error: AuditError) -> Self {
        match error {
            AuditError::Away(detail) => Self::unavailable("the audit log", detail),
            other => Self::failed(other),
        }
    }
}
