//! The dashboard's login: OpenID Connect's code flow with PKCE, and a session in a sealed cookie (ADR 33).
//!
//! ```text
//!   browser                     API                                         issuer
//!      │── GET /login ─────────▶│
//!      │◀─ 303, cookie of the flow: state, nonce, verifier
//!      │── authorize: state, nonce, S256(verifier) ────────────────────────▶│
//!      │◀─ 303 /login/callback: code, state, iss ───────────────────────────│
//!      │── with that cookie ───▶│── code, verifier, client secret ─────────▶│
//!      │                        │◀─ ID token, access token ─────────────────│
//!      │◀─ 303 /, cookie of the session
//! ```
//!
//! Guarantees: tokens reach neither the browser nor a URL; a code is good only in the browser that asked for it; a session ends with
//! its tokens, after [`LONGEST`], at its logout, or when its subject or a token is revoked. Nothing is stored but revocations, so every
//! replica with the same secret opens every cookie.

use std::time::Duration;

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use reqwest::{Client, Url};
use serde::{Deserialize, Serialize};
use tracing::debug;
use vigie_clock::{SharedClock, Timestamp};

use super::api_key::random_digits;
use super::issuer::{Issuer, IssuerConfig};
use super::signatures::Signatures;
use super::token::{Expected, Token, Verified};
use super::{Credential, Identity, Refusal, Scope, seconds};
use crate::http::problem::Problem;
use cookies::{Cookies, Kind};
pub(crate) use options::LoginCheck;
pub use options::LoginConfig;
use provider::{Provider, Tokens};

mod cookies;
mod options;
mod provider;

/// What says that a page of ours wants a session ended.
pub(crate) const CSRF: HeaderName = HeaderName::from_static("x-csrf-token");
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
/// Of a session, however long its tokens are valid.
const LONGEST: Duration = Duration::from_secs(12 * 3600);
/// Of a login.
const PATIENCE: Duration = Duration::from_secs(600);
/// 62^22 are 130 bits.
const RANDOM: usize = 22;
/// RFC 7636, 4.1.
const VERIFIER: usize = 64;
const MAX_NAME: usize = 80;

/// What the browser keeps of a login that is under way.
#[derive(Serialize, Deserialize)]
struct Flow {
    state: String,
    nonce: String,
    verifier: String,
    /// Unix seconds.
    ends: i64,
}

/// Somebody who has logged in.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Session {
    /// `ISSUER|SUBJECT`.
    pub(crate) subject: String,
    /// As the issuer calls them, for their own eyes.
    pub(crate) name: String,
    pub(crate) csrf: String,
    /// Its own, and those of its tokens (jti): it ends when one is revoked.
    pub(crate) ids: Vec<String>,
    /// Sessions that name none have those of --login-scopes.
    scopes: Vec<Scope>,
    /// Milliseconds.
    issued_at: i64,
    /// From then on (Unix seconds) it is refused.
    pub(crate) expires: i64,
}

impl Session {
    pub(super) fn identity(self) -> Identity {
        let issued_at = self.issued_at();
        let credential = Credential::Token { ids: self.ids, issued_at };
        Identity { subject: self.subject, scopes: self.scopes, credential, expires: self.expires }
    }

    pub(super) fn issued_at(&self) -> Timestamp {
        Timestamp::from_millis(self.issued_at)
    }

    /// The id that is its own.
    pub(crate) fn id(&self) -> &str {
        &self.ids[0]
    }
}

/// What an issuer says of who has logged in (OpenID Connect Core, 2 and 5.1).
#[derive(Deserialize)]
struct Claims {
    nonce: Option<String>,
    azp: Option<String>,
    name: Option<String>,
    preferred_username: Option<String>,
    email: Option<String>,
}

/// What the issuer sends by the browser (RFC 6749, 4.1.2; RFC 9207).
pub(crate) struct Answer {
    pub(crate) state: Option<String>,
    pub(crate) issuer: Option<String>,
    /// Or the code of an error.
    pub(crate) code: Result<String, String>,
}

/// How people log in.
pub(crate) struct Login {
    check: LoginCheck,
    /// Of access tokens.
    expected: Expected,
    issuer: Issuer,
    provider: Provider,
    cookies: Cookies,
}

impl Login {
    pub(super) fn new(check: LoginCheck, expected: Expected, client: Client, clock: SharedClock) -> Self {
        let config = IssuerConfig { name: check.issuer.clone(), jwks: None };
        Self {
            issuer: Issuer::new(config, client.clone(), clock.clone()),
            provider: Provider::new(&check, client, clock),
            cookies: Cookies::new(&check),
            expected,
            check,
        }
    }

    /// Where to send a browser, and the cookie that it keeps meanwhile.
    pub(crate) async fn begin(&self, now: Timestamp) -> Result<(Url, HeaderValue), Problem> {
        let ends = seconds(now.saturating_add(PATIENCE));
        let [state, nonce, verifier] = [RANDOM, RANDOM, VERIFIER].map(random_digits);
        let url = self.provider.authorization(&state, &nonce, &verifier).await?;
        let cookie = self.cookies.set(Kind::Flow, &Flow { state, nonce, verifier, ends }, PATIENCE)?;
        Ok((url, cookie))
    }

    /// The session of who comes back with an answer; `None` if they did not want to.
    ///
    /// # Errors
    /// If it is no answer to what this browser asked, or the issuer or its tokens say no.
    pub(crate) async fn finish(
        &self,
        headers: &HeaderMap,
        answer: Answer,
        now: Timestamp,
    ) -> Result<Option<Session>, Problem> {
        let flow: Option<Flow> = self.cookies.get(Kind::Flow, headers).flatten();
        let flow = flow.filter(|flow| flow.ends > seconds(now) && answer.state.as_ref() == Some(&flow.state));
        let Some(flow) = flow else {
            let detail = "not of a login that this browser has begun in the last 10 minutes: begin again at /login";
            return Err(Problem::invalid_parameter("state", detail));
        };
        // Without it another issuer could have its code taken here (RFC 9207, 2.4).
        if answer.issuer.as_ref().map_or(self.provider.names_itself().await?, |issuer| *issuer != self.check.issuer) {
            return Err(Problem::invalid_parameter("iss", "not the issuer that was asked"));
        }
        let code = match answer.code {
            Ok(code) => code,
            Err(error) if error == "access_denied" => return Ok(None),
            Err(error) => return Err(Problem::invalid_parameter("error", format!("{error:?}, says the issuer"))),
        };
        let tokens = self.provider.exchange(&code, &flow.verifier).await?;
        let session = self.open(&tokens, &flow.nonce, now).await.map_err(|refusal| match refusal {
            Refusal::Ours(problem) => problem,
            Refusal::Theirs(reason) => {
                debug!(issuer = self.check.issuer, reason, "a login fails");
                Problem::invalid_parameter("code", format!("the issuer's ID token is not valid: {reason}"))
            }
        })?;
        if session.scopes.is_empty() && self.check.scopes.is_empty() {
            return Err(Problem::forbidden("the issuer knows you, but gives you none of the scopes of this server"));
        }
        Ok(Some(session))
    }

    async fn open(&self, tokens: &Tokens, nonce: &str, now: Timestamp) -> Result<Session, Refusal> {
        let token = Token::parse(&tokens.id_token)?;
        let claims: Claims = token.further()?;
        let expected = Expected { audience: self.check.client_id.clone(), ..self.expected.clone() };
        let id = self.issuer.verify(token, &Signatures::default(), &expected, now).await?;
        if claims.nonce.as_deref() != Some(nonce) {
            return Err("of another login (nonce)".to_owned().into());
        }
        if claims.azp.is_some_and(|azp| azp != self.check.client_id) {
            return Err("for another client (azp)".to_owned().into());
        }
        let access = self.access(tokens.access_token.as_deref(), &id, now).await?;
        let mut expires_at = id.expires_at.min(now.saturating_add(LONGEST));
        let mut ids = vec![random_digits(RANDOM)];
        ids.extend(id.id);
        let mut scopes = id.scopes;
        if let Some(access) = access {
            expires_at = expires_at.min(access.expires_at);
            ids.extend(access.id);
            scopes = access.scopes;
        }
        // A page never needs it, and a session is for reading.
        scopes.retain(|scope| *scope != Scope::Keys);
        let names = [claims.name, claims.preferred_username, claims.email];
        let name = names.into_iter().flatten().find(|name| !name.trim().is_empty());
        let name = name.unwrap_or_else(|| id.subject.clone());
        Ok(Session {
            subject: format!("{}|{}", self.check.issuer, id.subject),
            name: name.chars().filter(|c| !c.is_control()).take(MAX_NAME).collect(),
            csrf: random_digits(RANDOM),
            ids,
            scopes,
            issued_at: id.issued_at.as_millis(),
            expires: seconds(expires_at),
        })
    }

    /// The access token, if it is one for this server that names scopes of ours. Many issuers have none, or one that only they can read.
    async fn access(&self, token: Option<&str>, id: &Verified, now: Timestamp) -> Result<Option<Verified>, Refusal> {
        let Some(Ok(token)) = token.map(Token::parse) else { return Ok(None) };
        match self.issuer.verify(token, &Signatures::default(), &self.expected, now).await {
            Ok(access) if access.scopes.is_empty() => Ok(None),
            Ok(access) if access.subject != id.subject => Err("of another than the access token".to_owned().into()),
            Ok(access) => Ok(Some(access)),
            Err(Refusal::Theirs(_)) => Ok(None),
            Err(ours) => Err(ours),
        }
    }

    /// The cookies of a session that begins; that of its login goes.
    pub(crate) fn opened(&self, session: &Session, now: Timestamp) -> Result<[HeaderValue; 2], Problem> {
        let lifetime = Timestamp::from_millis(session.expires.saturating_mul(1000)).since(now);
        Ok([self.cookies.set(Kind::Session, session, lifetime)?, self.cookies.clear(Kind::Flow)])
    }

    /// What takes a session's cookie away.
    pub(crate) fn closed(&self) -> HeaderValue {
        self.cookies.clear(Kind::Session)
    }

    /// `None` if the request has none.
    ///
    /// # Errors
    /// What it is in place of valid.
    pub(super) fn session(&self, headers: &HeaderMap, now: Timestamp) -> Result<Option<Session>, &'static str> {
        let Some(session) = self.cookies.get::<Session>(Kind::Session, headers) else { return Ok(None) };
        let mut session = session.ok_or("not one of this server")?;
        if session.ids.is_empty() || session.expires <= seconds(now) {
            return Err("over");
        }
        // An address that somebody types comes from no page.
        let is_typed = headers.get(&SEC_FETCH_SITE).is_some_and(|site| site == "none");
        if !is_typed && !is_same_origin(headers, &self.check.origin) {
            return Err("for pages of this server only");
        }
        if session.scopes.is_empty() {
            session.scopes.clone_from(&self.check.scopes);
        }
        Ok(Some(session))
    }

    /// `https://vigie.example`.
    pub(crate) fn origin(&self) -> &str {
        &self.check.origin
    }
}

/// Whether a page of this origin sends the request. Browsers tell, and let no page speak for another.
pub(crate) fn is_same_origin(headers: &HeaderMap, origin: &str) -> bool {
    let is_ours = headers.get(header::ORIGIN).map(|sent| sent == origin);
    let is_same = headers.get(&SEC_FETCH_SITE).map(|site| site == "same-origin");
    is_ours.or(is_same).is_some() && is_ours != Some(false) && is_same != Some(false)
}
