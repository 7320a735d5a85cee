//! What can go wrong in a round.

use vigie_archive::ArchiveError;
use vigie_kafka_client::{KafkaError, TopicPartition};

/// Why a round did not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum RoundError {
    /// The service was asked to stop. What is not committed will be done again.
    #[error("stopped")]
    Stopped,
    /// Kafka does not answer.
    #[error(transparent)]
    Kafka(#[from] KafkaError),
    /// The archive does not, or it is damaged.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// The topic is another one than was archived.
    #[error(
        "{partition} ends at offset {end}, and was archived up to {archived}: it was recreated; give another --archive-url"
    )]
    Recreated {
        /// The partition.
        partition: TopicPartition,
        /// Its end.
        end: i64,
        /// The archive's next offset.
        archived: i64,
    },
}
