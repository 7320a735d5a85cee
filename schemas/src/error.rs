//! Why a record could not be encoded or decoded.

use vigie_daemon::Mistake;

/// Why a record could not be encoded or decoded.
#[derive(Debug, thiserror::Error)]
pub enum CodecError {
    /// The registry did not answer, or not sensibly. The record may be fine: try again.
    #[error("schema registry {url}: {detail}")]
    Registry {
        /// Where the registry was looked for.
        url: String,
        /// What went wrong.
        detail: String,
    },
    /// The options of the registry are wrong: exit with 64. Nothing was sent.
    #[error("{}", .0.iter().map(Mistake::to_string).collect::<Vec<_>>().join("; "))]
    Config(Vec<Mistake>),
    /// The bytes are not a record of this type. Trying again does not help.
    #[error("not a {expected} record: {detail}")]
    Invalid {
        /// The type that was expected.
        expected: &'static str,
        /// What is wrong with the bytes.
        detail: String,
    },
}

impl CodecError {
    /// Whether the same call may succeed later.
    pub fn is_retriable(&self) -> bool {
        matches!(self, Self::Registry { .. })
    }

    /// Whether the record is what is wrong, so that it is a dead letter. After any other error it is read again.
    pub fn is_of_record(&self) -> bool {
        matches!(self, Self::Invalid { .. })
    }
}
