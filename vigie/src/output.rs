//! What a command prints: results on stdout (a table for people, JSON Lines with `--json`), progress and errors on stderr.

use std::io::{IsTerminal, Write};

use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use vigie_daemon::ServiceError;

/// Whether a command ended because nobody reads what it prints any more: `vigie tail TOPIC | head` is no failure.
pub(crate) fn is_broken_pipe(error: &ServiceError) -> bool {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = match error {
        ServiceError::Failed(error) => Some(&**error),
        _ => None,
    };
    while let Some(error) = cause {
        if error.downcast_ref::<std::io::Error>().is_some_and(|e| e.kind() == std::io::ErrorKind::BrokenPipe) {
            return true;
        }
        cause = error.source();
    }
    false
}

/// A number of things: `1 post`, `2 posts`.
pub(crate) fn count(number: impl Into<u64>, thing: &str) -> String {
    match number.into() {
        1 => format!("1 {thing}"),
        number => format!("{number} {thing}s"),
    }
}

/// A length of time, to two units: `1 h 5 min`.
pub(crate) fn duration(seconds: f64) -> String {
    let whole = seconds.max(0.0).round() as u64;
    let units = [("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1)];
    let first = units.iter().position(|(_, size)| whole >= *size).unwrap_or(units.len() - 1);
    let (mut left, mut parts) = (whole, Vec::new());
    for (name, size) in units.iter().skip(first).take(2) {
        if left >= *size || parts.is_empty() {
            parts.push(format!("{} {name}", left / size));
        }
        left %= size;
    }
    parts.join(" ")
}

/// An amount of data: `1.5 GB`.
pub(crate) fn bytes(bytes: f64) -> String {
    let units = [("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)];
    let unit = units.into_iter().find(|(_, size)| bytes >= *size);
    unit.map_or_else(|| format!("{bytes:.0} B"), |(name, size)| format!("{:.1} {name}", bytes / size))
}

/// Where and how a command prints.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output {
    json: bool,
}

impl Output {
    pub(crate) fn new(json: bool) -> Self {
        Self { json }
    }

    /// Prints one result: as JSON, or else the text.
    ///
    /// # Errors
    /// If stdout is closed.
    pub(crate) fn result(self, value: &impl Serialize, text: impl FnOnce() -> String) -> Result<(), ServiceError> {
        if self.json {
            return self.json_line(value);
        }
        writeln!(std::io::stdout().lock(), "{}", text()).map_err(ServiceError::failed)
    }

    /// Prints one result as a line of JSON, whatever the flags.
    ///
    /// # Errors
    /// If stdout is closed.
    pub(crate) fn json_line(self, value: &impl Serialize) -> Result<(), ServiceError> {
        let line = serde_json::to_string(value).map_err(ServiceError::failed)?;
        writeln!(std::io::stdout().lock(), "{line}").map_err(ServiceError::failed)
    }

    /// Tells how far things are, on stderr.
    pub(crate) fn note(self, text: impl AsRef<str>) {
        let _ = writeln!(std::io::stderr().lock(), "{}", text.as_ref());
    }

    pub(crate) fn error(self, error: &ServiceError) {
        if self.json {
            let line = serde_json::json!({"error": error.chain(), "exit_code": error.exit_code()});
            self.note(line.to_string());
        } else {
            self.note(format!("error: {}", error.chain()));
        }
    }

    /// A bar on a terminal; elsewhere the caller's notes have to do.
    pub(crate) fn progress(self, what: &'static str) -> ProgressBar {
        if !std::io::stderr().is_terminal() {
            return ProgressBar::hidden();
        }
        let style = ProgressStyle::with_template("{msg} {wide_bar} {human_pos}/{human_len} {per_sec} {eta}")
            .unwrap_or_else(|_| ProgressStyle::default_bar());
        ProgressBar::new(0).with_style(style).with_message(what)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Error, ErrorKind};

    use super::*;

    #[test]
    fn a_reader_that_has_seen_enough_is_no_failure() {
        assert!(is_broken_pipe(&ServiceError::failed(Error::from(ErrorKind::BrokenPipe))));
        assert!(!is_broken_pipe(&ServiceError::failed(Error::from(ErrorKind::NotFound))));
        assert!(!is_broken_pipe(&ServiceError::failed("broken pipe of another kind")));
        assert!(!is_broken_pipe(&ServiceError::unavailable("kafka", "refused")));
    }

    #[test]
    fn amounts_are_printed_in_the_units_that_fit() {
        let spans = [0.0, 59.6, 61.0, 3_600.0, 3_900.0, 90_000.0].map(duration);
        assert_eq!(spans, ["0 s", "1 min", "1 min 1 s", "1 h", "1 h 5 min", "1 d 1 h"]);
        assert_eq!([12.0, 1_500.0, 2.34e9].map(bytes), ["12 B", "1.5 kB", "2.3 GB"]);
    }

    #[test]
    fn one_thing_is_no_plural() {
        assert_eq!([0_u32, 1, 2].map(|n| count(n, "post")), ["0 posts", "1 post", "2 posts"]);
    }
}
