//! The model proper: workers, pooling over windows.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use super::encoder::{Encoded, Encoder, Window};
use super::manifest::{ModelManifest, read_verified};
use super::network::{Network, Segment};
use super::{ModelError, ModelInfo, Passage, Probabilities, Scorer, Sentiment, runtime};

/// How to load a model.
#[derive(Clone, Debug)]
pub struct ModelOptions {
    /// The ONNX Runtime library, or none to search for it ([`super::find_library`]).
    pub library: Option<PathBuf>,
    /// Workers side by side, at least one; each holds its own copy of the weights.
    pub threads: usize,
    /// Whether easy texts may be answered by the first layers alone.
    pub early_exit: bool,
}

impl Default for ModelOptions {
    fn default() -> Self {
        Self { library: None, threads: 1, early_exit: true }
    }
}

/// A loaded sentiment model.
pub struct SentimentModel {
    info: ModelInfo,
    encoder: Encoder,
    workers: Vec<Network>,
}

impl SentimentModel {
    /// Loads the model of a folder with the default options.
    pub fn load(dir: &Path) -> Result<Self, ModelError> {
        Self::load_with(dir, &ModelOptions::default())
    }

    /// Loads the model of a folder: `model.json`, then `tokenizer.json` and the segments, whose SHA-256 must be those
    /// that `model.json` states, then one text through all of them to prove that the graphs have the expected inputs and outputs.
    pub fn load_with(dir: &Path, options: &ModelOptions) -> Result<Self, ModelError> {
        let manifest = ModelManifest::read(dir)?;
        let tokenizer_path = dir.join("tokenizer.json");
        let tokenizer = read_verified(&tokenizer_path, &manifest.tokenizer_sha256)?;
        let encoder = Encoder::new(&tokenizer_path, &tokenizer, manifest.max_tokens)?;
        let files = manifest
            .segments
            .iter()
            .map(|segment| read_verified(&dir.join(&segment.file), &segment.sha256))
            .collect::<Result<Vec<_>, _>>()?;
        let environment = runtime::environment(&runtime::find_library(options.library.as_deref())?)?;
        let open = |early_exit: bool| {
            let segments = manifest.segments.iter().zip(&files).map(|(segment, bytes)| {
                Segment::open(&environment, bytes, segment, manifest.class_weights, early_exit)
            });
            Ok::<_, ModelError>(Network::new(segments.collect::<Result<_, _>>()?))
        };
        let probe = encoder.encode("a first text, so that a graph of another shape is refused now and not later")?;
        answer(&mut open(false)?, &probe, None)?;
        let workers = (0..options.threads.max(1)).map(|_| open(options.early_exit)).collect::<Result<_, _>>()?;
        Ok(Self { info: manifest.info(), encoder, workers })
    }

    /// The model behind the answers.
    pub fn info(&self) -> &ModelInfo {
        &self.info
    }

    /// One answer per text (of unknown language) or passage, in order; each depends on that one alone. The workers take
    /// texts from a common queue.
    pub fn score<'a>(&mut self, texts: &[impl Into<Passage<'a>> + Copy + Sync]) -> Result<Vec<Sentiment>, ModelError> {
        let encoder = &self.encoder;
        let read = |network: &mut Network, passage: Passage<'_>| {
            answer(network, &encoder.encode(passage.text)?, passage.language)
        };
        let busy = self.workers.len().min(texts.len());
        if busy <= 1 {
            let Some(network) = self.workers.first_mut() else { return Ok(Vec::new()) };
            return texts.iter().map(|text| read(network, (*text).into())).collect();
        }
        let next = AtomicUsize::new(0);
        let work = |network: &mut Network| -> Result<Vec<(usize, Sentiment)>, ModelError> {
            let mut done = Vec::new();
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                let Some(text) = texts.get(index) else { return Ok(done) };
                done.push((index, read(network, (*text).into())?));
            }
        };
        let parts = std::thread::scope(|scope| {
            let handles: Vec<_> =
                self.workers[..busy].iter_mut().map(|network| scope.spawn(|| work(network))).collect();
            handles.into_iter().map(|handle| handle.join()).collect::<Vec<_>>()
        });
        let mut answers = Vec::with_capacity(texts.len());
        for part in parts {
            let panicked = |_| ModelError::Runtime { action: "run the model", detail: "a worker panicked".to_owned() };
            answers.extend(part.map_err(panicked)??);
        }
        answers.sort_unstable_by_key(|(index, _)| *index);
        Ok(answers.into_iter().map(|(_, answer)| answer).collect())
    }
}

impl Scorer for SentimentModel {
    fn info(&self) -> &ModelInfo {
        self.info()
    }

    fn score(&mut self, passages: &[Passage<'_>]) -> Result<Vec<Sentiment>, ModelError> {
        self.score(passages)
    }
}

fn answer(network: &mut Network, text: &Encoded, language: Option<&str>) -> Result<Sentiment, ModelError> {
    let run = |window: &Window| network.run(&window.ids, language);
    let triples = text.windows.iter().map(run).collect::<Result<Vec<_>, ModelError>>()?;
    Ok(pool(text, &triples))
}

/// Token-weighted mean of the windows' probabilities; a uniform triple for a text without tokens.
fn pool(text: &Encoded, triples: &[[f64; 3]]) -> Sentiment {
    let total: usize = text.windows.iter().map(|window| window.tokens).sum();
    let mut mean = if total == 0 { [1.0 / 3.0; 3] } else { [0.0; 3] };
    for (window, triple) in text.windows.iter().zip(triples) {
        let weight = window.tokens as f64 / total as f64;
        for (sum, probability) in mean.iter_mut().zip(triple) {
            *sum += weight * probability;
        }
    }
    let [negative, neutral, positive] = mean;
    Sentiment::from_probabilities(Probabilities { negative, neutral, positive }, text.truncated)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(tokens: &[usize]) -> Encoded {
        let windows = tokens.iter().map(|&tokens| Window { ids: Vec::new(), tokens }).collect();
        Encoded { windows, truncated: false }
    }

    #[test]
    fn windows_weigh_by_their_tokens() {
        let pooled = pool(&encoded(&[30, 10]), &[[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]);
        assert!((pooled.probabilities.negative - 0.75).abs() < 1e-9);
        assert!((pooled.score + 0.5).abs() < 1e-9);
    }

    #[test]
    fn a_text_without_tokens_gets_a_uniform_triple() {
        let pooled = pool(&encoded(&[]), &[]);
        assert!((pooled.probabilities.neutral - 1.0 / 3.0).abs() < 1e-12);
        assert!(pooled.score.abs() < 1e-12);
    }
}
