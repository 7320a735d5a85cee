//! Stores without a task.

use super::*;

fn entries<'a>(of: impl Iterator<Item = (Slice<'a>, Slice<'a>)>) -> Vec<(String, String)> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    of.map(|(key, value)| (text(&key), text(&value))).collect()
}

fn store(committed: &[(&'static str, &'static str)]) -> KeyValueStore {
    let mut store = KeyValueStore::default();
    for (key, value) in committed {
        store.put(*key, *value);
    }
    store.commit();
    store
}

#[test]
fn staged_writes_are_read_at_once_and_dropped_on_abort() {
    let mut store = store(&[("a", "1"), ("b", "2")]);
    store.put("a", "9");
    store.delete("b");
    store.put("c", "3");
    assert_eq!(store.get(b"a").as_deref(), Some(&b"9"[..]));
    assert!(!store.contains(b"b"));
    store.abort();
    assert_eq!(entries(store.iter()), [("a".into(), "1".into()), ("b".into(), "2".into())]);
}

#[test]
fn only_the_last_write_of_a_key_reaches_the_changelog() {
    let mut store = store(&[("b", "2")]);
    store.put("a", "1");
    store.put("a", "2");
    store.delete("b");
    store.put("x", "1");
    store.delete("x");
    let staged: Vec<_> = store.staged().map(|(key, value)| (key.clone(), value.cloned())).collect();
    assert_eq!(staged, [(Bytes::from("a"), Some(Bytes::from("2"))), (Bytes::from("b"), None)]);
}

#[test]
fn ranges_merge_staged_and_committed_in_key_order() {
    let mut store = store(&[("a", "1"), ("c", "3"), ("e", "5")]);
    store.put("b", "2");
    store.put("c", "33");
    store.delete("e");
    store.put("f", "6");
    let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    assert_eq!(entries(store.range(b"a", b"f")), [pair("a", "1"), pair("b", "2"), pair("c", "33")]);
    assert_eq!(entries(store.range(b"f", b"a")), []);
    assert_eq!(entries(store.iter()), [pair("a", "1"), pair("b", "2"), pair("c", "33"), pair("f", "6")]);
}

#[test]
fn prefix_ends_where_the_prefix_ends() {
    let store = store(&[("a", "0"), ("aa", "1"), ("ab", "2"), ("b", "3")]);
    assert_eq!(entries(store.prefix(b"a")).len(), 3);
    assert_eq!(after_prefix(&[1, 255, 255]), Some(vec![2]));
    assert_eq!(after_prefix(&[255]), None);
    assert_eq!(entries(store.prefix(b"")).len(), 4);
}
