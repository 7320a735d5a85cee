//! What the driver does every few seconds: hints to the consumer group, lag, and a look at the servers.

use std::sync::Arc;
use std::time::Duration;

use tracing::{debug, info};
use vigie_kafka_client::{Consumer, TopicPartition};

use crate::driver::Driver;
use crate::sink::{Offsets, Sink};

pub(crate) const INTERVAL: Duration = Duration::from_secs(5);

/// What a look at the servers found.
pub(crate) struct Check {
    /// The store holds offsets that the buffer does not know.
    moved: bool,
    kafka_answers: bool,
}

impl<S: Sink> Driver<S> {
    /// Every few seconds: hints to the group, lag, and a look at the servers.
    pub(crate) fn upkeep(&mut self, consumer: &Consumer) {
        if let Some(checker) = self.checker.take_if(|checker| checker.is_finished())
            && let Ok(check) = self.handle.block_on(checker)
        {
            self.act_on(&check);
        }
        let now = self.ctx.clock.monotonic();
        if now < self.upkeep_at {
            return;
        }
        self.upkeep_at = now + INTERVAL;
        let stored = self.buffer.stored();
        for (partition, &next) in &stored {
            if let Some(lag) = consumer.lag(partition, next) {
                let labels = [partition.topic.as_str(), &partition.partition.to_string()];
                self.writer.metrics.lag.with_label_values(&labels).set(lag);
            }
        }
        if !stored.is_empty() {
            self.commit_hint(consumer, &stored);
        }
        if self.flight.is_none() && self.checker.is_none() {
            let (writer, kafka) = (Arc::clone(&self.writer), self.kafka_down.then(|| self.options.kafka.clone()));
            self.checker = Some(self.handle.spawn(async move {
                let kafka_answers = match kafka {
                    Some(kafka) => {
                        tokio::task::spawn_blocking(move || kafka.ping(INTERVAL).is_ok()).await.unwrap_or(false)
                    }
                    None => true,
                };
                Check { moved: moved(&writer.sink, &stored).await, kafka_answers }
            }));
        }
    }

    fn act_on(&mut self, check: &Check) {
        if self.kafka_down && check.kafka_answers {
            info!(sink = self.writer.sink.name(), "kafka answers again");
            self.kafka_down = false;
            self.writer.health.ready(); // a writer in trouble says so again at its next attempt
        }
        if check.moved && self.flight.is_none() {
            info!(sink = self.writer.sink.name(), "the store holds other offsets, reading again from what is stored");
            self.writer.metrics.conflicts.inc();
            self.load(self.buffer.stored().into_keys().collect());
        }
    }

    pub(crate) fn commit_hint(&self, consumer: &Consumer, stored: &Offsets) {
        if let Err(error) = consumer.commit_async(stored) {
            debug!(sink = self.writer.sink.name(), %error, "offsets not committed to the group");
        }
    }
}

/// Whether the store was emptied or restored behind our back. An outage is the next batch's matter, and offsets that went ahead are those
/// of a batch that was written meanwhile.
async fn moved<S: Sink>(sink: &S, stored: &Offsets) -> bool {
    let partitions: Vec<TopicPartition> = stored.keys().cloned().collect();
    let found = sink.load(&partitions).await;
    found.is_ok_and(|found| stored.iter().any(|(at, &next)| found.get(at).is_none_or(|&there| there < next)))
}
