//! `vigie dlq`.

mod letters;
mod redrive;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use vigie_daemon::{Mistake, ServiceError};
use vigie_kafka_client::KafkaConfig;
use vigie_schemas::{Codec, RegistryConfig, Topic};

use crate::commands::topics::codec_error;
use crate::output::{Output, count};
use letters::{Chosen, Filter, Letter};

#[derive(Args, Debug)]
pub(crate) struct DlqArgs {
    #[command(flatten)]
    pub(crate) kafka: KafkaConfig,
    #[command(flatten)]
    pub(crate) registry: RegistryConfig,
}

#[derive(Subcommand, Debug)]
pub(crate) enum DlqCommand {
    /// Count dead letters by topic, stage and reason
    List {
        /// Only those of this topic
        #[arg(long)]
        topic: Option<String>,
        #[command(flatten)]
        filter: Filter,
        #[command(flatten)]
        servers: DlqArgs,
    },
    /// Print dead letters as JSON Lines
    Show {
        #[command(flatten)]
        chosen: Chosen,
        /// With the values: decoded if they can be, and as hexadecimal
        #[arg(long)]
        raw: bool,
        #[command(flatten)]
        servers: DlqArgs,
    },
    /// Write the values of dead letters to a folder, to be put right and sent by `redrive --value`: JSON if they can be decoded, and letters.jsonl
    Export {
        #[command(flatten)]
        chosen: Chosen,
        /// The folder, which is made if it is not there
        #[arg(value_name = "DIR")]
        into: PathBuf,
        #[command(flatten)]
        servers: DlqArgs,
    },
    Redrive(redrive::RedriveArgs),
}

pub(crate) async fn run(command: DlqCommand, output: Output) -> Result<(), ServiceError> {
    match command {
        DlqCommand::List { topic, filter, servers } => list(topic.as_deref(), &filter, &servers, output).await,
        DlqCommand::Show { chosen, raw, servers } => show(&chosen, raw, &servers, output).await,
        DlqCommand::Export { chosen, into, servers } => export(&chosen, &into, &servers, output).await,
        DlqCommand::Redrive(args) => redrive::run(args, output).await,
    }
}

async fn connect(servers: &DlqArgs) -> Result<Codec, ServiceError> {
    Codec::connect(&servers.registry, &servers.kafka.topic_prefix).await.map_err(codec_error)
}

async fn list(topic: Option<&str>, filter: &Filter, servers: &DlqArgs, output: Output) -> Result<(), ServiceError> {
    let queues = match topic {
        Some(topic) => vec![letters::queue_of(topic)?.1],
        None => Topic::ALL.into_iter().filter_map(Topic::dead_letter_queue).collect(),
    };
    let codec = connect(servers).await?;
    let mut counts: BTreeMap<(String, String, String), (u64, u64)> = BTreeMap::new();
    for queue in queues {
        for letter in letters::read(&queue, servers, &codec).await? {
            let content = letter.content;
            if filter.takes(&content) {
                let count = counts.entry((content.topic, content.stage, content.reason)).or_default();
                count.0 += 1;
                count.1 += u64::from(letter.redriven.is_some());
            }
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

/// The letters that are meant, oldest first.
async fn read(chosen: &Chosen, servers: &DlqArgs, codec: &Codec) -> Result<impl Iterator<Item = Letter>, ServiceError> {
    let (_, queue) = letters::queue_of(&chosen.topic)?;
    let letters = letters::read(&queue, servers, codec).await?;
    Ok(chosen.of(letters)?.take(chosen.limit.unwrap_or(usize::MAX)))
}

async fn show(chosen: &Chosen, raw: bool, servers: &DlqArgs, output: Output) -> Result<(), ServiceError> {
    let codec = connect(servers).await?;
    for letter in read(chosen, servers, &codec).await? {
        let mut line = described(&letter);
        if raw {
            let value = letter.content.value.unwrap_or_default();
            line["value"] = codec.decode_json(&value).await.unwrap_or(Value::Null);
            line["value_hex"] = value.iter().map(|byte| format!("{byte:02x}")).collect::<String>().into();
        }
        output.json_line(&line)?;
    }
    Ok(())
}

fn described(letter: &Letter) -> Value {
    let Letter { at, content, attempts, redriven } = letter;
    json!({
        "letter": at.to_string(),
        "topic": content.topic,
        "partition": content.partition,
        "offset": content.offset,
        "timestamp": content.timestamp.to_string(),
        "stage": content.stage,
        "reason": content.reason,
        "detail": content.detail,
        "failed_at": content.failed_at.to_string(),
        "version": content.version,
        "key": content.key.as_deref().map(String::from_utf8_lossy),
        "value_bytes": content.value.as_ref().map(Vec::len),
        "attempts": attempts,
        "redriven": redriven.is_some(),
        "redriven_at": redriven.as_ref().map(|redriven| redriven.at.to_string()),
        "redriven_to": redriven.as_ref().map(|redriven| redriven.to.to_string()),
        "redriven_by": redriven.as_ref().and_then(|redriven| redriven.by.as_deref()),
    })
}

/// A file for each value, as `redrive --value` takes it, and one that says what they are.
async fn export(chosen: &Chosen, into: &Path, servers: &DlqArgs, output: Output) -> Result<(), ServiceError> {
    let write = |name: &str, bytes: &[u8]| {
        let path = into.join(name);
        let wrong = |error| Mistake::new("DIR", format!("{}: {error}", path.display()), "a folder to write to");
        std::fs::write(&path, bytes).map_err(wrong)
    };
    let codec = connect(servers).await?;
    let mut lines = String::new();
    let letters = read(chosen, servers, &codec).await?;
    let failed = |error| Mistake::new("DIR", format!("{}: {error}", into.display()), "a folder that can be made");
    std::fs::create_dir_all(into).map_err(failed)?;
    let mut amount = 0_u64;
    for letter in letters {
        let mut line = described(&letter);
        if let Some(value) = &letter.content.value {
            let decoded = codec.decode_json(value).await.ok();
            let ending = if decoded.is_some() { "json" } else { "bin" };
            let name = format!("{}-{}.{ending}", letter.at.partition, letter.at.offset);
            match decoded {
                Some(json) => write(&name, format!("{json:#}\n").as_bytes())?,
                None => write(&name, value)?,
            }
            line["file"] = name.into();
        }
        lines += &format!("{line}\n");
        amount += 1;
    }
    write("letters.jsonl", lines.as_bytes())?;
    output.result(&json!({"topic": chosen.topic, "exported": amount, "into": into}), || {
        format!("{} written to {}", count(amount, "letter"), into.display())
    })
}
