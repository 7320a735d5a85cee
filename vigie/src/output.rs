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
    fn a_reader_that_has_seen_enough_is_told_from_a_failure() {
        assert!(is_broken_pipe(&ServiceError::failed(Error::from(ErrorKind::BrokenPipe))));
        assert!(!is_broken_pipe(&ServiceError::failed(Error::from(ErrorKind::NotFound))));
        assert!(!is_broken_pipe(&ServiceError::failed("broken pipe of another kind")));
        assert!(!is_broken_pipe(&ServiceError::unavailable("kafka", "refused")));
    }

    #[test]
    fn one_thing_is_no_plural() {
        assert_eq!([0_u32, 1, 2].map(|n| count(n, "post")), ["0 posts", "1 post", "2 posts"]);
    }
}
