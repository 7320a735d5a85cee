//! Signatures that were found right, so that a client that sends its token with each request has it verified once: with a public key that
//! takes many times as long as all the rest of a kept answer. Claims and revocations are looked at each time.

use std::collections::HashSet;

use parking_lot::Mutex;
use sha2::{Digest, Sha256};

use super::key::VerifyingKey;

/// Tokens that are remembered, at most; then all are forgotten.
const MOST: usize = 10_000;

#[derive(Default)]
pub(crate) struct Signatures(Mutex<HashSet<[u8; 32]>>);

impl Signatures {
    /// Whether `signature` is that of `message` by this very key, and by the algorithm, which the key must be for.
    pub(super) fn verifies(&self, key: &VerifyingKey, algorithm: &str, message: &str, signature: &str) -> bool {
        if key.is_secret() {
            return key.verifies(algorithm, message, signature);
        }
        let digest = Sha256::new().chain_update(key.number().to_be_bytes());
        let digest =
            [algorithm, ".", message, ".", signature].iter().fold(digest, |digest, part| digest.chain_update(part));
        let digest = digest.finalize().into();
        if self.0.lock().contains(&digest) {
            return true;
        }
        let is_right = key.verifies(algorithm, message, signature);
        if is_right {
            let mut known = self.0.lock();
            if known.len() == MOST {
                known.clear();
            }
            known.insert(digest);
        }
        is_right
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use jsonwebtoken::{Algorithm, EncodingKey, crypto};
    use rcgen::KeyPair;

    use super::*;

    #[test]
    fn a_signature_is_remembered_for_its_own_key_algorithm_and_message_only() {
        let pair = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
        let key = VerifyingKey::pem(pair.public_key_pem().as_bytes()).unwrap();
        let other = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
        let other = VerifyingKey::pem(other.public_key_pem().as_bytes()).unwrap();
        let signer = EncodingKey::from_ec_der(pair.serialized_der());
        let signature = crypto::sign(b"a.b", &signer, Algorithm::ES256).unwrap();
        let known = Signatures::default();
        for _ in 0..2 {
            assert!(known.verifies(&key, "ES256", "a.b", &signature));
            assert!(!known.verifies(&other, "ES256", "a.b", &signature));
            assert!(!known.verifies(&key, "RS256", "a.b", &signature));
            assert!(!known.verifies(&key, "ES256", "a.c", &signature));
            assert!(!known.verifies(&key, "ES256", "a.b", &URL_SAFE_NO_PAD.encode([1; 64])));
        }
        assert_eq!(known.0.lock().len(), 1, "what is wrong is not remembered");
    }
}
