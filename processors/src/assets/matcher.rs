//! Finds the assets of one table in texts.

use super::lexicon::Lexicon;
use super::scan::{Candidate, scan};
use super::surroundings::Surroundings;
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
    found: Vec<(u32, Evidence)>,
}

/// Finds the assets of one table in texts.
#[derive(Clone, Debug)]
pub struct AssetMatcher {
    table: AssetTable,
    lexicon: Lexicon,
    surroundings: Surroundings,
}

impl AssetMatcher {
    /// Compiles a table.
    pub fn new(table: AssetTable) -> Result<Self, AssetTableError> {
        let lexicon = Lexicon::new(&table)?;
        let surroundings = Surroundings::new(table.context());
        Ok(Self { table, lexicon, surroundings })
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
        let Scratch { candidates, found } = scratch;
        found.clear();
        let context = scan(&self.lexicon, text, candidates);
        if !candidates.is_empty() {
            self.surroundings.settle(text, context, candidates);
            found.extend(candidates.iter().filter(|one| one.counts).map(|one| (one.asset, one.evidence)));
            found.sort_unstable();
            found.dedup_by_key(|(asset, _)| *asset);
        }
        let assets = self.table.assets();
        found
            .iter()
            .filter_map(|(asset, evidence)| Some(AssetHit { asset: assets.get(*asset as usize)?, evidence: *evidence }))
    }
}

#[cfg(test)]
mod tests;
