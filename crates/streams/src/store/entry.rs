//! A key and its value in one allocation: what a store of a million small entries is made of.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::fmt;

/// Bytes that say how long the key is.
const HEAD: usize = size_of::<u32>();

/// Ordered and looked up by its key alone.
#[derive(Clone)]
pub(crate) struct Entry(Box<[u8]>);

impl Entry {
    pub(super) fn new(key: &[u8], value: &[u8]) -> Self {
        let length = u32::try_from(key.len()).expect("a key comes from a Kafka record, which is no longer than 2 GiB");
        let mut bytes = Vec::with_capacity(HEAD + key.len() + value.len());
        bytes.extend_from_slice(&length.to_ne_bytes());
        bytes.extend_from_slice(key);
        bytes.extend_from_slice(value);
        Self(bytes.into_boxed_slice())
    }

    pub(super) fn key(&self) -> &[u8] {
        self.parts().0
    }

    pub(super) fn parts(&self) -> (&[u8], &[u8]) {
        let (length, rest) = self.0.split_first_chunk::<HEAD>().expect("every entry is made by `new`");
        rest.split_at(u32::from_ne_bytes(*length) as usize)
    }
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.parts().fmt(f)
    }
}

impl Borrow<[u8]> for Entry {
    fn borrow(&self) -> &[u8] {
        self.key()
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Entry {}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key().cmp(other.key())
    }
}
