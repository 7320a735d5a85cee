//! Raw posts, and what should come of them by a way of its own.

use std::collections::{BTreeMap, BTreeSet};

use vigie_clock::Timestamp;
use vigie_processors::assets::{AssetMatcher, AssetTable};
use vigie_processors::inference::{ModelError, ModelInfo, Passage, Probabilities, Scorer, Sentiment};
use vigie_processors::text::analysis::{Analyser, Subject};
use vigie_schemas::{RawPost, TrendInsight};

pub(crate) const WINDOW_MS: i64 = 300_000;

const TEXTS: [&str; 6] = [
    "the news about bitcoin is really good and people are happy with it",
    "I think that BTC and $ETH are terrible and I will sell all that I have",
    "there is nothing new in the market and this is how it should be today",
    "Der Kurs von Bitcoin ist heute nicht gut und das gefällt mir überhaupt nicht",
    "what do you think about solana and ethereum in the next year of this",
    "this is a great time for all the people who have waited for the day",
];

/// Counts good and bad words.
pub(crate) struct Lexicon(ModelInfo);

impl Lexicon {
    pub(crate) fn analyser() -> Analyser {
        let text = |text: &str| text.to_owned();
        let info =
            ModelInfo { name: text("lexicon"), version: text("1"), sha256: text("00"), languages: vec![text("en")] };
        let matcher = AssetMatcher::new(AssetTable::bundled().expect("the bundled table is valid"));
        Analyser::new(Box::new(Self(info)), matcher.expect("the bundled table compiles"))
    }
}

impl Scorer for Lexicon {
    fn info(&self) -> &ModelInfo {
        &self.0
    }

    fn score(&mut self, passages: &[Passage<'_>]) -> Result<Vec<Sentiment>, ModelError> {
        let count = |text: &str, words: [&str; 2]| words.iter().filter(|word| text.contains(**word)).count() as f64;
        let one = |passage: &Passage<'_>| {
            let (good, bad) = (count(passage.text, ["good", "great"]), count(passage.text, ["bad", "terrible"]));
            let sum = good + bad + 0.3;
            let triple = Probabilities { negative: bad / sum, neutral: 0.3 / sum, positive: good / sum };
            Sentiment::from_probabilities(triple, false)
        };
        Ok(passages.iter().map(one).collect())
    }
}

/// `count` posts over two hours from `start` on, not in the order of time.
pub(crate) fn raw_posts(start: Timestamp, count: usize) -> Vec<RawPost> {
    let post = |i: usize| {
        let millis = (i as i64 * 7_919_317) % (24 * WINDOW_MS);
        let published_at = Timestamp::from_millis(start.as_millis() + millis);
        RawPost {
            post_id: format!("reddit:{i}"),
            source: format!("r-{}", i % 4),
            kind: "reddit".into(),
            author: (!i.is_multiple_of(11)).then(|| format!("user-{}", i % 97)),
            title: i.is_multiple_of(2).then(|| "A title of this post".to_owned()),
            text: TEXTS[i % TEXTS.len()].into(),
            published_at,
            fetched_at: published_at,
            sample: true,
            ..RawPost::default()
        }
    };
    (0..count).map(post).collect()
}

#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Counts {
    pub posts: i64,
    pub unique_authors: i64,
    pub labels: [i64; 3],
    pub mean_score: Option<f64>,
    pub sources: BTreeMap<String, i64>,
}

pub(crate) type Windows = BTreeMap<(String, i64), Counts>;

pub(crate) fn counts(insight: &TrendInsight) -> ((String, i64), Counts) {
    let counts = Counts {
        posts: insight.posts,
        unique_authors: insight.unique_authors,
        labels: [insight.negative, insight.neutral, insight.positive],
        mean_score: insight.mean_score,
        sources: insight.sources.clone(),
    };
    ((insight.asset.clone(), insight.window_start.as_millis()), counts)
}

/// The windows of distinct posts, counted without any of the code under test but the text analysis.
pub(crate) fn oracle(posts: &[RawPost]) -> Windows {
    let mut analyser = Lexicon::analyser();
    let mut scores: BTreeMap<(String, i64), Vec<i64>> = BTreeMap::new();
    let mut authors: BTreeMap<(String, i64), BTreeSet<&str>> = BTreeMap::new();
    let mut windows = Windows::new();
    for post in posts {
        let text = post.title.as_ref().map_or(post.text.clone(), |title| format!("{title}\n{}", post.text));
        let subject = Subject { text: &text, declared_language: post.declared_language.as_deref() };
        let analysis = analyser.analyse(&[subject]).expect("the lexicon takes any text").remove(0);
        let start = post.published_at.as_millis() / WINDOW_MS * WINDOW_MS;
        let assets = analysis.assets.iter().map(|mentioned| mentioned.asset.clone());
        for asset in assets.chain(["*".to_owned()]) {
            let key = (asset, start);
            let window = windows.entry(key.clone()).or_default();
            window.posts += 1;
            *window.sources.entry(post.source.clone()).or_default() += 1;
            if let Some(sentiment) = analysis.sentiment {
                window.labels[sentiment.label as usize] += 1;
                scores.entry(key.clone()).or_default().push((sentiment.score * 1e6).round() as i64);
            }
            authors.entry(key).or_default().extend(post.author.as_deref());
        }
    }
    for (key, window) in &mut windows {
        window.unique_authors = authors[key].len() as i64;
        let of = scores.get(key);
        window.mean_score = of.map(|all| all.iter().sum::<i64>() as f64 / all.len() as f64 / 1e6);
    }
    windows
}
