//! Precision and recall on the labelled posts of `models/assets`; `evaluate.py` there prints them with intervals.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeSet;
use std::path::Path;

use vigie_processors::assets::{AssetMatcher, AssetTable};

/// What both must reach on either half.
const FLOOR: f64 = 0.97;

#[derive(Default)]
struct Tally {
    right: usize,
    found: usize,
    wanted: usize,
}

fn measure(name: &str) -> Tally {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/assets").join(name);
    let matcher = AssetMatcher::new(AssetTable::bundled().unwrap()).unwrap();
    let mut tally = Tally::default();
    for line in std::fs::read_to_string(path).unwrap().lines() {
        let [_, assets, text] = line.splitn(3, '\t').collect::<Vec<_>>()[..] else { panic!("{line}") };
        let wanted: BTreeSet<&str> = assets.split(',').filter(|asset| *asset != "-").collect();
        if let Some(unknown) = wanted.iter().find(|asset| matcher.table().get(asset).is_none()) {
            panic!("{line}: no asset {unknown}");
        }
        let hits = matcher.find(text);
        let found: BTreeSet<&str> = hits.iter().map(|hit| hit.asset.id.as_str()).collect();
        tally.right += wanted.intersection(&found).count();
        tally.found += found.len();
        tally.wanted += wanted.len();
    }
    tally
}

fn holds_the_floor(name: &str) {
    let Tally { right, found, wanted } = measure(name);
    let (precision, recall) = (right as f64 / found as f64, right as f64 / wanted as f64);
    println!("{name}: precision {precision:.3}, recall {recall:.3} of {wanted} mentions");
    assert!(precision >= FLOOR && recall >= FLOOR, "{name}: precision {precision:.3}, recall {recall:.3}");
}

#[test]
fn precision_and_recall_hold_on_the_half_that_rules_were_tuned_on() {
    holds_the_floor("tune.tsv");
}

#[test]
fn precision_and_recall_hold_on_posts_labelled_after_the_rules() {
    holds_the_floor("later.tsv");
}

#[test]
fn precision_and_recall_hold_on_the_other_half() {
    holds_the_floor("held_out.tsv");
}
