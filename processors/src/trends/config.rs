//! Options of the trends topology.

use std::path::Path;
use std::time::Duration;

use vigie_daemon::units::milliseconds;
use vigie_daemon::{Check, Mistake};
use vigie_schemas::RegistryConfig;
use vigie_streams::{KafkaConfig, StreamsOptions, TumblingWindows};

use super::alerts::AlertPolicy;
use crate::forecast::{ForecasterConfig, SharedForecaster, WINDOW_MILLIS};
use crate::inference::ModelError;
use crate::service;
use crate::times::parse_duration;

/// Options of the trends topology.
#[derive(clap::Args, Clone, Debug)]
pub struct Config {
    /// Where Kafka is.
    #[command(flatten)]
    pub kafka: KafkaConfig,
    /// Where the schema registry is.
    #[command(flatten)]
    pub registry: RegistryConfig,
    /// How the stream threads run.
    #[command(flatten)]
    pub streams: StreamsOptions,
    /// Windows and alerts.
    #[command(flatten)]
    pub trends: TrendsOptions,
    /// Look for terms that rise beyond expectation (docs/terms.md)
    #[arg(long, env = "VIGIE_TERMS")]
    pub terms: bool,
}

impl Config {
    /// Checks what clap cannot, and loads the forecaster.
    ///
    /// # Errors
    /// With every mistake.
    pub fn check(self) -> Result<Checked, Vec<Mistake>> {
        let mut check = Check::<Self>::default();
        service::check_state(&mut check, &self.streams);
        check.part(self.kafka.check());
        check.part(self.registry.check());
        let forecaster = check.part(self.trends.check(None));
        check.finish(forecaster).map(|forecaster| Checked { config: self, forecaster })
    }
}

/// A configuration without mistakes, for [`crate::run_trends`].
pub struct Checked {
    pub(super) config: Config,
    pub(super) forecaster: Option<SharedForecaster>,
}

impl Checked {
    /// The same with another grace.
    #[must_use]
    pub fn with_grace(mut self, grace: Duration) -> Self {
        self.config.trends.grace = grace;
        self
    }

    /// The same on these servers.
    #[must_use]
    pub fn on(self, kafka: KafkaConfig, registry: RegistryConfig) -> Self {
        Self { config: Config { kafka, registry, ..self.config }, ..self }
    }
}

/// Windows and alerts.
#[derive(clap::Args, Clone, Debug)]
pub struct TrendsOptions {
    /// Length of a window of event time
    #[arg(long, value_name = "DURATION", env = "VIGIE_WINDOW", default_value = "5m", value_parser = parse_duration)]
    pub window: Duration,
    /// How long after its end a window still takes posts; posts that come later are counted as late
    #[arg(long, value_name = "DURATION", env = "VIGIE_GRACE", default_value = "6h", value_parser = parse_duration)]
    pub grace: Duration,
    /// How long after its end a window usually still changes, for sources deliver late; then it becomes history for the forecasts
    #[arg(long, value_name = "DURATION", env = "VIGIE_SETTLE", default_value = "10m", value_parser = parse_duration)]
    pub settle: Duration,
    /// Time between the revisions of an open window, at least; one that becomes final is emitted at once
    #[arg(long = "emit-interval", alias = "emit-interval-ms", value_name = "DURATION", env = "VIGIE_EMIT_INTERVAL",
          default_value = "2s", value_parser = milliseconds(0..=300_000_u64))]
    pub emit_interval_ms: u64,
    /// Least anomaly score, 0 to 1, of an alert; the detectors are made for 0.5
    #[arg(long, value_name = "SCORE", env = "VIGIE_ALERT_SCORE", default_value_t = 0.5)]
    pub alert_score: f64,
    /// Least posts, in a window or the longer time that an alert is about
    #[arg(long, value_name = "POSTS", env = "VIGIE_ALERT_MIN_POSTS", default_value_t = 10,
          value_parser = clap::value_parser!(u32).range(1..))]
    pub alert_min_posts: u32,
    /// What follows a window
    #[command(flatten)]
    pub forecast: ForecasterConfig,
}

impl Default for TrendsOptions {
    fn default() -> Self {
        Self {
            window: vigie_schemas::WINDOW,
            grace: Duration::from_secs(6 * 3600),
            settle: Duration::from_secs(10 * 60),
            emit_interval_ms: 2000,
            alert_score: 0.5,
            alert_min_posts: 10,
            forecast: ForecasterConfig::default(),
        }
    }
}

impl TrendsOptions {
    /// Checks what clap cannot, and loads the forecaster, with the ONNX Runtime of `library` if one is named.
    pub(crate) fn check(&self, library: Option<&Path>) -> Result<Option<SharedForecaster>, Vec<Mistake>> {
        let mut check = Check::<Self>::default();
        check.option("window", self.window >= Duration::from_secs(1), format!("{:?}", self.window), "at least 1s");
        check.option("alert-score", (0.0..=1.0).contains(&self.alert_score), self.alert_score, "0 to 1");
        let forecaster = check.part(self.forecaster(library).map_err(|error| {
            vec![Mistake::of::<Self>("forecast-model", service::chain(&error), "a folder with a forecaster")]
        }));
        check.finish(forecaster)
    }

    /// The windows.
    pub fn windows(&self) -> TumblingWindows {
        TumblingWindows { size: self.window, grace: self.grace }
    }

    /// The forecaster; none, with a warning, for windows of another length than it knows or without an ONNX Runtime.
    ///
    /// # Errors
    /// If the model or the runtime are there but cannot be used.
    fn forecaster(&self, library: Option<&Path>) -> Result<Option<SharedForecaster>, ModelError> {
        if self.window.as_millis() != u128::from(WINDOW_MILLIS.unsigned_abs()) {
            tracing::warn!(window = ?self.window, "the forecaster knows windows of 5 min only: no forecasts will be made");
            return Ok(None);
        }
        self.forecast.load(library)
    }

    /// The alerts.
    pub fn policy(&self) -> AlertPolicy {
        AlertPolicy { min_anomaly_score: self.alert_score, min_posts: i64::from(self.alert_min_posts) }
    }
}
