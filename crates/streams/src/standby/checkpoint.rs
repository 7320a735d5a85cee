//! From where on a copy that follows its changelogs could begin again.
//!
//! The stores of a copy are of different moments, as their changelogs are read each at its own pace. A *checkpoint* is a commit, and of each
//! changelog an offset from which on there is nothing but that store's part of later commits, or the last one that it has all over again. What
//! the stores hold beyond it does no harm: a changelog record sets its key.
//!
//! ```text
//!   first store:   [mark 7] a  [mark 8] b c  [mark 9] d     checkpoint at 8: begins at mark 9
//!   another:       [mark 7] x                                                begins at mark 7, the last one it has
//! ```
//!
//! The newest commit is left out: nothing followed it, so it may be torn (docs/adr/0014-torn-transactions.md).

use std::collections::VecDeque;

use crate::task::mark::Mark;

/// The most marks of a store that are remembered. A copy that has more before it writes a checkpoint is far behind.
const MOST: usize = 4096;

/// What is known of the marks in the changelogs of one task.
#[derive(Debug)]
pub(crate) struct Checkpoints {
    /// By store: commits and the offsets of their marks; first one that the store stands on.
    marks: Vec<VecDeque<(u64, i64)>>,
    /// Of the first store, which tells of every commit: the newest, and the one before.
    last: Option<Mark>,
    before: Option<Mark>,
    /// Waits for the other stores.
    next: Option<Mark>,
    taken: u64,
}

/// Whether a store can begin at a commit.
enum Beginning {
    At(i64),
    NotYet,
    Never,
}

impl Checkpoints {
    /// `standing` tells of each store a commit that it stands on, and from which offset on the others follow.
    pub(crate) fn new(standing: impl IntoIterator<Item = (u64, i64)>) -> Self {
        let marks = standing.into_iter().map(|stands| VecDeque::from([stands])).collect();
        Self { marks, last: None, before: None, next: None, taken: 0 }
    }

    /// A mark was read at `offset` of a store's changelog.
    pub(crate) fn note(&mut self, store: usize, mark: Mark, offset: i64) {
        let marks = &mut self.marks[store];
        if marks.back().is_some_and(|(newest, _)| *newest >= mark.commit) {
            return;
        }
        marks.push_back((mark.commit, offset));
        if marks.len() > MOST {
            marks.pop_front();
        }
        if store == 0 {
            self.before = self.last.replace(mark);
        }
    }

    /// The next checkpoint: a commit, and by store the offset to begin at.
    pub(crate) fn take(&mut self) -> Option<(Mark, Vec<i64>)> {
        let taken = self.taken;
        let next = self.next.take().or_else(|| self.before.clone().filter(|mark| mark.commit > taken))?;
        let mut from = Vec::new();
        for (marks, stands_on) in self.marks.iter().zip(&next.stores) {
            match beginning(marks, next.commit, *stands_on) {
                Beginning::At(offset) => from.push(offset),
                Beginning::NotYet => {
                    self.next = Some(next);
                    return None;
                }
                Beginning::Never => return None,
            }
        }
        self.taken = next.commit;
        for marks in &mut self.marks {
            let later = marks.partition_point(|(commit, _)| *commit <= next.commit);
            marks.drain(..later.saturating_sub(1));
        }
        Some((next, from))
    }
}

/// Where a store begins that stands on `stands_on` when the task does on `commit`.
fn beginning(marks: &VecDeque<(u64, i64)>, commit: u64, stands_on: u64) -> Beginning {
    let later = marks.partition_point(|(found, _)| *found <= commit);
    let own = later.checked_sub(1).and_then(|at| marks.get(at));
    match (own, marks.get(later)) {
        (Some((found, _)), Some((_, next))) if *found == stands_on => Beginning::At(*next),
        (Some((found, offset)), None) if *found == stands_on => Beginning::At(*offset),
        (_, None) => Beginning::NotYet,
        // Torn, or compacted away.
        (_, Some(_)) => Beginning::Never,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(commit: u64, stores: &[u64]) -> Mark {
        Mark { commit, stores: stores.to_vec(), ..Mark::default() }
    }

    fn taken(checkpoints: &mut Checkpoints) -> Option<(u64, Vec<i64>)> {
        checkpoints.take().map(|(mark, from)| (mark.commit, from))
    }

    #[test]
    fn checkpoint_waits_for_all_stores_and_leaves_the_newest_commit_out() {
        let mut checkpoints = Checkpoints::new([(0, 0), (0, 0)]);
        checkpoints.note(0, mark(1, &[1, 1]), 0);
        assert_eq!(taken(&mut checkpoints), None, "the only commit is the newest");
        checkpoints.note(0, mark(2, &[2, 1]), 10);
        assert_eq!(taken(&mut checkpoints), None, "the second store has not shown commit 1");
        checkpoints.note(0, mark(3, &[3, 3]), 20);
        checkpoints.note(1, mark(1, &[1, 1]), 5);
        assert_eq!(taken(&mut checkpoints), Some((1, vec![10, 5])), "its last one is read again");
        assert_eq!(taken(&mut checkpoints), Some((2, vec![20, 5])));
        assert_eq!(taken(&mut checkpoints), None, "nothing new");
        checkpoints.note(1, mark(3, &[3, 3]), 9);
        checkpoints.note(1, mark(3, &[3, 3]), 9);
        checkpoints.note(0, mark(4, &[4, 3]), 30);
        assert_eq!(taken(&mut checkpoints), Some((3, vec![30, 9])));
    }

    #[test]
    fn commit_that_a_store_never_got_is_passed_over() {
        let mut checkpoints = Checkpoints::new([(6, 100), (6, 50)]);
        // 7 is torn: the second store does not have it, and 8 takes it back everywhere.
        checkpoints.note(0, mark(7, &[7, 7]), 100);
        checkpoints.note(0, mark(8, &[8, 8]), 110);
        checkpoints.note(1, mark(8, &[8, 8]), 50);
        assert_eq!(taken(&mut checkpoints), None);
        checkpoints.note(0, mark(9, &[9, 8]), 120);
        assert_eq!(taken(&mut checkpoints), Some((8, vec![120, 50])));
    }

    #[test]
    fn what_is_remembered_is_bounded_and_a_forgotten_commit_is_passed_over() {
        let mut checkpoints = Checkpoints::new([(0, 0), (0, 0)]);
        for commit in 1..=2 * MOST as u64 {
            checkpoints.note(0, mark(commit, &[commit, 1]), commit as i64);
            if commit == 2 {
                assert_eq!(taken(&mut checkpoints), None);
            }
        }
        assert_eq!(checkpoints.marks[0].len(), MOST);
        checkpoints.note(1, mark(1, &[1, 1]), 3);
        assert_eq!(taken(&mut checkpoints), None, "commit 1 of the first store is forgotten");
        let newest = 2 * MOST as u64;
        assert_eq!(taken(&mut checkpoints), Some((newest - 1, vec![newest as i64, 3])));
    }
}
