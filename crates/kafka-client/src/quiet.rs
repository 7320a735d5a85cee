//! A client that keeps librdkafka's remarks to itself: what matters comes back from the calls, and is logged where it is handled.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use rdkafka::ClientContext;
use rdkafka::config::{ClientConfig, FromClientConfigAndContext as _};
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};
use rdkafka::error::{KafkaError as NativeError, KafkaResult, RDKafkaErrorCode as Code};
use rdkafka::statistics::Statistics;
use tracing::{debug, warn};

use crate::progress::ProgressBoard;

/// Logs remarks for those who look closely only.
#[derive(Default)]
pub(crate) struct Quiet {
    /// Filled only where statistics are asked for.
    pub(crate) progress: ProgressBoard,
    /// Why a broker was not reached, as first reported.
    reason: Mutex<Option<String>>,
    refused: AtomicBool,
}

impl ClientContext for Quiet {
    fn stats(&self, statistics: Statistics) {
        self.progress.update(statistics);
    }

    fn error(&self, error: NativeError, reason: &str) {
        remark(&error, reason);
        if error.rdkafka_error_code() != Some(Code::AllBrokersDown) {
            self.reason.lock().get_or_insert_with(|| reason.to_owned());
        }
        self.refused.fetch_or(is_refusal(&error), Ordering::Relaxed);
    }
}

/// A remark that no call returns.
pub(crate) fn remark(error: &NativeError, reason: &str) {
    if is_refusal(error) {
        warn!(reason, "kafka broker not trusted, or it does not trust us");
    } else {
        debug!(%error, reason, "kafka client remark");
    }
}

/// Whether it stays so until somebody looks.
fn is_refusal(error: &NativeError) -> bool {
    matches!(error.rdkafka_error_code(), Some(Code::SSL | Code::Authentication))
}

impl ConsumerContext for Quiet {}

/// A consumer outside any group.
pub(crate) type QuietConsumer = Arc<BaseConsumer<Quiet>>;

/// Makes what becomes one. It may not be able to say who we are: see `KafkaConfig::quiet_consumer`.
pub(crate) fn unsigned_consumer(native: &ClientConfig) -> KafkaResult<BaseConsumer<Quiet>> {
    BaseConsumer::from_config_and_context(native, Quiet::default())
}

/// Whether a broker was met that is not trusted, or does not trust us.
pub(crate) fn is_refused(client: &QuietConsumer) -> bool {
    serve(client);
    client.context().refused.load(Ordering::Relaxed)
}

/// Why `client` reached no broker, if that was reported.
pub(crate) fn reason(client: &QuietConsumer) -> Option<String> {
    serve(client);
    client.context().reason.lock().clone()
}

/// Takes what was reported; a poll without any time ends at the first line of the log.
fn serve(client: &QuietConsumer) {
    while client.poll(Duration::from_millis(10)).is_some() {}
}
