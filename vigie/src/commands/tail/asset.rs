//! An asset as people name it: `btc`, `Bitcoin`.

use vigie_daemon::ServiceError;
use vigie_processors::assets::AssetTable;

use crate::output::Output;

/// How alike a string is to what was asked for, from which on it is worth a hint (Jaro-Winkler, 0 to 1).
const ALIKE: f64 = 0.8;

/// The id of an asset that is named by id, ticker or name in any case. One that the bundled table does not have stays as it is, with a hint: the
/// pipeline may run with a table of its own.
pub(super) fn canonical(text: &str, output: Output) -> Result<String, ServiceError> {
    let table = AssetTable::bundled().map_err(ServiceError::failed)?;
    match find(&table, text) {
        Ok(id) => Ok(id),
        Err(hint) => {
            let hint = hint.map(|id| format!(", did you mean {id}?")).unwrap_or_default();
            output.note(format!("no asset {text:?} in the bundled table{hint}"));
            Ok(text.to_owned())
        }
    }
}

/// The id, or the one that looks most like it.
fn find(table: &AssetTable, text: &str) -> Result<String, Option<String>> {
    let ids = || table.assets().iter().map(|asset| asset.id.as_str()).chain(["*"]);
    if let Some(id) = ids().find(|id| *id == text).or_else(|| ids().find(|id| id.eq_ignore_ascii_case(text))) {
        return Ok(id.to_owned());
    }
    let lower = text.to_lowercase();
    let mut best: Option<(f64, &str)> = None;
    for asset in table.assets() {
        for name in std::iter::once(&asset.name).chain(asset.all_tickers()).chain(asset.all_names()) {
            let name = name.to_lowercase();
            if name == lower {
                return Ok(asset.id.clone());
            }
            let alike = strsim::jaro_winkler(&name, &lower);
            if alike >= ALIKE && best.is_none_or(|(most, _)| alike > most) {
                best = Some((alike, &asset.id));
            }
        }
    }
    Err(best.map(|(_, id)| id.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn assets_are_known_in_any_case_and_by_name_and_others_get_a_hint() {
        let table = AssetTable::bundled().unwrap();
        for (text, id) in
            [("BTC", "BTC"), ("btc", "BTC"), ("Bitcoin", "BTC"), ("xbt", "BTC"), ("solana", "SOL"), ("*", "*")]
        {
            assert_eq!(find(&table, text).as_deref(), Ok(id), "{text}");
        }
        assert_eq!(find(&table, "bitcon"), Err(Some("BTC".to_owned())));
        assert_eq!(find(&table, "zzqqyyxx"), Err(None));
    }
}
