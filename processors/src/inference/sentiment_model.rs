//! The model proper: sessions, runs, pooling.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use ort::session::Session;
use ort::value::TensorRef;

use super::encoder::{Encoded, Encoder, Window};
use super::manifest::{ModelManifest, read_verified};
use super::{ModelError, ModelInfo, Probabilities, Scorer, Sentiment, runtime};

/// How to load a model.
#[derive(Clone, Debug)]
pub struct ModelOptions {
    /// The ONNX Runtime library, or none to search for it ([`super::find_library`]).
    pub library: Option<PathBuf>,
    /// Sessions that work side by side, at least one; each holds its own copy of the weights.
    pub threads: usize,
}

impl Default for ModelOptions {
    fn default() -> Self {
        Self { library: None, threads: 1 }
    }
}

/// A loaded sentiment model.
pub struct SentimentModel {
    info: ModelInfo,
    temperature: f64,
    encoder: Encoder,
    sessions: Vec<Session>,
}

impl SentimentModel {
    /// Loads the model of a folder with the default options.
    pub fn load(dir: &Path) -> Result<Self, ModelError> {
        Self::load_with(dir, &ModelOptions::default())
    }

    /// Loads the model of a folder: `model.json`, then `tokenizer.json` and `model.onnx`, whose SHA-256 must be those
    /// that `model.json` states, then one run to prove that the graph has the expected inputs and output.
    pub fn load_with(dir: &Path, options: &ModelOptions) -> Result<Self, ModelError> {
        let manifest = ModelManifest::read(dir)?;
        let tokenizer_path = dir.join("tokenizer.json");
        let tokenizer = read_verified(&tokenizer_path, &manifest.tokenizer_sha256)?;
        let model = read_verified(&dir.join("model.onnx"), &manifest.sha256)?;
        let encoder = Encoder::new(&tokenizer_path, &tokenizer, manifest.max_tokens)?;
        let environment = runtime::environment(&runtime::find_library(options.library.as_deref())?)?;
        let sessions = (0..options.threads.max(1))
            .map(|_| runtime::open_session(&environment, &model))
            .collect::<Result<Vec<_>, _>>()?;
        let mut loaded = Self { info: manifest.info(), temperature: manifest.temperature, encoder, sessions };
        loaded.score(&["a first text, so that a graph of another shape is refused now and not later"])?;
        Ok(loaded)
    }

    /// The model behind the answers.
    pub fn info(&self) -> &ModelInfo {
        &self.info
    }

    /// One answer per text, in order; each depends on its text alone.
    pub fn score(&mut self, texts: &[&str]) -> Result<Vec<Sentiment>, ModelError> {
        let encoded = texts.iter().map(|text| self.encoder.encode(text)).collect::<Result<Vec<_>, _>>()?;
        let windows: Vec<&Window> = encoded.iter().flat_map(|text| &text.windows).collect();
        let logits = run_all(&mut self.sessions, &windows)?;
        let mut rest = logits.as_slice();
        let mut answers = Vec::with_capacity(texts.len());
        for text in &encoded {
            let (own, others) = rest.split_at(text.windows.len());
            rest = others;
            answers.push(pool(text, own, self.temperature));
        }
        Ok(answers)
    }
}

impl Scorer for SentimentModel {
    fn info(&self) -> &ModelInfo {
        self.info()
    }

    fn score(&mut self, texts: &[&str]) -> Result<Vec<Sentiment>, ModelError> {
        self.score(texts)
    }
}

/// Logits of each window, in order; the sessions take windows from a common queue.
fn run_all(sessions: &mut [Session], windows: &[&Window]) -> Result<Vec<[f32; 3]>, ModelError> {
    let workers = sessions.len().min(windows.len());
    if workers <= 1 {
        return match sessions.first_mut() {
            Some(session) => windows.iter().map(|window| run(session, window)).collect(),
            None => Err(ModelError::Runtime { action: "run the model", detail: "no session".to_owned() }),
        };
    }
    let next = AtomicUsize::new(0);
    let work = |session: &mut Session| -> Result<Vec<(usize, [f32; 3])>, ModelError> {
        let mut done = Vec::new();
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(window) = windows.get(index) else { return Ok(done) };
            done.push((index, run(session, window)?));
        }
    };
    let parts = std::thread::scope(|scope| {
        let handles: Vec<_> = sessions[..workers].iter_mut().map(|session| scope.spawn(|| work(session))).collect();
        handles.into_iter().map(|handle| handle.join()).collect::<Vec<_>>()
    });
    let mut logits = vec![[0.0; 3]; windows.len()];
    for part in parts {
        let panicked = |_| ModelError::Runtime { action: "run the model", detail: "a worker panicked".to_owned() };
        for (index, triple) in part.map_err(panicked)?? {
            logits[index] = triple;
        }
    }
    Ok(logits)
}

/// One run: `input_ids` and `attention_mask` of shape [1, tokens] in, `logits` of shape [1, 3] out.
fn run(session: &mut Session, window: &Window) -> Result<[f32; 3], ModelError> {
    let failed = |detail: String| ModelError::Runtime { action: "run the model", detail };
    let shape = [1, window.ids.len()];
    let mask = vec![1_i64; window.ids.len()];
    let ids = TensorRef::from_array_view((shape, window.ids.as_slice())).map_err(|error| failed(error.to_string()))?;
    let mask = TensorRef::from_array_view((shape, mask.as_slice())).map_err(|error| failed(error.to_string()))?;
    let outputs = session
        .run(ort::inputs!["input_ids" => ids, "attention_mask" => mask])
        .map_err(|error| failed(error.to_string()))?;
    let logits = outputs.get("logits").ok_or_else(|| failed("the graph has no output named logits".to_owned()))?;
    let (shape, values) = logits.try_extract_tensor::<f32>().map_err(|error| failed(error.to_string()))?;
    match values {
        [negative, neutral, positive] if values.iter().all(|value| value.is_finite()) => {
            Ok([*negative, *neutral, *positive])
        }
        _ => Err(failed(format!("logits {values:?} of shape {shape:?}, expected three finite numbers"))),
    }
}

/// Token-weighted mean of the windows' probabilities; a uniform triple for a text without tokens.
fn pool(text: &Encoded, logits: &[[f32; 3]], temperature: f64) -> Sentiment {
    let total: usize = text.windows.iter().map(|window| window.tokens).sum();
    let mut mean = if total == 0 { [1.0 / 3.0; 3] } else { [0.0; 3] };
    for (window, triple) in text.windows.iter().zip(logits) {
        let weight = window.tokens as f64 / total as f64;
        for (sum, probability) in mean.iter_mut().zip(softmax(*triple, temperature)) {
            *sum += weight * probability;
        }
    }
    let [negative, neutral, positive] = mean;
    Sentiment::from_probabilities(Probabilities { negative, neutral, positive }, text.truncated)
}

/// `exp(x / t)` normalised to sum 1 (temperature scaling, Guo et al. 2017).
fn softmax(logits: [f32; 3], temperature: f64) -> [f64; 3] {
    let top = logits.iter().copied().fold(f32::MIN, f32::max);
    let powers = logits.map(|logit| (f64::from(logit - top) / temperature).exp());
    let sum: f64 = powers.iter().sum();
    powers.map(|power| power / sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(tokens: &[usize]) -> Encoded {
        let windows = tokens.iter().map(|&tokens| Window { ids: Vec::new(), tokens }).collect();
        Encoded { windows, truncated: false }
    }

    #[test]
    fn softmax_sums_to_one_and_a_higher_temperature_flattens() {
        let sharp = softmax([1.0, 2.0, 4.0], 1.0);
        let flat = softmax([1.0, 2.0, 4.0], 3.0);
        assert!((sharp.iter().sum::<f64>() - 1.0).abs() < 1e-12);
        assert!(flat[2] < sharp[2] && flat[0] > sharp[0]);
        assert!(softmax([1000.0, -1000.0, 0.0], 1.0).iter().all(|p| p.is_finite()));
    }

    #[test]
    fn windows_weigh_by_their_tokens() {
        let sure = [[40.0, 0.0, 0.0], [0.0, 0.0, 40.0]];
        let pooled = pool(&encoded(&[30, 10]), &sure, 1.0);
        assert!((pooled.probabilities.negative - 0.75).abs() < 1e-9);
        assert!((pooled.score + 0.5).abs() < 1e-9);
    }

    #[test]
    fn a_text_without_tokens_gets_a_uniform_triple() {
        let pooled = pool(&encoded(&[]), &[], 1.0);
        assert!((pooled.probabilities.neutral - 1.0 / 3.0).abs() < 1e-12);
        assert!(pooled.score.abs() < 1e-12);
    }
}
