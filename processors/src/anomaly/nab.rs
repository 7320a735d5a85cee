//! The score on the labelled series of the Numenta Anomaly Benchmark, where they are present: standard profile, as `models/trend/nab.py` documents it.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use super::score::{LastAlarm, Rarity};

/// Scored rows begin after this many of a series that has 5000 or more.
const PROBATION: usize = 750;

const FALSE_POSITIVE: f64 = 0.11;

fn sigmoid(position: f64) -> f64 {
    if position > 3.0 { -1.0 } else { 2.0 / (1.0 + (5.0 * position).exp()) - 1.0 }
}

/// What the alarms earn over none at all; 2 for each window is perfect.
fn gain(alarms: &[usize], windows: &[RangeInclusive<usize>]) -> f64 {
    let scored = || alarms.iter().copied().filter(|row| *row >= PROBATION);
    let found = windows.iter().filter_map(|window| {
        let rows = window.clone().count() as f64;
        let first = scored().find(|row| window.contains(row))?;
        Some(1.0 + sigmoid(-((window.end() - first + 1) as f64) / rows) / sigmoid(-1.0))
    });
    let outside = scored().filter(|row| !windows.iter().any(|window| window.contains(row)));
    let cost = |row: usize| {
        let before = windows.iter().filter(|window| *window.end() < row).max_by_key(|window| *window.end());
        FALSE_POSITIVE
            * before
                .map_or(-1.0, |window| sigmoid((row - window.end()) as f64 / (window.end() - window.start()) as f64))
    };
    found.sum::<f64>() + outside.map(cost).sum::<f64>()
}

/// The folder of the series, or `None` with a printed reason.
fn data() -> Option<PathBuf> {
    let shared = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data");
    let folder = std::env::var_os("VIGIE_TEST_DATA").map_or(shared, PathBuf::from).join("trend");
    if folder.join("labels.json").is_file() {
        return Some(folder);
    }
    eprintln!("skipped: no labelled series in {} (set VIGIE_TEST_DATA)", folder.display());
    None
}

#[test]
fn gains_equal_those_computed_by_hand() {
    // Row 2050 of 2000 to 2099 is at -0.5: 0.848284 over 0.986614; row 2198 is one width past the window: -0.986614.
    let windows = [2000..=2099, 6000..=6199];
    assert!((gain(&[2050, 2051], &windows) - 1.859793).abs() < 1e-6);
    assert!((gain(&[749, 2198], &windows) + 0.11 * 0.986614).abs() < 1e-6);
    assert!((gain(&[1000, 2000, 6000], &windows) - 4.0 + 0.11).abs() < 1e-12);
}

#[test]
fn labelled_events_are_found_with_few_false_alarms_whatever_the_threshold() {
    let Some(folder) = data() else { return };
    let labels = std::fs::read_to_string(folder.join("labels.json")).unwrap();
    let labels: BTreeMap<String, Vec<(String, String)>> = serde_json::from_str(&labels).unwrap();
    let thresholds = [0.4, 0.5, 0.6];
    let (mut gained, mut count) = ([0.0; 3], 0);
    for (name, spans) in labels {
        let text = std::fs::read_to_string(folder.join(format!("{name}.csv"))).unwrap();
        let rows: Vec<(&str, f64)> = text
            .lines()
            .skip(1)
            .map(|line| line.split_once(',').map(|(time, value)| (time, value.parse().unwrap())).unwrap())
            .collect();
        // Times are written alike, to the second; a label has a fraction too.
        let row = |time: &str| rows.partition_point(|(other, _)| *other < &time[..19]);
        let windows: Vec<_> = spans.iter().map(|(start, end)| row(start)..=row(end)).collect();
        let mut rarity = Rarity::default();
        let mut last = [LastAlarm::default(); 3];
        let mut alarms: [Vec<usize>; 3] = Default::default();
        for (row, (_, value)) in rows.iter().enumerate() {
            let measure = rarity.measure(*value);
            rarity.learn(*value);
            for ((last, alarms), threshold) in last.iter_mut().zip(&mut alarms).zip(thresholds) {
                if last.verdict(measure, threshold).alarm {
                    alarms.push(row);
                }
            }
        }
        for (gained, alarms) in gained.iter_mut().zip(&alarms) {
            *gained += gain(alarms, &windows);
        }
        count += windows.len();
    }
    let [below, at, above] = gained.map(|gained| 50.0 * gained / count as f64);
    println!("NAB, standard profile, alarms from 0.4, 0.5 and 0.6: {below:.1}, {at:.1}, {above:.1}");
    assert!(at > 85.0 && below > 80.0 && above > 80.0, "{below}, {at}, {above}");
}
