//! The model: loading, one run for many rows, and from its logarithms to counts.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ort::session::Session;
use ort::value::TensorRef;
use parking_lot::Mutex;
use serde::Deserialize;
use vigie_schemas::Forecast;

use super::features::{FEATURES, Features};
use super::history::HOUR;
use super::{NoForecast, WINDOW_MILLIS};
use crate::inference::{ModelError, environment, find_library, open_session, read_file, verify};

/// The committed model is part of the program: there is no folder to forget in a deployment, and no other version can be meant.
const BUNDLED_MANIFEST: &[u8] = include_bytes!("../../../models/trend/forecast/model.json");
const BUNDLED_MODEL: &[u8] = include_bytes!("../../../models/trend/forecast/model.onnx");

/// Numbers per row of the answer: p10, p50 and p90 of the next window and of the next hour as logarithms, and the logit of the doubling.
const ANSWERS: usize = 7;
const QUANTILES: [f64; 3] = [0.1, 0.5, 0.9];
/// Rows that the kernels of the runtime take together. The rest of a division by it would take others, which round otherwise, so a run is filled up
/// with rows of zeros.
const ROWS_TOGETHER: usize = 16;
/// Rows of one run at most.
const MOST_ROWS: usize = 1024;
/// Logarithms beyond this are cut: e^12 times the level is no forecast.
const MOST_LOG: f64 = 12.0;

/// The contents of `model.json`. Unknown fields (metrics, notes) are ignored.
#[derive(Clone, Debug, Deserialize)]
struct Manifest {
    name: String,
    version: String,
    sha256: String,
    features: usize,
    window_seconds: i64,
    quantiles: Vec<f64>,
}

impl Manifest {
    fn parse(path: &Path, bytes: &[u8]) -> Result<Self, ModelError> {
        let malformed = |detail: String| ModelError::Malformed { path: path.to_owned(), detail };
        let manifest: Self = serde_json::from_slice(bytes).map_err(|error| malformed(error.to_string()))?;
        if manifest.features != FEATURES {
            return Err(malformed(format!("features is {}, expected {FEATURES}", manifest.features)));
        }
        if manifest.window_seconds * 1000 != WINDOW_MILLIS {
            let found = manifest.window_seconds;
            return Err(malformed(format!("window_seconds is {found}, expected {}", WINDOW_MILLIS / 1000)));
        }
        if manifest.quantiles != QUANTILES {
            return Err(malformed(format!("quantiles are {:?}, expected {QUANTILES:?}", manifest.quantiles)));
        }
        Ok(manifest)
    }
}

/// Where the forecaster is.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct ForecasterConfig {
    /// Folder with model.onnx and model.json of another forecaster than the bundled one
    #[arg(long = "forecast-model", id = "forecast_model_dir", value_name = "DIR", env = "VIGIE_FORECAST_MODEL")]
    pub dir: Option<PathBuf>,
}

impl ForecasterConfig {
    /// Loads the forecaster that this configuration names. Without an ONNX Runtime there is none, with a warning: counts and anomaly scores do not
    /// need it.
    ///
    /// # Errors
    /// If model or runtime are there but cannot be used.
    pub fn load(&self, library: Option<&Path>) -> Result<Option<SharedForecaster>, ModelError> {
        let loaded = match &self.dir {
            Some(dir) => ForecastModel::load(dir, library),
            None => ForecastModel::bundled(library),
        };
        match loaded {
            Ok(model) => Ok(Some(SharedForecaster::new(model))),
            Err(error @ ModelError::LibraryNotFound { .. }) => {
                tracing::warn!(%error, "no forecasts will be made");
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}

/// A loaded forecaster.
pub struct ForecastModel {
    manifest: Manifest,
    session: Session,
}

impl ForecastModel {
    /// The forecaster that is part of the program.
    ///
    /// # Errors
    /// If there is no usable ONNX Runtime.
    pub fn bundled(library: Option<&Path>) -> Result<Self, ModelError> {
        let dir = Path::new("(bundled)");
        let manifest = Manifest::parse(&dir.join("model.json"), BUNDLED_MANIFEST)?;
        Self::open(manifest, &dir.join("model.onnx"), BUNDLED_MODEL, library)
    }

    /// The forecaster of a folder: `model.json`, then `model.onnx`, whose SHA-256 must be the one that `model.json` states.
    ///
    /// # Errors
    /// If a file is missing, damaged or of another kind of model, or there is no usable ONNX Runtime.
    pub fn load(dir: &Path, library: Option<&Path>) -> Result<Self, ModelError> {
        let path = dir.join("model.json");
        let manifest = Manifest::parse(&path, &read_file(&path)?)?;
        let path = dir.join("model.onnx");
        Self::open(manifest, &path, &read_file(&path)?, library)
    }

    fn open(manifest: Manifest, path: &Path, bytes: &[u8], library: Option<&Path>) -> Result<Self, ModelError> {
        verify(path, bytes, &manifest.sha256)?;
        let session = open_session(&environment(&find_library(library)?)?, bytes)?;
        let mut model = Self { manifest, session };
        // One run proves that the graph has the expected input and output.
        model.run(&[&Features { values: [0.0; FEATURES], level: 1.0 }])?;
        Ok(model)
    }

    /// One forecast per row, in order; each depends on its row alone.
    ///
    /// # Errors
    /// If a run fails or answers what is no number.
    pub fn forecast(&mut self, rows: &[&Features]) -> Result<Vec<Forecast>, ModelError> {
        let mut forecasts = Vec::with_capacity(rows.len());
        for part in rows.chunks(MOST_ROWS) {
            let answers = self.run(part)?;
            forecasts.extend(part.iter().zip(answers).map(|(row, answer)| self.read(row, answer)));
        }
        Ok(forecasts)
    }

    /// `features` of shape [rows, 50] in, `answer` of shape [rows, 7] out.
    fn run(&mut self, rows: &[&Features]) -> Result<Vec<[f64; ANSWERS]>, ModelError> {
        let failed = |detail: String| ModelError::Runtime { action: "run the model", detail };
        let padded = rows.len().next_multiple_of(ROWS_TOGETHER);
        let mut input = vec![0.0_f32; padded * FEATURES];
        for (place, row) in input.chunks_exact_mut(FEATURES).zip(rows) {
            place.copy_from_slice(&row.values);
        }
        let tensor = TensorRef::from_array_view(([padded, FEATURES], input.as_slice()));
        let tensor = tensor.map_err(|error| failed(error.to_string()))?;
        let outputs =
            self.session.run(ort::inputs!["features" => tensor]).map_err(|error| failed(error.to_string()))?;
        let answer = outputs.get("answer").ok_or_else(|| failed("the graph has no output named answer".to_owned()))?;
        let (shape, values) = answer.try_extract_tensor::<f32>().map_err(|error| failed(error.to_string()))?;
        if values.len() != padded * ANSWERS || values.iter().any(|value| !value.is_finite()) {
            return Err(failed(format!(
                "answer of shape {shape:?}, expected {padded} rows of {ANSWERS} finite numbers"
            )));
        }
        let (answers, _) = values.as_chunks::<ANSWERS>();
        Ok(answers[..rows.len()].iter().map(|answer| answer.map(f64::from)).collect())
    }

    fn read(&self, row: &Features, answer: [f64; ANSWERS]) -> Forecast {
        let [w10, w50, w90, h10, h50, h90, logit] = answer;
        let [next_window_p10, next_window_p50, next_window_p90] = counts([w10, w50, w90], row.level);
        let [next_hour_p10, next_hour_p50, next_hour_p90] = counts([h10, h50, h90], row.level * HOUR as f64);
        Forecast {
            next_window_p10,
            next_window_p50,
            next_window_p90,
            next_hour_p10,
            next_hour_p50,
            next_hour_p90,
            doubling_probability: rounded(1.0 / (1.0 + (-logit).exp()), 1e5),
            model_name: self.manifest.name.clone(),
            model_version: self.manifest.version.clone(),
            model_sha256: self.manifest.sha256.to_ascii_lowercase(),
        }
    }
}

/// From `log((posts + 0.5) / (base + 0.5))` to posts: ordered, not below 0, to three decimals.
fn counts(logs: [f64; 3], base: f64) -> [f64; 3] {
    let count = |log: f64| ((base + 0.5) * log.clamp(-MOST_LOG, MOST_LOG).exp() - 0.5).max(0.0);
    let mut counts = logs.map(|log| rounded(count(log), 1e3));
    counts.sort_by(f64::total_cmp);
    counts
}

/// More digits say nothing, and few digits survive every text format exactly, as in the stored state of a window.
fn rounded(value: f64, scale: f64) -> f64 {
    (value * scale).round() / scale
}

/// A forecaster that several threads take turns with: a run takes microseconds.
#[derive(Clone)]
pub struct SharedForecaster(Arc<Mutex<ForecastModel>>);

impl SharedForecaster {
    /// Shares a model.
    pub fn new(model: ForecastModel) -> Self {
        Self(Arc::new(Mutex::new(model)))
    }

    /// As [`ForecastModel::forecast`].
    ///
    /// # Errors
    /// As [`ForecastModel::forecast`].
    pub fn forecast(&self, rows: &[&Features]) -> Result<Vec<Forecast>, ModelError> {
        self.0.lock().forecast(rows)
    }

    /// Forecasts for those rows that there are, the reason for the others; all in one run.
    ///
    /// # Errors
    /// As [`ForecastModel::forecast`].
    pub(crate) fn forecast_where_possible(
        &self,
        rows: &[Result<Features, NoForecast>],
    ) -> Result<Vec<Result<Forecast, NoForecast>>, ModelError> {
        let there: Vec<&Features> = rows.iter().filter_map(|row| row.as_ref().ok()).collect();
        let mut forecasts = if there.is_empty() { Vec::new() } else { self.forecast(&there)? }.into_iter();
        let answer = |row: &Result<Features, NoForecast>| match row {
            Ok(_) => forecasts.next().ok_or(NoForecast::NoModel),
            Err(reason) => Err(*reason),
        };
        Ok(rows.iter().map(answer).collect())
    }
}

impl fmt::Debug for SharedForecaster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SharedForecaster").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_ordered_finite_and_not_negative() {
        assert_eq!(counts([-99.0, -99.0, 99.0], 0.0)[0], 0.0);
        assert!(counts([1e30, -1e30, 0.0], 1e9).iter().all(|count| count.is_finite()));
        let [low, middle, high] = counts([0.2, -0.1, 0.4], 10.0);
        assert!(low <= middle && middle <= high);
        assert!((counts([0.0; 3], 7.5)[1] - 7.5).abs() < 1e-12);
    }

    #[test]
    fn a_manifest_of_another_kind_of_model_is_refused() {
        let good = String::from_utf8(BUNDLED_MANIFEST.to_vec()).unwrap();
        let path = Path::new("model.json");
        assert!(Manifest::parse(path, good.as_bytes()).is_ok());
        for (from, to) in
            [("\"features\": 50", "\"features\": 49"), ("\"window_seconds\": 300", "\"window_seconds\": 60")]
        {
            let changed = good.replace(from, to);
            assert_ne!(changed, good);
            let error = Manifest::parse(path, changed.as_bytes()).unwrap_err();
            assert!(error.to_string().contains("expected"), "{error}");
        }
    }
}
