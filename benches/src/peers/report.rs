//! What the runs come to: medians, and how ours compares.

use serde::Serialize;

use super::{Counted, Restored};

/// All runs of one peer.
#[derive(Clone, Debug, Default, Serialize)]
pub struct PeerReport {
    /// Its name.
    pub peer: String,
    /// One for each round.
    pub rounds: Vec<Counted>,
    /// The run that wrote the state to be restored: each record a new window and key.
    pub fill: Option<Counted>,
    /// Started with nothing but the changelog.
    pub restore: Option<Restored>,
    /// Started again with what the run before left on disk.
    pub restart: Option<Restored>,
}

/// A line of the table: its title, the decimals shown, whether more is better, and the value of a peer.
type Row = (&'static str, usize, bool, fn(&PeerReport) -> Option<f64>);

const ROWS: [Row; 13] = [
    ("records/s per core", 0, true, |peer| median(peer, |run| run.records as f64 / run.cpu_seconds)),
    ("  second half", 0, true, |peer| median(peer, |run| half(run) / run.half_cpu_seconds)),
    ("  with start-up", 0, true, |peer| median(peer, |run| run.records as f64 / run.process_cpu_seconds)),
    ("records/s, wall clock", 0, true, |peer| median(peer, |run| run.records as f64 / run.seconds)),
    ("peak memory, MiB", 0, false, |peer| median(peer, |run| run.peak_rss_mib)),
    ("commits", 0, false, |peer| median(peer, |run| run.commits)),
    ("commit, mean ms", 1, false, |peer| median(peer, |run| run.commit_mean_ms.unwrap_or(f64::NAN))),
    ("commit, longest ms", 0, false, |peer| median(peer, |run| run.commit_max_ms.unwrap_or(f64::NAN))),
    ("new keys/s per core", 0, true, |peer| peer.fill.as_ref().map(|run| run.records as f64 / run.cpu_seconds)),
    ("restore, records/s", 0, true, |peer| peer.restore.as_ref().map(|run| run.restored as f64 / run.restore_seconds)),
    ("restore, s", 2, false, |peer| peer.restore.as_ref().map(|run| run.restore_seconds)),
    ("  peak memory, MiB", 0, false, |peer| peer.restore.as_ref().map(|run| run.peak_rss_mib)),
    ("restart with local state, s", 2, false, |peer| peer.restart.as_ref().map(|run| run.restore_seconds)),
];

fn half(run: &Counted) -> f64 {
    run.records as f64 / 2.0
}

fn median(peer: &PeerReport, of: impl Fn(&Counted) -> f64) -> Option<f64> {
    let mut values: Vec<f64> = peer.rounds.iter().map(of).filter(|value| value.is_finite()).collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => None,
        even if even % 2 == 0 => Some((values[middle - 1] + values[middle]) / 2.0),
        _ => Some(values[middle]),
    }
}

/// A table of medians; behind each value of another peer, how many times better ours (the first) is.
pub fn table(peers: &[PeerReport]) -> String {
    let mut text = format!("{:<28}", "median of the rounds");
    for peer in peers {
        text += &format!("{:>26}", peer.peer);
    }
    text.push('\n');
    for (title, decimals, more_is_better, value) in ROWS {
        text += &format!("{title:<28}");
        let ours = peers.first().and_then(value);
        for (index, peer) in peers.iter().enumerate() {
            let cell = match (value(peer), ours) {
                (None, _) => "-".to_owned(),
                (Some(own), Some(ours)) if index > 0 && own > 0.0 && ours > 0.0 => {
                    let times = if more_is_better { ours / own } else { own / ours };
                    format!("{own:.decimals$} ({times:.1}x)")
                }
                (Some(own), _) => format!("{own:.decimals$}"),
            };
            text += &format!("{cell:>26}");
        }
        text.push('\n');
    }
    text + "(n x): how many times better vigie-streams is\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(cpu_seconds: f64) -> Counted {
        Counted {
            records: 100,
            seconds: 1.0,
            cpu_seconds,
            half_seconds: 0.5,
            half_cpu_seconds: 0.5,
            process_cpu_seconds: 1.0,
            peak_rss_mib: 10.0,
            commits: 2.0,
            commit_mean_ms: Some(1.0),
            commit_max_ms: None,
        }
    }

    #[test]
    fn ratios_say_how_many_times_better_the_first_is() {
        let ours = PeerReport { peer: "ours".into(), rounds: vec![run(1.0), run(9.0), run(2.0)], ..Default::default() };
        let theirs = PeerReport { peer: "theirs".into(), rounds: vec![run(4.0)], ..Default::default() };
        let table = table(&[ours, theirs]);
        let line = table.lines().nth(1).unwrap();
        assert_eq!(line.split_whitespace().collect::<Vec<_>>(), ["records/s", "per", "core", "50", "25", "(2.0x)"]);
    }
}
