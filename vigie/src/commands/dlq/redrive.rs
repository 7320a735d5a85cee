//! `vigie dlq redrive`: sends the records of dead letters to their topic again, each once.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use clap::Args;
use serde_json::json;
use vigie_audit::{Action, AuditConfig};
use vigie_daemon::{Context, Mistake, ServiceError, spawn_signal_handler};
use vigie_kafka_client::{KafkaConfig, KafkaError, OutgoingRecord, ProducerOptions, TransactionalProducer};
use vigie_schemas::{Codec, Place, Topic};

use super::DlqArgs;
use super::letters::{self, Chosen, Letter};
use crate::commands::audit::{audited, event};
use crate::commands::topics::{blocking, codec_error, kafka_error};
use crate::output::{Output, count};

/// Records of a transaction at most.
const BATCH: usize = 100;
const TRANSACTION: Duration = Duration::from_secs(30);

/// Send the records of dead letters to their topic again, each once
#[derive(Args, Debug)]
#[command(after_help = "All readers of the topic see the record, those too that had processed it before.\n\
A letter that was redriven is marked in its queue, in the same transaction: however often the command is run, or killed, a record is sent once.")]
pub(crate) struct RedriveArgs {
    #[command(flatten)]
    chosen: Chosen,
    /// Send this value instead: a file with JSON, which is encoded by the topic's schema, or else with the bytes themselves; needs one --letter
    #[arg(long, value_name = "FILE")]
    value: Option<PathBuf>,
    /// Records per second at most
    #[arg(long)]
    rate: Option<NonZeroU32>,
    /// Leave records alone that have been redriven so often and failed again
    #[arg(long, default_value_t = 3)]
    max_attempts: u32,
    /// Only say what would be sent
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    servers: DlqArgs,
}

pub(crate) async fn run(args: RedriveArgs, output: Output) -> Result<(), ServiceError> {
    let (topic, queue) = letters::queue_of(&args.chosen.topic)?;
    if args.value.is_some() && args.chosen.letter.len() != 1 {
        let found = format!("given with {} --letter", args.chosen.letter.len());
        return Err(Mistake::new("--value", found, "one --letter that it replaces").into());
    }
    let codec = super::connect(&args.servers).await?;
    let replacement = match &args.value {
        Some(path) => Some(replacement(path, topic, &codec).await?),
        None => None,
    };
    let producer = match args.dry_run {
        true => None,
        // Ends what a redrive before this one left open, before the marks are read.
        false => Some(open(&args.servers.kafka, topic).await?),
    };
    let all = letters::read(&queue, &args.servers, &codec).await?;
    let Selection { letters, left_out } = select(&args, all, replacement.is_some())?;
    for (reason, letters) in &left_out {
        output.note(format!("left out: {} {reason}", count(*letters, "letter")));
    }
    let sent = match producer {
        None => letters.len(),
        Some(producer) => {
            let audit = AuditConfig { kafka: args.servers.kafka.clone(), registry: args.servers.registry.clone() };
            let event = event(Action::DlqRedrive, Some(&args.chosen.topic)).with("letters", letters.len());
            let event = event.with("replaced", replacement.is_some());
            let work = Redrive { topic, queue, producer, replacement, pause: args.rate.map(pause) };
            audited(&audit, event, send(work, letters)).await?
        }
    };
    let value = json!({"topic": args.chosen.topic, "redriven": sent, "left_out": left_out, "dry_run": args.dry_run});
    output.result(&value, || {
        let verb = if args.dry_run { "would be sent" } else { "sent" };
        format!("{} {verb} to {}", count(sent as u64, "record"), args.chosen.topic)
    })
}

/// JSON, encoded by the topic's schema, or the bytes themselves.
async fn replacement(path: &Path, topic: Topic, codec: &Codec) -> Result<Bytes, ServiceError> {
    let wrong = |found: String, expected: &str| Mistake::new("--value", found, expected);
    let bytes = std::fs::read(path)
        .map_err(|error| wrong(format!("{}: {error}", path.display()), "a file that can be read"))?;
    match serde_json::from_slice::<serde_json::Value>(&bytes) {
        Ok(json) => Ok(codec.encode_json(topic, json).await.map_err(codec_error)?.into()),
        Err(error) if bytes.first() == Some(&b'{') => Err(wrong(error.to_string(), "JSON").into()),
        Err(_) => Ok(bytes.into()),
    }
}

async fn open(kafka: &KafkaConfig, topic: Topic) -> Result<TransactionalProducer, ServiceError> {
    let options = ProducerOptions {
        transactional_id: format!("vigie-dlq-redrive-{}", topic.name()),
        transaction_timeout: TRANSACTION,
    };
    let kafka = kafka.clone();
    blocking(move || TransactionalProducer::new(&kafka, &options).map_err(kafka_error)).await
}

struct Selection {
    letters: Vec<Letter>,
    /// Why others that were meant are not sent.
    left_out: BTreeMap<&'static str, u64>,
}

fn select(args: &RedriveArgs, all: Vec<Letter>, replaced: bool) -> Result<Selection, ServiceError> {
    let mut left_out = BTreeMap::new();
    let mut letters = Vec::new();
    for letter in args.chosen.of(all)? {
        let content = &letter.content;
        let cut = content.value.is_none() && content.detail.ends_with("is left out)");
        let why = if letter.redriven.is_some() {
            "redriven before"
        } else if letter.attempts >= args.max_attempts {
            "at --max-attempts"
        } else if cut && !replaced {
            "whose value was too large to keep"
        } else if args.chosen.limit.is_some_and(|limit| letters.len() >= limit) {
            "beyond --limit"
        } else {
            letters.push(letter);
            continue;
        };
        *left_out.entry(why).or_default() += 1;
    }
    Ok(Selection { letters, left_out })
}

fn pause(rate: NonZeroU32) -> Duration {
    Duration::from_secs(1) / rate.get()
}

struct Redrive {
    topic: Topic,
    queue: String,
    producer: TransactionalProducer,
    replacement: Option<Bytes>,
    /// Between two records.
    pause: Option<Duration>,
}

/// Returns how many records were sent; a signal ends it after a transaction.
async fn send(mut work: Redrive, letters: Vec<Letter>) -> Result<usize, ServiceError> {
    let ctx = Context::system();
    spawn_signal_handler(ctx.shutdown.clone());
    // With a rate, no transaction is larger than what may be sent in a quarter of a second.
    let batch = work.pause.map_or(BATCH, |pause| (250 / pause.as_millis().max(1)).clamp(1, BATCH as u128) as usize);
    let mut sent = 0;
    for letters in in_batches(letters, batch) {
        let amount = letters.len();
        work = blocking(move || {
            work.transact(&letters).map_err(kafka_error)?;
            Ok(work)
        })
        .await?;
        sent += amount;
        let rest = work.pause.unwrap_or_default() * amount as u32;
        tokio::select! {
            () = ctx.shutdown.cancelled() => break,
            () = tokio::time::sleep(rest) => {}
        }
    }
    Ok(sent)
}

fn in_batches(letters: Vec<Letter>, size: usize) -> impl Iterator<Item = Vec<Letter>> {
    let mut rest = letters.into_iter();
    std::iter::from_fn(move || Some(rest.by_ref().take(size).collect::<Vec<_>>()).filter(|batch| !batch.is_empty()))
}

impl Redrive {
    /// Sends records and marks, or nothing.
    fn transact(&mut self, letters: &[Letter]) -> Result<(), KafkaError> {
        self.producer.begin()?;
        for Letter { content, .. } in letters {
            let owned = |bytes: &Option<Vec<u8>>| bytes.clone().map(Bytes::from);
            self.producer.send(&OutgoingRecord {
                topic: self.topic.name().to_owned(),
                partition: content.key.is_none().then_some(content.partition),
                key: owned(&content.key),
                value: self.replacement.clone().or_else(|| owned(&content.value)),
                timestamp: Some(content.timestamp),
                headers: Vec::new(),
            })?;
        }
        self.producer.flush()?;
        for (index, letter) in letters.iter().enumerate() {
            let (partition, offset) = self.producer.delivery(index).ok_or_else(|| KafkaError::Abort {
                operation: "redrive",
                detail: format!("the record of letter {} has no offset", letter.at),
            })?;
            self.producer.send(&letters::mark(&self.queue, letter, Place { partition, offset }))?;
        }
        self.producer.commit()
    }
}
