//! Sentiment of a text by an ONNX transformer.
//!
//! ```text
//! text ─▶ tokenizer.json (normalise, WordPiece) ─▶ windows of ≤ max_tokens ─▶ segments of the network, up to the first sure exit
//!                                                     ─▶ logits / temperature (of the language) ─▶ softmax ─▶ token-weighted mean
//!                                     ─▶ shift by what turns the tone around (`turns.rs`)
//! ```
//!
//! For a text with targets, a small head reads the states that the segments pass on (`mood.rs`).
//!
//! **Guarantees.** A model folder is used only if its files have the SHA-256 that `model.json` states. Answers come in the order of
//! the texts. The answer for a text depends on that text alone, never on its companions in a batch, so that a replay gives the same
//! labels: int8 models of dynamic quantisation compute one activation scale per tensor, and a batch would make it depend on every
//! member (`models/sentiment/README.md` has the measured difference). Hence one window per run; parallelism comes from several
//! workers, each on one thread.
//!
//! **Failures.** [`ModelError::retry`] separates errors of the installation from errors of one run.

mod encoder;
mod manifest;
mod mood;
mod network;
mod runtime;
mod sentiment_model;
mod spam_weights;
mod turns;

use std::ops::Range;
use std::path::PathBuf;

pub use manifest::{ModelManifest, MoodManifest, SegmentManifest, SpamManifest, TurnsManifest};
pub(crate) use manifest::{read_file, verify};
pub use runtime::find_library;
pub(crate) use runtime::{environment, open_session};
pub use sentiment_model::{ModelOptions, SentimentModel};
use serde::{Deserialize, Serialize};
pub use spam_weights::{SLOTS, SpamWeights};
use thiserror::Error;
use vigie_daemon::Mistake;
pub use vigie_schemas::Label;

use crate::service::chain;

/// Calibrated probabilities; they sum to 1.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Probabilities {
    /// Probability of [`Label::Negative`].
    pub negative: f64,
    /// Probability of [`Label::Neutral`].
    pub neutral: f64,
    /// Probability of [`Label::Positive`].
    pub positive: f64,
}

/// What the model says about one text.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sentiment {
    /// The most probable label; of equals the first in [`Label::ALL`].
    pub label: Label,
    /// `p(positive) - p(negative)`, from -1 to 1.
    pub score: f64,
    /// The probabilities behind both.
    pub probabilities: Probabilities,
    /// True when only the beginning of an over-long text was read.
    pub truncated: bool,
}

impl Sentiment {
    /// Label and score of a probability triple.
    pub fn from_probabilities(probabilities: Probabilities, truncated: bool) -> Self {
        let Probabilities { negative, neutral, positive } = probabilities;
        let label = if negative >= neutral && negative >= positive {
            Label::Negative
        } else if neutral >= positive {
            Label::Neutral
        } else {
            Label::Positive
        };
        Self { label, score: positive - negative, probabilities, truncated }
    }

    /// The same with `shift` added to the logits of negative, neutral and positive.
    fn shifted(self, shift: [f64; 3]) -> Self {
        let Probabilities { negative, neutral, positive } = self.probabilities;
        let mut odds = [negative, neutral, positive];
        odds.iter_mut().zip(shift).for_each(|(odds, shift)| *odds *= shift.exp());
        let sum: f64 = odds.iter().sum();
        let [negative, neutral, positive] = odds.map(|odds| odds / sum);
        Self::from_probabilities(Probabilities { negative, neutral, positive }, self.truncated)
    }
}

/// Which model an answer stands on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelInfo {
    /// Name of the model, for example `minilm-l6-sentiment`.
    pub name: String,
    /// Version from `model.json`.
    pub version: String,
    /// Content hash of the whole model: lower-case hex SHA-256 of its `model.json`, which states those of its files.
    pub sha256: String,
    /// ISO 639-1 codes of the languages that the model knows.
    pub languages: Vec<String>,
}

/// A text to score.
#[derive(Clone, Copy, Debug)]
pub struct Passage<'a> {
    /// The text.
    pub text: &'a str,
    /// ISO 639-1 code of its language, if known: the probabilities of some are calibrated on their own.
    pub language: Option<&'a str>,
    /// What the mood is asked for besides that of the whole: the places of each target, in bytes of the text.
    pub targets: &'a [Vec<Range<usize>>],
}

impl<'a> From<&'a str> for Passage<'a> {
    fn from(text: &'a str) -> Self {
        Self { text, language: None, targets: &[] }
    }
}

/// What the model says about one passage.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading {
    /// Of the passage as a whole.
    pub whole: Sentiment,
    /// Towards each target, in order; `None` where none was computed. May be shorter than the targets.
    pub targets: Vec<Option<Sentiment>>,
}

/// Anything that gives a sentiment to texts: the ONNX model, or a lexicon in tests of the topologies.
pub trait Scorer: Send {
    /// The model behind the answers.
    fn info(&self) -> &ModelInfo;

    /// The weights by which spam is recognised, if there are any.
    fn spam(&self) -> Option<&SpamWeights> {
        None
    }

    /// One answer per text, in order. A text without any token is answered with a uniform triple; callers leave
    /// such texts out and say why (`analysis` does).
    fn score(&mut self, passages: &[Passage<'_>]) -> Result<Vec<Sentiment>, ModelError>;

    /// As [`Scorer::score`], and the mood towards each target, if the scorer has it.
    fn read(&mut self, passages: &[Passage<'_>]) -> Result<Vec<Reading>, ModelError> {
        Ok(self.score(passages)?.into_iter().map(|whole| Reading { whole, targets: Vec::new() }).collect())
    }
}

/// Why a model could not be loaded or run.
#[derive(Debug, Error)]
pub enum ModelError {
    /// A file of the model folder is missing or unreadable.
    #[error("cannot read model file {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// A file does not say what it should.
    #[error("model file {} is not usable: {detail}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What was found and what was expected.
        detail: String,
    },
    /// A file is damaged, or belongs to another model.
    #[error("model file {} has sha-256 {found}, but model.json states {expected}: damaged, or from another version", path.display())]
    Digest {
        /// The file.
        path: PathBuf,
        /// Lower-case hex digest of the file.
        found: String,
        /// Lower-case hex digest in `model.json`.
        expected: String,
    },
    /// No ONNX Runtime library was found.
    #[error("no onnx runtime library found: looked at {looked_at}; set ORT_DYLIB_PATH to libonnxruntime.so")]
    LibraryNotFound {
        /// The places, comma-separated.
        looked_at: String,
    },
    /// The library is there but cannot be used.
    #[error("cannot use onnx runtime library {}: {detail}", path.display())]
    Library {
        /// The library file.
        path: PathBuf,
        /// The loader's message.
        detail: String,
    },
    /// The tokenizer failed on a text.
    #[error("tokenizer failed: {0}")]
    Tokenizer(String),
    /// ONNX Runtime refused the model or failed in a run.
    #[error("onnx runtime failed to {action}: {detail}")]
    Runtime {
        /// `load the model` or `run the model`.
        action: &'static str,
        /// The runtime's message.
        detail: String,
    },
}

impl ModelError {
    /// True when the same call may succeed later (a failed run); false when somebody must repair the installation.
    pub fn retry(&self) -> bool {
        matches!(self, Self::Runtime { action: "run the model", .. })
    }
}

/// Where the model and its runtime are.
#[derive(clap::Args, Clone, Debug)]
pub struct ModelConfig {
    /// Folder with model.json and the files that it names
    #[arg(
        long = "model",
        id = "model_dir",
        value_name = "DIR",
        env = "VIGIE_MODEL",
        default_value = "models/sentiment"
    )]
    pub dir: PathBuf,
    /// ONNX Runtime library (libonnxruntime.so); searched beside the program when not given
    #[arg(long = "onnxruntime", id = "onnxruntime_library", value_name = "FILE", env = "ORT_DYLIB_PATH")]
    pub library: Option<PathBuf>,
    /// Threads that run the model, each with its own copy of the weights
    #[arg(long = "model-threads", id = "model_threads", value_name = "N", env = "VIGIE_MODEL_THREADS", default_value_t = 1,
          value_parser = clap::value_parser!(u16).range(1..=256))]
    pub threads: u16,
    /// Read every post with all layers: some 40 % slower, and hardly ever another answer
    #[arg(long = "no-early-exit", id = "no_early_exit", env = "VIGIE_NO_EARLY_EXIT")]
    pub no_early_exit: bool,
}

impl ModelConfig {
    /// Loads the model, for a check of the configuration.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn check(&self) -> Result<SentimentModel, Vec<Mistake>> {
        let expected = "a folder with a model, and an ONNX Runtime";
        self.load().map_err(|error| vec![Mistake::of::<Self>("model", chain(&error), expected)])
    }

    /// Loads the model that this configuration names.
    pub fn load(&self) -> Result<SentimentModel, ModelError> {
        let options = ModelOptions {
            library: self.library.clone(),
            threads: usize::from(self.threads),
            early_exit: !self.no_early_exit,
        };
        SentimentModel::load_with(&self.dir, &options)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_label_is_the_most_probable_class_and_ties_go_to_the_first() {
        let label = |negative, neutral, positive| {
            Sentiment::from_probabilities(Probabilities { negative, neutral, positive }, false).label
        };
        assert_eq!(label(0.5, 0.3, 0.2), Label::Negative);
        assert_eq!(label(0.2, 0.5, 0.3), Label::Neutral);
        assert_eq!(label(0.1, 0.3, 0.6), Label::Positive);
        assert_eq!(label(0.4, 0.4, 0.2), Label::Negative);
        assert_eq!(label(0.2, 0.4, 0.4), Label::Neutral);
    }

    #[test]
    fn the_score_is_positive_minus_negative() {
        let triple = Probabilities { negative: 0.1, neutral: 0.2, positive: 0.7 };
        assert!((Sentiment::from_probabilities(triple, false).score - 0.6).abs() < 1e-12);
    }
}
