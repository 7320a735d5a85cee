//! Lengths of time as people write them in options: `500ms`, `6h`, `1h 30m`, `3650d`.

use std::time::Duration;

use jiff::{Span, SpanRelativeTo};

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
    fn anything_else_is_refused_with_an_example() {
        for text in ["", "6", "h", "-6h", "6 parsecs", "one day"] {
            let error = parse_duration(text).unwrap_err();
            assert!(error.contains("6h"), "{error}");
        }
    }
}
