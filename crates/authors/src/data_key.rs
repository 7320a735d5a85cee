//! An author's data key. It seals handles, and travels only wrapped by a key of the keyring.
//!
//! ```text
//! sealed handle = version (1) | id of the data key (8) | nonce (12) | ciphertext (a multiple of 32) | tag (16)
//! wrapped key   =                                        nonce (12) | ciphertext (32)               | tag (16)
//! ```
//!
//! Both are bound to the author's id, so that nothing sealed under one author opens under another.

use std::fmt;
use std::str::FromStr;

use zeroize::Zeroizing;

use crate::cipher::{self, Key, NONCE, TAG};
use crate::keyring::KeyEncryption;
use crate::{OpenError, from_hex, hex};

const VERSION: u8 = 1;
const ID: usize = 8;
/// Handles are filled up to a multiple of this, so that a short one is not recognisable by its length.
const STEP: usize = 32;
/// Ends the handle; zeros follow (ISO/IEC 7816-4).
const END: u8 = 0x80;

const HANDLE: &str = "the sealed handle";

/// The id of a data key. An author has several over time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DataKeyId([u8; ID]);

impl fmt::Display for DataKeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

impl FromStr for DataKeyId {
    type Err = OpenError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        from_hex(text).map(Self).ok_or(OpenError::Malformed { what: "the id of a data key", length: text.len() })
    }
}

/// A key for one author's handle. Its `Debug` hides it.
#[derive(Clone)]
pub struct DataKey {
    id: DataKeyId,
    key: Key,
}

/// A data key under a key-encryption key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrappedKey {
    /// Of the data key.
    pub id: DataKeyId,
    /// Id of the key that wrapped it.
    pub keyring_key: String,
    /// The data key, unreadable without the keyring.
    pub bytes: Vec<u8>,
}

/// A handle under seal, looked at from outside.
#[derive(Clone, Copy, Debug)]
pub struct Sealed<'a> {
    id: DataKeyId,
    body: &'a [u8],
}

impl DataKey {
    /// A new random key.
    #[expect(clippy::new_without_default, reason = "no two are equal")]
    pub fn new() -> Self {
        Self { id: DataKeyId(cipher::random()), key: Key::new(cipher::random()) }
    }

    /// Its id.
    pub fn id(&self) -> DataKeyId {
        self.id
    }

    /// The handle under seal, for records of this author.
    pub fn seal(&self, author_id: &str, handle: &str) -> Vec<u8> {
        let mut text = Zeroizing::new(handle.as_bytes().to_vec());
        text.push(END);
        let length = text.len().next_multiple_of(STEP);
        text.resize(length, 0);
        let mut sealed = vec![VERSION];
        sealed.extend(self.id.0);
        sealed.extend(cipher::seal(&self.key, &context("handle", author_id, self.id), &text));
        sealed
    }

    /// The handle that was sealed.
    ///
    /// # Errors
    /// [`OpenError::Refused`] unless it was sealed by this key under this author.
    pub fn open(&self, author_id: &str, sealed: Sealed<'_>) -> Result<String, OpenError> {
        let context = context("handle", author_id, sealed.id);
        let text = cipher::open(&self.key, &context, sealed.body).ok_or(OpenError::Refused(HANDLE))?;
        let malformed = OpenError::Malformed { what: HANDLE, length: text.len() };
        let end = text.iter().rposition(|byte| *byte != 0).filter(|end| text[*end] == END);
        let handle = end.and_then(|end| std::str::from_utf8(&text[..end]).ok());
        handle.map(str::to_owned).ok_or(malformed)
    }

    /// The key as it may travel.
    ///
    /// # Errors
    /// Those of `keys`; a [`Keyring`](crate::Keyring) has none.
    pub fn wrap(&self, author_id: &str, keys: &impl KeyEncryption) -> Result<WrappedKey, OpenError> {
        let bytes = keys.wrap(&context("data key", author_id, self.id), &self.key)?;
        Ok(WrappedKey { id: self.id, keyring_key: keys.current().to_owned(), bytes })
    }
}

impl fmt::Debug for DataKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DataKey").field("id", &self.id.to_string()).finish_non_exhaustive()
    }
}

impl WrappedKey {
    /// The data key.
    ///
    /// # Errors
    /// [`OpenError::NoSuchKey`] if `keys` lacks the key that wrapped it, [`OpenError::Refused`] if it was not wrapped by that key
    /// for this author.
    pub fn unwrap(&self, author_id: &str, keys: &impl KeyEncryption) -> Result<DataKey, OpenError> {
        let key = keys.unwrap(&self.keyring_key, &context("data key", author_id, self.id), &self.bytes)?;
        Ok(DataKey { id: self.id, key })
    }

    /// The same data key under the current key; what it sealed opens as before.
    ///
    /// # Errors
    /// As [`WrappedKey::unwrap`] and [`DataKey::wrap`].
    pub fn rewrap(&self, author_id: &str, keys: &impl KeyEncryption) -> Result<Self, OpenError> {
        self.unwrap(author_id, keys)?.wrap(author_id, keys)
    }
}

impl<'a> Sealed<'a> {
    /// What [`DataKey::seal`] made.
    ///
    /// # Errors
    /// [`OpenError::Malformed`]
    pub fn parse(bytes: &'a [u8]) -> Result<Self, OpenError> {
        let malformed = OpenError::Malformed { what: HANDLE, length: bytes.len() };
        let Some((&VERSION, rest)) = bytes.split_first() else { return Err(malformed) };
        let Some((id, body)) = rest.split_first_chunk::<ID>() else { return Err(malformed) };
        let text = body.len().checked_sub(NONCE + TAG);
        if !text.is_some_and(|text| text > 0 && text.is_multiple_of(STEP)) {
            return Err(malformed);
        }
        Ok(Self { id: DataKeyId(*id), body })
    }

    /// Which data key opens it.
    pub fn data_key(&self) -> DataKeyId {
        self.id
    }
}

/// What a text is bound to: its purpose, the author and the data key.
fn context(purpose: &str, author_id: &str, id: DataKeyId) -> Vec<u8> {
    let mut context = format!("vigie {purpose}\0{author_id}\0").into_bytes();
    context.extend(id.0);
    context
}

#[cfg(test)]
#[path = "data_key/tests.rs"]
mod tests;
