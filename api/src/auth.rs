//! Who may read what: JWT bearer tokens (RFC 6750, RFC 7519) and API keys, both with scopes.

use std::sync::Arc;
use std::time::Duration;

use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use vigie_clock::{SharedClock, Timestamp};
use vigie_daemon::{Mistake, ServiceError};

use crate::http::problem::Problem;

mod access;
pub(crate) mod api_key;
mod caller;
pub(crate) mod credentials;
mod fresh;
mod issuer;
mod key;
mod login;
mod options;
mod signatures;
mod token;

pub(crate) use access::{Access, Ledger};
use api_key::KeyHash;
pub(crate) use caller::{Caller, has_scope, identity, is_author_id, require, require_token, subject};
use fresh::Fresh;
use issuer::{Issuer, IssuerConfig};
pub(crate) use key::VerifyingKey;
pub use login::LoginConfig;
pub(crate) use login::{Answer, CSRF, Login, LoginCheck, Session, is_same_origin};
pub(crate) use options::TokenCheck;
pub use options::{AuthConfig, AuthMode, MAX_TOKEN_LIFETIME, TokenSecret};
pub(crate) use signatures::Signatures;
pub(crate) use token::{Expected, LEEWAY, Token};

/// RFC 9728, 3.
pub(crate) const METADATA_PATH: &str = "/.well-known/oauth-protected-resource";
const API_KEY: HeaderName = HeaderName::from_static("x-api-key");
const CHALLENGE: &str = "Bearer";
const CHALLENGE_INVALID: &str = r#"Bearer error="invalid_token""#;

/// What a token allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, Deserialize, Serialize, ToSchema)]
pub enum Scope {
    /// Numbers: assets, series, trends, alerts, the live stream without posts.
    #[value(name = "read:insights")]
    #[serde(rename = "read:insights")]
    Insights,
    /// Posts.
    #[value(name = "read:posts")]
    #[serde(rename = "read:posts")]
    Posts,
    /// Sources, runs and metrics.
    #[value(name = "read:operations")]
    #[serde(rename = "read:operations")]
    Operations,
    /// Records that could not be processed, as they were.
    #[value(name = "read:dead-letters")]
    #[serde(rename = "read:dead-letters")]
    DeadLetters,
    /// Handles behind author ids: personal data.
    #[value(name = "authors:read")]
    #[serde(rename = "authors:read")]
    Authors,
    /// Making, listing and revoking API keys.
    #[value(name = "admin:keys")]
    #[serde(rename = "admin:keys")]
    Keys,
}

impl Scope {
    /// All scopes.
    pub const ALL: [Self; 6] =
        [Self::Insights, Self::Posts, Self::Operations, Self::DeadLetters, Self::Authors, Self::Keys];

    /// As in the `scope` claim (RFC 8693, 4.2).
    pub const fn name(self) -> &'static str {
        match self {
            Self::Insights => "read:insights",
            Self::Posts => "read:posts",
            Self::Operations => "read:operations",
            Self::DeadLetters => "read:dead-letters",
            Self::Authors => "authors:read",
            Self::Keys => "admin:keys",
        }
    }
}

/// Whom a valid token, API key or session speaks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    /// The subject of a token, `ISSUER|SUBJECT` if its issuer is on the network, or `key:ID` of an API key.
    pub(crate) subject: String,
    scopes: Vec<Scope>,
    credential: Credential,
    /// From then on (Unix seconds) it is refused.
    pub(crate) expires: i64,
}

/// What it was identified by, as far as that can be revoked.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Credential {
    Key(KeyHash),
    /// Any of these ids (jti).
    Token {
        ids: Vec<String>,
        issued_at: Timestamp,
    },
}

impl Identity {
    pub(crate) fn require(&self, scope: Scope) -> Result<(), Problem> {
        if self.scopes.contains(&scope) {
            return Ok(());
        }
        let names: Vec<&str> = self.scopes.iter().map(|scope| scope.name()).collect();
        Err(Problem::forbidden(format!("the token has scope {:?}, expected {}", names.join(" "), scope.name())))
    }
}

/// Why a credential is not accepted.
#[derive(Debug)]
enum Refusal {
    /// It is wrong: in what.
    Theirs(String),
    /// It may be right.
    Ours(Problem),
}

impl From<String> for Refusal {
    fn from(reason: String) -> Self {
        Self::Theirs(reason)
    }
}

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Self {
        Self::Ours(problem)
    }
}

/// Checks tokens and API keys.
pub(crate) struct Authenticator {
    key: Option<VerifyingKey>,
    expected: Expected,
    signatures: Signatures,
    issuers: Vec<Issuer>,
    access: Fresh<Access>,
    ledger: Arc<Ledger>,
    clock: SharedClock,
    /// How people log in; `None` if nobody does.
    pub(crate) login: Option<Login>,
    /// Our URL, and the issuers whose tokens we take.
    pub(crate) resource: Option<String>,
    pub(crate) authorization_servers: Vec<String>,
}

impl Authenticator {
    /// Reads API keys and revoked tokens in `ledger`, and asks issuers for their keys, once there is a question.
    ///
    /// # Errors
    /// [`ServiceError::Failed`] if TLS cannot be set up.
    pub(crate) fn new(
        check: TokenCheck,
        login: Option<LoginCheck>,
        ledger: Ledger,
        clock: SharedClock,
    ) -> Result<Self, ServiceError> {
        let ledger = Arc::new(ledger);
        let client = issuer::client(check.roots).map_err(ServiceError::failed)?;
        let login = login.map(|login| Login::new(login, check.expected.clone(), client.clone(), clock.clone()));
        let issuer = |config: IssuerConfig| Issuer::new(config, client.clone(), clock.clone());
        let issuers: Vec<Issuer> = check.issuers.into_iter().map(issuer).collect();
        Ok(Self {
            key: check.key,
            expected: check.expected,
            signatures: Signatures::default(),
            authorization_servers: issuers.iter().map(|issuer| issuer.name.clone()).collect(),
            issuers,
            access: Access::watched(ledger.clone(), clock.clone()),
            ledger,
            clock,
            login,
            resource: check.resource,
        })
    }

    /// Whom the request's token or API key speaks for, or else, for what changes nothing, its session.
    pub(crate) async fn identify(&self, method: &Method, headers: &HeaderMap) -> Result<Identity, Problem> {
        let has_credential = headers.contains_key(header::AUTHORIZATION) || headers.contains_key(API_KEY);
        if !has_credential
            && method.is_safe()
            && let Some(session) = self.session(headers).await?
        {
            return Ok(session.identity());
        }
        let credential = credential(headers).map_err(|reason| Problem::unauthorized(reason, CHALLENGE))?;
        let is_key = api_key::is_key(credential);
        let identity = if is_key { self.by_key(credential).await } else { self.by_token(credential).await };
        identity.map_err(|refusal| match refusal {
            Refusal::Ours(problem) => problem,
            Refusal::Theirs(reason) => {
                let what = if is_key { "the API key is" } else { "the token is not valid:" };
                Problem::unauthorized(format!("{what} {reason}"), CHALLENGE_INVALID)
            }
        })
    }

    async fn by_key(&self, key: &str) -> Result<Identity, Refusal> {
        let hash = api_key::hash(key).ok_or_else(|| "mistyped".to_owned())?;
        let (access, now) = (self.access().await?, self.clock.now());
        let key = access.key(&hash, now).ok_or_else(|| "unknown, expired or revoked".to_owned())?;
        if key.is_to_be_noted(now) {
            tokio::spawn((self.ledger.note)(key.id.clone(), now));
        }
        Ok(Identity {
            subject: format!("key:{}", key.id),
            scopes: key.scopes.clone(),
            credential: Credential::Key(hash),
            expires: seconds(key.expires_at),
        })
    }

    /// The session of somebody who has logged in; `None` if there is none.
    ///
    /// # Errors
    /// If it does not hold, or the request is not of a page of ours.
    pub(crate) async fn session(&self, headers: &HeaderMap) -> Result<Option<Session>, Problem> {
        let Some(login) = &self.login else { return Ok(None) };
        let refused = |reason: &str| Problem::unauthorized(format!("the session is {reason}"), CHALLENGE_INVALID);
        let Some(session) = login.session(headers, self.clock.now()).map_err(refused)? else { return Ok(None) };
        let is_revoked = self.access().await?.is_revoked(&session.ids, session.issued_at(), &session.subject);
        if is_revoked { Err(refused("revoked")) } else { Ok(Some(session)) }
    }

    /// Keys of an issuer verify no token but its own, whatever a token says.
    async fn by_token(&self, token: &str) -> Result<Identity, Refusal> {
        let (token, now) = (Token::parse(token)?, self.clock.now());
        let issuer = self.issuers.iter().find(|issuer| token.claimed_issuer() == Some(&issuer.name));
        let verified = if let Some(issuer) = issuer {
            issuer.verify(token, &self.signatures, &self.expected, now).await?
        } else {
            let key = self.key.as_ref().ok_or_else(|| "of another issuer (iss)".to_owned())?;
            token.verify(key, &self.signatures, &self.expected, now)?
        };
        // Subjects are unique within their issuer only.
        let subject = issuer.map_or_else(|| verified.subject.clone(), |i| format!("{}|{}", i.name, verified.subject));
        let ids = Vec::from_iter(verified.id);
        if self.access().await?.is_revoked(&ids, verified.issued_at, &subject) {
            return Err(Refusal::Theirs("revoked".to_owned()));
        }
        let expires = seconds(verified.expires_at.saturating_add(LEEWAY));
        let credential = Credential::Token { ids, issued_at: verified.issued_at };
        Ok(Identity { subject, scopes: verified.scopes, credential, expires })
    }

    /// Whether what somebody was identified by is revoked meanwhile.
    pub(crate) async fn is_revoked(&self, identity: &Identity) -> bool {
        let Ok(access) = self.access().await else { return false };
        match &identity.credential {
            Credential::Key(hash) => access.key(hash, self.clock.now()).is_none(),
            Credential::Token { ids, issued_at } => access.is_revoked(ids, *issued_at, &identity.subject),
        }
    }

    /// While the database is away, the last that is known holds: whoever watches the outage must get in.
    async fn access(&self) -> Result<Arc<Access>, Problem> {
        let access = self.access.get().await.ok().or_else(|| self.access.last());
        access.ok_or_else(|| Problem::unavailable("the database, which knows who is revoked, cannot be reached"))
    }

    /// Names in a challenge where to learn whom to ask for a token (RFC 9728, 5.1).
    pub(crate) fn guide(&self, headers: &mut HeaderMap) {
        let (Some(resource), Some(challenge)) = (&self.resource, headers.get(header::WWW_AUTHENTICATE)) else { return };
        let challenge = challenge.to_str().unwrap_or(CHALLENGE);
        let comma = if challenge.contains('=') { "," } else { "" };
        let guided = format!("{challenge}{comma} resource_metadata=\"{resource}{METADATA_PATH}\"");
        if let Ok(guided) = HeaderValue::try_from(guided) {
            headers.insert(header::WWW_AUTHENTICATE, guided);
        }
    }
}

fn seconds(time: Timestamp) -> i64 {
    time.as_millis().div_euclid(1000)
}

/// The one token or API key of a request.
fn credential(headers: &HeaderMap) -> Result<&str, &'static str> {
    const EXPECTED: &str =
        "expected one of the fields Authorization: Bearer <token or API key>, and X-API-Key: <API key>";
    let fields = |name: HeaderName| headers.get_all(name).iter().map(|value| value.to_str().unwrap_or_default());
    let (bearers, keys): (Vec<&str>, Vec<&str>) = (fields(header::AUTHORIZATION).collect(), fields(API_KEY).collect());
    match (&bearers[..], &keys[..]) {
        ([bearer], []) => match bearer.split_once(' ') {
            Some((scheme, credential)) if scheme.eq_ignore_ascii_case("bearer") => Ok(credential.trim()),
            _ => Err(EXPECTED),
        },
        ([], [key]) if api_key::is_key(key) => Ok(key),
        _ => Err(EXPECTED),
    }
}

#[derive(Serialize)]
struct Claims<'a> {
    sub: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    iss: Option<&'a str>,
    aud: &'a str,
    iat: i64,
    exp: i64,
    jti: &'a str,
    scope: String,
}

/// Makes an HS256 token for `subject` that is valid for `lifetime` from `now` on.
///
/// # Errors
/// [`ServiceError::Config`] if `config` has no secret or a short one, if the subject is empty, or if servers with this configuration would
/// refuse a token of that lifetime.
pub fn issue_token(
    config: &AuthConfig,
    subject: &str,
    scopes: &[Scope],
    lifetime: Duration,
    now: Timestamp,
) -> Result<String, ServiceError> {
    let TokenSecret(secret) = config.auth_secret.require()?;
    if subject.is_empty() {
        return Err(Mistake::new("--subject", "empty", "a name").into());
    }
    if lifetime > config.max_lifetime() {
        let expected = format!("at most --auth-max-token-lifetime ({}h)", config.auth_max_token_hours);
        return Err(Mistake::new("--valid-for", format!("{}h", lifetime.as_secs() / 3600), expected).into());
    }
    let iat = seconds(now);
    let names: Vec<&str> = scopes.iter().map(|scope| scope.name()).collect();
    let id = api_key::random_digits(22);
    let claims = Claims {
        sub: subject,
        iss: config.auth_issuer.as_deref(),
        aud: &config.auth_audience,
        iat,
        exp: iat.saturating_add(i64::try_from(lifetime.as_secs()).unwrap_or(i64::MAX)),
        jti: &id,
        scope: names.join(" "),
    };
    jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &EncodingKey::from_secret(secret.reveal().as_bytes()))
        .map_err(ServiceError::failed)
}

/// What a token can be revoked by: its id (jti), if it has one. Nothing is verified.
pub fn token_id(token: &str) -> Option<String> {
    Token::parse(token).ok()?.into_id()
}
