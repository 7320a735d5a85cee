//! What is read from Prometheus' text format (0.0.4): as much of it as this program's own metrics need.

use std::collections::BTreeMap;

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

    /// A quantile of a histogram, interpolated in its bucket as Prometheus' `histogram_quantile` does; `None` if it is empty.
    pub(super) fn quantile(&self, name: &str, part: f64) -> Option<f64> {
        let mut buckets: BTreeMap<u64, (f64, f64)> = BTreeMap::new();
        for sample in self.named(&format!("{name}_bucket")) {
            let bound: f64 = sample.label("le")?.parse().ok()?;
            // Positive numbers are in the order of their bits.
            buckets.entry(bound.to_bits()).or_insert((bound, 0.0)).1 += sample.value;
        }
        let total = buckets.values().next_back().filter(|(_, count)| *count > 0.0)?.1;
        let rank = part * total;
        let (mut low, mut below) = (0.0, 0.0);
        for (bound, count) in buckets.into_values() {
            if count >= rank {
                let inside = if count > below { (rank - below) / (count - below) } else { 0.0 };
                return Some(if bound.is_finite() { low + (bound - low) * inside } else { low });
            }
            (low, below) = (bound, count);
        }
        None
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

    const TEXT: &str = "# HELP age Seconds\n# TYPE age histogram\nage_bucket{le=\"0.5\"} 2\nage_bucket{le=\"1\"} 8\nage_bucket{le=\"+Inf\"} 10\n\
                        lag{partition=\"0\",topic=\"a.v1\"} 3\nlag{partition=\"1\",topic=\"a.v1\"} 4\nlag{partition=\"0\",topic=\"b\"} 0\nups 1.5\n";

    fn metrics() -> Metrics {
        let mut metrics = Metrics::default();
        metrics.add(TEXT);
        metrics
    }

    #[test]
    fn samples_are_added_up_over_labels() {
        let metrics = metrics();
        assert_eq!((metrics.sum("lag"), metrics.sum("ups"), metrics.sum("none")), (7.0, 1.5, 0.0));
        assert_eq!(metrics.highest("lag"), Some(4.0));
        assert_eq!(metrics.by_label("lag", "topic"), BTreeMap::from([("a.v1".to_owned(), 7.0), ("b".to_owned(), 0.0)]));
    }

    #[test]
    fn quantiles_lie_in_their_bucket() {
        let metrics = metrics();
        assert_eq!(metrics.quantile("age", 0.5), Some(0.75));
        assert_eq!(metrics.quantile("age", 0.99), Some(1.0), "beyond the last bound nothing more is known");
        assert_eq!(metrics.quantile("lag", 0.5), None);
    }
}
