//! The catalogue of topics: name, schema, partitions, clean-up, retention.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::audit::AuditRecord;
use crate::dead_letters::DeadLetter;
use crate::market::MarketPart;
use crate::records::{
    Alert, AuthorKeyRecord, AvroRecord, Cursor, FetchRecord, Mention, RawPost, ScoredPost, TrendInsight,
};
use crate::terms::{TermInsight, TermPost};

const HOUR: Duration = Duration::from_secs(60 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// The broker takes none that is smaller, in bytes.
const SMALLEST_SEGMENT: u32 = 1 << 20;

/// A topic that vigie owns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Topic {
    /// Posts as published. Key: post id.
    PostsRaw,
    /// Posts with sentiment and assets. Key: post id.
    InsightsSentiment,
    /// One record for each asset that a post mentions. Key: asset.
    PostsMentions,
    /// What the tasks that share the counting of the whole market send each other.
    TrendsMarket,
    /// Revisions of 5-minute windows. Key: asset.
    InsightsTrends,
    /// Alerts. Key: asset.
    InsightsAlerts,
    /// The words of posts. Key: post id; all of them in the first partition.
    PostsTerms,
    /// Terms that rise. Key: term.
    InsightsTerms,
    /// How far each source has been read. Key: source. Compacted.
    SourcesCursors,
    /// The fetch ledger. Key: source.
    SourcesFetches,
    /// Wrapped data keys of authors, and erasures. Key: author id and key id. Compacted.
    AuthorsKeys,
    /// Who did what: a chain, in one partition. Without key.
    Audit,
    /// As `InsightsSentiment`, written by replay runs.
    ReplaysSentiment,
    /// As `InsightsTrends`, written by replay runs.
    ReplaysTrends,
    /// As `InsightsAlerts`, written by replay runs.
    ReplaysAlerts,
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

/// Partitions of the topics that carry posts and insights, where nobody chose another number: enough for one machine.
pub const DEFAULT_PARTITIONS: i32 = 4;

impl Topic {
    /// Every topic but the dead letter queues.
    pub const ALL: [Self; 15] = [
        Self::PostsRaw,
        Self::InsightsSentiment,
        Self::PostsMentions,
        Self::TrendsMarket,
        Self::InsightsTrends,
        Self::InsightsAlerts,
        Self::PostsTerms,
        Self::InsightsTerms,
        Self::SourcesCursors,
        Self::SourcesFetches,
        Self::AuthorsKeys,
        Self::Audit,
        Self::ReplaysSentiment,
        Self::ReplaysTrends,
        Self::ReplaysAlerts,
    ];

    /// The topic's name, without prefix.
    pub const fn name(self) -> &'static str {
        match self {
            Self::PostsRaw => "posts.raw.v1",
            Self::InsightsSentiment => "insights.sentiment.v1",
            Self::PostsMentions => "posts.mentions.v1",
            Self::TrendsMarket => "trends.market.v1",
            Self::InsightsTrends => "insights.trends.v1",
            Self::InsightsAlerts => "insights.alerts.v1",
            Self::PostsTerms => "posts.terms.v1",
            Self::InsightsTerms => "insights.terms.v1",
            Self::SourcesCursors => "sources.cursors.v1",
            Self::SourcesFetches => "sources.fetches.v1",
            Self::AuthorsKeys => "authors.keys.v1",
            Self::Audit => "audit.v1",
            Self::ReplaysSentiment => "replays.sentiment.v1",
            Self::ReplaysTrends => "replays.trends.v1",
            Self::ReplaysAlerts => "replays.alerts.v1",
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
            Self::TrendsMarket => MarketPart::SCHEMA,
            Self::InsightsTrends | Self::ReplaysTrends => TrendInsight::SCHEMA,
            Self::InsightsAlerts | Self::ReplaysAlerts => Alert::SCHEMA,
            Self::PostsTerms => TermPost::SCHEMA,
            Self::InsightsTerms => TermInsight::SCHEMA,
            Self::SourcesCursors => Cursor::SCHEMA,
            Self::SourcesFetches => FetchRecord::SCHEMA,
            Self::AuthorsKeys => AuthorKeyRecord::SCHEMA,
            Self::Audit => AuditRecord::SCHEMA,
        }
    }

    /// How its schema may change.
    pub const fn compatibility(self) -> Compatibility {
        match self {
            Self::InsightsSentiment | Self::InsightsTrends | Self::InsightsAlerts | Self::InsightsTerms => {
                Compatibility::FullTransitive
            }
            _ => Compatibility::BackwardTransitive,
        }
    }

    /// How many partitions it is created with, where nobody chose another number.
    pub const fn partitions(self) -> i32 {
        self.partitions_of(DEFAULT_PARTITIONS)
    }

    /// How many partitions it is created with where posts and insights are to have `partitions`.
    pub const fn partitions_of(self, partitions: i32) -> i32 {
        match self {
            // One partition keeps an erasure behind the keys that it destroys, and the audit one chain.
            Self::SourcesFetches | Self::InsightsAlerts | Self::ReplaysAlerts | Self::AuthorsKeys | Self::Audit => 1,
            // As many replicas of the producers share the sources at most.
            Self::SourcesCursors if partitions < 6 => 6,
            _ => partitions,
        }
    }

    /// The name of its dead letter queue, without prefix; `None` for topics that no stage decodes record by record.
    pub fn dead_letter_queue(self) -> Option<String> {
        (!matches!(self, Self::SourcesCursors | Self::Audit)).then(|| format!("{}.dlq", self.name()))
    }

    /// The topic whose dead letter queue this is.
    pub fn from_dead_letter_queue(name: &str) -> Option<Self> {
        Self::from_name(name.strip_suffix(".dlq")?)
    }

    const fn retention(self) -> Duration {
        match self {
            Self::PostsMentions | Self::TrendsMarket | Self::PostsTerms => Duration::from_secs(7 * DAY.as_secs()),
            Self::InsightsTrends | Self::InsightsAlerts | Self::InsightsTerms => {
                Duration::from_secs(90 * DAY.as_secs())
            }
            Self::Audit => Duration::from_secs(400 * DAY.as_secs()),
            _ => Duration::from_secs(30 * DAY.as_secs()),
        }
    }

    /// What the topic, and its dead letter queue if it has one, should look like on the broker, where nobody chose a number of partitions.
    pub fn configs(self) -> Vec<TopicConfig> {
        self.configs_of(DEFAULT_PARTITIONS)
    }

    /// What the topic, and its dead letter queue if it has one, should look like where posts and insights are to have `partitions`.
    pub fn configs_of(self, partitions: i32) -> Vec<TopicConfig> {
        let config = match self {
            // Only the last of each source counts: the cleaner goes over what is closed as soon as a tenth of it is outdated.
            Self::SourcesCursors => settings(&[
                ("cleanup.policy", "compact".to_owned()),
                ("segment.bytes", SMALLEST_SEGMENT.to_string()),
                ("min.cleanable.dirty.ratio", "0.1".to_owned()),
                ("max.compaction.lag.ms", HOUR.as_millis().to_string()),
            ]),
            // A destroyed key is gone from the log so soon (KIP-354).
            Self::AuthorsKeys => settings(&[
                ("cleanup.policy", "compact".to_owned()),
                ("max.compaction.lag.ms", DAY.as_millis().to_string()),
            ]),
            _ => expiring(self.retention()),
        };
        let partitions = self.partitions_of(partitions);
        let mut configs = vec![TopicConfig { name: self.name().to_owned(), partitions, config }];
        if let Some(name) = self.dead_letter_queue() {
            configs.push(TopicConfig::of_dead_letters(name));
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

impl TopicConfig {
    /// What the dead letter queue `name` should look like on the broker, whoever creates it. [`DeadLetter::fitting`] keeps letters below
    /// the broker's own limit of a record.
    pub fn of_dead_letters(name: String) -> Self {
        Self { name, partitions: 1, config: expiring(30 * DAY) }
    }
}

/// Only closed segments expire: by the broker's own bounds, a week and 1 GiB, a quiet topic would be kept for longer than it says.
fn expiring(retention: Duration) -> BTreeMap<String, String> {
    settings(&[
        ("cleanup.policy", "delete".to_owned()),
        ("retention.ms", retention.as_millis().to_string()),
        ("segment.ms", DAY.as_millis().to_string()),
    ])
}

/// Event times are in the records. The broker's own time keeps posts of years ago from expiring on arrival.
fn settings(settings: &[(&str, String)]) -> BTreeMap<String, String> {
    let all = [("message.timestamp.type", "LogAppendTime".to_owned())];
    all.iter().chain(settings).map(|(name, value)| ((*name).to_owned(), value.clone())).collect()
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
        assert_eq!(Topic::from_dead_letter_queue("posts.raw.v1.dlq"), Some(Topic::PostsRaw));
        assert_eq!(Topic::from_dead_letter_queue("posts.raw.v1"), None);
    }

    #[test]
    fn destroyed_keys_leave_the_log_within_a_day_and_dead_letters_expire() {
        let configs = Topic::AuthorsKeys.configs();
        assert_eq!((configs[0].partitions, configs[0].config["cleanup.policy"].as_str()), (1, "compact"));
        assert_eq!(configs[0].config["max.compaction.lag.ms"], "86400000");
        assert_eq!(configs[1].config["cleanup.policy"], "delete");
        assert!(!configs[1].config.contains_key("max.compaction.lag.ms"));
        let cursors = &Topic::SourcesCursors.configs()[0].config;
        assert_eq!([&cursors["cleanup.policy"], &cursors["segment.bytes"]], ["compact", "1048576"]);
    }

    #[test]
    fn partitions_can_be_chosen_but_for_topics_that_have_one() {
        let of = |partitions| Topic::ALL.map(|topic| topic.configs_of(partitions)[0].partitions);
        assert_eq!(of(4), Topic::ALL.map(Topic::partitions));
        assert_eq!(of(4), [4, 4, 4, 4, 4, 1, 4, 4, 6, 1, 1, 1, 4, 4, 1]);
        assert_eq!(of(64), [64, 64, 64, 64, 64, 1, 64, 64, 64, 1, 1, 1, 64, 64, 1]);
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
