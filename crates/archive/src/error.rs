//! What can go wrong with an archive.

use parquet::errors::ParquetError;
use vigie_schemas::CodecError;

/// The variants say what the caller must do.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// The store does not answer, or not as it should: do the same again later.
    #[error("{0}")]
    Store(#[from] object_store::Error),
    /// The schema registry does not answer: do the same again later.
    #[error("{0}")]
    Registry(CodecError),
    /// Another writer has committed: load what is stored, and go on from there.
    #[error("another writer has committed manifest {version} of {topic}-{partition}")]
    Conflict {
        /// The topic.
        topic: String,
        /// Its partition.
        partition: i32,
        /// The number that both wanted.
        version: u64,
    },
    /// What is stored is not what was written, or is of a newer version of vigie.
    #[error("{path}: {detail}")]
    Corrupt {
        /// Where.
        path: String,
        /// What is wrong.
        detail: String,
    },
    /// A file could not be made: an error of this program.
    #[error("{0}")]
    Parquet(#[from] ParquetError),
}

impl ArchiveError {
    pub(crate) fn corrupt(path: impl Into<String>, detail: impl std::fmt::Display) -> Self {
        Self::Corrupt { path: path.into(), detail: detail.to_string() }
    }
}
