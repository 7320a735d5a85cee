//! Where the brokers are, and the client settings that every use shares.

pub(crate) mod oauth;
pub(crate) mod security;

use std::sync::Arc;
use std::time::Duration;

use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::Consumer as _;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::topic_partition_list::Offset;
use rdkafka::{ClientConfig, TopicPartitionList};
use vigie_daemon::Mistake;

use crate::config::security::KafkaSecurity;
use crate::deadline::Deadline;
use crate::error::KafkaError;
use crate::login::Bearer;
use crate::quiet::{QuietConsumer, is_refused, reason, unsigned_consumer};
use crate::record::TopicPartition;

/// How to reach Kafka.
#[derive(clap::Args, Clone, Debug)]
pub struct KafkaConfig {
    /// Kafka bootstrap servers, host:port, separated by commas
    #[arg(id = "kafka_brokers", long = "kafka-brokers", env = "VIGIE_KAFKA_BROKERS", default_value = "127.0.0.1:9092")]
    pub brokers: String,
    /// Prefix put before every topic, consumer group and transactional id, so that several pipelines share one cluster
    #[arg(
        id = "kafka_topic_prefix",
        long = "kafka-topic-prefix",
        env = "VIGIE_KAFKA_TOPIC_PREFIX",
        default_value = ""
    )]
    pub topic_prefix: String,
    /// How the brokers' logs, quotas and metrics name this program (Kafka's client.id)
    #[arg(id = "kafka_client_id", long = "kafka-client-id", env = "VIGIE_KAFKA_CLIENT_ID", default_value = CLIENT_ID)]
    pub client_id: String,
    /// How the way there is protected.
    #[command(flatten)]
    pub security: KafkaSecurity,
}

const CLIENT_ID: &str = "vigie";
/// How often a ping looks for a reason not to wait any longer.
const LOOK: Duration = Duration::from_millis(500);

impl Default for KafkaConfig {
    fn default() -> Self {
        Self::new("127.0.0.1:9092", "")
    }
}

impl KafkaConfig {
    /// The configuration for `brokers` with `topic_prefix` before every name.
    pub fn new(brokers: impl Into<String>, topic_prefix: impl Into<String>) -> Self {
        let (brokers, topic_prefix) = (brokers.into(), topic_prefix.into());
        Self { brokers, topic_prefix, client_id: CLIENT_ID.to_owned(), security: KafkaSecurity::default() }
    }

    /// Checks what clap cannot: how the way to the brokers is protected. Every client checks it again as it is made.
    ///
    /// # Errors
    /// With every mistake.
    pub fn check(&self) -> Result<(), Vec<Mistake>> {
        let mut native = ClientConfig::new();
        self.security.set(&mut native)?;
        // Only librdkafka can tell whether it takes the files.
        unsigned_consumer(&native).map(drop).map_err(|error| {
            let found = format!("{}: {error}", native.get("security.protocol").unwrap_or_default());
            vec![Mistake::of::<KafkaSecurity>("kafka-security-protocol", found, "files in PEM that fit each other")]
        })
    }

    /// Asks a broker for the cluster's metadata, waiting up to `timeout`: the number of brokers.
    ///
    /// # Errors
    /// [`KafkaError::Unavailable`] if none answers in time.
    pub fn ping(&self, timeout: Duration) -> Result<usize, KafkaError> {
        let client = self.quiet_consumer("connect", &self.client()?)?;
        let deadline = Deadline::after(timeout);
        let answer = loop {
            // A topic that cannot exist keeps the answer small on a cluster with many topics.
            let answer = client.fetch_metadata(Some("__vigie_ping"), deadline.remaining().min(LOOK));
            if answer.is_ok() || deadline.passed() || is_refused(&client) {
                break answer;
            }
        };
        match answer {
            Ok(metadata) => Ok(metadata.brokers().len()),
            Err(error) => Err(match (self.reached("connect", &error), reason(&client)) {
                (KafkaError::Unavailable { brokers, .. }, Some(reason)) => {
                    let hint = self.security.hint(&reason);
                    KafkaError::unavailable(brokers, format!("{reason}{hint}"))
                }
                (other, _) => other,
            }),
        }
    }

    /// The name on the wire of a topic, group or transactional id.
    pub fn wire_name(&self, name: &str) -> String {
        format!("{}{name}", self.topic_prefix)
    }

    /// The name without the prefix; `None` if it does not carry it.
    pub fn plain_name<'a>(&self, wire_name: &'a str) -> Option<&'a str> {
        wire_name.strip_prefix(&self.topic_prefix)
    }

    /// Partitions, by their topics' names on the wire.
    pub(crate) fn wire_partitions(&self, partitions: &[TopicPartition]) -> TopicPartitionList {
        let mut list = TopicPartitionList::with_capacity(partitions.len());
        for at in partitions {
            list.add_partition(&self.wire_name(&at.topic), at.partition);
        }
        list
    }

    /// The same, each with an offset.
    pub(crate) fn wire_offsets<'a>(
        &self,
        operation: &'static str,
        offsets: impl IntoIterator<Item = (&'a TopicPartition, &'a i64)>,
    ) -> Result<TopicPartitionList, KafkaError> {
        let mut list = TopicPartitionList::new();
        for (at, offset) in offsets {
            list.add_partition_offset(&self.wire_name(&at.topic), at.partition, Offset::Offset(*offset))
                .map_err(|e| KafkaError::from_native(operation, &e))?;
        }
        Ok(list)
    }

    /// Gives a new client a token, and a newer one whenever there is, where that is how we say who
    /// we are.
    ///
    /// # Errors
    /// [`KafkaError::Unavailable`] if there is none.
    pub(crate) fn sign_in<T: Bearer + 'static>(&self, client: &Arc<T>) -> Result<(), KafkaError> {
        let Some(login) = self.security.login().map_err(KafkaError::Config)? else { return Ok(()) };
        login.sign_in(client).map_err(|detail| KafkaError::unavailable(&self.brokers, detail))
    }

    /// A consumer outside any group, of settings that are these and more.
    pub(crate) fn quiet_consumer(
        &self,
        operation: &'static str,
        native: &ClientConfig,
    ) -> Result<QuietConsumer, KafkaError> {
        let made = unsigned_consumer(native).map_err(|e| KafkaError::from_native(operation, &e))?;
        let made = Arc::new(made);
        self.sign_in(&made)?;
        Ok(made)
    }

    /// Classifies an error of a blocking request, for which a time-out means that no broker answered.
    pub(crate) fn reached(&self, operation: &'static str, error: &rdkafka::error::KafkaError) -> KafkaError {
        match KafkaError::from_native(operation, error) {
            KafkaError::Retry { detail, .. } if error.rdkafka_error_code().is_some_and(is_unreachable) => {
                KafkaError::unavailable(&self.brokers, detail)
            }
            other => other,
        }
    }

    /// Classifies an error of a poll. A token that was refused may be followed by a better one,
    /// which a password is not.
    pub(crate) fn polled(&self, operation: &'static str, error: &rdkafka::error::KafkaError) -> KafkaError {
        let is_refused = error.rdkafka_error_code().is_some_and(|code| {
            matches!(code, RDKafkaErrorCode::Authentication | RDKafkaErrorCode::SaslAuthenticationFailed)
        });
        if is_refused && self.security.has_token() {
            let reason = error.to_string();
            let hint = self.security.hint(&reason);
            return KafkaError::unavailable(&self.brokers, format!("{reason}{hint}"));
        }
        self.reached(operation, error)
    }

    /// The settings of a consumer. Its queue is small, for each record in it takes some hundred bytes besides its own, and looked at
    /// often: left alone, librdkafka waits a whole second before it fills a queue again that it found full.
    pub(crate) fn reading_client(&self) -> Result<ClientConfig, KafkaError> {
        let mut config = self.client()?;
        config
            .set("isolation.level", "read_committed")
            .set("enable.auto.commit", "false")
            .set("fetch.error.backoff.ms", "100")
            .set("fetch.queue.backoff.ms", "5")
            .set("queued.max.messages.kbytes", "4096")
            .set("queued.min.messages", "10000");
        Ok(config)
    }

    pub(crate) fn client(&self) -> Result<ClientConfig, KafkaError> {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", &self.brokers)
            .set("client.id", &self.client_id)
            .set("allow.auto.create.topics", "false")
            // A restarted broker should be found again within a second or two, not ten.
            .set("reconnect.backoff.max.ms", "2000")
            .set("topic.metadata.refresh.interval.ms", "30000")
            .set("log.connection.close", "false")
            .set_log_level(RDKafkaLogLevel::Warning);
        self.security.set(&mut config).map_err(KafkaError::Config)?;
        Ok(config)
    }
}

fn is_unreachable(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode as Code;
    matches!(
        code,
        Code::BrokerTransportFailure
            | Code::AllBrokersDown
            | Code::Resolve
            | Code::OperationTimedOut
            | Code::TimedOutQueue
            | Code::RequestTimedOut
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unreachable_broker_is_reported_in_bounded_time() {
        let config = KafkaConfig::new("127.0.0.1:1", "");
        let error = config.ping(Duration::from_millis(300)).unwrap_err();
        assert!(error.is_unavailable(), "{error}");
        assert!(error.to_string().contains("127.0.0.1:1"), "{error}");
    }

    #[test]
    fn prefix_goes_before_every_name_and_comes_off_again() {
        let config = KafkaConfig::new("b:9092", "t1.");
        assert_eq!(config.wire_name("posts"), "t1.posts");
        assert_eq!(config.plain_name("t1.posts"), Some("posts"));
        assert_eq!(config.plain_name("posts"), None);
    }
}
