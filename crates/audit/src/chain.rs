//! The chain: how records are linked, what is known at its end, and whether all of it holds.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::time::Duration;

use sha2::{Digest, Sha256};
use vigie_clock::Timestamp;
use vigie_schemas::AuditRecord;

use crate::AuditError;
use crate::event::{Action, Outcome};

pub(crate) const DAY: Duration = Duration::from_secs(86_400);

/// A record as it is on the topic.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Where.
    pub offset: i64,
    /// SHA-256 of its value, hexadecimal: what the next record names.
    pub hash: String,
    /// What it says, or why it is no audit record.
    pub record: Result<AuditRecord, String>,
}

/// Where a chain is broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// The record whose link does not hold; -1 if none can be named.
    pub offset: i64,
    /// Why not.
    pub reason: String,
}

/// What [`verify`] found.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// How many links hold.
    pub records: u64,
    /// The offset of the first record.
    pub first: Option<i64>,
    /// The hash of the record before the first, if the chain began earlier: retention has removed it.
    pub after: Option<String>,
    /// The hash of the last record whose link holds.
    pub head: Option<String>,
    /// The first link that does not hold.
    pub broken: Option<Broken>,
}

/// Walks the chain to its end or to the first link that does not hold. With `known`, a hash that was noted earlier, a chain without it is
/// broken too: its end was cut off, or it was rewritten.
///
/// # Errors
/// Those of the entries.
pub fn verify(
    entries: impl IntoIterator<Item = Result<Entry, AuditError>>,
    known: Option<&str>,
) -> Result<Report, AuditError> {
    let mut report = Report::default();
    let mut is_known = known.is_none();
    for entry in entries {
        let Entry { offset, hash, record } = entry?;
        let reason = match record {
            Err(reason) => Some(format!("no audit record: {reason}")),
            Ok(record) if report.first.is_none() => {
                report.after = record.previous;
                None
            }
            Ok(record) if record.previous == report.head => None,
            Ok(record) => {
                let shown = |hash: Option<&String>| hash.map_or_else(|| "none".to_owned(), Clone::clone);
                let (found, expected) = (shown(record.previous.as_ref()), shown(report.head.as_ref()));
                Some(format!(
                    "it follows {found}, and the record before it is {expected}: something was changed, removed or put between"
                ))
            }
        };
        if let Some(reason) = reason {
            report.broken = Some(Broken { offset, reason });
            return Ok(report);
        }
        report.first.get_or_insert(offset);
        is_known |= [Some(&hash), report.after.as_ref()].into_iter().flatten().any(|hash| Some(hash.as_str()) == known);
        report.records += 1;
        report.head = Some(hash);
    }
    if !is_known {
        let reason =
            format!("no record has the hash {}: the end was cut off, or all rewritten", known.unwrap_or_default());
        report.broken = Some(Broken { offset: -1, reason });
    }
    Ok(report)
}

/// What a record's successor names it by.
pub(crate) fn hash(value: &[u8]) -> String {
    Sha256::digest(value).iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The end of the chain, as far as it was read.
#[derive(Clone, Debug, Default)]
pub(crate) struct End {
    /// Where to read on; `None` before anything was read.
    pub(crate) next: Option<i64>,
    pub(crate) head: Option<String>,
    day: i64,
    /// Openings of that day, by subject.
    openings: HashMap<String, u32>,
}

impl End {
    /// Takes a record in that follows the end; where it is not said.
    pub(crate) fn follow(&mut self, hash: String, record: Option<&AuditRecord>) {
        self.head = Some(hash);
        let Some((record, subject)) = record.and_then(|record| Some((record, record.subject.as_ref()?))) else {
            return;
        };
        if is_opening(record) && self.turn_to(record.at) {
            *self.openings.entry(subject.clone()).or_default() += 1;
        }
    }

    /// Whether the record may stand as it is: an opening within its subject's quota, or anything else.
    pub(crate) fn is_within(&mut self, record: &AuditRecord, quota: u32) -> bool {
        if quota == 0 || !is_opening(record) {
            return true;
        }
        self.turn_to(record.at);
        let opened = record.subject.as_ref().and_then(|subject| self.openings.get(subject));
        opened.is_none_or(|opened| *opened < quota)
    }

    /// Starts the count over if a day begins; whether `at` belongs to the day that is counted.
    fn turn_to(&mut self, at: Timestamp) -> bool {
        let day = day(at);
        if day > self.day {
            self.day = day;
            self.openings.clear();
        }
        day == self.day
    }
}

fn day(at: Timestamp) -> i64 {
    at.window_start(DAY).as_millis()
}

fn is_opening(record: &AuditRecord) -> bool {
    record.action == Action::AuthorOpen.name() && record.outcome == Outcome::Allowed.name()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Event;

    fn record(previous: Option<&str>, at: i64) -> AuditRecord {
        let event = Event::new(Some("alice"), Action::AuthorOpen, Some("a1"));
        AuditRecord { previous: previous.map(str::to_owned), ..event.record("test", Timestamp::from_millis(at)) }
    }

    fn chain() -> Vec<Entry> {
        let entry =
            |offset, hash: &str, previous| Entry { offset, hash: hash.to_owned(), record: Ok(record(previous, 0)) };
        vec![entry(0, "a", None), entry(2, "b", Some("a")), entry(4, "c", Some("b")), entry(6, "d", Some("c"))]
    }

    fn report(entries: Vec<Entry>, known: Option<&str>) -> Report {
        verify(entries.into_iter().map(Ok), known).unwrap_or_else(|error| panic!("{error}"))
    }

    fn broken_at(entries: Vec<Entry>) -> Option<i64> {
        report(entries, None).broken.map(|broken| broken.offset)
    }

    #[test]
    fn the_first_link_that_does_not_hold_is_named() {
        let whole = report(chain(), None);
        assert_eq!((whole.records, whole.head.as_deref(), whole.broken), (4, Some("d"), None));
        let mut removed = chain();
        removed.remove(1);
        assert_eq!(broken_at(removed), Some(4));
        let mut moved = chain();
        moved.swap(1, 2);
        assert_eq!(broken_at(moved), Some(4), "which now stands in the second place");
        let mut changed = chain();
        changed[1].hash = "other".to_owned();
        assert_eq!(broken_at(changed), Some(4));
        let mut added = chain();
        added.insert(2, Entry { offset: 3, ..chain().remove(3) });
        assert_eq!(broken_at(added), Some(3));
        let mut foreign = chain();
        foreign[2].record = Err("junk".to_owned());
        assert_eq!(broken_at(foreign), Some(4));
        assert_eq!(broken_at(Vec::new()), None);
    }

    #[test]
    fn a_chain_that_retention_shortened_holds_and_one_that_was_cut_lacks_what_was_noted() {
        let shortened = report(chain().split_off(2), Some("b"));
        assert_eq!((shortened.after.as_deref(), shortened.first, shortened.broken), (Some("b"), Some(4), None));
        let mut cut = chain();
        cut.truncate(2);
        assert_eq!(report(cut.clone(), None).broken, None, "links alone do not show it");
        assert!(report(cut, Some("d")).broken.is_some_and(|broken| broken.reason.contains('d')));
    }

    #[test]
    fn openings_are_counted_by_subject_and_day() {
        let (mut end, day) = (End::default(), i64::try_from(DAY.as_millis()).unwrap_or_default());
        for _ in 0..2 {
            assert!(end.is_within(&record(None, day), 2));
            end.follow("h".to_owned(), Some(&record(None, day)));
        }
        assert!(!end.is_within(&record(None, 2 * day - 1), 2));
        let refused = AuditRecord { outcome: Outcome::Refused.name().to_owned(), ..record(None, day) };
        assert!(end.is_within(&refused, 2) && end.is_within(&record(None, day), 0));
        assert!(end.is_within(&AuditRecord { subject: Some("bob".to_owned()), ..record(None, day) }, 2));
        assert!(end.is_within(&record(None, 2 * day), 2), "the next day");
        assert!(end.is_within(&record(None, day), 2), "a clock that is behind is counted with the day that has begun");
    }
}
