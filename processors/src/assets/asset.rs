//! An entry of the asset table, and the words that decide whether an asset is meant.

use serde::Deserialize;

/// One asset. What each list of strings is evidence of is explained in [`super`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Asset {
    /// Canonical id: its best-known ticker, for example `BTC`.
    pub id: String,
    /// Name for people, for example `Bitcoin`.
    pub name: String,
    /// Tickers that mean nothing else, as they are written (`BTC`, `stETH`).
    pub tickers: Vec<String>,
    /// Tickers that are also words or other abbreviations (`SOL`, `LINK`).
    pub ambiguous: Vec<String>,
    /// Tickers that need evidence beside them in any text (`OP`, `TON`).
    pub beside: Vec<String>,
    /// Tickers that count with a dollar sign or in a pair only (`ONE`, `AI`).
    pub cashtags: Vec<String>,
    /// Tickers that are also written small (`sol`); lower case.
    pub lower: Vec<String>,
    /// Names and aliases that mean nothing else; lower case.
    pub names: Vec<String>,
    /// Names that also count with one wrong letter inside; lower case.
    pub typos: Vec<String>,
    /// Names that count with a capital (`ripple`); lower case.
    pub proper: Vec<String>,
    /// Names that are words too, and need a capital and context (`avalanche`); lower case.
    pub common: Vec<String>,
    /// Names that are common words, and need a capital and evidence beside them (`curve`); lower case.
    pub words: Vec<String>,
    /// ENS names of its project.
    pub ens: Vec<String>,
    /// Addresses of its contracts and mints.
    pub contracts: Vec<String>,
    /// Companies whose shares have one of its tickers; lower case.
    pub companies: Vec<String>,
    /// True if its price is meant to stay at that of a currency.
    pub stablecoin: bool,
}

impl Asset {
    /// All tickers, of whatever strength.
    pub fn all_tickers(&self) -> impl Iterator<Item = &String> {
        self.tickers.iter().chain(&self.ambiguous).chain(&self.beside).chain(&self.cashtags)
    }

    /// All names, of whatever strength.
    pub fn all_names(&self) -> impl Iterator<Item = &String> {
        self.names.iter().chain(&self.proper).chain(&self.common).chain(&self.words)
    }

    /// The lists of strings, by the name of their field.
    pub(super) fn lists(&mut self) -> [(&'static str, &mut Vec<String>); 13] {
        [
            ("tickers", &mut self.tickers),
            ("ambiguous", &mut self.ambiguous),
            ("beside", &mut self.beside),
            ("cashtags", &mut self.cashtags),
            ("lower", &mut self.lower),
            ("names", &mut self.names),
            ("typos", &mut self.typos),
            ("proper", &mut self.proper),
            ("common", &mut self.common),
            ("words", &mut self.words),
            ("ens", &mut self.ens),
            ("contracts", &mut self.contracts),
            ("companies", &mut self.companies),
        ]
    }
}

/// Words around an asset that tell whether it is meant; lower case.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Context {
    /// Anywhere in a text: it is about crypto assets.
    pub words: Vec<String>,
    /// Right behind an asset: nouns.
    pub after: Vec<String>,
    /// Right behind a ticker: what prices do.
    pub moves: Vec<String>,
    /// Right ahead of an asset: what is done with assets.
    pub before: Vec<String>,
    /// May stand between `before` and the asset.
    pub between: Vec<String>,
    /// Right ahead of a name in a text with context: prepositions.
    pub on: Vec<String>,
    /// Join the members of an enumeration.
    pub joins: Vec<String>,
    /// May stand between a ticker and `moves`.
    pub auxiliary: Vec<String>,
    /// Phrases in which a name is none.
    pub never: Vec<String>,
}
