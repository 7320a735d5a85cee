use std::time::Duration;

use axum::http::StatusCode;
use prometheus::{HistogramOpts, HistogramVec, IntCounterVec, IntGauge, Opts, Registry};
use vigie_daemon::ServiceError;

/// Where an answer came from.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Outcome {
    /// From the store.
    Built,
    /// From the memory of this process.
    Kept,
    /// From Redis, where another process has put it.
    Shared,
    /// The client had it.
    Unchanged,
}

/// The API's metrics.
#[derive(Clone, Debug)]
pub(crate) struct Metrics {
    requests: IntCounterVec,
    seconds: HistogramVec,
    answers: IntCounterVec,
    pub(crate) streams: IntGauge,
}

impl Metrics {
    pub(crate) fn register(registry: &Registry) -> Result<Self, ServiceError> {
        let failed = |error: prometheus::Error| ServiceError::failed(error);
        let requests = IntCounterVec::new(
            Opts::new("vigie_api_requests_total", "Requests answered, by route template and status"),
            &["route", "status"],
        )
        .map_err(failed)?;
        let buckets = vec![0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
        let options =
            HistogramOpts::new("vigie_api_request_seconds", "Time to the head of the answer, by route template");
        let seconds = HistogramVec::new(options.buckets(buckets), &["route"]).map_err(failed)?;
        let streams =
            IntGauge::new("vigie_api_streams", "Subscribers of the live stream that are connected").map_err(failed)?;
        let answers = Opts::new(
            "vigie_api_answers_total",
            "Answers built from PostgreSQL, kept from before, shared by another process, or unchanged since the client got them",
        );
        let answers = IntCounterVec::new(answers, &["outcome"]).map_err(failed)?;
        registry.register(Box::new(answers.clone())).map_err(failed)?;
        registry.register(Box::new(requests.clone())).map_err(failed)?;
        registry.register(Box::new(seconds.clone())).map_err(failed)?;
        registry.register(Box::new(streams.clone())).map_err(failed)?;
        Ok(Self { requests, seconds, answers, streams })
    }

    pub(crate) fn answered(&self, route: &str, status: StatusCode, took: Duration) {
        self.requests.with_label_values(&[route, status.as_str()]).inc();
        self.seconds.with_label_values(&[route]).observe(took.as_secs_f64());
    }

    pub(crate) fn served(&self, outcome: Outcome) {
        let outcome = match outcome {
            Outcome::Built => "built",
            Outcome::Kept => "kept",
            Outcome::Shared => "shared",
            Outcome::Unchanged => "unchanged",
        };
        self.answers.with_label_values(&[outcome]).inc();
    }
}
