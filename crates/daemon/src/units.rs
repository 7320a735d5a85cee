//! Lengths of time and sizes as people write them in options: `500ms`, `1h 30m`, `3650d`, `64MiB`.

use std::fmt::Display;
use std::ops::{Bound, RangeBounds};
use std::time::Duration;

use jiff::{Span, SpanRelativeTo};

/// The unit that an option is kept in.
#[derive(Clone, Copy)]
enum Unit {
    Time { suffix: &'static str, milliseconds: u128 },
    Size { suffix: &'static str, bytes: u128 },
}

/// The suffixes of sizes, with their bytes.
const SIZES: [(&str, u128); 5] = [("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

/// A value parser of lengths of time (`10s`, `500ms`) in whole milliseconds. A plain number is one of milliseconds.
pub fn milliseconds<T: Number>(range: impl RangeBounds<T> + Parser) -> impl ValueParser<T> {
    number(Unit::Time { suffix: "ms", milliseconds: 1 }, range)
}

/// As [`milliseconds`], in whole seconds.
pub fn seconds<T: Number>(range: impl RangeBounds<T> + Parser) -> impl ValueParser<T> {
    number(Unit::Time { suffix: "s", milliseconds: 1_000 }, range)
}

/// As [`milliseconds`], in whole hours.
pub fn hours<T: Number>(range: impl RangeBounds<T> + Parser) -> impl ValueParser<T> {
    number(Unit::Time { suffix: "h", milliseconds: 3_600_000 }, range)
}

/// As [`milliseconds`], in whole days of 24 hours.
pub fn days<T: Number>(range: impl RangeBounds<T> + Parser) -> impl ValueParser<T> {
    number(Unit::Time { suffix: "d", milliseconds: 86_400_000 }, range)
}

/// A value parser of sizes (`64MiB`, `512KiB`) in bytes. A plain number is one of bytes.
pub fn bytes<T: Number>(range: impl RangeBounds<T> + Parser) -> impl ValueParser<T> {
    number(Unit::Size { suffix: "B", bytes: 1 }, range)
}

/// As [`bytes`], in whole MiB.
pub fn mebibytes<T: Number>(range: impl RangeBounds<T> + Parser) -> impl ValueParser<T> {
    number(Unit::Size { suffix: "MiB", bytes: 1 << 20 }, range)
}

/// The parsed text: any type of whole number.
pub trait Number: TryFrom<u128> + PartialOrd + Display {}
impl<T: TryFrom<u128> + PartialOrd + Display> Number for T {}

/// What clap asks of what parses a value.
pub trait Parser: Clone + Send + Sync + 'static {}
impl<T: Clone + Send + Sync + 'static> Parser for T {}

/// A function that clap takes as a value parser.
pub trait ValueParser<T>: Fn(&str) -> Result<T, String> + Parser {}
impl<T, F: Fn(&str) -> Result<T, String> + Parser> ValueParser<T> for F {}

fn number<T: Number>(unit: Unit, range: impl RangeBounds<T> + Parser) -> impl ValueParser<T> {
    move |text: &str| {
        let parsed = match text.parse::<u128>() {
            Ok(number) => Some(number),
            Err(_) => unit.count(text)?,
        };
        let number = parsed.and_then(|number| T::try_from(number).ok()).filter(|number| range.contains(number));
        number.ok_or_else(|| format!("expected {}", unit.expected(&range)))
    }
}

impl Unit {
    /// How many of the unit the text stands for; `None` if it is not a whole number of them.
    fn count(self, text: &str) -> Result<Option<u128>, String> {
        let (amount, per_unit) = match self {
            Self::Time { milliseconds, .. } => (parse_duration(text)?.as_nanos(), milliseconds * 1_000_000),
            Self::Size { bytes, .. } => (parse_size(text)?, bytes),
        };
        Ok((amount % per_unit == 0).then_some(amount / per_unit))
    }

    fn expected<T: Display>(self, range: &impl RangeBounds<T>) -> String {
        let (Self::Time { suffix, .. } | Self::Size { suffix, .. }) = self;
        match (range.start_bound(), range.end_bound()) {
            (Bound::Included(least), Bound::Included(most)) => format!("{least}{suffix} to {most}{suffix}"),
            (Bound::Included(least), _) => format!("at least {least}{suffix}"),
            _ => format!("a whole number of {suffix}"),
        }
    }
}

/// A size in bytes: a whole number and a suffix.
fn parse_size(text: &str) -> Result<u128, String> {
    let size = SIZES.iter().find_map(|(suffix, bytes)| {
        text.strip_suffix(suffix)?.trim_end().parse::<u64>().ok().map(|number| u128::from(number) * bytes)
    });
    size.ok_or_else(|| format!("{text:?} is not a size, expected for example 64MiB or 512KiB"))
}

/// Parses a length of time: a number and a unit (`ms`, `s`, `m`, `h`, `d`, `w`), or several such pairs. A day has 24 hours.
///
/// # Errors
/// If the text is not one, or it is negative. The message says what was expected.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let expected = || format!("{text:?} is not a length of time, expected for example 500ms, 6h or 30d");
    let span: Span = text.parse().map_err(|_| expected())?;
    let signed = span.to_duration(SpanRelativeTo::days_are_24_hours()).map_err(|_| expected())?;
    Duration::try_from(signed).map_err(|_| expected())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn common_spellings_are_understood() {
        for (text, seconds) in
            [("6h", 21_600), ("3650d", 315_360_000), ("1h 30m", 5_400), ("1h30m", 5_400), ("2w", 1_209_600)]
        {
            assert_eq!(parse_duration(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        assert_eq!(parse_duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(parse_duration("0s"), Ok(Duration::ZERO));
    }

    #[test]
    fn options_take_a_unit_or_the_number_of_their_own_within_their_range() {
        let time = milliseconds(100..=60_000_u64);
        for (text, expected) in [("500ms", 500), ("5s", 5_000), ("1m", 60_000), ("250", 250)] {
            assert_eq!(time(text), Ok(expected), "{text}");
        }
        for text in ["5ms", "61s", "5", "100100us"] {
            assert_eq!(time(text), Err("expected 100ms to 60000ms".into()), "{text}");
        }
        assert!(time("soon").unwrap_err().contains("500ms"));
        let days = days(31..);
        assert_eq!((days("400d"), days("45"), days("30d")), (Ok(400_i32), Ok(45), Err("expected at least 31d".into())));
        assert_eq!(days("800h"), Err("expected at least 31d".into()), "not whole days");
        assert_eq!((hours::<u32>(..)("1d"), seconds::<u64>(..)("1.5s").is_err()), (Ok(24), true));
        let size = mebibytes(8..=65_536_u32);
        for (text, expected) in [("64MiB", 64), ("1GiB", 1_024), ("65536KiB", 64), ("8", 8)] {
            assert_eq!(size(text), Ok(expected), "{text}");
        }
        assert_eq!(size("9000KiB"), Err("expected 8MiB to 65536MiB".into()), "not whole MiB");
        assert!(size("64MB").unwrap_err().contains("64MiB") && size("99999999999TiB").is_err());
        assert_eq!(bytes(1..)("8 MiB"), Ok(8_u64 << 20));
    }

    #[test]
    fn anything_else_is_refused_with_an_example() {
        for text in ["", "6", "h", "-6h", "6 parsecs", "one day"] {
            let error = parse_duration(text).unwrap_err();
            assert!(error.contains("6h"), "{error}");
        }
    }
}
