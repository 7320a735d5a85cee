//! A walk over the stores of a task that makes a snapshot while the task goes on.
//!
//! ```text
//!   changelog  ──────┬───────────────────────┬──────────────▶
//!                  from                    until
//!                    │   the walk: keys in   │   restore: the entries, then the changelog
//!                    │   order, some old,    │   from `from` on, up to its end
//!                    │   some new            │
//! ```
//!
//! A task commits between two steps of a walk, so that the entries are of different moments. That does no harm, because a changelog
//! record *sets* a key: for whatever changed after `from` the changelog has the last value or a tombstone, and a restore that begins at
//! `from` and passes `until` ends with the same state as a task that never stopped. A log that ends before `until` cannot mend the
//! entries, and the snapshot is of no use.

use bytes::Bytes;

use super::format::{Footer, put_entry};
use super::writer::{Taken, Writer};
use crate::task::StreamTask;

/// The most bytes that are copied between two polls, but for the last entry.
const BLOCK: usize = 256 * 1024;

/// How far a walk has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// Step again.
    Going,
    /// The disk is behind, step again later.
    Waiting,
    /// All is handed to the writer.
    Done,
    /// The writer gave up.
    Failed,
}

/// Cuts the stores of a task into blocks.
#[derive(Debug)]
pub(crate) struct Cursor {
    block: usize,
    store: usize,
    after: Option<Bytes>,
    entries: u64,
}

impl Cursor {
    /// Blocks of at most `block` bytes, but for the last entry of each.
    pub(crate) fn new(block: usize) -> Self {
        Self { block, store: 0, after: None, entries: 0 }
    }

    /// The next block of entries; `None` after the last.
    pub(crate) fn block(&mut self, task: &StreamTask) -> Option<Vec<u8>> {
        let mut block = Vec::with_capacity(self.block);
        while let Some(store) = task.store_at(self.store) {
            let after = self.after.take();
            for (key, value) in store.committed_after(after.as_deref()) {
                put_entry(&mut block, self.store, &key, &value);
                self.entries += 1;
                if block.len() >= self.block {
                    self.after = Some(key.into_bytes());
                    return Some(block);
                }
            }
            self.store += 1;
        }
        (!block.is_empty()).then_some(block)
    }

    pub(crate) fn footer(&self, until: Vec<i64>) -> Footer {
        Footer { until, entries: self.entries }
    }
}

/// A snapshot in the making.
pub(crate) struct Walk {
    writer: Writer,
    cursor: Cursor,
    /// A block that the writer could not take yet, and whether it is the last.
    waiting: Option<(Vec<u8>, bool)>,
}

impl Walk {
    pub(crate) fn new(writer: Writer) -> Self {
        Self { writer, cursor: Cursor::new(BLOCK), waiting: None }
    }

    /// Copies the next block, if the writer has taken the one before.
    pub(crate) fn step(&mut self, task: &StreamTask) -> Progress {
        let (block, last) = match self.waiting.take() {
            Some(waiting) => waiting,
            None => match self.cursor.block(task) {
                Some(block) => (block, false),
                None => {
                    let Some(until) = task.logged() else { return Progress::Failed };
                    let footer = self.cursor.footer(until);
                    (serde_json::to_vec(&footer).unwrap_or_default(), true)
                }
            },
        };
        match self.writer.offer(block, last) {
            Taken::Yes if last => Progress::Done,
            Taken::Yes => Progress::Going,
            Taken::NotYet(block) => {
                self.waiting = Some((block, last));
                Progress::Waiting
            }
            Taken::Never => Progress::Failed,
        }
    }

    pub(crate) fn into_writer(self) -> Writer {
        self.writer
    }
}
