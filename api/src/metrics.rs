use std::time::Duration;

use axum::http::StatusCode;
use prometheus::{HistogramOpts, HistogramVec, IntCounterVec, IntGauge, Opts, Registry};
use vigie_daemon::ServiceError;

/// What the API tells about itself.
#[derive(Clone, Debug)]
pub(crate) struct Metrics {
    requests: IntCounterVec,
    seconds: HistogramVec,
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
        registry.register(Box::new(requests.clone())).map_err(failed)?;
        registry.register(Box::new(seconds.clone())).map_err(failed)?;
        registry.register(Box::new(streams.clone())).map_err(failed)?;
        Ok(Self { requests, seconds, streams })
    }

    pub(crate) fn answered(&self, route: &str, status: StatusCode, took: Duration) {
        self.requests.with_label_values(&[route, status.as_str()]).inc();
        self.seconds.with_label_values(&[route]).observe(took.as_secs_f64());
    }
}
