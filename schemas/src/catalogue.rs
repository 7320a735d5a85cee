//! The catalogue of topics: name, schema, partitions, clean-up, retention.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::records::{
    Alert, AuthorKeyRecord, AvroRecord, Cursor, DeadLetter, FetchRecord, Mention, RawPost, ScoredPost, TrendInsight,
};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// A topic that vigie owns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Topic {
    /// Posts as published. Key: post id.
    PostsRaw,
    /// Posts with sentiment and assets. Key: post id.
    InsightsSentiment,
    /// One record for each asset that a post mentions. Key: asset.
    PostsMentions,
    /// Revisions of 5-minute windows. Key: asset.
    InsightsTrends,
    /// Alerts. Key: asset.
    InsightsAlerts,
    /// How far each source has been read. Key: source. Compacted.
    SourcesCursors,
    /// The fetch ledger. Key: source.
    SourcesFetches,
    /// Wrapped data keys of authors, and erasures. Key: author id and key id. Compacted.
    AuthorsKeys,
    /// As `InsightsSentiment`, written by replay runs.
    ReplaysSentiment,
    /// As `InsightsTrends`, written by replay runs.
    ReplaysTrends,
}

/// How a schema may change, in the registry's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compatibility {
    /// New readers read all old records.
    BackwardTransitive,
    /// Besides, old readers read all new records: for topics that people outside subscribe to.
    FullTransitive,
}

impl Compatibility {
    /// The level's name in the registry's API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BackwardTransitive => "BACKWARD_TRANSITIVE",
            Self::FullTransitive => "FULL_TRANSITIVE",
        }
    }
}

/// What a topic should look like on the broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicConfig {
    /// Without prefix.
    pub name: String,
    /// How many partitions it is created with.
    pub partitions: i32,
    /// Settings, in the broker's words.
    pub config: BTreeMap<String, String>,
}

impl Topic {
    /// Every topic but the dead letter queues.
    pub const ALL: [Self; 10] = [
        Self::PostsRaw,
        Self::InsightsSentiment,
        Self::PostsMentions,
        Self::InsightsTrends,
        Self::InsightsAlerts,
        Self::SourcesCursors,
        Self::SourcesFetches,
        Self::AuthorsKeys,
        Self::ReplaysSentiment,
        Self::ReplaysTrends,
    ];

    /// The topic's name, without prefix.
    pub const fn name(self) -> &'static str {
        match self {
            Self::PostsRaw => "posts.raw.v1",
            Self::InsightsSentiment => "insights.sentiment.v1",
            Self::PostsMentions => "posts.mentions.v1",
            Self::InsightsTrends => "insights.trends.v1",
            Self::InsightsAlerts => "insights.alerts.v1",
            Self::SourcesCursors => "sources.cursors.v1",
            Self::SourcesFetches => "sources.fetches.v1",
            Self::AuthorsKeys => "authors.keys.v1",
            Self::ReplaysSentiment => "replays.sentiment.v1",
            Self::ReplaysTrends => "replays.trends.v1",
        }
    }

    /// The topic with this name, if the catalogue has it.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|topic| topic.name() == name)
    }

    /// The Avro schema of its values, as JSON.
    pub const fn schema(self) -> &'static str {
        match self {
            Self::PostsRaw => RawPost::SCHEMA,
            Self::InsightsSentiment | Self::ReplaysSentiment => ScoredPost::SCHEMA,
            Self::PostsMentions => Mention::SCHEMA,
            Self::InsightsTrends | Self::ReplaysTrends => TrendInsight::SCHEMA,
            Self::InsightsAlerts => Alert::SCHEMA,
            Self::SourcesCursors => Cursor::SCHEMA,
            Self::SourcesFetches => FetchRecord::SCHEMA,
            Self::AuthorsKeys => AuthorKeyRecord::SCHEMA,
        }
    }

    /// How its schema may change.
    pub const fn compatibility(self) -> Compatibility {
        match self {
            Self::InsightsSentiment | Self::InsightsTrends | Self::InsightsAlerts => Compatibility::FullTransitive,
            _ => Compatibility::BackwardTransitive,
        }
    }

    /// How many partitions it has.
    pub const fn partitions(self) -> i32 {
        match self {
            // One partition keeps an erasure behind the keys that it destroys.
            Self::SourcesFetches | Self::InsightsAlerts | Self::AuthorsKeys => 1,
            // As many replicas of the producers share the sources at most.
            Self::SourcesCursors => 6,
            _ => 4,
        }
    }

    /// The name of its dead letter queue, without prefix; `None` for topics that no stage decodes record by record.
    pub fn dead_letter_queue(self) -> Option<String> {
        (self != Self::SourcesCursors).then(|| format!("{}.dlq", self.name()))
    }

    const fn retention(self) -> Duration {
        match self {
            Self::PostsMentions => Duration::from_secs(7 * DAY.as_secs()),
            Self::InsightsTrends | Self::InsightsAlerts => Duration::from_secs(90 * DAY.as_secs()),
            _ => Duration::from_secs(30 * DAY.as_secs()),
        }
    }

    /// What the topic, and its dead letter queue if it has one, should look like on the broker.
    pub fn configs(self) -> Vec<TopicConfig> {
        let mut config = BTreeMap::new();
        let mut set = |name: &str, value: String| drop(config.insert(name.to_owned(), value));
        match self {
            Self::SourcesCursors => set("cleanup.policy", "compact".to_owned()),
            Self::AuthorsKeys => {
                set("cleanup.policy", "compact".to_owned());
                // A destroyed key is gone from the log so soon (KIP-354).
                set("max.compaction.lag.ms", DAY.as_millis().to_string());
            }
            _ => {
                set("cleanup.policy", "delete".to_owned());
                set("retention.ms", self.retention().as_millis().to_string());
            }
        }
        // Event times are in the records. The broker's own time keeps posts of years ago from expiring on arrival.
        config.insert("message.timestamp.type".to_owned(), "LogAppendTime".to_owned());
        let mut configs =
            vec![TopicConfig { name: self.name().to_owned(), partitions: self.partitions(), config: config.clone() }];
        if let Some(name) = self.dead_letter_queue() {
            config.remove("max.compaction.lag.ms");
            config.insert("cleanup.policy".to_owned(), "delete".to_owned());
            config.insert("retention.ms".to_owned(), (30 * DAY).as_millis().to_string());
            configs.push(TopicConfig { name, partitions: 1, config });
        }
        configs
    }

    /// Registry subject and schema of the topic's values, and of its dead letters; without prefix.
    pub(crate) fn subjects(self) -> Vec<(String, &'static str, Compatibility)> {
        let mut subjects = vec![(format!("{}-value", self.name()), self.schema(), self.compatibility())];
        if let Some(queue) = self.dead_letter_queue() {
            subjects.push((format!("{queue}-value"), DeadLetter::SCHEMA, Compatibility::BackwardTransitive));
        }
        subjects
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_back_to_their_topics() {
        for topic in Topic::ALL {
            assert_eq!(Topic::from_name(topic.name()), Some(topic));
        }
        assert_eq!(Topic::from_name("posts.raw.v2"), None);
    }

    #[test]
    fn destroyed_keys_leave_the_log_within_a_day_and_dead_letters_expire() {
        let configs = Topic::AuthorsKeys.configs();
        assert_eq!((configs[0].partitions, configs[0].config["cleanup.policy"].as_str()), (1, "compact"));
        assert_eq!(configs[0].config["max.compaction.lag.ms"], "86400000");
        assert_eq!(configs[1].config["cleanup.policy"], "delete");
        assert!(!configs[1].config.contains_key("max.compaction.lag.ms"));
    }

    #[test]
    fn every_schema_is_valid_avro() {
        for topic in Topic::ALL {
            for (subject, schema, _) in topic.subjects() {
                apache_avro::Schema::parse_str(schema).unwrap_or_else(|e| panic!("{subject}: {e}"));
            }
        }
    }
}
