//! How answers are put: format by `Accept`, coding by `Accept-Encoding`, and a body only if the client does not have it yet.

use std::io::Write;
use std::sync::OnceLock;

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use flate2::Compression;
use flate2::write::GzEncoder;
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::http::problem::Problem;

pub(crate) const JSON: &str = "application/json";
pub(crate) const CSV: &str = "text/csv; charset=utf-8";
pub(crate) const NDJSON: &str = "application/x-ndjson";

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
    weighted(text).filter(|(range, _)| range.contains('/'))
}

/// A word with its quality, 1 if it has none.
fn weighted(text: &str) -> Option<(String, f32)> {
    let mut parts = text.split(';').map(str::trim);
    let word = parts.next()?.to_ascii_lowercase();
    let quality = parts.find_map(|part| part.strip_prefix("q=")).map_or(Some(1.0), |q| q.parse().ok())?;
    Some((word, quality))
}

/// The most specific range decides.
fn quality_of(media: &str, ranges: &[(String, f32)]) -> f32 {
    let media = media.split(';').next().unwrap_or(media);
    let kind = media.split('/').next().unwrap_or(media);
    let find = |wanted: &str| ranges.iter().find(|(range, _)| range == wanted).map(|(_, q)| *q);
    find(media).or_else(|| find(&format!("{kind}/*"))).or_else(|| find("*/*")).unwrap_or(0.0)
}

/// `value` as JSON.
pub(crate) fn to_json<T: Serialize + ?Sized>(value: &T) -> Result<Bytes, Problem> {
    serde_json::to_vec(value).map(Bytes::from).map_err(|error| {
        tracing::error!(%error, "answer not serialisable");
        Problem::internal()
    })
}

/// `value` as a tree.
pub(crate) fn to_value<T: Serialize>(value: &T) -> Result<serde_json::Value, Problem> {
    serde_json::to_value(value).map_err(|error| {
        tracing::error!(%error, "answer not serialisable");
        Problem::internal()
    })
}

/// Answers with `value` as JSON, or 304 if the client has it.
pub(crate) fn json<T: Serialize>(headers: &HeaderMap, value: &T) -> Result<Response, Problem> {
    negotiate(headers, &[JSON])?;
    Ok(conditional(headers, JSON, to_json(value)?))
}

/// A body under the name of its version, in the codings that were asked for so far.
pub(crate) struct Answer {
    etag: HeaderValue,
    plain: Bytes,
    gzip: OnceLock<Bytes>,
}

impl Answer {
    pub(crate) fn new(etag: HeaderValue, body: Bytes) -> Self {
        Self { etag, plain: body, gzip: OnceLock::new() }
    }

    /// Named by its own bytes.
    pub(crate) fn of(body: Bytes) -> Self {
        Self::new(etag(&[&body]), body)
    }

    pub(crate) fn etag(&self) -> &HeaderValue {
        &self.etag
    }

    pub(crate) fn body(&self) -> Bytes {
        self.plain.clone()
    }

    /// Bytes that it takes to keep.
    pub(crate) fn size(&self) -> usize {
        self.plain.len() + self.gzip.get().map_or(self.plain.len() / 4, Bytes::len)
    }

    /// The body, or 304 if the client has it. Clients may keep it, but ask each time.
    pub(crate) fn respond(&self, headers: &HeaderMap, media: &'static str) -> Response {
        // Any answer will do for `*`, so it is asked here, where there is one.
        if is_known(headers, &self.etag) || if_none_match(headers).any(|list| list.trim() == "*") {
            return not_modified(self.etag.clone());
        }
        let mut response = if matches!(coding(headers), Ok(Coding::Gzip)) {
            let body = self.gzip.get_or_init(|| gzip(&self.plain)).clone();
            let coded =
                [(header::CONTENT_ENCODING, "gzip"), (header::VARY, "accept-encoding"), (header::CONTENT_TYPE, media)];
            (coded, Body::from(body)).into_response()
        } else {
            ([(header::CONTENT_TYPE, media)], Body::from(self.plain.clone())).into_response()
        };
        add_validators(response.headers_mut(), self.etag.clone());
        response
    }
}

/// Answers with `body`, or 304 if the client has it.
pub(crate) fn conditional(headers: &HeaderMap, media: &'static str, body: Bytes) -> Response {
    Answer::of(body).respond(headers, media)
}

/// Whether the client has what this tag names.
pub(crate) fn is_known(headers: &HeaderMap, etag: &HeaderValue) -> bool {
    etag.to_str().is_ok_and(|etag| if_none_match(headers).any(|list| matches(list, etag)))
}

fn if_none_match(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok())
}

pub(crate) fn not_modified(etag: HeaderValue) -> Response {
    let mut response = StatusCode::NOT_MODIFIED.into_response();
    add_validators(response.headers_mut(), etag);
    response
}

fn add_validators(fields: &mut HeaderMap, etag: HeaderValue) {
    fields.insert(header::ETAG, etag);
    fields.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    fields.append(header::VARY, HeaderValue::from_static("accept"));
}

/// Names what is made of these parts. Weak: a compressed answer has the same one.
pub(crate) fn etag(parts: &[&[u8]]) -> HeaderValue {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    let hex: String = hash.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    HeaderValue::try_from(format!("W/\"{hex}\"")).unwrap_or(HeaderValue::from_static("W/\"\""))
}

/// How a body is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Coding {
    Plain,
    Gzip,
}

/// Which of ours the `Accept-Encoding` header prefers (RFC 9110, 12.5.3); gzip where it is as good.
pub(crate) fn coding(headers: &HeaderMap) -> Result<Coding, Problem> {
    let values = headers.get_all(header::ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    let listed: Vec<(String, f32)> = values.flat_map(|value| value.split(',')).filter_map(weighted).collect();
    let quality = |wanted: &str| listed.iter().find(|(coding, _)| coding == wanted).map(|(_, quality)| *quality);
    let gzip = quality("gzip").or_else(|| quality("*")).unwrap_or(0.0);
    if gzip > 0.0 && quality("identity").is_none_or(|plain| gzip >= plain) {
        Ok(Coding::Gzip)
    } else if quality("identity").or_else(|| quality("*")) != Some(0.0) {
        Ok(Coding::Plain)
    } else {
        Err(Problem::not_acceptable("the answer can be plain (identity) or gzip"))
    }
}

fn gzip(body: &[u8]) -> Bytes {
    let mut encoder = GzEncoder::new(Vec::with_capacity(body.len() / 4), Compression::default());
    let written = encoder.write_all(body).and_then(|()| encoder.finish());
    written.expect("a vector takes every byte").into()
}

/// Weak comparison (RFC 9110, 8.8.3.2) with each of a list.
fn matches(list: &str, etag: &str) -> bool {
    let opaque = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
    list.split(',').any(|tag| opaque(tag) == opaque(etag))
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
    fn the_preferred_coding_is_chosen() {
        let accept = |value: &'static str| {
            let headers = HeaderMap::from_iter([(header::ACCEPT_ENCODING, HeaderValue::from_static(value))]);
            coding(&headers).map_err(|problem| problem.status)
        };
        assert_eq!(coding(&HeaderMap::new()).unwrap(), Coding::Plain);
        for value in ["gzip", "br, gzip;q=0.5", "*", "identity;q=0, gzip", "identity;q=0, *", "GZIP, identity"] {
            assert_eq!(accept(value), Ok(Coding::Gzip), "{value}");
        }
        for value in ["", "br", "gzip;q=0", "identity, gzip;q=0.5", "*;q=0, identity"] {
            assert_eq!(accept(value), Ok(Coding::Plain), "{value}");
        }
        for value in ["identity;q=0", "*;q=0", "br, identity;q=0.0", "gzip;q=0, *;q=0"] {
            assert_eq!(accept(value), Err(406), "{value}");
        }
    }

    #[test]
    fn etags_compare_weakly() {
        let name = |text: &str| etag(&[text.as_bytes()]).to_str().unwrap().to_owned();
        let tag = name("x");
        assert!(matches(&tag, &tag) && matches(&format!("\"other\", {tag}"), &tag));
        assert!(matches(tag.trim_start_matches("W/"), &tag));
        assert!(!matches("\"other\"", &tag) && !matches("", &tag));
        assert_ne!(name("x"), name("y"));
        assert_ne!(etag(&[b"xy", b"z"]), etag(&[b"x", b"yz"]));
    }
}
