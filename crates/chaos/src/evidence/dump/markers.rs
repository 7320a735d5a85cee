//! The ends of transactions, gathered from the control records of all partitions and brokers.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt;
use std::str::FromStr;

use vigie_clock::Timestamp;

const ABOUT: &str = "\
# One line for each end of a transaction: when it was written first, the producer, what was written, by a coordinator of which epoch,
# and where: partition@offset of the control record, with the brokers that have it if others have not.
# A transaction has one end. TORN: one that was open in some partition when this end was written elsewhere, and has the other end there.
# Transactional ids are in __transaction_state-*.txt, by producer id; there, status 2 is a decision to commit, 3 one to abort.
";

/// A control record.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Marker {
    producer: i64,
    millis: i64,
    epoch: i64,
    end: String,
    coordinator_epoch: i64,
    partition: String,
    offset: i64,
    /// When the first record was appended that it ends.
    begun: Option<i64>,
}

/// All control records that were read, with the brokers that have them.
#[derive(Debug, Default)]
pub(super) struct Markers {
    /// The batch that is being read: producer id, epoch.
    batch: (i64, i64),
    /// When a producer's open transaction began in a partition, as a broker has it.
    open: HashMap<(u8, String, i64), i64>,
    found: BTreeMap<Marker, BTreeSet<u8>>,
    nodes: BTreeSet<u8>,
}

/// The control records of one end of one transaction.
type End<'a> = Vec<(&'a Marker, &'a BTreeSet<u8>)>;

impl Markers {
    /// Takes note of a line of a dump.
    pub(super) fn read(&mut self, line: &str, partition: &str, node: u8) {
        let millis = number(line, "CreateTime:").max(number(line, "LogAppendTime:"));
        if line.starts_with("baseOffset:") {
            self.nodes.insert(node);
            self.batch = (number(line, "producerId:"), number(line, "producerEpoch:"));
            // Of Kafka's own topics the broker makes the records; others that do not have its time have one of the application's choice.
            let appended = if partition.starts_with("__") { millis } else { number(line, "LogAppendTime:") };
            let is_data = word(line, "isTransactional:") == Some("true") && word(line, "isControl:") == Some("false");
            if is_data && appended >= 0 {
                self.open.entry((node, partition.to_owned(), self.batch.0)).or_insert(appended);
            }
        }
        let Some(end) = word(line, "endTxnMarker:") else { return };
        let (producer, epoch) = self.batch;
        let marker = Marker {
            producer,
            millis,
            epoch,
            end: end.to_owned(),
            coordinator_epoch: number(line, "coordinatorEpoch:"),
            partition: partition.to_owned(),
            offset: number(line, "offset:"),
            begun: self.open.remove(&(node, partition.to_owned(), producer)),
        };
        self.found.entry(marker).or_default().insert(node);
    }

    /// A partition has one control record for each transaction.
    fn ends(&self) -> Vec<End<'_>> {
        let mut ends: Vec<End<'_>> = Vec::new();
        for (marker, nodes) in &self.found {
            let of = |one: &Marker| (one.producer, one.epoch, one.end.clone(), one.coordinator_epoch);
            match ends.last_mut() {
                Some(end)
                    if of(end[0].0) == of(marker) && end.iter().all(|(one, _)| one.partition != marker.partition) =>
                {
                    end.push((marker, nodes));
                }
                _ => ends.push(vec![(marker, nodes)]),
            }
        }
        ends
    }
}

/// The ends, by their numbers, of transactions that have both: one was written when records that got the other one were there already.
fn torn(ends: &[End<'_>]) -> HashSet<usize> {
    let mut torn = HashSet::new();
    for (number, end) in ends.iter().enumerate() {
        let Some(begun) = end.iter().filter_map(|(marker, _)| marker.begun).min() else { continue };
        let last = end[0].0;
        // Ends are by producer, and then by time.
        for (earlier, first) in ends[..number].iter().map(|end| end[0].0).enumerate().rev() {
            if first.producer != last.producer || first.millis <= begun {
                break;
            }
            if first.end != last.end {
                torn.extend([earlier, number]);
            }
        }
    }
    torn
}

impl fmt::Display for Markers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(ABOUT)?;
        let ends = self.ends();
        let torn = torn(&ends);
        for (number, end) in ends.into_iter().enumerate() {
            let Marker { producer, millis, epoch, end: what, coordinator_epoch, .. } = end[0].0;
            let torn = if torn.contains(&number) { "TORN " } else { "" };
            let time = Timestamp::from_millis(*millis);
            write!(
                f,
                "{time} producer {producer} epoch {epoch} {torn}{what} by coordinator epoch {coordinator_epoch}:"
            )?;
            for (marker, nodes) in end {
                write!(f, " {}@{}", marker.partition, marker.offset)?;
                if *nodes != self.nodes {
                    write!(f, "{nodes:?}")?;
                }
            }
            writeln!(f)?;
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

    const START: i64 = 1_795_970_000_000;

    fn batch(markers: &mut Markers, partition: &str, millis: i64, control: bool) {
        let time = START + millis;
        let line = format!(
            "baseOffset: 1 producerId: 7 producerEpoch: 2 isTransactional: true isControl: {control} LogAppendTime: {time}"
        );
        markers.read(&line, partition, 1);
    }

    fn ended(markers: &mut Markers, partition: &str, millis: i64, end: &str, coordinator: i64) {
        batch(markers, partition, millis, true);
        let time = START + millis;
        let line = format!(
            "| offset: 9 LogAppendTime: {time} sequence: -1 endTxnMarker: {end} coordinatorEpoch: {coordinator}"
        );
        markers.read(&line, partition, 1);
    }

    #[test]
    fn a_transaction_with_two_ends_is_seen() {
        let mut markers = Markers::default();
        batch(&mut markers, "outputs-0", 10, false);
        ended(&mut markers, "outputs-0", 20, "COMMIT", 0);
        batch(&mut markers, "outputs-1", 11, false);
        ended(&mut markers, "outputs-1", 90, "ABORT", 1);
        let text = markers.to_string();
        let commit = "2026-11-29T16:33:20.02Z producer 7 epoch 2 TORN COMMIT by coordinator epoch 0: outputs-0@9\n";
        assert!(text.contains(commit), "{text}");
        assert!(text.contains("TORN ABORT by coordinator epoch 1: outputs-1@9\n"), "{text}");
    }

    #[test]
    fn a_commit_and_an_abort_of_the_next_transaction_are_two() {
        let mut markers = Markers::default();
        for partition in ["outputs-0", "outputs-1"] {
            batch(&mut markers, partition, 10, false);
            ended(&mut markers, partition, 20, "COMMIT", 0);
            batch(&mut markers, partition, 30, false);
            ended(&mut markers, partition, 40, "ABORT", 0);
        }
        let text = markers.to_string();
        assert!(text.contains("producer 7 epoch 2 COMMIT by coordinator epoch 0: outputs-0@9 outputs-1@9\n"), "{text}");
        assert!(text.contains("producer 7 epoch 2 ABORT by coordinator epoch 0: outputs-0@9 outputs-1@9\n"), "{text}");
    }
}
