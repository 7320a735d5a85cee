//! The names of the asset table, for the API.

use vigie_api::AssetName;
use vigie_daemon::{Check, Mistake};
use vigie_processors::assets::{Asset, AssetsConfig};

/// The API's configuration, checked, with the names of the table.
///
/// # Errors
/// With every mistake.
pub(crate) fn named(api: vigie_api::Config, assets: &AssetsConfig) -> Result<vigie_api::Checked, Vec<Mistake>> {
    let mut check = Check::<vigie_api::Config>::default();
    let (api, table) = (check.part(api.check()), check.part(assets.table()));
    let named = api.zip(table).map(|(api, table)| api.naming(table.assets().iter().map(name).collect()));
    check.finish(named)
}

fn name(asset: &Asset) -> AssetName {
    let (id, name) = (asset.id.clone(), asset.name.clone());
    let mut aliases: Vec<String> =
        asset.all_names().chain(asset.all_tickers()).chain(&asset.ens).map(|alias| alias.to_lowercase()).collect();
    aliases.sort_unstable();
    aliases.dedup();
    aliases.retain(|alias| *alias != id.to_lowercase() && *alias != name.to_lowercase());
    AssetName { id, name, aliases, categories: asset.stablecoin.then(|| "stablecoin".to_owned()).into_iter().collect() }
}

#[cfg(test)]
mod tests {
    use vigie_processors::assets::AssetTable;

    use super::*;

    #[test]
    fn the_table_tells_names_and_kinds() {
        let table = AssetTable::bundled().unwrap();
        let of = |id: &str| name(table.assets().iter().find(|asset| asset.id == id).unwrap());
        let (btc, usdt) = (of("BTC"), of("USDT"));
        assert_eq!((btc.name.as_str(), btc.categories.len()), ("Bitcoin", 0));
        assert!(btc.aliases.contains(&"xbt".to_owned()) && !btc.aliases.contains(&"btc".to_owned()), "{btc:?}");
        assert_eq!(usdt.categories, ["stablecoin"]);
    }
}
