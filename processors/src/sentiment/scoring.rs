//! Scoring a batch so that one bad text stops neither its companions nor the partition.

use std::panic::{AssertUnwindSafe, catch_unwind};

use tracing::warn;

use crate::inference::ModelError;
use crate::text::analysis::{Analyser, Analysis, Subject};

/// A text that every working model can score.
const PROBE: &str = "bitcoin is up today and people are happy about it";

/// One answer per text. If the batch fails, each text is tried alone; the error of one is its own.
///
/// # Errors
/// If the model fails on a harmless text too: then the model is broken, not the text.
pub(crate) fn score_batch(
    analyser: &mut Analyser,
    texts: &[Subject<'_>],
) -> Result<Vec<Result<Analysis, ModelError>>, ModelError> {
    let whole = match analyse(analyser, texts) {
        Ok(answers) => return Ok(answers.into_iter().map(Ok).collect()),
        Err(error) => error,
    };
    warn!(error = %whole, texts = texts.len(), "batch failed, scoring its texts one by one");
    let answers: Vec<_> = texts.iter().map(|text| alone(analyser, *text)).collect();
    if answers.iter().any(Result::is_err) {
        alone(analyser, PROBE.into())?;
    }
    Ok(answers)
}

fn alone(analyser: &mut Analyser, text: Subject<'_>) -> Result<Analysis, ModelError> {
    let answer = analyse(analyser, &[text])?.pop();
    answer.ok_or(ModelError::Runtime { action: "run the model", detail: "no answer for a text".to_owned() })
}

/// A panic in a library on some odd text is an error of that text: the process would only meet it again after a restart.
fn analyse(analyser: &mut Analyser, texts: &[Subject<'_>]) -> Result<Vec<Analysis>, ModelError> {
    let caught = catch_unwind(AssertUnwindSafe(|| analyser.analyse(texts)));
    caught.unwrap_or_else(|_| {
        Err(ModelError::Runtime { action: "run the model", detail: "the text analysis panicked".to_owned() })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::assets::{AssetMatcher, AssetTable};
    use crate::inference::{ModelInfo, Passage, Probabilities, Scorer, Sentiment};

    /// Fails on every batch with a text that contains the word.
    struct Allergic {
        word: &'static str,
        info: ModelInfo,
    }

    impl Scorer for Allergic {
        fn info(&self) -> &ModelInfo {
            &self.info
        }

        fn score(&mut self, passages: &[Passage<'_>]) -> Result<Vec<Sentiment>, ModelError> {
            assert!(!passages.iter().any(|passage| passage.text.contains("panic")), "a text made the library panic");
            if passages.iter().any(|passage| passage.text.contains(self.word)) {
                return Err(ModelError::Runtime { action: "run the model", detail: "sneeze".into() });
            }
            let even = Probabilities { negative: 0.2, neutral: 0.6, positive: 0.2 };
            Ok(passages.iter().map(|_| Sentiment::from_probabilities(even, false)).collect())
        }
    }

    fn analyser(word: &'static str) -> Analyser {
        let info = ModelInfo {
            name: "allergic".into(),
            version: "1".into(),
            sha256: "00".into(),
            languages: vec!["en".into()],
        };
        let matcher = AssetMatcher::new(AssetTable::bundled().unwrap()).unwrap();
        Analyser::new(Box::new(Allergic { word, info }), matcher)
    }

    const TEXTS: [&str; 3] = [
        "the market is open and the price of it is the same as before",
        "there is a lot of pollen in the air and this is not good for me",
        "what do you think about the price of this coin in the next year",
    ];

    #[test]
    fn a_text_that_the_model_cannot_take_fails_alone() {
        let answers = score_batch(&mut analyser("pollen"), &TEXTS.map(Subject::from)).unwrap();
        assert_eq!(answers.iter().map(Result::is_ok).collect::<Vec<_>>(), [true, false, true]);
    }

    #[test]
    fn a_text_that_makes_a_library_panic_fails_alone() {
        let texts = [TEXTS[0], "there is some panic in the market and this is not what we want", TEXTS[2]];
        let answers = score_batch(&mut analyser("pollen"), &texts.map(Subject::from)).unwrap();
        assert_eq!(answers.iter().map(Result::is_ok).collect::<Vec<_>>(), [true, false, true]);
    }

    #[test]
    fn a_broken_model_stops_the_task_instead_of_filling_the_dead_letters() {
        let error = score_batch(&mut analyser(""), &TEXTS.map(Subject::from)).unwrap_err();
        assert!(error.to_string().contains("sneeze"));
    }
}
