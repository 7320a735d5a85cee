//! From a replay's mentions to its windows.

use std::time::Duration;

use bytes::Bytes;
use vigie_clock::SharedClock;
use vigie_daemon::ServiceError;
use vigie_kafka_client::{
    KafkaError, OutgoingRecord, ProducerOptions, TopicPartition, TransactionalProducer, read_partition_to_end,
};
use vigie_schemas::{Mention, SyncCodec, Topic, TrendInsight, WHOLE_MARKET};
use vigie_streams::TumblingWindows;

use super::plan::Plan;
use crate::forecast::SharedForecaster;
use crate::service::kafka_error;
use crate::trends::batch::Batch;

/// Windows in one transaction.
const CHUNK: usize = 5_000;
const TRANSACTION_TIMEOUT: Duration = Duration::from_secs(60);

/// Reads mentions, a partition at a time, and writes their windows.
pub(crate) struct Writer<'a> {
    plan: &'a Plan,
    codec: SyncCodec,
    clock: SharedClock,
    producer: TransactionalProducer,
    forecaster: Option<SharedForecaster>,
    /// Posts read.
    pub(crate) posts: u64,
    /// Windows written.
    pub(crate) windows: u64,
}

impl<'a> Writer<'a> {
    pub(crate) fn new(
        plan: &'a Plan,
        codec: SyncCodec,
        clock: SharedClock,
        forecaster: Option<SharedForecaster>,
    ) -> Result<Self, ServiceError> {
        let transactional_id = format!("{}-windows", plan.application_id());
        let options = ProducerOptions { transactional_id, transaction_timeout: TRANSACTION_TIMEOUT };
        let producer = TransactionalProducer::new(&plan.kafka, &options).map_err(kafka_error)?;
        Ok(Self { plan, codec, clock, producer, forecaster, posts: 0, windows: 0 })
    }

    /// Fills and writes the windows of one partition of mentions.
    pub(crate) fn partition(&mut self, partition: i32, spec: &TumblingWindows) -> Result<(), ServiceError> {
        let topic = self.plan.mentions_topic();
        let mut batch = Batch::default();
        let records = read_partition_to_end(&self.plan.kafka, &TopicPartition::new(&*topic, partition), None);
        for record in records.map_err(kafka_error)? {
            let record = record.map_err(kafka_error)?;
            let value = record.value.unwrap_or_default();
            let mention: Mention = self.codec.decode(&value).map_err(ServiceError::failed)?;
            self.posts += u64::from(mention.asset == WHOLE_MARKET);
            batch.add(spec, &mention, record.offset).map_err(ServiceError::failed)?;
        }
        let (input, now) = ((&*topic, partition), self.clock.now());
        let insights = batch.insights(spec, &self.plan.run_id, input, now, self.forecaster.as_ref());
        let insights = insights.map_err(ServiceError::failed)?;
        for chunk in insights.chunks(CHUNK) {
            self.write(chunk)?;
            self.windows += chunk.len() as u64;
        }
        Ok(())
    }

    fn write(&mut self, insights: &[TrendInsight]) -> Result<(), ServiceError> {
        let mut records = Vec::with_capacity(insights.len());
        for insight in insights {
            // Schema and subject are those of the live topic's twin.
            let value = self.codec.encode(Topic::ReplaysTrends.name(), insight).map_err(ServiceError::failed)?;
            let key = Bytes::copy_from_slice(insight.asset.as_bytes());
            records.push(OutgoingRecord::new(Topic::ReplaysTrends.name(), key, Bytes::from(value)));
        }
        self.transaction(&records).map_err(kafka_error)
    }

    fn transaction(&mut self, records: &[OutgoingRecord]) -> Result<(), KafkaError> {
        self.producer.begin()?;
        for record in records {
            self.producer.send(record)?;
        }
        self.producer.commit()
    }
}
