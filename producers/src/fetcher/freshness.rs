//! How long an answer stays current, as its headers say (RFC 9111 as a private cache reads it).

use std::time::Duration;

use reqwest::header::{self, HeaderMap, HeaderName};
use vigie_clock::Timestamp;

use crate::content::dates;

/// The freshness that is left of an answer that came at `now`: `max-age` less `Age`, else `Expires` less `Date`; none with `no-cache`, `no-store`, or
/// where the headers do not say or contradict themselves. `s-maxage` is for shared caches, which we are not.
pub(super) fn fresh_for(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let mut max_age = None;
    for (name, value) in directives(headers) {
        match name.as_str() {
            "no-cache" | "no-store" => return None,
            // Repeated with another value, the answer counts as stale (RFC 9111, 4.2.1).
            "max-age" => {
                let seconds = value.unwrap_or_default().trim_matches('"').parse::<u64>().ok();
                if max_age.is_some_and(|before| before != seconds) {
                    return None;
                }
                max_age = Some(seconds);
            }
            _ => {}
        }
    }
    if let Some(seconds) = max_age {
        let age = text(headers, header::AGE).and_then(|age| age.trim().parse::<u64>().ok()).unwrap_or_default();
        return Some(Duration::from_secs(seconds?.saturating_sub(age)));
    }
    // "0" and whatever else is no date mean: already expired.
    let expires = dates::parse(&text(headers, header::EXPIRES)?)?;
    let date = text(headers, header::DATE).and_then(|date| dates::parse(&date)).unwrap_or(now);
    Some(expires.since(date))
}

/// The directives of `Cache-Control` with their values, commas in quotes respected.
fn directives(headers: &HeaderMap) -> Vec<(String, Option<String>)> {
    let mut found = Vec::new();
    for line in headers.get_all(header::CACHE_CONTROL).iter().filter_map(|value| value.to_str().ok()) {
        let mut in_quotes = false;
        let parts = line.split(|c| {
            in_quotes ^= c == '"';
            c == ',' && !in_quotes
        });
        for part in parts {
            let (name, value) = part.split_once('=').map_or((part, None), |(name, value)| (name, Some(value.trim())));
            found.push((name.trim().to_ascii_lowercase(), value.map(str::to_owned)));
        }
    }
    found
}

fn text(headers: &HeaderMap, name: HeaderName) -> Option<String> {
    headers.get(name)?.to_str().ok().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use reqwest::header::HeaderValue;

    #[test]
    fn cache_control_expires_and_age_are_read_together() {
        const DATE: (HeaderName, &str) = (header::DATE, "Thu, 01 Jan 2026 00:00:00 GMT");
        const LATER: (HeaderName, &str) = (header::EXPIRES, "Thu, 01 Jan 2026 00:10:00 GMT");
        let cache = |value| (header::CACHE_CONTROL, value);
        // Our own clock is wrong by a day, which a server's Date puts right.
        let now = Timestamp::parse_rfc3339("2026-01-02T00:00:00Z").unwrap();
        type Case<'a> = (&'a [(HeaderName, &'static str)], Option<u64>);
        let cases: &[Case<'_>] = &[
            (&[], None),
            (&[cache("public, max-age=300")], Some(300)),
            (&[cache("Public, Max-Age=\"300\"")], Some(300)),
            (&[cache("max-age=300"), (header::AGE, "100")], Some(200)),
            (&[cache("max-age=300"), (header::AGE, "1000")], Some(0)),
            (&[cache("max-age=300, s-maxage=9000")], Some(300)),
            (&[cache("s-maxage=9000")], None),
            (&[cache("max-age=300, no-cache")], None),
            (&[cache("no-store"), DATE, LATER], None),
            (&[cache("max-age=300"), cache("no-cache")], None),
            (&[cache("max-age=300"), cache("max-age=60")], None),
            (&[cache("max-age=-5")], None),
            (&[cache("max-age=99999999999999999999999")], None),
            (&[cache("private=\"a, no-store\", max-age=7")], Some(7)),
            (&[DATE, LATER], Some(600)),
            (&[DATE, LATER, cache("max-age=5")], Some(5)),
            (&[LATER], Some(0)),
            (&[DATE, (header::EXPIRES, "0")], None),
            (&[DATE, (header::EXPIRES, "Wed, 31 Dec 2025 00:00:00 GMT")], Some(0)),
        ];
        for (given, expected) in cases {
            let mut headers = HeaderMap::new();
            for (name, value) in *given {
                headers.append(name.clone(), HeaderValue::from_static(value));
            }
            assert_eq!(fresh_for(&headers, now), expected.map(Duration::from_secs), "{given:?}");
        }
    }
}
