//! What is read from Prometheus' text format (0.0.4): as much of it as this program's own metrics need.

use std::collections::{BTreeMap, BTreeSet};

/// Samples of some processes.
#[derive(Debug, Default)]
pub(super) struct Metrics {
    samples: Vec<Sample>,
}

#[derive(Debug)]
struct Sample {
    name: String,
    labels: Vec<(String, String)>,
    value: f64,
}

impl Metrics {
    /// Takes the metrics of one process; lines that are no samples are passed over.
    pub(super) fn add(&mut self, text: &str) {
        self.samples.extend(text.lines().filter_map(sample));
    }

    fn named<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Sample> {
        self.samples.iter().filter(move |sample| sample.name == name)
    }

    pub(super) fn names(&self) -> BTreeSet<&str> {
        self.samples.iter().map(|sample| sample.name.as_str()).collect()
    }

    pub(super) fn sum(&self, name: &str) -> f64 {
        self.named(name).map(|sample| sample.value).sum()
    }

    pub(super) fn highest(&self, name: &str) -> Option<f64> {
        self.named(name).map(|sample| sample.value).max_by(f64::total_cmp)
    }

    /// Sums by the value of a label.
    pub(super) fn by_label(&self, name: &str, label: &str) -> BTreeMap<String, f64> {
        let mut sums = BTreeMap::new();
        for sample in self.named(name) {
            *sums.entry(sample.label(label).unwrap_or_default().to_owned()).or_default() += sample.value;
        }
        sums
    }
}

impl Sample {
    fn label(&self, name: &str) -> Option<&str> {
        self.labels.iter().find(|(label, _)| label == name).map(|(_, value)| value.as_str())
    }
}

/// `name{label="value",…} number`
fn sample(line: &str) -> Option<Sample> {
    let (series, value) = line.rsplit_once(' ').filter(|_| !line.starts_with('#'))?;
    let value = value.parse().ok()?;
    let (name, labels) = series.split_once('{').unwrap_or((series, ""));
    let pairs = labels.trim_end_matches('}').split("\",").filter_map(|pair| pair.split_once("=\""));
    let labels = pairs.map(|(label, value)| (label.to_owned(), value.trim_end_matches('"').to_owned())).collect();
    Some(Sample { name: name.to_owned(), labels, value })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# HELP lag Records\n# TYPE lag gauge\n\
                        lag{partition=\"0\",topic=\"a.v1\"} 3\nlag{partition=\"1\",topic=\"a.v1\"} 4\nlag{partition=\"0\",topic=\"b\"} 0\nups 1.5\n";

    #[test]
    fn samples_are_added_up_over_labels() {
        let mut metrics = Metrics::default();
        metrics.add(TEXT);
        assert_eq!((metrics.sum("lag"), metrics.sum("ups"), metrics.sum("none")), (7.0, 1.5, 0.0));
        assert_eq!(metrics.highest("lag"), Some(4.0));
        assert_eq!(metrics.by_label("lag", "topic"), BTreeMap::from([("a.v1".to_owned(), 7.0), ("b".to_owned(), 0.0)]));
    }
}
