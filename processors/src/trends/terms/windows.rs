//! Which terms rise: open windows, and what is usual in those that are closed.
//!
//! A term's significance in a window is `(x - max(mean, beta)) / (sqrt(variance + mean (1 - mean) / authors) + beta)` (SigniTrend, see
//! [`baseline`](super::baseline), with the variance of drawing `authors`), `x` being the share of
//! the window's distinct authors that use it, and `beta` that of the [few](Scale::chance) that chance brings together, among the authors of this window or, if they are
//! fewer, of all that were learned. Mean and variance are those of the windows of this length before; of windows
//! that are still open they are folded in as they stand. Windows without an author are passed over: nothing was read then.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use vigie_clock::Timestamp;
use vigie_schemas::{TermInsight, TermKind};

use super::baseline::{Baseline, Learned, Usual};
use super::index::{Kept, WindowIndex};
use crate::assets::{AssetTable, AssetTableError};
use crate::text::terms::kind;

/// What is more significant is reported.
pub const LEAST_SIGNIFICANCE: f64 = 3.0;
/// The most terms of a window that are reported, but for those that were reported before.
const MOST: usize = 50;

/// Lengths of windows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scale {
    /// An hour.
    Hour,
    /// A day.
    Day,
}

impl Scale {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Hour, Self::Day];

    /// How long its windows are.
    pub const fn size(self) -> Duration {
        Duration::from_secs(match self {
            Self::Hour => 3600,
            Self::Day => 24 * 3600,
        })
    }

    /// After this many windows a window counts half.
    const fn half_life(self) -> u32 {
        match self {
            Self::Hour => 24,
            Self::Day => 7,
        }
    }

    /// How many authors use a term by chance.
    pub const fn chance(self) -> f64 {
        match self {
            Self::Hour => 1.5,
            Self::Day => 3.0,
        }
    }

    /// How many windows must be known before anything is reported.
    pub(super) const fn warm_up(self) -> u32 {
        match self {
            Self::Hour => 12,
            Self::Day => 3,
        }
    }
}

/// A window: its start, and how long it is.
pub type WindowId = (Timestamp, Scale);

/// When a window ends.
pub fn end((start, scale): WindowId) -> Timestamp {
    start.saturating_add(scale.size())
}

/// The windows that hold `time`.
pub fn windows_of(time: Timestamp) -> [WindowId; 2] {
    Scale::ALL.map(|scale| (time.window_start(scale.size()), scale))
}

/// A term and how it stands in a window.
#[derive(Clone, Debug, PartialEq)]
pub struct Rising {
    /// As [`crate::text::terms`] has it.
    pub term: String,
    /// Distinct authors who use it, of those that are kept.
    pub authors: usize,
    /// Distinct authors of the window, of those that are kept.
    pub all_authors: usize,
    /// Of the windows before.
    pub usual: Usual,
    /// From [`LEAST_SIGNIFICANCE`] on it is reported.
    pub significance: f64,
}

/// Open windows and baselines.
pub struct Windows {
    pub(super) open: BTreeMap<WindowId, WindowIndex>,
    pub(super) baselines: [Baseline; 2],
    known: Arc<KnownAssets>,
    /// As [`Scale::chance`].
    chance: [f64; 2],
}

/// Ids of assets by ticker or name in lower case.
#[derive(Debug)]
pub struct KnownAssets(HashMap<String, Vec<String>>);

impl KnownAssets {
    /// Those of the bundled table.
    ///
    /// # Errors
    /// If it cannot be read: never, unless this program is wrong.
    pub fn bundled() -> Result<Self, AssetTableError> {
        let mut known: HashMap<String, Vec<String>> = HashMap::new();
        for asset in AssetTable::bundled()?.assets() {
            for name in asset.all_tickers().chain(asset.all_names()) {
                known.entry(name.to_lowercase()).or_default().push(asset.id.clone());
            }
        }
        Ok(Self(known))
    }
}

impl Windows {
    /// With nothing in them.
    pub fn new(known: Arc<KnownAssets>) -> Self {
        let baselines = Scale::ALL.map(|scale| Baseline::new(scale.half_life()));
        Self { open: BTreeMap::new(), baselines, known, chance: Scale::ALL.map(Scale::chance) }
    }

    /// With other constants, to measure what they do.
    #[must_use]
    pub fn with_chance(self, chance: [f64; 2]) -> Self {
        Self { chance, ..self }
    }

    /// Takes a post in that is not there yet; gives the windows that must be rebuilt from all their posts.
    pub fn add(&mut self, post_id: &str, kept: &Kept) -> Vec<WindowId> {
        let full = |window: &WindowId| !self.open.entry(*window).or_default().add(post_id, kept);
        windows_of(kept.published_at).into_iter().filter(full).collect()
    }

    /// The open windows that end by `bound`, in the order of time.
    pub fn closed_by(&self, bound: Timestamp) -> Vec<WindowId> {
        self.open.keys().copied().filter(|window| end(*window) <= bound).collect()
    }

    /// Terms of a window that are significant, the most significant first, and those of `reported`, whether they are or not.
    pub fn rising(&self, window: WindowId, reported: &BTreeSet<String>) -> Vec<Rising> {
        let Some(index) = self.open.get(&window) else { return Vec::new() };
        let baseline = &self.baselines[window.1 as usize];
        let earlier = self.open.range(..window).filter(|((_, scale), _)| *scale == window.1);
        let earlier: Vec<_> =
            earlier.map(|(_, index)| (index, index.all_authors())).filter(|(_, authors)| *authors > 0).collect();
        let all_authors = index.all_authors();
        let learned = earlier.iter().fold(baseline.learned(), |learned, (_, all)| baseline.with(learned, *all));
        let share = |authors: usize| authors as f64 / (all_authors.max(1)) as f64;
        let chance = self.chance[window.1 as usize];
        let beta = chance / learned.authors.min(all_authors as f64).max(1.0);
        // With fewer no term can be significant.
        let least = (chance * (1.0 + LEAST_SIGNIFICANCE)).ceil() as usize;
        let judge = |term: &str, authors: usize| {
            let fold = |(usual, windows): (Usual, u32), (index, all): &(&WindowIndex, usize)| {
                let share = index.authors(term) as f64 / *all as f64;
                (usual.with(share, baseline.alpha(windows)), windows + 1)
            };
            let Learned { windows, .. } = baseline.learned();
            let (usual, _) = earlier.iter().fold((baseline.usual(term), windows), fold);
            let significance = usual.significance(share(authors), all_authors, beta);
            Rising { term: term.to_owned(), authors, all_authors, usual, significance }
        };
        let mut rising = Vec::new();
        if learned.windows >= window.1.warm_up() {
            let often = index.terms(least).filter(|(_, authors)| *authors >= least);
            rising.extend(often.map(|(term, authors)| judge(term, authors)));
            rising.retain(|rising: &Rising| rising.significance >= LEAST_SIGNIFICANCE);
        }
        rising.sort_unstable_by(|a, b| b.significance.total_cmp(&a.significance).then_with(|| a.term.cmp(&b.term)));
        let phrases: Vec<_> = rising.iter().filter(|rising| kind(&rising.term) == TermKind::Phrase).cloned().collect();
        let mut new = 0;
        rising.retain(|rising| {
            reported.contains(&rising.term)
                || !phrases.iter().any(|phrase| is_part(rising, phrase)) && {
                    new += 1;
                    new <= MOST
                }
        });
        let fallen: Vec<_> =
            reported.iter().filter(|term| !rising.iter().any(|rising| rising.term == **term)).collect();
        rising.extend(fallen.into_iter().map(|term| judge(term, index.authors(term))));
        rising
    }

    /// What is to be reported of a term, but for the revision.
    pub(super) fn insight(&self, window: WindowId, rising: Rising) -> TermInsight {
        let Rising { term, authors, all_authors, usual, significance } = rising;
        let index = self.open.get(&window);
        let (about, weight) = index.map_or_else(Default::default, |index| (index.about(&term), index.weight()));
        let half = |posts: i64| 2 * posts >= about.posts;
        let of = |id: &&String| about.assets.get(*id).is_some_and(|posts| half(*posts));
        let asset = self.known.0.get(term.trim_start_matches('$')).and_then(|ids| ids.iter().find(of)).cloned();
        TermInsight {
            kind: kind(&term).to_string(),
            term,
            window_start: window.0,
            window_end: end(window),
            significance,
            authors: authors as i64 * weight,
            posts: about.posts * weight,
            all_authors: all_authors as i64 * weight,
            expected_authors: usual.mean * all_authors as f64 * weight as f64,
            first_seen: about.first_seen.unwrap_or(window.0),
            asset,
            assets: about.assets.into_iter().filter(|(_, posts)| half(*posts)).map(|(asset, _)| asset).collect(),
            examples: about.examples,
            sample: about.sample,
            ..TermInsight::default()
        }
    }

    /// Learns a window that takes no more posts, and forgets it. Those before it must be closed.
    pub fn close(&mut self, window: WindowId) {
        let Some(index) = self.open.remove(&window) else { return };
        let all_authors = index.all_authors();
        if all_authors > 0 {
            let shares = index.terms(2).filter(|(_, authors)| *authors > 1);
            let shares = shares.map(|(term, authors)| (term, authors as f64 / all_authors as f64));
            self.baselines[window.1 as usize].learn(all_authors, shares);
        }
    }
}

/// Whether a term is a word that is hardly used but in a phrase.
fn is_part(word: &Rising, phrase: &Rising) -> bool {
    kind(&word.term) == TermKind::Word
        && phrase.authors * 5 >= word.authors * 4
        && phrase.term.split(' ').any(|part| part == word.term)
}
