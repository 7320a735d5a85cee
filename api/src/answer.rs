//! How answers are put: format by `Accept`, and a body only if the client does not have it yet.

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::problem::Problem;

pub(crate) const JSON: &str = "application/json";
pub(crate) const CSV: &str = "text/csv; charset=utf-8";

/// Which of `offered` media types the `Accept` header prefers (RFC 9110, 12.5.1); the first if all are as good.
pub(crate) fn negotiate<'a>(headers: &HeaderMap, offered: &[&'a str]) -> Result<&'a str, Problem> {
    let mut values = headers.get_all(header::ACCEPT).iter().peekable();
    if values.peek().is_none() {
        return offered.first().copied().ok_or_else(Problem::internal);
    }
    let ranges: Vec<(String, f32)> =
        values.filter_map(|v| v.to_str().ok()).flat_map(|v| v.split(',')).filter_map(media_range).collect();
    let mut best: Option<(&str, f32)> = None;
    for media in offered {
        let quality = quality_of(media, &ranges);
        if quality > 0.0 && best.is_none_or(|(_, q)| quality > q) {
            best = Some((media, quality));
        }
    }
    best.map(|(media, _)| media)
        .ok_or_else(|| Problem::not_acceptable(format!("the answer can be {}", offered.join(" or "))))
}

fn media_range(text: &str) -> Option<(String, f32)> {
    let mut parts = text.split(';').map(str::trim);
    let range = parts.next().filter(|r| r.contains('/'))?.to_ascii_lowercase();
    let quality = parts.find_map(|p| p.strip_prefix("q=")).map_or(Some(1.0), |q| q.parse().ok())?;
    Some((range, quality))
}

/// The most specific range decides.
fn quality_of(media: &str, ranges: &[(String, f32)]) -> f32 {
    let media = media.split(';').next().unwrap_or(media);
    let kind = media.split('/').next().unwrap_or(media);
    let find = |wanted: &str| ranges.iter().find(|(range, _)| range == wanted).map(|(_, q)| *q);
    find(media).or_else(|| find(&format!("{kind}/*"))).or_else(|| find("*/*")).unwrap_or(0.0)
}

/// `value` as JSON.
pub(crate) fn to_json<T: Serialize>(value: &T) -> Result<Bytes, Problem> {
    serde_json::to_vec(value).map(Bytes::from).map_err(|error| {
        tracing::error!(%error, "answer not serialisable");
        Problem::internal()
    })
}

/// Answers with `value` as JSON, or 304 if the client has it.
pub(crate) fn json<T: Serialize>(headers: &HeaderMap, value: &T) -> Result<Response, Problem> {
    negotiate(headers, &[JSON])?;
    Ok(conditional(headers, JSON, to_json(value)?))
}

/// Answers with `body`, or 304 if the client has it. Clients may keep it, but ask each time.
pub(crate) fn conditional(headers: &HeaderMap, media: &'static str, body: Bytes) -> Response {
    let etag = etag(&body);
    let fresh =
        headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|v| v.to_str().ok()).any(|v| matches(v, &etag));
    let mut response = if fresh {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        ([(header::CONTENT_TYPE, media)], Body::from(body)).into_response()
    };
    let fields = response.headers_mut();
    if let Ok(etag) = HeaderValue::from_str(&etag) {
        fields.insert(header::ETAG, etag);
    }
    fields.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    fields.append(header::VARY, HeaderValue::from_static("accept"));
    response
}

/// Weak: a compressed answer has the same one.
fn etag(body: &[u8]) -> String {
    let hash = Sha256::digest(body);
    let hex: String = hash.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    format!("W/\"{hex}\"")
}

/// Weak comparison (RFC 9110, 8.8.3.2) with each of a list.
fn matches(list: &str, etag: &str) -> bool {
    let opaque = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
    list.trim() == "*" || list.split(',').any(|tag| opaque(tag) == opaque(etag))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accept(value: &'static str) -> Result<&'static str, u16> {
        let headers = HeaderMap::from_iter([(header::ACCEPT, HeaderValue::from_static(value))]);
        negotiate(&headers, &[JSON, CSV]).map_err(|problem| problem.status)
    }

    #[test]
    fn the_preferred_format_is_chosen() {
        assert_eq!(negotiate(&HeaderMap::new(), &[JSON, CSV]).unwrap(), JSON);
        assert_eq!(accept("*/*"), Ok(JSON));
        assert_eq!(accept("text/csv"), Ok(CSV));
        assert_eq!(accept("text/*"), Ok(CSV));
        assert_eq!(accept("application/json;q=0.5, text/csv"), Ok(CSV));
        assert_eq!(accept("application/json; charset=utf-8"), Ok(JSON));
        assert_eq!(accept("text/csv;q=0, */*"), Ok(JSON));
        assert_eq!(accept("image/png"), Err(406));
        assert_eq!(accept("application/json;q=0"), Err(406));
    }

    #[test]
    fn etags_compare_weakly() {
        let tag = etag(b"x");
        assert!(matches(&tag, &tag) && matches("*", &tag) && matches(&format!("\"other\", {tag}"), &tag));
        assert!(matches(tag.trim_start_matches("W/"), &tag));
        assert!(!matches("\"other\"", &tag) && !matches("", &tag));
        assert_ne!(etag(b"x"), etag(b"y"));
    }
}
