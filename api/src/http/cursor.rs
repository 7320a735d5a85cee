//! Opaque cursors for keyset pagination.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::http::problem::Problem;
use crate::time::{EARLIEST, LATEST, UtcTime};

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Cursor {
    /// Of the question that it belongs to.
    q: u32,
    /// Microseconds since the epoch: as exact as the database.
    t: i64,
    id: String,
}

/// A cursor that goes on after the row with this time and id, for this question only.
pub(crate) fn write(question: &str, time: UtcTime, id: &str) -> String {
    Cursor { q: fingerprint(question), t: time.0.as_microsecond(), id: id.to_owned() }.encode()
}

impl Cursor {
    pub(crate) fn encode(&self) -> String {
        let json = serde_json::to_vec(self).unwrap_or_default();
        json.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// Reads the parameter `cursor`: a time and id. Rejects one that is not ours or that belongs to another question.
pub(crate) fn read(text: &str, question: &str) -> Result<(UtcTime, String), Problem> {
    let place = decode(text).filter(|cursor| cursor.q == fingerprint(question)).and_then(|cursor| {
        let time = jiff::Timestamp::from_microsecond(cursor.t).ok()?;
        (EARLIEST..=LATEST).contains(&time).then_some((UtcTime(time), cursor.id))
    });
    let expected = "expected the value of next from an answer to the same question";
    place.ok_or_else(|| Problem::invalid_parameter("cursor", expected))
}

pub(crate) fn decode(text: &str) -> Option<Cursor> {
    if !text.is_ascii() || !text.len().is_multiple_of(2) {
        return None;
    }
    let bytes: Option<Vec<u8>> =
        (0..text.len()).step_by(2).map(|at| u8::from_str_radix(text.get(at..at + 2)?, 16).ok()).collect();
    serde_json::from_slice(&bytes?).ok()
}

fn fingerprint(question: &str) -> u32 {
    let hash = Sha256::digest(question);
    u32::from_be_bytes([hash[0], hash[1], hash[2], hash[3]])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_comes_back_for_its_own_question_only() {
        let time = crate::time::parse("2022-05-09T12:00:00.123456Z").unwrap();
        let text = write("posts BTC", time, "reddit:ü%\"");
        assert_eq!(read(&text, "posts BTC").unwrap(), (time, "reddit:ü%\"".to_owned()));
        for (question, bad) in [
            ("posts ETH", text.as_str()),
            ("posts BTC", "zz"),
            ("posts BTC", "7b7d"),
            ("posts BTC", "0"),
            ("posts BTC", "😀"),
        ] {
            assert_eq!(read(bad, question).unwrap_err().errors[0].parameter, "cursor", "{bad}");
        }
    }
}
