//! What went wrong, as what the caller must do about it.

use rdkafka::error::{KafkaError as NativeError, RDKafkaErrorCode as Code};
use vigie_daemon::Mistake;

/// An error of this crate. The variants say what the caller must do, not which call failed.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KafkaError {
    /// No broker answered within the bounded time. Try again later; at start-up, exit with 69.
    #[error("no kafka broker answers at {brokers}: {detail}")]
    Unavailable {
        /// The bootstrap servers that were asked.
        brokers: String,
        /// What the client saw.
        detail: String,
    },
    /// The options of the connection are wrong: exit with 64. Nothing was sent.
    #[error("{}", .0.iter().map(Mistake::to_string).collect::<Vec<_>>().join("; "))]
    Config(Vec<Mistake>),
    /// Nothing happened, or repeating it is harmless: do the same again after a pause.
    #[error("{operation} failed for now: {detail}")]
    Retry {
        /// What was being done.
        operation: &'static str,
        /// What the broker or the client said.
        detail: String,
    },
    /// The transaction cannot be committed: abort it, drop the staged work, go on from the last commit.
    #[error("{operation} failed and the transaction must be aborted: {detail}")]
    Abort {
        /// What was being done.
        operation: &'static str,
        /// What the broker or the client said.
        detail: String,
    },
    /// Another instance took over this transactional or member id: drop the producer and the tasks, commit nothing.
    #[error("{operation} failed, another instance has taken over: {detail}")]
    Fenced {
        /// What was being done.
        operation: &'static str,
        /// What the broker or the client said.
        detail: String,
    },
    /// The outcome is unknown or the client is unusable: drop it and everything staged, make a new one, and read back
    /// from the log what really happened.
    #[error("{operation} has an unknown outcome, state must be restored from the log: {detail}")]
    Restore {
        /// What was being done.
        operation: &'static str,
        /// What the broker or the client said.
        detail: String,
    },
    /// Repeating cannot help: wrong configuration, missing rights, an invalid record.
    #[error("{operation} cannot succeed: {detail}")]
    Fatal {
        /// What was being done.
        operation: &'static str,
        /// What the broker or the client said.
        detail: String,
    },
}

impl KafkaError {
    /// The error for brokers that do not answer.
    pub fn unavailable(brokers: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::Unavailable { brokers: brokers.into(), detail: detail.into() }
    }

    /// Whether no broker could be reached.
    pub fn is_unavailable(&self) -> bool {
        matches!(self, Self::Unavailable { .. })
    }

    /// Whether doing the same again later may succeed.
    pub fn is_retriable(&self) -> bool {
        matches!(self, Self::Unavailable { .. } | Self::Retry { .. })
    }

    pub(crate) fn fatal(operation: &'static str, detail: impl Into<String>) -> Self {
        Self::Fatal { operation, detail: detail.into() }
    }

    pub(crate) fn retry(operation: &'static str, detail: impl Into<String>) -> Self {
        Self::Retry { operation, detail: detail.into() }
    }

    /// Classifies an error of a call outside a transaction.
    pub(crate) fn from_native(operation: &'static str, error: &NativeError) -> Self {
        let detail = error.to_string();
        if let NativeError::Transaction(_) = error {
            return Self::from_transaction(operation, error);
        }
        match error {
            NativeError::MessageConsumptionFatal(code) if is_fenced(*code) => Self::Fenced { operation, detail },
            NativeError::MessageConsumptionFatal(_) => Self::Restore { operation, detail },
            NativeError::ClientConfig(..) | NativeError::ClientCreation(_) | NativeError::Nul(_) => {
                Self::Fatal { operation, detail }
            }
            // Subscribe, pause and seek carry text only, and fail when the client is closing or the partition has gone.
            NativeError::Subscription(_) | NativeError::PauseResume(_) | NativeError::Seek(_) => {
                Self::Retry { operation, detail }
            }
            other => match code_of(other) {
                Some(code) => Self::from_code(operation, code, detail),
                None => Self::Restore { operation, detail },
            },
        }
    }

    /// Classifies an error code of a call outside a transaction.
    pub(crate) fn from_code(operation: &'static str, code: Code, detail: String) -> Self {
        if is_fenced(code) {
            Self::Fenced { operation, detail }
        } else if is_transient(code) {
            Self::Retry { operation, detail }
        } else if is_hopeless(code) {
            Self::Fatal { operation, detail }
        } else {
            Self::Restore { operation, detail }
        }
    }

    /// Classifies an error of a transactional call by librdkafka's own flags, which say more than the code.
    pub(crate) fn from_transaction(operation: &'static str, error: &NativeError) -> Self {
        let detail = error.to_string();
        let NativeError::Transaction(native) = error else {
            return match code_of(error) {
                Some(code) if is_hopeless(code) => Self::Fatal { operation, detail },
                Some(code) if is_fenced(code) => Self::Fenced { operation, detail },
                _ => Self::Abort { operation, detail },
            };
        };
        let code = native.code();
        if is_fenced(code) {
            Self::Fenced { operation, detail }
        } else if is_hopeless(code) {
            Self::Fatal { operation, detail }
        } else if native.is_fatal() {
            Self::Restore { operation, detail }
        } else if native.txn_requires_abort() {
            Self::Abort { operation, detail }
        } else if native.is_retriable() {
            Self::Retry { operation, detail }
        } else {
            Self::Restore { operation, detail }
        }
    }
}

/// The code inside an error, also where rdkafka's accessor leaves it out.
fn code_of(error: &NativeError) -> Option<Code> {
    match error {
        NativeError::AdminOp(code) => Some(*code),
        other => other.rdkafka_error_code(),
    }
}

fn is_fenced(code: Code) -> bool {
    matches!(
        code,
        Code::Fenced
            | Code::ProducerFenced
            | Code::InvalidProducerEpoch
            | Code::FencedInstanceId
            | Code::InvalidProducerIdMapping
    )
}

pub(crate) fn is_transient(code: Code) -> bool {
    matches!(
        code,
        Code::BrokerTransportFailure
            | Code::AllBrokersDown
            | Code::Resolve
            | Code::OperationTimedOut
            | Code::TimedOutQueue
            | Code::RequestTimedOut
            | Code::MessageTimedOut
            | Code::NetworkException
            | Code::WaitingForCoordinator
            | Code::WaitCache
            | Code::InProgress
            | Code::CoordinatorLoadInProgress
            | Code::CoordinatorNotAvailable
            | Code::NotCoordinator
            | Code::NotController
            | Code::LeaderNotAvailable
            | Code::NotLeaderForPartition
            | Code::BrokerNotAvailable
            | Code::ReplicaNotAvailable
            | Code::NotEnoughReplicas
            | Code::NotEnoughReplicasAfterAppend
            | Code::UnknownTopic
            | Code::UnknownPartition
            | Code::UnknownTopicOrPartition
            | Code::UnknownTopicId
            | Code::OffsetNotAvailable
            | Code::UnstableOffsetCommit
            | Code::KafkaStorageError
            | Code::FencedLeaderEpoch
            | Code::UnknownLeaderEpoch
            | Code::RebalanceInProgress
            | Code::ThrottlingQuotaExceeded
            | Code::QueueFull
            | Code::PollExceeded
    )
}

fn is_hopeless(code: Code) -> bool {
    matches!(
        code,
        Code::Authentication
            | Code::SaslAuthenticationFailed
            | Code::TopicAuthorizationFailed
            | Code::GroupAuthorizationFailed
            | Code::ClusterAuthorizationFailed
            | Code::TransactionalIdAuthorizationFailed
            | Code::UnsupportedVersion
            | Code::UnsupportedFeature
            | Code::UnsupportedForMessageFormat
            | Code::InvalidTopic
            | Code::InvalidPartitions
            | Code::InvalidReplicationFactor
            | Code::InvalidConfig
            | Code::InvalidArgument
            | Code::InvalidTransactionTimeout
            | Code::InvalidGroupId
            | Code::InconsistentGroupProtocol
            | Code::PolicyViolation
            | Code::SecurityDisabled
            | Code::MessageSizeTooLarge
            | Code::InvalidMessageSize
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_say_what_to_do() {
        let classify = |code| KafkaError::from_native("poll", &NativeError::MessageConsumption(code));
        assert!(matches!(classify(Code::BrokerTransportFailure), KafkaError::Retry { .. }));
        assert!(matches!(classify(Code::TopicAuthorizationFailed), KafkaError::Fatal { .. }));
        assert!(matches!(classify(Code::FencedInstanceId), KafkaError::Fenced { .. }));
        assert!(matches!(classify(Code::IllegalGeneration), KafkaError::Restore { .. }));
    }

    #[test]
    fn messages_name_the_brokers_that_were_asked() {
        let error = KafkaError::unavailable("127.0.0.1:1", "timed out after 5 s");
        assert!(error.is_unavailable() && error.is_retriable());
        assert_eq!(error.to_string(), "no kafka broker answers at 127.0.0.1:1: timed out after 5 s");
    }
}
