use serde::Serialize;
use utoipa::ToSchema;
use vigie_clock::Timestamp;

/// Length of the windows that everything is counted in, in seconds.
pub(crate) const WINDOW_SECONDS: i64 = vigie_schemas::WINDOW.as_secs() as i64;

/// A time in an answer: RFC 3339, UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema)]
#[serde(transparent)]
#[schema(value_type = String, format = DateTime, example = "2022-05-09T12:00:00Z")]
pub(crate) struct UtcTime(pub(crate) jiff::Timestamp);

impl UtcTime {
    /// `seconds` after the Unix epoch, kept within what a database and RFC 3339 can both hold.
    pub(crate) fn from_seconds(seconds: i64) -> Self {
        let seconds = seconds.clamp(EARLIEST.as_second(), LATEST.as_second());
        Self(jiff::Timestamp::from_second(seconds).unwrap_or(LATEST))
    }

    pub(crate) fn seconds(self) -> i64 {
        self.0.as_second()
    }

    /// The latest multiple of `step` seconds since the epoch that is not after this time.
    pub(crate) fn floor(self, step: i64) -> Self {
        Self::from_seconds(self.0.as_millisecond().div_euclid(step * 1000) * step)
    }

    /// The earliest multiple of `step` seconds since the epoch that is not before this time.
    pub(crate) fn ceil(self, step: i64) -> Self {
        let step_ms = step * 1000;
        Self::from_seconds(-(-self.0.as_millisecond()).div_euclid(step_ms) * step)
    }

    pub(crate) fn plus(self, seconds: i64) -> Self {
        Self::from_seconds(self.seconds().saturating_add(seconds))
    }
}

impl From<jiff::Timestamp> for UtcTime {
    fn from(time: jiff::Timestamp) -> Self {
        Self(time)
    }
}

impl From<Timestamp> for UtcTime {
    fn from(time: Timestamp) -> Self {
        Self(jiff::Timestamp::from_millisecond(time.as_millis()).unwrap_or(LATEST))
    }
}

impl std::fmt::Display for UtcTime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// 1900-01-01T00:00:00Z: before the first post about a crypto asset.
pub(crate) const EARLIEST: jiff::Timestamp = jiff::Timestamp::constant(-2_208_988_800, 0);
/// 2500-01-01T00:00:00Z
pub(crate) const LATEST: jiff::Timestamp = jiff::Timestamp::constant(16_725_225_600, 0);

/// Parses RFC 3339, or a date that stands for its first instant in UTC.
pub(crate) fn parse(text: &str) -> Result<UtcTime, String> {
    // A query string turns the plus of an offset into a space.
    let text = text.replacen(' ', "+", 1);
    let time = text
        .parse::<jiff::Timestamp>()
        .or_else(|_| format!("{text}T00:00:00Z").parse::<jiff::Timestamp>())
        .map_err(|_| format!("{text:?}, expected a time as 2022-05-09T12:00:00Z or a date as 2022-05-09"))?;
    if time < EARLIEST || time > LATEST {
        return Err(format!("{text:?}, expected a time between 1900 and 2500"));
    }
    Ok(UtcTime(time))
}

/// As [`parse`], but a date stands for the first instant of the next day: whoever asks up to a day means all of it.
pub(crate) fn parse_end(text: &str) -> Result<UtcTime, String> {
    let time = parse(text)?;
    Ok(if text.parse::<jiff::Timestamp>().is_err() && !text.contains(' ') { time.plus(86_400) } else { time })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_times_with_offsets_and_dates() {
        for text in ["2022-05-09T12:00:00Z", "2022-05-09T14:00:00+02:00", "2022-05-09T14:00:00 02:00"] {
            assert_eq!(parse(text).unwrap().to_string(), "2022-05-09T12:00:00Z", "{text}");
        }
        assert_eq!(parse("2022-05-09").unwrap().to_string(), "2022-05-09T00:00:00Z");
        assert_eq!(parse_end("2022-05-09").unwrap().to_string(), "2022-05-10T00:00:00Z");
        for text in ["2022-05-09T00:00:00Z", "2022-05-09T02:00:00 02:00"] {
            assert_eq!(parse_end(text).unwrap().to_string(), "2022-05-09T00:00:00Z", "{text}");
        }
        for text in ["", "yesterday", "2022-13-01", "2022-05-09T12:00:00", "0001-01-01", "9999-01-01T00:00:00Z"] {
            assert!(parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn floor_and_ceil_enclose_the_time() {
        let time = parse("2022-05-09T12:02:30.5Z").unwrap();
        assert_eq!(time.floor(300).to_string(), "2022-05-09T12:00:00Z");
        assert_eq!(time.ceil(300).to_string(), "2022-05-09T12:05:00Z");
        let exact = parse("2022-05-09T12:05:00Z").unwrap();
        assert_eq!((exact.floor(300), exact.ceil(300)), (exact, exact));
    }
}
