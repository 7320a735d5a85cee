//! Documents that come as gzip files, which is not the same as a compressed transfer: no header says so.

use std::borrow::Cow;
use std::io::Read as _;

use flate2::read::MultiGzDecoder;

use crate::content::document::ParseError;

/// Bytes of an unpacked document at most: what the protocol of sitemaps allows.
const MAX_BYTES: u64 = 50 * 1024 * 1024;

/// Layers at most: a file that was packed, by a server that packs.
const MAX_LAYERS: usize = 2;

/// A document without its gzip layers, known by what they begin with (RFC 1952).
///
/// # Errors
/// If it is damaged from the beginning, or too large.
pub(crate) fn unpacked(bytes: &[u8]) -> Result<Cow<'_, [u8]>, ParseError> {
    let mut document = Cow::Borrowed(bytes);
    for _ in 0..MAX_LAYERS {
        if !document.starts_with(&[0x1f, 0x8b]) {
            break;
        }
        let mut plain = Vec::new();
        let read = MultiGzDecoder::new(&*document).take(MAX_BYTES + 1).read_to_end(&mut plain);
        match read {
            Ok(_) if plain.len() as u64 > MAX_BYTES => {
                return Err(ParseError::Packed(format!("it unpacks to more than {MAX_BYTES} bytes")));
            }
            // What came before a cut is as good as a document that ends early.
            Err(error) if plain.is_empty() => return Err(ParseError::Packed(error.to_string())),
            _ => document = Cow::Owned(plain),
        }
    }
    Ok(document)
}
