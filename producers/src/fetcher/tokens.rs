//! What is shown to an API: the key itself, or a token that is given for it (OAuth 2.0 client credentials, RFC 6749, 4.4) and kept until a minute
//! before it runs out.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use reqwest::header::{self, HeaderName};
use url::Url;
use vigie_daemon::Secret;

use super::headers::{Credential, retry_after};
use super::{FetchError, Fetcher, body, guard, name_of};
use crate::content::json;
use crate::keys::access::{Access, Means};

/// How long before its end a token is not used any more.
const MARGIN: Duration = Duration::from_secs(60);

/// Bytes of an answer with a token at most.
const MAX_ANSWER: usize = 64 * 1024;

/// A token, and when (on the monotonic clock) it is not used any more.
#[derive(Clone, Debug)]
struct Token {
    secret: Secret,
    until: Duration,
}

type Kept = Arc<tokio::sync::Mutex<Option<Token>>>;

/// The tokens in use, by where they are given and for what.
#[derive(Debug, Default)]
pub(super) struct Tokens(Mutex<HashMap<(Url, Secret), Kept>>);

impl Tokens {
    fn of(&self, at: &Url, client: &Secret) -> Kept {
        let mut tokens = self.0.lock();
        Arc::clone(tokens.entry((at.clone(), client.clone())).or_default())
    }
}

impl Fetcher {
    /// What to show to the API; a token other than `refused`.
    pub(super) async fn credential(
        &self,
        access: &Access,
        is_local: bool,
        refused: Option<&Credential>,
    ) -> Result<Credential, FetchError> {
        let (at, client) = match access.means() {
            Means::Bearer(key) => return Credential::bearer(key),
            Means::Header(name, key) => return Credential::new(HeaderName::from_static(name), key.reveal()),
            Means::Token { at, client } => (at, client),
        };
        // Whoever comes while a token is on its way waits for that one.
        let kept = self.tokens.of(at, client);
        let mut kept = kept.lock().await;
        if let Some(token) = kept.as_ref().filter(|token| self.clock.monotonic() < token.until) {
            let credential = Credential::bearer(&token.secret)?;
            // Another request may have got a new one since.
            if refused.is_none_or(|refused| refused.value != credential.value) {
                return Ok(credential);
            }
        }
        *kept = None;
        let token = self.ask_token(at, client, is_local).await?;
        let credential = Credential::bearer(&token.secret)?;
        *kept = Some(token);
        Ok(credential)
    }

    /// Asks for a token, guarded and in turn like every request.
    async fn ask_token(&self, at: &Url, client: &Secret, is_local: bool) -> Result<Token, FetchError> {
        let Some((id, secret)) = client.reveal().split_once(':') else {
            return Err(FetchError::Key("no colon in it, expected CLIENT:SECRET".into()));
        };
        let is_local = is_local && guard::is_inside(at);
        if !is_local {
            guard::check(at).map_err(FetchError::Blocked)?;
        }
        let asking = async {
            let asked = tokio::time::timeout(self.config.timeout, self.exchange_token(at, (id, secret), is_local));
            asked.await.unwrap_or(Err(FetchError::Timeout(self.config.timeout)))
        };
        self.in_turn(at, is_local, asking).await
    }

    async fn exchange_token(&self, at: &Url, client: (&str, &str), is_local: bool) -> Result<Token, FetchError> {
        let web = if is_local { &self.local } else { &self.public };
        let asked = web
            .post(at.clone())
            .basic_auth(client.0, Some(client.1))
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(header::ACCEPT, "application/json")
            .body("grant_type=client_credentials");
        let response = asked.send().await.map_err(|e| self.network(e))?;
        let status = response.status();
        if matches!(status.as_u16(), 429 | 500..) {
            let retry_after = retry_after(response.headers(), status, self.clock.now());
            return Err(FetchError::Status { status: status.as_u16(), retry_after });
        }
        if !status.is_success() {
            // What it says may repeat what it was sent.
            return Err(FetchError::Key(format!(
                "{} answers {} where it gives tokens",
                name_of(at, is_local),
                status.as_u16()
            )));
        }
        let (bytes, _) =
            body::read(response, MAX_ANSWER).await.map_err(|_| FetchError::Key("no token in the answer".into()))?;
        let answer = json::read(&bytes).map_err(|_| FetchError::Key("the answer is not json".into()))?;
        let token = json::text(&answer, "access_token")
            .ok_or_else(|| FetchError::Key("no access_token in the answer".into()))?;
        let lasts =
            answer.get("expires_in").and_then(serde_json::Value::as_u64).map_or(MARGIN * 10, Duration::from_secs);
        let until = self.clock.monotonic().saturating_add(lasts.saturating_sub(MARGIN));
        Ok(Token { secret: token.to_owned().into(), until })
    }
}
