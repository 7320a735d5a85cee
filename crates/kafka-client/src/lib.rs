#![doc = include_str!("../README.md")]

mod admin;
mod closing;
mod committed;
mod config;
mod consumer;
mod deadline;
mod error;
mod fetched;
mod login;
mod open_transaction;
mod producer;
mod progress;
mod quiet;
mod reader;
mod record;

pub use admin::{Admin, Created, TopicDescription, TopicSpec};
pub use committed::{Committed, committed_offsets};
pub use config::KafkaConfig;
pub use config::oauth::KafkaOAuth;
pub use config::security::{KafkaSecurity, KeyPassword, SaslMechanism, SaslPassword, SecurityProtocol};
pub use consumer::{Assignor, Consumer, ConsumerOptions, Event, Reset};
pub use error::KafkaError;
pub use login::endpoint::OAuthSecret;
pub use producer::publisher::Publisher;
pub use producer::{ProducerOptions, TransactionalProducer};
pub use reader::{
    PartitionReader, ReadToEnd, Start, last_offset_before, read_partition_to_end, read_to_end, rolled_back,
};
pub use record::{Headers, OutgoingRecord, Record, TopicPartition, partition_of};
pub use vigie_kafka_native::{Acl, Operation as AclOperation, Pattern as AclPattern, Resource as AclResource};
