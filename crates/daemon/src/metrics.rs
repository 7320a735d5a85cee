//! Metrics that are registered as they are made.

use prometheus::core::Collector;
use prometheus::{
    GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
    Result,
};
use tracing::debug;

/// Makes metrics whose names begin alike, and registers them. One whose name is registered already counts, but is not shown: so does a replay
/// beside the live run.
///
/// Names, labels and buckets are the caller's literals; the methods panic if they are not valid.
pub struct Metrics {
    registry: Registry,
    prefix: &'static str,
    label: Option<(&'static str, String)>,
    registered: Vec<Box<dyn Collector>>,
}

impl Metrics {
    /// None yet; all their names will begin with `prefix`.
    pub fn new(registry: &Registry, prefix: &'static str) -> Self {
        Self { registry: registry.clone(), prefix, label: None, registered: Vec::new() }
    }

    /// All metrics have this label.
    #[must_use]
    pub fn label(self, name: &'static str, value: &str) -> Self {
        Self { label: Some((name, value.to_owned())), ..self }
    }

    /// A counter.
    pub fn counter(&mut self, name: &str, help: &str) -> IntCounter {
        self.add(IntCounter::with_opts(self.opts(name, help)))
    }

    /// Counters by `labels`.
    pub fn counters(&mut self, name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
        self.add(IntCounterVec::new(self.opts(name, help), labels))
    }

    /// A gauge.
    pub fn gauge(&mut self, name: &str, help: &str) -> IntGauge {
        self.add(IntGauge::with_opts(self.opts(name, help)))
    }

    /// Gauges by `labels`.
    pub fn gauges(&mut self, name: &str, help: &str, labels: &[&str]) -> IntGaugeVec {
        self.add(IntGaugeVec::new(self.opts(name, help), labels))
    }

    /// Gauges of fractions by `labels`.
    pub fn fractions(&mut self, name: &str, help: &str, labels: &[&str]) -> GaugeVec {
        self.add(GaugeVec::new(self.opts(name, help), labels))
    }

    /// A histogram; `buckets` are upper bounds.
    pub fn histogram(&mut self, name: &str, help: &str, buckets: &[f64]) -> Histogram {
        self.add(Histogram::with_opts(self.buckets(name, help, buckets)))
    }

    /// Histograms by `labels`.
    pub fn histograms(&mut self, name: &str, help: &str, buckets: &[f64], labels: &[&str]) -> HistogramVec {
        self.add(HistogramVec::new(self.buckets(name, help, buckets), labels))
    }

    /// Takes those away that it registered.
    pub fn unregister(&mut self) {
        for metric in self.registered.drain(..) {
            if let Err(error) = self.registry.unregister(metric) {
                debug!(%error, "metric not unregistered");
            }
        }
    }

    fn opts(&self, name: &str, help: &str) -> Opts {
        let opts = Opts::new(format!("{}{name}", self.prefix), help);
        self.label.iter().fold(opts, |opts, (label, value)| opts.const_label(*label, value))
    }

    fn buckets(&self, name: &str, help: &str, buckets: &[f64]) -> HistogramOpts {
        HistogramOpts::from(self.opts(name, help)).buckets(buckets.to_vec())
    }

    fn add<C: Collector + Clone + 'static>(&mut self, metric: Result<C>) -> C {
        let metric = metric.expect("names, labels and buckets of metrics are literals that are valid");
        match self.registry.register(Box::new(metric.clone())) {
            Ok(()) => self.registered.push(Box::new(metric.clone())),
            Err(error) => debug!(%error, "metric not registered"),
        }
        metric
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_shown_once_and_goes_with_who_registered_it() {
        let registry = Registry::new();
        let of = |sink: &str| Metrics::new(&registry, "vigie_a_").label("sink", sink);
        let (mut first, mut second, mut other) = (of("a"), of("a"), of("b"));
        first.counter("seen_total", "Seen").inc_by(3);
        second.counter("seen_total", "Seen").inc_by(5);
        other.counter("seen_total", "Seen").inc_by(7);
        let values = || -> Vec<f64> {
            let families = registry.gather();
            families.iter().flat_map(|family| family.get_metric()).map(|m| m.get_counter().get_value()).collect()
        };
        assert_eq!(values(), [3.0, 7.0]);
        second.unregister();
        other.unregister();
        assert_eq!(values(), [3.0]);
    }
}
