//! Keys made for the test, and tokens signed with them, however wrong.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey};
use rcgen::KeyPair;
use rsa::RsaPrivateKey;
use rsa::pkcs1::EncodeRsaPrivateKey;
use rsa::pkcs8::EncodePublicKey;
use rsa::traits::PublicKeyParts;
use serde_json::{Value, json};

pub(crate) fn b64(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// What signs.
pub(crate) struct Signer {
    pub(crate) algorithm: Algorithm,
    key: EncodingKey,
}

impl Signer {
    pub(crate) fn secret(algorithm: Algorithm, secret: impl AsRef<[u8]>) -> Self {
        Self { algorithm, key: EncodingKey::from_secret(secret.as_ref()) }
    }

    pub(crate) fn sign(&self, message: &str) -> String {
        jsonwebtoken::crypto::sign(message.as_bytes(), &self.key, self.algorithm).unwrap()
    }

    /// A token of exactly these texts.
    pub(crate) fn raw(&self, header: impl AsRef<[u8]>, payload: impl AsRef<[u8]>) -> String {
        let message = format!("{}.{}", b64(header), b64(payload));
        format!("{message}.{}", self.sign(&message))
    }

    /// A token with this header and these claims.
    pub(crate) fn token(&self, header: &Value, claims: &Value) -> String {
        self.raw(header.to_string(), claims.to_string())
    }
}

/// A key pair: its public half in PEM, in bytes and as a JWK without `kid`.
pub(crate) struct Pair {
    pub(crate) pem: String,
    pub(crate) raw: Vec<u8>,
    pub(crate) jwk: Value,
    signers: Vec<Signer>,
}

impl Pair {
    pub(crate) fn rsa(bits: usize) -> Self {
        let private = RsaPrivateKey::new(&mut rsa::rand_core::OsRng, bits).unwrap();
        let public = private.to_public_key();
        let spki = public.to_public_key_der().unwrap().into_vec();
        let der = private.to_pkcs1_der().unwrap();
        let signer = |algorithm| Signer { algorithm, key: EncodingKey::from_rsa_der(der.as_bytes()) };
        let algorithms = [
            Algorithm::RS256,
            Algorithm::PS256,
            Algorithm::RS384,
            Algorithm::RS512,
            Algorithm::PS384,
            Algorithm::PS512,
        ];
        Self {
            pem: format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", STANDARD.encode(&spki)),
            jwk: json!({"kty": "RSA", "n": b64(public.n().to_bytes_be()), "e": b64(public.e().to_bytes_be())}),
            raw: spki,
            signers: algorithms.map(signer).into(),
        }
    }

    pub(crate) fn p256() -> Self {
        let pair = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
        let raw = pair.public_key_raw().to_vec();
        let key = EncodingKey::from_ec_der(pair.serialized_der());
        let jwk = json!({"kty": "EC", "crv": "P-256", "x": b64(&raw[1..33]), "y": b64(&raw[33..])});
        Self { pem: pair.public_key_pem(), raw, jwk, signers: vec![Signer { algorithm: Algorithm::ES256, key }] }
    }

    pub(crate) fn ed25519() -> Self {
        let pair = KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
        let raw = pair.public_key_raw().to_vec();
        let key = EncodingKey::from_ed_der(pair.serialized_der());
        let jwk = json!({"kty": "OKP", "crv": "Ed25519", "x": b64(&raw)});
        Self { pem: pair.public_key_pem(), raw, jwk, signers: vec![Signer { algorithm: Algorithm::EdDSA, key }] }
    }

    pub(crate) fn by(&self, algorithm: Algorithm) -> &Signer {
        self.signers.iter().find(|signer| signer.algorithm == algorithm).unwrap()
    }

    /// By the usual algorithm of the key.
    pub(crate) fn signer(&self) -> &Signer {
        &self.signers[0]
    }
}
