//! `vigie dlq`.

mod letters;
mod redrive;

use std::collections::BTreeMap;

use serde_json::{Value, json};
use vigie_daemon::ServiceError;
use vigie_schemas::{Codec, Topic};

use crate::cli::{DlqArgs, DlqCommand};
use crate::commands::topics::codec_error;
use crate::output::Output;

pub(crate) use redrive::RedriveArgs;

pub(crate) async fn run(command: DlqCommand, output: Output) -> Result<(), ServiceError> {
    match command {
        DlqCommand::List { servers } => list(&servers, output).await,
        DlqCommand::Show { topic, raw, servers } => show(&topic, raw, &servers, output).await,
        DlqCommand::Redrive(args) => redrive::run(args, output).await,
    }
}

async fn connect(servers: &DlqArgs) -> Result<Codec, ServiceError> {
    Codec::connect(&servers.registry, &servers.kafka.topic_prefix).await.map_err(codec_error)
}

async fn list(servers: &DlqArgs, output: Output) -> Result<(), ServiceError> {
    let codec = connect(servers).await?;
    let mut counts: BTreeMap<(String, String, String), (u64, u64)> = BTreeMap::new();
    for queue in Topic::ALL.into_iter().filter_map(Topic::dead_letter_queue) {
        for letter in letters::read(&queue, servers, &codec).await? {
            let content = letter.content;
            let count = counts.entry((content.topic, content.stage, content.reason)).or_default();
            count.0 += 1;
            count.1 += u64::from(letter.redriven);
        }
    }
    for ((topic, stage, reason), (letters, redriven)) in &counts {
        let value = json!({"topic": topic, "stage": stage, "reason": reason, "letters": letters, "redriven": redriven});
        output.result(&value, || {
            let again = if *redriven == 0 { String::new() } else { format!("  ({redriven} redriven)") };
            format!("{letters:>8}  {topic:<24} {stage:<16} {reason}{again}")
        })?;
    }
    if counts.is_empty() {
        output.note("no dead letters");
    }
    Ok(())
}

async fn show(topic: &str, raw: bool, servers: &DlqArgs, output: Output) -> Result<(), ServiceError> {
    let (_, queue) = letters::queue_of(topic)?;
    let codec = connect(servers).await?;
    for letter in letters::read(&queue, servers, &codec).await? {
        let content = letter.content;
        let mut line = json!({
            "letter": letter.at.to_string(),
            "topic": content.topic,
            "partition": content.partition,
            "offset": content.offset,
            "timestamp": content.timestamp.to_string(),
            "stage": content.stage,
            "reason": content.reason,
            "detail": content.detail,
            "failed_at": content.failed_at.to_string(),
            "key": content.key.as_deref().map(String::from_utf8_lossy),
            "value_bytes": content.value.as_ref().map(Vec::len),
            "attempts": letter.attempts,
            "redriven": letter.redriven,
        });
        if raw {
            let value = content.value.unwrap_or_default();
            line["value"] = codec.decode_json(&value).await.unwrap_or(Value::Null);
            line["value_hex"] = value.iter().map(|byte| format!("{byte:02x}")).collect::<String>().into();
        }
        output.json_line(&line)?;
    }
    Ok(())
}
