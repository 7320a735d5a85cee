//! As much HTTP as probes and metrics need.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const PATIENCE: Duration = Duration::from_secs(5);

/// The body of an answer with status 200; `None` for any other, and for none.
pub(crate) async fn get(port: u16, path: &str) -> Option<String> {
    let ask = async {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
        stream.write_all(format!("GET {path} HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n").as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        Ok::<_, std::io::Error>(answer)
    };
    let answer = tokio::time::timeout(PATIENCE, ask).await.ok()?.ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    head.lines().next()?.contains(" 200 ").then(|| body.to_owned())
}

/// The sum of the samples of `metric` whose labels contain all of `labels` (as `name="value"`); `None` if there is no such sample.
pub(crate) fn sum(metrics: &str, metric: &str, labels: &[&str]) -> Option<f64> {
    let sample = |line: &str| {
        let (series, value) = line.rsplit_once(' ')?;
        let (name, of) = series.split_once('{').unwrap_or((series, ""));
        (name == metric && labels.iter().all(|label| of.contains(label))).then(|| value.parse::<f64>().ok())?
    };
    let samples: Vec<f64> = metrics.lines().filter_map(sample).collect();
    (!samples.is_empty()).then(|| samples.iter().sum())
}

/// How many samples `metric` has.
pub(crate) fn count(metrics: &str, metric: &str) -> u32 {
    let is_of = |line: &&str| line.strip_prefix(metric).is_some_and(|rest| rest.starts_with(['{', ' ']));
    metrics.lines().filter(is_of).map(|_| 1).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_chosen_by_name_and_labels() {
        let text = "# HELP a b\nlag{topic=\"x\",partition=\"1\"} 3\nlag{topic=\"x\",partition=\"2\"} 4\nlag_total 9\n";
        assert_eq!(sum(text, "lag", &["topic=\"x\""]), Some(7.0));
        assert_eq!(sum(text, "lag", &["partition=\"2\""]), Some(4.0));
        assert_eq!(sum(text, "lag_total", &[]), Some(9.0));
        assert_eq!(sum(text, "absent", &[]), None);
        assert_eq!((count(text, "lag"), count(text, "absent")), (2, 0));
    }
}
