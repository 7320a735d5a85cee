//! Values by window and key, kept in a [`KeyValueStore`] in order of the windows' start.

use bytes::Bytes;
use vigie_clock::Timestamp;

use super::KeyValueStore;
use super::slice::Slice;

/// Bytes of a window's start.
const START: usize = 8;

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
        encoded(start, key, |key| self.store.get(key))
    }

    /// The value of `key` in the window that begins at `start`, where it lies if it is in memory: cheaper than [`get`](Self::get).
    pub fn peek(&self, start: Timestamp, key: &[u8]) -> Option<Slice<'_>> {
        encoded(start, key, |key| self.store.peek(key))
    }

    /// Sets the value of `key` in the window that begins at `start`.
    pub fn put(&mut self, start: Timestamp, key: &[u8], value: impl Into<Bytes>) {
        encoded(start, key, |key| self.store.put(key, value));
    }

    /// Removes `key` from the window that begins at `start`.
    pub fn delete(&mut self, start: Timestamp, key: &[u8]) {
        encoded(start, key, |key| self.store.delete(key));
    }

    /// Start, key and value of all that was written since the last commit, oldest window first; `None` for what was removed.
    pub fn staged(&self) -> impl Iterator<Item = (Timestamp, Bytes, Option<Bytes>)> {
        self.store.staged().filter_map(|(key, value)| {
            let (start, key) = decode(key)?;
            Some((start, Bytes::copy_from_slice(key), value.cloned()))
        })
    }

    /// Start and key, by a key as it is in the store.
    pub fn parts(encoded: &[u8]) -> Option<(Timestamp, &[u8])> {
        decode(encoded)
    }

    /// Removes all windows that begin before `before`.
    pub fn expire(&mut self, before: Timestamp) {
        let (from, to) = (start_bytes(Timestamp::MIN), start_bytes(before));
        let expired: Vec<Vec<u8>> = self.store.range(&from, &to).map(|(key, _)| key.to_vec()).collect();
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
        self.store.range(&start_bytes(from), &start_bytes(to)).filter_map(|(key, value)| {
            let (start, _) = decode(&key)?;
            Some((start, key.into_bytes().slice(START..), value.into_bytes()))
        })
    }
}

fn start_bytes(start: Timestamp) -> [u8; START] {
    (start.as_millis().cast_unsigned() ^ (1 << 63)).to_be_bytes()
}

/// Calls `with` with the key as it is in the store. A short one, as most are, is put together on the stack.
fn encoded<T>(start: Timestamp, key: &[u8], with: impl FnOnce(&[u8]) -> T) -> T {
    let start = start_bytes(start);
    let mut short = [0; 64];
    let Some(place) = short.get_mut(..START + key.len()) else {
        return with(&[&start, key].concat());
    };
    place[..START].copy_from_slice(&start);
    place[START..].copy_from_slice(key);
    with(place)
}

fn decode(encoded: &[u8]) -> Option<(Timestamp, &[u8])> {
    let (start, key) = encoded.split_first_chunk::<START>()?;
    let start = u64::from_be_bytes(*start) ^ (1 << 63);
    Some((Timestamp::from_millis(start.cast_signed()), key))
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
    fn keys_too_long_for_the_stack_are_kept_as_others_are() {
        let mut inner = KeyValueStore::default();
        let start = Timestamp::from_millis(300);
        for length in [55, 56, 57, 1_000] {
            let key = vec![b'k'; length];
            WindowStore::over(&mut inner).put(start, &key, length.to_string());
            inner.commit();
            let windows = WindowStore::over(&mut inner);
            assert_eq!(windows.peek(start, &key).as_deref(), Some(length.to_string().as_bytes()));
            assert_eq!(
                windows.between(start, Timestamp::from_millis(301)).last().map(|(_, key, _)| key.len()),
                Some(length)
            );
        }
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
