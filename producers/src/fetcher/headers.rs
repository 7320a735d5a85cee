//! What requests say in their headers, and what answers mean by theirs.

use std::time::Duration;

use reqwest::StatusCode;
use reqwest::header::{self, HeaderMap, HeaderName, HeaderValue};
use url::Url;
use vigie_clock::Timestamp;
use vigie_daemon::Secret;

use super::body::ACCEPT_ENCODING;
use super::{FetchError, MAX_RETRY_AFTER, Request};

pub(super) fn user_agent(contact: Option<&str>) -> String {
    let about = "vigie/0.1 (+https://github.com/vigie-insights/vigie";
    let contact: String =
        contact.unwrap_or_default().chars().filter(|c| (' '..='~').contains(c) && !matches!(c, '(' | ')')).collect();
    if contact.is_empty() { format!("{about})") } else { format!("{about}; {contact})") }
}

/// A header that proves who asks. Its `Debug` hides the value.
#[derive(Clone, Debug)]
pub(super) struct Credential {
    pub(super) name: HeaderName,
    pub(super) value: HeaderValue,
}

impl Credential {
    pub(super) fn new(name: HeaderName, value: &str) -> Result<Self, FetchError> {
        let mut value = HeaderValue::from_str(value)
            .map_err(|_| FetchError::Key("the key holds characters that no header can have".into()))?;
        value.set_sensitive(true);
        Ok(Self { name, value })
    }

    pub(super) fn bearer(token: &Secret) -> Result<Self, FetchError> {
        Self::new(header::AUTHORIZATION, &format!("Bearer {}", token.reveal()))
    }
}

/// The longest validator that is kept; a longer one is as good as none.
const MAX_VALIDATOR: usize = 1024;

/// The longest address that a redirect leads to.
const MAX_ADDRESS: usize = 8 * 1024;

/// The headers of a request to `url`, which is the request's own address or one that it was redirected to.
pub(super) fn headers(request: &Request, url: &Url, credential: Option<&Credential>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(header::ACCEPT, HeaderValue::from_static(request.accept));
    headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static(ACCEPT_ENCODING));
    // A key goes to the API that it is for, not to where that sends us.
    if let Some(Credential { name, value }) = credential.filter(|_| request.is_with_access(url)) {
        headers.insert(name.clone(), value.clone());
    }
    // Validators belong to the address that gave them.
    if url == request.validated_by.as_ref().unwrap_or(&request.url) {
        let validators = [(header::IF_NONE_MATCH, &request.etag), (header::IF_MODIFIED_SINCE, &request.last_modified)];
        for (name, value) in validators {
            if let Some(value) = value.as_deref().and_then(to_header) {
                headers.insert(name, value);
            }
        }
    }
    headers
}

/// A validator as text, a character for each byte, so that it can be sent back as it came.
pub(super) fn validator(headers: &HeaderMap, name: HeaderName) -> Option<String> {
    let bytes = headers.get(name)?.as_bytes();
    (!bytes.is_empty() && bytes.len() <= MAX_VALIDATOR).then(|| bytes.iter().map(|byte| char::from(*byte)).collect())
}

fn to_header(validator: &str) -> Option<HeaderValue> {
    let bytes: Option<Vec<u8>> = validator.chars().map(|c| u8::try_from(u32::from(c)).ok()).collect();
    HeaderValue::from_bytes(&bytes?).ok()
}

pub(super) fn target(from: &Url, headers: &HeaderMap) -> Result<Url, FetchError> {
    // Not a few servers write addresses in UTF-8, which the URL parser escapes.
    let location = headers.get(header::LOCATION).and_then(|value| std::str::from_utf8(value.as_bytes()).ok());
    let location = location.ok_or_else(|| FetchError::Redirect("without a location".into()))?;
    if location.len() > MAX_ADDRESS {
        return Err(FetchError::Redirect(format!(
            "to an address of {} bytes, expected {MAX_ADDRESS} at most",
            location.len()
        )));
    }
    let mut url = from.join(location).map_err(|e| FetchError::Redirect(format!("{e}")))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(FetchError::Redirect(format!("to the scheme {}, expected http or https", url.scheme())));
    }
    if from.scheme() == "https" && url.scheme() == "http" {
        return Err(FetchError::Redirect("from https to http".into()));
    }
    // A server has no credentials to give us.
    if !url.username().is_empty() || url.password().is_some() {
        return Err(FetchError::Redirect("to an address with credentials".into()));
    }
    url.set_fragment(None);
    Ok(url)
}

/// `Retry-After` in seconds or as a date (RFC 9110, 10.2.3), by the clock of the server if it says. Without it, of a 429: when the server starts
/// a new count, as X says it (`x-rate-limit-reset`, seconds since the epoch) or Reddit (`x-ratelimit-reset`, seconds from now).
pub(super) fn retry_after(headers: &HeaderMap, status: StatusCode, now: Timestamp) -> Option<Duration> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    let server = || text("date").and_then(crate::content::dates::parse).unwrap_or(now);
    let reset = || {
        let at = text("x-rate-limit-reset").and_then(|at| at.parse::<i64>().ok()?.checked_mul(1000));
        let left = text("x-ratelimit-reset").and_then(|left| Duration::try_from_secs_f64(left.parse().ok()?).ok());
        at.map(|at| Timestamp::from_millis(at).since(server())).or(left)
    };
    let wait = match text("retry-after") {
        Some(value) => match value.parse::<u64>() {
            Ok(seconds) => Some(Duration::from_secs(seconds)),
            Err(_) => crate::content::dates::parse(value).map(|at| at.since(server())),
        },
        None if status == StatusCode::TOO_MANY_REQUESTS => reset(),
        None => None,
    };
    wait.map(|wait| wait.min(MAX_RETRY_AFTER))
}

pub(super) fn charset(content_type: &str) -> Option<String> {
    let parameter = content_type.split(';').skip(1).find_map(|part| {
        let (name, value) = part.split_once('=')?;
        name.trim().eq_ignore_ascii_case("charset").then_some(value)
    })?;
    Some(parameter.trim().trim_matches(['"', '\'']).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(name: HeaderName, value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_static(value))])
    }

    #[test]
    fn retry_after_is_read_in_both_forms_and_capped() {
        let now = Timestamp::parse_rfc3339("2026-01-01T00:00:00Z").unwrap();
        let busy = StatusCode::TOO_MANY_REQUESTS;
        let read = |value| retry_after(&with(header::RETRY_AFTER, value), StatusCode::SERVICE_UNAVAILABLE, now);
        assert_eq!(read("120"), Some(Duration::from_secs(120)));
        assert_eq!(read("Thu, 01 Jan 2026 00:01:00 GMT"), Some(Duration::from_secs(60)));
        assert_eq!(read("Wed, 01 Jan 2020 00:00:00 GMT"), Some(Duration::ZERO));
        assert_eq!(read("999999999999"), Some(MAX_RETRY_AFTER));
        assert_eq!(read("soon"), None);
        // A server whose clock is an hour ahead of ours.
        let mut ahead = with(header::RETRY_AFTER, "Thu, 01 Jan 2026 01:01:00 GMT");
        ahead.insert(header::DATE, HeaderValue::from_static("Thu, 01 Jan 2026 01:00:00 GMT"));
        assert_eq!(retry_after(&ahead, busy, now), Some(Duration::from_secs(60)));
        // Half past midnight, by a server whose clock is right, and by one that is an hour ahead.
        let reset = |name, value| with(HeaderName::from_static(name), value);
        let mut x = reset("x-rate-limit-reset", "1767227400");
        assert_eq!(retry_after(&x, busy, now), Some(Duration::from_secs(1800)));
        assert_eq!(retry_after(&x, StatusCode::UNAUTHORIZED, now), None);
        x.insert(header::DATE, HeaderValue::from_static("Thu, 01 Jan 2026 01:00:00 GMT"));
        assert_eq!(retry_after(&x, busy, now), Some(Duration::ZERO));
        assert_eq!(retry_after(&reset("x-ratelimit-reset", "12.5"), busy, now), Some(Duration::from_millis(12_500)));
        assert_eq!(retry_after(&reset("x-ratelimit-reset", "-1"), busy, now), None);
    }

    #[test]
    fn content_type_parameters_are_found() {
        assert_eq!(charset("text/xml; Charset=\"ISO-8859-1\"; x=y").as_deref(), Some("ISO-8859-1"));
        assert_eq!(charset("text/xml"), None);
    }

    #[test]
    fn redirects_lead_to_the_web_and_never_to_less_safety() {
        let to = |from: &str, location: &'static str| {
            target(&Url::parse(from).unwrap(), &with(header::LOCATION, location)).map(String::from)
        };
        assert_eq!(to("http://a.example/x/y", "../z#part").unwrap(), "http://a.example/z");
        assert_eq!(to("http://a.example/", "https://b.example/").unwrap(), "https://b.example/");
        assert_eq!(to("https://a.example/", "//b.example/z").unwrap(), "https://b.example/z");
        for location in
            ["http://a.example/", "https://me@a.example/", "https://me:pw@a.example/", "gopher://a/", "https://"]
        {
            assert!(matches!(to("https://a.example/", location), Err(FetchError::Redirect(_))), "{location}");
        }
    }

    #[test]
    fn validators_survive_whatever_bytes_they_are_made_of() {
        let odd = HeaderValue::from_bytes(b"W/\"\xe9\xff, 'x'\"").unwrap();
        let kept = validator(&HeaderMap::from_iter([(header::ETAG, odd.clone())]), header::ETAG).unwrap();
        assert_eq!(to_header(&kept), Some(odd));
        assert_eq!(to_header("\u{20ac}"), None);
        let long = HeaderMap::from_iter([(header::ETAG, HeaderValue::from_str(&"x".repeat(2000)).unwrap())]);
        assert_eq!(validator(&long, header::ETAG), None);
    }

    #[test]
    fn a_contact_cannot_break_the_user_agent() {
        assert_eq!(
            user_agent(Some("ops@a.example\r\n)(")),
            "vigie/0.1 (+https://github.com/vigie-insights/vigie; ops@a.example)"
        );
    }
}
