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
use crate::trends::alerts::AlertPolicy;

const TRANSACTION_TIMEOUT: Duration = Duration::from_secs(60);

/// What a run began with. All of its processes do the same work.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Begun {
    pub(crate) selection: Selection,
    #[serde(flatten)]
    pub(crate) origin: Origin,
    pub(crate) model: ModelInfo,
    pub(crate) assets_version: String,
    pub(crate) window_millis: u64,
    /// What is worth an alert; `None`: an older version, which raised none, began it.
    #[serde(default)]
    pub(crate) policy: Option<AlertPolicy>,
}

/// Where the posts of a run are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Origin {
    /// The topic that is read: that of raw posts, or of those that were restored.
    pub(crate) source: String,
    pub(crate) bounds: Vec<Bound>,
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
        if let (Some(now), Some(then)) = (self.policy, begun.policy) {
            same("alert-score", now.min_anomaly_score.to_string(), then.min_anomaly_score.to_string());
            same("alert-min-posts", now.min_posts.to_string(), then.min_posts.to_string());
        }
        check.finish(Some(()))
    }
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "entry", rename_all = "snake_case")]
pub(crate) enum Entry {
    /// Before anything is done.
    Asked(Selection),
    Begun(Box<Begun>),
    /// So much of a partition of mentions is written.
    Written {
        partition: i32,
        #[serde(flatten)]
        written: Written,
    },
    Done(Counted),
}

/// What is written of a partition of mentions.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Written {
    /// Where to go on.
    pub(crate) windows: u64,
    /// Those that these windows brought to light.
    #[serde(default)]
    pub(crate) alerts: u64,
}

/// What a run came to.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Counted {
    pub(crate) posts: u64,
    pub(crate) windows: u64,
    #[serde(default)]
    pub(crate) alerts: u64,
}

/// The journal of a run, open for writing.
pub(crate) struct Journal {
    topic: String,
    producer: TransactionalProducer,
    /// Which posts it is of.
    pub(crate) asked: Option<Selection>,
    pub(crate) begun: Option<Begun>,
    /// By partition of mentions.
    pub(crate) written: BTreeMap<i32, Written>,
    /// Of a run that has done everything.
    pub(crate) done: Option<Counted>,
}

impl Journal {
    /// Opens the journal of a run, whose topic exists: shuts out other processes of the run, and ends what they left open.
    pub(crate) fn open(kafka: &KafkaConfig, names: &Names) -> Result<Self, ServiceError> {
        let transactional_id = format!("{}-windows", names.application_id());
        let options = ProducerOptions { transactional_id, transaction_timeout: TRANSACTION_TIMEOUT };
        let producer = TransactionalProducer::new(kafka, &options).map_err(kafka_error)?;
        let (asked, begun, written, done) = (None, None, BTreeMap::new(), None);
        let mut journal = Self { topic: names.journal(), producer, asked, begun, written, done };
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
            Entry::Asked(selection) => self.asked = Some(selection),
            Entry::Begun(begun) => {
                self.asked = Some(begun.selection.clone());
                self.begun = Some(*begun);
            }
            Entry::Written { partition, written } => {
                self.written.insert(partition, written);
            }
            Entry::Done(counted) => self.done = Some(counted),
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
