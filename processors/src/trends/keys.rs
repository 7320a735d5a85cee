//! Keys of the trends stores.
//!
//! Window keys begin with the window's start, so that a range in key order is a range in time: closing windows reads only those that close.
//! An author is a key of its own behind its window's key, so that a new author adds one small changelog record instead of rewriting a set.

use vigie_clock::Timestamp;

/// `start (8 bytes, ordered) | asset`.
pub(crate) fn window(start: Timestamp, asset: &str) -> Vec<u8> {
    let mut key = time(start).to_vec();
    key.extend_from_slice(asset.as_bytes());
    key
}

/// Start and asset of a window key.
pub(crate) fn parse_window(key: &[u8]) -> Option<(Timestamp, &str)> {
    let (start, asset) = key.split_first_chunk::<8>()?;
    let ordered = u64::from_be_bytes(*start);
    Some((Timestamp::from_millis((ordered ^ SIGN) as i64), std::str::from_utf8(asset).ok()?))
}

/// All authors of a window: `window | 0`.
pub(crate) fn authors(start: Timestamp, asset: &str) -> Vec<u8> {
    let mut key = window(start, asset);
    key.push(0);
    key
}

/// One author of a window: `window | 0 | author`.
pub(crate) fn author(start: Timestamp, asset: &str, author: &str) -> Vec<u8> {
    let mut key = authors(start, asset);
    key.extend_from_slice(author.as_bytes());
    key
}

/// Eight bytes that sort as the times do, also before the epoch.
pub(crate) fn time(time: Timestamp) -> [u8; 8] {
    ((time.as_millis() as u64) ^ SIGN).to_be_bytes()
}

const SIGN: u64 = 1 << 63;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn keys_sort_by_time_and_lead_back(a in any::<i64>(), b in any::<i64>(), asset in "[A-Z*]{1,6}") {
            let (ta, tb) = (Timestamp::from_millis(a), Timestamp::from_millis(b));
            prop_assert_eq!(window(ta, "A").cmp(&window(tb, "A")), a.cmp(&b));
            let key = window(ta, &asset);
            prop_assert_eq!(parse_window(&key), Some((ta, asset.as_str())));
        }

        #[test]
        fn authors_of_one_asset_are_no_prefix_of_anothers(author in "[a-f0-9]{1,8}") {
            let start = Timestamp::from_millis(0);
            prop_assert!(!super::author(start, "BTCB", &author).starts_with(&authors(start, "BTC")));
        }
    }
}
