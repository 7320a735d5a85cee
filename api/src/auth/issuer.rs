//! An issuer on the network: its keys (RFC 7517) by OpenID Connect Discovery or at a URL, kept while they are fresh.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{ACCEPT, CACHE_CONTROL, HeaderMap};
use reqwest::{Certificate, Client, Response, Url, redirect};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tracing::debug;
use vigie_clock::{SharedClock, Timestamp};

use super::Refusal;
use super::fresh::{Fresh, Load};
use super::key::VerifyingKey;
use super::signatures::Signatures;
use super::token::{Expected, Token, Verified};
use crate::http::problem::Problem;

/// Of both requests together.
const TIMEOUT: Duration = Duration::from_secs(5);
const MAX_BYTES: usize = 512 << 10;
const MAX_KEYS: usize = 100;
/// How long keys are fresh, if the issuer says nothing, and whatever it says.
const FRESH: Duration = Duration::from_secs(600);
const FRESH_BOUNDS: [Duration; 2] = [Duration::from_secs(60), Duration::from_secs(3600)];
/// How long keys are good while the issuer is away.
pub(super) const STALE: Duration = Duration::from_secs(86_400);
/// Between two loads because of a key that is not known, and after a failure.
pub(super) const COOL_DOWN: Duration = Duration::from_secs(10);

/// Where an issuer's keys are.
#[derive(Clone, Debug)]
pub(crate) struct IssuerConfig {
    /// As tokens name it in `iss`, to the letter.
    pub(crate) name: String,
    /// `None`: where its discovery document says.
    pub(crate) jwks: Option<Url>,
}

pub(crate) struct Issuer {
    pub(crate) name: String,
    keys: Fresh<Keys>,
}

/// Why there is no key.
#[derive(Debug)]
enum NoKey {
    /// The issuer has none such.
    Unknown,
    /// The issuer cannot be asked.
    Away(String),
}

type Keys = Vec<(Option<String>, VerifyingKey)>;

#[derive(Deserialize)]
struct KeysAt {
    jwks_uri: Url,
}

#[derive(Deserialize)]
struct KeySet {
    keys: Vec<Value>,
}

/// Whether keys may be fetched from there: nobody on the way can change them. There is no secret in it, for it is logged.
pub(crate) fn is_trusted(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let is_loopback =
        host == "localhost" || host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
    let is_kept = url.scheme() == "https" || url.scheme() == "http" && is_loopback;
    is_kept && url.username().is_empty() && url.password().is_none()
}

/// What fetches keys. Trusts `roots` only, or what the system trusts if there are none.
pub(crate) fn client(roots: Vec<Certificate>) -> reqwest::Result<Client> {
    // Whoever comes first installs the process's TLS provider; it is the same one.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let builder = Client::builder().no_proxy().redirect(redirect::Policy::none()).timeout(TIMEOUT);
    if roots.is_empty() { builder } else { builder.tls_certs_only(roots) }.build()
}

impl Issuer {
    pub(crate) fn new(config: IssuerConfig, client: Client, clock: SharedClock) -> Self {
        let name = config.name.clone();
        let load: Load<Keys> = Box::new(move |_| {
            let (config, client) = (config.clone(), client.clone());
            Box::pin(async move {
                let loaded = tokio::time::timeout(TIMEOUT, load(&config, &client)).await;
                let loaded = loaded.unwrap_or_else(|_| Err(format!("no answer within {} s", TIMEOUT.as_secs())));
                loaded.map(|(keys, fresh_for)| (Arc::new(keys), fresh_for))
            })
        });
        Self { keys: Fresh::new(format!("keys of {name}"), load, STALE, COOL_DOWN, clock), name }
    }

    /// Verifies a token of this issuer.
    pub(super) async fn verify(
        &self,
        token: Token<'_>,
        known: &Signatures,
        expected: &Expected,
        now: Timestamp,
    ) -> Result<Verified, Refusal> {
        let key = self.key(token.key_id.as_deref(), &token.algorithm).await.map_err(|no| match no {
            NoKey::Unknown => Refusal::Theirs("its issuer has no such key".to_owned()),
            NoKey::Away(reason) => {
                debug!(issuer = self.name, reason, "a token cannot be verified");
                Problem::unavailable("the issuer of the token cannot be asked for its keys").into()
            }
        })?;
        let expected = Expected { issuer: Some(self.name.clone()), ..expected.clone() };
        Ok(token.verify(&key, known, &expected, now)?)
    }

    /// The key of this id for the algorithm. A token without an id can only mean a key that is alone.
    async fn key(&self, id: Option<&str>, algorithm: &str) -> Result<VerifyingKey, NoKey> {
        let keys = self.keys.get().await.map_err(NoKey::Away)?;
        if let Some(key) = find(&keys, id, algorithm) {
            return Ok(key.clone());
        }
        let renewed = self.keys.renewed().await;
        renewed.and_then(|keys| find(&keys, id, algorithm).cloned()).ok_or(NoKey::Unknown)
    }
}

fn find<'a>(keys: &'a Keys, id: Option<&str>, algorithm: &str) -> Option<&'a VerifyingKey> {
    let named = |key: &&(Option<String>, VerifyingKey)| id.is_none() || key.0.as_deref() == id;
    let mut found = keys.iter().filter(named).map(|(_, key)| key).filter(|key| key.is_for(algorithm));
    found.next().filter(|_| id.is_some() || found.next().is_none())
}

async fn load(config: &IssuerConfig, client: &Client) -> Result<(Keys, Duration), String> {
    let url = match &config.jwks {
        Some(url) => url.clone(),
        None => {
            let (KeysAt { jwks_uri }, _) = discover(&config.name, client).await?;
            jwks_uri
        }
    };
    if !is_trusted(&url) {
        return Err(format!("its keys are at {url}, expected https"));
    }
    let (set, fresh_for): (KeySet, _) = fetch(client, url).await?;
    if set.keys.len() > MAX_KEYS {
        return Err(format!("{} keys, expected at most {MAX_KEYS}", set.keys.len()));
    }
    let mut keys = Keys::new();
    for key in &set.keys {
        match VerifyingKey::jwk(key) {
            Ok(key) => keys.push(key),
            Err(error) => debug!(issuer = config.name, error, "a key of the issuer is left out"),
        }
    }
    if keys.is_empty() {
        return Err(format!("none of its {} keys is for signatures of tokens", set.keys.len()));
    }
    Ok((keys, fresh_for))
}

/// What an issuer's discovery document says, and how long that is fresh (OpenID Connect Discovery, 4).
pub(super) async fn discover<T: DeserializeOwned>(issuer: &str, client: &Client) -> Result<(T, Duration), String> {
    let url = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
    let (document, fresh_for): (Value, _) = fetch(client, url.parse().map_err(|_| format!("no URL: {url}"))?).await?;
    if document["issuer"] != issuer {
        return Err(format!("its discovery document is of issuer {}", document["issuer"]));
    }
    let says = T::deserialize(document).map_err(|error| format!("its discovery document: {error}"))?;
    Ok((says, fresh_for))
}

async fn fetch<T: DeserializeOwned>(client: &Client, url: Url) -> Result<(T, Duration), String> {
    let response = client.get(url.clone()).header(ACCEPT, "application/json").send().await.map_err(failed)?;
    if !response.status().is_success() {
        return Err(format!("{url} answered {}", response.status()));
    }
    let fresh_for = fresh_for(response.headers());
    Ok((read(response).await?, fresh_for))
}

pub(super) fn failed(error: reqwest::Error) -> String {
    let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
    format!("{error}{cause}")
}

/// An answer in JSON, of a bounded size.
pub(super) async fn read<T: DeserializeOwned>(mut response: Response) -> Result<T, String> {
    let url = response.url().clone();
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(failed)? {
        body.extend_from_slice(&chunk);
        if body.len() > MAX_BYTES {
            return Err(format!("{url} answered with more than {MAX_BYTES} bytes"));
        }
    }
    serde_json::from_slice(&body).map_err(|error| format!("{url} answered: {error}"))
}

fn fresh_for(headers: &HeaderMap) -> Duration {
    let text = headers.get(CACHE_CONTROL).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let age = text.split(',').find_map(|part| part.trim().strip_prefix("max-age=")?.parse().ok());
    let [least, most] = FRESH_BOUNDS;
    age.map_or(FRESH, Duration::from_secs).clamp(least, most)
}
