//! What is usual of every term, in bounded memory: the sketch of SigniTrend.
//!
//! Schubert, Weiler and Kriegel, "SigniTrend: Scalable Detection of Emerging Topics in Textual Streams by Hashed Significance Thresholds", KDD 2014. A term has
//! a cell in each of `ROWS` rows, by its hash. A cell learns, window by window, the greatest share of those of its terms; of a term that of its cells
//! counts whose mean is the least. So terms that share cells are taken for more usual than they are, never for less.
//!
//! Mean and variance are weighted exponentially (Finch, "Incremental calculation of weighted mean and variance", 2009): with `d = x - mean`,
//! `mean += alpha d` and `variance = (1 - alpha) (variance + alpha d d)`. `alpha` is that of the half-life, but of the `n`-th window `1 / n` at least:
//! what was learned first would weigh too much otherwise.

use std::hash::Hasher;

use serde::{Deserialize, Serialize};
use siphasher::sip::SipHasher13;

/// Rows of cells.
const ROWS: usize = 3;
const WIDTH_BITS: u32 = 15;
const WIDTH: usize = 1 << WIDTH_BITS;
/// Cells that are stored together.
const BLOCK: usize = 1024;
/// Bytes of a stored cell.
const CELL: usize = 8;
/// How many blocks a sketch is stored in.
pub(super) const BLOCKS: usize = ROWS * WIDTH / BLOCK;

/// What is usual of a term: its share of the authors.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Usual {
    /// Of the shares.
    pub mean: f64,
    /// Of the shares.
    pub variance: f64,
}

impl Usual {
    /// With one more window.
    #[must_use]
    pub fn with(self, share: f64, alpha: f64) -> Self {
        let deviation = share - self.mean;
        Self {
            mean: self.mean + alpha * deviation,
            variance: (1.0 - alpha) * (self.variance + alpha * deviation * deviation),
        }
    }

    /// How far the share of `authors` is above what is usual, in standard deviations; `beta` is the share that chance brings together.
    ///
    /// To the variance of the shares comes that of drawing so few authors: a window that has just begun has few of them.
    pub fn significance(self, share: f64, authors: usize, beta: f64) -> f64 {
        let drawing = self.mean * (1.0 - self.mean) / authors.max(1) as f64;
        (share - self.mean.max(beta)) / ((self.variance + drawing).sqrt() + beta)
    }
}

/// What a baseline stands on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Learned {
    /// How many windows.
    pub windows: u32,
    /// Their authors, those of a window half after the half-life.
    pub authors: f64,
}

/// What is usual of every term, in windows of one length.
#[derive(Clone, Debug)]
pub struct Baseline {
    learned: Learned,
    half_life: u32,
    /// Mean and variance.
    cells: Vec<(f32, f32)>,
}

impl Baseline {
    /// Knows nothing. The weight of a window halves with `half_life` others.
    pub fn new(half_life: u32) -> Self {
        Self { learned: Learned::default(), half_life, cells: vec![(0.0, 0.0); ROWS * WIDTH] }
    }

    /// What it stands on.
    pub fn learned(&self) -> Learned {
        self.learned
    }

    /// The weight of the window after `windows` others.
    pub fn alpha(&self, windows: u32) -> f64 {
        self.fading().max(1.0 / (f64::from(windows) + 1.0))
    }

    fn fading(&self) -> f64 {
        1.0 - 0.5_f64.powf(1.0 / f64::from(self.half_life))
    }

    /// What it would stand on with a window of this many authors.
    pub fn with(&self, learned: Learned, authors: usize) -> Learned {
        let authors = learned.authors * (1.0 - self.fading()) + authors as f64;
        Learned { windows: learned.windows + 1, authors }
    }

    /// What is usual of a term.
    pub fn usual(&self, term: &str) -> Usual {
        let cells = places(term).map(|place| self.cells[place]);
        let (mean, variance) =
            cells.into_iter().min_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1))).unwrap_or_default();
        Usual { mean: mean.into(), variance: variance.into() }
    }

    /// Learns a window of this many authors by the shares of its terms. What has none has 0.
    pub fn learn<'t>(&mut self, authors: usize, shares: impl Iterator<Item = (&'t str, f64)>) {
        let mut seen = vec![0.0_f64; self.cells.len()];
        for (term, share) in shares {
            places(term).into_iter().for_each(|place| seen[place] = share.max(seen[place]));
        }
        let alpha = self.alpha(self.learned.windows);
        for ((mean, variance), share) in self.cells.iter_mut().zip(seen) {
            let usual = Usual { mean: (*mean).into(), variance: (*variance).into() }.with(share, alpha);
            (*mean, *variance) = (usual.mean as f32, usual.variance as f32);
        }
        self.learned = self.with(self.learned, authors);
    }

    /// What it stands on, and its cells, to be stored; `None` for a block that holds only zeros.
    pub(super) fn to_blocks(&self) -> (Learned, impl Iterator<Item = Option<Vec<u8>>>) {
        let blocks = self.cells.chunks(BLOCK).map(|cells| {
            let bytes = cells.iter().flat_map(|(mean, variance)| [mean.to_le_bytes(), variance.to_le_bytes()].concat());
            cells.iter().any(|cell| *cell != (0.0, 0.0)).then(|| bytes.collect())
        });
        (self.learned, blocks)
    }

    /// Takes up what was stored.
    pub(super) fn load(&mut self, learned: Learned, blocks: impl Iterator<Item = Option<bytes::Bytes>>) {
        self.learned = learned;
        for (cells, bytes) in self.cells.chunks_mut(BLOCK).zip(blocks) {
            let Some(bytes) = bytes else { continue };
            for (cell, bytes) in cells.iter_mut().zip(bytes.as_chunks::<CELL>().0) {
                let [a, b, c, d, e, f, g, h] = *bytes;
                *cell = (f32::from_le_bytes([a, b, c, d]), f32::from_le_bytes([e, f, g, h]));
            }
        }
    }
}

/// The same on every machine and in every version, as it is stored.
pub(super) fn hash(text: &str) -> u64 {
    let mut hasher = SipHasher13::new();
    hasher.write(text.as_bytes());
    hasher.finish()
}

fn places(term: &str) -> [usize; ROWS] {
    let hash = hash(term);
    std::array::from_fn(|row| row * WIDTH + (hash >> (WIDTH_BITS * row as u32)) as usize % WIDTH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_term_is_as_usual_as_its_weighted_mean_and_variance_say() {
        let mut baseline = Baseline::new(24);
        for share in [0.1, 0.3, 0.2] {
            baseline.learn(10, [("luna", share)].into_iter());
        }
        let usual = baseline.usual("luna");
        // While there are few windows all weigh the same.
        assert!((usual.mean - 0.2).abs() < 1e-6 && (usual.variance - 0.02 / 3.0).abs() < 1e-6, "{usual:?}");
        assert_eq!(baseline.usual("depeg"), Usual::default());
        let deviation = (0.02_f64 / 3.0 + 0.2 * 0.8 / 100.0).sqrt();
        assert!((usual.significance(0.6, 100, 0.01) - 0.4 / (deviation + 0.01)).abs() < 1e-4);
        for _ in 0..24 * 40 {
            baseline.learn(10, std::iter::empty());
        }
        assert!(baseline.usual("luna").mean < 1e-9, "what is not said any more is forgotten");
        // 10 / (1 - 0.5^(1/24)): all of it, long ago's half as much with each half-life.
        assert!((baseline.learned().authors - 351.26).abs() < 0.1, "{:?}", baseline.learned());
    }

    #[test]
    fn a_sketch_comes_back_from_its_blocks() {
        let mut baseline = Baseline::new(24);
        baseline.learn(10, [("luna", 0.5), ("depeg", 0.25)].into_iter());
        let (learned, blocks) = baseline.to_blocks();
        let blocks: Vec<_> = blocks.map(|block| block.map(bytes::Bytes::from)).collect();
        assert_eq!(blocks.len(), BLOCKS);
        assert!(blocks.iter().flatten().count() <= 2 * ROWS);
        let mut again = Baseline::new(24);
        again.load(learned, blocks.into_iter());
        assert_eq!(
            (again.learned(), again.usual("luna"), again.usual("depeg")),
            (learned, baseline.usual("luna"), baseline.usual("depeg"))
        );
    }

    #[test]
    fn terms_that_share_cells_are_never_taken_for_less_usual() {
        let mut baseline = Baseline::new(24);
        let terms: Vec<String> = (0..20_000).map(|n| format!("term{n}")).collect();
        let share = |n: usize| 1.0 / (n + 1) as f64;
        baseline.learn(10, terms.iter().enumerate().map(|(n, term)| (term.as_str(), share(n))));
        for (n, term) in terms.iter().enumerate() {
            assert!(baseline.usual(term).mean >= share(n) - 1e-6, "{term}");
        }
        let exact = terms[..2_000].iter().enumerate().filter(|(n, term)| baseline.usual(term).mean < share(*n) * 1.01);
        assert!(exact.count() > 1_990, "the greatest shares are what they are");
    }
}
