//! Finds the assets of one table in texts.

use std::ops::Range;

use super::context::{Question, Token, Weights, tokenise};
use super::lexicon::Lexicon;
use super::scan::{Candidate, Known, Need, scan};
use super::surroundings::Surroundings;
use super::text::{Form, in_capitals};
use super::{Asset, AssetTable, AssetTableError, Evidence};

/// An asset found in a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AssetHit<'table> {
    /// The asset.
    pub asset: &'table Asset,
    /// The strongest evidence for it.
    pub evidence: Evidence,
}

/// Memory that is used again from text to text.
#[derive(Debug, Default)]
pub struct Scratch {
    candidates: Vec<Candidate>,
    companies: Vec<u32>,
    tokens: Vec<Token>,
    found: Vec<(u32, Evidence)>,
}

impl Scratch {
    /// Where in the text of the last search each asset that was found stands, in bytes, in the order of the hits.
    pub fn places(&self) -> Vec<Vec<Range<usize>>> {
        let of = |asset: u32| self.candidates.iter().filter(move |one| one.counts && one.asset == asset);
        self.found.iter().map(|(asset, _)| of(*asset).map(|one| one.start..one.end).collect()).collect()
    }
}

/// Finds the assets of one table in texts.
#[derive(Clone, Debug)]
pub struct AssetMatcher {
    table: AssetTable,
    lexicon: Lexicon,
    surroundings: Surroundings,
    weights: Weights,
}

/// What the words around the ticker of a company must score for it to be that of an asset.
const LEAST_OF_SHARES: i32 = -64;
/// The same where something beside it speaks for an asset: `SEI mainnet`.
const LEAST_OF_SHARES_BESIDE: i32 = -120;
/// How many sure assets are distinguished.
const FEW: usize = 4;

impl AssetMatcher {
    /// Compiles a table.
    pub fn new(table: AssetTable) -> Result<Self, AssetTableError> {
        let lexicon = Lexicon::new(&table)?;
        let surroundings = Surroundings::new(table.context());
        Ok(Self { table, lexicon, surroundings, weights: Weights::bundled()? })
    }

    /// The table behind the answers.
    pub fn table(&self) -> &AssetTable {
        &self.table
    }

    /// The assets that `text` mentions, each once, in table order.
    pub fn find(&self, text: &str) -> Vec<AssetHit<'_>> {
        self.find_with(&mut Scratch::default(), text).collect()
    }

    /// As [`AssetMatcher::find`], without allocating once `scratch` is large enough.
    pub fn find_with<'t, 's>(
        &'t self,
        scratch: &'s mut Scratch,
        text: &str,
    ) -> impl Iterator<Item = AssetHit<'t>> + use<'t, 's> {
        let Scratch { candidates, companies, tokens, found } = scratch;
        found.clear();
        let context = scan(&self.lexicon, text, candidates, companies);
        if !candidates.is_empty() {
            if candidates.iter().any(|one| self.is_open(one)) {
                let capitals = in_capitals(text);
                let context = self.surroundings.settle(text, capitals, context, candidates);
                tokenise(text, tokens);
                self.weigh(text, (capitals, context), tokens, companies, candidates);
            }
            found.extend(candidates.iter().filter(|one| one.counts).map(|one| (one.asset, one.evidence)));
            found.sort_unstable();
            found.dedup_by_key(|(asset, _)| *asset);
        }
        let assets = self.table.assets();
        found
            .iter()
            .filter_map(|(asset, evidence)| Some(AssetHit { asset: assets.get(*asset as usize)?, evidence: *evidence }))
    }

    fn is_open(&self, one: &Candidate) -> bool {
        one.known != Known::Sure || self.may_be_share(one)
    }

    fn may_be_share(&self, one: &Candidate) -> bool {
        matches!(one.evidence, Evidence::Ticker | Evidence::Cashtag) && self.lexicon.is_listed(one.asset)
    }

    /// Lets the words around decide where the rules leave a doubt.
    fn weigh(
        &self,
        text: &str,
        (capitals, context): (bool, bool),
        tokens: &[Token],
        companies: &[u32],
        candidates: &mut [Candidate],
    ) {
        let mut sure = [u32::MAX; FEW];
        let mut count = 0;
        for one in candidates.iter().filter(|one| matches!(one.need, Need::Nothing | Need::NoDoubt)) {
            if count < FEW && !sure[..count].contains(&one.asset) {
                sure[count] = one.asset;
                count += 1;
            }
        }
        for one in candidates {
            if !self.is_open(one) {
                continue;
            }
            let others = sure[..count].iter().filter(|asset| **asset != one.asset).take(FEW - 1).count() as u32;
            let score = |question| self.weights.score(question, text, tokens, (one.start, one.end), (others, capitals));
            if one.known != Known::Sure {
                let question = if one.named { Question::Name } else { Question::Ticker };
                one.counts = score(question) >= least(one, text.as_bytes(), context);
            }
            if one.counts && self.may_be_share(one) {
                let least = if one.known == Known::Beside { LEAST_OF_SHARES_BESIDE } else { LEAST_OF_SHARES };
                one.counts = !companies.contains(&one.asset) && score(Question::Share) >= least;
            }
        }
    }
}

/// What the words around a candidate must score, in 32nds of a logit: less where the rules have found something, more where it is likelier a word.
/// `context` says whether its text has context.
fn least(one: &Candidate, bytes: &[u8], context: bool) -> i32 {
    let piece = &bytes[one.start..one.end];
    let either = |with: i32, without: i32| if context { with } else { without };
    match (one.known, one.need, Form::of(piece)) {
        (_, Need::Parentheses, _) if piece.len() <= 2 => i32::MAX,
        (Known::Context, Need::Parentheses, _) => 28,
        (_, Need::Parentheses, _) => 64,
        (Known::Beside | Known::Sure, ..) => -90,
        (Known::Context, Need::NoDoubt, _) => -60,
        (Known::Context, ..) if one.named => -100,
        (Known::Context, ..) => -66,
        (_, Need::ContextOnly, _) => 50,
        (.., Form::Small) if one.named => 76,
        (.., Form::Small) => either(38, 76),
        (_, Need::Context, _) if one.named => 10,
        _ if one.named => 40,
        // `LINK: https://example.com`
        (.., Form::Capitals) if bytes.get(one.end) == Some(&b':') => 30,
        (.., Form::Capitals) => either(14, 22),
        _ => 66,
    }
}

#[cfg(test)]
mod tests;
