//! What was heard since the last cursor: a function of the messages in their order.

use std::collections::HashSet;

use serde_json::Value;
use sha2::{Digest, Sha256};
use vigie_clock::Timestamp;

use super::{Heard, StreamPosition, Words};
use crate::content::{json, plain_text};

/// Events kept in one batch at most.
const MAX_EVENTS: usize = 4000;

/// Bytes of messages in one batch at most, kept or not.
const MAX_BYTES: usize = 64 * 1024 * 1024;

/// Bytes of kept messages in one batch at most.
const MAX_KEPT: usize = 8 * 1024 * 1024;

/// Events remembered at most, to recognise repeats.
const MAX_REMEMBERED: usize = 1000;

/// A server's clock may be ahead of ours by this, in microseconds; an event from further ahead does not move the cursor, which never goes back.
const AHEAD: i64 = 300_000_000;

/// The messages of one poll.
#[derive(Debug)]
pub(crate) struct Batch<'a> {
    words: &'a Words,
    position: StreamPosition,
    published: HashSet<u64>,
    lines: Vec<u8>,
    events: usize,
    bytes: usize,
    kept: usize,
    passed_over: usize,
    garbage: Option<String>,
}

impl<'a> Batch<'a> {
    pub(crate) fn new(position: StreamPosition, words: &'a Words) -> Self {
        let published = position.published.iter().map(|(_, hash)| *hash).collect();
        Self {
            words,
            position,
            published,
            lines: Vec::new(),
            events: 0,
            bytes: 0,
            kept: 0,
            passed_over: 0,
            garbage: None,
        }
    }

    /// Whether nothing came that makes sense.
    pub(crate) fn is_empty(&self) -> bool {
        self.events == 0
    }

    pub(crate) fn is_full(&self) -> bool {
        self.kept >= MAX_EVENTS || self.bytes >= MAX_BYTES || self.lines.len() >= MAX_KEPT
    }

    /// The cursor so far.
    pub(crate) fn at(&self) -> Option<i64> {
        (self.position.at > 0).then_some(self.position.at)
    }

    /// Takes a message in.
    pub(crate) fn take(&mut self, text: &str, now: Timestamp) {
        self.bytes += text.len();
        let event = json::read(text.as_bytes()).ok();
        let time = event.as_ref().and_then(|event| event.get("time_us")).and_then(Value::as_i64);
        let latest = now.as_millis().saturating_mul(1000).saturating_add(AHEAD);
        let (Some(event), Some(time)) = (event, time.filter(|time| (1..=latest).contains(time))) else {
            self.garbage(text);
            return;
        };
        self.events += 1;
        self.position.at = self.position.at.max(time);
        let Some(commit) = event.get("commit") else { return };
        if let Some(record) = commit.get("record")
            && json::text(commit, "operation") != Some("delete")
            && !self.is_wanted(record)
        {
            self.passed_over += 1;
            return;
        }
        let hash = name(&event, commit, time);
        if self.published.insert(hash) {
            self.position.published.push((time, hash));
            self.lines.extend(text.bytes().filter(|byte| *byte != b'\n' && *byte != b'\r'));
            self.lines.push(b'\n');
            self.kept += 1;
        }
    }

    /// Notes a message that is no event.
    pub(crate) fn garbage(&mut self, text: &str) {
        self.bytes += 1;
        self.garbage.get_or_insert_with(|| plain_text::cut(text, 200).to_owned());
    }

    /// What came of it.
    pub(crate) fn into_heard(mut self) -> Heard {
        self.position.behind = self.is_full();
        self.forget();
        let lines = match self.garbage {
            // Nothing but garbage: the parser shall say so.
            Some(garbage) if self.events == 0 => garbage.into_bytes(),
            _ if self.lines.is_empty() => b"[]".to_vec(),
            _ => self.lines,
        };
        Heard { lines, position: self.position, passed_over: self.passed_over }
    }

    /// Forgets events that no new connection would repeat, and others only with the promise not to go back to them.
    fn forget(&mut self) {
        let position = &mut self.position;
        position.published.sort_unstable();
        let oldest = position.rewound();
        position.published.retain(|(time, _)| *time >= oldest);
        let excess = position.published.len().saturating_sub(MAX_REMEMBERED);
        if let Some((last, _)) = position.published.drain(..excess).next_back() {
            position.back_to = last + 1;
        }
    }

    fn is_wanted(&self, record: &Value) -> bool {
        let texts = [
            json::text(record, "text"),
            record.get("embed").and_then(|embed| embed.get("external")).and_then(|link| json::text(link, "title")),
        ];
        let tags = json::list(record, "tags").iter().filter_map(Value::as_str);
        texts.into_iter().flatten().chain(tags).any(|text| self.words.are_in(text))
    }
}

/// What names an event on any server: account, record and revision.
fn name(event: &Value, commit: &Value, time: i64) -> u64 {
    let part = |value: &Value, name: &str| json::text(value, name).unwrap_or_default().to_owned();
    let revision = json::text(commit, "rev").map_or_else(|| time.to_string(), str::to_owned);
    let name = [part(event, "did"), part(commit, "rkey"), part(commit, "operation"), revision].join("\n");
    let digest = Sha256::digest(name.as_bytes());
    digest.iter().take(8).fold(0, |hash, byte| (hash << 8) | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000;
    const START: i64 = 1_790_000_000 * SECOND;

    fn now() -> Timestamp {
        Timestamp::from_millis(START / 1000 + 3_600_000)
    }

    fn event(n: i64, text: &str) -> String {
        let time = START + n * SECOND / 1000;
        format!(
            r#"{{"did":"did:plc:a","time_us":{time},"kind":"commit","commit":{{"rev":"r{n}","operation":"create","collection":"app.bsky.feed.post","rkey":"k{n}","record":{{"text":"{text}"}}}}}}"#
        )
    }

    fn read(position: StreamPosition, events: impl IntoIterator<Item = String>) -> (usize, Heard) {
        let words = Words::new(&[]);
        let mut batch = Batch::new(position, &words);
        events.into_iter().for_each(|event| batch.take(&event, now()));
        (batch.kept, batch.into_heard())
    }

    #[test]
    fn what_a_rewound_connection_repeats_is_not_kept_again() {
        let mut position = StreamPosition::default();
        let (mut kept_in_all, mut sent) = (0, 0);
        // Each connection begins where the last one says; a thousandth of a second lies between two events.
        for top in [3000, 9000, 9001, 12_000, 30_000] {
            let first = ((position.rewound() - START) as f64 / (SECOND / 1000) as f64).ceil().max(0.0) as i64;
            let events: Vec<String> = (first..top).map(|n| event(n, "btc")).collect();
            sent += events.len();
            let (kept, heard) = read(position, events);
            kept_in_all += kept;
            position = heard.position;
            assert!(position.published.len() <= MAX_REMEMBERED);
        }
        assert_eq!(kept_in_all, 30_000);
        assert!(sent > kept_in_all, "something was repeated");
    }

    #[test]
    fn other_talk_moves_the_cursor_and_is_counted() {
        let (kept, heard) = read(StreamPosition::default(), [event(1, "lunch"), event(2, "dinner"), event(3, "#btc")]);
        assert_eq!((kept, heard.passed_over, heard.position.at), (1, 2, START + 3000));
        let (_, heard) = read(heard.position, [event(9, "tea")]);
        assert_eq!((heard.lines.as_slice(), heard.position.at), (&b"[]"[..], START + 9000));
    }

    #[test]
    fn nonsense_and_times_from_the_future_do_not_move_the_cursor() {
        let future = event(3_600_000 + 301_000, "btc");
        let (kept, heard) =
            read(StreamPosition::default(), ["{".into(), "[]".into(), future, r#"{"time_us":-1}"#.into()]);
        assert_eq!((kept, heard.position.at, heard.lines.as_slice()), (0, 0, &b"{"[..]));
        let (_, heard) = read(StreamPosition { at: START, ..StreamPosition::default() }, [event(-5, "btc")]);
        assert_eq!(heard.position.at, START, "a cursor never goes back");
    }
}
