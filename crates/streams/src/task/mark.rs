//! Commit marks: they tell, for each store, which commit its changelog stands on.
//!
//! A commit is one transaction, so changelogs and committed offsets should always stand on the same one. A broker can break that (see
//! docs/adr/0014-torn-transactions.md), and a read can be short. So each commit of a task has a number; whatever it changes begins with a
//! mark in the changelog, and the numbers stand beside the committed offsets, too. A task starts only from stores and offsets that agree.
//!
//! ```text
//!   changelog of a store:   ... [mark 7] a b c [mark 9] a d        beside the offsets:  commit 9, stores 9,8
//!   of another:             ... [mark 6] x y   [mark 8] z
//! ```
//!
//! Last comes where the outputs went, and a restore looks whether they are there. If something still disagrees after some looks, the last commit is torn: it is dropped where it was kept, by writing what was there before, and
//! the task goes on from the commit before it. Its inputs are processed again, so records that it sent may be sent twice.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::metadata::Metadata;
use crate::processor::account::Account;
use crate::task::InputStart;

/// The key of a mark: random bytes, which no processor takes for one of its own.
pub(crate) const KEY: [u8; 16] =
    [0xb1, 0x5e, 0x0c, 0x93, 0x44, 0xd7, 0x4f, 0x2a, 0x9d, 0x61, 0x3e, 0xf0, 0x27, 0x8a, 0xc5, 0x19];

/// The key of what a commit sent, in the changelog of the first store: the last record of the commit.
pub(crate) const SENT_KEY: [u8; 16] =
    [0x3d, 0xe9, 0x71, 0x08, 0xba, 0x52, 0x46, 0xc4, 0x8f, 0x1d, 0xa0, 0x6b, 0xf5, 0x33, 0x9e, 0x70];

/// Where the outputs of a commit went, so that a restore can look whether they are there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Sent {
    pub(crate) commit: u64,
    /// By topic and partition: the offset of the last record.
    pub(crate) topics: BTreeMap<String, BTreeMap<i32, i64>>,
}

/// One commit of a task.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Mark {
    /// Its number, from 1.
    pub(crate) commit: u64,
    /// By store: the commit that last changed it; 0 if none did.
    pub(crate) stores: Vec<u64>,
    /// Where it leaves the inputs.
    pub(crate) inputs: Vec<Position>,
    /// What became of all records up to it; not known beside the offsets.
    #[serde(default)]
    pub(crate) account: Account,
}

/// Where a commit leaves one input.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Position {
    pub(crate) topic: String,
    /// The next offset to process.
    pub(crate) offset: i64,
    /// See [`Metadata::times`].
    pub(crate) times: String,
}

impl Mark {
    /// The commit that the committed offsets stand on; `None` where they were committed before there were marks, or never.
    pub(crate) fn committed(inputs: &[InputStart]) -> Option<Self> {
        let found: Vec<Metadata<'_>> = inputs.iter().map(|input| Metadata::parse(&input.metadata)).collect();
        let commits: Vec<(u64, Vec<u64>)> =
            found.iter().map(|stored| stored.mark.and_then(parse)).collect::<Option<_>>()?;
        let (commit, stores) = commits.first()?.clone();
        let agree = commits.iter().all(|other| *other == (commit, stores.clone()));
        let positions = inputs.iter().zip(&found).map(|(input, stored)| Position {
            topic: input.topic.to_string(),
            offset: input.offset,
            times: stored.times.to_owned(),
        });
        // Inputs that stand on different commits agree with no store.
        Some(Self {
            commit,
            stores: if agree { stores } else { Vec::new() },
            inputs: positions.collect(),
            account: Account::default(),
        })
    }

    /// As it stands beside the offsets.
    pub(crate) fn word(&self) -> String {
        let stores: Vec<String> = self.stores.iter().map(u64::to_string).collect();
        format!("{}:{}", self.commit, stores.join(","))
    }
}

/// A mark, or what was sent, as it stands in a changelog.
pub(crate) fn to_bytes(record: &impl Serialize) -> Bytes {
    serde_json::to_vec(record).expect("numbers and texts are JSON").into()
}

fn parse(word: &str) -> Option<(u64, Vec<u64>)> {
    let (commit, stores) = word.split_once(':')?;
    let stores = stores.split(',').filter(|store| !store.is_empty()).map(str::parse).collect::<Result<_, _>>();
    Some((commit.parse().ok()?, stores.ok()?))
}

/// A record of a changelog: a key, and its value unless it was deleted.
pub(crate) type Change = (Bytes, Option<Bytes>);

/// The end of a store's changelog. What its last commit wrote is held back.
#[derive(Debug)]
pub(crate) struct Tail {
    /// The last commit that changed the store; `None` if the log does not say.
    last: Option<u64>,
    /// The one before it.
    before: Option<u64>,
    /// The two newest, and that of the snapshot.
    marks: Vec<Mark>,
    /// Whether a mark was read.
    marked: bool,
    held: Vec<Change>,
    sent: Option<Sent>,
}

impl Tail {
    /// Of a log that is read from its first record on.
    pub(crate) fn of_whole_log() -> Self {
        Self { last: Some(0), ..Self::after(0, None) }
    }

    /// Of a log that is read from some commit on: that of a snapshot, if it says.
    pub(crate) fn after(store: usize, snapshot: Option<&Mark>) -> Self {
        let last = snapshot.and_then(|mark| mark.stores.get(store).copied());
        Self {
            last,
            before: None,
            marks: snapshot.cloned().into_iter().collect(),
            marked: false,
            held: Vec::new(),
            sent: None,
        }
    }

    /// Takes the next record; gives back the records that are known to be followed by another commit.
    ///
    /// # Errors
    /// If the record is one of ours that cannot be read.
    pub(crate) fn push(&mut self, key: Bytes, value: Option<Bytes>) -> Result<Vec<Change>, serde_json::Error> {
        if key == KEY[..] {
            let mark: Mark = serde_json::from_slice(&value.unwrap_or_default())?;
            self.marked = true;
            // A standby may begin at the mark of the commit that it stands on.
            if self.last != Some(mark.commit) {
                self.before = self.last.replace(mark.commit);
                self.marks.push(mark);
            }
            if self.marks.len() > 3 {
                self.marks.remove(1);
            }
            return Ok(std::mem::take(&mut self.held));
        }
        if key == SENT_KEY[..] {
            self.sent = Some(serde_json::from_slice(&value.unwrap_or_default())?);
            return Ok(Vec::new());
        }
        if !self.marked {
            // Of before there were marks, or of commits whose marks were compacted away.
            self.last = None;
            return Ok(vec![(key, value)]);
        }
        self.held.push((key, value));
        Ok(Vec::new())
    }

    fn stands_on(&self, commit: u64) -> bool {
        self.last() == commit
    }

    /// The last commit that changed the store; 0 if none did, or if the log does not tell.
    pub(crate) fn last(&self) -> u64 {
        self.last.unwrap_or(0)
    }

    /// What the last commit wrote.
    pub(crate) fn into_held(self) -> Vec<Change> {
        self.held
    }
}

/// What follows from the ends of all changelogs of a task and its committed offsets together.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Agreement {
    /// The same commit.
    Whole,
    /// Different ones.
    Torn {
        /// The commit that each store's changelog stands on, and that of the offsets.
        found: String,
        /// How to go on; `None` if no commit is left that all stores can be brought back to.
        rollback: Option<Rollback>,
    },
}

/// How to leave a torn commit out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rollback {
    /// The commit to go on from.
    pub(crate) to: Mark,
    /// By store: whether its last commit is dropped.
    pub(crate) drop: Vec<bool>,
    /// The highest number that was given so far.
    pub(crate) highest: u64,
}

/// What `commit` sent, if anything.
pub(crate) fn sent(tails: &[Tail], commit: u64) -> Option<Sent> {
    tails.iter().find_map(|tail| tail.sent.clone()).filter(|sent| sent.commit == commit)
}

/// The account of a commit, if the end of a changelog knows it.
pub(crate) fn account(tails: &[Tail], commit: u64) -> Option<Account> {
    tails.iter().flat_map(|tail| &tail.marks).find(|mark| mark.commit == commit).map(|mark| mark.account)
}

/// Whether all changelogs stand on the commit that the offsets stand on. Offsets without one are believed: they are of an older version.
pub(crate) fn compare(tails: &[Tail], committed: Option<&Mark>) -> Agreement {
    let Some(committed) = committed else { return Agreement::Whole };
    let mut pairs = tails.iter().zip(&committed.stores);
    if committed.stores.len() == tails.len() && pairs.all(|(tail, commit)| tail.stands_on(*commit)) {
        return Agreement::Whole;
    }
    let last: Vec<u64> = tails.iter().map(Tail::last).collect();
    let found = format!("stores stand on commits {last:?}, offsets on {}", committed.word());
    Agreement::Torn { found, rollback: rollback(tails, committed) }
}

/// How to go back to the commit before the last one. Even where all stores have that one it is left out: what it sent may be missing.
pub(crate) fn rollback(tails: &[Tail], committed: &Mark) -> Option<Rollback> {
    // Of the same commit, `max_by_key` takes the last: a changelog's mark, which knows the account.
    let known: Vec<&Mark> = [committed].into_iter().chain(tails.iter().flat_map(|tail| &tail.marks)).collect();
    let highest = known.iter().map(|mark| mark.commit).max().unwrap_or(0);
    let reachable = |mark: &&&Mark| {
        let mut pairs = tails.iter().zip(&mark.stores);
        mark.stores.len() == tails.len()
            && pairs.all(|(tail, commit)| tail.stands_on(*commit) || tail.before == Some(*commit))
    };
    let to = known.iter().filter(|mark| mark.commit < highest).filter(reachable).max_by_key(|mark| mark.commit)?;
    let drop = tails.iter().zip(&to.stores).map(|(tail, commit)| !tail.stands_on(*commit)).collect();
    Some(Rollback { to: (**to).clone(), drop, highest })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(commit: u64, stores: &[u64]) -> Mark {
        let position = Position { topic: "in".to_owned(), offset: commit as i64 * 10, times: "- - -".to_owned() };
        Mark { commit, stores: stores.to_vec(), inputs: vec![position], account: Account::default() }
    }

    /// The end of a changelog with these marks, each followed by a record of that number.
    fn tail(marks: &[Mark]) -> Tail {
        let mut tail = Tail::of_whole_log();
        for mark in marks {
            tail.push(Bytes::copy_from_slice(&KEY), Some(to_bytes(mark))).unwrap();
            tail.push(Bytes::from(mark.commit.to_string()), None).unwrap();
        }
        tail
    }

    #[test]
    fn what_the_last_commit_wrote_is_held_back_until_the_next() {
        let mut tail = tail(&[mark(1, &[1])]);
        let released = tail.push(Bytes::copy_from_slice(&KEY), Some(to_bytes(&mark(2, &[2])))).unwrap();
        assert_eq!(released, [(Bytes::from("1"), None)]);
        tail.push(Bytes::from("x"), None).unwrap();
        assert_eq!(tail.into_held(), [(Bytes::from("x"), None)]);
        let mut unmarked = Tail::of_whole_log();
        assert_eq!(unmarked.push(Bytes::from("old"), None).unwrap().len(), 1, "records without a mark are not held");
    }

    #[test]
    fn stores_that_a_commit_did_not_change_stand_on_an_earlier_one() {
        let tails = [tail(&[mark(1, &[1, 1]), mark(3, &[3, 2])]), tail(&[mark(1, &[1, 1]), mark(2, &[2, 2])])];
        assert_eq!(compare(&tails, Some(&mark(3, &[3, 2]))), Agreement::Whole);
        assert_eq!(compare(&tails, None), Agreement::Whole);
    }

    #[test]
    fn a_commit_that_is_missing_in_a_store_or_in_the_offsets_is_rolled_back_everywhere() {
        let (one, two) = (mark(1, &[1, 1]), mark(2, &[2, 2]));
        let kept = || tail(&[one.clone(), two.clone()]);
        let lost = || tail(std::slice::from_ref(&one));
        let cases = [
            ([kept(), kept()], &one, [true, true]),
            ([kept(), lost()], &one, [true, false]),
            ([kept(), lost()], &two, [true, false]),
            ([lost(), lost()], &two, [false, false]),
        ];
        for (tails, committed, drop) in cases {
            let Agreement::Torn { rollback: Some(rollback), found } = compare(&tails, Some(committed)) else {
                panic!("{tails:?} with {committed:?} should be torn")
            };
            assert_eq!(rollback, Rollback { to: one.clone(), drop: drop.to_vec(), highest: 2 }, "{found}");
        }
    }

    #[test]
    fn what_cannot_be_brought_back_is_not_guessed() {
        // The mark before was compacted away, so what the store held then is not known.
        let mut compacted = Tail::of_whole_log();
        compacted.push(Bytes::from("a"), None).unwrap();
        compacted.push(Bytes::copy_from_slice(&KEY), Some(to_bytes(&mark(9, &[9])))).unwrap();
        let agreement = compare(&[compacted], Some(&mark(8, &[8])));
        assert!(matches!(agreement, Agreement::Torn { rollback: None, .. }), "{agreement:?}");
    }

    #[test]
    fn inputs_that_tell_of_different_commits_are_torn() {
        let input = |mark: &Mark| InputStart {
            topic: "in".into(),
            offset: 5,
            metadata: Metadata::write("- - -", 1, &mark.word(), "t"),
            stop: i64::MAX,
        };
        let (one, two) = (mark(1, &[1]), mark(2, &[2]));
        let same = Mark::committed(&[input(&one), input(&one)]).unwrap();
        assert_eq!(compare(&[tail(std::slice::from_ref(&one))], Some(&same)), Agreement::Whole);
        let different = Mark::committed(&[input(&one), input(&two)]).unwrap();
        assert!(matches!(compare(&[tail(&[one])], Some(&different)), Agreement::Torn { .. }));
    }
}
