#![doc = include_str!("../README.md")]

mod author_key;
mod cipher;
mod data_key;
mod keyring;
mod options;
mod private_file;

pub use author_key::{AuthorKey, AuthorKeyError};
pub use data_key::{DataKey, DataKeyId, Sealed, WrappedKey};
pub use keyring::{KeyEncryption, Keyring, KeyringError};

/// Why something under seal does not open.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// The bytes are not of this version's making.
    #[error("{what} of {length} bytes is malformed")]
    Malformed {
        /// What the bytes should have been.
        what: &'static str,
        /// How many there are.
        length: usize,
    },
    /// The key is another one, or the bytes are not those that were sealed under this author.
    #[error("{0} does not open with this key")]
    Refused(&'static str),
    /// The keyring lacks the key that the data key is wrapped with.
    #[error("the keyring has no key {0:?}")]
    NoSuchKey(String),
}

/// Lower-case hexadecimal.
fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What [`hex`] wrote; `None` if it is not `N` bytes in hexadecimal.
fn from_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digits = text.as_bytes();
    if digits.len() != 2 * N {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let digit = |digit: u8| char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok());
        *byte = digit(pair[0])? * 16 + digit(pair[1])?;
    }
    Some(bytes)
}
