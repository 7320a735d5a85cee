//! `vigie tail`.

mod asset;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use vigie_clock::Timestamp;
use vigie_daemon::ServiceError;
use vigie_kafka_client::{KafkaConfig, PartitionReader, Record, Start, read_to_end};
use vigie_schemas::{Codec, RegistryConfig};

use crate::commands::topics::{codec_error, kafka_error};
use crate::output::Output;

#[derive(Args, Debug)]
pub(crate) struct TailArgs {
    /// The topic, for example insights.trends.v1
    pub(crate) topic: String,
    /// Only records of this asset, in any case
    #[arg(long)]
    pub(crate) asset: Option<String>,
    /// Only records that arrived at this time or later: RFC 3339, a day (UTC), or how long ago, for example 1h
    #[arg(long, value_name = "TIME", value_parser = vigie_processors::times::since)]
    pub(crate) from: Option<Timestamp>,
    /// Only the last N matching records; with --follow, new ones too
    #[arg(short = 'n', long, value_name = "N")]
    pub(crate) lines: Option<usize>,
    /// Go on with records as they come
    #[arg(long, short)]
    pub(crate) follow: bool,
    #[command(flatten)]
    pub(crate) kafka: KafkaConfig,
    #[command(flatten)]
    pub(crate) registry: RegistryConfig,
}

const POLL: Duration = Duration::from_millis(250);

pub(crate) async fn run(args: TailArgs, output: Output) -> Result<(), ServiceError> {
    let asset = args.asset.as_deref().map(|asset| asset::canonical(asset, output)).transpose()?;
    let codec = Codec::connect(&args.registry, &args.kafka.topic_prefix).await.map_err(codec_error)?;

    let (sender, mut records) = mpsc::channel::<Option<Record>>(1024);
    let start = args.from.map_or(Start::Beginning, Start::Time);
    let (kafka, topic, follow) = (args.kafka, args.topic.clone(), args.follow);
    let reader = tokio::task::spawn_blocking(move || {
        let send = |record| sender.blocking_send(record).is_ok();
        let mut next = BTreeMap::new();
        for record in read_to_end(&kafka, &topic, &start).map_err(kafka_error)? {
            let record = record.map_err(kafka_error)?;
            next.insert(record.partition, record.offset + 1);
            if !send(Some(record)) {
                return Ok(());
            }
        }
        if !send(None) || !follow {
            return Ok(());
        }
        // A partition that had no record is read from where the whole began.
        let start = if next.is_empty() { start } else { Start::Offsets(next) };
        let mut reader = PartitionReader::new(&kafka, &topic, &start).map_err(kafka_error)?;
        loop {
            for record in reader.poll(POLL, 500).map_err(kafka_error)? {
                if !send(Some(record)) {
                    return Ok(());
                }
            }
        }
    });
    // With `-n` the lines of what is there are kept back until its end is reached.
    let (mut kept, mut limit) = (VecDeque::new(), args.lines);
    while let Some(record) = records.recv().await {
        let Some(record) = record else {
            limit = None;
            kept.drain(..).try_for_each(|line| output.json_line(&line))?;
            continue;
        };
        let value = match &record.value {
            Some(bytes) => {
                codec.decode_json(bytes).await.map_or_else(|e| json!({"undecodable": e.to_string()}), readable)
            }
            None => Value::Null,
        };
        if asset.as_deref().is_some_and(|asset| !mentions(&value, asset)) {
            continue;
        }
        let line = line(&record, value);
        match limit {
            None => output.json_line(&line)?,
            Some(0) => {}
            Some(limit) => {
                if kept.len() == limit {
                    kept.pop_front();
                }
                kept.push_back(line);
            }
        }
    }
    reader.await.map_err(ServiceError::failed)?
}

/// A record as one line: where it stands, then what it says.
pub(crate) fn line(record: &Record, value: Value) -> Value {
    json!({
        "topic": &*record.topic,
        "partition": record.partition,
        "offset": record.offset,
        "timestamp": record.timestamp.to_string(),
        "key": record.key.as_ref().map(|key| String::from_utf8_lossy(key)),
        "value": value,
    })
}

/// Whether a record is about an asset: its `asset`, or one of its `assets`.
fn mentions(value: &Value, asset: &str) -> bool {
    let is = |v: &Value| v.get("asset").and_then(Value::as_str) == Some(asset);
    is(value) || value.get("assets").and_then(Value::as_array).is_some_and(|list| list.iter().any(is))
}

/// Times as RFC 3339 instead of milliseconds: every field whose name says that it is a time. What is under seal as hexadecimal.
fn readable(mut value: Value) -> Value {
    if let Value::Object(fields) = &mut value {
        for (name, field) in fields {
            let time = name.ends_with("_at") || name == "at" || name == "window_start" || name == "window_end";
            if let Some(millis) = field.as_i64().filter(|_| time) {
                *field = Value::String(Timestamp::from_millis(millis).to_string());
            }
            if matches!(name.as_str(), "author_sealed" | "wrapped_key")
                && let Some(bytes) = field.as_array()
            {
                *field =
                    bytes.iter().filter_map(Value::as_u64).map(|byte| format!("{byte:02x}")).collect::<String>().into();
            }
        }
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_for_people_and_counts_are_not_touched() {
        let value = readable(
            json!({"window_start": 0, "posts": 7, "author_sealed": [1, 255], "published_at": 1_652_100_000_000_i64}),
        );
        assert_eq!(
            value,
            json!({"window_start": "1970-01-01T00:00:00Z", "posts": 7, "author_sealed": "01ff", "published_at": "2022-05-09T12:40:00Z"})
        );
    }

    #[test]
    fn an_asset_is_found_in_both_shapes() {
        assert!(mentions(&json!({"asset": "BTC"}), "BTC"));
        assert!(mentions(&json!({"assets": [{"asset": "ETH"}, {"asset": "BTC"}]}), "BTC"));
        assert!(!mentions(&json!({"assets": []}), "BTC"));
    }
}
