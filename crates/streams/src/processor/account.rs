//! What became of every record that a task consumed, so that none is lost silently.

use serde::{Deserialize, Serialize};

/// What became of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is part of the result.
    Counted,
    /// It was known already, or has been replaced.
    Duplicate,
    /// It came after its window was closed.
    Late,
    /// It took back what an earlier record had said.
    Retracted,
    /// It is not for this application.
    Skipped,
    /// It could not be processed, and is on the dead-letter topic.
    DeadLetter,
}

/// Records of a task since its state began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Account {
    pub(crate) consumed: u64,
    pub(crate) counted: u64,
    pub(crate) duplicate: u64,
    pub(crate) late: u64,
    pub(crate) retracted: u64,
    pub(crate) skipped: u64,
    pub(crate) dead_letter: u64,
}

impl Account {
    pub(crate) fn settle(&mut self, outcome: Outcome, records: u64) {
        let entry = match outcome {
            Outcome::Counted => &mut self.counted,
            Outcome::Duplicate => &mut self.duplicate,
            Outcome::Late => &mut self.late,
            Outcome::Retracted => &mut self.retracted,
            Outcome::Skipped => &mut self.skipped,
            Outcome::DeadLetter => &mut self.dead_letter,
        };
        *entry += records;
    }

    /// Records consumed of which nothing was said; below 0 if more was said than was consumed.
    pub(crate) fn unaccounted(&self) -> i64 {
        let settled = self.counted + self.duplicate + self.late + self.retracted + self.skipped + self.dead_letter;
        self.consumed.cast_signed() - settled.cast_signed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_outcome_settles_a_record() {
        let mut account = Account { consumed: 7, ..Account::default() };
        let all = [
            Outcome::Counted,
            Outcome::Duplicate,
            Outcome::Late,
            Outcome::Retracted,
            Outcome::Skipped,
            Outcome::DeadLetter,
        ];
        all.into_iter().for_each(|outcome| account.settle(outcome, 1));
        assert_eq!(account.unaccounted(), 1);
        account.settle(Outcome::Counted, 2);
        assert_eq!(account.unaccounted(), -1);
    }
}
