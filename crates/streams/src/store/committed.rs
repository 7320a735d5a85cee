//! What a store holds since the last commit: in memory, or in the database of its task.

use std::collections::BTreeSet;
use std::collections::btree_set::Range;
use std::ops::Bound;

use super::entry::Entry;
use super::slice::Slice;
use super::table::{DiskRange, Table};

/// Bounds of a range of keys.
pub(super) type Bounds<'a> = (Bound<&'a [u8]>, Bound<&'a [u8]>);

#[derive(Debug)]
pub(super) enum Committed {
    Memory(BTreeSet<Entry>),
    Disk(Table),
}

impl Default for Committed {
    fn default() -> Self {
        Self::Memory(BTreeSet::new())
    }
}

impl Committed {
    pub(super) fn get(&self, key: &[u8]) -> Option<Slice<'_>> {
        match self {
            Self::Memory(entries) => entries.get(key).map(|entry| entry.parts().1.into()),
            Self::Disk(table) => table.get(key).map(Slice::from),
        }
    }

    pub(super) fn contains(&self, key: &[u8]) -> bool {
        match self {
            Self::Memory(entries) => entries.contains(key),
            Self::Disk(table) => table.contains(key),
        }
    }

    pub(super) fn range(&self, bounds: Bounds<'_>) -> CommittedRange<'_> {
        match self {
            Self::Memory(entries) => CommittedRange::Memory(entries.range::<[u8], _>(bounds)),
            Self::Disk(table) => CommittedRange::Disk(table.range(bounds)),
        }
    }

    /// Sets or removes a key. What goes to disk is read only once its task has written it.
    pub(super) fn apply(&mut self, key: &[u8], value: Option<&[u8]>) {
        match (self, value) {
            (Self::Memory(entries), Some(value)) => drop(entries.replace(Entry::new(key, value))),
            (Self::Memory(entries), None) => drop(entries.remove(key)),
            (Self::Disk(table), value) => table.apply(key, value),
        }
    }
}

/// Committed entries in key order.
pub(crate) enum CommittedRange<'a> {
    Memory(Range<'a, Entry>),
    Disk(DiskRange<'a>),
}

impl<'a> Iterator for CommittedRange<'a> {
    type Item = (Slice<'a>, Slice<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Self::Memory(entries) => {
                let (key, value) = entries.next()?.parts();
                Some((key.into(), value.into()))
            }
            Self::Disk(range) => range.next().map(|(key, value)| (key.into(), value.into())),
        }
    }
}
