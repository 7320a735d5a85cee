//! The committed forecaster through ONNX Runtime. Needs libonnxruntime, which `./dev test` provides (or `ORT_DYLIB_PATH`).

use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use vigie_processors::forecast::{Features, ForecastHistory, ForecastModel, SharedForecaster, WindowFacts, detect_csv};
use vigie_processors::inference::ModelError;
use vigie_schemas::Forecast;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/trend/forecast")
}

fn model() -> ForecastModel {
    ForecastModel::bundled(None).expect("the bundled model loads")
}

/// A copy of the model folder with one file changed.
fn damaged(file: &str, change: impl FnOnce(&mut Vec<u8>)) -> tempfile::TempDir {
    let copy = tempfile::tempdir().expect("a temporary folder");
    for name in ["model.json", "model.onnx"] {
        fs::copy(folder().join(name), copy.path().join(name)).expect("the model folder is complete");
    }
    let mut bytes = fs::read(folder().join(file)).expect("the file is there");
    change(&mut bytes);
    fs::write(copy.path().join(file), bytes).expect("the copy is writable");
    copy
}

#[derive(Deserialize)]
struct Golden {
    series: Series,
    forecasts: Vec<Said>,
}

#[derive(Deserialize)]
struct Series {
    first_window: i64,
    posts: Vec<f64>,
    authors: Vec<f64>,
    scores: Vec<f64>,
    scored: Vec<f64>,
}

#[derive(Deserialize)]
struct Said {
    at: usize,
    level: f64,
    features: Vec<f32>,
    next_window: [f64; 3],
    next_hour: [f64; 3],
    doubling: f64,
}

fn golden() -> Golden {
    serde_json::from_slice(&fs::read(folder().join("golden.json")).expect("golden.json is committed"))
        .expect("it is valid")
}

/// The rows after each window of the golden series; none while there is too little history.
fn rows(series: &Series, windows: usize) -> Vec<Option<Features>> {
    let mut history = ForecastHistory::default();
    (0..windows)
        .map(|at| {
            let facts = WindowFacts {
                posts: series.posts[at],
                authors: Some(series.authors[at]).filter(|authors| *authors >= 0.0),
                score_sum: series.scores[at],
                scored: series.scored[at],
            };
            history.learn(series.first_window + at as i64, facts).expect("the counts are counts");
            Features::of(&history).ok()
        })
        .collect()
}

fn hour(forecast: &Forecast) -> [f64; 3] {
    [forecast.next_hour_p10, forecast.next_hour_p50, forecast.next_hour_p90]
}

fn window(forecast: &Forecast) -> [f64; 3] {
    [forecast.next_window_p10, forecast.next_window_p50, forecast.next_window_p90]
}

#[test]
fn features_and_forecasts_are_those_of_python() {
    let golden = golden();
    let rows = rows(&golden.series, golden.series.posts.len());
    let mut model = model();
    for said in &golden.forecasts {
        let row = rows[said.at].as_ref().expect("there is an hour of history");
        assert!((row.level - said.level).abs() < 1e-9, "level at {}", said.at);
        for (number, (got, want)) in row.values.iter().zip(&said.features).enumerate() {
            assert!((got - want).abs() < 1e-5, "feature {number} at {}: {got}, expected {want}", said.at);
        }
        let forecast = model.forecast(&[row]).unwrap().remove(0);
        let pairs =
            window(&forecast).into_iter().zip(said.next_window).chain(hour(&forecast).into_iter().zip(said.next_hour));
        for (got, want) in pairs {
            assert!((got - want).abs() <= 1e-3 * (1.0 + want), "at {}: {forecast:?}, expected {want}", said.at);
        }
        assert!((forecast.doubling_probability - said.doubling).abs() < 1e-4, "at {}: {forecast:?}", said.at);
    }
}

#[test]
fn a_forecast_does_not_depend_on_its_companions_in_a_batch() {
    let golden = golden();
    let rows: Vec<Features> = rows(&golden.series, golden.series.posts.len()).into_iter().flatten().collect();
    let some: Vec<&Features> = rows.iter().step_by(7).collect();
    let mut model = model();
    let alone: Vec<Forecast> = some.iter().map(|row| model.forecast(&[row]).unwrap().remove(0)).collect();
    for size in [2, 3, 5, 16, 33, 300] {
        let together: Vec<Forecast> = some.chunks(size).flat_map(|part| model.forecast(part).unwrap()).collect();
        assert!(together == alone, "in batches of {size}");
    }
}

#[test]
fn absurd_series_get_finite_ordered_quantiles() {
    let mut model = model();
    for pattern in [[0.0; 4], [1e9, 0.0, 0.0, 1e9], [f64::MAX; 4], [0.3, 0.0, 0.1, 0.0]] {
        let mut history = ForecastHistory::default();
        for at in 0..700 {
            history.learn(at, WindowFacts { posts: pattern[at as usize % 4], ..WindowFacts::default() }).unwrap();
            let Ok(row) = Features::of(&history) else { continue };
            let forecast = model.forecast(&[&row]).unwrap().remove(0);
            for [p10, p50, p90] in [window(&forecast), hour(&forecast)] {
                assert!(p90.is_finite() && 0.0 <= p10 && p10 <= p50 && p50 <= p90, "{forecast:?}");
            }
            assert!((0.0..=1.0).contains(&forecast.doubling_probability), "{forecast:?}");
        }
    }
}

fn csv(rows: usize) -> String {
    let series = golden().series;
    let mut text = String::from("timestamp,value\n");
    for (at, posts) in series.posts.iter().take(rows).enumerate() {
        let (day, second) = (1 + at / 288, at % 288 * 300);
        let (hours, minutes) = (second / 3600, second % 3600 / 60);
        text.push_str(&format!("2015-03-{day:02} {hours:02}:{minutes:02}:53,{posts}\n"));
    }
    text
}

fn detect(text: &str) -> String {
    let mut output = Vec::new();
    detect_csv(text.as_bytes(), &mut output, Some(SharedForecaster::new(model())), 0.5).expect("the rows are valid");
    String::from_utf8(output).expect("it writes text")
}

#[test]
fn truncating_the_future_of_a_series_changes_no_row_before() {
    let whole = detect(&csv(700));
    for rows in [13, 50, 288, 699] {
        assert!(whole.starts_with(&detect(&csv(rows))), "the first {rows} rows changed");
    }
    // What a row is forecast to be is said before the row is seen.
    let last_row = |value: &str| detect(&format!("{}2015-03-02 01:00:53,{value}\n", csv(300)));
    let quantiles =
        |text: &str| text.lines().last().map(|row| row.split(',').skip(3).take(3).collect::<Vec<_>>().join(","));
    assert_eq!(quantiles(&last_row("0")), quantiles(&last_row("99999")));
}

#[test]
fn a_series_of_other_steps_has_the_quantiles_of_the_detector() {
    let hourly: String = std::iter::once("timestamp,value\n".to_owned())
        .chain((0..60).map(|at| format!("2015-03-{:02} {:02}:00:00,{}\n", 1 + at / 24, at % 24, 5 + at % 3)))
        .collect();
    let mut plain = Vec::new();
    detect_csv(hourly.as_bytes(), &mut plain, None, 0.5).expect("the rows are valid");
    assert_eq!(detect(&hourly).into_bytes(), plain);
}

#[test]
fn a_damaged_model_file_is_refused() {
    let copy = damaged("model.onnx", |bytes| bytes[5000] ^= 1);
    let Err(error) = ForecastModel::load(copy.path(), None) else { panic!("a damaged file was accepted") };
    assert!(matches!(error, ModelError::Digest { .. }), "{error}");
    assert!(error.to_string().contains("damaged, or from another version"), "{error}");
}

#[test]
fn a_foreign_model_is_refused() {
    let sentiment = folder().join("../../sentiment");
    let Err(error) = ForecastModel::load(&sentiment, None) else { panic!("a sentiment model was accepted") };
    assert!(matches!(error, ModelError::Malformed { .. }), "{error}");
    let Err(error) = ForecastModel::load(Path::new("/nowhere/at/all"), None) else { panic!("loaded from nowhere") };
    assert_eq!(error.to_string(), "cannot read model file /nowhere/at/all/model.json");
}
