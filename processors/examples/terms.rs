//! What rises in an archive, for `models/trend/terms.py`: lines `seconds since 1970, tab, author, tab, text` in the order of time in; lines
//! `when it was reported first, start of the window, hours, term, authors, all authors, significance, expected authors` out, as if posts came when they were
//! published and windows closed when they ended. Times in seconds since 1970. An argument is what chance brings together in an hour; then there are no days. On the standard error, what a post costs.

use std::collections::BTreeMap;
use std::io::{self, BufRead, Write};
use std::sync::Arc;
use std::time::Duration;

use vigie_clock::{Clock, SystemClock, Timestamp};
use vigie_processors::text::{fingerprint::Fingerprint, spam};
use vigie_processors::trends::TrendsOptions;
use vigie_processors::trends::batch::Batch;
use vigie_processors::trends::terms::index::Kept;
use vigie_processors::trends::terms::split;
use vigie_processors::trends::terms::windows::{KnownAssets, Rising, Scale, WindowId, Windows, windows_of};
use vigie_schemas::{Mention, ScoredPost, WHOLE_MARKET};

/// How often windows of an hour are looked at, in event time; those of a day once an hour.
const STEP: Duration = Duration::from_secs(5 * 60);
const EXCERPT: usize = 280;

fn main() -> io::Result<()> {
    let mut posts = Vec::new();
    for line in io::stdin().lock().lines() {
        let line = line?;
        let [seconds, author, text] = line.splitn(3, '\t').collect::<Vec<_>>()[..] else {
            return Err(io::Error::other(format!("{line:?}: expected three columns")));
        };
        posts.push(ScoredPost {
            post_id: format!("p{}", posts.len()),
            source: "archive".to_owned(),
            author_id: (!author.is_empty()).then(|| author.to_owned()),
            excerpt: text.chars().take(EXCERPT).collect(),
            published_at: Timestamp::from_millis(1000 * seconds.parse::<i64>().map_err(io::Error::other)?),
            fingerprint: Fingerprint::of(text).map(Fingerprint::to_long),
            spam_score: Some(spam::judge(text, None, None).score),
            revision: 1,
            ..ScoredPost::default()
        });
    }
    compare(&posts)?;
    let clock = SystemClock::default();
    let (count, started) = (posts.len(), clock.monotonic());
    let mut windows = Windows::new(Arc::new(KnownAssets::bundled().map_err(io::Error::other)?));
    if let Some(chance) = std::env::args().nth(1) {
        windows = windows.with_chance([chance.parse().map_err(io::Error::other)?, f64::INFINITY]);
    }
    let mut first: BTreeMap<(WindowId, String), (Timestamp, Rising)> = BTreeMap::new();
    let mut step = posts.first().map_or(Timestamp::MIN, |post| post.published_at.window_start(STEP));
    let mut look = |windows: &mut Windows, at: Timestamp| {
        let is_hour = at == at.window_start(Scale::Hour.size());
        for window in windows_of(at.saturating_sub(Duration::from_millis(1))) {
            if window.1 == Scale::Day && (!is_hour || std::env::args().len() > 1) {
                continue;
            }
            for rising in windows.rising(window, &Default::default()) {
                first.entry((window, rising.term.clone())).or_insert((at, rising));
            }
        }
        windows.closed_by(at).into_iter().for_each(|window| windows.close(window));
    };
    for post in posts {
        while post.published_at >= step.saturating_add(STEP) {
            step = step.saturating_add(STEP);
            look(&mut windows, step);
        }
        let post = split(post);
        if !post.gone {
            let id = post.post_id.clone();
            assert!(windows.add(&id, &Kept::from(post)).is_empty(), "no archive is so large");
        }
    }
    look(&mut windows, step.saturating_add(STEP));
    let per_post = (clock.monotonic() - started).as_secs_f64() * 1e6 / count.max(1) as f64;
    eprintln!(
        "{count} posts, {per_post:.1} us a post to look for terms, every {} min of event time",
        STEP.as_secs() / 60
    );
    let mut out = io::BufWriter::new(io::stdout().lock());
    for (((start, scale), term), (at, rising)) in first {
        let Rising { authors, all_authors, significance, usual, .. } = rising;
        let [at, start] = [at, start].map(|time| time.as_millis() / 1000);
        let (hours, expected) = (scale.size().as_secs() / 3600, usual.mean * all_authors as f64);
        writeln!(out, "{at}\t{start}\t{hours}\t{term}\t{authors}\t{all_authors}\t{significance:.2}\t{expected:.2}")?;
    }
    out.flush()
}

/// What it costs to count the posts once each, as mentions of the whole market.
fn compare(posts: &[ScoredPost]) -> io::Result<()> {
    let clock = SystemClock::default();
    let started = clock.monotonic();
    let (mut batch, spec) = (Batch::default(), TrendsOptions::default().windows());
    for post in posts {
        let mention = Mention {
            asset: WHOLE_MARKET.to_owned(),
            post_id: post.post_id.clone(),
            author_id: post.author_id.clone(),
            published_at: post.published_at,
            fingerprint: post.fingerprint,
            revision: 1,
            ..Mention::default()
        };
        batch.add(&spec, &mention, 0).map_err(io::Error::other)?;
    }
    let per_post = (clock.monotonic() - started).as_secs_f64() * 1e6 / posts.len().max(1) as f64;
    eprintln!("{per_post:.1} us a post to count it for the whole market, for comparison");
    Ok(())
}
