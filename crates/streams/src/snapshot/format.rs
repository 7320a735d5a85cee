//! What a snapshot file looks like.
//!
//! ```text
//! file    = magic frame(header) frame(entries)* frame(footer)        header, footer: JSON
//! frame   = length: u32   checksum: u32   payload                    numbers are little-endian
//! payload = entry*                                                   of entries
//! entry   = store: u16   key length: u32   value length: u32   key   value
//! ```
//!
//! The checksum of a frame (CRC-32) begins with that of the frame before: a frame that is missing, doubled or in the wrong place is found
//! like one that was changed. A file without a footer was not finished.

use std::io::{self, BufReader, ErrorKind, Read};

use bytes::{Buf, BufMut, Bytes};
use serde::{Deserialize, Serialize};

use crate::task::header::Header;

/// Begins every file. The last byte is the format's version.
pub(crate) const MAGIC: [u8; 8] = *b"vigsnap\x01";

/// The largest frame that is believed: more than the largest record and the largest block of entries.
const MAX_FRAME: u32 = 64 * 1024 * 1024;

/// Bytes of an entry besides its key and value.
const ENTRY_HEAD: usize = 10;

/// Ends a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Footer {
    /// By store: nothing from this changelog offset on is in the entries.
    pub(crate) until: Vec<i64>,
    pub(crate) entries: u64,
}

/// Appends an entry to a payload.
pub(crate) fn put_entry(payload: &mut Vec<u8>, store: usize, key: &[u8], value: &[u8]) {
    payload.put_u16_le(store as u16);
    payload.put_u32_le(key.len() as u32);
    payload.put_u32_le(value.len() as u32);
    payload.put_slice(key);
    payload.put_slice(value);
}

/// The head of a frame, and the checksum with which the next one begins.
pub(crate) fn seal(payload: &[u8], chain: u32) -> ([u8; 8], u32) {
    let checksum = checksum(payload, chain);
    let mut head = [0; 8];
    head[..4].copy_from_slice(&(payload.len() as u32).to_le_bytes());
    head[4..].copy_from_slice(&checksum.to_le_bytes());
    (head, checksum)
}

fn checksum(payload: &[u8], chain: u32) -> u32 {
    let mut hasher = crc32fast::Hasher::new_with_initial(chain);
    hasher.update(payload);
    hasher.finalize()
}

/// Reads a file frame by frame; nothing is given out before its checksum was found right.
pub(crate) struct FrameReader<R> {
    inner: BufReader<R>,
    chain: u32,
    last: Option<Vec<u8>>,
}

impl<R: Read> FrameReader<R> {
    /// Checks the magic and reads the header.
    pub(crate) fn open(file: R) -> io::Result<(Header, Self)> {
        let mut inner = BufReader::with_capacity(256 * 1024, file);
        let mut magic = [0; 8];
        inner.read_exact(&mut magic)?;
        if magic != MAGIC {
            return Err(damaged("the file does not begin as a snapshot of this version"));
        }
        let mut reader = Self { inner, chain: 0, last: None };
        let header = reader.read_frame()?.ok_or_else(|| damaged("the header is missing"))?;
        let header = serde_json::from_slice(&header).map_err(|error| damaged(format!("header: {error}")))?;
        reader.last = reader.read_frame()?;
        Ok((header, reader))
    }

    /// Gives every entry to `entry`, then returns the footer.
    pub(crate) fn entries(mut self, stores: usize, mut entry: impl FnMut(usize, Bytes, Bytes)) -> io::Result<Footer> {
        let mut entries = 0;
        loop {
            let payload = self.last.take().ok_or_else(|| damaged("the footer is missing"))?;
            self.last = self.read_frame()?;
            if self.last.is_none() {
                let footer: Footer =
                    serde_json::from_slice(&payload).map_err(|error| damaged(format!("footer: {error}")))?;
                if footer.entries != entries || footer.until.len() != stores {
                    return Err(damaged(format!("{entries} entries, the footer says {}", footer.entries)));
                }
                return Ok(footer);
            }
            let mut payload = &payload[..];
            while !payload.is_empty() {
                let (store, key, value) = take_entry(&mut payload).ok_or_else(|| damaged("an entry is cut off"))?;
                if store >= stores {
                    return Err(damaged(format!("an entry of store {store}, there are {stores}")));
                }
                entries += 1;
                entry(store, key, value);
            }
        }
    }

    /// `None` at the end of the file.
    fn read_frame(&mut self) -> io::Result<Option<Vec<u8>>> {
        let mut head = [0; 8];
        match self.inner.read(&mut head[..1])? {
            0 => return Ok(None),
            _ => self.inner.read_exact(&mut head[1..])?,
        }
        let mut fields = &head[..];
        let (length, expected) = (fields.get_u32_le(), fields.get_u32_le());
        if length > MAX_FRAME {
            return Err(damaged(format!("a block of {length} bytes, expected at most {MAX_FRAME}")));
        }
        // Grows with what is there, whatever the length says.
        let mut payload = Vec::new();
        (&mut self.inner).take(u64::from(length)).read_to_end(&mut payload)?;
        if payload.len() != length as usize || checksum(&payload, self.chain) != expected {
            return Err(damaged("a checksum does not match"));
        }
        self.chain = expected;
        Ok(Some(payload))
    }
}

fn take_entry(payload: &mut &[u8]) -> Option<(usize, Bytes, Bytes)> {
    if payload.remaining() < ENTRY_HEAD {
        return None;
    }
    let store = usize::from(payload.get_u16_le());
    let (key, value) = (payload.get_u32_le() as usize, payload.get_u32_le() as usize);
    if payload.remaining() < key.checked_add(value)? {
        return None;
    }
    let key = payload.copy_to_bytes(key);
    Some((store, key, payload.copy_to_bytes(value)))
}

fn damaged(what: impl Into<String>) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, what.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use vigie_clock::Timestamp;

    use crate::task::mark::Mark;

    fn header() -> Header {
        Header {
            application: "word-count".to_owned(),
            topology: "t".to_owned(),
            partition: 3,
            incarnation: 7,
            written_at: Timestamp::from_millis(1),
            mark: Some(Mark { commit: 9, stores: vec![8], ..Mark::default() }),
            from: vec![5],
        }
    }

    fn file() -> Vec<u8> {
        let mut payloads = vec![serde_json::to_vec(&header()).unwrap()];
        for key in ["btc", "eth", "luna"] {
            let mut payload = Vec::new();
            put_entry(&mut payload, 0, key.as_bytes(), b"1");
            payloads.push(payload);
        }
        payloads.push(serde_json::to_vec(&Footer { until: vec![9], entries: 3 }).unwrap());
        let mut file = MAGIC.to_vec();
        let mut chain = 0;
        for payload in payloads {
            let (head, next) = seal(&payload, chain);
            file.extend(head);
            file.extend(payload);
            chain = next;
        }
        file
    }

    fn read(file: &[u8]) -> io::Result<(Header, Vec<Bytes>, Footer)> {
        let (header, reader) = FrameReader::open(file)?;
        let mut keys = Vec::new();
        let footer = reader.entries(1, |_, key, _| keys.push(key))?;
        Ok((header, keys, footer))
    }

    #[test]
    fn what_was_written_is_read() {
        let (found, keys, footer) = read(&file()).unwrap();
        assert_eq!((found, footer.until), (header(), vec![9]));
        assert_eq!(keys, ["btc", "eth", "luna"]);
    }

    #[test]
    fn a_file_cut_anywhere_is_refused() {
        let file = file();
        for length in 0..file.len() {
            assert!(read(&file[..length]).is_err(), "cut to {length} of {} bytes", file.len());
        }
    }

    #[test]
    fn a_flipped_bit_anywhere_is_found() {
        let file = file();
        for at in 0..file.len() * 8 {
            let mut file = file.clone();
            file[at / 8] ^= 1 << (at % 8);
            assert!(read(&file).is_err(), "bit {at}");
        }
    }

    #[test]
    fn a_block_left_out_or_doubled_is_found() {
        let file = file();
        // The length of the first block of entries.
        let block = 8 + ENTRY_HEAD + 4;
        let first = 8 + 8 + serde_json::to_vec(&header()).unwrap().len();
        let missing = [&file[..first], &file[first + block..]].concat();
        let doubled = [&file[..first + block], &file[first..]].concat();
        assert!(read(&missing).is_err());
        assert!(read(&doubled).is_err());
    }
}
