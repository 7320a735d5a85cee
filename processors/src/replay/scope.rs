//! What a replay reads, and the names it uses in Kafka.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use vigie_clock::{Clock, SystemClock, Timestamp};
use vigie_kafka_client::{Admin, KafkaConfig, KafkaError, TopicPartition, TopicSpec};
use vigie_schemas::Topic;
use vigie_streams::changelog_topic;

use crate::sentiment::{Only, SEEN};

/// A post is at most this much older than its arrival says (see the check for `future_timestamp`).
const ARRIVAL_TOLERANCE: Duration = Duration::from_secs(3600);
/// By then the group has noticed that a member died.
const MEMBERS_GONE: Duration = Duration::from_secs(20);
/// A topic that was just created takes a moment to show.
const TOPIC_WAIT: Duration = Duration::from_secs(30);
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// Offsets of one partition of raw posts. Read from `PARTITION:FIRST-END`, with an exclusive end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Offsets {
    /// The partition.
    pub partition: i32,
    /// The first offset.
    pub start: i64,
    /// The offset after the last.
    pub end: i64,
}

impl FromStr for Offsets {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parse = || {
            let (partition, range) = text.split_once(':')?;
            let (start, end) = range.split_once('-')?;
            Some(Self { partition: partition.parse().ok()?, start: start.parse().ok()?, end: end.parse().ok()? })
        };
        let right = |found: &Self| found.partition >= 0 && found.start >= 0 && found.start < found.end;
        parse().filter(right).ok_or_else(|| format!("{text:?}, expected PARTITION:FIRST-END, for example 0:1200-3400"))
    }
}

/// Which posts a replay is of.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Selection {
    /// Those published in this range; `None`: at any time.
    pub published: Option<Range<Timestamp>>,
    /// Those in these records only; empty: in all.
    pub offsets: Vec<Offsets>,
    /// These of them only.
    #[serde(default)]
    pub only: Only,
}

impl fmt::Display for Selection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.published {
            Some(range) => write!(f, "{} to {}", range.start, range.end)?,
            None => f.write_str("any time")?,
        }
        let mut separator = " in ";
        for Offsets { partition, start, end } in &self.offsets {
            write!(f, "{separator}{partition}:{start}-{end}")?;
            separator = ",";
        }
        self.only.fmt(f)
    }
}

impl Selection {
    /// Records that arrived before this hold no post of the range; `None`: any may.
    pub(crate) fn reads_from(&self) -> Option<Timestamp> {
        self.published.as_ref().map(|range| range.start.saturating_sub(ARRIVAL_TOLERANCE))
    }

    /// Where in each partition of raw posts the records lie that have to be read: what is there of what was asked for.
    pub(crate) fn bounds(&self, admin: &Admin) -> Result<Vec<Bound>, KafkaError> {
        let topic = Topic::PostsRaw.name();
        let ends = admin.end_offsets(topic)?;
        let starts = match self.reads_from() {
            Some(from) => admin.offsets_for_time(topic, from)?,
            None => BTreeMap::new(),
        };
        let mut bounds = Vec::new();
        for (partition, end) in ends {
            let asked = self.offsets.iter().find(|asked| asked.partition == partition);
            if asked.is_none() && !self.offsets.is_empty() {
                continue;
            }
            let (low, _) = admin.stable_watermarks(&TopicPartition::new(topic, partition))?;
            let end = asked.map_or(end, |asked| asked.end.min(end));
            let wanted = asked.map_or(0, |asked| asked.start).max(starts.get(&partition).copied().unwrap_or(0));
            let start = wanted.max(low).min(end);
            bounds.push(Bound { partition, start, end, low });
        }
        Ok(bounds)
    }
}

/// What is read of a partition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Bound {
    pub(crate) partition: i32,
    pub(crate) start: i64,
    /// Exclusive.
    pub(crate) end: i64,
    /// The oldest offset that there was.
    pub(crate) low: i64,
}

impl Bound {
    pub(crate) fn at(&self, topic: &str) -> TopicPartition {
        TopicPartition::new(topic, self.partition)
    }
}

/// The names that a run uses in Kafka.
#[derive(Clone, Debug)]
pub(crate) struct Names {
    pub(crate) run_id: String,
}

impl Names {
    /// Names the consumer group, the changelog and the transactional ids.
    pub(crate) fn application_id(&self) -> String {
        format!("vigie-replay-{}", self.run_id)
    }

    pub(crate) fn mentions(&self) -> String {
        format!("replay.{}.mentions", self.run_id)
    }

    /// Where posts are restored to from an archive.
    pub(crate) fn posts(&self) -> String {
        format!("replay.{}.posts", self.run_id)
    }

    pub(crate) fn journal(&self) -> String {
        format!("replay.{}.journal", self.run_id)
    }

    /// Creates the topics that are not there. Nothing in them expires: a run may be paused for long.
    pub(crate) fn create_topics(&self, admin: &Admin) -> Result<(), KafkaError> {
        let mentions = admin.partitions(Topic::PostsMentions.name())?.unwrap_or(Topic::PostsMentions.partitions());
        let config = [("message.timestamp.type", "LogAppendTime"), ("retention.ms", "-1")];
        let config = BTreeMap::from(config.map(|(name, value)| (name.to_owned(), value.to_owned())));
        let spec = |name, partitions| TopicSpec { name, partitions, replication: -1, config: config.clone() };
        admin.create_topics(&[spec(self.mentions(), mentions), spec(self.journal(), 1)])?;
        wait_for(admin, &self.journal(), true)
    }

    /// The topic of restored posts, empty. Its records keep the times that they had in the topic of raw posts, and must not expire by them.
    pub(crate) fn create_posts_topic(&self, admin: &Admin) -> Result<(), KafkaError> {
        if admin.partitions(&self.posts())?.is_some() {
            admin.delete_topics(&[self.posts()])?;
            wait_for(admin, &self.posts(), false)?;
        }
        let partitions = admin.partitions(Topic::PostsRaw.name())?.unwrap_or(Topic::PostsRaw.partitions());
        let config = [("message.timestamp.type", "CreateTime"), ("retention.ms", "-1"), ("retention.bytes", "-1")];
        let config = config.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        admin.create_topics(&[TopicSpec { name: self.posts(), partitions, replication: -1, config }])?;
        wait_for(admin, &self.posts(), true)
    }
}

/// Until a topic shows, or does not any more.
fn wait_for(admin: &Admin, topic: &str, there: bool) -> Result<(), KafkaError> {
    let clock = SystemClock::default();
    while admin.partitions(topic)?.is_some() != there && clock.monotonic() < TOPIC_WAIT {
        clock.sleep(LOOK_AGAIN);
    }
    Ok(())
}

/// Deletes what a run keeps in Kafka, which must not be going on: its group, changelog, mentions and, at last, journal. What it wrote to the
/// replay topics stays. Blocks.
///
/// # Errors
/// If no broker answers, or the group still has members after 20 s.
pub fn clean_up(kafka: &KafkaConfig, run_id: &str) -> Result<(), KafkaError> {
    let admin = Admin::new(kafka)?;
    let names = Names { run_id: run_id.to_owned() };
    let (clock, application) = (SystemClock::default(), names.application_id());
    while let Err(error) = admin.delete_groups(&[&application]) {
        // A process that was killed is a member until its session ends.
        if clock.monotonic() > MEMBERS_GONE {
            return Err(error);
        }
        clock.sleep(LOOK_AGAIN);
    }
    // The dead letter queue is made by the application, though a replay writes none.
    let posts = [names.posts(), format!("{}.dlq", names.posts())];
    admin.delete_topics(&[changelog_topic(&application, SEEN), names.mentions()])?;
    admin.delete_topics(&posts)?;
    admin.delete_topics(&[names.journal()])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_are_read_and_mistakes_named() {
        assert_eq!("3:10-20".parse(), Ok(Offsets { partition: 3, start: 10, end: 20 }));
        for wrong in ["", "3", "3:10", "3:20-10", "3:10-10", "-1:0-5", "3:-1-5", "a:1-2"] {
            let error = wrong.parse::<Offsets>().unwrap_err();
            assert!(error.contains("PARTITION:FIRST-END"), "{error}");
        }
    }
}
