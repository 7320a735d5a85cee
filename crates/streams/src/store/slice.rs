//! Bytes that a store gives out: where they lie in memory, or as they were read from disk.

use std::fmt;
use std::ops::Deref;

use bytes::Bytes;

/// A key or a value of a store.
#[derive(Clone)]
pub struct Slice<'a>(Inner<'a>);

#[derive(Clone)]
enum Inner<'a> {
    Lying(&'a [u8]),
    Read(Bytes),
}

impl Slice<'_> {
    /// The same bytes, kept for longer. Copies what lies in memory.
    pub fn into_bytes(self) -> Bytes {
        match self.0 {
            Inner::Lying(bytes) => Bytes::copy_from_slice(bytes),
            Inner::Read(bytes) => bytes,
        }
    }
}

impl<'a> From<&'a [u8]> for Slice<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        Self(Inner::Lying(bytes))
    }
}

impl From<Bytes> for Slice<'_> {
    fn from(bytes: Bytes) -> Self {
        Self(Inner::Read(bytes))
    }
}

impl Deref for Slice<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.0 {
            Inner::Lying(bytes) => bytes,
            Inner::Read(bytes) => bytes,
        }
    }
}

impl fmt::Debug for Slice<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}
