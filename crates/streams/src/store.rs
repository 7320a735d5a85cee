//! A task's state: key and value bytes in key order, whose writes become real only with the commit. What is committed is in memory, or on
//! [disk](crate::task::disk).

mod committed;
pub(crate) mod database;
mod entry;
pub(crate) mod index;
mod merged;
pub(crate) mod slice;
mod staged;
pub(crate) mod table;
#[cfg(test)]
mod tests;
pub(crate) mod window;

use std::fmt;
use std::ops::Bound;
use std::time::Duration;

use bytes::Bytes;

use committed::{Committed, CommittedRange};
use entry::Entry;
use index::{Index, IndexKeys};
use merged::merged;
use slice::Slice;
use staged::Staged;
use table::Table;

/// A store that a topology keeps.
#[derive(Clone, Debug)]
pub struct StoreSpec {
    /// The store's name; its changelog is `<application_id>-<name>-changelog`.
    pub name: String,
    pub(crate) kind: StoreKind,
    pub(crate) version: u32,
    /// With its version.
    pub(crate) index: Option<(u32, IndexKeys)>,
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
        Self { name: name.to_owned(), kind: StoreKind::KeyValue, version: 1, index: None }
    }

    /// A store for [`WindowStore`](crate::WindowStore): a window that began longer than `retention` before the watermark is deleted,
    /// with a tombstone, before each commit and after the processor's punctuation.
    pub fn window(name: &str, retention: Duration) -> Self {
        Self { name: name.to_owned(), kind: StoreKind::Window(retention), version: 1, index: None }
    }

    /// Says in which format the processor writes keys and values; 1 if not given. State of another version is refused, not misread.
    #[must_use]
    pub fn version(mut self, version: u32) -> Self {
        self.version = version;
        self
    }

    pub(crate) fn empty(&self) -> KeyValueStore {
        self.index.map_or_else(KeyValueStore::default, |(_, keys)| KeyValueStore::indexed(keys))
    }

    /// Has an [index](KeyValueStore::index) with the keys that `keys` gives of each entry. It is made from the entries and has no changelog;
    /// `version` changes with what `keys` gives.
    #[must_use]
    pub fn indexed(mut self, version: u32, keys: IndexKeys) -> Self {
        self.index = Some((version, keys));
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
    index: Option<Index>,
}

impl KeyValueStore {
    /// An empty store with an index: see [`StoreSpec::indexed`].
    pub fn indexed(keys: IndexKeys) -> Self {
        Self { index: Some(Index::new(keys, Committed::default())), ..Self::default() }
    }

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
        let (key, value) = (key.as_ref(), value.into());
        self.stage_index(key, Some(&value));
        self.staged.set(key, Some(value));
    }

    /// Removes `key`.
    pub fn delete(&mut self, key: impl AsRef<[u8]>) {
        let key = key.as_ref();
        self.stage_index(key, None);
        // What was never committed needs no tombstone, unless an earlier write of this interval hides a committed value.
        if self.committed.contains(key) {
            self.staged.set(key, None);
        } else {
            self.staged.remove(key);
        }
    }

    fn stage_index(&mut self, key: &[u8], value: Option<&[u8]>) {
        let Some(index) = &mut self.index else { return };
        let old = match self.staged.get(key) {
            Some(staged) => staged.map(|value| Slice::from(&value[..])),
            None => self.committed.get(key),
        };
        index.stage(key, old.as_deref(), value);
    }

    /// Keys of the index from `from` up to but not `to`, in order; none without an index.
    pub fn index<'a>(&'a self, from: &[u8], to: &[u8]) -> impl Iterator<Item = Slice<'a>> + use<'a> {
        let bounds = (Bound::Included(from), Bound::Excluded(to.max(from)));
        self.index.as_ref().map(|index| index.range(bounds)).into_iter().flatten()
    }

    /// Keys from `from` up to but not `to`, with their values, in key order.
    pub fn range<'a>(&'a self, from: &[u8], to: &[u8]) -> impl Iterator<Item = (Slice<'a>, Slice<'a>)> + use<'a> {
        merged(&self.committed, &self.staged, (Bound::Included(from), Bound::Excluded(to.max(from))))
    }

    /// Keys that begin with `prefix`, with their values, in key order.
    pub fn prefix<'a>(&'a self, prefix: &[u8]) -> impl Iterator<Item = (Slice<'a>, Slice<'a>)> + use<'a> {
        let end = after_prefix(prefix);
        let upper = end.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        merged(&self.committed, &self.staged, (Bound::Included(prefix), upper))
    }

    /// All keys with their values, in key order.
    pub fn iter(&self) -> impl Iterator<Item = (Slice<'_>, Slice<'_>)> {
        merged(&self.committed, &self.staged, (Bound::Unbounded, Bound::Unbounded))
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
            self.committed.apply(key, value.map(|value| &value[..]));
        }
        if let Some(index) = &mut self.index {
            index.commit();
        }
    }

    pub(crate) fn abort(&mut self) {
        self.staged.clear();
        if let Some(index) = &mut self.index {
            index.abort();
        }
    }

    /// Committed entries after `after`, in key order: for a snapshot.
    pub(crate) fn committed_after(&self, after: Option<&[u8]>) -> CommittedRange<'_> {
        self.committed.range((after.map_or(Bound::Unbounded, Bound::Excluded), Bound::Unbounded))
    }

    /// Becomes what a snapshot says. Entries in key order are the quickest.
    pub(crate) fn load(&mut self, entries: Vec<(Bytes, Bytes)>) {
        self.committed = Committed::Memory(entries.iter().map(|(key, value)| Entry::new(key, value)).collect());
        if let Some(index) = &mut self.index {
            entries.iter().for_each(|(key, value)| index.apply(key, None, Some(value)));
        }
    }

    /// Becomes what `table` holds, its index what `index` does.
    pub(crate) fn keep_in(&mut self, table: Table, index: Table) {
        self.committed = Committed::Disk(table);
        self.index = self.index.take().map(|memory| Index::new(memory.keys(), Committed::Disk(index)));
    }

    /// Applies a record of the changelog.
    pub(crate) fn restore(&mut self, key: &[u8], value: Option<&[u8]>) {
        if let Some(index) = &mut self.index {
            index.apply(key, self.committed.get(key).as_deref(), value);
        }
        self.committed.apply(key, value);
    }
}

/// The smallest key after all keys that begin with `prefix`; `None` if there is none.
fn after_prefix(prefix: &[u8]) -> Option<Vec<u8>> {
    let last = prefix.iter().rposition(|byte| *byte != u8::MAX)?;
    let mut end = prefix[..=last].to_vec();
    end[last] += 1;
    Some(end)
}
