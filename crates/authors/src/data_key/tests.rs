use proptest::prelude::*;

use super::*;
use crate::cipher::KEY;
use crate::keyring::{Keyring, WRAPPED};

const ALICE: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
const BOB: &str = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";

fn keyring(text: &str) -> Keyring {
    text.parse().unwrap()
}

fn line(id: &str, byte: u8) -> String {
    format!("{id} {}\n", hex(&[byte; KEY]))
}

fn open(key: &DataKey, author_id: &str, sealed: &[u8]) -> Result<String, OpenError> {
    key.open(author_id, Sealed::parse(sealed)?)
}

#[test]
fn a_sealed_handle_opens_under_its_author_only() {
    let key = DataKey::new();
    let sealed = key.seal(ALICE, "satoshi");
    assert_eq!(open(&key, ALICE, &sealed).unwrap(), "satoshi");
    assert_eq!(open(&key, BOB, &sealed), Err(OpenError::Refused(HANDLE)));
    assert!(!sealed.windows(7).any(|window| window == b"satoshi"));
}

#[test]
fn another_key_opens_nothing() {
    let (key, other) = (DataKey::new(), DataKey::new());
    let sealed = key.seal(ALICE, "satoshi");
    assert_eq!(open(&other, ALICE, &sealed), Err(OpenError::Refused(HANDLE)));
    // Nor does the same key under the other one's id.
    let mut renamed = sealed.clone();
    renamed[1..=ID].copy_from_slice(&other.id().0);
    assert_eq!(open(&key, ALICE, &renamed), Err(OpenError::Refused(HANDLE)));
}

#[test]
fn every_cut_and_every_changed_bit_is_an_error() {
    let key = DataKey::new();
    let sealed = key.seal(ALICE, "satoshi");
    for length in 0..sealed.len() {
        assert!(open(&key, ALICE, &sealed[..length]).is_err(), "{length} bytes");
    }
    for bit in 0..sealed.len() * 8 {
        let mut changed = sealed.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        assert!(open(&key, ALICE, &changed).is_err(), "bit {bit}");
    }
    let longer = [&sealed[..], &[0]].concat();
    assert!(open(&key, ALICE, &longer).is_err());
}

#[test]
fn the_length_tells_no_more_than_its_step() {
    let key = DataKey::new();
    let length = |handle: &str| key.seal(ALICE, handle).len();
    assert_eq!(length("a"), length("a handle of thirty-one letters.."[..31].as_ref()));
    assert_eq!(length("a") + STEP, length(&"x".repeat(32)));
}

#[test]
fn a_wrapped_key_opens_with_its_keyring_for_its_author_only() {
    let ring = keyring(&line("1", 1));
    let key = DataKey::new();
    let wrapped = key.wrap(ALICE, &ring).unwrap();
    assert_eq!(wrapped.keyring_key, "1");
    let sealed = key.seal(ALICE, "satoshi");
    assert_eq!(open(&wrapped.unwrap(ALICE, &ring).unwrap(), ALICE, &sealed).unwrap(), "satoshi");
    let refused = |wrapped: &WrappedKey, author_id, ring: &Keyring| wrapped.unwrap(author_id, ring).unwrap_err();
    assert_eq!(refused(&wrapped, BOB, &ring), OpenError::Refused(WRAPPED));
    assert_eq!(refused(&wrapped, ALICE, &keyring(&line("1", 2))), OpenError::Refused(WRAPPED));
    assert_eq!(refused(&wrapped, ALICE, &keyring(&line("2", 1))), OpenError::NoSuchKey("1".to_owned()));
    let renamed = WrappedKey { id: DataKey::new().id(), ..wrapped.clone() };
    assert_eq!(refused(&renamed, ALICE, &ring), OpenError::Refused(WRAPPED));
    let cut = WrappedKey { bytes: wrapped.bytes[1..].to_vec(), ..wrapped };
    assert_eq!(refused(&cut, ALICE, &ring), OpenError::Malformed { what: WRAPPED, length: 59 });
}

#[test]
fn after_a_rotation_new_keys_are_wrapped_anew_and_old_ones_still_open() {
    let before = keyring(&line("1", 1));
    let after = keyring(&(line("2", 2) + &line("1", 1)));
    let old = DataKey::new().wrap(ALICE, &before).unwrap();
    let new = DataKey::new().wrap(ALICE, &after).unwrap();
    assert_eq!((old.keyring_key.as_str(), new.keyring_key.as_str()), ("1", "2"));
    assert!(old.unwrap(ALICE, &after).is_ok() && new.unwrap(ALICE, &after).is_ok());
    assert_eq!(new.unwrap(ALICE, &before).unwrap_err(), OpenError::NoSuchKey("2".to_owned()));
}

#[test]
fn a_rewrapped_key_needs_the_old_one_no_longer_and_opens_what_it_sealed() {
    let (before, after) = (keyring(&line("1", 1)), keyring(&(line("2", 2) + &line("1", 1))));
    let key = DataKey::new();
    let sealed = key.seal(ALICE, "satoshi");
    let old = key.wrap(ALICE, &before).unwrap();
    let new = old.rewrap(ALICE, &after).unwrap();
    assert_eq!((new.id, new.keyring_key.as_str()), (old.id, "2"));
    let opened = new.unwrap(ALICE, &keyring(&line("2", 2))).unwrap();
    assert_eq!(open(&opened, ALICE, &sealed).unwrap(), "satoshi");
    assert_eq!(old.rewrap(BOB, &after).unwrap_err(), OpenError::Refused(WRAPPED));
}

#[test]
fn ids_are_read_as_they_are_written_and_keys_are_not_printed() {
    let key = DataKey::new();
    assert_eq!(key.id().to_string().parse(), Ok(key.id()));
    assert!("00".parse::<DataKeyId>().is_err() && "zz".repeat(ID).parse::<DataKeyId>().is_err());
    assert!(!format!("{key:?}").contains(&hex(&key.key[..4])));
}

proptest! {
    #[test]
    fn any_handle_comes_back_as_it_was(handle in any::<String>(), author in "[0-9a-f]{32}") {
        let key = DataKey::new();
        let sealed = key.seal(&author, &handle);
        prop_assert_eq!(open(&key, &author, &sealed), Ok(handle));
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(open(&DataKey::new(), ALICE, &bytes).is_err());
        let mut versioned = bytes;
        versioned.insert(0, VERSION);
        prop_assert!(open(&DataKey::new(), ALICE, &versioned).is_err());
    }
}
