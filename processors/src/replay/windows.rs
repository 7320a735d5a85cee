//! From a replay's mentions to its windows.

use bytes::Bytes;
use vigie_clock::SharedClock;
use vigie_daemon::ServiceError;
use vigie_kafka_client::{KafkaConfig, OutgoingRecord, TopicPartition, read_partition_to_end};
use vigie_schemas::{Mention, SyncCodec, Topic, TrendInsight, WHOLE_MARKET};
use vigie_streams::TumblingWindows;

use super::journal::{Entry, Journal};
use super::scope::Names;
use crate::forecast::SharedForecaster;
use crate::service::kafka_error;
use crate::trends::batch::Batch;

/// Windows in one transaction.
const CHUNK: usize = 5_000;

/// Reads mentions, a partition at a time, and writes their windows.
pub(crate) struct Writer<'a> {
    pub(crate) kafka: &'a KafkaConfig,
    pub(crate) names: &'a Names,
    pub(crate) codec: &'a SyncCodec,
    pub(crate) clock: &'a SharedClock,
    pub(crate) forecaster: Option<&'a SharedForecaster>,
    pub(crate) journal: &'a mut Journal,
}

/// What a partition of mentions holds.
#[derive(Default)]
pub(crate) struct Counted {
    pub(crate) posts: u64,
    pub(crate) windows: u64,
}

impl Writer<'_> {
    /// Fills the windows of one partition of mentions, and writes those that are not written yet: the mentions are the same each time, and so
    /// are the windows and their order.
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
        let mut written = self.journal.written.get(&partition).copied().unwrap_or(0);
        if written == counted.windows {
            return Ok(counted);
        }
        let (input, now) = ((&*topic, partition), self.clock.now());
        let insights = batch.insights(spec, &self.names.run_id, input, now, self.forecaster);
        let insights = insights.map_err(ServiceError::failed)?;
        for chunk in insights.get(usize::try_from(written).unwrap_or(usize::MAX)..).unwrap_or_default().chunks(CHUNK) {
            written += chunk.len() as u64;
            let records = chunk.iter().map(|insight| self.record(insight)).collect::<Result<Vec<_>, _>>()?;
            self.journal.write(&records, Entry::Written { partition, windows: written })?;
        }
        Ok(counted)
    }

    fn record(&self, insight: &TrendInsight) -> Result<OutgoingRecord, ServiceError> {
        // Schema and subject are those of the live topic's twin.
        let value = self.codec.encode(Topic::ReplaysTrends.name(), insight).map_err(ServiceError::failed)?;
        let key = Bytes::copy_from_slice(insight.asset.as_bytes());
        Ok(OutgoingRecord::new(Topic::ReplaysTrends.name(), key, Bytes::from(value)))
    }
}
