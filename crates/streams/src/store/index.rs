//! A derived index of a store: more keys under which its entries are found. It is made from the entries, so no changelog has it.

use bytes::Bytes;

use super::committed::{Bounds, Committed};
use super::merged::merged;
use super::slice::Slice;
use super::staged::Staged;

/// The keys in the index of an entry, by its key and value. They say all there is to say: an index has no values.
pub type IndexKeys = fn(&[u8], &[u8]) -> Vec<Vec<u8>>;

#[derive(Debug)]
pub(super) struct Index {
    keys: IndexKeys,
    committed: Committed,
    staged: Staged,
}

impl Index {
    pub(super) fn new(keys: IndexKeys, committed: Committed) -> Self {
        Self { keys, committed, staged: Staged::default() }
    }

    pub(super) fn keys(&self) -> IndexKeys {
        self.keys
    }

    /// Stages what a change of the entry `key` from `old` to `new` means.
    pub(super) fn stage(&mut self, key: &[u8], old: Option<&[u8]>, new: Option<&[u8]>) {
        let staged = &mut self.staged;
        difference(self.keys, key, old, new, |key, is_there| staged.set(key, is_there.then(Bytes::new)));
    }

    /// The same for what is committed already.
    pub(super) fn apply(&mut self, key: &[u8], old: Option<&[u8]>, new: Option<&[u8]>) {
        let committed = &mut self.committed;
        difference(self.keys, key, old, new, |key, is_there| committed.apply(key, is_there.then_some(&[])));
    }

    pub(super) fn commit(&mut self) {
        for (key, value) in std::mem::take(&mut self.staged).iter() {
            self.committed.apply(key, value.map(|value| &value[..]));
        }
    }

    pub(super) fn abort(&mut self) {
        self.staged.clear();
    }

    pub(super) fn range<'a>(&'a self, bounds: Bounds<'_>) -> impl Iterator<Item = Slice<'a>> + use<'a> {
        merged(&self.committed, &self.staged, bounds).map(|(key, _)| key)
    }
}

/// Tells of each index key that goes or comes whether it is there afterwards.
fn difference(
    keys: IndexKeys,
    key: &[u8],
    old: Option<&[u8]>,
    new: Option<&[u8]>,
    mut changed: impl FnMut(&[u8], bool),
) {
    let of = |value: Option<&[u8]>| value.map_or_else(Vec::new, |value| keys(key, value));
    let (old, new) = (of(old), of(new));
    old.iter().filter(|key| !new.contains(key)).for_each(|key| changed(key, false));
    new.iter().filter(|key| !old.contains(key)).for_each(|key| changed(key, true));
}
