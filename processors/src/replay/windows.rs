//! From a replay's mentions to its windows and alerts.

use bytes::Bytes;
use vigie_clock::SharedClock;
use vigie_daemon::ServiceError;
use vigie_kafka_client::{KafkaConfig, OutgoingRecord, TopicPartition, read_partition_to_end};
use vigie_schemas::{AvroRecord, Mention, SyncCodec, Topic, WHOLE_MARKET};
use vigie_streams::TumblingWindows;

use super::journal::{Counted, Entry, Journal};
use super::scope::Names;
use crate::forecast::SharedForecaster;
use crate::service::kafka_error;
use crate::trends::alerts::AlertPolicy;
use crate::trends::batch::Batch;

/// Windows in one transaction, with their alerts.
const CHUNK: usize = 5_000;

/// Reads mentions, a partition at a time, and writes their windows.
pub(crate) struct Writer<'a> {
    pub(crate) kafka: &'a KafkaConfig,
    pub(crate) names: &'a Names,
    pub(crate) codec: &'a SyncCodec,
    pub(crate) clock: &'a SharedClock,
    pub(crate) policy: AlertPolicy,
    pub(crate) forecaster: Option<&'a SharedForecaster>,
    pub(crate) journal: &'a mut Journal,
}

impl Writer<'_> {
    /// Fills the windows of one partition of mentions, and writes those that are not written yet, each with its alerts: the mentions are the same
    /// each time, and so are the windows, their order and their alerts.
    pub(crate) fn partition(&mut self, partition: i32, spec: &TumblingWindows) -> Result<Counted, ServiceError> {
        let topic = self.names.mentions();
        let (mut batch, mut counted) = (Batch::default(), Counted::default());
        let records = read_partition_to_end(self.kafka, &TopicPartition::new(&*topic, partition), None);
        for record in records.map_err(kafka_error)? {
            let record = record.map_err(kafka_error)?;
            let value = record.value.unwrap_or_default();
            let mention: Mention = self.codec.decode(&value).map_err(ServiceError::failed)?;
            counted.posts += u64::from(mention.asset == WHOLE_MARKET);
            batch.add(spec, &mention, record.offset).map_err(ServiceError::failed)?;
        }
        counted.windows = batch.len() as u64;
        let mut written = self.journal.written.get(&partition).copied().unwrap_or_default();
        counted.alerts = written.alerts;
        if written.windows == counted.windows {
            return Ok(counted);
        }
        let (input, now) = ((&*topic, partition), self.clock.now());
        let judged = batch.insights(spec, &self.names.run_id, input, now, self.policy, self.forecaster);
        let (insights, alerts) = judged.map_err(ServiceError::failed)?;
        let from = usize::try_from(written.windows).unwrap_or(usize::MAX);
        let mut alerts = alerts.iter().skip_while(|(place, _)| *place < from).peekable();
        for chunk in insights.get(from..).unwrap_or_default().chunks(CHUNK) {
            written.windows += chunk.len() as u64;
            let mut records = Vec::with_capacity(chunk.len());
            for insight in chunk {
                records.push(self.record(Topic::ReplaysTrends, &insight.asset, insight)?);
            }
            while let Some((_, alert)) = alerts.next_if(|(place, _)| (*place as u64) < written.windows) {
                records.push(self.record(Topic::ReplaysAlerts, &alert.asset, alert)?);
                written.alerts += 1;
            }
            self.journal.write(&records, Entry::Written { partition, written })?;
        }
        counted.alerts = written.alerts;
        Ok(counted)
    }

    /// Schema and subject are those of the live topic's twin.
    fn record(&self, topic: Topic, asset: &str, value: &impl AvroRecord) -> Result<OutgoingRecord, ServiceError> {
        let value = self.codec.encode(topic.name(), value).map_err(ServiceError::failed)?;
        Ok(OutgoingRecord::new(topic.name(), Bytes::copy_from_slice(asset.as_bytes()), Bytes::from(value)))
    }
}
