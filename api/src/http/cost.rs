//! What a question costs of a client's budget, by what it makes the database do. The table is in docs/security.md.

use url::form_urlencoded;

use crate::http::answer::{ARROW, NDJSON};
use crate::time::{UtcTime, WINDOW_SECONDS, parse_when, parse_when_end};

/// No single question costs more.
const MOST: u32 = 20;
/// What may take the database seconds costs as much, or more.
const EXPENSIVE: u32 = 5;
/// Points of series that are one unit's worth.
const POINTS: i64 = 1000;
const PAGE_DAYS: i64 = 30;

/// Of a request to `route`, before its parameters are checked: what is wrong with them is refused later, and costs the same.
pub(crate) fn cost(route: &str, query: &str, accept: &str, now: UtcTime) -> u32 {
    let (mut from, mut to, mut assets, mut has_words, mut as_of) = (None, now, 1, false, false);
    let (mut interval, mut unique) = (WINDOW_SECONDS, false);
    let mut is_export = accept.contains(NDJSON) || accept.contains(ARROW);
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        match &*name {
            "from" => from = parse_when(&value).ok().map(|when| when.at(now)),
            "to" => to = parse_when_end(&value).map_or(to, |when| when.at(now)),
            "assets" => assets = value.split(',').count(),
            "text" => has_words = true,
            "format" => is_export = matches!(&*value, "ndjson" | "arrow"),
            "as_of" => as_of = true,
            "unique" => unique = value == "true",
            "interval" => interval = seconds(&value).unwrap_or(interval),
            _ => {}
        }
    }
    let units = |count: i64| u32::try_from(count).unwrap_or(u32::MAX);
    let range = from.map_or(0, |from| (to.seconds() - from.seconds()).max(0));
    let months = units(range / (PAGE_DAYS * 86_400));
    let points = units((range / interval).saturating_mul(i64::try_from(assets).unwrap_or(i64::MAX)) / POINTS);
    let assets = u32::try_from(assets).unwrap_or(u32::MAX);
    let cost = match route {
        "/v1/assets/{asset}/series" | "/v1/series" => months.saturating_add(1).saturating_mul(assets).max(points),
        "/v1/search" | "/v1/assets/{asset}/posts" if is_export => MOST,
        // Looks at every post that has the words.
        "/v1/search/volume" => MOST,
        "/v1/search" => months.saturating_add(5),
        // Compares each post with those of the day before it.
        "/v1/assets/{asset}/posts" if unique && !has_words => EXPENSIVE,
        "/v1/assets/{asset}/posts" if has_words => months.saturating_add(5),
        "/v1/trends" | "/v1/market-trends" if as_of => 5,
        "/v1/trends" | "/v1/market-trends" => 2,
        // Cheap, but nobody should open many.
        "/v1/authors/{author_id}" => MOST,
        // Has the issuer asked.
        "/login/callback" => MOST,
        _ => 1,
    };
    cost.min(MOST)
}

/// Whether it may take the database seconds. Handles and logins cost much for other reasons.
pub(crate) fn is_expensive(route: &str, cost: u32) -> bool {
    cost >= EXPENSIVE && !matches!(route, "/v1/authors/{author_id}" | "/login/callback")
}

/// As 5m, 1h, 1d or 1w.
fn seconds(interval: &str) -> Option<i64> {
    let (count, unit) = interval.split_at_checked(interval.len().checked_sub(1)?)?;
    let unit = match unit {
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        "w" => 7 * 86_400,
        _ => return None,
    };
    count.parse::<i64>().ok()?.checked_mul(unit).filter(|seconds| *seconds > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wide_ranges_many_assets_and_words_cost_more() {
        let now = UtcTime::from_seconds(1_800_000_000);
        for (route, query, accept, expected) in [
            ("/docs", "", "", 1),
            ("/v1/assets", "from=nonsense&x=%FF", "", 1),
            ("/v1/assets/{asset}/series", "", "", 1),
            ("/v1/assets/{asset}/series", "from=now-90d&interval=1h", "", 4),
            ("/v1/assets/{asset}/series", "from=now-30d", "", 8),
            ("/v1/assets/{asset}/series", "from=now-30d&interval=0m", "", 8),
            ("/v1/assets/{asset}/series", "from=2022-01-01&to=2022-01-31&interval=4h", "", 2),
            ("/v1/assets/{asset}/series", "from=1900-01-01", "", MOST),
            ("/v1/series", "assets=BTC,ETH,SOL&from=now-30d&interval=1d", "", 6),
            ("/v1/series", "assets=BTC,ETH,SOL&from=now&to=now-30d", "", 3),
            ("/v1/search", "q=luna", "", 5),
            ("/v1/search", "q=luna", NDJSON, MOST),
            ("/v1/search", "q=luna&format=json", NDJSON, 5),
            ("/v1/search", "q=luna&format=arrow", "", MOST),
            ("/v1/assets/{asset}/posts", "", ARROW, MOST),
            ("/v1/assets/{asset}/posts", "format=ndjson", "*/*", MOST),
            ("/v1/search/volume", "q=luna&from=now-92d", "", MOST),
            ("/v1/assets/{asset}/posts", "", "", 1),
            ("/v1/assets/{asset}/posts", "text=luna", "", 5),
            ("/v1/assets/{asset}/posts", "unique=true", "", EXPENSIVE),
            ("/v1/assets/{asset}/posts", "unique=false", "", 1),
            ("/v1/trends", "as_of=now", "", 5),
            ("/v1/authors/{author_id}", "", "", MOST),
        ] {
            assert_eq!(cost(route, query, accept, now), expected, "{route} {query}");
        }
    }
}
