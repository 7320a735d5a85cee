//! What is stored beside each committed offset, in the same transaction: the task's times, and whose state it is.
//!
//! ```text
//! 3 <highest event time> <watermark> <stream time> <incarnation> <commit mark> <fingerprint of the topology>
//! ```
//!
//! Version 2 had no [commit mark](crate::task::mark).
//!
//! The *incarnation* is a random number that is drawn when an application begins without committed offsets. It tells state that began
//! afresh from what a local snapshot kept of its predecessor, whose changelogs had the same names.

/// The metadata of one committed offset, taken apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Metadata<'a> {
    /// As written by [`Watermark::encode`](crate::Watermark); empty if there is none.
    pub(crate) times: &'a str,
    /// `None` in what version 1 wrote.
    pub(crate) incarnation: Option<u64>,
    /// As written by [`Mark::word`](crate::task::mark::Mark::word); `None` in what versions 1 and 2 wrote.
    pub(crate) mark: Option<&'a str>,
    /// `None` in what version 1 wrote.
    pub(crate) fingerprint: Option<&'a str>,
}

impl<'a> Metadata<'a> {
    /// Takes stored text apart. Of text that was not written here nothing is taken.
    pub(crate) fn parse(stored: &'a str) -> Self {
        if let Some(times) = stored.strip_prefix("1 ") {
            return Self { times, ..Self::default() };
        }
        let (marked, rest) = match (stored.strip_prefix("3 "), stored.strip_prefix("2 ")) {
            (Some(rest), _) => (true, rest),
            (None, Some(rest)) => (false, rest),
            (None, None) => return Self::default(),
        };
        let Some((end_of_times, _)) = rest.match_indices(' ').nth(2) else { return Self::default() };
        let (times, identity) = (&rest[..end_of_times], &rest[end_of_times + 1..]);
        let Some((incarnation, rest)) = identity.split_once(' ') else { return Self::default() };
        let (mark, fingerprint) = match rest.split_once(' ') {
            Some((mark, fingerprint)) if marked => (Some(mark), fingerprint),
            None if marked => return Self::default(),
            _ => (None, rest),
        };
        let incarnation = u64::from_str_radix(incarnation, 16).ok();
        Self { times, incarnation, mark, fingerprint: Some(fingerprint) }
    }

    pub(crate) fn write(times: &str, incarnation: u64, mark: &str, fingerprint: &str) -> String {
        format!("3 {times} {incarnation:016x} {mark} {fingerprint}")
    }
}

/// The incarnation that all of a task's `stored` metadata agree on; a new one if there is none.
pub(crate) fn incarnation<'a>(stored: impl Iterator<Item = &'a str>) -> u64 {
    let mut found = stored.map(|text| Metadata::parse(text).incarnation);
    let first = found.next().flatten();
    match first {
        Some(first) if found.all(|other| other == Some(first)) => first,
        _ => rand::random(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_and_older_or_foreign_text_is_passed_over() {
        let written = Metadata::write("1 - 3", 255, "7:7,5", "word count|a,b|counts");
        let read = Metadata::parse(&written);
        assert_eq!(read.times, "1 - 3");
        assert_eq!((read.incarnation, read.mark), (Some(255), Some("7:7,5")));
        assert_eq!(read.fingerprint, Some("word count|a,b|counts"));
        let second = Metadata::parse("2 1 - 3 00000000000000ff word count|a,b|counts");
        assert_eq!(second, Metadata { mark: None, ..read });
        assert_eq!(Metadata::parse("1 1 - 3"), Metadata { times: "1 - 3", ..Metadata::default() });
        for foreign in ["", "2", "2 1 2", "2 1 2 3 4", "3 1 2 3 4", "3 1 2 3 4 5", "something else"] {
            assert_eq!(Metadata::parse(foreign), Metadata::default(), "{foreign:?}");
        }
    }

    #[test]
    fn inputs_that_disagree_begin_again() {
        let (one, other) = (Metadata::write("- - -", 1, "1:", "t"), Metadata::write("- - -", 2, "1:", "t"));
        assert_eq!(incarnation([&*one, &*one].into_iter()), 1);
        for disagreeing in [[&*one, &*other], [&*one, ""], ["", &*one]] {
            assert!(![1, 2].contains(&incarnation(disagreeing.into_iter())));
        }
    }
}
