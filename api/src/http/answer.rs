//! How answers are put: format by `Accept`, coding by `Accept-Encoding`, and a body only if the client does not have it yet.

use std::io::{self, Write};
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
/// A stream of Arrow's IPC format.
pub(crate) const ARROW: &str = "application/vnd.apache.arrow.stream";
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
    coded: [OnceLock<Bytes>; CODINGS.len()],
}

impl Answer {
    pub(crate) fn new(etag: HeaderValue, body: Bytes) -> Self {
        Self { etag, plain: body, coded: Default::default() }
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
        let coded: usize = self.coded.iter().filter_map(OnceLock::get).map(Bytes::len).sum();
        self.plain.len() + coded.max(self.plain.len() / 4)
    }

    pub(crate) fn is_coded(&self, coding: usize) -> bool {
        self.coded[coding].get().is_some()
    }

    /// The body in one of [`CODINGS`], which is made the first time.
    pub(crate) fn coded(&self, coding: usize) -> Bytes {
        let encode = || CODINGS[coding].1(&self.plain).expect("a vector takes every byte").into();
        self.coded[coding].get_or_init(encode).clone()
    }

    /// The body, or 304 if the client has it. Clients may keep it, but ask each time.
    pub(crate) fn respond(&self, headers: &HeaderMap, media: &'static str) -> Response {
        // Any answer will do for `*`, so it is asked here, where there is one.
        if is_known(headers, &self.etag) || if_none_match(headers).any(|list| list.trim() == "*") {
            return not_modified(self.etag.clone());
        }
        let mut response = if let Ok(Some(at)) = coding(headers) {
            let name = CODINGS[at].0;
            let coded =
                [(header::CONTENT_ENCODING, name), (header::VARY, "accept-encoding"), (header::CONTENT_TYPE, media)];
            (coded, Body::from(self.coded(at))).into_response()
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

type Encode = fn(&[u8]) -> io::Result<Vec<u8>>;

/// Content codings, the preferred ones first. An answer is coded once and sent often, so levels are above the fastest ones.
const CODINGS: [(&str, Encode); 3] = [("zstd", zstd), ("br", brotli), ("gzip", gzip)];

/// Which of [`CODINGS`] the `Accept-Encoding` header prefers (RFC 9110, 12.5.3), where it is as good as none at all.
pub(crate) fn coding(headers: &HeaderMap) -> Result<Option<usize>, Problem> {
    let values = headers.get_all(header::ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    let listed: Vec<(String, f32)> = values.flat_map(|value| value.split(',')).filter_map(weighted).collect();
    let quality = |wanted: &str| listed.iter().find(|(coding, _)| coding == wanted).map(|(_, quality)| *quality);
    let least = quality("identity").unwrap_or(0.0).max(f32::MIN_POSITIVE);
    let mut best: Option<(usize, f32)> = None;
    for (at, (name, _)) in CODINGS.iter().enumerate() {
        // Whoever names none has gzip, most likely.
        let any = if *name == "gzip" { quality("*") } else { None };
        let wanted = quality(name).or(any).unwrap_or(0.0);
        if wanted >= least && best.is_none_or(|(_, most)| wanted > most) {
            best = Some((at, wanted));
        }
    }
    match best {
        Some((at, _)) => Ok(Some(at)),
        None if quality("identity").or_else(|| quality("*")) != Some(0.0) => Ok(None),
        None => Err(Problem::not_acceptable("the answer can be plain (identity), zstd, br or gzip")),
    }
}

fn zstd(body: &[u8]) -> io::Result<Vec<u8>> {
    zstd::bulk::compress(body, 6)
}

fn brotli(body: &[u8]) -> io::Result<Vec<u8>> {
    let mut coded = Vec::with_capacity(body.len() / 4);
    brotli::CompressorWriter::new(&mut coded, 4096, 5, 20).write_all(body)?;
    Ok(coded)
}

fn gzip(body: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(body.len() / 4), Compression::default());
    encoder.write_all(body)?;
    encoder.finish()
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
            coding(&headers).map(|at| at.map_or("identity", |at| CODINGS[at].0)).map_err(|problem| problem.status)
        };
        assert_eq!(coding(&HeaderMap::new()).unwrap(), None);
        let cases: [(&str, &[&'static str]); 4] = [
            ("zstd", &["gzip, deflate, br, zstd", "zstd;q=0.5, gzip;q=0.4"]),
            ("br", &["gzip, deflate, br", "br, identity;q=0.0"]),
            ("gzip", &["gzip", "br;q=0.4, gzip;q=0.5", "*", "identity;q=0, gzip", "identity;q=0, *", "GZIP, identity"]),
            ("identity", &["", "deflate", "gzip;q=0", "identity, gzip;q=0.5", "*;q=0, identity"]),
        ];
        for (wanted, values) in cases {
            for value in values {
                assert_eq!(accept(value), Ok(wanted), "{value}");
            }
        }
        for value in ["identity;q=0", "*;q=0", "deflate, identity;q=0.0", "gzip;q=0, *;q=0"] {
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
