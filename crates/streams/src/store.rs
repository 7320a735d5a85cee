//! A task's state: key and value bytes in key order, whose writes become real only with the commit.

mod entry;
mod staged;
pub(crate) mod window;

use std::collections::BTreeSet;
use std::fmt;
use std::iter::Peekable;
use std::ops::Bound;
use std::time::Duration;

use bytes::Bytes;

use entry::Entry;
use staged::Staged;

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
    /// A store of keys and values, kept in memory and logged to a compacted topic.
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
#[derive(Clone, Debug, Default)]
pub struct KeyValueStore {
    committed: BTreeSet<Entry>,
    staged: Staged,
}

impl KeyValueStore {
    /// The value of `key`.
    pub fn get(&self, key: &[u8]) -> Option<Bytes> {
        match self.staged.get(key) {
            Some(staged) => staged.cloned(),
            None => self.committed.get(key).map(|entry| Bytes::copy_from_slice(entry.parts().1)),
        }
    }

    /// The value of `key`, where it lies: cheaper than [`get`](Self::get).
    pub fn peek(&self, key: &[u8]) -> Option<&[u8]> {
        match self.staged.get(key) {
            Some(staged) => staged.map(|value| &value[..]),
            None => self.committed.get(key).map(|entry| entry.parts().1),
        }
    }

    /// Whether `key` has a value.
    pub fn contains(&self, key: &[u8]) -> bool {
        self.peek(key).is_some()
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
    pub fn range<'a>(&'a self, from: &[u8], to: &[u8]) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + use<'a> {
        let bounds = match from < to {
            true => (Bound::Included(from), Bound::Excluded(to)),
            false => (Bound::Included(from), Bound::Excluded(from)),
        };
        self.merged(bounds)
    }

    /// Keys that begin with `prefix`, with their values, in key order.
    pub fn prefix<'a>(&'a self, prefix: &[u8]) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + use<'a> {
        let end = after_prefix(prefix);
        let upper = end.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        self.merged((Bound::Included(prefix), upper))
    }

    /// All keys with their values, in key order.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.merged((Bound::Unbounded, Bound::Unbounded))
    }

    /// How many keys are committed.
    pub fn committed_len(&self) -> usize {
        self.committed.len()
    }

    fn merged<'a>(
        &'a self,
        bounds: (Bound<&[u8]>, Bound<&[u8]>),
    ) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + use<'a> {
        let committed = self.committed.range::<[u8], _>(bounds).map(Entry::parts).peekable();
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
        let value = self.committed.get(key).map(|entry| Bytes::copy_from_slice(entry.parts().1));
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
    pub(crate) fn committed_after(&self, after: Option<&[u8]>) -> impl Iterator<Item = (&[u8], &[u8])> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.committed.range::<[u8], _>((from, Bound::Unbounded)).map(Entry::parts)
    }

    /// Becomes what a snapshot says. Entries in key order are the quickest.
    pub(crate) fn load(&mut self, entries: Vec<(Bytes, Bytes)>) {
        self.committed = entries.iter().map(|(key, value)| Entry::new(key, value)).collect();
    }

    /// Applies a record of the changelog.
    pub(crate) fn restore(&mut self, key: &[u8], value: Option<&[u8]>) {
        match value {
            Some(value) => drop(self.committed.replace(Entry::new(key, value))),
            None => drop(self.committed.remove(key)),
        }
    }
}

/// Merges committed and staged entries: staged ones win, staged deletions hide.
struct Merged<C: Iterator, S: Iterator> {
    committed: Peekable<C>,
    staged: Peekable<S>,
}

impl<'a, C, S> Iterator for Merged<C, S>
where
    C: Iterator<Item = (&'a [u8], &'a [u8])>,
    S: Iterator<Item = (&'a [u8], Option<&'a [u8]>)>,
{
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let Some((staged_key, _)) = self.staged.peek() else { return self.committed.next() };
            match self.committed.peek() {
                Some((committed_key, _)) if committed_key < staged_key => return self.committed.next(),
                Some((committed_key, _)) if committed_key == staged_key => {
                    self.committed.next();
                }
                _ => {}
            }
            let (key, value) = self.staged.next()?;
            if let Some(value) = value {
                return Some((key, value));
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

#[cfg(test)]
mod tests {
    use super::*;

    fn entries<'a>(of: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> Vec<(String, String)> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        of.map(|(key, value)| (text(key), text(value))).collect()
    }

    fn store(committed: &[(&'static str, &'static str)]) -> KeyValueStore {
        let mut store = KeyValueStore::default();
        for (key, value) in committed {
            store.put(*key, *value);
        }
        store.commit();
        store
    }

    #[test]
    fn staged_writes_are_read_at_once_and_dropped_on_abort() {
        let mut store = store(&[("a", "1"), ("b", "2")]);
        store.put("a", "9");
        store.delete("b");
        store.put("c", "3");
        assert_eq!(store.get(b"a").as_deref(), Some(&b"9"[..]));
        assert!(!store.contains(b"b"));
        store.abort();
        assert_eq!(entries(store.iter()), [("a".into(), "1".into()), ("b".into(), "2".into())]);
    }

    #[test]
    fn only_the_last_write_of_a_key_reaches_the_changelog() {
        let mut store = store(&[("b", "2")]);
        store.put("a", "1");
        store.put("a", "2");
        store.delete("b");
        store.put("x", "1");
        store.delete("x");
        let staged: Vec<_> = store.staged().map(|(key, value)| (key.clone(), value.cloned())).collect();
        assert_eq!(staged, [(Bytes::from("a"), Some(Bytes::from("2"))), (Bytes::from("b"), None)]);
    }

    #[test]
    fn ranges_merge_staged_and_committed_in_key_order() {
        let mut store = store(&[("a", "1"), ("c", "3"), ("e", "5")]);
        store.put("b", "2");
        store.put("c", "33");
        store.delete("e");
        store.put("f", "6");
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        assert_eq!(entries(store.range(b"a", b"f")), [pair("a", "1"), pair("b", "2"), pair("c", "33")]);
        assert_eq!(entries(store.range(b"f", b"a")), []);
        assert_eq!(entries(store.iter()), [pair("a", "1"), pair("b", "2"), pair("c", "33"), pair("f", "6")]);
    }

    #[test]
    fn prefix_ends_where_the_prefix_ends() {
        let store = store(&[("a", "0"), ("aa", "1"), ("ab", "2"), ("b", "3")]);
        assert_eq!(entries(store.prefix(b"a")).len(), 3);
        assert_eq!(after_prefix(&[1, 255, 255]), Some(vec![2]));
        assert_eq!(after_prefix(&[255]), None);
        assert_eq!(entries(store.prefix(b"")).len(), 4);
    }
}
