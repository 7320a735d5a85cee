//! What a browser keeps for us, and can neither read nor change: AES-256-GCM-SIV (RFC 8452) under a key of the shared secret.

use std::time::Duration;

use aes_gcm_siv::Aes256GcmSiv;
use aes_gcm_siv::aead::{Aead, KeyInit, Payload};
use axum::http::{HeaderMap, HeaderValue, header};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac};
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::Sha256;

use super::LoginCheck;
use crate::http::problem::Problem;

const NONCE: usize = 12;
/// Browsers keep 4096 bytes, name and attributes included.
const MAX_BYTES: usize = 3800;

#[derive(Clone, Copy)]
pub(super) enum Kind {
    /// Of a login under way. Lax: the issuer sends the browser back, from its own site.
    Flow,
    /// Strict: no other site's link or form brings it along. The page itself needs none, and its requests are of our site.
    Session,
}

pub(super) struct Cookies {
    cipher: Aes256GcmSiv,
    /// `__Host-` binds a cookie to https and to this very host; browsers take it over https only.
    is_secure: bool,
    /// Cookies of another issuer or client are none.
    context: String,
}

impl Cookies {
    pub(super) fn new(check: &LoginCheck) -> Self {
        let mut mac = <Hmac<Sha256> as Mac>::new_from_slice(check.cookie_secret.reveal().as_bytes())
            .expect("HMAC takes keys of any length");
        mac.update(b"vigie login cookies 1");
        Self {
            cipher: Aes256GcmSiv::new(&mac.finalize().into_bytes()),
            is_secure: check.origin.starts_with("https:"),
            context: format!("{}\0{}\0", check.issuer, check.client_id),
        }
    }

    fn name(&self, kind: Kind) -> String {
        let name = match kind {
            Kind::Flow => "vigie-login",
            Kind::Session => "vigie-session",
        };
        format!("{}{name}", if self.is_secure { "__Host-" } else { "" })
    }

    /// `Set-Cookie` for the value under seal.
    pub(super) fn set<T: Serialize>(&self, kind: Kind, value: &T, lifetime: Duration) -> Result<HeaderValue, Problem> {
        let name = self.name(kind);
        let text = serde_json::to_vec(value).map_err(|_| Problem::internal())?;
        let mut nonce = [0; NONCE];
        getrandom::fill(&mut nonce).expect("the system has randomness");
        let aad = format!("{}{name}", self.context);
        let sealed = self.cipher.encrypt(&nonce.into(), Payload { msg: &text, aad: aad.as_bytes() });
        let sealed = sealed.map_err(|_| Problem::internal())?;
        let sealed = URL_SAFE_NO_PAD.encode([&nonce[..], &sealed].concat());
        if sealed.len() > MAX_BYTES {
            return Err(Problem::invalid_parameter("code", "the issuer's tokens have ids that no cookie can hold"));
        }
        Ok(self.field(kind, &sealed, lifetime))
    }

    /// `Set-Cookie` that takes it away.
    pub(super) fn clear(&self, kind: Kind) -> HeaderValue {
        self.field(kind, "", Duration::ZERO)
    }

    fn field(&self, kind: Kind, value: &str, lifetime: Duration) -> HeaderValue {
        let same_site = match kind {
            Kind::Flow => "Lax",
            Kind::Session => "Strict",
        };
        let secure = if self.is_secure { "; Secure" } else { "" };
        let (name, age) = (self.name(kind), lifetime.as_secs());
        let field = format!("{name}={value}; Path=/; Max-Age={age}; HttpOnly; SameSite={same_site}{secure}");
        let mut field = HeaderValue::try_from(field).expect("base64 is text");
        field.set_sensitive(true);
        field
    }

    /// The value of a request's cookie; `None` if there is no such cookie, `Some(None)` if it does not open.
    pub(super) fn get<T: DeserializeOwned>(&self, kind: Kind, headers: &HeaderMap) -> Option<Option<T>> {
        let name = self.name(kind);
        let fields = headers.get_all(header::COOKIE).iter().filter_map(|field| field.to_str().ok());
        let mut pairs = fields.flat_map(|field| field.split(';')).filter_map(|pair| pair.trim().split_once('='));
        let (_, sealed) = pairs.find(|(known, _)| *known == name)?;
        Some(self.opened(&name, sealed).and_then(|text| serde_json::from_slice(&text).ok()))
    }

    fn opened(&self, name: &str, sealed: &str) -> Option<Vec<u8>> {
        let sealed = URL_SAFE_NO_PAD.decode(sealed).ok()?;
        let (nonce, text) = sealed.split_first_chunk::<NONCE>()?;
        let aad = format!("{}{name}", self.context);
        self.cipher.decrypt(nonce.into(), Payload { msg: text, aad: aad.as_bytes() }).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cookies(secret: &str, client_id: &str, origin: &str) -> Cookies {
        let text = |text: &str| text.to_owned();
        Cookies::new(&LoginCheck {
            issuer: text("https://issuer.example"),
            client_id: text(client_id),
            client_secret: None,
            cookie_secret: text(secret).into(),
            request: text("openid"),
            scopes: Vec::new(),
            origin: text(origin),
        })
    }

    fn sent(field: &HeaderValue) -> HeaderMap {
        let pair = field.to_str().unwrap().split(';').next().unwrap();
        let value = HeaderValue::try_from(format!("theme=dark; {pair}")).unwrap();
        HeaderMap::from_iter([(header::COOKIE, value)])
    }

    #[test]
    fn a_cookie_opens_whole_for_its_purpose_client_and_secret_only() {
        const ORIGIN: &str = "https://vigie.example";
        let ours = cookies("a", "vigie", ORIGIN);
        let field = ours.set(Kind::Session, &"alice", Duration::from_secs(60)).unwrap();
        let text = field.to_str().unwrap();
        assert!(text.starts_with("__Host-vigie-session=") && !text.contains("alice"));
        assert!(text.ends_with("; Path=/; Max-Age=60; HttpOnly; SameSite=Strict; Secure"), "{text}");
        let open = |cookies: &Cookies, headers: &HeaderMap| cookies.get::<String>(Kind::Session, headers);
        assert_eq!(open(&ours, &sent(&field)), Some(Some("alice".to_owned())));
        assert_eq!(open(&ours, &HeaderMap::new()), None);
        for other in [cookies("b", "vigie", ORIGIN), cookies("a", "other", ORIGIN)] {
            assert_eq!(open(&other, &sent(&field)), Some(None));
        }
        let renamed = text.replace("vigie-session", "vigie-login");
        let renamed = sent(&HeaderValue::try_from(renamed).unwrap());
        assert_eq!(ours.get::<String>(Kind::Flow, &renamed), Some(None));
        let (start, end) = (text.find('=').unwrap() + 1, text.find(';').unwrap());
        for at in start..end {
            let other = if text.as_bytes()[at] == b'A' { "B" } else { "A" };
            let changed = format!("{}{other}{}", &text[..at], &text[at + 1..]);
            assert_eq!(open(&ours, &sent(&HeaderValue::try_from(changed).unwrap())), Some(None), "{at}");
        }
        let local = cookies("a", "vigie", "http://localhost:8080");
        let plain = local.set(Kind::Flow, &"alice", Duration::from_secs(1)).unwrap();
        let plain = plain.to_str().unwrap();
        assert!(plain.starts_with("vigie-login=") && plain.ends_with("HttpOnly; SameSite=Lax"), "{plain}");
        assert!(ours.set(Kind::Session, &"x".repeat(MAX_BYTES), Duration::ZERO).is_err(), "browsers would drop it");
    }
}
