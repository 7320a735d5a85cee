//! A task whose stores are being filled from their changelogs: what was read of each, and whether that and the committed offsets tell of the
//! same [commit](super::mark).

use std::collections::BTreeMap;

use vigie_kafka_client::{KafkaError, Record, TopicPartition};

use super::StreamTask;
use super::mark::{self, Agreement, Change, Mark, Rollback, Tail};

/// A task whose stores are filled.
pub(crate) struct Restored {
    pub(crate) task: StreamTask,
    /// How many changelog records were read.
    pub(crate) records: u64,
    /// Set if the changelogs and the committed offsets tell of different commits: then what the last one wrote is not in the stores.
    pub(crate) torn: Option<Torn>,
}

/// A commit that is not everywhere.
pub(crate) struct Torn {
    pub(crate) found: String,
    pub(crate) rollback: Option<Rollback>,
    /// By store: what its last commit wrote.
    pub(crate) held: Vec<Vec<Change>>,
}

/// A task whose stores are being filled.
pub(crate) struct Restoring {
    pub(crate) task: StreamTask,
    /// What its committed offsets tell of.
    pub(crate) committed: Option<Mark>,
    /// By store: its changelog, where it is read from, where it ended, and what was read.
    pub(crate) logs: Vec<TopicPartition>,
    pub(crate) from: Vec<i64>,
    pub(crate) ends: Vec<i64>,
    pub(crate) tails: Vec<Tail>,
    pub(crate) records: u64,
}

impl Restoring {
    pub(crate) fn take(&mut self, store: usize, record: Record) -> Result<(), KafkaError> {
        let Some(key) = record.key else { return Ok(()) };
        self.records += u64::from(key != mark::KEY[..] && key != mark::SENT_KEY[..]);
        let followed = self.tails[store].push(key, record.value).map_err(|error| {
            let detail = format!("the commit mark at {} offset {}: {error}", self.logs[store], record.offset);
            KafkaError::Fatal { operation: "restore", detail }
        })?;
        followed.into_iter().for_each(|(key, value)| self.task.restore_record(store, key, value));
        Ok(())
    }

    /// Where the last records went that the last commit sent.
    pub(crate) fn sent(&self) -> BTreeMap<TopicPartition, i64> {
        let sent = self.committed.as_ref().and_then(|committed| mark::sent(&self.tails, committed.commit));
        let topics = sent.unwrap_or_default().topics.into_iter();
        let records = topics.flat_map(|(topic, offsets)| {
            offsets.into_iter().map(move |(partition, last)| (TopicPartition::new(&topic, partition), last))
        });
        records.collect()
    }

    /// Compares changelogs, offsets and outputs, of which `gone` were rolled back.
    pub(crate) fn finish(mut self, gone: &[TopicPartition]) -> Restored {
        let mut agreement = mark::compare(&self.tails, self.committed.as_ref());
        if let Some(committed) = &self.committed {
            if !gone.is_empty() && agreement == Agreement::Whole {
                let gone: Vec<_> = gone.iter().map(TopicPartition::to_string).collect();
                let found = format!("{} rolled commit {} back", gone.join(", "), committed.commit);
                agreement = Agreement::Torn { found, rollback: mark::rollback(&self.tails, committed) };
            }
            if let Some(account) = mark::account(&self.tails, committed.commit) {
                self.task.restore_account(account);
            }
        }
        let held = self.tails.into_iter().map(Tail::into_held).collect::<Vec<_>>();
        let torn = match agreement {
            Agreement::Torn { found, rollback } => Some(Torn { found, rollback, held }),
            Agreement::Whole => {
                for (store, changes) in held.into_iter().enumerate() {
                    changes.into_iter().for_each(|(key, value)| self.task.restore_record(store, key, value));
                }
                None
            }
        };
        Restored { task: self.task, records: self.records, torn }
    }
}
