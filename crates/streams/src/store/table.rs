//! The committed keys of one store, or of its index, in the database of its task: those that begin with its number.

use std::cell::RefCell;
use std::fmt;
use std::ops::Bound;
use std::sync::Arc;

use bytes::Bytes;

use super::database::Database;

/// One store of a task, or its index, on disk.
pub(crate) struct Table {
    database: Arc<Database>,
    /// Begins each key.
    number: u8,
    /// No key is lower: a scan begins here, past the tombstones of windows that have expired. Without the number.
    floor: RefCell<Vec<u8>>,
}

impl Table {
    pub(crate) fn new(database: Arc<Database>, number: u8) -> Self {
        Self { database, number, floor: RefCell::default() }
    }

    pub(crate) fn get(&self, key: &[u8]) -> Option<Bytes> {
        self.database.get(&self.full(key))
    }

    pub(crate) fn contains(&self, key: &[u8]) -> bool {
        self.database.contains(&self.full(key))
    }

    pub(crate) fn range(&self, (from, to): (Bound<&[u8]>, Bound<&[u8]>)) -> DiskRange<'_> {
        let floor = self.floor.borrow();
        let is_lowest = match from {
            Bound::Included(from) => *from <= **floor,
            Bound::Excluded(from) => *from < **floor,
            Bound::Unbounded => true,
        };
        let from = match from {
            _ if is_lowest => Bound::Included(self.full(&floor)),
            from => from.map(|from| self.full(from)),
        };
        drop(floor);
        let to = match to {
            Bound::Unbounded => Bound::Excluded(vec![self.number + 1]),
            to => to.map(|to| self.full(to)),
        };
        DiskRange { table: self, entries: self.database.range((from, to)), finds_floor: is_lowest }
    }

    /// Notes a write for the next one of the database.
    pub(crate) fn apply(&mut self, key: &[u8], value: Option<&[u8]>) {
        if value.is_some() && *key < **self.floor.get_mut() {
            self.floor.replace(key.to_vec());
        }
        self.database.note(self.full(key), value.map(Bytes::copy_from_slice));
    }

    fn full(&self, key: &[u8]) -> Vec<u8> {
        let mut full = Vec::with_capacity(1 + key.len());
        full.push(self.number);
        full.extend_from_slice(key);
        full
    }
}

impl fmt::Debug for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Table({})", self.number)
    }
}

/// Keys and values of a [`Table`], in key order. Ends at what cannot be read, which the database then reports.
pub(crate) struct DiskRange<'a> {
    table: &'a Table,
    entries: Option<fjall::Iter>,
    /// The first key is the lowest of the table.
    finds_floor: bool,
}

impl Iterator for DiskRange<'_> {
    type Item = (Bytes, Bytes);

    fn next(&mut self) -> Option<Self::Item> {
        let (key, value) = self.table.database.entry(self.entries.as_mut()?.next()?)?;
        let key = key.slice(1..);
        if std::mem::take(&mut self.finds_floor) {
            self.table.floor.replace(key.to_vec());
        }
        Some((key, value))
    }
}
