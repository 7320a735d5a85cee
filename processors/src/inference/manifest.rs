//! `model.json`: what a model folder says about itself, and the check that its files are the ones it means.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::turns::{FEATURES, Weights};
use super::{Label, ModelError, ModelInfo};

/// The contents of `model.json`. Unknown fields (metrics, notes) are ignored.
#[derive(Clone, Debug, Deserialize)]
pub struct ModelManifest {
    /// Name of the model.
    pub name: String,
    /// Version of the model.
    pub version: String,
    /// Hex SHA-256 of `model.json` itself, which states those of all other files: the content hash of the whole model.
    #[serde(skip)]
    pub sha256: String,
    /// Hex SHA-256 of `tokenizer.json`.
    pub tokenizer_sha256: String,
    /// Meaning of the three logits; must be negative, neutral, positive.
    pub labels: Vec<Label>,
    /// ISO 639-1 codes of the languages that the model knows.
    pub languages: Vec<String>,
    /// Most tokens of one run, the two special ones included.
    pub max_tokens: usize,
    /// Probabilities of negative, neutral and positive are multiplied by these and normalised again: for posts in which the classes
    /// are not as frequent as in the training texts.
    #[serde(default = "equal_weights")]
    pub class_weights: [f64; 3],
    /// The parts of the network, in order.
    pub segments: Vec<SegmentManifest>,
    /// The head for the mood towards each target, if the model has one.
    #[serde(default)]
    pub mood: Option<MoodManifest>,
    /// The weights by which spam is recognised, if the model has any.
    #[serde(default)]
    pub spam: Option<SpamManifest>,
    /// The words that turn the tone of others around, if the model has any.
    #[serde(default)]
    pub turns: Option<TurnsManifest>,
}

fn equal_weights() -> [f64; 3] {
    [1.0; 3]
}

/// One part of the network.
#[derive(Clone, Debug, Deserialize)]
pub struct SegmentManifest {
    /// Name of the ONNX file in the model folder.
    pub file: String,
    /// Hex SHA-256 of the file.
    pub sha256: String,
    /// Softmax temperature of this exit: logits are divided by it.
    pub temperature: f64,
    /// Temperatures of the languages (ISO 639-1) that need another one.
    #[serde(default)]
    pub temperatures: BTreeMap<String, f64>,
    /// Least probability of the top class, by `temperature`, at which this exit answers; none for the last, which always does.
    #[serde(default)]
    pub exit_at: Option<f64>,
}

/// A head on the states of the last segment but one.
#[derive(Clone, Debug, Deserialize)]
pub struct MoodManifest {
    /// Name of the ONNX file in the model folder.
    pub file: String,
    /// Hex SHA-256 of the file.
    pub sha256: String,
    /// Softmax temperature: logits are divided by it.
    pub temperature: f64,
    /// Distances from a target are distinguished up to this many tokens.
    pub reach: u16,
}

/// Weights for features of the text itself ([`super::SpamWeights`]).
#[derive(Clone, Debug, Deserialize)]
pub struct SpamManifest {
    /// Name of the file in the model folder.
    pub file: String,
    /// Hex SHA-256 of the file.
    pub sha256: String,
}

/// Words that turn the tone of others around, and what they add to the logits.
#[derive(Clone, Debug, Deserialize)]
pub struct TurnsManifest {
    /// Name of the file in the model folder.
    pub file: String,
    /// Hex SHA-256 of the file.
    pub sha256: String,
    /// By language (ISO 639-1) and feature: logits of negative, neutral and positive.
    pub weights: BTreeMap<String, Weights>,
}

impl ModelManifest {
    /// Reads and checks `dir/model.json`.
    pub fn read(dir: &Path) -> Result<Self, ModelError> {
        let path = dir.join("model.json");
        let bytes = read_file(&path)?;
        let malformed = |detail: String| ModelError::Malformed { path: path.clone(), detail };
        let mut manifest: Self = serde_json::from_slice(&bytes).map_err(|error| malformed(error.to_string()))?;
        manifest.sha256 = hex(&Sha256::digest(&bytes));
        manifest.check().map_err(malformed)?;
        Ok(manifest)
    }

    fn check(&self) -> Result<(), String> {
        if self.labels != Label::ALL {
            return Err(format!("labels are {:?}, expected {:?}", self.labels, Label::ALL));
        }
        if !(8..=4096).contains(&self.max_tokens) {
            return Err(format!("max_tokens is {}, expected 8 to 4096", self.max_tokens));
        }
        if let Some(weight) = self.class_weights.iter().find(|weight| !(0.01..=100.0).contains(*weight)) {
            return Err(format!("class_weights has {weight}, expected 0.01 to 100"));
        }
        let Some((last, earlier)) = self.segments.split_last() else {
            return Err("there is no segment, expected at least one".to_owned());
        };
        if let Some(exit_at) = last.exit_at {
            return Err(format!("exit_at of the last segment is {exit_at}, expected none"));
        }
        if let Some(open) = earlier.iter().find(|segment| segment.exit_at.is_none()) {
            return Err(format!("segment {} has no exit_at, expected one as it is not the last", open.file));
        }
        let mood = self.mood.as_ref().filter(|_| !earlier.is_empty());
        if mood.is_none() && self.mood.is_some() {
            return Err("there is a mood head on one segment, expected at least two".to_owned());
        }
        let networks = self.segments.iter().map(|segment| (&segment.file, segment.temperature));
        let networks = networks.chain(mood.map(|mood| (&mood.file, mood.temperature)));
        let files = networks.clone().map(|(file, _)| file).chain(self.spam.iter().map(|spam| &spam.file));
        let files = files.chain(self.turns.iter().map(|turns| &turns.file));
        if let Some(path) = files.into_iter().find(|file| file.contains(['/', '\\'])) {
            return Err(format!("file {path} is a path, expected a name"));
        }
        networks.into_iter().try_for_each(|(file, temperature)| check_temperature(file, temperature))?;
        for SegmentManifest { file, temperatures, .. } in &self.segments {
            temperatures.values().try_for_each(|temperature| check_temperature(file, *temperature))?;
            if let Some(other) = temperatures.keys().find(|language| !self.languages.contains(language)) {
                return Err(format!(
                    "{file} has a temperature for language {other}, expected one of {:?}",
                    self.languages
                ));
            }
        }
        let weights = self.turns.iter().flat_map(|turns| turns.weights.values().flatten());
        for (feature, weights) in weights {
            if !FEATURES.contains(&feature.as_str()) || weights.iter().any(|weight| weight.abs() > 10.0) {
                return Err(format!("turns has {feature} {weights:?}, expected -10 to 10 for one of {FEATURES:?}"));
            }
        }
        Ok(())
    }

    /// The lineage part.
    pub fn info(&self) -> ModelInfo {
        ModelInfo {
            name: self.name.clone(),
            version: self.version.clone(),
            sha256: self.sha256.clone(),
            languages: self.languages.clone(),
        }
    }
}

fn check_temperature(file: &str, temperature: f64) -> Result<(), String> {
    if (0.01..=100.0).contains(&temperature) {
        return Ok(());
    }
    Err(format!("temperature of {file} is {temperature}, expected 0.01 to 100"))
}

/// The bytes of a file whose SHA-256 is `expected` (hex).
pub(super) fn read_verified(path: &Path, expected: &str) -> Result<Vec<u8>, ModelError> {
    let bytes = read_file(path)?;
    verify(path, &bytes, expected)?;
    Ok(bytes)
}

/// The bytes of a file of a model folder.
pub(crate) fn read_file(path: &Path) -> Result<Vec<u8>, ModelError> {
    fs::read(path).map_err(|source| ModelError::Read { path: path.to_owned(), source })
}

/// Whether `bytes` have the SHA-256 `expected` (hex); `path` is for the message.
pub(crate) fn verify(path: &Path, bytes: &[u8], expected: &str) -> Result<(), ModelError> {
    let found = hex(&Sha256::digest(bytes));
    if found.eq_ignore_ascii_case(expected) {
        return Ok(());
    }
    Err(ModelError::Digest { path: path.to_owned(), found, expected: expected.to_ascii_lowercase() })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(manifest: &str) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("model.json"), manifest).unwrap();
        dir
    }

    const GOOD: &str = r#"{"name":"m","version":"1","tokenizer_sha256":"cd","languages":["en"],"max_tokens":128,
        "labels":["negative","neutral","positive"],"segments":[
            {"file":"a.onnx","sha256":"AB","temperature":1.5,"temperatures":{"en":1.7},"exit_at":0.9},{"file":"b.onnx","sha256":"CD","temperature":1.2}
        ],"mood":{"file":"m.onnx","sha256":"EF","temperature":1.1,"reach":24},"spam":{"file":"s.bin","sha256":"01"},
        "turns":{"file":"t.words","sha256":"02","weights":{"en":{"relief":[-1,0,2.5]}}},"metrics":{"accuracy":0.7}}"#;

    #[test]
    fn a_good_manifest_is_read() {
        let manifest = ModelManifest::read(folder(GOOD).path()).unwrap();
        assert_eq!(manifest.max_tokens, 128);
        assert_eq!(manifest.segments[1].exit_at, None);
    }

    #[test]
    fn the_content_hash_changes_with_every_setting() {
        let hash = |text: &str| ModelManifest::read(folder(text).path()).unwrap().info().sha256;
        assert_eq!(hash(GOOD).len(), 64);
        assert_ne!(hash(GOOD), hash(&GOOD.replace("0.9", "0.8")));
    }

    #[test]
    fn a_manifest_of_other_labels_is_refused() {
        let swapped = GOOD.replace(r#""negative","neutral""#, r#""neutral","negative""#);
        let error = ModelManifest::read(folder(&swapped).path()).unwrap_err();
        assert!(error.to_string().contains("labels are [Neutral, Negative, Positive]"), "{error}");
    }

    #[test]
    fn impossible_settings_are_refused() {
        let settings = [
            ("1.5", "0"),
            ("1.7", "0"),
            (r#"{"en":1.7}"#, r#"{"de":1.7}"#),
            ("128", "2"),
            ("a.onnx", "../a.onnx"),
            ("m.onnx", "../m.onnx"),
            ("s.bin", "../s.bin"),
            ("t.words", "../t.words"),
            ("relief", "surprise"),
            ("2.5", "25"),
            ("1.1", "0"),
            (r#""max_tokens":128"#, r#""max_tokens":128,"class_weights":[1,0,1]"#),
            (r#","exit_at":0.9"#, ""),
            (r#""temperature":1.2"#, r#""temperature":1.2,"exit_at":0.5"#),
        ];
        for (good, bad) in settings {
            let error = ModelManifest::read(folder(&GOOD.replace(good, bad)).path()).unwrap_err();
            assert!(matches!(error, ModelError::Malformed { .. }), "{error}");
        }
    }

    #[test]
    fn a_changed_file_is_refused_with_both_digests() {
        let dir = folder("hello");
        let path = dir.path().join("model.json");
        let right = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";
        assert_eq!(read_verified(&path, right).unwrap(), b"hello");
        fs::write(&path, "hullo").unwrap();
        let error = read_verified(&path, right).unwrap_err();
        assert!(matches!(&error, ModelError::Digest { expected, .. } if expected == right), "{error}");
    }
}
