//! The secrets as options of a command. Prefer the environment or files: arguments are visible to others.

use vigie_daemon::FromSecret;

use crate::author_key::{AuthorKey, AuthorKeyError};
use crate::keyring::{Keyring, KeyringError};

impl FromSecret for AuthorKey {
    const LONG: &'static str = "author-key";
    const VARIABLE: &'static str = "VIGIE_AUTHOR_KEY";
    const HELP: &'static str =
        "Secret of the author pseudonyms; prefer the environment or a file, as arguments are visible to others";
    const EXPECTED: &'static str = "at least 16 bytes, the same ones for ever";

    fn from_secret(text: &str) -> Result<Self, String> {
        text.parse().map_err(|_: AuthorKeyError| format!("{} bytes", text.len()))
    }
}

impl FromSecret for Keyring {
    const LONG: &'static str = "author-keyring";
    const VARIABLE: &'static str = "VIGIE_AUTHOR_KEYRING";
    const HELP: &'static str = "Keys that wrap the authors' data keys, \"ID HEX\" each, the current one first, separated by \
                                commas or, in a file, by line ends";
    const EXPECTED: &'static str = "lines of a key id and 64 hexadecimal digits each";

    fn from_secret(text: &str) -> Result<Self, String> {
        text.parse().map_err(|error| match error {
            KeyringError::Line { line, problem } => format!("line {line}: {problem}"),
            other => other.to_string(),
        })
    }
}
