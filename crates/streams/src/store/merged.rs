//! What is committed and what is staged, read as one.

use std::iter::Peekable;

use super::committed::{Bounds, Committed, CommittedRange};
use super::slice::Slice;
use super::staged::Staged;

/// The entries within `bounds`, in key order.
pub(super) fn merged<'a>(
    committed: &'a Committed,
    staged: &'a Staged,
    bounds: Bounds<'_>,
) -> impl Iterator<Item = (Slice<'a>, Slice<'a>)> + use<'a> {
    let staged = staged.range(bounds).map(|(key, value)| (&key[..], value.map(|value| &value[..])));
    Merged { committed: committed.range(bounds).peekable(), staged: staged.peekable() }
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
