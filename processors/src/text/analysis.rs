//! Everything that is known about a text from the text alone: language, assets, sentiment.
//!
//! The sentiment topology and `vigie model score` share this, so both give the same answers.

use std::borrow::Cow;
use std::ops::{Range, RangeInclusive};

use crate::assets::{AssetHit, AssetMatcher, Evidence, Scratch};
use crate::inference::{ModelError, Passage, Scorer, Sentiment};
use crate::text::language::{self, Language};
use crate::text::letters::fold;

/// Why a text has no sentiment.
pub const EMPTY: &str = "empty";

/// For these numbers of assets in a text the mood towards each is given. With one there is nothing to separate, and who lists more mostly means all alike.
const MOODS: RangeInclusive<usize> = 2..=8;

/// One asset that a text mentions.
#[derive(Clone, Debug, PartialEq)]
pub struct Mentioned {
    /// Canonical id.
    pub asset: String,
    /// The strongest evidence.
    pub evidence: Evidence,
    /// The mood towards it, where it differs in kind from that of the text: in texts with several assets.
    pub mood: Option<Sentiment>,
}

/// A text to analyse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subject<'t> {
    /// The text, as published.
    pub text: &'t str,
    /// What its source says of its language (BCP 47).
    pub declared_language: Option<&'t str>,
}

impl<'t> From<&'t str> for Subject<'t> {
    fn from(text: &'t str) -> Self {
        Self { text, declared_language: None }
    }
}

/// What is known about one text.
#[derive(Clone, Debug, PartialEq)]
pub struct Analysis {
    /// ISO 639-1 code, or none if unknown.
    pub language: Option<&'static str>,
    /// Assets, in table order.
    pub assets: Vec<Mentioned>,
    /// The sentiment, or none if the text was not scored.
    pub sentiment: Option<Sentiment>,
    /// Why there is no sentiment; none if there is one.
    pub unscored_reason: Option<String>,
}

impl Analysis {
    /// The sentiment that counts for an asset: the mood towards it, or that of the whole text.
    pub fn sentiment_of(&self, mentioned: &Mentioned) -> Option<Sentiment> {
        mentioned.mood.or(self.sentiment)
    }
}

/// A scorer and an asset matcher.
pub struct Analyser {
    scorer: Box<dyn Scorer>,
    assets: AssetMatcher,
    scratch: Scratch,
}

impl Analyser {
    /// Puts the two together.
    pub fn new(scorer: Box<dyn Scorer>, assets: AssetMatcher) -> Self {
        Self { scorer, assets, scratch: Scratch::default() }
    }

    /// The model behind the sentiments.
    pub fn scorer(&self) -> &dyn Scorer {
        self.scorer.as_ref()
    }

    /// The assets that are looked for.
    pub fn assets(&self) -> &AssetMatcher {
        &self.assets
    }

    /// One answer per text, in order. Texts are read with their letters folded ([`fold`]). Texts that are blank, of unknown language, or of a language that the model does
    /// not know are left out of scoring and say why.
    pub fn analyse(&mut self, subjects: &[Subject<'_>]) -> Result<Vec<Analysis>, ModelError> {
        let texts: Vec<Cow<'_, str>> = subjects.iter().map(|subject| fold(subject.text)).collect();
        let declared = subjects.iter().map(|subject| subject.declared_language);
        let (mut answers, targets): (Vec<Analysis>, Vec<_>) =
            texts.iter().zip(declared).map(|(text, declared)| self.without_sentiment(text, declared)).unzip();
        let scorable = |answer: &Analysis| answer.unscored_reason.is_none();
        let chosen: Vec<Passage<'_>> = texts
            .iter()
            .zip(&answers)
            .zip(&targets)
            .filter(|((_, answer), _)| scorable(answer))
            .map(|((text, answer), targets)| Passage { text, language: answer.language, targets })
            .collect();
        let readings = self.scorer.read(&chosen)?;
        for (answer, reading) in answers.iter_mut().filter(|answer| scorable(answer)).zip(readings) {
            answer.sentiment = Some(reading.whole);
            for (mentioned, mood) in answer.assets.iter_mut().zip(reading.targets) {
                mentioned.mood = mood;
            }
        }
        Ok(answers)
    }

    /// Whether a text mentions an asset that is `wanted`, as [`Analyser::analyse`] finds them.
    pub(crate) fn mentions_any(&mut self, text: &str, wanted: impl Fn(&str) -> bool) -> bool {
        self.assets.find_with(&mut self.scratch, &fold(text)).any(|hit| wanted(&hit.asset.id))
    }

    /// The assets of a text, as [`Analyser::analyse`] finds them.
    pub(crate) fn assets_of(&mut self, subject: &Subject<'_>) -> Vec<Mentioned> {
        self.without_sentiment(&fold(subject.text), subject.declared_language).0.assets
    }

    /// With the places of its assets, if a mood for each is wanted.
    fn without_sentiment(&mut self, text: &str, declared: Option<&str>) -> (Analysis, Vec<Vec<Range<usize>>>) {
        let hits = self.assets.find_with(&mut self.scratch, text);
        let mentioned =
            |hit: AssetHit<'_>| Mentioned { asset: hit.asset.id.clone(), evidence: hit.evidence, mood: None };
        let assets: Vec<Mentioned> = hits.map(mentioned).collect();
        let targets = if MOODS.contains(&assets.len()) { self.scratch.places() } else { Vec::new() };
        let blank = text.chars().all(|c| c.is_whitespace() || c.is_control());
        let detected = if blank { Language::Unknown(EMPTY) } else { language::detect(text, declared) };
        let unscored_reason = match detected {
            Language::Known(code) if self.scorer.info().languages.iter().any(|known| known == code) => None,
            Language::Known(code) => Some(format!("language {code} is not supported by the model")),
            // A row of emoji has a mood in every language.
            Language::Unknown(language::NO_LETTERS) if language::has_emoji(text) => None,
            Language::Unknown(reason) => Some(reason.to_owned()),
        };
        (Analysis { language: detected.code(), assets, sentiment: None, unscored_reason }, targets)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::assets::AssetTable;
    use crate::inference::{ModelInfo, Probabilities, Reading};

    /// A scorer for tests: counts the words of two short lists.
    pub(crate) struct Lexicon(ModelInfo);

    impl Lexicon {
        pub(crate) fn new() -> Self {
            let text = |text: &str| text.to_owned();
            Self(ModelInfo {
                name: text("lexicon"),
                version: text("1"),
                sha256: text("00"),
                languages: vec![text("en")],
            })
        }
    }

    impl Scorer for Lexicon {
        fn info(&self) -> &ModelInfo {
            &self.0
        }

        fn score(&mut self, passages: &[Passage<'_>]) -> Result<Vec<Sentiment>, ModelError> {
            let count = |text: &str, list: [&str; 3]| list.iter().filter(|word| text.contains(**word)).count() as f64;
            let triple = |passage: &Passage<'_>| {
                let positive = count(passage.text, ["good", "moon", "love"]);
                let negative = count(passage.text, ["bad", "rekt", "crash"]);
                let sum = positive + negative + 0.5;
                Probabilities { negative: negative / sum, neutral: 0.5 / sum, positive: positive / sum }
            };
            Ok(passages.iter().map(|passage| Sentiment::from_probabilities(triple(passage), false)).collect())
        }
    }

    pub(crate) fn analyser() -> Analyser {
        let matcher = AssetMatcher::new(AssetTable::bundled().unwrap()).unwrap();
        Analyser::new(Box::new(Lexicon::new()), matcher)
    }

    #[test]
    fn answers_keep_the_order_and_unscored_texts_say_why() {
        let texts = ["I love good ETH", "", "Der Kurs ist nicht gut und das ist so", "bad crash, got rekt", "$BTC"];
        let answers = analyser().analyse(&texts.map(Subject::from)).unwrap();
        let scores: Vec<Option<f64>> =
            answers.iter().map(|answer| answer.sentiment.map(|sentiment| sentiment.score.signum())).collect();
        assert_eq!(scores, [Some(1.0), None, None, Some(-1.0), None]);
        let reasons: Vec<Option<&str>> = answers.iter().map(|answer| answer.unscored_reason.as_deref()).collect();
        let german = "language de is not supported by the model";
        assert_eq!(reasons, [None, Some("empty"), Some(german), None, Some("no letters")]);
        assert_eq!(answers[0].assets, [Mentioned { asset: "ETH".to_owned(), evidence: Evidence::Ticker, mood: None }]);
        assert_eq!(answers[4].assets, [Mentioned { asset: "BTC".to_owned(), evidence: Evidence::Cashtag, mood: None }]);
    }

    /// Likes what is called BTC, and nothing else.
    struct Maximalist(Lexicon);

    impl Scorer for Maximalist {
        fn info(&self) -> &ModelInfo {
            self.0.info()
        }

        fn score(&mut self, passages: &[Passage<'_>]) -> Result<Vec<Sentiment>, ModelError> {
            self.0.score(passages)
        }

        fn read(&mut self, passages: &[Passage<'_>]) -> Result<Vec<Reading>, ModelError> {
            let mood = |name: &str| {
                let positive = f64::from(name == "BTC");
                let triple = Probabilities { negative: 1.0 - positive, neutral: 0.0, positive };
                Some(Sentiment::from_probabilities(triple, false))
            };
            let wholes = self.0.score(passages)?.into_iter();
            let read = |(passage, whole): (&Passage<'_>, Sentiment)| Reading {
                whole,
                targets: passage.targets.iter().map(|places| mood(&passage.text[places[0].clone()])).collect(),
            };
            Ok(passages.iter().zip(wholes).map(read).collect())
        }
    }

    #[test]
    fn moods_are_asked_for_at_the_places_of_two_to_eight_assets() {
        let matcher = AssetMatcher::new(AssetTable::bundled().unwrap()).unwrap();
        let mut analyser = Analyser::new(Box::new(Maximalist(Lexicon::new())), matcher);
        let texts = [
            "it is so good that I have sold \u{1f680} all of my $SOL for BTC",
            "this is the best of it and I have it: BTC",
            "this is what I have and it is good: $BTC $ETH $SOL $ADA $XRP $LTC $DOGE $DOT $AVAX",
        ];
        let answers = analyser.analyse(&texts.map(Subject::from)).unwrap();
        let scores = |answer: &Analysis| -> Vec<(String, Option<f64>)> {
            answer.assets.iter().map(|one| (one.asset.clone(), one.mood.map(|mood| mood.score))).collect()
        };
        assert_eq!(scores(&answers[0]), [("BTC".to_owned(), Some(1.0)), ("SOL".to_owned(), Some(-1.0))]);
        assert!(answers[0].sentiment.is_some_and(|whole| whole.score > 0.0 && whole.score < 1.0));
        assert_eq!(scores(&answers[1]), [("BTC".to_owned(), None)]);
        assert_eq!(answers[1].sentiment_of(&answers[1].assets[0]), answers[1].sentiment);
        assert_eq!(answers[2].assets.len(), 9);
        assert!(answers[2].assets.iter().all(|one| one.mood.is_none()));
    }

    #[test]
    fn letters_are_read_as_they_look_and_the_source_says_its_language() {
        let text = "\u{1d401}\u{1d422}\u{1d42d}\u{1d41c}\u{1d428}\u{1d422}\u{1d427} and \u{ff25}\u{ff34}\u{ff28} are good, and so is \u{20bf}2 of Sol\u{200b}ana";
        let french = Subject { text: "Ethereum Solana Binance", declared_language: Some("fr-FR") };
        let answers = analyser().analyse(&[text.into(), french]).unwrap();
        let assets: Vec<&str> = answers[0].assets.iter().map(|asset| asset.asset.as_str()).collect();
        assert_eq!(assets, ["BTC", "ETH", "SOL"]);
        assert!(answers[0].sentiment.is_some_and(|sentiment| sentiment.score > 0.0));
        assert_eq!(answers[1].language, Some("fr"));
    }
}
