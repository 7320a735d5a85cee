//! The metrics of a series, each declared once: its unit, what it means, and how it is rolled up.

use axum::http::HeaderMap;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::http::params::{Format, List, Query};
use crate::http::problem::Problem;
use crate::http::table::{Form, Table};

/// What can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Metric {
    Posts,
    UniqueAuthors,
    MeanScore,
    Dominance,
    Negative,
    Neutral,
    Positive,
    AnomalyScore,
    ExpectedPosts,
    NextHourP10,
    NextHourP50,
    NextHourP90,
    DoublingProbability,
    UniquePosts,
    SpamPosts,
    SentimentBalance,
    Completeness,
    WeightedSentiment,
    TailProbability,
}

/// Metrics separated by commas.
pub(crate) type Metrics = List<Metric>;

/// A metric, for those who choose among them.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct MetricInfo {
    /// As in `metrics=`.
    metric: Metric,
    /// posts, authors, score (of a mood -1 to 1, of an anomaly 0 to 1), share or probability (0 to 1), or standard deviations.
    unit: &'static str,
    /// What it says, with its formula.
    meaning: &'static str,
    /// How an interval's value comes from its windows of 5 minutes.
    rollup: &'static str,
    /// Answered if no metrics are asked for.
    by_default: bool,
}

const SUM: &str = "sum";
const NEWEST: &str = "of the newest window with a forecast";

impl Metric {
    pub(crate) const ALL: [Self; 19] = [
        Self::Posts,
        Self::UniqueAuthors,
        Self::MeanScore,
        Self::Dominance,
        Self::Negative,
        Self::Neutral,
        Self::Positive,
        Self::AnomalyScore,
        Self::ExpectedPosts,
        Self::NextHourP10,
        Self::NextHourP50,
        Self::NextHourP90,
        Self::DoublingProbability,
        Self::UniquePosts,
        Self::SpamPosts,
        Self::SentimentBalance,
        Self::Completeness,
        Self::WeightedSentiment,
        Self::TailProbability,
    ];

    /// Whether it is read from the anomaly score or the forecasts of windows.
    pub(crate) fn is_of_forecasts(self) -> bool {
        matches!(
            self,
            Self::AnomalyScore
                | Self::TailProbability
                | Self::ExpectedPosts
                | Self::NextHourP10
                | Self::NextHourP50
                | Self::NextHourP90
                | Self::DoublingProbability
        )
    }

    /// Whether its values are whole numbers.
    pub(crate) fn is_count(self) -> bool {
        matches!(
            self,
            Self::Posts
                | Self::UniquePosts
                | Self::SpamPosts
                | Self::UniqueAuthors
                | Self::Negative
                | Self::Neutral
                | Self::Positive
                | Self::SentimentBalance
        )
    }

    /// All but what looks back further than the range.
    pub(crate) fn by_default(self) -> bool {
        self != Self::WeightedSentiment
    }

    fn describe(self) -> MetricInfo {
        let (unit, meaning, rollup) = match self {
            Self::Posts => ("posts", "Posts that mention the asset, copies and spam included", SUM),
            Self::UniquePosts => (
                "posts",
                "Posts that are neither spam nor near copies of a post about the asset of the 24 hours before; posts?unique=true lists them",
                "sum; null if a window lacks it",
            ),
            Self::SpamPosts => ("posts", "Posts with a spam score of 0.5 or more", "sum; null if a window lacks it"),
            Self::UniqueAuthors => (
                "authors",
                "Distinct known authors of the posts",
                "recounted from the posts, so that each counts once; a window's own count where the interval is one window",
            ),
            Self::MeanScore => {
                ("score", "Mean of p_positive - p_negative over the scored posts", "mean, weighted by scored posts")
            }
            Self::Dominance => (
                "share",
                "posts of the asset / posts of the whole market (`*`: every post, whether or not it mentions an asset). A post about two assets counts in both, so shares add up to more than 1",
                "posts and posts of `*` are summed first",
            ),
            Self::Negative => ("posts", "Scored posts whose likeliest label is negative", SUM),
            Self::Neutral => ("posts", "Scored posts whose likeliest label is neutral", SUM),
            Self::Positive => ("posts", "Scored posts whose likeliest label is positive", SUM),
            Self::SentimentBalance => ("posts", "positive - negative", SUM),
            Self::WeightedSentiment => (
                "standard deviations",
                "X = unique_posts * mean_score; (X - mean) / standard deviation of the X of the intervals of the 30 days that end with this one. Null with fewer than 10 known X, and for an interval that is not complete",
                "from the interval's unique_posts and mean_score",
            ),
            Self::AnomalyScore => (
                "score",
                "How unusual that number of posts is, 0 to 1: 0.007 / (0.007 + tail_probability). 0.5 for what a half hour in three days exceeds",
                "the highest",
            ),
            Self::TailProbability => (
                "probability",
                "The probability of at least as many posts in the half hour to two hours up to the end of the window, by those of the two weeks before. Null for windows from before it was counted",
                "the lowest",
            ),
            Self::ExpectedPosts => (
                "posts",
                "Posts that were forecast before the window began",
                "sum; null unless each window of the whole market has its forecast",
            ),
            Self::NextHourP10 => {
                ("posts", "One time in ten the hour after the window has this many posts or fewer", NEWEST)
            }
            Self::NextHourP50 => {
                ("posts", "Half of the time the hour after the window has this many posts or fewer", NEWEST)
            }
            Self::NextHourP90 => {
                ("posts", "Nine times in ten the hour after the window has this many posts or fewer", NEWEST)
            }
            Self::DoublingProbability => (
                "probability",
                "That some hour which ends within the next one has twice the posts of the hour before it, and 10 or more",
                NEWEST,
            ),
            Self::Completeness => (
                "share",
                "Windows of the interval in which anything at all was observed / windows that the interval has. Below 1 where sources were silent or vigie was down, and until the interval is over",
                "windows of `*` / length of the interval in windows",
            ),
        };
        MetricInfo { metric: self, unit, meaning, rollup, by_default: self.by_default() }
    }
}

/// Every metric.
#[derive(Serialize, ToSchema)]
pub(crate) struct Catalogue {
    /// In the order of `metrics=` by default.
    metrics: Vec<MetricInfo>,
}

impl Table for Catalogue {
    fn list(&self, form: Form) -> Result<axum::body::Bytes, Problem> {
        form.rows("metric,unit,meaning,rollup,by_default", &self.metrics)
    }
}

/// How the catalogue is wanted.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct CatalogueParams {
    /// By default what `Accept` prefers
    #[param(inline)]
    format: Option<Format>,
}

/// The metrics of a series: unit, meaning, and how they are rolled up
#[utoipa::path(get, path = "/v1/metrics", tag = "insights", operation_id = "list_metrics", params(CatalogueParams),
    responses((status = 200, description = "Every metric", content((Catalogue = "application/json"), (String = "text/csv")))))]
pub(crate) async fn catalogue(headers: HeaderMap, Query(asked): Query<CatalogueParams>) -> Result<Response, Problem> {
    let media = Format::media(asked.format, &headers)?;
    let catalogue = Catalogue { metrics: Metric::ALL.map(Metric::describe).to_vec() };
    catalogue.respond(&headers, media)
}
