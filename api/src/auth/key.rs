//! Keys that verify tokens. The key decides which algorithms it is for; a token's header can only name one of them.

use std::sync::atomic::{AtomicU64, Ordering};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::crypto::{rust_crypto, verify};
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey};
use serde::Deserialize;
use serde_json::Value;

/// NIST SP 800-131A; the upper bound is what the library verifies, so that no key costs more.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=4096;
/// `EdDSA` is named `Ed25519` since RFC 9864.
const HMAC: Algorithms = &[("HS256", Algorithm::HS256)];
const RSA: Algorithms = &[("RS256", Algorithm::RS256), ("PS256", Algorithm::PS256)];
const P256: Algorithms = &[("ES256", Algorithm::ES256)];
const ED25519: Algorithms = &[("EdDSA", Algorithm::EdDSA), ("Ed25519", Algorithm::EdDSA)];

type Algorithms = &'static [(&'static str, Algorithm)];

/// A key with the algorithms that it is for.
#[derive(Clone)]
pub(crate) struct VerifyingKey {
    key: DecodingKey,
    algorithms: Algorithms,
    number: u64,
}

static NEXT: AtomicU64 = AtomicU64::new(0);

/// What a JWK says of its key (RFC 7517, RFC 7518, RFC 8037).
#[derive(Deserialize)]
struct Jwk {
    kty: String,
    kid: Option<String>,
    alg: Option<String>,
    #[serde(rename = "use")]
    used_for: Option<String>,
    key_ops: Option<Vec<String>>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

impl VerifyingKey {
    fn new(key: DecodingKey, algorithms: Algorithms) -> Self {
        Self { key, algorithms, number: NEXT.fetch_add(1, Ordering::Relaxed) }
    }

    pub(crate) fn secret(secret: &[u8]) -> Self {
        Self::new(DecodingKey::from_secret(secret), HMAC)
    }

    /// A public key in PEM.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn pem(pem: &[u8]) -> Result<Self, String> {
        let is_public = String::from_utf8_lossy(pem).contains("PUBLIC KEY-----");
        if !is_public {
            return Err("no public key".to_owned());
        }
        if let Ok(key) = DecodingKey::from_ed_pem(pem) {
            return Self::checked(key, ED25519);
        }
        if let Ok(key) = DecodingKey::from_ec_pem(pem) {
            return Self::checked(key, P256);
        }
        let unknown = |_| "no Ed25519, P-256 or RSA key".to_owned();
        let key = DecodingKey::from_rsa_pem(pem).map_err(unknown)?;
        let components = rust_crypto::DEFAULT_PROVIDER.key_utils.rsa_pub_components_from_public_key;
        let (n, e) = components(key.try_get_as_bytes().map_err(unknown)?).map_err(unknown)?;
        Self::rsa(&n, &e, RSA)
    }

    /// A public key of a JWK set, with its id.
    ///
    /// # Errors
    /// Why it verifies no tokens.
    pub(crate) fn jwk(value: &Value) -> Result<(Option<String>, Self), String> {
        let jwk = Jwk::deserialize(value).map_err(|error| error.to_string())?;
        let signs = jwk.used_for.as_deref().is_none_or(|used_for| used_for == "sig");
        let verifies = jwk.key_ops.as_ref().is_none_or(|all| all.iter().any(|operation| operation == "verify"));
        if !signs || !verifies {
            return Err("not for signatures".to_owned());
        }
        let all = match (jwk.kty.as_str(), jwk.crv.as_deref()) {
            ("RSA", _) => RSA,
            ("EC", Some("P-256")) => P256,
            ("OKP", Some("Ed25519")) => ED25519,
            (kty, crv) => return Err(format!("kty {kty:?} with crv {crv:?}")),
        };
        let algorithms = match &jwk.alg {
            None => all,
            Some(alg) => {
                let known = all.iter().find(|(name, _)| name == alg);
                std::slice::from_ref(known.ok_or_else(|| format!("alg {alg:?} for kty {:?}", jwk.kty))?)
            }
        };
        let part = |name: &str, part: &Option<String>| {
            let text = part.as_deref().ok_or_else(|| format!("no {name}"))?;
            URL_SAFE_NO_PAD.decode(text).map_err(|error| format!("{name}: {error}"))
        };
        let (x, y) = (part("x", &jwk.x), part("y", &jwk.y));
        let key = match all {
            RSA => Self::rsa(&part("n", &jwk.n)?, &part("e", &jwk.e)?, algorithms)?,
            P256 => Self::checked(DecodingKey::from_ec_der(&[&[4], &*x?, &*y?].concat()), algorithms)?,
            _ => Self::checked(DecodingKey::from_ed_der(&x?), algorithms)?,
        };
        Ok((jwk.kid, key))
    }

    fn rsa(n: &[u8], e: &[u8], algorithms: Algorithms) -> Result<Self, String> {
        let n = &n[n.iter().take_while(|&&byte| byte == 0).count()..];
        let bits = n.first().map_or(0, |first| n.len() * 8 - first.leading_zeros() as usize);
        if !RSA_BITS.contains(&bits) {
            return Err(format!("an RSA key of {bits} bits, expected {} to {}", RSA_BITS.start(), RSA_BITS.end()));
        }
        let exponent = e.iter().fold(0_u64, |value, &byte| value.saturating_mul(256).saturating_add(byte.into()));
        if exponent % 2 == 0 || !(3..1 << 33).contains(&exponent) {
            return Err("an RSA key with a public exponent that is not sound".to_owned());
        }
        Self::checked(DecodingKey::from_rsa_raw_components(n, e), algorithms)
    }

    /// The library looks at a key only when it verifies with it, and panics over an Ed25519 key that is too short.
    fn checked(key: DecodingKey, algorithms: Algorithms) -> Result<Self, String> {
        let is_whole = key.family() != AlgorithmFamily::Ed || key.try_get_as_bytes().is_ok_and(|x| x.len() == 32);
        let is_usable = || algorithms.iter().all(|(_, algorithm)| verify("", b"", &key, *algorithm).is_ok());
        if is_whole && is_usable() { Ok(Self::new(key, algorithms)) } else { Err("no key of its kind".to_owned()) }
    }

    /// No other key of this process has it, but copies of this one.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    pub(crate) fn is_secret(&self) -> bool {
        self.key.family() == AlgorithmFamily::Hmac
    }

    /// Whether the key is for the algorithm of this name.
    pub(crate) fn is_for(&self, algorithm: &str) -> bool {
        self.algorithms.iter().any(|(name, _)| *name == algorithm)
    }

    /// Whether `signature` (base64url) is that of `message` by this key; never by an algorithm that the key is not for.
    pub(crate) fn verifies(&self, algorithm: &str, message: &str, signature: &str) -> bool {
        let algorithm = self.algorithms.iter().find(|(name, _)| *name == algorithm);
        algorithm.is_some_and(|(_, algorithm)| {
            verify(signature, message.as_bytes(), &self.key, *algorithm).unwrap_or_default()
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn refused(jwk: Value) -> String {
        VerifyingKey::jwk(&jwk).err().unwrap_or_else(|| panic!("accepted: {jwk}"))
    }

    #[test]
    fn keys_that_must_not_verify_tokens_are_refused() {
        let n = |bits: usize| URL_SAFE_NO_PAD.encode(vec![0xff; bits / 8]);
        assert!(VerifyingKey::jwk(&json!({"kty": "RSA", "n": n(2048), "e": "AQAB"})).is_ok());
        assert!(refused(json!({"kty": "RSA", "n": n(1024), "e": "AQAB"})).contains("1024 bits"));
        // Zeros before the number do not make it longer.
        let padded = URL_SAFE_NO_PAD.encode([vec![0; 128], vec![0xff; 128]].concat());
        assert!(refused(json!({"kty": "RSA", "n": padded, "e": "AQAB"})).contains("1024 bits"));
        assert!(refused(json!({"kty": "RSA", "n": n(16_384), "e": "AQAB"})).contains("16384 bits"));
        assert!(refused(json!({"kty": "RSA", "n": n(2048), "e": "AQ"})).contains("exponent"));
        assert!(refused(json!({"kty": "RSA", "n": n(2048), "e": "AQAB", "use": "enc"})).contains("signatures"));
        assert!(
            refused(json!({"kty": "RSA", "n": n(2048), "e": "AQAB", "key_ops": ["encrypt"]})).contains("signatures")
        );
        assert!(refused(json!({"kty": "RSA", "n": n(2048), "e": "AQAB", "alg": "HS256"})).contains("HS256"));
        assert!(refused(json!({"kty": "RSA", "n": n(2048), "e": "AQAB", "alg": "none"})).contains("none"));
        assert!(refused(json!({"kty": "oct", "k": "c2VjcmV0"})).contains("oct"));
        assert!(refused(json!({"kty": "EC", "crv": "P-384", "x": n(384), "y": n(384)})).contains("P-384"));
        assert!(
            refused(json!({"kty": "EC", "crv": "P-256", "x": n(256), "y": n(256)})).contains("no key"),
            "not on the curve"
        );
        assert!(refused(json!({"kty": "OKP", "crv": "Ed25519", "x": n(128)})).contains("no key"), "too short");
        assert!(refused(json!({"kty": "OKP", "crv": "Ed25519", "x": n(512)})).contains("no key"), "too long");
        assert!(refused(json!({"kty": "RSA", "n": "a+b/", "e": "AQAB"})).contains("n: "));
        assert!(VerifyingKey::pem(b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----").is_err());
    }
}
