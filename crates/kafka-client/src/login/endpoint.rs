//! A token endpoint: what is asked (RFC 6749, section 4.4.2), and what its answer is taken for.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use reqwest::{Certificate, Client, Response, redirect};
use serde::Deserialize;
use url::Url;
use url::form_urlencoded::{Serializer, byte_serialize};
use vigie_clock::Timestamp;
use vigie_daemon::{FromSecret, Mistake, Secret, SecretArg};

/// How long an answer may take.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(5);
/// Largest answer, in bytes.
const MAX_ANSWER: usize = 64 * 1024;
/// As much as is said of an endpoint's reasons, in characters.
const MAX_REASON: usize = 200;

/// The secret of a client at the token endpoint.
pub struct OAuthSecret(Secret);

impl FromSecret for OAuthSecret {
    const LONG: &'static str = "kafka-sasl-oauth-client-secret";
    const VARIABLE: &'static str = "VIGIE_KAFKA_SASL_OAUTH_CLIENT_SECRET";
    const HELP: &'static str = "Secret of --kafka-sasl-oauth-client-id";
    const EXPECTED: &'static str = "a secret";

    fn from_secret(text: &str) -> Result<Self, String> {
        if text.is_empty() { Err("empty".to_owned()) } else { Ok(Self(text.to_owned().into())) }
    }
}

/// Whom to ask for tokens, and as whom.
pub(crate) struct Endpoint {
    pub(crate) url: Url,
    pub(crate) client_id: String,
    /// Read again for each token.
    pub(crate) secret: SecretArg<OAuthSecret>,
    pub(crate) scope: Option<String>,
    /// For the brokers, beside the token.
    pub(crate) extensions: Vec<(String, String)>,
    /// Whom to trust; what the system trusts if empty.
    pub(crate) roots: Vec<Certificate>,
}

/// A token.
pub(crate) struct Token {
    pub(crate) value: Secret,
    pub(crate) expires: Timestamp,
    /// Its `sub`, or the client id where it does not say.
    pub(crate) principal: String,
    pub(crate) extensions: Vec<(String, String)>,
}

#[derive(Deserialize)]
struct Answer {
    access_token: String,
    token_type: Option<String>,
    expires_in: Option<f64>,
}

#[derive(Default, Deserialize)]
struct Refusal {
    #[serde(default)]
    error: String,
    #[serde(default)]
    error_description: String,
}

/// What a JWT says. Whether it is true is for the brokers to check.
#[derive(Default, Deserialize)]
struct Claims {
    sub: Option<String>,
    exp: Option<f64>,
}

impl Endpoint {
    /// Asks for a token.
    ///
    /// # Errors
    /// Why there is none; without secret and token.
    pub(crate) async fn fetch(&self, now: Timestamp) -> Result<Token, String> {
        self.ask(now).await.map_err(|reason| format!("no token from {}: {reason}", self.url))
    }

    async fn ask(&self, now: Timestamp) -> Result<Token, String> {
        let OAuthSecret(secret) = self
            .secret
            .require()
            .map_err(|mistakes| mistakes.iter().map(Mistake::to_string).collect::<Vec<_>>().join("; "))?;
        // Both are encoded first (RFC 6749, section 2.3.1).
        let encoded = |text: &str| byte_serialize(text.as_bytes()).collect::<String>();
        let name = STANDARD.encode(format!("{}:{}", encoded(&self.client_id), encoded(secret.reveal())));
        let mut form = Serializer::new(String::new());
        form.append_pair("grant_type", "client_credentials");
        if let Some(scope) = &self.scope {
            form.append_pair("scope", scope);
        }
        let request = self.client().map_err(|e| chain(&e))?.post(self.url.clone());
        let request = request.header(AUTHORIZATION, format!("Basic {name}")).header(ACCEPT, "application/json");
        let request = request.header(CONTENT_TYPE, "application/x-www-form-urlencoded").body(form.finish());
        let response = request.send().await.map_err(|e| chain(&e.without_url()))?;
        let status = response.status();
        let body = body(response).await?;
        if !status.is_success() {
            let refusal = serde_json::from_slice::<Refusal>(&body).unwrap_or_default();
            return Err(format!("{status}{}", refusal.shown(secret.reveal())));
        }
        let answer: Answer =
            serde_json::from_slice(&body).map_err(|_| format!("{status} without a token, expected access_token"))?;
        self.token(answer, now)
    }

    fn token(&self, answer: Answer, now: Timestamp) -> Result<Token, String> {
        let Answer { access_token, token_type, expires_in } = answer;
        if let Some(other) = token_type.filter(|kind| !kind.eq_ignore_ascii_case("bearer")) {
            return Err(format!("a token of type {:?}, expected Bearer", plain(&other)));
        }
        // b64token of RFC 6750.
        let is_token = |c: char| c.is_ascii_alphanumeric() || "-._~+/=".contains(c);
        if access_token.is_empty() || !access_token.chars().all(is_token) {
            return Err("a token with characters that RFC 6750 does not allow".to_owned());
        }
        let claims = claims(&access_token);
        let at = |seconds: f64| (seconds * 1000.0) as i64;
        let said = claims.exp.map(at).or_else(|| expires_in.map(|left| now.as_millis().saturating_add(at(left))));
        let expires = Timestamp::from_millis(said.ok_or("a token without exp and expires_in")?);
        if expires <= now {
            return Err(format!("the token has expired at {expires}, and it is {now}"));
        }
        let principal = claims.sub.filter(|sub| !sub.is_empty() && !sub.contains('\0'));
        Ok(Token {
            value: access_token.into(),
            expires,
            principal: principal.unwrap_or_else(|| self.client_id.clone()),
            extensions: self.extensions.clone(),
        })
    }

    /// A new one for each token, which may be an hour after the last.
    fn client(&self) -> reqwest::Result<Client> {
        // Whoever comes first installs the process's TLS provider; it is the same one.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let builder = Client::builder().no_proxy().redirect(redirect::Policy::none()).timeout(TIMEOUT);
        if self.roots.is_empty() { builder } else { builder.tls_certs_only(self.roots.clone()) }.build()
    }
}

impl Refusal {
    fn shown(&self, secret: &str) -> String {
        let reason = [plain(&self.error), plain(&self.error_description)];
        let reason: Vec<&str> = reason.iter().map(String::as_str).filter(|part| !part.is_empty()).collect();
        let reason = reason.join(", ");
        let hint = if self.error == "invalid_scope" { "scope" } else { "client-id, --kafka-sasl-oauth-client-secret" };
        let reason = if reason.is_empty() || reason.contains(secret) { String::new() } else { format!(" ({reason})") };
        format!("{reason}; see --kafka-sasl-oauth-{hint}")
    }
}

/// What may be shown of a server's words.
fn plain(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(MAX_REASON).collect()
}

/// What a token says, if it is a JWT (RFC 7519).
fn claims(token: &str) -> Claims {
    let payload = token.split('.').nth(1).and_then(|payload| URL_SAFE_NO_PAD.decode(payload).ok());
    payload.and_then(|payload| serde_json::from_slice(&payload).ok()).unwrap_or_default()
}

async fn body(mut response: Response) -> Result<Vec<u8>, String> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|e| chain(&e.without_url()))? {
        body.extend_from_slice(&chunk);
        if body.len() > MAX_ANSWER {
            return Err(format!("an answer of more than {MAX_ANSWER} bytes"));
        }
    }
    Ok(body)
}

/// An error and its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_000_000);

    fn taken(json: &serde_json::Value) -> Result<(i64, String), String> {
        let endpoint = Endpoint {
            url: Url::parse("https://issuer.example/token").unwrap(),
            client_id: "vigie".to_owned(),
            secret: SecretArg::text("hunter2"),
            scope: None,
            extensions: Vec::new(),
            roots: Vec::new(),
        };
        let answer = serde_json::from_value(json.clone()).map_err(|error| error.to_string())?;
        endpoint.token(answer, NOW).map(|token| (token.expires.as_millis(), token.principal))
    }

    #[test]
    fn a_token_expires_as_it_says_itself_or_as_its_answer_says_and_belongs_to_its_subject() {
        let jwt = |claims: &str| format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(claims));
        let token = |token: &str| serde_json::json!({"access_token": token, "token_type": "bearer", "expires_in": 60});
        let said = taken(&token(&jwt(r#"{"sub": "svc", "exp": 1030.5}"#)));
        assert_eq!(said, Ok((1_030_500, "svc".to_owned())));
        assert_eq!(taken(&token("opaque")), Ok((1_060_000, "vigie".to_owned())));
        for (answer, expected) in [
            (serde_json::json!({"access_token": "opaque"}), "without exp and expires_in"),
            (token(&jwt(r#"{"exp": 1000}"#)), "has expired at 1970-01-01T00:16:40Z"),
            (token("a b"), "characters"),
            (serde_json::json!({"access_token": "a", "token_type": "mac"}), "type \"mac\""),
        ] {
            let error = taken(&answer).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn a_refusal_shows_reasons_and_never_the_secret() {
        let refusal = |error: &str, error_description: &str| {
            Refusal { error: error.to_owned(), error_description: error_description.to_owned() }.shown("hunter2")
        };
        assert_eq!(refusal("invalid_scope", "no\nsuch"), " (invalid_scope, nosuch); see --kafka-sasl-oauth-scope");
        assert!(!refusal("invalid_client", "hunter2 is wrong").contains("hunter2"));
    }
}
