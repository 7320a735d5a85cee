//! Opaque cursors for keyset pagination.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::http::params;
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
fn encode(question: &str, time: UtcTime, id: &str) -> String {
    Cursor { q: fingerprint(question), t: time.0.as_microsecond(), id: id.to_owned() }.encode()
}

impl Cursor {
    pub(crate) fn encode(&self) -> String {
        let json = serde_json::to_vec(self).unwrap_or_default();
        json.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// Shortens `rows`, of which one more than `limit` was asked for, to a page. Returns the cursor of the next page, if there is one; `place` gives
/// a row's time and id.
pub(crate) fn end_page<T>(
    rows: &mut Vec<T>,
    limit: i64,
    question: &str,
    place: impl Fn(&T) -> (UtcTime, &str),
) -> Option<String> {
    let more = rows.len() as i64 > limit;
    rows.truncate(limit as usize);
    let (time, id) = rows.last().filter(|_| more).map(place)?;
    Some(encode(question, time, id))
}

/// Reads the parameter `cursor`; rejects one that is not ours or that belongs to another question.
pub(crate) fn read(text: Option<&params::Cursor>, question: &str) -> Result<Option<(UtcTime, String)>, Problem> {
    let Some(params::Cursor(text)) = text else { return Ok(None) };
    let place = decode(text).filter(|cursor| cursor.q == fingerprint(question)).and_then(|cursor| {
        let time = jiff::Timestamp::from_microsecond(cursor.t).ok()?;
        (EARLIEST..=LATEST).contains(&time).then_some((UtcTime(time), cursor.id))
    });
    let expected = "expected the value of next from an answer to the same question";
    place.map(Some).ok_or_else(|| Problem::invalid_parameter("cursor", expected))
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
        let text = encode("posts BTC", time, "reddit:ü%\"");
        let read = |question: &str, text: &str| read(Some(&params::Cursor(text.to_owned())), question);
        assert_eq!(read("posts BTC", &text).unwrap(), Some((time, "reddit:ü%\"".to_owned())));
        for (question, bad) in [
            ("posts ETH", text.as_str()),
            ("posts BTC", "zz"),
            ("posts BTC", "7b7d"),
            ("posts BTC", "0"),
            ("posts BTC", "😀"),
        ] {
            assert_eq!(read(question, bad).unwrap_err().errors[0].parameter, "cursor", "{bad}");
        }
    }
}
