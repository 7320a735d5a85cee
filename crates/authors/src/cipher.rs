//! AES-256-GCM-SIV (RFC 8452) as it is used here: a random nonce goes before the ciphertext, and the tag after it.

use aes_gcm_siv::Aes256GcmSiv;
use aes_gcm_siv::aead::{Aead, KeyInit, Payload};
use zeroize::Zeroizing;

/// Bytes of a key.
pub(crate) const KEY: usize = 32;
/// Bytes of a nonce.
pub(crate) const NONCE: usize = 12;
/// Bytes of a tag.
pub(crate) const TAG: usize = 16;

/// A key that is overwritten when it is dropped.
pub(crate) type Key = Zeroizing<[u8; KEY]>;

/// Fresh bytes from the system's source of randomness.
pub(crate) fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the system's source of randomness does not fail once it has started");
    bytes
}

/// Nonce, ciphertext and tag of `text`, bound to `context`.
pub(crate) fn seal(key: &Key, context: &[u8], text: &[u8]) -> Vec<u8> {
    let nonce = random::<NONCE>();
    let mut sealed = nonce.to_vec();
    let payload = Payload { msg: text, aad: context };
    let cipher = Aes256GcmSiv::new((&**key).into());
    let ciphertext = cipher.encrypt((&nonce).into(), payload);
    sealed.extend(ciphertext.expect("the cipher takes texts of up to 64 GiB"));
    sealed
}

/// What [`seal`] was given; `None` if key, context or any byte is another.
pub(crate) fn open(key: &Key, context: &[u8], sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let (nonce, ciphertext) = sealed.split_first_chunk::<NONCE>()?;
    let payload = Payload { msg: ciphertext, aad: context };
    Aes256GcmSiv::new((&**key).into()).decrypt(nonce.into(), payload).ok().map(Zeroizing::new)
}

#[cfg(test)]
mod tests {
    use aes_gcm_siv::aead::{Aead, KeyInit};

    use super::*;

    /// RFC 8452, appendix C.2: key 01 00.., nonce 03 00.., plaintext 01 00.. of 8 bytes.
    #[test]
    fn the_cipher_is_the_one_of_the_rfc() {
        let mut key = [0; KEY];
        key[0] = 1;
        let mut nonce = [0; NONCE];
        nonce[0] = 3;
        let cipher = Aes256GcmSiv::new((&key).into());
        let sealed = cipher.encrypt((&nonce).into(), &[1, 0, 0, 0, 0, 0, 0, 0][..]).unwrap();
        assert_eq!(crate::hex(&sealed), "c2ef328e5c71c83b843122130f7364b761e0b97427e3df28");
    }

    #[test]
    fn two_seals_of_one_text_differ() {
        let key = Key::new([7; KEY]);
        assert_ne!(seal(&key, b"", b"text"), seal(&key, b"", b"text"));
    }
}
