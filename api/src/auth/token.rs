//! A JWT as RFC 7519, RFC 8725 and RFC 9068 have it, in JWS compact serialization. Nothing in its header is ever followed: not `jku`, not
//! `x5u`, not an embedded key.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::{DeserializeOwned, Error, IgnoredAny};
use serde::{Deserialize, Deserializer};
use vigie_clock::Timestamp;

use super::Scope;
use super::key::VerifyingKey;
use super::signatures::Signatures;

/// Tolerated difference between the clocks of issuer and server.
pub(crate) const LEEWAY: Duration = Duration::from_secs(30);
const MAX_BYTES: usize = 16 << 10;
/// OpenID Connect Core, 2.
const MAX_SUBJECT: usize = 255;
/// The end of the year 9999, in seconds.
const LAST_TIME: f64 = 253_402_300_799.0;

/// What claims must say.
#[derive(Clone, Debug)]
pub(crate) struct Expected {
    /// `None`: any issuer, or none.
    pub(crate) issuer: Option<String>,
    pub(crate) audience: String,
    pub(crate) lifetime: Duration,
}

/// A token of which nothing is verified yet.
pub(crate) struct Token<'a> {
    pub(crate) algorithm: String,
    pub(crate) key_id: Option<String>,
    message: &'a str,
    signature: &'a str,
    claims: Claims,
}

/// A field that is there twice is an error, as for all that derive [`Deserialize`].
#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    typ: Option<String>,
    /// Extensions that must be understood: we understand none.
    #[serde(default, deserialize_with = "present")]
    crit: bool,
    #[serde(default, deserialize_with = "present")]
    b64: bool,
    #[serde(default, deserialize_with = "present")]
    zip: bool,
    #[serde(default, deserialize_with = "present")]
    enc: bool,
    #[serde(default, deserialize_with = "present")]
    cty: bool,
}

#[derive(Deserialize)]
struct Claims {
    sub: String,
    iss: Option<String>,
    aud: Words,
    #[serde(deserialize_with = "time")]
    iat: Timestamp,
    #[serde(default, deserialize_with = "some_time")]
    nbf: Option<Timestamp>,
    #[serde(deserialize_with = "time")]
    exp: Timestamp,
    jti: Option<String>,
    /// RFC 8693, 4.2: words between spaces. Some issuers send a list, some name it `scp`.
    scope: Option<Words>,
    scp: Option<Words>,
    /// The token is bound to a key (RFC 7800), of which a bearer proves nothing.
    #[serde(default, deserialize_with = "present")]
    cnf: bool,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Words {
    One(String),
    Many(Vec<String>),
}

impl Words {
    fn all(&self) -> &[String] {
        match self {
            Self::One(word) => std::slice::from_ref(word),
            Self::Many(words) => words,
        }
    }
}

/// What a valid token says.
pub(crate) struct Verified {
    pub(crate) subject: String,
    pub(crate) id: Option<String>,
    pub(crate) issued_at: Timestamp,
    pub(crate) expires_at: Timestamp,
    pub(crate) scopes: Vec<Scope>,
}

impl<'a> Token<'a> {
    /// Reads a token without verifying anything.
    ///
    /// # Errors
    /// Why it is none that could be valid.
    pub(crate) fn parse(text: &'a str) -> Result<Self, String> {
        if text.len() > MAX_BYTES {
            return Err(format!("{} bytes, expected at most {MAX_BYTES}", text.len()));
        }
        let parts: Vec<&str> = text.split('.').collect();
        let [header, claims, signature] = parts[..] else {
            return Err(format!("{} parts between dots, expected 3", parts.len()));
        };
        let message = &text[..text.len() - signature.len() - 1];
        let header: Header = decoded("header", header)?;
        for (name, present) in
            [("crit", header.crit), ("b64", header.b64), ("zip", header.zip), ("enc", header.enc), ("cty", header.cty)]
        {
            if present {
                return Err(format!("{name} in the header"));
            }
        }
        // Tokens for another purpose, as logout tokens and DPoP proofs, say so.
        let typ = header.typ.as_deref().unwrap_or("JWT").to_ascii_lowercase();
        if !matches!(typ.strip_prefix("application/").unwrap_or(&typ), "jwt" | "at+jwt") {
            return Err("of another typ, expected JWT or at+jwt".to_owned());
        }
        let claims = decoded("payload", claims)?;
        Ok(Self { algorithm: header.alg, key_id: header.kid, message, signature, claims })
    }

    /// Who claims to have issued it: good for choosing whose keys to verify it with, and for nothing else.
    pub(crate) fn claimed_issuer(&self) -> Option<&str> {
        self.claims.iss.as_deref()
    }

    pub(crate) fn into_id(self) -> Option<String> {
        self.claims.jti
    }

    /// Further claims, of a token that is yet to be verified.
    pub(super) fn further<T: DeserializeOwned>(&self) -> Result<T, String> {
        decoded("payload", self.message.split('.').next_back().unwrap_or_default())
    }

    /// Verifies signature, unless it is `known`, and claims.
    ///
    /// # Errors
    /// Why it is not valid.
    pub(crate) fn verify(
        self,
        key: &VerifyingKey,
        known: &Signatures,
        expected: &Expected,
        now: Timestamp,
    ) -> Result<Verified, String> {
        if !key.is_for(&self.algorithm) {
            return Err("the key is not for its algorithm".to_owned());
        }
        if !known.verifies(key, &self.algorithm, self.message, self.signature) {
            return Err("wrong signature".to_owned());
        }
        let claims = self.claims;
        if expected.issuer.is_some() && claims.iss != expected.issuer {
            return Err("of another issuer (iss)".to_owned());
        }
        if !claims.aud.all().contains(&expected.audience) {
            return Err(format!("for another audience (aud), expected {:?}", expected.audience));
        }
        let (iat, exp) = (claims.iat, claims.exp);
        if exp.saturating_add(LEEWAY) <= now {
            return Err("expired".to_owned());
        }
        let earliest = claims.nbf.map_or(iat, |nbf| nbf.max(iat));
        if earliest > now.saturating_add(LEEWAY) {
            return Err("not valid yet".to_owned());
        }
        if exp <= iat || exp.since(iat) > expected.lifetime {
            return Err(format!("valid for too long, expected at most {} h", expected.lifetime.as_secs() / 3600));
        }
        if claims.cnf {
            return Err("bound to a key (cnf), which is not supported".to_owned());
        }
        let subject = claims.sub;
        if subject.is_empty() || subject.len() > MAX_SUBJECT || subject.contains(char::is_control) {
            return Err("no sound subject (sub)".to_owned());
        }
        let words = [&claims.scope, &claims.scp].into_iter().flatten().flat_map(Words::all);
        let words: Vec<&str> = words.flat_map(|words| words.split(' ')).collect();
        let scopes = Scope::ALL.into_iter().filter(|scope| words.contains(&scope.name())).collect();
        Ok(Verified { subject, id: claims.jti, issued_at: iat, expires_at: exp, scopes })
    }
}

fn decoded<T: DeserializeOwned>(what: &str, part: &str) -> Result<T, String> {
    let json = URL_SAFE_NO_PAD.decode(part).map_err(|error| format!("{what}: {error}"))?;
    // In values that nobody looks at the parser takes any bytes.
    let json = std::str::from_utf8(&json).map_err(|error| format!("{what}: {error}"))?;
    // Lists would be taken as well, field by field.
    if !json.starts_with('{') {
        return Err(format!("{what}: no JSON object"));
    }
    serde_json::from_str(json).map_err(|error| format!("{what}: {error}"))
}

fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    IgnoredAny::deserialize(deserializer).map(|_| true)
}

/// A NumericDate: seconds, also with a fraction.
fn time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
    let seconds = f64::deserialize(deserializer)?;
    if !(0.0..=LAST_TIME).contains(&seconds) {
        return Err(D::Error::custom(format!("{seconds} is no time in seconds")));
    }
    Ok(Timestamp::from_millis((seconds * 1000.0) as i64))
}

fn some_time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Timestamp>, D::Error> {
    time(deserializer).map(Some)
}
