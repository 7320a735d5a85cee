//! Values by window and key, kept in a [`KeyValueStore`] in order of the windows' start.

use bytes::{BufMut, Bytes, BytesMut};
use vigie_clock::Timestamp;

use super::KeyValueStore;

/// A view of a [`KeyValueStore`] whose keys are a window's start and a key.
///
/// Keys are written as the start (8 bytes, big-endian, sign flipped, so that byte order is time order) and then the key: all
/// windows before a time are one range.
pub struct WindowStore<'a> {
    store: &'a mut KeyValueStore,
}

impl<'a> WindowStore<'a> {
    /// Looks at `store` by windows.
    pub fn over(store: &'a mut KeyValueStore) -> Self {
        Self { store }
    }

    /// The value of `key` in the window that begins at `start`.
    pub fn get(&self, start: Timestamp, key: &[u8]) -> Option<Bytes> {
        self.store.get(&encode(start, key))
    }

    /// Sets the value of `key` in the window that begins at `start`.
    pub fn put(&mut self, start: Timestamp, key: &[u8], value: impl Into<Bytes>) {
        self.store.put(encode(start, key), value);
    }

    /// Removes `key` from the window that begins at `start`.
    pub fn delete(&mut self, start: Timestamp, key: &[u8]) {
        self.store.delete(encode(start, key));
    }

    /// Start, key and value of all that was written since the last commit, oldest window first; `None` for what was removed.
    pub fn staged(&self) -> impl Iterator<Item = (Timestamp, Bytes, Option<Bytes>)> {
        self.store.staged().filter_map(|(key, value)| {
            let (start, key) = decode(key)?;
            Some((start, key, value.cloned()))
        })
    }

    /// Removes all windows that begin before `before`.
    pub fn expire(&mut self, before: Timestamp) {
        let expired: Vec<Bytes> =
            self.store.range(&encode(Timestamp::MIN, b""), &encode(before, b"")).map(|(key, _)| key.clone()).collect();
        for key in expired {
            self.store.delete(key);
        }
    }

    /// Start, key and value of all windows that begin before `before`, oldest first.
    pub fn before(&self, before: Timestamp) -> impl Iterator<Item = (Timestamp, Bytes, Bytes)> {
        self.between(Timestamp::MIN, before)
    }

    /// Start, key and value of all windows that begin at `from` or later and before `to`, oldest first.
    pub fn between(&self, from: Timestamp, to: Timestamp) -> impl Iterator<Item = (Timestamp, Bytes, Bytes)> {
        self.store.range(&encode(from, b""), &encode(to, b"")).filter_map(|(key, value)| {
            let (start, key) = decode(key)?;
            Some((start, key, value.clone()))
        })
    }
}

fn encode(start: Timestamp, key: &[u8]) -> Bytes {
    let mut encoded = BytesMut::with_capacity(8 + key.len());
    encoded.put_u64(start.as_millis().cast_unsigned() ^ (1 << 63));
    encoded.put_slice(key);
    encoded.freeze()
}

fn decode(encoded: &Bytes) -> Option<(Timestamp, Bytes)> {
    let start = u64::from_be_bytes(*encoded.first_chunk()?) ^ (1 << 63);
    Some((Timestamp::from_millis(start.cast_signed()), encoded.slice(8..)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_come_in_time_order_also_before_the_epoch() {
        let mut inner = KeyValueStore::default();
        let mut windows = WindowStore::over(&mut inner);
        for start in [300, -300, 0] {
            windows.put(Timestamp::from_millis(start), b"BTC", start.to_string());
        }
        let starts: Vec<i64> =
            windows.before(Timestamp::from_millis(300)).map(|(start, _, _)| start.as_millis()).collect();
        assert_eq!(starts, [-300, 0]);
        assert_eq!(windows.get(Timestamp::from_millis(300), b"BTC").as_deref(), Some(&b"300"[..]));
        windows.delete(Timestamp::from_millis(300), b"BTC");
        assert_eq!(windows.get(Timestamp::from_millis(300), b"BTC"), None);
    }

    #[test]
    fn staged_windows_are_those_written_since_the_last_commit() {
        let mut inner = KeyValueStore::default();
        let (first, second) = (Timestamp::from_millis(0), Timestamp::from_millis(300));
        WindowStore::over(&mut inner).put(first, b"BTC", "1");
        inner.commit();
        let mut windows = WindowStore::over(&mut inner);
        windows.put(second, b"ETH", "2");
        windows.delete(first, b"BTC");
        let staged: Vec<_> = windows.staged().collect();
        assert_eq!(staged, [(first, "BTC".into(), None), (second, "ETH".into(), Some("2".into()))]);
    }
}
