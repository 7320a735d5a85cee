//! What a run remembers of itself: a topic of its own, written in the transactions of its windows, so that a run that was killed goes on
//! where it was and writes no window twice.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use vigie_daemon::{Check, Mistake, ServiceError};
use vigie_kafka_client::{
    KafkaConfig, KafkaError, OutgoingRecord, ProducerOptions, Start, TransactionalProducer, read_to_end,
};

use super::Config;
use super::scope::{Bound, Names, Selection};
use crate::inference::ModelInfo;
use crate::service::kafka_error;

const TRANSACTION_TIMEOUT: Duration = Duration::from_secs(60);

/// What a run began with. All of its processes do the same work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Begun {
    pub(crate) selection: Selection,
    /// The topic that is read: that of raw posts, or of those that were restored.
    pub(crate) source: String,
    pub(crate) bounds: Vec<Bound>,
    pub(crate) model: ModelInfo,
    pub(crate) assets_version: String,
    pub(crate) window_millis: u64,
    /// Whether all records were there that it needed; `None`: an older version did not say.
    #[serde(default)]
    pub(crate) complete: Option<bool>,
}

impl Begun {
    /// Refuses to go on with what another process began differently.
    pub(crate) fn refuse_change(&self, begun: &Self, run_id: &str) -> Result<(), Vec<Mistake>> {
        let mut check = Check::<Config>::default();
        let mut same = |option: &str, now: String, then: String| {
            check.option(option, now == then, &now, format!("{then}, with which run {run_id} began"));
        };
        let model = |begun: &Self| format!("{} {} ({})", begun.model.name, begun.model.version, begun.model.sha256);
        same("from", self.selection.to_string(), begun.selection.to_string());
        same("model", model(self), model(begun));
        same("assets", self.assets_version.clone(), begun.assets_version.clone());
        same("window", format!("{} ms", self.window_millis), format!("{} ms", begun.window_millis));
        check.finish(Some(()))
    }
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "entry", rename_all = "snake_case")]
pub(crate) enum Entry {
    Begun(Box<Begun>),
    /// So many windows of a partition of mentions are written.
    Written {
        partition: i32,
        windows: u64,
    },
    Done {
        posts: u64,
        windows: u64,
    },
}

/// The journal of a run, open for writing.
pub(crate) struct Journal {
    topic: String,
    producer: TransactionalProducer,
    pub(crate) begun: Option<Begun>,
    /// Windows written, by partition of mentions.
    pub(crate) written: BTreeMap<i32, u64>,
    /// Posts and windows of a run that has done everything.
    pub(crate) done: Option<(u64, u64)>,
}

impl Journal {
    /// Opens the journal of a run, whose topic exists: shuts out other processes of the run, and ends what they left open.
    pub(crate) fn open(kafka: &KafkaConfig, names: &Names) -> Result<Self, ServiceError> {
        let transactional_id = format!("{}-windows", names.application_id());
        let options = ProducerOptions { transactional_id, transaction_timeout: TRANSACTION_TIMEOUT };
        let producer = TransactionalProducer::new(kafka, &options).map_err(kafka_error)?;
        let mut journal = Self { topic: names.journal(), producer, begun: None, written: BTreeMap::new(), done: None };
        for record in read_to_end(kafka, &journal.topic, &Start::Beginning).map_err(kafka_error)? {
            let value = record.map_err(kafka_error)?.value.unwrap_or_default();
            let entry = serde_json::from_slice(&value)
                .map_err(|error| ServiceError::failed(format!("journal {}: {error}", journal.topic)))?;
            journal.note(entry);
        }
        Ok(journal)
    }

    fn note(&mut self, entry: Entry) {
        match entry {
            Entry::Begun(begun) => self.begun = Some(*begun),
            Entry::Written { partition, windows } => {
                self.written.insert(partition, windows);
            }
            Entry::Done { posts, windows } => self.done = Some((posts, windows)),
        }
    }

    /// Writes records and what they come to, or nothing.
    pub(crate) fn write(&mut self, records: &[OutgoingRecord], entry: Entry) -> Result<(), ServiceError> {
        let value = serde_json::to_vec(&entry).map_err(ServiceError::failed)?;
        self.transaction(records, value.into()).map_err(kafka_error)?;
        self.note(entry);
        Ok(())
    }

    fn transaction(&mut self, records: &[OutgoingRecord], entry: Bytes) -> Result<(), KafkaError> {
        self.producer.begin()?;
        for record in records {
            self.producer.send(record)?;
        }
        self.producer.send(&OutgoingRecord::new(&*self.topic, Bytes::new(), entry))?;
        self.producer.commit()
    }
}
