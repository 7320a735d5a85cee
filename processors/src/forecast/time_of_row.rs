//! When a row of a CSV file is.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use super::WINDOW_MILLIS;

/// Milliseconds since 1970 of an RFC 3339 time, or of a time without an offset, taken as UTC.
pub(super) fn millis(text: &str) -> Option<i64> {
    let text = text.trim();
    if let Ok(time) = text.parse::<jiff::Timestamp>() {
        return Some(time.as_millisecond());
    }
    let time: DateTime = text.parse().ok()?;
    Some(time.to_zoned(TimeZone::UTC).ok()?.timestamp().as_millisecond())
}

/// The number of the window that a time lies in.
pub(super) fn window(millis: i64) -> i64 {
    millis.div_euclid(WINDOW_MILLIS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_with_and_without_an_offset_are_read() {
        assert_eq!(millis("1970-01-01 00:05:00"), Some(300_000));
        assert_eq!(millis("1970-01-01T02:05:00.250+02:00"), Some(300_250));
        assert_eq!(millis("2015-02-26 21:42:53").map(window), Some(4_749_956));
        assert_eq!(millis("yesterday"), None);
    }
}
