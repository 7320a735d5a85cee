//! Key-encryption keys with their ids: what keeps them, and the keyring, which keeps them in memory. Its first key wraps, all of them unwrap:
//! rotation is a new line on top.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use thiserror::Error;
use zeroize::Zeroizing;

use crate::cipher::{self, KEY, Key, NONCE, TAG};
use crate::{OpenError, from_hex, hex, private_file};

/// As errors name it.
pub(crate) const WRAPPED: &str = "the wrapped key";
/// Longest id of a key.
const MAX_ID: usize = 64;

/// Wraps and unwraps data keys by keys that it keeps to itself and names by their ids, as key management services do.
pub trait KeyEncryption {
    /// Id of the key that wraps from now on.
    fn current(&self) -> &str;

    /// A data key of 32 bytes under the current key, bound to `context`.
    ///
    /// # Errors
    /// If it cannot be wrapped.
    fn wrap(&self, context: &[u8], key: &[u8; 32]) -> Result<Vec<u8>, OpenError>;

    /// What the key `id` wrapped under `context`.
    ///
    /// # Errors
    /// [`OpenError::NoSuchKey`], [`OpenError::Malformed`], or [`OpenError::Refused`] if any of the three is another.
    fn unwrap(&self, id: &str, context: &[u8], wrapped: &[u8]) -> Result<Zeroizing<[u8; 32]>, OpenError>;
}

/// Keys with their ids, the current one first. Its `Debug` hides the keys.
///
/// As text: a line `<key id> <64 hexadecimal digits>` for each; a comma may stand for the end of a line, `#` begins a remark.
#[derive(Clone)]
pub struct Keyring {
    keys: Vec<(String, Key)>,
}

/// Why there is no usable keyring. Quotes no key.
#[derive(Debug, Error)]
pub enum KeyringError {
    /// A line is not an id and a key.
    #[error("line {line} of the keyring: {problem}, expected a key id and 64 hexadecimal digits")]
    Line {
        /// Counted from 1.
        line: usize,
        /// What is wrong with it.
        problem: String,
    },
    /// There is no line.
    #[error("the keyring is empty, expected a line with a key id and 64 hexadecimal digits")]
    Empty,
    /// The file cannot be read or made.
    #[error("cannot use keyring file {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
}

impl Keyring {
    /// Reads the keyring from a file.
    ///
    /// # Errors
    /// If the file cannot be read, or is no keyring.
    pub fn read(path: &Path) -> Result<Self, KeyringError> {
        let text = fs::read_to_string(path).map_err(|source| KeyringError::File { path: path.to_owned(), source })?;
        Zeroizing::new(text).parse()
    }

    /// Reads the keyring from a file, which is first made, with one random key and mode 600, if it is not there.
    ///
    /// # Errors
    /// As [`Keyring::read`]; also if the file cannot be made.
    pub fn read_or_create(path: &Path) -> Result<Self, KeyringError> {
        if !path.exists() {
            let text = Zeroizing::new(format!("1 {}", hex(&cipher::random::<KEY>())));
            private_file::create(path, &text).map_err(|source| KeyringError::File { path: path.to_owned(), source })?;
        }
        Self::read(path)
    }

    /// The key that wraps new data keys, with its id.
    fn first(&self) -> (&str, &Key) {
        let (id, key) = self.keys.first().expect("a keyring is made with at least one key");
        (id, key)
    }

    fn key(&self, id: &str) -> Option<&Key> {
        self.keys.iter().find(|(known, _)| known == id).map(|(_, key)| key)
    }
}

impl KeyEncryption for Keyring {
    fn current(&self) -> &str {
        self.first().0
    }

    fn wrap(&self, context: &[u8], key: &[u8; 32]) -> Result<Vec<u8>, OpenError> {
        Ok(cipher::seal(self.first().1, context, key))
    }

    fn unwrap(&self, id: &str, context: &[u8], wrapped: &[u8]) -> Result<Key, OpenError> {
        let key = self.key(id).ok_or_else(|| OpenError::NoSuchKey(id.to_owned()))?;
        if wrapped.len() != NONCE + KEY + TAG {
            return Err(OpenError::Malformed { what: WRAPPED, length: wrapped.len() });
        }
        let opened = cipher::open(key, context, wrapped).ok_or(OpenError::Refused(WRAPPED))?;
        let mut key = Key::new([0; KEY]);
        key.copy_from_slice(&opened);
        Ok(key)
    }
}

impl FromStr for Keyring {
    type Err = KeyringError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut keys: Vec<(String, Key)> = Vec::new();
        for (number, line) in text.split(['\n', ',']).enumerate() {
            let line = line.split('#').next().unwrap_or_default().trim();
            if line.is_empty() {
                continue;
            }
            let wrong = |problem: String| KeyringError::Line { line: number + 1, problem };
            let (id, digits) = line.split_once(char::is_whitespace).ok_or_else(|| wrong("one word".to_owned()))?;
            if id.len() > MAX_ID {
                return Err(wrong(format!("a key id of {} bytes, more than {MAX_ID}", id.len())));
            }
            if keys.iter().any(|(known, _)| known == id) {
                return Err(wrong(format!("the key id {id:?} is there twice")));
            }
            let digits = digits.trim();
            let key = from_hex::<KEY>(digits).ok_or_else(|| wrong(format!("a key of {} characters", digits.len())))?;
            keys.push((id.to_owned(), Key::new(key)));
        }
        if keys.is_empty() { Err(KeyringError::Empty) } else { Ok(Self { keys }) }
    }
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ids: Vec<&str> = self.keys.iter().map(|(id, _)| id.as_str()).collect();
        f.debug_tuple("Keyring").field(&ids).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digits(byte: u8) -> String {
        hex(&[byte; KEY])
    }

    #[test]
    fn the_first_key_is_the_current_one_and_all_are_found() {
        for text in [
            format!("# keys\n2026-11 {}\n\nold\t{}  # of last year\n", digits(1), digits(2)),
            format!("2026-11 {}, old {}", digits(1), digits(2)),
        ] {
            let keyring: Keyring = text.parse().unwrap();
            assert_eq!(keyring.current(), "2026-11");
            assert_eq!(**keyring.key("old").unwrap(), [2; KEY]);
            assert!(keyring.key("other").is_none());
        }
    }

    #[test]
    fn a_mistake_names_its_line_and_never_a_key() {
        let cases = [
            (String::new(), "the keyring is empty"),
            ("  # nothing\n".to_owned(), "the keyring is empty"),
            (digits(1), "line 1 of the keyring: one word"),
            (format!("a {}\nb 00ff", digits(1)), "line 2 of the keyring: a key of 4 characters"),
            (format!("a {}\na {}", digits(1), digits(2)), "line 2 of the keyring: the key id \"a\" is there twice"),
            (format!("a {}", "zz".repeat(KEY)), "line 1 of the keyring: a key of 64 characters"),
        ];
        for (text, expected) in cases {
            let error = text.parse::<Keyring>().unwrap_err().to_string();
            assert!(error.starts_with(expected) && !error.contains("0101"), "{error}");
        }
    }

    #[test]
    fn a_made_file_is_private_and_stays_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("author.keyring");
        let first = Keyring::read_or_create(&path).unwrap();
        let second = Keyring::read_or_create(&path).unwrap();
        assert_eq!(first.first(), second.first());
        assert!(!format!("{first:?}").contains(&hex(&first.first().1[..4])));
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        }
    }
}
