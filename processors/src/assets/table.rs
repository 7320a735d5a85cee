//! The asset table: a TOML file in the program, and one of the user's over it.

use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use sha2::{Digest, Sha256};
use thiserror::Error;

use super::check;
use super::file::File;

/// The table that is built into the program.
pub(super) const BUNDLED: &str = include_str!("../../assets/assets.toml");

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
    pub(super) fn lists(&mut self) -> [(&'static str, &mut Vec<String>); 11] {
        [
            ("tickers", &mut self.tickers),
            ("ambiguous", &mut self.ambiguous),
            ("beside", &mut self.beside),
            ("cashtags", &mut self.cashtags),
            ("lower", &mut self.lower),
            ("names", &mut self.names),
            ("proper", &mut self.proper),
            ("common", &mut self.common),
            ("words", &mut self.words),
            ("ens", &mut self.ens),
            ("contracts", &mut self.contracts),
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

/// All assets, in the order in which they are reported.
#[derive(Clone, Debug)]
pub struct AssetTable {
    version: String,
    assets: Vec<Asset>,
    context: Context,
}

/// Why a table was refused.
#[derive(Debug, Error)]
pub enum AssetTableError {
    /// The file cannot be read.
    #[error("cannot read asset table {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// The file is not TOML of the right shape.
    #[error("asset table is malformed: {0}")]
    Malformed(String),
    /// The entries contradict the rules; every mistake is listed.
    #[error("asset table has {} mistakes: {}", .0.len(), .0.join("; "))]
    Invalid(Vec<String>),
}

impl AssetTable {
    /// The table that is built into the program.
    pub fn bundled() -> Result<Self, AssetTableError> {
        Self::from_toml(BUNDLED)
    }

    /// The bundled table, with the user's file over it if one is given.
    pub fn load(path: Option<&Path>) -> Result<Self, AssetTableError> {
        let Some(path) = path else { return Self::bundled() };
        let text =
            fs::read_to_string(path).map_err(|source| AssetTableError::Read { path: path.to_owned(), source })?;
        Self::extended(&text)
    }

    /// The bundled table with the entries of `text` over it: see `docs/assets.md` for what they may say.
    pub fn extended(text: &str) -> Result<Self, AssetTableError> {
        let bundled = Self::bundled()?;
        let file = File::parse(text)?;
        let base = if file.replaces() { Self { assets: Vec::new(), ..bundled } } else { bundled };
        let number = base.version.split('+').next().unwrap_or_default().to_owned();
        let (assets, context, lines) = file.over(base.assets, base.context)?;
        Self::checked(format!("{number}+{}", digest(&[BUNDLED, text])), assets, context, &lines)
    }

    /// Parses and checks a table that stands by itself.
    pub fn from_toml(text: &str) -> Result<Self, AssetTableError> {
        let file = File::parse(text)?;
        let number = file.version().ok_or_else(|| AssetTableError::Malformed("missing field `version`".to_owned()))?;
        let version = format!("{number}+{}", digest(&[text]));
        let (assets, context, lines) = file.over(Vec::new(), Context::default())?;
        Self::checked(version, assets, context, &lines)
    }

    fn checked(
        version: String,
        assets: Vec<Asset>,
        context: Context,
        lines: &check::Lines,
    ) -> Result<Self, AssetTableError> {
        let mistakes = check::mistakes(&assets, &context, lines);
        if mistakes.is_empty() {
            Ok(Self { version, assets, context })
        } else {
            Err(AssetTableError::Invalid(mistakes))
        }
    }

    /// The bundled table's version, `+sha256:`, and the first 12 hex digits of the SHA-256 of the texts it is made of, so
    /// that an edited or extended table cannot pass for the original.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// All assets, in table order.
    pub fn assets(&self) -> &[Asset] {
        &self.assets
    }

    /// Words around assets.
    pub fn context(&self) -> &Context {
        &self.context
    }

    /// The asset of an id.
    pub fn get(&self, id: &str) -> Option<&Asset> {
        self.assets.iter().find(|asset| asset.id == id)
    }
}

fn digest(texts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for text in texts {
        hash.update(text);
        hash.update([0]);
    }
    let hex: String = hash.finalize().iter().take(6).map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

#[cfg(test)]
mod tests;
