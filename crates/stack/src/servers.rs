//! The servers: how each is found on this machine, prepared, launched, and asked whether it serves.

pub(crate) mod java;
pub(crate) mod kafka;
pub(crate) mod launch;
pub(crate) mod postgres;
pub(crate) mod program;
pub(crate) mod redis;
pub mod registry;

use self::kafka::KafkaNode;
use self::postgres::Postgres;
use self::redis::Redis;
use crate::StackConfig;

/// What a stack needs on this machine: where each thing was found, or what to do about its absence.
pub async fn check(config: &StackConfig) -> Vec<(&'static str, Result<String, String>)> {
    let java = tokio::task::spawn_blocking(java::find).await;
    let java = java.map_err(|e| e.to_string()).and_then(|found| found.map_err(|e| e.to_string()));
    let found = [
        ("java", java),
        ("kafka", KafkaNode::find_jars(config.kafka_jars.as_deref()).map_err(|e| e.to_string())),
        ("postgresql", Postgres::find().map_err(|e| e.to_string())),
        ("redis", Redis::find().map_err(|e| e.to_string())),
    ];
    found.into_iter().map(|(what, found)| (what, found.map(|path| path.display().to_string()))).collect()
}
