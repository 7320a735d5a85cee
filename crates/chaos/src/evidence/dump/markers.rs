//! The control records that end transactions, gathered over all partitions and brokers.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

/// Ends of two transactions of a producer that are closer than this may be of one.
const CLOSE_MS: i64 = 60_000;

const ABOUT: &str = "\
# Each end of a transaction in each partition: one line for each control record, by producer id and time.
# A transaction has one end. TORN? marks a producer id and epoch of which some partitions have a COMMIT and some an ABORT, written by
# coordinators of different epochs within a minute. The transactional id is in __transaction_state-*.txt, by producer id.
# `nodes` are the brokers that have the record: one that only some have was never replicated, or was cut off.
";

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Marker {
    producer: i64,
    epoch: i64,
    millis: i64,
    end: String,
    coordinator_epoch: i64,
    partition: String,
    offset: i64,
}

/// All ends of transactions that were read, with the brokers that have them.
#[derive(Debug, Default)]
pub(super) struct Markers {
    /// Producer id and epoch of the batch that is being read.
    batch: (i64, i64),
    found: BTreeMap<Marker, BTreeSet<u8>>,
}

impl Markers {
    /// Takes note of a line of a dump.
    pub(super) fn read(&mut self, line: &str, partition: &str, node: u8) {
        if line.starts_with("baseOffset:") {
            self.batch = (number(line, "producerId:"), number(line, "producerEpoch:"));
        }
        let Some(end) = word(line, "endTxnMarker:") else { return };
        let marker = Marker {
            producer: self.batch.0,
            epoch: self.batch.1,
            millis: number(line, "CreateTime:").max(number(line, "LogAppendTime:")),
            end: end.to_owned(),
            coordinator_epoch: number(line, "coordinatorEpoch:"),
            partition: partition.to_owned(),
            offset: number(line, "offset:"),
        };
        self.found.entry(marker).or_default().insert(node);
    }

    fn is_torn(&self, one: &Marker) -> bool {
        self.found.keys().any(|other| {
            (other.producer, other.epoch) == (one.producer, one.epoch)
                && other.end != one.end
                && other.coordinator_epoch != one.coordinator_epoch
                && (other.millis - one.millis).abs() < CLOSE_MS
        })
    }
}

impl fmt::Display for Markers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(ABOUT)?;
        for (marker, nodes) in &self.found {
            let Marker { producer, epoch, millis, end, coordinator_epoch, partition, offset } = marker;
            let torn = if self.is_torn(marker) { " TORN?" } else { "" };
            let time = vigie_clock::Timestamp::from_millis(*millis);
            writeln!(
                f,
                "producer {producer} epoch {epoch} {time} {end} by coordinator epoch {coordinator_epoch}: \
                 {partition} offset {offset}, nodes {nodes:?}{torn}"
            )?;
        }
        Ok(())
    }
}

/// The word that follows `name`.
fn word<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    let mut words = line.split_whitespace();
    words.find(|word| *word == name)?;
    words.next()
}

/// The number that follows `name`; -1, as Kafka's own for none, if there is none.
fn number(line: &str, name: &str) -> i64 {
    word(line, name).and_then(|text| i64::from_str(text).ok()).unwrap_or(-1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marker(end: &str, coordinator: i64, partition: &str, offset: i64, node: u8, markers: &mut Markers) {
        markers.read("baseOffset: 1 lastOffset: 1 producerId: 7 producerEpoch: 2 isControl: true", partition, node);
        let line = format!(
            "| offset: {offset} LogAppendTime: 1795970078330 sequence: -1 endTxnMarker: {end} coordinatorEpoch: {coordinator}"
        );
        markers.read(&line, partition, node);
    }

    #[test]
    fn a_transaction_with_two_ends_is_seen() {
        let mut markers = Markers::default();
        marker("COMMIT", 0, "outputs-0", 12, 1, &mut markers);
        marker("COMMIT", 0, "outputs-0", 12, 2, &mut markers);
        assert!(!markers.to_string().contains("nodes {1, 2} TORN?"));
        marker("ABORT", 1, "outputs-1", 9, 3, &mut markers);
        let text = markers.to_string();
        let line = "producer 7 epoch 2 2026-11-29T16:34:38.33Z COMMIT by coordinator epoch 0: outputs-0 offset 12, nodes {1, 2} TORN?";
        assert!(text.contains(line), "{text}");
        assert!(text.contains("ABORT by coordinator epoch 1: outputs-1 offset 9, nodes {3} TORN?"), "{text}");
    }
}
