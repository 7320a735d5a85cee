//! What people call an asset.

use std::collections::HashMap;
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};

use crate::http::params::AssetId;

/// An asset of the table that finds assets in texts.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AssetName {
    /// Canonical id, as `BTC`.
    pub id: String,
    /// As people write it, as `Bitcoin Cash`.
    pub name: String,
    /// Other names and tickers.
    pub aliases: Vec<String>,
    /// Kinds that the table knows, as `stablecoin`.
    pub categories: Vec<String>,
}

/// The names of all assets. Whoever asks for one may use any of them, in any case.
pub(crate) struct Names {
    assets: HashMap<String, AssetName>,
    /// By id, name, slug or alias in lower case.
    ids: HashMap<String, String>,
    digest: u64,
}

impl Names {
    /// Ids come before names and slugs, these before aliases; of equal ones the first counts.
    pub(crate) fn new(all: &[AssetName]) -> Self {
        let mut ids = HashMap::new();
        let mut add = |name: &str, id: &str| {
            ids.entry(name.to_lowercase()).or_insert_with(|| id.to_owned());
        };
        all.iter().for_each(|asset| add(&asset.id, &asset.id));
        for asset in all {
            add(&asset.name, &asset.id);
            add(&slug(&asset.name), &asset.id);
        }
        all.iter().for_each(|asset| asset.aliases.iter().for_each(|alias| add(alias, &asset.id)));
        let mut hasher = DefaultHasher::new();
        all.hash(&mut hasher);
        let assets = all.iter().map(|asset| (asset.id.clone(), asset.clone())).collect();
        Self { assets, ids, digest: hasher.finish() }
    }

    /// The id of whom the table knows; what it does not know as it is.
    pub(crate) fn canonical(&self, asked: &AssetId) -> AssetId {
        if self.assets.contains_key(&asked.0) {
            return asked.clone();
        }
        self.ids.get(&asked.0.to_lowercase()).cloned().map_or_else(|| asked.clone(), AssetId)
    }

    pub(crate) fn of(&self, id: &str) -> Option<&AssetName> {
        self.assets.get(id)
    }
}

/// Two tables that differ are distinguished.
impl fmt::Debug for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.digest)
    }
}

/// `Bitcoin Cash` as `bitcoin-cash`.
pub(crate) fn slug(name: &str) -> String {
    let words = name.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join("-").to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(id: &str, name: &str, aliases: &[&str]) -> AssetName {
        let aliases = aliases.iter().map(|&alias| alias.to_owned()).collect();
        AssetName { id: id.to_owned(), name: name.to_owned(), aliases, categories: Vec::new() }
    }

    #[test]
    fn an_asset_answers_to_its_names_and_ids_come_first() {
        let names = Names::new(&[
            named("BTC", "Bitcoin", &["xbt", "eth"]),
            named("ETH", "Ethereum", &["ether"]),
            named("BCH", "Bitcoin Cash", &["bitcoin"]),
            named("stETH", "Lido Staked ETH", &[]),
        ]);
        let canonical = |text: &str| names.canonical(&AssetId(text.to_owned())).0;
        for (asked, id) in [
            ("BTC", "BTC"),
            ("btc", "BTC"),
            ("Bitcoin", "BTC"),
            ("XBT", "BTC"),
            ("eth", "ETH"),
            ("bitcoin-cash", "BCH"),
            ("bitcoin cash", "BCH"),
            ("STETH", "stETH"),
            ("*", "*"),
            ("nobody", "nobody"),
        ] {
            assert_eq!(canonical(asked), id, "{asked}");
        }
        assert_eq!(names.of("BCH").map(|asset| asset.name.as_str()), Some("Bitcoin Cash"));
    }
}
