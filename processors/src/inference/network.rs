//! The network as a chain of ONNX segments, each with an exit.
//!
//! ```text
//! ids ─▶ segment 0 ──hidden──▶ segment 1 ──hidden──▶ segment 2
//!           │ sure enough?        │ sure enough?        │
//!           ▼                     ▼                     ▼
//!         answer                answer                answer
//! ```
//!
//! A segment whose most probable class has at least its `exit_at` answers, and the later ones do not run: most posts are easy
//! (BranchyNet, Teerapittayanon et al. 2016; DeeBERT, Xin et al. 2020). `models/sentiment/README.md` says how the thresholds were fitted.

use std::collections::BTreeMap;

use ort::environment::Environment;
use ort::session::{Session, SessionInputs};
use ort::value::TensorRef;

use super::ModelError;
use super::manifest::SegmentManifest;
use super::mood::{MoodHead, Places};
use super::runtime::{self, failed};

/// One part of the network, loaded.
pub(super) struct Segment {
    session: Session,
    temperature: f64,
    temperatures: BTreeMap<String, f64>,
    class_weights: [f64; 3],
    exit_at: Option<f64>,
}

impl Segment {
    /// Loads a segment on the calling thread; without `early_exit` it never answers unless it is the last.
    pub(super) fn open(
        environment: &Environment,
        model: &[u8],
        manifest: &SegmentManifest,
        class_weights: [f64; 3],
        early_exit: bool,
    ) -> Result<Self, ModelError> {
        Ok(Self {
            session: runtime::open_session(environment, model)?,
            temperature: manifest.temperature,
            temperatures: manifest.temperatures.clone(),
            class_weights,
            exit_at: manifest.exit_at.filter(|_| early_exit),
        })
    }

    /// Whether this exit answers. That does not depend on the language, so that its temperature changes no label.
    fn sure(&self, logits: [f32; 3]) -> bool {
        self.exit_at
            .is_some_and(|least| softmax(logits, self.temperature, self.class_weights).iter().any(|p| *p >= least))
    }

    fn answer(&self, logits: [f32; 3], language: Option<&str>) -> [f64; 3] {
        let own = language.and_then(|language| self.temperatures.get(language));
        softmax(logits, own.copied().unwrap_or(self.temperature), self.class_weights)
    }
}

/// All segments of one worker, in order; not empty.
pub(super) struct Network {
    segments: Vec<Segment>,
    mood: Option<MoodHead>,
}

impl Network {
    /// A chain of segments, and a head on the last but one.
    pub(super) fn new(segments: Vec<Segment>, mood: Option<MoodHead>) -> Self {
        Self { segments, mood }
    }

    /// Probabilities of the three classes for one window of a text of that language, token ids with the special ones, and those for each
    /// target; none without a head. Targets let the window run to the head, and change nothing of its own answer.
    pub(super) fn run(
        &mut self,
        ids: &[i32],
        language: Option<&str>,
        targets: &[Places],
    ) -> Result<([f64; 3], Vec<[f64; 3]>), ModelError> {
        let mut mood = self.mood.as_mut().filter(|_| !targets.is_empty());
        let (mut answer, mut moods) = (None, Vec::new());
        let ids = TensorRef::from_array_view(([1, ids.len()], ids)).map_err(failed)?;
        let mut inputs: SessionInputs<'_, '_> = ort::inputs!["ids" => ids].into();
        let last = self.segments.len().saturating_sub(1);
        for (number, segment) in self.segments.iter_mut().enumerate() {
            let mut outputs = segment.session.run(inputs).map_err(failed)?;
            let logits = outputs.get("logits").ok_or_else(|| failed("the graph has no output named logits"))?;
            let (shape, values) = logits.try_extract_tensor::<f32>().map_err(failed)?;
            let triple = match values {
                [negative, neutral, positive] if values.iter().all(|value| value.is_finite()) => {
                    [*negative, *neutral, *positive]
                }
                _ => {
                    return Err(failed(format!("logits {values:?} of shape {shape:?}, expected three finite numbers")));
                }
            };
            let hidden = outputs.remove("hidden");
            drop(outputs);
            if answer.is_none() && (number == last || segment.sure(triple)) {
                answer = Some(segment.answer(triple, language));
            }
            if let Some(answer) = answer.filter(|_| mood.is_none()) {
                return Ok((answer, moods));
            }
            let hidden = hidden.ok_or_else(|| failed("the graph has no output named hidden"))?;
            if let Some(head) = mood.take_if(|_| number + 1 == last) {
                let temperature = head.temperature;
                let of = |logits: [f32; 3]| softmax(logits, temperature, [1.0; 3]);
                moods = head.run(&hidden, triple, targets)?.into_iter().map(of).collect();
                if let Some(answer) = answer {
                    return Ok((answer, moods));
                }
            }
            inputs = ort::inputs!["hidden_in" => hidden].into();
        }
        Err(failed("the model has no segment"))
    }
}

/// `exp(x / t) * weight` normalised to sum 1 (temperature scaling, Guo et al. 2017).
fn softmax(logits: [f32; 3], temperature: f64, weights: [f64; 3]) -> [f64; 3] {
    let top = logits.iter().copied().fold(f32::MIN, f32::max);
    let mut powers = logits.map(|logit| (f64::from(logit - top) / temperature).exp());
    powers.iter_mut().zip(weights).for_each(|(power, weight)| *power *= weight);
    let sum: f64 = powers.iter().sum();
    powers.map(|power| power / sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn softmax_sums_to_one_and_a_higher_temperature_flattens() {
        let sharp = softmax([1.0, 2.0, 4.0], 1.0, [1.0; 3]);
        let flat = softmax([1.0, 2.0, 4.0], 3.0, [1.0; 3]);
        assert!((sharp.iter().sum::<f64>() - 1.0).abs() < 1e-12);
        assert!(flat[2] < sharp[2] && flat[0] > sharp[0]);
        assert!(softmax([1000.0, -1000.0, 0.0], 1.0, [1.0; 3]).iter().all(|p| p.is_finite()));
    }

    #[test]
    fn a_class_of_twice_the_weight_has_twice_the_odds() {
        let plain = softmax([1.0, 2.0, 1.5], 1.0, [1.0; 3]);
        let weighted = softmax([1.0, 2.0, 1.5], 1.0, [1.0, 2.0, 1.0]);
        assert!((weighted[1] / weighted[0] - 2.0 * plain[1] / plain[0]).abs() < 1e-12);
        assert!((weighted.iter().sum::<f64>() - 1.0).abs() < 1e-12);
    }
}
