//! What becomes of records that no stage can process.
#![expect(missing_docs, reason = "dead_letter.avsc documents the fields; two copies would drift")]

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use vigie_clock::Timestamp;

/// A record that a stage could not process, with the reason.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DeadLetter {
    pub topic: String,
    pub partition: i32,
    pub offset: i64,
    pub timestamp: Timestamp,
    #[serde(with = "apache_avro::serde::bytes_opt")]
    pub key: Option<Vec<u8>>,
    #[serde(with = "apache_avro::serde::bytes_opt")]
    pub value: Option<Vec<u8>>,
    pub stage: String,
    pub reason: String,
    pub detail: String,
    pub failed_at: Timestamp,
    pub version: Option<String>,
}

/// The largest value that a letter carries: with it the letter must fit where the record itself did (1 MiB by default).
const MAX_VALUE_BYTES: usize = 900 * 1024;

impl DeadLetter {
    /// Leaves out a value that would make the letter larger than brokers take, and says so. It stays where it was, under the letter's topic,
    /// partition and offset.
    #[must_use]
    pub fn fitting(mut self) -> Self {
        if let Some(value) = self.value.take_if(|value| value.len() > MAX_VALUE_BYTES) {
            self.detail = format!("{} (the value of {} bytes is left out)", self.detail, value.len());
        }
        self
    }
}

/// Header of the mark of a redriven letter: where in the topic its record is now, `PARTITION:OFFSET`.
pub const REDRIVEN_TO: &str = "vigie-redriven-to";
/// Header of such a mark: how often the record has been sent, this time included.
pub const REDRIVE_ATTEMPT: &str = "vigie-redrive-attempt";

/// A letter's place in its queue. The mark of one that was redriven has it as key, `PARTITION:OFFSET`, and no value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    pub partition: i32,
    pub offset: i64,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.partition, self.offset)
    }
}

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let place = text.split_once(':').and_then(|(partition, offset)| {
            Some(Self { partition: partition.parse().ok()?, offset: offset.parse().ok()? })
        });
        place.ok_or_else(|| format!("{text:?}, expected PARTITION:OFFSET"))
    }
}
