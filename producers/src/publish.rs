//! From polls to Kafka: posts, cursors and ledger entries in transactions, authors under pseudonym and seal.

pub(crate) mod authors;
pub(crate) mod cursors;
pub(crate) mod metrics;
pub(crate) mod publisher;
