//! The model proper: workers, pooling over windows.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use super::encoder::{Encoded, Encoder};
use super::manifest::{ModelManifest, read_verified};
use super::mood::MoodHead;
use super::network::{Network, Segment};
use super::turns::Turns;
use super::{ModelError, ModelInfo, Passage, Probabilities, Reading, Scorer, Sentiment, SpamWeights, runtime};

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
    spam: Option<SpamWeights>,
    turns: Option<Turns>,
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
        let encoder = Encoder::new(
            &tokenizer_path,
            &tokenizer,
            manifest.max_tokens,
            manifest.mood.as_ref().map(|mood| mood.reach),
        )?;
        let files = manifest
            .segments
            .iter()
            .map(|segment| read_verified(&dir.join(&segment.file), &segment.sha256))
            .collect::<Result<Vec<_>, _>>()?;
        let mood = manifest.mood.as_ref().map(|mood| Ok((mood, read_verified(&dir.join(&mood.file), &mood.sha256)?)));
        let mood = mood.transpose()?;
        let spam = manifest.spam.as_ref().map(|spam| {
            let path = dir.join(&spam.file);
            let weights = SpamWeights::read(&read_verified(&path, &spam.sha256)?);
            weights.map_err(|detail| ModelError::Malformed { path, detail })
        });
        let spam = spam.transpose()?;
        let turns = manifest.turns.as_ref().map(|turns| {
            let path = dir.join(&turns.file);
            let read = Turns::read(&read_verified(&path, &turns.sha256)?, &turns.weights);
            read.map_err(|detail| ModelError::Malformed { path, detail })
        });
        let turns = turns.transpose()?;
        let environment = runtime::environment(&runtime::find_library(options.library.as_deref())?)?;
        let open = |early_exit: bool| {
            let segments = manifest.segments.iter().zip(&files).map(|(segment, bytes)| {
                Segment::open(&environment, bytes, segment, manifest.class_weights, early_exit)
            });
            let head = mood.as_ref().map(|(manifest, bytes)| MoodHead::open(&environment, bytes, manifest));
            Ok::<_, ModelError>(Network::new(segments.collect::<Result<_, _>>()?, head.transpose()?))
        };
        let text = "a first text, so that a graph of another shape is refused now and not later";
        let targets = [0..1, 2..7].map(|place| vec![place]);
        let probe = encoder.encode(Passage { targets: &targets, ..text.into() })?;
        answer(&mut open(false)?, &probe, None, 2)?;
        let workers = (0..options.threads.max(1)).map(|_| open(options.early_exit)).collect::<Result<_, _>>()?;
        Ok(Self { info: manifest.info(), encoder, workers, spam, turns })
    }

    /// The model behind the answers.
    pub fn info(&self) -> &ModelInfo {
        &self.info
    }

    /// The sentiment of each text (of unknown language) or passage as a whole, as [`SentimentModel::read`].
    pub fn score<'a>(&mut self, texts: &[impl Into<Passage<'a>> + Copy + Sync]) -> Result<Vec<Sentiment>, ModelError> {
        Ok(self.read(texts)?.into_iter().map(|reading| reading.whole).collect())
    }

    /// One answer per text or passage, in order; each depends on that one alone. The workers take texts from a common queue.
    pub fn read<'a>(&mut self, texts: &[impl Into<Passage<'a>> + Copy + Sync]) -> Result<Vec<Reading>, ModelError> {
        let (encoder, turns) = (&self.encoder, self.turns.as_ref());
        let read = |network: &mut Network, passage: Passage<'_>| {
            let mut reading = answer(network, &encoder.encode(passage)?, passage.language, passage.targets.len())?;
            let shift = turns.map_or([0.0; 3], |turns| turns.shift(passage.text, passage.language));
            if shift != [0.0; 3] {
                reading.whole = reading.whole.shifted(shift);
            }
            Ok(reading)
        };
        let busy = self.workers.len().min(texts.len());
        if busy <= 1 {
            let Some(network) = self.workers.first_mut() else { return Ok(Vec::new()) };
            return texts.iter().map(|text| read(network, (*text).into())).collect();
        }
        let next = AtomicUsize::new(0);
        let work = |network: &mut Network| -> Result<Vec<(usize, Reading)>, ModelError> {
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

    fn spam(&self) -> Option<&SpamWeights> {
        self.spam.as_ref()
    }

    fn score(&mut self, passages: &[Passage<'_>]) -> Result<Vec<Sentiment>, ModelError> {
        self.score(passages)
    }

    fn read(&mut self, passages: &[Passage<'_>]) -> Result<Vec<Reading>, ModelError> {
        self.read(passages)
    }
}

fn answer(
    network: &mut Network,
    text: &Encoded,
    language: Option<&str>,
    targets: usize,
) -> Result<Reading, ModelError> {
    let mut whole = Vec::with_capacity(text.windows.len());
    let mut moods = vec![Vec::new(); targets];
    for window in &text.windows {
        let (triple, own) = network.run(&window.ids, language, &window.places)?;
        whole.push((window.tokens, triple));
        for (places, triple) in window.places.iter().zip(own) {
            moods[places.target].push((places.own, triple));
        }
    }
    let targets = moods.iter().map(|parts| (!parts.is_empty()).then(|| pool(parts, text.truncated))).collect();
    Ok(Reading { whole: pool(&whole, text.truncated), targets })
}

/// Mean of the windows' probabilities, weighted by tokens; a uniform triple for a text without tokens.
fn pool(parts: &[(usize, [f64; 3])], truncated: bool) -> Sentiment {
    let total: usize = parts.iter().map(|(tokens, _)| tokens).sum();
    let mut mean = if total == 0 { [1.0 / 3.0; 3] } else { [0.0; 3] };
    for (tokens, triple) in parts {
        let weight = *tokens as f64 / total as f64;
        for (sum, probability) in mean.iter_mut().zip(triple) {
            *sum += weight * probability;
        }
    }
    let [negative, neutral, positive] = mean;
    Sentiment::from_probabilities(Probabilities { negative, neutral, positive }, truncated)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_weigh_by_their_tokens() {
        let pooled = pool(&[(30, [1.0, 0.0, 0.0]), (10, [0.0, 0.0, 1.0])], false);
        assert!((pooled.probabilities.negative - 0.75).abs() < 1e-9);
        assert!((pooled.score + 0.5).abs() < 1e-9);
    }

    #[test]
    fn a_text_without_tokens_gets_a_uniform_triple() {
        let pooled = pool(&[], false);
        assert!((pooled.probabilities.neutral - 1.0 / 3.0).abs() < 1e-12);
        assert!(pooled.score.abs() < 1e-12);
    }
}
