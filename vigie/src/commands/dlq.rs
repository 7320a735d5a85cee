//! `vigie dlq`.

use std::collections::BTreeMap;

use serde_json::json;
use vigie_daemon::{Mistake, ServiceError};
use vigie_kafka_client::{Record, Start, read_to_end};
use vigie_schemas::{Codec, DeadLetter, Topic};

use crate::cli::{DlqArgs, DlqCommand};
use crate::commands::topics::{blocking, codec_error, kafka_error};
use crate::output::Output;

pub(crate) async fn run(command: DlqCommand, output: Output) -> Result<(), ServiceError> {
    match command {
        DlqCommand::List { servers } => list(&servers, output).await,
        DlqCommand::Show { topic, servers } => show(&topic, &servers, output).await,
    }
}

async fn list(servers: &DlqArgs, output: Output) -> Result<(), ServiceError> {
    let mut counts: BTreeMap<(String, String, String), u64> = BTreeMap::new();
    for topic in Topic::ALL.into_iter().filter(|t| t.dead_letter_queue().is_some()) {
        for letter in letters(topic.name(), servers).await? {
            *counts.entry((letter.topic, letter.stage, letter.reason)).or_default() += 1;
        }
    }
    for ((topic, stage, reason), letters) in &counts {
        let value = json!({"topic": topic, "stage": stage, "reason": reason, "letters": letters});
        output.result(&value, || format!("{letters:>8}  {topic:<24} {stage:<16} {reason}"))?;
    }
    if counts.is_empty() {
        output.note("no dead letters");
    }
    Ok(())
}

async fn show(topic: &str, servers: &DlqArgs, output: Output) -> Result<(), ServiceError> {
    for letter in letters(topic, servers).await? {
        output.json_line(&json!({
            "topic": letter.topic,
            "partition": letter.partition,
            "offset": letter.offset,
            "timestamp": letter.timestamp.to_string(),
            "stage": letter.stage,
            "reason": letter.reason,
            "detail": letter.detail,
            "failed_at": letter.failed_at.to_string(),
            "key": letter.key.as_deref().map(String::from_utf8_lossy),
            "value_bytes": letter.value.as_ref().map(Vec::len),
        }))?;
    }
    Ok(())
}

async fn letters(topic: &str, servers: &DlqArgs) -> Result<Vec<DeadLetter>, ServiceError> {
    let known = Topic::from_name(topic).and_then(Topic::dead_letter_queue);
    let Some(queue) = known else {
        let names: Vec<&str> = Topic::ALL.into_iter().map(Topic::name).collect();
        return Err(Mistake::new("topic", format!("{topic:?}"), format!("one of {}", names.join(", "))).into());
    };
    let codec = Codec::connect(&servers.registry, &servers.kafka.topic_prefix).await.map_err(codec_error)?;
    let kafka = servers.kafka.clone();
    let records: Vec<Record> = blocking(move || {
        read_to_end(&kafka, &queue, &Start::Beginning)
            .map_err(kafka_error)?
            .collect::<Result<_, _>>()
            .map_err(kafka_error)
    })
    .await?;
    let mut letters = Vec::with_capacity(records.len());
    for record in records {
        let Some(value) = &record.value else { continue };
        letters.push(codec.decode::<DeadLetter>(value).await.map_err(codec_error)?);
    }
    Ok(letters)
}
