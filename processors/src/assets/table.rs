//! The asset table: a TOML file, embedded and replaceable.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use sha2::{Digest, Sha256};
use thiserror::Error;

/// The table that is built into the program.
const BUNDLED: &str = include_str!("../../assets/assets.toml");

/// One asset.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Asset {
    /// Canonical id: its best-known ticker, for example `BTC`.
    pub id: String,
    /// Name for people, for example `Bitcoin`.
    pub name: String,
    /// Tickers that mean nothing else; upper-case ASCII.
    #[serde(default)]
    pub tickers: Vec<String>,
    /// Tickers that are also words or other abbreviations; upper-case ASCII, they count as `$TICKER` only.
    #[serde(default)]
    pub ambiguous: Vec<String>,
    /// Names and aliases; lower-case ASCII, matched in any case.
    #[serde(default)]
    pub names: Vec<String>,
    /// True if its price is meant to stay at that of a currency.
    #[serde(default)]
    pub stablecoin: bool,
}

/// All assets, in the order in which they are reported.
#[derive(Clone, Debug)]
pub struct AssetTable {
    version: String,
    assets: Vec<Asset>,
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

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    version: String,
    #[serde(rename = "asset", default)]
    assets: Vec<Asset>,
}

impl AssetTable {
    /// The table that is built into the program.
    pub fn bundled() -> Result<Self, AssetTableError> {
        Self::from_toml(BUNDLED)
    }

    /// The table of a file.
    pub fn from_path(path: &Path) -> Result<Self, AssetTableError> {
        let text =
            fs::read_to_string(path).map_err(|source| AssetTableError::Read { path: path.to_owned(), source })?;
        Self::from_toml(&text)
    }

    /// The file's table if one is given, else the bundled one.
    pub fn load(path: Option<&Path>) -> Result<Self, AssetTableError> {
        path.map_or_else(Self::bundled, Self::from_path)
    }

    /// Parses and checks a table.
    pub fn from_toml(text: &str) -> Result<Self, AssetTableError> {
        let file: File = toml::from_str(text).map_err(|error| AssetTableError::Malformed(error.to_string()))?;
        let mistakes = mistakes(&file.assets);
        if !mistakes.is_empty() {
            return Err(AssetTableError::Invalid(mistakes));
        }
        let digest: String = Sha256::digest(text).iter().take(4).map(|byte| format!("{byte:02x}")).collect();
        Ok(Self { version: format!("{}+{digest}", file.version), assets: file.assets })
    }

    /// The file's version, `+`, and the first 8 hex digits of the SHA-256 of its text, so that an edited table cannot
    /// pass for the original.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// All assets, in table order.
    pub fn assets(&self) -> &[Asset] {
        &self.assets
    }

    /// The asset of an id.
    pub fn get(&self, id: &str) -> Option<&Asset> {
        self.assets.iter().find(|asset| asset.id == id)
    }
}

fn mistakes(assets: &[Asset]) -> Vec<String> {
    let mut found = Vec::new();
    let mut owner: HashMap<String, &str> = HashMap::new();
    let mut ids: HashMap<&str, ()> = HashMap::new();
    if assets.is_empty() {
        found.push("no asset".to_owned());
    }
    for asset in assets {
        let id = asset.id.as_str();
        if ids.insert(id, ()).is_some() {
            found.push(format!("asset {id} is listed twice"));
        }
        let tickers = || asset.tickers.iter().chain(&asset.ambiguous);
        for ticker in tickers().chain([&asset.id]) {
            if ticker.is_empty() || !ticker.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit()) {
                found.push(format!("asset {id}: ticker {ticker:?} is not upper-case ASCII letters and digits"));
            }
        }
        for name in &asset.names {
            let plain = name.is_ascii() && *name == name.to_ascii_lowercase() && name.trim() == name;
            let edges = [name.bytes().next(), name.bytes().last()];
            let bounded = edges.iter().all(|edge| edge.is_some_and(|byte| byte.is_ascii_alphanumeric()));
            if !plain || !bounded {
                found.push(format!("asset {id}: name {name:?} is not lower-case ASCII between letters or digits"));
            }
        }
        if tickers().next().is_none() && asset.names.is_empty() {
            found.push(format!("asset {id} has neither a ticker nor a name"));
        }
        let strings = tickers().map(|ticker| ticker.to_ascii_lowercase()).chain(asset.names.iter().cloned());
        for string in strings {
            match owner.get(string.as_str()) {
                Some(other) if *other != id => found.push(format!("{string:?} belongs to both {other} and {id}")),
                _ => drop(owner.insert(string, id)),
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bundled_table_is_valid_and_has_the_best_known_assets() {
        let table = AssetTable::bundled().unwrap();
        assert!(table.assets().len() >= 120, "{}", table.assets().len());
        for id in ["BTC", "ETH", "LUNA", "UST", "USDT", "SOL", "LINK", "NEAR"] {
            assert!(table.get(id).is_some(), "{id}");
        }
        assert!(table.get("UST").is_some_and(|asset| asset.stablecoin));
    }

    #[test]
    fn all_mistakes_of_a_table_are_listed_at_once() {
        let text = r#"
            version = "1"
            [[asset]]
            id = "AAA"
            name = "A"
            tickers = ["aaa"]
            [[asset]]
            id = "BBB"
            name = "B"
            names = ["Bee", "shared"]
            [[asset]]
            id = "CCC"
            name = "C"
            names = ["shared"]
            [[asset]]
            id = "DDD"
            name = "D"
        "#;
        let Err(AssetTableError::Invalid(mistakes)) = AssetTable::from_toml(text) else { panic!("accepted") };
        assert_eq!(mistakes.len(), 4, "{mistakes:?}");
        assert!(mistakes[2].contains("BBB and CCC"));
    }

    #[test]
    fn another_text_has_another_version() {
        let table = |comment: &str| AssetTable::from_toml(&format!("{BUNDLED}\n# {comment}")).unwrap();
        assert_ne!(table("a").version(), table("b").version());
    }
}
