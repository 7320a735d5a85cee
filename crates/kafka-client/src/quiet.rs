//! A client that keeps librdkafka's remarks to itself: what matters comes back from the calls, and is logged where it is handled.

use rdkafka::ClientContext;
use rdkafka::config::{ClientConfig, FromClientConfigAndContext as _};
use rdkafka::consumer::{BaseConsumer, ConsumerContext};
use rdkafka::error::{KafkaError as NativeError, KafkaResult};
use rdkafka::statistics::Statistics;
use tracing::debug;

use crate::progress::ProgressBoard;

/// Logs remarks for those who look closely only.
#[derive(Default)]
pub(crate) struct Quiet {
    /// Filled only where statistics are asked for.
    pub(crate) progress: ProgressBoard,
}

impl ClientContext for Quiet {
    fn stats(&self, statistics: Statistics) {
        self.progress.update(statistics);
    }

    fn error(&self, error: NativeError, reason: &str) {
        debug!(%error, reason, "kafka client remark");
    }
}

impl ConsumerContext for Quiet {}

/// A consumer outside any group.
pub(crate) type QuietConsumer = BaseConsumer<Quiet>;

/// Makes one of `config`.
pub(crate) fn quiet_consumer(config: &ClientConfig) -> KafkaResult<QuietConsumer> {
    BaseConsumer::from_config_and_context(config, Quiet::default())
}
