//! Who may read what: JWT bearer tokens (RFC 6750, RFC 7519) with scopes.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use axum::http::{HeaderMap, header};
use clap::Args;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};
use vigie_clock::{SharedClock, Timestamp};
use vigie_daemon::{FromSecret, Mistake, Secret, SecretArg, ServiceError};

use crate::http::problem::Problem;

mod caller;

pub(crate) use caller::{Caller, expires, has_scope, require, require_token, subject};

/// Tolerated difference between the clocks of issuer and server.
const LEEWAY_SECONDS: i64 = 30;
/// RFC 7518, 3.2: a key of the same size as the hash or larger.
const MIN_SECRET_BYTES: usize = 32;
const KEYS: &str = "--auth-secret (VIGIE_AUTH_SECRET) or --auth-public-key-file (VIGIE_AUTH_PUBLIC_KEY_FILE)";
const CHALLENGE: &str = "Bearer";
const CHALLENGE_INVALID: &str = r#"Bearer error="invalid_token""#;

/// Whether tokens are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum AuthMode {
    /// Anyone who reaches the address may read.
    Off,
    /// A bearer token is needed.
    Jwt,
}

/// Who may read. Without `--auth`, reading is open on loopback and needs a token elsewhere.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct AuthConfig {
    /// Whether a bearer token is needed; by default only if the address is not loopback
    #[arg(long, env = "VIGIE_AUTH", value_enum)]
    pub auth: Option<AuthMode>,
    /// Shared secret of HS256 tokens.
    #[command(flatten)]
    pub auth_secret: SecretArg<TokenSecret>,
    /// PEM file with the public key of the issuer: RSA for RS256, Ed25519 for EdDSA
    #[arg(long, env = "VIGIE_AUTH_PUBLIC_KEY_FILE")]
    pub auth_public_key_file: Option<PathBuf>,
    /// Issuer (iss) that tokens must name; any by default
    #[arg(long, env = "VIGIE_AUTH_ISSUER")]
    pub auth_issuer: Option<String>,
    /// Audience (aud) that tokens must name
    #[arg(long, env = "VIGIE_AUTH_AUDIENCE", default_value = "vigie")]
    pub auth_audience: String,
}

impl AuthConfig {
    pub(crate) fn mode(&self, listen: SocketAddr) -> AuthMode {
        self.auth.unwrap_or(if listen.ip().is_loopback() { AuthMode::Off } else { AuthMode::Jwt })
    }

    /// How tokens are checked; `None` if reading is open. `A` has the option `--api-listen`.
    pub(crate) fn check<A: Args>(&self, listen: SocketAddr) -> Result<Option<TokenCheck>, Vec<Mistake>> {
        if self.mode(listen) == AuthMode::Off {
            return Ok(None);
        }
        let (algorithm, key) = self.key::<A>(listen)?;
        let mut validation = Validation::new(algorithm);
        validation.set_audience(&[&self.auth_audience]);
        validation.set_required_spec_claims(&["exp", "aud", "sub"]);
        if let Some(issuer) = &self.auth_issuer {
            validation.set_issuer(&[issuer]);
            validation.required_spec_claims.insert("iss".to_owned());
        }
        // The library reads the system's clock; the times are checked against ours instead.
        validation.validate_exp = false;
        Ok(Some(TokenCheck { key, validation }))
    }

    fn key<A: Args>(&self, listen: SocketAddr) -> Result<(Algorithm, DecodingKey), Vec<Mistake>> {
        const FILE: &str = "auth-public-key-file";
        match (self.auth_secret.read()?, &self.auth_public_key_file) {
            (Some(TokenSecret(secret)), None) => {
                Ok((Algorithm::HS256, DecodingKey::from_secret(secret.reveal().as_bytes())))
            }
            (Some(_), Some(_)) => {
                Err(vec![Mistake::of::<Self>(FILE, "--auth-secret (VIGIE_AUTH_SECRET) is given too", "one of them")])
            }
            (None, None) => Err(vec![match self.auth {
                Some(_) => Mistake::of::<Self>("auth", "jwt without a key", KEYS),
                None => {
                    let found = format!("{listen} is not loopback, so readers need tokens");
                    Mistake::of::<A>("api-listen", found, format!("{KEYS}, or --auth off"))
                }
            }]),
            (None, Some(path)) => {
                let mistake = |found: String| vec![Mistake::of::<Self>(FILE, found, "a readable public key in PEM")];
                let name = path.display();
                let pem = std::fs::read(path).map_err(|error| mistake(format!("{name}: {error}")))?;
                DecodingKey::from_ed_pem(&pem)
                    .map(|key| (Algorithm::EdDSA, key))
                    .or_else(|_| DecodingKey::from_rsa_pem(&pem).map(|key| (Algorithm::RS256, key)))
                    .map_err(|_| mistake(format!("{name} is no Ed25519 or RSA key")))
            }
        }
    }
}

/// The shared secret of HS256 tokens.
#[derive(Clone, Debug)]
pub struct TokenSecret(Secret);

impl FromSecret for TokenSecret {
    const LONG: &'static str = "auth-secret";
    const VARIABLE: &'static str = "VIGIE_AUTH_SECRET";
    const HELP: &'static str = "Shared secret of HS256 tokens, 32 bytes or more";
    const EXPECTED: &'static str = "32 bytes or more";

    fn from_secret(text: &str) -> Result<Self, String> {
        let is_long = text.len() >= MIN_SECRET_BYTES;
        if is_long { Ok(Self(text.to_owned().into())) } else { Err(format!("{} bytes", text.len())) }
    }
}

/// How tokens are checked.
#[derive(Clone)]
pub(crate) struct TokenCheck {
    key: DecodingKey,
    validation: Validation,
}

/// What a token allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Scope {
    /// Numbers: assets, series, trends, alerts, the live stream without posts.
    #[value(name = "read:insights")]
    Insights,
    /// Posts.
    #[value(name = "read:posts")]
    Posts,
    /// Sources, runs and metrics.
    #[value(name = "read:operations")]
    Operations,
    /// Handles behind author ids: personal data.
    #[value(name = "authors:read")]
    Authors,
}

impl Scope {
    /// All scopes.
    pub const ALL: [Self; 4] = [Self::Insights, Self::Posts, Self::Operations, Self::Authors];

    /// As in the `scope` claim (RFC 8693, 4.2).
    pub const fn name(self) -> &'static str {
        match self {
            Self::Insights => "read:insights",
            Self::Posts => "read:posts",
            Self::Operations => "read:operations",
            Self::Authors => "authors:read",
        }
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Claims {
    sub: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    iss: Option<String>,
    aud: serde_json::Value,
    iat: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    nbf: Option<i64>,
    exp: i64,
    #[serde(default)]
    scope: String,
}

/// Whom a valid token speaks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) subject: String,
    scope: String,
    /// From then on (Unix seconds) the token is refused.
    pub(crate) expires: i64,
}

impl Identity {
    pub(crate) fn require(&self, scope: Scope) -> Result<(), Problem> {
        if self.scope.split(' ').any(|name| name == scope.name()) {
            return Ok(());
        }
        Err(Problem::forbidden(format!("the token has scope {:?}, expected {}", self.scope, scope.name())))
    }
}

/// Checks tokens.
pub(crate) struct Authenticator {
    pub(crate) check: TokenCheck,
    pub(crate) clock: SharedClock,
}

impl Authenticator {
    /// Whom the request's bearer token speaks for.
    pub(crate) fn identify(&self, headers: &HeaderMap) -> Result<Identity, Problem> {
        let Some(value) = headers.get(header::AUTHORIZATION) else {
            return Err(Problem::unauthorized("no Authorization header, expected: Bearer <token>", CHALLENGE));
        };
        let token = value.to_str().ok().and_then(|value| {
            let (scheme, token) = value.split_once(' ')?;
            scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
        });
        let Some(token) = token else {
            return Err(Problem::unauthorized(
                "the Authorization header is not a bearer token, expected: Bearer <token>",
                CHALLENGE,
            ));
        };
        let claims = jsonwebtoken::decode::<Claims>(token, &self.check.key, &self.check.validation)
            .map_err(|error| Problem::unauthorized(format!("the token is not valid: {error}"), CHALLENGE_INVALID))?
            .claims;
        let now = self.clock.now().as_millis().div_euclid(1000);
        if claims.exp.saturating_add(LEEWAY_SECONDS) <= now {
            return Err(Problem::unauthorized("the token has expired", CHALLENGE_INVALID));
        }
        if claims.nbf.is_some_and(|nbf| nbf.saturating_sub(LEEWAY_SECONDS) > now) {
            return Err(Problem::unauthorized("the token is not valid yet", CHALLENGE_INVALID));
        }
        let expires = claims.exp.saturating_add(LEEWAY_SECONDS);
        Ok(Identity { subject: claims.sub, scope: claims.scope, expires })
    }
}

/// Makes an HS256 token for `subject` that is valid for `lifetime` from `now` on.
///
/// # Errors
/// [`ServiceError::Config`] if `config` has no secret or a short one, or if the subject is empty.
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
    let iat = now.as_millis().div_euclid(1000);
    let names: Vec<&str> = scopes.iter().map(|scope| scope.name()).collect();
    let claims = Claims {
        sub: subject.to_owned(),
        iss: config.auth_issuer.clone(),
        aud: config.auth_audience.clone().into(),
        iat,
        nbf: None,
        exp: iat.saturating_add(i64::try_from(lifetime.as_secs()).unwrap_or(i64::MAX)),
        scope: names.join(" "),
    };
    jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &EncodingKey::from_secret(secret.reveal().as_bytes()))
        .map_err(ServiceError::failed)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use vigie_clock::ManualClock;

    use super::*;

    const SECRET: &str = "0123456789abcdef0123456789abcdef";
    const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

    fn config() -> AuthConfig {
        AuthConfig {
            auth: Some(AuthMode::Jwt),
            auth_secret: SecretArg::text(SECRET),
            auth_audience: "vigie".to_owned(),
            ..AuthConfig::default()
        }
    }

    fn authenticator(config: &AuthConfig, clock: &ManualClock) -> Authenticator {
        let listen = "127.0.0.1:0".parse().unwrap();
        let check = config.check::<crate::Config>(listen).unwrap_or_else(|mistakes| panic!("{mistakes:?}")).unwrap();
        Authenticator { check, clock: Arc::new(clock.clone()) }
    }

    fn bearer(token: &str) -> HeaderMap {
        HeaderMap::from_iter([(header::AUTHORIZATION, format!("Bearer {token}").parse().unwrap())])
    }

    #[test]
    fn an_issued_token_is_accepted_until_it_expires() {
        let clock = ManualClock::new(NOW);
        let checker = authenticator(&config(), &clock);
        let hour = Duration::from_secs(3600);
        let token = issue_token(&config(), "alice", &[Scope::Insights], hour, NOW).unwrap();
        let identity = checker.identify(&bearer(&token)).unwrap();
        assert_eq!(identity.subject, "alice");
        assert!(identity.require(Scope::Insights).is_ok());
        assert_eq!(identity.require(Scope::Posts).unwrap_err().status, 403);
        clock.advance(hour + Duration::from_secs(31));
        assert_eq!(checker.identify(&bearer(&token)).unwrap_err().status, 401);
    }

    #[test]
    fn forged_and_unsigned_tokens_are_refused() {
        let clock = ManualClock::new(NOW);
        let checker = authenticator(&config(), &clock);
        let day = Duration::from_secs(86_400);
        let token = issue_token(&config(), "alice", &Scope::ALL, day, NOW).unwrap();
        let (head, signature) = token.rsplit_once('.').unwrap();
        let (_, payload) = head.split_once('.').unwrap();
        let none = format!("eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.{payload}.");
        let mut other = config();
        other.auth_secret = SecretArg::text("another secret, another secret, another");
        let foreign = issue_token(&other, "alice", &Scope::ALL, day, NOW).unwrap();
        let mut elsewhere = config();
        elsewhere.auth_audience = "elsewhere".to_owned();
        let audience = issue_token(&elsewhere, "alice", &Scope::ALL, day, NOW).unwrap();
        for bad in
            [none, foreign, audience, format!("{head}.{}", signature.to_lowercase()), "x".to_owned(), String::new()]
        {
            assert_eq!(checker.identify(&bearer(&bad)).unwrap_err().status, 401, "{bad}");
        }
        assert_eq!(checker.identify(&HeaderMap::new()).unwrap_err().status, 401);
    }

    #[test]
    fn outside_loopback_a_key_is_needed() {
        let open: SocketAddr = "0.0.0.0:8080".parse().unwrap();
        let local: SocketAddr = "[::1]:8080".parse().unwrap();
        let mistakes = |config: &AuthConfig, listen| config.check::<crate::Config>(listen).err().unwrap_or_default();
        let unset = AuthConfig::default();
        assert_eq!(mistakes(&unset, local), []);
        assert_eq!(mistakes(&unset, open).len(), 1);
        assert_eq!(mistakes(&AuthConfig { auth: Some(AuthMode::Off), ..AuthConfig::default() }, open), []);
        assert_eq!(mistakes(&config(), open), []);
        let short = AuthConfig { auth_secret: SecretArg::text("short"), ..config() };
        let expected = Mistake::new("--auth-secret (VIGIE_AUTH_SECRET)", "5 bytes", "32 bytes or more");
        assert_eq!(mistakes(&short, open), [expected]);
    }
}
