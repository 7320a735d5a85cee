//! The alerts of mentions that are all there already, for `models/trend/alerts.py`: lines `seconds since 1970, tab, asset, tab, score or -` in the order of
//! time in, lines `end of the window, asset, kind, seconds looked at, value, expected` out.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::io::{self, BufRead, Write};
use std::time::Duration;

use vigie_clock::Timestamp;
use vigie_processors::trends::TrendsOptions;
use vigie_processors::trends::history::{AssetHistory, Terms};
use vigie_processors::trends::window::WindowState;
use vigie_schemas::Mention;

fn main() -> io::Result<()> {
    let options = TrendsOptions::default();
    let spec = options.windows();
    let mut windows: BTreeMap<(Timestamp, String), WindowState> = BTreeMap::new();
    for line in io::stdin().lock().lines() {
        let line = line?;
        let [seconds, asset, score] = line.split('\t').collect::<Vec<_>>()[..] else {
            return Err(io::Error::other(format!("{line:?}: expected three columns")));
        };
        let at = Timestamp::from_millis(1000 * seconds.parse::<i64>().map_err(io::Error::other)?);
        let score: Option<f64> = score.parse().ok();
        let label = score.map(|score| if score < 0.0 { "negative" } else { "positive" }.to_owned());
        let mention = Mention { published_at: at, label, score, ..Mention::default() };
        windows.entry((spec.window_of(at).start, asset.to_owned())).or_default().add(&mention, true, false, 0);
    }
    let Some(((first, _), _)) = windows.first_key_value() else { return Ok(()) };
    let first = *first;
    let terms = Terms {
        policy: options.policy(),
        complete_before: Timestamp::from_millis(i64::MAX),
        complete_from: Some(first),
    };
    let mut histories: BTreeMap<String, AssetHistory> = BTreeMap::new();
    let mut out = io::BufWriter::new(io::stdout().lock());
    let starts: BTreeSet<(Timestamp, String)> = windows.keys().cloned().collect();
    for (start, asset) in starts {
        let history = histories.entry(asset.clone()).or_insert_with(|| AssetHistory::new(start, start));
        let of = |start| Ok::<_, Infallible>(windows.get(&(start, asset.clone())).cloned());
        let Ok(learned) = history.learn(&spec, spec.starting_at(start).end, &terms, of);
        for (start, found) in learned.findings {
            let end = start.saturating_add(spec.size).as_millis() / 1000;
            let scale = Duration::from_secs(spec.size.as_secs() * found.windows.unsigned_abs()).as_secs();
            let expected = found.expected.unwrap_or(f64::NAN);
            writeln!(out, "{end}\t{asset}\t{}\t{scale}\t{:.3}\t{expected:.3}", found.kind, found.value)?;
        }
    }
    out.flush()
}
