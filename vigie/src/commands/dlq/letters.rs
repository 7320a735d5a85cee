//! Dead letters and which of them were sent to their topic again.
//!
//! A redriven letter is marked in its queue, in the transaction that sent its record: a record without a value whose key names the letter,
//! whose headers say where the record went, how often it has been sent so far, and who sent it. The broker's time of the mark is when.

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;
use clap::Args;
use vigie_clock::Timestamp;
use vigie_daemon::{Mistake, ServiceError};
use vigie_kafka_client::{OutgoingRecord, Record, Start, read_to_end};
use vigie_schemas::{Codec, DeadLetter, DeadLetterReason, Place, REDRIVE_ATTEMPT, REDRIVEN_TO, Topic};

use super::DlqArgs;
use crate::commands::topics::{blocking, codec_error, kafka_error};

const SENT_BY: &str = "vigie-redriven-by";

/// What letters have in common.
#[derive(Args, Debug)]
pub(crate) struct Filter {
    /// Only letters of this stage
    #[arg(long)]
    stage: Option<String>,
    /// Only letters with this reason
    #[arg(long)]
    reason: Option<DeadLetterReason>,
    /// Only what failed since then: RFC 3339, a date, or a duration ago, as 1h
    #[arg(long, value_name = "TIME", value_parser = vigie_processors::times::since)]
    from: Option<Timestamp>,
    /// Only what failed before then
    #[arg(long, value_name = "TIME", value_parser = vigie_processors::times::until)]
    to: Option<Timestamp>,
}

impl Filter {
    pub(super) fn takes(&self, letter: &DeadLetter) -> bool {
        self.stage.as_ref().is_none_or(|stage| *stage == letter.stage)
            && self.reason.is_none_or(|reason| reason.as_str() == letter.reason)
            && self.from.is_none_or(|from| letter.failed_at >= from)
            && self.to.is_none_or(|to| letter.failed_at < to)
    }
}

/// Letters of a topic.
#[derive(Args, Debug)]
pub(crate) struct Chosen {
    /// The topic that they come from, for example posts.raw.v1
    pub(super) topic: String,
    /// Only this letter, as `vigie dlq show` names it; may be given several times
    #[arg(long, value_name = "PARTITION:OFFSET")]
    pub(super) letter: Vec<Place>,
    #[command(flatten)]
    pub(super) filter: Filter,
    /// Letters to take at most, oldest first
    #[arg(long)]
    pub(super) limit: Option<usize>,
}

impl Chosen {
    /// Those of `letters` that are meant, without a limit.
    ///
    /// # Errors
    /// If one is named that is not there.
    pub(super) fn of(&self, letters: Vec<Letter>) -> Result<impl Iterator<Item = Letter>, ServiceError> {
        if let Some(unknown) = self.letter.iter().find(|at| letters.iter().all(|letter| letter.at != **at)) {
            let expected = format!("a letter of {}, as vigie dlq show names it", self.topic);
            return Err(Mistake::new("--letter", unknown.to_string(), expected).into());
        }
        let is_named = |letter: &Letter| self.letter.is_empty() || self.letter.contains(&letter.at);
        Ok(letters.into_iter().filter(move |letter| is_named(letter) && self.filter.takes(&letter.content)))
    }
}

/// A dead letter.
#[derive(Debug)]
pub(super) struct Letter {
    /// Where it is in its queue.
    pub(super) at: Place,
    pub(super) content: DeadLetter,
    /// How often its record had been redriven when it came here.
    pub(super) attempts: u32,
    /// How its record was sent again since.
    pub(super) redriven: Option<Redriven>,
}

/// A record that was sent again.
#[derive(Debug)]
pub(super) struct Redriven {
    pub(super) at: Timestamp,
    /// Where it is now.
    pub(super) to: Place,
    /// How often it has been sent.
    attempt: u32,
    /// The user, as the system calls them.
    pub(super) by: Option<String>,
}

/// The topic of this name, with the name of its queue.
pub(super) fn queue_of(topic: &str) -> Result<(Topic, String), ServiceError> {
    let known = Topic::from_name(topic).and_then(|topic| Some((topic, topic.dead_letter_queue()?)));
    known.ok_or_else(|| {
        let names: Vec<&str> =
            Topic::ALL.into_iter().filter(|topic| topic.dead_letter_queue().is_some()).map(Topic::name).collect();
        Mistake::new("topic", format!("{topic:?}"), format!("one of {}", names.join(", "))).into()
    })
}

/// The letters of a queue, oldest first.
pub(super) async fn read(queue: &str, servers: &DlqArgs, codec: &Codec) -> Result<Vec<Letter>, ServiceError> {
    let (kafka, queue) = (servers.kafka.clone(), queue.to_owned());
    let records: Vec<Record> = blocking(move || {
        let records = read_to_end(&kafka, &queue, &Start::Beginning).map_err(kafka_error)?;
        records.collect::<Result<_, _>>().map_err(kafka_error)
    })
    .await?;
    let mut letters = BTreeMap::new();
    let (mut sent, mut redriven) = (HashMap::new(), HashMap::new());
    for record in records {
        let at = Place { partition: record.partition, offset: record.offset };
        match &record.value {
            Some(value) => {
                letters.insert(at, codec.decode::<DeadLetter>(value).await.map_err(codec_error)?);
            }
            None => {
                let Some((letter, mark)) = read_mark(&record) else { continue };
                sent.insert(mark.to, mark.attempt);
                redriven.insert(letter, mark);
            }
        }
    }
    let letter = |(at, content): (Place, DeadLetter)| {
        let from = Place { partition: content.partition, offset: content.offset };
        let attempts = sent.get(&from).copied().unwrap_or(0);
        Letter { at, content, attempts, redriven: redriven.remove(&at) }
    };
    Ok(letters.into_iter().map(letter).collect())
}

/// The mark of a letter whose record was sent to `to`.
pub(super) fn mark(queue: &str, letter: &Letter, to: Place) -> OutgoingRecord {
    let text = |text: String| Bytes::from(text);
    let user = std::env::var("USER").or_else(|_| std::env::var("LOGNAME"));
    OutgoingRecord {
        topic: queue.to_owned(),
        partition: Some(letter.at.partition),
        key: Some(text(letter.at.to_string())),
        headers: [
            Some((REDRIVEN_TO, to.to_string())),
            Some((REDRIVE_ATTEMPT, (letter.attempts + 1).to_string())),
            user.ok().map(|user| (SENT_BY, user)),
        ]
        .into_iter()
        .flatten()
        .map(|(name, value)| (name.to_owned(), text(value)))
        .collect(),
        ..OutgoingRecord::default()
    }
}

fn read_mark(record: &Record) -> Option<(Place, Redriven)> {
    let text = |bytes: &Bytes| String::from_utf8_lossy(bytes).into_owned();
    let letter = text(record.key.as_ref()?).parse().ok()?;
    let mark = Redriven {
        at: record.timestamp,
        to: text(record.header(REDRIVEN_TO)?).parse().ok()?,
        attempt: text(record.header(REDRIVE_ATTEMPT)?).parse().ok()?,
        by: record.header(SENT_BY).map(text),
    };
    Some((letter, mark))
}
