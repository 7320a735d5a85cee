//! The committed model through ONNX Runtime. Needs libonnxruntime, which `./dev test` provides (or `ORT_DYLIB_PATH`).

use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use vigie_processors::inference::{Label, ModelError, ModelManifest, ModelOptions, Passage, Scorer, SentimentModel};
use vigie_processors::text::spam;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/sentiment")
}

fn model(threads: usize) -> SentimentModel {
    loaded(ModelOptions { threads, ..ModelOptions::default() })
}

fn loaded(options: ModelOptions) -> SentimentModel {
    SentimentModel::load_with(&folder(), &options).expect("the committed model loads")
}

/// A copy of the model folder with one file changed.
fn damaged(file: &str, change: impl FnOnce(&mut Vec<u8>)) -> tempfile::TempDir {
    let copy = tempfile::tempdir().expect("a temporary folder");
    let manifest = ModelManifest::read(&folder()).expect("the committed model has a manifest");
    let segments = manifest.segments.iter().map(|segment| segment.file.as_str());
    let mood = manifest.mood.iter().map(|mood| mood.file.as_str());
    let spam = manifest.spam.iter().map(|spam| spam.file.as_str());
    let turns = manifest.turns.iter().map(|turns| turns.file.as_str());
    for name in segments.chain(mood).chain(spam).chain(turns).chain(["model.json", "tokenizer.json"]) {
        fs::copy(folder().join(name), copy.path().join(name)).expect("the model folder is complete");
    }
    let mut bytes = fs::read(folder().join(file)).expect("the file is there");
    change(&mut bytes);
    fs::write(copy.path().join(file), bytes).expect("the copy is writable");
    copy
}

#[derive(Deserialize)]
struct Golden {
    text: String,
    language: Option<String>,
    probabilities: [f64; 3],
}

#[derive(Deserialize)]
struct SpamGolden {
    text: String,
    logit: i32,
}

/// The features are the program's, the logits Python's: weights of other features would not fit.
#[test]
fn spam_is_judged_as_python_measured() {
    let golden: Vec<SpamGolden> =
        serde_json::from_slice(&fs::read(folder().join("../spam/golden.json")).unwrap()).unwrap();
    let model = model(1);
    let weights = model.spam().expect("the committed model has weights");
    for SpamGolden { text, logit } in &golden {
        assert_eq!(weights.logit(&spam::slots(text, None)), *logit, "{text}");
        let judged = spam::judge(text, None, Some(weights));
        assert_eq!(judged.is_spam(), *logit >= 0 || judged.reasons.contains(&"bot"), "{text}: {judged:?}");
        assert_eq!(judged.reasons.contains(&"wording"), *logit >= 0, "{text}: {judged:?}");
    }
    let found = golden.iter().filter(|row| row.logit >= 0).count();
    assert!(found > 0 && found < golden.len(), "{found} of {}", golden.len());
}

#[derive(Deserialize)]
struct MoodGolden {
    text: String,
    targets: Vec<String>,
    probabilities: Vec<[f64; 3]>,
}

#[test]
fn moods_are_those_that_python_measured_and_change_nothing_of_the_whole() {
    let golden: Vec<MoodGolden> =
        serde_json::from_slice(&fs::read(folder().join("mood_golden.json")).unwrap()).unwrap();
    let mut model = model(1);
    for MoodGolden { text, targets, probabilities } in &golden {
        let places = |name: &String| text.match_indices(name.as_str()).map(|(at, name)| at..at + name.len()).collect();
        let places: Vec<Vec<_>> = targets.iter().map(places).collect();
        let passages = [Passage { targets: &places, ..text.as_str().into() }];
        let reading = model.read(&passages).unwrap().remove(0);
        assert_eq!(reading.whole, model.score(&[text.as_str()]).unwrap()[0], "{text}");
        assert_eq!(reading.targets.len(), targets.len());
        for (mood, want) in reading.targets.iter().zip(probabilities) {
            let p = mood.unwrap().probabilities;
            for (got, want) in [p.negative, p.neutral, p.positive].into_iter().zip(want) {
                assert!((got - want).abs() < 0.02, "{text}: {p:?}, expected {want:?}");
            }
        }
    }
    let nowhere = [std::iter::once(70_000..70_003).collect()];
    let reading = model.read(&[Passage { targets: &nowhere, .."short".into() }]).unwrap().remove(0);
    assert_eq!(reading.targets, [None]);
}

#[test]
fn probabilities_are_those_that_python_measured() {
    let golden: Vec<Golden> = serde_json::from_slice(&fs::read(folder().join("golden.json")).unwrap()).unwrap();
    let texts: Vec<Passage<'_>> =
        golden.iter().map(|row| Passage { language: row.language.as_deref(), ..row.text.as_str().into() }).collect();
    // All layers: where a probability is close to a threshold, another processor might leave at another exit.
    let mut model = loaded(ModelOptions { early_exit: false, ..ModelOptions::default() });
    let answers = model.score(&texts).unwrap();
    for (row, answer) in golden.iter().zip(answers) {
        let p = answer.probabilities;
        for (got, want) in [p.negative, p.neutral, p.positive].into_iter().zip(row.probabilities) {
            // Kernels of other processors may round an int8 activation the other way.
            assert!((got - want).abs() < 0.02, "{:?}: {p:?}, expected {:?}", row.text, row.probabilities);
        }
        assert!((p.negative + p.neutral + p.positive - 1.0).abs() < 1e-9);
    }
}

#[test]
fn clear_texts_get_the_label_a_reader_would_give() {
    let cases = [
        (Label::Positive, "I love this project, amazing team and great results!"),
        (Label::Negative, "Terrible scam, they stole everything and I lost all my savings"),
        (Label::Neutral, "The conference takes place in Lisbon on Tuesday."),
    ];
    let answers = model(1).score(&cases.map(|(_, text)| text)).unwrap();
    for ((label, text), answer) in cases.iter().zip(answers) {
        assert_eq!(answer.label, *label, "{text}: {answer:?}");
    }
}

/// Good news in bad words, bad news in good ones, what only looks like them, and litotes. Without a language the words say nothing.
#[test]
fn what_turns_the_tone_around_is_read() {
    let cases = [
        (Label::Positive, "en", "Judge dismisses lawsuit against Uniswap Labs"),
        (Label::Positive, "en", "Net losses shrink for the third quarter in a row"),
        (Label::Positive, "en", "300 million in shorts wiped out in an hour"),
        (Label::Negative, "en", "Profits shrink at Coinbase"),
        (Label::Negative, "en", "Spot ETF approval denied"),
        (Label::Negative, "en", "Lawsuit against Ripple continues"),
        (Label::Positive, "fr", "La SEC abandonne les poursuites contre Coinbase"),
        (Label::Positive, "fr", "Plainte classée sans suite contre l’éditeur du portefeuille"),
        (Label::Positive, "fr", "Rien à redire sur le service"),
        (Label::Negative, "fr", "Le rebond s'essouffle"),
        (Label::Negative, "fr", "Netflix perd 15 % après ses résultats"),
        (Label::Negative, "fr", "Les pertes se creusent"),
    ];
    let mut model = model(1);
    let passages = cases.map(|(_, language, text)| Passage { language: Some(language), ..text.into() });
    let answers = model.score(&passages).unwrap();
    for ((label, _, text), answer) in cases.iter().zip(&answers) {
        assert_eq!(answer.label, *label, "{text}: {answer:?}");
    }
    let unread = model.score(&cases.map(|(_, _, text)| text)).unwrap();
    let wrong = cases.iter().zip(unread).filter(|((label, ..), answer)| answer.label != *label).count();
    assert!(wrong > cases.len() / 3, "{wrong}");
}

#[test]
fn a_weight_of_neutral_makes_doubtful_texts_neutral() {
    let copy = damaged("model.json", |bytes| {
        let card = String::from_utf8(bytes.clone()).unwrap();
        *bytes = card.replace(r#""max_tokens""#, r#""class_weights": [1, 100, 1], "max_tokens""#).into_bytes();
    });
    let text = ["Terrible scam, they stole everything and I lost all my savings"];
    let plain = model(1).score(&text).unwrap()[0].probabilities.neutral;
    let weighted = SentimentModel::load(copy.path()).unwrap().score(&text).unwrap()[0].probabilities.neutral;
    assert!(weighted > 2.0 * plain, "{plain}, with weight {weighted}");
}

#[test]
fn an_early_exit_answers_as_all_layers_do_where_the_text_is_clear() {
    let texts =
        ["I love this project, amazing team and great results!", "The conference takes place in Lisbon on Tuesday."];
    let early = model(1).score(&texts).unwrap();
    let late = loaded(ModelOptions { early_exit: false, ..ModelOptions::default() }).score(&texts).unwrap();
    for (early, late) in early.iter().zip(&late) {
        assert_eq!(early.label, late.label);
        assert_ne!(early.probabilities, late.probabilities, "the text was read by all layers, so no exit was tested");
    }
}

#[test]
fn a_language_changes_how_sure_the_model_is_and_never_the_label() {
    let texts = ["Je garde mes ETH, ça va encore monter !", "C'est la catastrophe pour BTC.", "La réunion est mardi."];
    let plain = model(1).score(&texts).unwrap();
    let french = model(1).score(&texts.map(|text| Passage { language: Some("fr"), ..text.into() })).unwrap();
    let without_its_own = model(1).score(&texts.map(|text| Passage { language: Some("de"), ..text.into() })).unwrap();
    assert_eq!(plain, without_its_own);
    for (plain, french) in plain.iter().zip(&french) {
        assert_eq!(plain.label, french.label);
        assert!(french.score.abs() < plain.score.abs() || plain.label == Label::Neutral, "{plain:?}, {french:?}");
        assert_ne!(plain.probabilities, french.probabilities);
    }
}

#[test]
fn an_answer_depends_on_its_text_alone_whatever_the_batch_and_the_threads() {
    let long = "the price fell and then it rose again, nobody knows why. ".repeat(60);
    let texts = ["gm", "rekt again, this is terrible", long.as_str(), "", "WAGMI \u{1F680}", "what is the gas price?"];
    let mut one = model(1);
    let alone: Vec<_> = texts.iter().map(|text| one.score(&[*text]).unwrap()[0]).collect();
    assert_eq!(one.score(&texts).unwrap(), alone);
    assert_eq!(model(3).score(&texts).unwrap(), alone);
}

#[test]
fn a_text_of_a_megabyte_is_answered_and_flagged() {
    let huge = "good news everyone, ".repeat(1024 * 1024 / 20);
    let answer = model(1).score(&[huge.as_str()]).unwrap()[0];
    assert!(answer.truncated);
    assert_eq!(answer.label, Label::Positive);
}

#[test]
fn a_damaged_file_is_refused_by_name() {
    for file in ["segment0.onnx", "segment2.onnx", "mood.onnx", "spam.bin", "turns.words", "tokenizer.json"] {
        let copy = damaged(file, |bytes| {
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
        });
        let Err(error) = SentimentModel::load(copy.path()) else { panic!("a damaged {file} was accepted") };
        assert!(matches!(&error, ModelError::Digest { path, .. } if path.ends_with(file)), "{error}");
    }
}

#[test]
fn a_file_that_is_no_model_is_refused_even_with_the_right_digest() {
    use sha2::{Digest, Sha256};
    let copy = damaged("segment1.onnx", |bytes| *bytes = b"no model".to_vec());
    let digest: String = Sha256::digest(b"no model").iter().map(|byte| format!("{byte:02x}")).collect();
    let manifest = fs::read_to_string(copy.path().join("model.json")).unwrap();
    let mut manifest: serde_json::Value = serde_json::from_str(&manifest).unwrap();
    manifest["segments"][1]["sha256"] = digest.into();
    fs::write(copy.path().join("model.json"), manifest.to_string()).unwrap();
    let Err(error) = SentimentModel::load(copy.path()) else { panic!("a file that is no model was accepted") };
    assert!(matches!(error, ModelError::Runtime { action: "load the model", .. }), "{error}");
    assert!(!error.retry());
}

#[test]
fn a_missing_folder_is_named() {
    let Err(error) = SentimentModel::load(Path::new("/nowhere/at/all")) else { panic!("loaded from nowhere") };
    assert_eq!(error.to_string(), "cannot read model file /nowhere/at/all/model.json");
}
