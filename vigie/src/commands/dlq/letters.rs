//! Dead letters and which of them were sent to their topic again.
//!
//! A redriven letter is marked in its queue, in the transaction that sent its record: a record without a value whose key names the letter,
//! whose headers say where the record went and how often it has been sent so far.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::str::FromStr;

use bytes::Bytes;
use vigie_daemon::{Mistake, ServiceError};
use vigie_kafka_client::{OutgoingRecord, Record, Start, read_to_end};
use vigie_schemas::{Codec, DeadLetter, Topic};

use crate::cli::DlqArgs;
use crate::commands::topics::{blocking, codec_error, kafka_error};

const SENT_TO: &str = "vigie-redriven-to";
const ATTEMPT: &str = "vigie-redrive-attempt";

/// A record's place in a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Place {
    pub(crate) partition: i32,
    pub(crate) offset: i64,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.partition, self.offset)
    }
}

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let place = text.split_once(':').and_then(|(partition, offset)| {
            Some(Self { partition: partition.parse().ok()?, offset: offset.parse().ok()? })
        });
        place.ok_or_else(|| format!("{text:?}, expected PARTITION:OFFSET, as `vigie dlq show` prints it"))
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
    /// Whether its record was sent again since.
    pub(super) redriven: bool,
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
    let (mut sent, mut redriven) = (HashMap::new(), HashSet::new());
    for record in records {
        let at = Place { partition: record.partition, offset: record.offset };
        match &record.value {
            Some(value) => {
                letters.insert(at, codec.decode::<DeadLetter>(value).await.map_err(codec_error)?);
            }
            None => {
                let Some((letter, to, attempt)) = read_mark(&record) else { continue };
                redriven.insert(letter);
                sent.insert(to, attempt);
            }
        }
    }
    let letter = |(at, content): (Place, DeadLetter)| {
        let from = Place { partition: content.partition, offset: content.offset };
        let attempts = sent.get(&from).copied().unwrap_or(0);
        Letter { at, content, attempts, redriven: redriven.contains(&at) }
    };
    Ok(letters.into_iter().map(letter).collect())
}

/// The mark of a letter whose record was sent to `to`.
pub(super) fn mark(queue: &str, letter: &Letter, to: Place) -> OutgoingRecord {
    let text = |text: String| Bytes::from(text);
    OutgoingRecord {
        topic: queue.to_owned(),
        partition: Some(letter.at.partition),
        key: Some(text(letter.at.to_string())),
        headers: vec![
            (SENT_TO.to_owned(), text(to.to_string())),
            (ATTEMPT.to_owned(), text((letter.attempts + 1).to_string())),
        ],
        ..OutgoingRecord::default()
    }
}

fn read_mark(record: &Record) -> Option<(Place, Place, u32)> {
    let text = |bytes: &Bytes| String::from_utf8_lossy(bytes).into_owned();
    let letter = text(record.key.as_ref()?).parse().ok()?;
    Some((letter, text(record.header(SENT_TO)?).parse().ok()?, text(record.header(ATTEMPT)?).parse().ok()?))
}
