//! Event-time windows: which window a mention falls in, and what a window counts.
//!
//! Windows are epoch-aligned and half-open, `[start, start + size)`. Everything here is a function of its inputs, and every count is
//! independent of the order in which the mentions come: the sum behind `mean_score` is kept in whole millionths.

use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};

use serde::{Deserialize, Serialize};
use siphasher::sip::SipHasher13;
use vigie_clock::Timestamp;
use vigie_schemas::{AlertKind, Forecast, Lineage, Mention, TrendInsight};

use super::counted::{Counted, Label, MICROS};
use crate::forecast::NoForecast;

/// What a window of an asset has counted. Names are short, as it is written with each commit that changes it; the long ones are of older states.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct WindowState {
    /// Posts.
    #[serde(rename = "p", alias = "posts")]
    pub posts: i64,
    /// Distinct known authors.
    #[serde(rename = "a", alias = "authors")]
    pub authors: i64,
    /// Posts labelled negative.
    #[serde(rename = "n", alias = "negative")]
    pub negative: i64,
    /// Posts labelled neutral.
    #[serde(rename = "o", alias = "neutral")]
    pub neutral: i64,
    /// Posts labelled positive.
    #[serde(rename = "q", alias = "positive")]
    pub positive: i64,
    /// Sum of `round(score * 1e6)` (half away from zero) over the labelled posts.
    #[serde(rename = "m", alias = "score_micros")]
    pub score_micros: i64,
    /// Posts by source.
    #[serde(rename = "s", alias = "sources")]
    pub sources: BTreeMap<String, i64>,
    /// Whether any of the posts is sample data.
    #[serde(rename = "x", alias = "sample")]
    pub sample: bool,
    /// Lowest and highest offset of the mentions.
    #[serde(rename = "r", alias = "offsets")]
    pub offsets: Option<(i64, i64)>,
    /// The mention that is newest by (published_at, post_id), so that any order of arrival names the same model.
    #[serde(rename = "w", alias = "newest")]
    pub newest: Option<Newest>,
    /// Revisions emitted so far.
    #[serde(rename = "v", alias = "revision")]
    pub revision: i32,
    /// A hash of the numbers of the last revision.
    #[serde(rename = "d", default)]
    pub(crate) emitted: Option<u64>,
    /// Last anomaly score and the forecast it was held against.
    #[serde(rename = "y", alias = "anomaly_score")]
    pub anomaly_score: Option<f64>,
    /// The tail probability of that score.
    #[serde(rename = "b", default, skip_serializing_if = "Option::is_none")]
    pub tail_probability: Option<f64>,
    /// Median forecast of posts.
    #[serde(rename = "e", alias = "expected_posts")]
    pub expected_posts: Option<f64>,
    /// What is expected after the window, once it was learned.
    #[serde(rename = "f", alias = "forecast", default, skip_serializing_if = "Option::is_none")]
    pub forecast: Option<Forecast>,
    /// Why there is no forecast although the window was learned.
    #[serde(rename = "g", alias = "no_forecast_reason", default, skip_serializing_if = "Option::is_none")]
    pub no_forecast_reason: Option<String>,
    /// Posts that are neither spam nor copies.
    #[serde(rename = "u", alias = "unique", default)]
    pub unique: i64,
    /// Posts that count as spam.
    #[serde(rename = "z", alias = "spam", default)]
    pub spam: i64,
    /// Kinds of the alerts raised for this window.
    #[serde(rename = "t", alias = "alerted", default, skip_serializing_if = "Vec::is_empty")]
    pub alerted: Vec<String>,
}

/// The newest mention of a window, for its lineage.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Newest {
    /// When it was published.
    #[serde(rename = "p", alias = "published_at")]
    pub published_at: Timestamp,
    /// Whose it is.
    #[serde(rename = "i", alias = "post_id")]
    pub post_id: String,
    /// What its score stands on.
    #[serde(rename = "l", alias = "lineage")]
    pub stands_on: StandsOn,
}

/// The part of a mention's lineage that a window passes on.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StandsOn {
    /// The model's name.
    #[serde(rename = "n", alias = "model_name")]
    pub model_name: String,
    /// The model's version.
    #[serde(rename = "v", alias = "model_version")]
    pub model_version: String,
    /// The model's SHA-256.
    #[serde(rename = "h", alias = "model_sha256")]
    pub model_sha256: String,
    /// The asset table's version.
    #[serde(rename = "a", alias = "assets_version")]
    pub assets_version: String,
}

impl From<&Lineage> for StandsOn {
    fn from(lineage: &Lineage) -> Self {
        Self {
            model_name: lineage.model_name.clone(),
            model_version: lineage.model_version.clone(),
            model_sha256: lineage.model_sha256.clone(),
            assets_version: lineage.assets_version.clone(),
        }
    }
}

/// A label and score that contradict each other or the contract.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error(
    "label {label:?} with score {score:?}, expected negative, neutral or positive with a score from -1 to 1, or neither"
)]
pub struct InvalidMention {
    label: Option<String>,
    score: Option<f64>,
}

/// Checks what no count could express.
///
/// # Errors
/// If only one of label and score is there, or either is out of range.
pub fn validate(mention: &Mention) -> Result<(), InvalidMention> {
    let valid = match (mention.label.as_deref(), mention.score) {
        (None, None) => true,
        (Some(label), Some(score)) => label.parse::<vigie_schemas::Label>().is_ok() && (-1.0..=1.0).contains(&score),
        _ => false,
    };
    if valid { Ok(()) } else { Err(InvalidMention { label: mention.label.clone(), score: mention.score }) }
}

impl WindowState {
    /// Counts a mention that was read at `offset`. `new_author`: the window has not seen its author before; `copy`: it repeats an earlier post.
    pub fn add(&mut self, mention: &Mention, new_author: bool, copy: bool, offset: i64) {
        self.posts += 1;
        self.authors += i64::from(new_author);
        self.spam += i64::from(mention.spam);
        self.unique += i64::from(!mention.spam && !copy);
        if let Some((label, micros)) = Label::of(mention) {
            *self.labelled(label) += 1;
            self.score_micros += micros;
        }
        match self.sources.get_mut(&mention.source) {
            Some(posts) => *posts += 1,
            None => drop(self.sources.insert(mention.source.clone(), 1)),
        }
        self.sample |= mention.sample;
        self.offsets = Some(match self.offsets {
            Some((first, last)) => (first.min(offset), last.max(offset)),
            None => (offset, offset),
        });
        let newer = self
            .newest
            .as_ref()
            .is_none_or(|newest| (mention.published_at, &mention.post_id) > (newest.published_at, &newest.post_id));
        if newer {
            self.newest = Some(Newest {
                published_at: mention.published_at,
                post_id: mention.post_id.clone(),
                stands_on: (&mention.lineage).into(),
            });
        }
    }

    /// Takes away what was counted. `author_gone`: its author has no other post in the window. Offsets and newest mention stay.
    pub(crate) fn take_away(&mut self, counted: &Counted, author_gone: bool) {
        self.posts -= 1;
        self.authors -= i64::from(author_gone);
        self.spam -= i64::from(counted.spam);
        self.unique -= i64::from(counted.is_unique());
        if let Some((label, micros)) = counted.label {
            *self.labelled(label) -= 1;
            self.score_micros -= micros;
        }
        if let Some(posts) = self.sources.get_mut(&counted.source) {
            *posts -= 1;
            if *posts == 0 {
                self.sources.remove(&counted.source);
            }
        }
    }

    /// Whether an alert of this kind was raised for this window while it was open.
    pub(crate) fn has_raised(&self, kind: AlertKind) -> bool {
        self.alerted.iter().any(|raised| raised == kind.as_str())
    }

    fn labelled(&mut self, label: Label) -> &mut i64 {
        match label {
            Label::Negative => &mut self.negative,
            Label::Neutral => &mut self.neutral,
            Label::Positive => &mut self.positive,
        }
    }

    /// Counts what `shares` have counted between them, and nothing else. Their offsets, posts and authors must differ.
    pub(crate) fn add_up(&mut self, shares: &[Self]) {
        let sum = |of: fn(&Self) -> i64| shares.iter().map(of).sum();
        (self.posts, self.authors, self.spam) = (sum(|s| s.posts), sum(|s| s.authors), sum(|s| s.spam));
        (self.negative, self.neutral, self.positive) = (sum(|s| s.negative), sum(|s| s.neutral), sum(|s| s.positive));
        self.score_micros = sum(|s| s.score_micros);
        // Copies may be sent before the counts that they are taken off.
        self.unique = sum(|s| s.unique).clamp(0, (self.posts - self.spam).max(0));
        self.sources.clear();
        for (source, posts) in shares.iter().flat_map(|share| &share.sources) {
            *self.sources.entry(source.clone()).or_default() += posts;
        }
        self.sample = shares.iter().any(|share| share.sample);
        let offsets = shares.iter().filter_map(|share| share.offsets);
        self.offsets = offsets.reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)));
        let newest = shares.iter().filter_map(|share| share.newest.as_ref());
        self.newest = newest.max_by_key(|newest| (newest.published_at, newest.post_id.clone())).cloned();
    }

    /// Notes that its numbers leave.
    pub(crate) fn announced(&mut self) {
        self.emitted = Some(self.digest());
    }

    /// Posts that have a label.
    pub fn scored(&self) -> i64 {
        self.negative + self.neutral + self.positive
    }

    /// `score_micros / scored / 1e6`, divided in this order; `None` without a labelled post.
    pub fn mean_score(&self) -> Option<f64> {
        (self.scored() > 0).then(|| self.score_micros as f64 / self.scored() as f64 / MICROS)
    }

    /// Takes what is expected after the window, or the reason why nothing is.
    pub(crate) fn set_forecast(&mut self, forecast: Result<Forecast, NoForecast>) {
        (self.forecast, self.no_forecast_reason) = match forecast {
            Ok(forecast) => (Some(forecast), None),
            Err(reason) => (None, Some(reason.as_str().to_owned())),
        };
    }

    /// Whether the numbers differ from those of the last revision.
    pub(crate) fn is_due(&self) -> bool {
        self.emitted != Some(self.digest())
    }

    /// A hash of what was counted and whether there is a forecast, which is made once. Lineage, and what depends on when it is judged, are left out.
    fn digest(&self) -> u64 {
        let mut hasher = SipHasher13::new();
        (self.posts, self.authors, self.unique, self.spam).hash(&mut hasher);
        (self.negative, self.neutral, self.positive, self.score_micros).hash(&mut hasher);
        (&self.sources, self.sample, self.forecast.is_some()).hash(&mut hasher);
        hasher.finish()
    }

    /// The next revision, as a record. `input` is the topic and partition that the offsets belong to.
    pub fn insight(&mut self, header: &InsightHeader<'_>) -> TrendInsight {
        self.revision += 1;
        self.emitted = Some(self.digest());
        let (first_offset, last_offset) = self.offsets.unwrap_or((-1, -1));
        let stands_on = self.newest.as_ref().map(|newest| newest.stands_on.clone()).unwrap_or_default();
        let StandsOn { model_name, model_version, model_sha256, assets_version } = stands_on;
        TrendInsight {
            asset: header.asset.to_owned(),
            window_start: header.start,
            window_end: header.end,
            revision: self.revision,
            r#final: header.last,
            posts: self.posts,
            unique_authors: self.authors,
            negative: self.negative,
            neutral: self.neutral,
            positive: self.positive,
            mean_score: self.mean_score(),
            anomaly_score: self.anomaly_score,
            expected_posts: self.expected_posts,
            sources: self.sources.clone(),
            emitted_at: header.emitted_at,
            sample: self.sample,
            lineage: Lineage {
                run_id: header.run_id.to_owned(),
                model_name,
                model_version,
                model_sha256,
                assets_version,
                input_topic: header.input_topic.to_owned(),
                input_partition: header.input_partition,
                first_offset,
                last_offset,
            },
            forecast: self.forecast.clone(),
            no_forecast_reason: self.no_forecast_reason.clone(),
            unique_posts: Some(self.unique),
            spam_posts: Some(self.spam),
            tail_probability: self.tail_probability,
        }
    }
}

/// What a revision says besides the counts.
#[derive(Clone, Copy, Debug)]
pub struct InsightHeader<'a> {
    /// The asset.
    pub asset: &'a str,
    /// Start of the window.
    pub start: Timestamp,
    /// End of the window.
    pub end: Timestamp,
    /// Whether this is the last revision.
    pub last: bool,
    /// The time now.
    pub emitted_at: Timestamp,
    /// The run.
    pub run_id: &'a str,
    /// Topic that the mentions were read from.
    pub input_topic: &'a str,
    /// Partition that the mentions were read from.
    pub input_partition: i32,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::fixtures::mention;
    use crate::trends::counted::micros;

    #[test]
    fn unscored_posts_count_as_posts_only() {
        let mut window = WindowState::default();
        window.add(&mention("BTC", "p1", 0, None), true, false, 7);
        assert_eq!((window.posts, window.scored(), window.mean_score()), (1, 0, None));
        window.add(&mention("BTC", "p2", 0, Some(-0.5)), true, false, 3);
        assert_eq!((window.posts, window.negative, window.mean_score()), (2, 1, Some(-0.5)));
        assert_eq!(window.offsets, Some((3, 7)));
    }

    #[test]
    fn a_state_with_long_names_is_read_and_its_window_is_due() {
        let stored = r#"{"posts":1,"authors":1,"negative":0,"neutral":0,"positive":1,"score_micros":250000,"sources":{"r-bitcoin":1},
            "sample":false,"offsets":[4,4],"newest":{"published_at":7,"post_id":"p","lineage":{"run_id":"live","model_name":"m",
            "model_version":"1","model_sha256":"ab","assets_version":"2","input_topic":"t","input_partition":0,"first_offset":4,
            "last_offset":4}},"revision":3,"anomaly_score":null,"expected_posts":0.5,"unique":1,"spam":0,"alerted":["x"]}"#;
        let read: WindowState = serde_json::from_str(stored).unwrap();
        assert_eq!((read.positive, read.revision, read.expected_posts, read.alerted.len()), (1, 3, Some(0.5), 1));
        assert_eq!(read.newest.as_ref().unwrap().stands_on.model_sha256, "ab");
        assert!(read.is_due());
        let written = serde_json::to_string(&read).unwrap();
        assert_eq!(serde_json::from_str::<WindowState>(&written).unwrap(), read);
        assert!(written.len() * 2 < stored.len(), "{written}");
    }

    #[test]
    fn label_and_score_come_together_and_in_range() {
        let good = mention("BTC", "p", 0, Some(1.0));
        assert_eq!(validate(&good), Ok(()));
        assert!(validate(&Mention { label: None, ..good.clone() }).is_err());
        assert!(validate(&Mention { score: Some(f64::NAN), ..good.clone() }).is_err());
        assert!(validate(&Mention { score: Some(1.1), ..good.clone() }).is_err());
        assert!(validate(&Mention { label: Some("angry".into()), ..good }).is_err());
    }

    proptest! {
        #[test]
        fn the_mean_is_the_same_in_any_order(scores in prop::collection::vec(-1.0_f64..=1.0, 1..60), seed in any::<u64>()) {
            let mut mentions: Vec<_> = scores.iter().enumerate()
                .map(|(i, s)| mention("BTC", &format!("p{i}"), 0, Some(*s))).collect();
            let count = |mentions: &[Mention]| {
                let mut window = WindowState::default();
                mentions.iter().for_each(|m| window.add(m, true, false, 0));
                window
            };
            let forward = count(&mentions);
            mentions.sort_by_key(|m| micros(m.score.unwrap_or(0.0)).wrapping_mul(seed as i64 | 1));
            prop_assert_eq!(&forward, &count(&mentions));
            let plain = scores.iter().sum::<f64>() / scores.len() as f64;
            prop_assert!((forward.mean_score().unwrap() - plain).abs() < 1e-6);
        }
    }
}
