//! Reading JSON that may be of any shape.

use serde_json::Value;
use url::Url;
use vigie_clock::Timestamp;

use crate::content::dates;
use crate::content::document::ParseError;

/// Reads a document.
pub(crate) fn read(bytes: &[u8]) -> Result<Value, ParseError> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    serde_json::from_slice(bytes).map_err(|e| ParseError::Json(e.to_string()))
}

/// A text that is not empty.
pub(crate) fn text<'a>(value: &'a Value, name: &str) -> Option<&'a str> {
    value.get(name).and_then(Value::as_str).map(str::trim).filter(|text| !text.is_empty())
}

/// Whether it says so.
pub(crate) fn flag(value: &Value, name: &str) -> bool {
    value.get(name).and_then(Value::as_bool).unwrap_or(false)
}

/// A native id, which comes as a number or as text; at most 128 bytes that can stand in a post id.
pub(crate) fn id(value: &Value, name: &str) -> Option<String> {
    match value.get(name)? {
        Value::Number(number) => Some(number.to_string()),
        Value::String(text) if is_id(text) => Some(text.clone()),
        _ => None,
    }
}

/// Whether a text can stand in a post id.
pub(crate) fn is_id(text: &str) -> bool {
    !text.is_empty() && text.len() <= 128 && text.bytes().all(|b| b.is_ascii_graphic())
}

/// A point in time, as text or as seconds since the epoch.
pub(crate) fn time(value: &Value, name: &str) -> Option<Timestamp> {
    match value.get(name)? {
        Value::Number(number) => number.as_i64().and_then(|s| s.checked_mul(1000)).map(Timestamp::from_millis),
        Value::String(text) => dates::parse(text),
        _ => None,
    }
}

/// The elements of a list; nothing if it is none.
pub(crate) fn list<'a>(value: &'a Value, name: &str) -> &'a [Value] {
    value.get(name).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

/// An address with these parameters, unless it has them already.
pub(crate) fn with_query(url: &Url, pairs: &[(&str, &str)]) -> Url {
    let mut out = url.clone();
    for (name, value) in pairs {
        if !url.query_pairs().any(|(key, _)| key == *name) {
            out.query_pairs_mut().append_pair(name, value);
        }
    }
    out
}
