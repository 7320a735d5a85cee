//! `model.json`: what a model folder says about itself, and the check that its files are the ones it means.

use std::fs;
use std::path::Path;

use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::{Label, ModelError, ModelInfo};

/// The contents of `model.json`. Unknown fields (metrics, notes) are ignored.
#[derive(Clone, Debug, Deserialize)]
pub struct ModelManifest {
    /// Name of the model.
    pub name: String,
    /// Version of the model.
    pub version: String,
    /// Hex SHA-256 of `model.onnx`.
    pub sha256: String,
    /// Hex SHA-256 of `tokenizer.json`.
    pub tokenizer_sha256: String,
    /// Meaning of the three logits; must be negative, neutral, positive.
    pub labels: Vec<Label>,
    /// ISO 639-1 code of the language the model knows.
    pub language: String,
    /// Most tokens of one run, the two special ones included.
    pub max_tokens: usize,
    /// Softmax temperature: logits are divided by it.
    pub temperature: f64,
}

impl ModelManifest {
    /// Reads and checks `dir/model.json`.
    pub fn read(dir: &Path) -> Result<Self, ModelError> {
        let path = dir.join("model.json");
        let bytes = read_file(&path)?;
        let malformed = |detail: String| ModelError::Malformed { path: path.clone(), detail };
        let manifest: Self = serde_json::from_slice(&bytes).map_err(|error| malformed(error.to_string()))?;
        if manifest.labels != Label::ALL {
            return Err(malformed(format!("labels are {:?}, expected {:?}", manifest.labels, Label::ALL)));
        }
        if !(8..=4096).contains(&manifest.max_tokens) {
            return Err(malformed(format!("max_tokens is {}, expected 8 to 4096", manifest.max_tokens)));
        }
        if !(0.01..=100.0).contains(&manifest.temperature) {
            return Err(malformed(format!("temperature is {}, expected 0.01 to 100", manifest.temperature)));
        }
        Ok(manifest)
    }

    /// The lineage part.
    pub fn info(&self) -> ModelInfo {
        ModelInfo {
            name: self.name.clone(),
            version: self.version.clone(),
            sha256: self.sha256.to_ascii_lowercase(),
            language: self.language.clone(),
        }
    }
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

    const GOOD: &str = r#"{"name":"m","version":"1","sha256":"AB","tokenizer_sha256":"cd","language":"en",
        "labels":["negative","neutral","positive"],"max_tokens":128,"temperature":1.5,"metrics":{"accuracy":0.7}}"#;

    #[test]
    fn a_good_manifest_is_read() {
        let manifest = ModelManifest::read(folder(GOOD).path()).unwrap();
        assert_eq!(manifest.info().sha256, "ab");
        assert_eq!(manifest.max_tokens, 128);
    }

    #[test]
    fn a_manifest_of_other_labels_is_refused() {
        let swapped = GOOD.replace(r#""negative","neutral""#, r#""neutral","negative""#);
        let error = ModelManifest::read(folder(&swapped).path()).unwrap_err();
        assert!(error.to_string().contains("labels are [Neutral, Negative, Positive]"), "{error}");
    }

    #[test]
    fn impossible_numbers_are_refused() {
        for (good, bad) in [("1.5", "0"), ("128", "2")] {
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
