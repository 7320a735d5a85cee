//! Publishing from async code: one transaction for a batch.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tracing::warn;

use crate::config::KafkaConfig;
use crate::error::KafkaError;
use crate::producer::{ProducerOptions, TransactionalProducer};
use crate::record::OutgoingRecord;

/// Writes batches of records, each batch in one transaction. Clones share one producer; batches follow one another.
///
/// A [`Publisher::new`] has a transactional id of its own, so that two never fence each other; what one that died left open is ended
/// by the broker after [`Publisher::TRANSACTION_TIMEOUT`]. Those [`Publisher::exclusive`] of one name follow one another instead, and
/// write only between a [`Publisher::claim`] and the first failure: taking the id over again is a decision of its own, for
/// another may have it by then.
#[derive(Clone)]
pub struct Publisher {
    shared: Arc<Shared>,
}

struct Shared {
    config: KafkaConfig,
    options: ProducerOptions,
    must_claim: bool,
    producer: Mutex<Option<TransactionalProducer>>,
}

impl Publisher {
    /// After so long the broker ends the transaction of a dead publisher.
    pub const TRANSACTION_TIMEOUT: Duration = Duration::from_secs(10);

    /// A publisher; `name` appears in its transactional id. Connects at the first batch.
    pub fn new(config: &KafkaConfig, name: &str) -> Self {
        Self::of(config, &format!("{name}-{:016x}", rand::random::<u64>()), false)
    }

    /// The one publisher of that transactional id, once it has [claimed](Publisher::claim) it.
    pub fn exclusive(config: &KafkaConfig, transactional_id: &str) -> Self {
        Self::of(config, transactional_id, true)
    }

    fn of(config: &KafkaConfig, transactional_id: &str, must_claim: bool) -> Self {
        let options = ProducerOptions {
            transactional_id: transactional_id.to_owned(),
            transaction_timeout: Self::TRANSACTION_TIMEOUT,
        };
        Self { shared: Arc::new(Shared { config: config.clone(), options, must_claim, producer: Mutex::new(None) }) }
    }

    /// Takes the transactional id over. Afterwards whatever any publisher of that id had under way is either committed and visible or
    /// aborted for ever, and a predecessor that still lives gets [`KafkaError::Fenced`]: what is read now stays true.
    ///
    /// # Errors
    /// If the broker does not answer.
    pub async fn claim(&self) -> Result<(), KafkaError> {
        let shared = Arc::clone(&self.shared);
        let done = tokio::task::spawn_blocking(move || {
            let mut slot = shared.producer.lock();
            *slot = None;
            *slot = Some(TransactionalProducer::new(&shared.config, &shared.options)?);
            Ok(())
        });
        done.await.unwrap_or_else(|e| Err(KafkaError::Restore { operation: "claim", detail: e.to_string() }))
    }

    /// Writes all `records` or none, and returns the partition and offset of each, in order.
    ///
    /// # Errors
    /// [`KafkaError::Restore`]: it is unknown whether the batch was written; publishing it again may write it twice, which the
    /// caller must be able to bear. [`KafkaError::Fatal`]: it never will be. [`KafkaError::Fenced`]: another has the transactional
    /// id, or may have it since the last failure. All others: it was not written, publish it again.
    pub async fn publish(&self, records: Vec<OutgoingRecord>) -> Result<Vec<(i32, i64)>, KafkaError> {
        if records.is_empty() {
            return Ok(Vec::new());
        }
        let shared = Arc::clone(&self.shared);
        let done = tokio::task::spawn_blocking(move || shared.publish(&records)).await;
        done.unwrap_or_else(|e| Err(KafkaError::Restore { operation: "publish", detail: e.to_string() }))
    }
}

impl Shared {
    fn publish(&self, records: &[OutgoingRecord]) -> Result<Vec<(i32, i64)>, KafkaError> {
        let mut slot = self.producer.lock();
        // Taken out of its slot: a producer that fails, or panics, half-way is not used again.
        let mut producer = match slot.take() {
            Some(producer) => producer,
            None if self.must_claim => {
                let detail = format!("{} was not claimed since the last failure", self.options.transactional_id);
                return Err(KafkaError::Fenced { operation: "publish", detail });
            }
            None => TransactionalProducer::new(&self.config, &self.options)?,
        };
        let error = match transact(&mut producer, records) {
            Ok(()) => {
                let deliveries = producer.take_deliveries();
                *slot = Some(producer);
                return Ok(deliveries);
            }
            Err(error) => error,
        };
        // The abort ends the transaction at once, so that no reader waits for it. The producer is not used again even so: after a
        // record that the broker refused, librdkafka 2.12 fails the next transaction too ("skipped sequence numbers").
        if !matches!(error, KafkaError::Restore { .. } | KafkaError::Fenced { .. })
            && let Err(failure) = producer.abort()
        {
            warn!(error = %failure, "transaction not aborted, the broker will time it out");
        }
        Err(error)
    }
}

fn transact(producer: &mut TransactionalProducer, records: &[OutgoingRecord]) -> Result<(), KafkaError> {
    producer.begin()?;
    for record in records {
        producer.send(record)?;
    }
    producer.commit()
}
