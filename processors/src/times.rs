//! Times on the command line: RFC 3339, a day, or how long ago.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use vigie_clock::Timestamp;
use vigie_daemon::Context;

pub use vigie_daemon::units::parse_duration;

/// The beginning of a range; a day stands for its first instant in UTC.
///
/// # Errors
/// If the text is none of these.
pub fn since(text: &str) -> Result<Timestamp, String> {
    parse(text, 0, Context::system().clock.now())
}

/// The end of a range, which is not part of it; a day stands for the first instant of the next.
///
/// # Errors
/// As [`since`].
pub fn until(text: &str) -> Result<Timestamp, String> {
    parse(text, 1, Context::system().clock.now())
}

fn parse(text: &str, days: i64, now: Timestamp) -> Result<Timestamp, String> {
    if let Ok(time) = Timestamp::parse_rfc3339(text) {
        return Ok(time);
    }
    let day = text.parse::<Date>().ok().filter(|_| text.len() == 10);
    if let Some(day) = day.and_then(|day| day.checked_add(jiff::Span::new().days(days)).ok()) {
        return day.to_zoned(TimeZone::UTC).map(|day| day.timestamp().into()).map_err(|e| e.to_string());
    }
    parse_duration(text).map(|ago| now.saturating_sub(ago)).map_err(|_| {
        format!("{text:?}, expected a time in RFC 3339, a day like 2026-01-31, or how long ago, for example 1h")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_days_and_lengths_of_time_are_understood() {
        let now = Timestamp::parse_rfc3339("2026-01-31T12:00:00Z").unwrap();
        let read = |text, days| parse(text, days, now).map(|time| time.to_string());
        assert_eq!(read("2026-01-31T12:00:00+02:00", 1).as_deref(), Ok("2026-01-31T10:00:00Z"));
        assert_eq!(read("2026-01-31", 0).as_deref(), Ok("2026-01-31T00:00:00Z"));
        assert_eq!(read("2026-01-31", 1).as_deref(), Ok("2026-02-01T00:00:00Z"));
        assert_eq!(read("1h30m", 0).as_deref(), Ok("2026-01-31T10:30:00Z"));
        assert_eq!(read("2d", 0).as_deref(), Ok("2026-01-29T12:00:00Z"));
        assert!(read("yesterday", 0).unwrap_err().contains("RFC 3339") && read("2026-02-31", 0).is_err());
    }
}
