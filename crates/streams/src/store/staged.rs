//! The writes of one commit interval: found by hash, for most of them hit a key that was written a moment ago, and listed in key order.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;

use bytes::Bytes;

/// The last write of each key: a value, or `None` for a deletion.
#[derive(Clone, Debug, Default)]
pub(super) struct Staged {
    writes: Vec<Option<Bytes>>,
    /// Where in `writes` each key's is; what no key names was taken back.
    places: HashMap<Bytes, usize>,
    /// The same in key order.
    order: BTreeMap<Bytes, usize>,
}

impl Staged {
    pub(super) fn get(&self, key: &[u8]) -> Option<Option<&Bytes>> {
        self.places.get(key).map(|place| self.writes[*place].as_ref())
    }

    pub(super) fn set(&mut self, key: &[u8], value: Option<Bytes>) {
        if let Some(place) = self.places.get(key) {
            self.writes[*place] = value;
            return;
        }
        let (key, place) = (Bytes::copy_from_slice(key), self.writes.len());
        self.writes.push(value);
        self.order.insert(key.clone(), place);
        self.places.insert(key, place);
    }

    pub(super) fn remove(&mut self, key: &[u8]) {
        if let Some(place) = self.places.remove(key) {
            self.order.remove(key);
            self.writes[place] = None;
        }
    }

    pub(super) fn clear(&mut self) {
        self.writes.clear();
        self.places.clear();
        self.order.clear();
    }

    pub(super) fn iter(&self) -> impl ExactSizeIterator<Item = (&Bytes, Option<&Bytes>)> {
        self.order.iter().map(|(key, place)| (key, self.writes[*place].as_ref()))
    }

    pub(super) fn range<'a>(
        &'a self,
        bounds: (Bound<&[u8]>, Bound<&[u8]>),
    ) -> impl Iterator<Item = (&'a Bytes, Option<&'a Bytes>)> + use<'a> {
        self.order.range::<[u8], _>(bounds).map(|(key, place)| (key, self.writes[*place].as_ref()))
    }
}
