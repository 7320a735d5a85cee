//! A task's state: key and value bytes in key order, whose writes become real only with the commit. What is committed is in memory, or on
//! [disk](crate::disk).

mod committed;
mod entry;
pub(crate) mod slice;
mod staged;
#[cfg(test)]
mod tests;
pub(crate) mod window;

use std::fmt;
use std::iter::Peekable;
use std::ops::Bound;
use std::time::Duration;

use bytes::Bytes;

use committed::{Bounds, Committed, CommittedRange};
use entry::Entry;
use slice::Slice;
use staged::Staged;

use crate::disk::table::Table;

/// A store that a topology keeps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreSpec {
    /// The store's name; its changelog is `<application_id>-<name>-changelog`.
    pub name: String,
    pub(crate) kind: StoreKind,
    pub(crate) version: u32,
}

/// How a store's keys are to be understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StoreKind {
    KeyValue,
    /// Keys of a [`WindowStore`](window::WindowStore), kept for so long after their window began.
    Window(Duration),
}

impl fmt::Display for StoreKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::KeyValue => "key-value",
            Self::Window(_) => "window",
        })
    }
}

impl StoreSpec {
    /// A store of keys and values, logged to a compacted topic.
    pub fn key_value(name: &str) -> Self {
        Self { name: name.to_owned(), kind: StoreKind::KeyValue, version: 1 }
    }

    /// A store for [`WindowStore`](crate::WindowStore): a window that began longer than `retention` before the watermark is deleted,
    /// with a tombstone, before each commit and after the processor's punctuation.
    pub fn window(name: &str, retention: Duration) -> Self {
        Self { name: name.to_owned(), kind: StoreKind::Window(retention), version: 1 }
    }

    /// Says in which format the processor writes keys and values; 1 if not given. State of another version is refused, not misread.
    #[must_use]
    pub fn version(mut self, version: u32) -> Self {
        self.version = version;
        self
    }
}

/// Keys and values of one store of one task.
///
/// Reads see the task's own writes at once. The writes of one commit interval are *staged*: a commit sends the last one of each key
/// to the changelog and then makes them part of the store, an abort drops them.
#[derive(Debug, Default)]
pub struct KeyValueStore {
    committed: Committed,
    staged: Staged,
}

impl KeyValueStore {
    /// The value of `key`.
    pub fn get(&self, key: &[u8]) -> Option<Bytes> {
        match self.staged.get(key) {
            Some(staged) => staged.cloned(),
            None => self.committed.get(key).map(Slice::into_bytes),
        }
    }

    /// The value of `key`, where it lies if it is in memory: cheaper than [`get`](Self::get).
    pub fn peek(&self, key: &[u8]) -> Option<Slice<'_>> {
        match self.staged.get(key) {
            Some(staged) => staged.map(|value| Slice::from(&value[..])),
            None => self.committed.get(key),
        }
    }

    /// Whether `key` has a value.
    pub fn contains(&self, key: &[u8]) -> bool {
        match self.staged.get(key) {
            Some(staged) => staged.is_some(),
            None => self.committed.contains(key),
        }
    }

    /// Sets the value of `key`.
    pub fn put(&mut self, key: impl AsRef<[u8]>, value: impl Into<Bytes>) {
        self.staged.set(key.as_ref(), Some(value.into()));
    }

    /// Removes `key`.
    pub fn delete(&mut self, key: impl AsRef<[u8]>) {
        let key = key.as_ref();
        // What was never committed needs no tombstone, unless an earlier write of this interval hides a committed value.
        if self.committed.contains(key) {
            self.staged.set(key, None);
        } else {
            self.staged.remove(key);
        }
    }

    /// Keys from `from` up to but not `to`, with their values, in key order.
    pub fn range<'a>(&'a self, from: &[u8], to: &[u8]) -> impl Iterator<Item = (Slice<'a>, Slice<'a>)> + use<'a> {
        let bounds = match from < to {
            true => (Bound::Included(from), Bound::Excluded(to)),
            false => (Bound::Included(from), Bound::Excluded(from)),
        };
        self.merged(bounds)
    }

    /// Keys that begin with `prefix`, with their values, in key order.
    pub fn prefix<'a>(&'a self, prefix: &[u8]) -> impl Iterator<Item = (Slice<'a>, Slice<'a>)> + use<'a> {
        let end = after_prefix(prefix);
        let upper = end.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        self.merged((Bound::Included(prefix), upper))
    }

    /// All keys with their values, in key order.
    pub fn iter(&self) -> impl Iterator<Item = (Slice<'_>, Slice<'_>)> {
        self.merged((Bound::Unbounded, Bound::Unbounded))
    }

    fn merged<'a>(&'a self, bounds: Bounds<'_>) -> impl Iterator<Item = (Slice<'a>, Slice<'a>)> + use<'a> {
        let committed = self.committed.range(bounds).peekable();
        let staged = self.staged.range(bounds).map(|(key, value)| (&key[..], value.map(|value| &value[..]))).peekable();
        Merged { committed, staged }
    }

    /// The writes since the last commit, in key order: the last one of each key, `None` for a deletion. What a processor forwards
    /// once per commit, it finds here.
    pub fn staged(&self) -> impl ExactSizeIterator<Item = (&Bytes, Option<&Bytes>)> {
        self.staged.iter()
    }

    /// Stages what is committed under `key`, so that the next commit writes it to the changelog once more.
    pub(crate) fn rewrite(&mut self, key: &[u8]) {
        let value = self.committed.get(key).map(Slice::into_bytes);
        self.staged.set(key, value);
    }

    pub(crate) fn commit(&mut self) {
        let staged = std::mem::take(&mut self.staged);
        for (key, value) in staged.iter() {
            self.restore(key, value.map(|value| &value[..]));
        }
    }

    pub(crate) fn abort(&mut self) {
        self.staged.clear();
    }

    /// Committed entries after `after`, in key order: for a snapshot.
    pub(crate) fn committed_after(&self, after: Option<&[u8]>) -> CommittedRange<'_> {
        self.committed.range((after.map_or(Bound::Unbounded, Bound::Excluded), Bound::Unbounded))
    }

    /// Becomes what a snapshot says. Entries in key order are the quickest.
    pub(crate) fn load(&mut self, entries: Vec<(Bytes, Bytes)>) {
        self.committed = Committed::Memory(entries.iter().map(|(key, value)| Entry::new(key, value)).collect());
    }

    /// Becomes what `table` holds.
    pub(crate) fn keep_in(&mut self, table: Table) {
        self.committed = Committed::Disk(table);
    }

    /// Applies a record of the changelog.
    pub(crate) fn restore(&mut self, key: &[u8], value: Option<&[u8]>) {
        self.committed.apply(key, value);
    }
}

/// Merges committed and staged entries: staged ones win, staged deletions hide.
struct Merged<'a, S: Iterator> {
    committed: Peekable<CommittedRange<'a>>,
    staged: Peekable<S>,
}

impl<'a, S> Iterator for Merged<'a, S>
where
    S: Iterator<Item = (&'a [u8], Option<&'a [u8]>)>,
{
    type Item = (Slice<'a>, Slice<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let Some((staged_key, _)) = self.staged.peek() else { return self.committed.next() };
            match self.committed.peek() {
                Some((committed_key, _)) if **committed_key < **staged_key => return self.committed.next(),
                Some((committed_key, _)) if **committed_key == **staged_key => {
                    self.committed.next();
                }
                _ => {}
            }
            let (key, value) = self.staged.next()?;
            if let Some(value) = value {
                return Some((key.into(), value.into()));
            }
        }
    }
}

/// The smallest key after all keys that begin with `prefix`; `None` if there is none.
fn after_prefix(prefix: &[u8]) -> Option<Vec<u8>> {
    let last = prefix.iter().rposition(|byte| *byte != u8::MAX)?;
    let mut end = prefix[..=last].to_vec();
    end[last] += 1;
    Some(end)
}
