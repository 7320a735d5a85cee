//! Every record of `posts.raw.v1`, by its place: scored once, or a dead letter once, or a duplicate of one before it.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use vigie_kafka_client::{KafkaConfig, Record, Start, read_to_end};
use vigie_schemas::{AvroRecord, DeadLetter, Mention, RawPost, ScoredPost, SyncCodec, Topic};

use super::Violations;
use crate::error::ChaosError;
use crate::posts::Fate;
use crate::posts::feed;

/// Partition and offset.
type Place = (i32, i64);

/// What the topics hold.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    /// Ids of the feed's entries, by title.
    pub(crate) feed: BTreeMap<String, String>,
    pub(crate) dead_letters: u64,
    pub(crate) duplicates: u64,
    pub(crate) violations: Violations,
}

/// Reads the topics of the sentiment topology, and holds each record against the fate of its key.
pub(crate) fn check(
    kafka: &KafkaConfig,
    codec: &SyncCodec,
    fates: &HashMap<String, Fate>,
) -> Result<Ledger, ChaosError> {
    let mut ledger = Ledger::default();
    let mut scored: HashMap<Place, String> = HashMap::new();
    each(kafka, codec, Topic::InsightsSentiment.name(), |_, post: ScoredPost| {
        let place = (post.lineage.input_partition, post.lineage.first_offset);
        if let Some(other) = scored.insert(place, post.post_id.clone()) {
            ledger.violations.add(format!("raw record {place:?} was scored twice, as {other} and {}", post.post_id));
        }
    })?;
    let mut letters: HashMap<Place, String> = HashMap::new();
    let queue = Topic::PostsRaw.dead_letter_queue().unwrap_or_default();
    each(kafka, codec, &queue, |_, letter: DeadLetter| {
        let place = (letter.partition, letter.offset);
        if letters.insert(place, letter.reason).is_some() {
            ledger.violations.add(format!("raw record {place:?} is a dead letter twice"));
        }
    })?;
    let mut seen: HashSet<String> = HashSet::new();
    for record in read_to_end(kafka, Topic::PostsRaw.name(), &Start::Beginning)? {
        let record = record?;
        let key = String::from_utf8_lossy(record.key.as_deref().unwrap_or_default()).into_owned();
        let place = (record.partition, record.offset);
        let fate = match fates.get(&key) {
            Some(fate) => *fate,
            None => ledger.entry(codec, &record, &key)?,
        };
        let found = (scored.remove(&place), letters.remove(&place));
        let first = seen.insert(key.clone());
        let expected = match fate {
            Fate::Dead(reason) => {
                ledger.dead_letters += 1;
                (None, Some(reason.to_owned()))
            }
            Fate::Counted | Fate::Late if first => (Some(key.clone()), None),
            Fate::Counted | Fate::Late => {
                ledger.duplicates += 1;
                (None, None)
            }
        };
        if found != expected {
            let words = "(scored as, dead letter for)";
            ledger.violations.add(format!("raw record {place:?} {key}: {words} is {found:?}, expected {expected:?}"));
        }
    }
    for place in scored.keys().chain(letters.keys()) {
        ledger.violations.add(format!("something stands on raw record {place:?}, which does not exist"));
    }
    for key in fates.keys().filter(|key| !seen.contains(*key)) {
        ledger.violations.add(format!("{key} was published, and is not on the topic"));
    }
    Ok(ledger)
}

impl Ledger {
    /// A record that the generator did not write must be an entry of the feed, once.
    fn entry(&mut self, codec: &SyncCodec, record: &Record, key: &str) -> Result<Fate, ChaosError> {
        let post: RawPost = codec.decode(record.value.as_deref().unwrap_or_default())?;
        let title = post.title.unwrap_or_default();
        if post.source != feed::SOURCE {
            self.violations.add(format!("{key} was published by nobody"));
        } else if self.feed.insert(title.clone(), key.to_owned()).is_some() {
            self.violations.add(format!("the producer published {title:?} twice"));
        }
        Ok(Fate::Counted)
    }
}

/// Each post mentions each of its assets once. `posts`: the assets of every post.
pub(crate) fn mentions(
    kafka: &KafkaConfig,
    codec: &SyncCodec,
    posts: &BTreeMap<String, BTreeSet<String>>,
) -> Result<Violations, ChaosError> {
    let mut violations = Violations::default();
    let mut found: HashMap<String, BTreeSet<String>> = HashMap::new();
    each(kafka, codec, Topic::PostsMentions.name(), |_, mention: Mention| {
        let Mention { post_id, asset, .. } = mention;
        if !found.entry(post_id.clone()).or_default().insert(asset.clone()) {
            violations.add(format!("{post_id} mentions {asset} twice"));
        }
    })?;
    for (post, assets) in posts {
        let has = found.remove(post).unwrap_or_default();
        if has != *assets {
            violations.add(format!("{post} mentions {has:?}, expected {assets:?}"));
        }
    }
    for post in found.keys() {
        violations.add(format!("{post} is mentioned and was never published"));
    }
    for topic in [Topic::PostsMentions, Topic::InsightsSentiment, Topic::InsightsTrends, Topic::InsightsAlerts] {
        let queue = topic.dead_letter_queue().unwrap_or_default();
        each(kafka, codec, &queue, |_, letter: DeadLetter| {
            violations.add(format!("{queue} holds a dead letter: {} {}", letter.reason, letter.detail));
        })?;
    }
    Ok(violations)
}

/// Reads a topic to its end, committed records only, as any subscriber would.
pub(super) fn each<T: AvroRecord>(
    kafka: &KafkaConfig,
    codec: &SyncCodec,
    topic: &str,
    mut take: impl FnMut(&Record, T),
) -> Result<(), ChaosError> {
    for record in read_to_end(kafka, topic, &Start::Beginning)? {
        let record = record?;
        let value = codec.decode(record.value.as_deref().unwrap_or_default())?;
        take(&record, value);
    }
    Ok(())
}
