//! What requests say in their headers, and what answers mean by theirs.

use std::time::Duration;

use reqwest::header::{self, HeaderMap, HeaderValue};
use url::Url;
use vigie_clock::Timestamp;

use super::{FetchError, MAX_RETRY_AFTER, Request};

pub(super) fn user_agent(contact: Option<&str>) -> String {
    let about = "vigie/0.1 (+https://github.com/vigie-insights/vigie";
    let contact: String =
        contact.unwrap_or_default().chars().filter(|c| (' '..='~').contains(c) && !matches!(c, '(' | ')')).collect();
    if contact.is_empty() { format!("{about})") } else { format!("{about}; {contact})") }
}

pub(super) fn headers(request: &Request, hop: usize) -> Result<HeaderMap, FetchError> {
    let mut headers = HeaderMap::new();
    headers.insert(header::ACCEPT, HeaderValue::from_static(request.accept));
    // Validators belong to the address that gave them.
    if hop == 0 {
        for (name, value) in
            [(header::IF_NONE_MATCH, &request.etag), (header::IF_MODIFIED_SINCE, &request.last_modified)]
        {
            if let Some(value) = value {
                let value =
                    HeaderValue::from_str(value).map_err(|e| FetchError::Network(format!("stored validator: {e}")))?;
                headers.insert(name, value);
            }
        }
    }
    Ok(headers)
}

pub(super) fn target(from: &Url, headers: &HeaderMap) -> Result<Url, FetchError> {
    let location = headers.get(header::LOCATION).and_then(|value| value.to_str().ok());
    let location = location.ok_or_else(|| FetchError::Redirect("without a location".into()))?;
    let url = from.join(location).map_err(|e| FetchError::Redirect(format!("{e}")))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(FetchError::Redirect(format!("to the scheme {}, expected http or https", url.scheme())));
    }
    if from.scheme() == "https" && url.scheme() == "http" {
        return Err(FetchError::Redirect("from https to http".into()));
    }
    Ok(url)
}

/// `Retry-After` in seconds or as a date (RFC 9110, 10.2.3).
pub(super) fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let value = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    let wait = match value.parse::<u64>() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => crate::dates::parse(value)?.since(now),
    };
    Some(wait.min(MAX_RETRY_AFTER))
}

pub(super) fn fresh_for(headers: &HeaderMap) -> Option<Duration> {
    let value = headers.get(header::CACHE_CONTROL)?.to_str().ok()?;
    let seconds = value.split(',').find_map(|part| part.trim().strip_prefix("max-age="))?;
    seconds.trim_matches('"').parse().ok().map(Duration::from_secs)
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
    use reqwest::header::HeaderName;

    fn with(name: HeaderName, value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_static(value))])
    }

    #[test]
    fn retry_after_is_read_in_both_forms_and_capped() {
        let now = Timestamp::parse_rfc3339("2026-01-01T00:00:00Z").unwrap();
        let read = |value| retry_after(&with(header::RETRY_AFTER, value), now);
        assert_eq!(read("120"), Some(Duration::from_secs(120)));
        assert_eq!(read("Thu, 01 Jan 2026 00:01:00 GMT"), Some(Duration::from_secs(60)));
        assert_eq!(read("Wed, 01 Jan 2020 00:00:00 GMT"), Some(Duration::ZERO));
        assert_eq!(read("999999999999"), Some(MAX_RETRY_AFTER));
        assert_eq!(read("soon"), None);
    }

    #[test]
    fn content_type_and_cache_control_parameters_are_found() {
        assert_eq!(charset("text/xml; Charset=\"ISO-8859-1\"; x=y").as_deref(), Some("ISO-8859-1"));
        assert_eq!(charset("text/xml"), None);
        assert_eq!(fresh_for(&with(header::CACHE_CONTROL, "public, max-age=300")), Some(Duration::from_secs(300)));
    }

    #[test]
    fn a_contact_cannot_break_the_user_agent() {
        assert_eq!(
            user_agent(Some("ops@a.example\r\n)(")),
            "vigie/0.1 (+https://github.com/vigie-insights/vigie; ops@a.example)"
        );
    }
}
