//! The mood towards each of several targets of a text, by a small head on the encoder's states.
//!
//! ```text
//! states of the last segment but one [1, tokens, 384] ─┐
//! its logits [1, 3] ───────────────────────────────────┼▶ mood.onnx ─▶ logits [targets, 3]
//! places [targets, tokens] ────────────────────────────┘
//! ```
//!
//! A *place* says where a token stands as seen from a target: `reach` for its own tokens, less ahead of the nearest of them and more behind, by
//! one a token, from 0 to `2 * reach`; `2 * reach + 1` more for tokens of other targets. `models/sentiment/mood_network.py` has the same.

use std::ops::Range;

use ort::environment::Environment;
use ort::session::Session;
use ort::value::{DynValue, TensorRef};

use super::ModelError;
use super::manifest::MoodManifest;
use super::runtime::{self, failed};

/// The places of the tokens of a window as seen from one target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Places {
    /// Which target.
    pub(super) target: usize,
    /// How many tokens are its own: its weight in a mean over windows.
    pub(super) own: usize,
    /// One for each token, the special ones included.
    pub(super) tokens: Vec<i32>,
}

/// Of each target that has a token at the byte `offsets` of a window's tokens.
pub(super) fn places(offsets: &[(usize, usize)], targets: &[Vec<Range<usize>>], reach: u16) -> Vec<Places> {
    let holds = |target: &[Range<usize>], (start, end): (usize, usize)| {
        target.iter().any(|place| start < place.end && place.start < end)
    };
    let inner = |target: &[Range<usize>]| offsets.iter().map(|token| holds(target, *token)).collect::<Vec<bool>>();
    let marked: Vec<Vec<bool>> =
        targets.iter().map(|target| [vec![false], inner(target), vec![false]].concat()).collect();
    let reach = i32::from(reach);
    let place = |own: &[bool], at: usize| {
        let away = |i: usize| at as i32 - i as i32;
        let nearest = (0..own.len()).filter(|i| own[*i]).map(away).min_by_key(|away| away.abs()).unwrap_or_default();
        let other = !own[at] && marked.iter().any(|target| target[at]);
        nearest.clamp(-reach, reach) + reach + if other { 2 * reach + 1 } else { 0 }
    };
    let own = |marks: &[bool]| marks.iter().filter(|mark| **mark).count();
    marked
        .iter()
        .enumerate()
        .filter(|(_, marks)| marks.contains(&true))
        .map(|(target, marks)| {
            let tokens = (0..marks.len()).map(|at| place(marks, at)).collect();
            Places { target, own: own(marks), tokens }
        })
        .collect()
}

/// The head, loaded.
pub(super) struct MoodHead {
    session: Session,
    /// Its logits are to be divided by it before the softmax.
    pub(super) temperature: f64,
}

impl MoodHead {
    /// Loads it on the calling thread.
    pub(super) fn open(environment: &Environment, model: &[u8], manifest: &MoodManifest) -> Result<Self, ModelError> {
        Ok(Self { session: runtime::open_session(environment, model)?, temperature: manifest.temperature })
    }

    /// Logits of the three classes for each target, of the states and logits of a window.
    pub(super) fn run(
        &mut self,
        states: &DynValue,
        logits: [f32; 3],
        targets: &[Places],
    ) -> Result<Vec<[f32; 3]>, ModelError> {
        let tokens: Vec<i32> = targets.iter().flat_map(|target| target.tokens.iter().copied()).collect();
        let shape = [targets.len(), tokens.len() / targets.len().max(1)];
        let places = TensorRef::from_array_view((shape, tokens.as_slice())).map_err(failed)?;
        let logits = TensorRef::from_array_view(([1, 3], logits.as_slice())).map_err(failed)?;
        let inputs = ort::inputs!["hidden" => states, "exit_logits" => logits, "places" => places];
        let outputs = self.session.run(inputs).map_err(failed)?;
        let answers = outputs.get("logits").ok_or_else(|| failed("the mood head has no output named logits"))?;
        let (shape, values) = answers.try_extract_tensor::<f32>().map_err(failed)?;
        let (triples, rest) = values.as_chunks::<3>();
        if triples.len() != targets.len() || !rest.is_empty() || values.iter().any(|value| !value.is_finite()) {
            return Err(failed(format!(
                "moods of shape {shape:?}, expected {} times three finite numbers",
                targets.len()
            )));
        }
        Ok(triples.to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_distances_from_the_nearest_token_of_the_target() {
        // CLS, sold, my, SOL, for, BTC, SEP
        let offsets = [(0, 4), (5, 7), (8, 11), (12, 15), (16, 19)];
        let targets = [8..11, 16..19, 40..43].map(|place| vec![place]);
        let found = places(&offsets, &targets, 2);
        let sol = Places { target: 0, own: 1, tokens: vec![0, 0, 1, 2, 3, 4 + 5, 4] };
        let btc = Places { target: 1, own: 1, tokens: vec![0, 0, 0, 5, 1, 2, 3] };
        assert_eq!(found, [sol, btc], "a target that is not in the window has none");
    }

    #[test]
    fn a_target_that_occurs_twice_is_near_both() {
        let found = places(&[(0, 1), (1, 2), (2, 3), (3, 4)], &[vec![0..1, 3..4]], 9);
        assert_eq!(found[0].tokens, [8, 9, 10, 8, 9, 10]);
        assert_eq!(found[0].own, 2);
    }
}
