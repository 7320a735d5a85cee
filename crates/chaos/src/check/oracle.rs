//! What the windows should hold, counted from the list of the posts by plain maps. Of the pipeline's code it uses only the analysis of a
//! text (assets, language, score), which is a function of the text.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;

use vigie_processors::assets::{AssetMatcher, AssetTable, post_text};
use vigie_processors::inference::{ModelConfig, Sentiment};
use vigie_processors::text::analysis::{Analyser, Subject};
use vigie_schemas::{RawPost, TrendInsight, WHOLE_MARKET};

use crate::error::ChaosError;
use crate::posts::Fate;

pub(crate) const WINDOW_MS: i64 = vigie_schemas::WINDOW.as_millis() as i64;

/// Asset and start of a window in milliseconds.
pub(crate) type Key = (String, i64);

/// What a window says.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Counts {
    pub(crate) posts: i64,
    pub(crate) unique_authors: i64,
    /// Negative, neutral, positive.
    pub(crate) labels: [i64; 3],
    pub(crate) mean_score: Option<f64>,
    pub(crate) sources: BTreeMap<String, i64>,
}

impl Counts {
    /// Whether both say the same; a mean that went through JSON may differ in its last digit.
    pub(crate) fn agrees(&self, other: &Self) -> bool {
        let near = match (self.mean_score, other.mean_score) {
            (Some(mean), Some(other)) => (mean - other).abs() < 1e-9,
            (mean, other) => mean == other,
        };
        near && Self { mean_score: None, ..self.clone() } == Self { mean_score: None, ..other.clone() }
    }
}

impl From<&TrendInsight> for Counts {
    fn from(insight: &TrendInsight) -> Self {
        Self {
            posts: insight.posts,
            unique_authors: insight.unique_authors,
            labels: [insight.negative, insight.neutral, insight.positive],
            mean_score: insight.mean_score,
            sources: insight.sources.clone(),
        }
    }
}

/// All that should be there at the end.
#[derive(Debug, Default)]
pub(crate) struct Expected {
    pub(crate) windows: BTreeMap<Key, Counts>,
    /// Assets of each post that is scored, the whole market among them, by post id.
    pub(crate) posts: BTreeMap<String, BTreeSet<String>>,
    /// Mentions that come when their window is closed.
    pub(crate) late_mentions: u64,
    pub(crate) scored: u64,
    /// 0 to 2 of each post that is scored: negative, neutral, positive.
    pub(crate) labels: HashMap<String, usize>,
}

/// A window while it is counted.
#[derive(Default)]
struct Tally {
    counts: Counts,
    authors: BTreeSet<(String, String)>,
    /// Millionths.
    scores: Vec<i64>,
}

/// Counts `posts`, each of another id; `assets`: a file over the bundled table.
pub(crate) fn expect(
    model: &ModelConfig,
    assets: Option<&Path>,
    posts: &[(RawPost, Fate)],
) -> Result<Expected, ChaosError> {
    let matcher = AssetTable::load(assets).and_then(AssetMatcher::new).map_err(|e| ChaosError::Other(e.to_string()))?;
    let mut analyser = Analyser::new(Box::new(model.load()?), matcher);
    let mut tallies: BTreeMap<Key, Tally> = BTreeMap::new();
    let mut expected = Expected::default();
    for (post, fate) in posts {
        let text = post_text(post.title.as_deref(), &post.text);
        let subject = Subject { text: &text, declared_language: post.declared_language.as_deref() };
        let analysis =
            analyser.analyse(&[subject])?.pop().ok_or_else(|| ChaosError::Other("no analysis".to_owned()))?;
        let towards = analysis.assets.iter().map(|found| (found.asset.clone(), analysis.sentiment_of(found)));
        let assets: BTreeMap<String, Option<Sentiment>> =
            towards.chain([(WHOLE_MARKET.to_owned(), analysis.sentiment)]).collect();
        expected.scored += u64::from(analysis.sentiment.is_some());
        if let Some(sentiment) = analysis.sentiment {
            expected.labels.insert(post.post_id.clone(), sentiment.label as usize);
        }
        for (asset, sentiment) in &assets {
            if *fate == Fate::Late {
                expected.late_mentions += 1;
            } else {
                let start = post.published_at.as_millis().div_euclid(WINDOW_MS) * WINDOW_MS;
                count(tallies.entry((asset.clone(), start)).or_default(), post, *sentiment);
            }
        }
        expected.posts.insert(post.post_id.clone(), assets.into_keys().collect());
    }
    expected.windows = tallies.into_iter().map(|(key, tally)| (key, finish(tally))).collect();
    Ok(expected)
}

fn count(tally: &mut Tally, post: &RawPost, sentiment: Option<Sentiment>) {
    tally.counts.posts += 1;
    *tally.counts.sources.entry(post.source.clone()).or_default() += 1;
    let author =
        post.author.as_deref().map(str::trim).filter(|author| !["", "[deleted]", "[removed]"].contains(author));
    if let Some(author) = author {
        let scope = if post.kind == "rss" { &post.source } else { &post.kind };
        tally.authors.insert((scope.clone(), author.to_owned()));
    }
    if let Some(sentiment) = sentiment {
        tally.counts.labels[sentiment.label as usize] += 1;
        tally.scores.push((sentiment.score * 1e6).round() as i64);
    }
}

fn finish(tally: Tally) -> Counts {
    let Tally { counts, authors, scores } = tally;
    let mean = scores.iter().sum::<i64>() as f64 / scores.len() as f64 / 1e6;
    Counts { unique_authors: authors.len() as i64, mean_score: (!scores.is_empty()).then_some(mean), ..counts }
}
