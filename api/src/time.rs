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

    /// The latest time not after this one at which an interval of `step` seconds begins: weeks with the Monday (ISO 8601), days at midnight
    /// UTC.
    pub(crate) fn floor(self, step: i64) -> Self {
        let since = self.0.as_millisecond() - MONDAY * 1000;
        Self::from_seconds(MONDAY + since.div_euclid(step * 1000) * step)
    }

    /// The earliest time not before this one at which an interval of `step` seconds begins.
    pub(crate) fn ceil(self, step: i64) -> Self {
        let floor = self.floor(step);
        if floor < self { floor.plus(step) } else { floor }
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

/// How a time begins that is not relative.
pub(crate) const YEARS: &str = "^(19|2[0-4])[0-9]{2}-";
/// 1900-01-01T00:00:00Z: before the first post about a crypto asset.
pub(crate) const EARLIEST: jiff::Timestamp = jiff::Timestamp::constant(-2_208_988_800, 0);
/// 2500-01-01T00:00:00Z
pub(crate) const LATEST: jiff::Timestamp = jiff::Timestamp::constant(16_725_225_600, 0);

/// A Monday, in seconds since the epoch: every interval is counted from it, in SQL too.
const MONDAY: i64 = 4 * 86_400;

/// A time that is given as itself, or as seconds before the newest time of the data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum When {
    At(UtcTime),
    Ago(i64),
}

impl When {
    /// The time, where the data reaches to `now`.
    pub(crate) fn at(self, now: UtcTime) -> UtcTime {
        match self {
            Self::At(time) => time,
            Self::Ago(seconds) => now.plus(-seconds),
        }
    }

    /// Whether it is before `other` wherever the data reaches to; `None` if that depends.
    pub(crate) fn is_before(self, other: Self) -> Option<bool> {
        match (self, other) {
            (Self::At(own), Self::At(other)) => Some(own < other),
            (Self::Ago(own), Self::Ago(other)) => Some(own > other),
            _ => None,
        }
    }
}

/// Parses what [`parse`] does, `now`, or `now-` with a number of s, m, h, d or w.
pub(crate) fn parse_when(text: &str) -> Result<When, String> {
    relative(text).map_or_else(|| parse(text).map(When::At), Ok)
}

/// As [`parse_when`], with dates as [`parse_end`] takes them.
pub(crate) fn parse_when_end(text: &str) -> Result<When, String> {
    relative(text).map_or_else(|| parse_end(text).map(When::At), Ok)
}

/// A pattern of what is not a time by itself.
pub(crate) const RELATIVE: &str = "^now(-[0-9]{1,6}[smhdw])?$";

fn relative(text: &str) -> Option<When> {
    let rest = text.strip_prefix("now")?;
    if rest.is_empty() {
        return Some(When::Ago(0));
    }
    let number = rest.strip_prefix('-')?.strip_suffix(['s', 'm', 'h', 'd', 'w'])?;
    let unit = match rest.chars().last()? {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        'd' => 86_400,
        _ => 7 * 86_400,
    };
    let digits = (1..=6).contains(&number.len()) && number.bytes().all(|byte| byte.is_ascii_digit());
    Some(When::Ago(number.parse::<i64>().ok().filter(|_| digits)? * unit))
}

/// Parses RFC 3339, or a date that stands for its first instant in UTC.
pub(crate) fn parse(text: &str) -> Result<UtcTime, String> {
    // A query string turns the plus of an offset into a space.
    let text = text.replacen(' ', "+", 1);
    let time = text
        .parse::<jiff::Timestamp>()
        .or_else(|_| format!("{text}T00:00:00Z").parse::<jiff::Timestamp>())
        .map_err(|_| format!("{text:?}, expected a time as 2022-05-09T12:00:00Z, a date as 2022-05-09, or now-1h"))?;
    // An offset may take the first and the last day out of these years.
    if !(EARLIEST.as_second() - 86_400..LATEST.as_second() + 86_400).contains(&time.as_second()) {
        return Err(format!("{text:?}, expected a time between 1900 and 2500"));
    }
    Ok(UtcTime(time.clamp(EARLIEST, LATEST)))
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
    fn relative_times_are_before_the_newest_of_the_data() {
        let now = parse("2022-05-09T12:00:00Z").unwrap();
        for (text, at) in [
            ("now", "2022-05-09T12:00:00Z"),
            ("now-90s", "2022-05-09T11:58:30Z"),
            ("now-15m", "2022-05-09T11:45:00Z"),
            ("now-1h", "2022-05-09T11:00:00Z"),
            ("now-1d", "2022-05-08T12:00:00Z"),
            ("now-2w", "2022-04-25T12:00:00Z"),
            ("2022-05-09", "2022-05-09T00:00:00Z"),
        ] {
            assert_eq!(parse_when(text).unwrap().at(now).to_string(), at, "{text}");
        }
        assert_eq!(parse_when_end("2022-05-09").unwrap().at(now).to_string(), "2022-05-10T00:00:00Z");
        for text in ["now-", "now-h", "now-1", "now-1y", "now+1h", "now--1h", "now-1000000s", "nowish", "now-1.5h"] {
            assert!(parse_when(text).is_err(), "{text}");
        }
    }

    #[test]
    fn weeks_begin_with_the_monday() {
        let week = 7 * 86_400;
        for day in ["2022-05-09", "2022-05-12", "2022-05-15"] {
            assert_eq!(parse(day).unwrap().floor(week).to_string(), "2022-05-09T00:00:00Z", "{day}");
        }
        assert_eq!(parse("2022-05-10").unwrap().ceil(week).to_string(), "2022-05-16T00:00:00Z");
        assert_eq!(parse("1969-12-31T23:59:59.5Z").unwrap().floor(86_400).to_string(), "1969-12-31T00:00:00Z");
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
