//! Keyed pseudonyms of authors.
//!
//! A handle is personal data. Records carry an HMAC-SHA-256 of it in its place, so that authors can be counted but not looked up without the
//! key. The same key gives the same pseudonyms, so keep it; a lost key splits every author in two.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use hmac::{Hmac, Mac};
use sha2::Sha256;
use thiserror::Error;

use crate::{cipher, hex, private_file};

const MIN_KEY_BYTES: usize = 16;
const PSEUDONYM_BYTES: usize = 16;

/// The secret of the pseudonyms: at least 16 bytes. Its `Debug` hides it.
#[derive(Clone, PartialEq, Eq)]
pub struct AuthorKey(Vec<u8>);

/// Why there is no usable key.
#[derive(Debug, Error)]
pub enum AuthorKeyError {
    /// Too short to be a secret.
    #[error("the author key has {0} bytes, expected at least {MIN_KEY_BYTES}")]
    TooShort(usize),
    /// The key file cannot be read or made.
    #[error("cannot use author key file {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
}

impl AuthorKey {
    /// Reads the key from a file (trailing white space is ignored).
    ///
    /// # Errors
    /// If the file cannot be read, or holds fewer than 16 bytes.
    pub fn read(path: &Path) -> Result<Self, AuthorKeyError> {
        let text = fs::read_to_string(path).map_err(|source| AuthorKeyError::File { path: path.to_owned(), source })?;
        text.trim_end().parse()
    }

    /// Reads the key from a file, which is first made, with 32 bytes from the system's random source and mode 600, if it is not there.
    ///
    /// # Errors
    /// As [`AuthorKey::read`]; also if the file cannot be made.
    pub fn read_or_create(path: &Path) -> Result<Self, AuthorKeyError> {
        let failed = |source| AuthorKeyError::File { path: path.to_owned(), source };
        if !path.exists() {
            private_file::create(path, &hex(&cipher::random::<32>())).map_err(failed)?;
        }
        Self::read(path)
    }

    /// The pseudonym of who wrote a post under `author`, read by a source `source` of this kind: the first 16 bytes of the HMAC, in
    /// hexadecimal; `None` if the author is not known.
    pub fn pseudonym(&self, kind: &str, source: &str, author: &str) -> Option<String> {
        let handle = known_handle(author)?;
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes keys of any length");
        mac.update(scope(kind, source).as_bytes());
        mac.update(&[0]);
        mac.update(handle.as_bytes());
        Some(hex(&mac.finalize().into_bytes()[..PSEUDONYM_BYTES]))
    }
}

impl FromStr for AuthorKey {
    type Err = AuthorKeyError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.len() < MIN_KEY_BYTES {
            return Err(AuthorKeyError::TooShort(text.len()));
        }
        Ok(Self(text.as_bytes().to_vec()))
    }
}

impl fmt::Debug for AuthorKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AuthorKey(hidden)")
    }
}

/// Where a handle means one person: a whole platform, but only the one feed for RSS (every blog has its "admin").
fn scope<'a>(kind: &'a str, source: &'a str) -> &'a str {
    if kind == "rss" { source } else { kind }
}

/// The handle, unless it is empty or the mark that platforms put in place of a deleted account.
pub(crate) fn known_handle(author: &str) -> Option<&str> {
    let handle = author.trim();
    (!handle.is_empty() && handle != "[deleted]" && handle != "[removed]").then_some(handle)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> AuthorKey {
        text.parse().unwrap()
    }

    #[test]
    fn the_pseudonym_is_hmac_sha256_of_scope_and_handle() {
        // printf 'reddit\0satoshi' | openssl dgst -sha256 -hmac 0123456789abcdef
        let expected = "fa1b65bf";
        let pseudonym = key("0123456789abcdef").pseudonym("reddit", "r-bitcoin", "satoshi").unwrap();
        assert_eq!(pseudonym.len(), 32);
        assert_eq!(&pseudonym[..8], expected);
    }

    #[test]
    fn a_person_is_one_author_on_a_platform_but_not_across_feeds() {
        let key = key("0123456789abcdef");
        let of = |kind, source| key.pseudonym(kind, source, "admin");
        assert_eq!(of("reddit", "r-bitcoin"), of("reddit", "r-cryptomarkets"));
        assert_ne!(of("rss", "blog-a"), of("rss", "blog-b"));
        assert_ne!(of("reddit", "x"), of("hackernews", "x"));
    }

    #[test]
    fn another_key_gives_another_pseudonym() {
        let of = |text| key(text).pseudonym("reddit", "r", "satoshi");
        assert_ne!(of("0123456789abcdef"), of("0123456789abcdeF"));
    }

    #[test]
    fn unknown_and_deleted_authors_have_none() {
        let key = key("0123456789abcdef");
        for author in ["", "  ", "[deleted]", "[removed]"] {
            assert_eq!(key.pseudonym("reddit", "r", author), None, "{author:?}");
        }
    }

    #[test]
    fn the_key_is_never_shown_and_must_be_long_enough() {
        assert!(!format!("{:?}", key("0123456789abcdef")).contains("0123"));
        let error = "short".parse::<AuthorKey>().unwrap_err();
        assert_eq!(error.to_string(), "the author key has 5 bytes, expected at least 16");
    }

    #[test]
    fn a_made_key_file_is_private_and_stays_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("author.key");
        let first = AuthorKey::read_or_create(&path).unwrap();
        assert!(first == AuthorKey::read_or_create(&path).unwrap());
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        }
    }
}
