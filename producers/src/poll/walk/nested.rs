//! Documents that a document lists, as an index of sitemaps does: which of them are read, and in which order.
//!
//! Newest first, no deeper than two below the source's own address, and no more than some hundred in one walk. Those that did not change since the last
//! walk are left out; of those without a time of change, only the first few are read.

use std::cmp::Reverse;
use std::collections::VecDeque;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use url::Url;
use vigie_clock::Timestamp;

use crate::kinds::source::Nested;

/// How far below the source's own address documents are read.
const MAX_DEPTH: u8 = 2;

/// Documents of one walk at most.
const MAX_LISTED: usize = 500;

/// Of those without a time of change, how many are read in a walk.
const MAX_UNDATED: usize = 5;

/// Many sites give the day of a change only: what changed on the last day may have changed again.
const AGAIN: Duration = Duration::from_secs(86_400);

/// What of a listing is to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Choice {
    /// The newest document only: a first look.
    Newest,
    /// What changed since then.
    ChangedSince(Timestamp),
    /// Everything: a backlog.
    All,
}

/// The documents that wait to be read.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Queue {
    waiting: VecDeque<Entry>,
    listed: usize,
    newest: Option<Timestamp>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Entry {
    url: Url,
    depth: u8,
    modified: Option<Timestamp>,
}

impl Queue {
    /// The document to read next.
    pub(crate) fn front(&self) -> Option<&Url> {
        self.waiting.front().map(|entry| &entry.url)
    }

    /// Takes the next document out; returns its depth, 0 if there was none.
    pub(crate) fn pop(&mut self) -> u8 {
        self.waiting.pop_front().map_or(0, |entry| entry.depth)
    }

    /// When the newest document listed so far changed; the beginning of time if none has one; `None` if none was listed.
    pub(crate) fn newest(&self) -> Option<Timestamp> {
        self.newest
    }

    /// Adds what a document at this depth lists.
    pub(crate) fn add(&mut self, listed: Vec<Nested>, depth: u8, choice: Choice) {
        if listed.is_empty() || depth >= MAX_DEPTH {
            return;
        }
        let newest = listed.iter().filter_map(|nested| nested.modified).max();
        self.newest = self.newest.max(newest).or(Some(Timestamp::from_millis(0)));
        let mut undated = 0;
        let mut chosen: Vec<Nested> = listed
            .into_iter()
            .filter(|nested| match (choice, nested.modified) {
                (Choice::ChangedSince(time), Some(modified)) => modified >= time.saturating_sub(AGAIN),
                (Choice::ChangedSince(_), None) => {
                    undated += 1;
                    undated <= MAX_UNDATED
                }
                (Choice::All | Choice::Newest, _) => true,
            })
            .collect();
        // Nothing sorts before something: the undated come last.
        chosen.sort_by_key(|nested| Reverse(nested.modified));
        let room = if choice == Choice::Newest { 1 } else { MAX_LISTED - self.listed.min(MAX_LISTED) };
        chosen.truncate(room);
        self.listed += chosen.len();
        let depth = depth + 1;
        self.waiting.extend(chosen.into_iter().map(|Nested { url, modified }| Entry { url, depth, modified }));
        self.waiting.make_contiguous().sort_by_key(|entry| Reverse(entry.modified));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 86_400_000;

    fn listed(days: &[Option<i64>]) -> Vec<Nested> {
        let nested = |(n, day): (usize, &Option<i64>)| Nested {
            url: Url::parse(&format!("https://a.example/{n}.xml")).unwrap(),
            modified: day.map(|day| Timestamp::from_millis(day * DAY)),
        };
        days.iter().enumerate().map(nested).collect()
    }

    fn order(mut queue: Queue) -> Vec<String> {
        let mut order = Vec::new();
        while let Some(url) = queue.front() {
            order.push(url.path()[1..].trim_end_matches(".xml").to_owned());
            queue.pop();
        }
        order
    }

    #[test]
    fn the_newest_come_first_and_what_did_not_change_is_left_out() {
        let days = [Some(10), None, Some(30), Some(29), Some(20)];
        let read = |choice| {
            let mut queue = Queue::default();
            queue.add(listed(&days), 0, choice);
            assert_eq!(queue.newest(), Some(Timestamp::from_millis(30 * DAY)));
            order(queue)
        };
        assert_eq!(read(Choice::All), ["2", "3", "4", "0", "1"]);
        assert_eq!(read(Choice::Newest), ["2"]);
        assert_eq!(read(Choice::ChangedSince(Timestamp::from_millis(30 * DAY))), ["2", "3", "1"]);
    }

    #[test]
    fn depth_and_number_are_bounded() {
        let mut queue = Queue::default();
        queue.add(listed(&[Some(1); 400]), 0, Choice::All);
        assert_eq!(queue.pop(), 1);
        queue.add(listed(&[Some(2); 400]), 1, Choice::All);
        assert_eq!(queue.pop(), 2);
        queue.add(listed(&[Some(3); 400]), 2, Choice::All);
        assert_eq!(queue.waiting.len(), 498);
        let mut undated = Queue::default();
        undated.add(listed(&[None; 50]), 0, Choice::ChangedSince(Timestamp::from_millis(0)));
        assert_eq!((undated.waiting.len(), undated.newest()), (MAX_UNDATED, Some(Timestamp::from_millis(0))));
    }
}
