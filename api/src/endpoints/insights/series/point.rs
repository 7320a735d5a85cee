//! One interval of a series, from what is stored about it.

use std::collections::BTreeMap;

use serde::ser::{Serialize, Serializer};
use serde_json::Value;
use utoipa::ToSchema;

use crate::endpoints::insights::metric::Metric;
use crate::insights::leaderboard::NextHour;
use crate::store::windows::lineage::Lineage;
use crate::store::windows::series::Bucket;
use crate::time::UtcTime;

/// One interval. Missing is null: where nothing at all was observed, and where a mean has nothing to be taken of. An asset that no
/// post mentions while others are mentioned has 0 posts.
#[derive(serde::Serialize, ToSchema)]
pub(crate) struct Point {
    /// Inclusive.
    pub(crate) start: UtcTime,
    /// Exclusive.
    pub(crate) end: UtcTime,
    /// The metrics asked for.
    #[serde(flatten)]
    #[schema(value_type = std::collections::HashMap<String, Option<f64>>)]
    pub(crate) metrics: Values,
    /// Windows of 5 minutes that the asset has in the interval.
    pub(crate) windows: i64,
    /// Highest revision of these windows; null if there is none.
    pub(crate) revision: Option<i32>,
    /// The interval is over. One that is not is no measure of a whole one.
    pub(crate) complete: bool,
    /// No window of the interval, neither of the asset nor of the whole market, can come or be revised.
    pub(crate) r#final: bool,
    /// When the newest of the asset's windows in it was computed; null if there is none.
    pub(crate) computed_at: Option<UtcTime>,
    /// The runs that answer for the interval, in the order of time.
    pub(crate) runs: Vec<String>,
    /// What the point stands on, if asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) lineage: Option<Lineage>,
    /// Posts by source, if they or the lineage are asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) sources: Option<BTreeMap<String, i64>>,
}

/// The metrics that were asked for, with their values.
pub(crate) struct Values(pub(crate) Vec<(Metric, Value)>);

impl Serialize for Values {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(metric, value)| (metric, value)))
    }
}

/// What is known about one interval.
pub(crate) struct Place<'a> {
    pub(crate) own: Option<&'a Bucket>,
    pub(crate) market: Option<&'a Bucket>,
    /// Counted from the posts, where the windows cannot say.
    pub(crate) authors: Option<i64>,
    pub(crate) weighted_sentiment: Option<f64>,
    /// Windows that an interval has.
    pub(crate) length: i64,
}

impl Place<'_> {
    fn next_hour(&self, field: fn(&NextHour) -> f64) -> Value {
        Value::from(self.own.and_then(|bucket| bucket.next_hour.as_ref()).map(field))
    }

    /// A count that windows from before it was counted do not have.
    fn volume(&self, field: fn(&Bucket) -> Option<i64>) -> Value {
        Value::from(match self.own {
            Some(bucket) => field(bucket),
            None => self.market.map(|_| 0),
        })
    }

    pub(crate) fn value(&self, metric: Metric) -> Value {
        // Others were mentioned, this asset was not: that is a count of 0, and the mean of nothing.
        let zero = self.market.map(|_| 0);
        let count = |field: fn(&Bucket) -> i64| Value::from(self.own.map(field).or(zero));
        match metric {
            Metric::Posts => count(|b| b.posts),
            Metric::UniquePosts => self.volume(|b| b.unique_posts),
            Metric::SpamPosts => self.volume(|b| b.spam_posts),
            Metric::Negative => count(|b| b.negative),
            Metric::Neutral => count(|b| b.neutral),
            Metric::Positive => count(|b| b.positive),
            Metric::SentimentBalance => count(|b| b.positive - b.negative),
            Metric::WeightedSentiment => Value::from(self.weighted_sentiment),
            Metric::Completeness => {
                Value::from(self.market.map_or(0, |market| market.windows) as f64 / self.length as f64)
            }
            Metric::UniqueAuthors => {
                let counted = self.own.map(|bucket| self.authors.unwrap_or(bucket.unique_authors));
                Value::from(counted.or(zero))
            }
            Metric::MeanScore => Value::from(self.own.and_then(|b| b.mean_score)),
            Metric::AnomalyScore => Value::from(self.own.and_then(|b| b.anomaly_score)),
            Metric::TailProbability => Value::from(self.own.and_then(|b| b.tail_probability)),
            // A window without a mention has no forecast: then the sum is not that of the interval.
            Metric::ExpectedPosts => {
                let complete = |own: &&Bucket| self.market.is_none_or(|market| market.windows == own.windows);
                Value::from(self.own.filter(complete).and_then(|b| b.expected_posts))
            }
            Metric::NextHourP10 => self.next_hour(|hour| hour.p10),
            Metric::NextHourP50 => self.next_hour(|hour| hour.p50),
            Metric::NextHourP90 => self.next_hour(|hour| hour.p90),
            Metric::DoublingProbability => self.next_hour(|hour| hour.doubling_probability),
            Metric::Dominance => {
                let market = self.market.map(|b| b.posts).filter(|posts| *posts > 0);
                Value::from(market.map(|all| self.own.map_or(0, |b| b.posts) as f64 / all as f64))
            }
        }
    }
}
