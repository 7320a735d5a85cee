//! What strangers send, taken apart as the API does it: for fuzzers. Each panics if a promise is broken.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, crypto};
use serde_json::Value;
use vigie_clock::Timestamp;

use crate::auth::{Expected, LEEWAY, Signatures, Token, VerifyingKey};
use crate::endpoints::insights::series::ManyParams;
use crate::endpoints::insights::stream::StreamParams;
use crate::endpoints::posts::PostsParams;
use crate::http::{cursor, params};

const SECRET: &[u8] = b"of nobody, and long enough for it";
const AUDIENCE: &str = "vigie";
const DAY: Duration = Duration::from_secs(86_400);
/// Within the lifetime of a token with times of 2027.
const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);

/// The parameter `cursor`: what is accepted comes back the same.
pub fn read_cursor(text: &str) {
    if let Some(cursor) = cursor::decode(text) {
        let again = cursor::decode(&cursor.encode());
        assert_eq!(again.as_ref(), Some(&cursor), "another cursor came back");
    }
}

/// A query string, as three endpoints with parameters of every type read it.
pub fn read_query(text: &str) {
    let _ = params::read::<PostsParams>(text);
    let _ = params::read::<ManyParams>(text);
    let _ = params::read::<StreamParams>(text);
}

/// A token as it is, and `HEADER` line feed `CLAIMS` with a signature that is right: it is accepted only if its claims say so.
pub fn read_token(bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = Token::parse(text);
    }
    let split = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len());
    let (header, claims) = (&bytes[..split], bytes.get(split + 1..).unwrap_or_default());
    let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
    let signature = crypto::sign(message.as_bytes(), &EncodingKey::from_secret(SECRET), Algorithm::HS256);
    let text = format!("{message}.{}", signature.unwrap_or_default());
    let Ok(token) = Token::parse(&text) else { return };
    let expected = Expected { issuer: None, audience: AUDIENCE.to_owned(), lifetime: DAY };
    if let Ok(verified) = token.verify(&VerifyingKey::secret(SECRET), &Signatures::default(), &expected, NOW) {
        assert!(std::str::from_utf8(header).is_ok() && std::str::from_utf8(claims).is_ok(), "accepted, and no text");
        // In fields that nobody looks at, numbers may be out of any range.
        let [Ok(header), Ok(claims)] = [header, claims].map(serde_json::from_slice::<Value>) else { return };
        assert_eq!(header["alg"], "HS256", "accepted with another algorithm");
        assert!(header.get("crit").is_none() && claims.get("cnf").is_none(), "accepted with what is not understood");
        assert!(claims["aud"].to_string().contains(AUDIENCE), "accepted for somebody else");
        assert!(verified.expires_at.saturating_add(LEEWAY) > NOW, "accepted after its end");
        assert!(verified.expires_at.since(verified.issued_at) <= DAY, "accepted for longer than allowed");
        assert!(!verified.subject.is_empty(), "accepted for nobody");
    }
}

/// A key of an issuer's set (RFC 7517): one that is taken has a verdict on every signature, and is not for `none`.
pub fn read_key(bytes: &[u8]) {
    let Ok(value) = serde_json::from_slice::<Value>(bytes) else { return };
    if let Ok((_, key)) = VerifyingKey::jwk(&value) {
        assert!(!key.is_for("none") && !key.is_for("HS256"), "a public key for a secret's algorithm");
        for algorithm in ["RS256", "PS256", "ES256", "EdDSA"] {
            for length in [0, 1, 64, 256] {
                key.verifies(algorithm, "a message", &URL_SAFE_NO_PAD.encode(vec![1; length]));
            }
        }
    }
}
