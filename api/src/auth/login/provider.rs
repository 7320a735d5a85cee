//! The issuer that people log in at: where browsers are sent, and the exchange of a code for tokens.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reqwest::header::{ACCEPT, CONTENT_TYPE};
use reqwest::{Client, Url};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use tracing::info;
use url::form_urlencoded;
use vigie_clock::SharedClock;
use vigie_daemon::Secret;

use super::LoginCheck;
use crate::auth::fresh::{Fresh, Load};
use crate::auth::issuer::{self, COOL_DOWN, STALE, is_trusted};
use crate::http::problem::Problem;

const BASIC: &str = "client_secret_basic";

/// Of a discovery document (OpenID Connect Discovery, 3; RFC 9207, 3).
#[derive(Deserialize)]
struct Endpoints {
    authorization_endpoint: Url,
    token_endpoint: Url,
    code_challenge_methods_supported: Option<Vec<String>>,
    token_endpoint_auth_methods_supported: Option<Vec<String>>,
    #[serde(default)]
    authorization_response_iss_parameter_supported: bool,
}

/// What a code is exchanged for.
#[derive(Deserialize)]
pub(super) struct Tokens {
    pub(super) id_token: String,
    pub(super) access_token: Option<String>,
}

/// RFC 6749, 5.2.
#[derive(Deserialize)]
struct Refused {
    error: String,
}

pub(super) struct Provider {
    issuer: String,
    client_id: String,
    client_secret: Option<Secret>,
    request: String,
    redirect: String,
    endpoints: Fresh<Endpoints>,
    client: Client,
}

impl Provider {
    pub(super) fn new(check: &LoginCheck, client: Client, clock: SharedClock) -> Self {
        let (name, asks) = (check.issuer.clone(), client.clone());
        let load: Load<Endpoints> = Box::new(move |_| {
            let (name, client) = (name.clone(), asks.clone());
            Box::pin(async move {
                let (endpoints, fresh_for) = issuer::discover(&name, &client).await?;
                usable(&endpoints)?;
                Ok((Arc::new(endpoints), fresh_for))
            })
        });
        Self {
            endpoints: Fresh::new(format!("endpoints of {}", check.issuer), load, STALE, COOL_DOWN, clock),
            issuer: check.issuer.clone(),
            client_id: check.client_id.clone(),
            client_secret: check.client_secret.clone(),
            request: check.request.clone(),
            redirect: format!("{}/login/callback", check.origin),
            client,
        }
    }

    async fn endpoints(&self) -> Result<Arc<Endpoints>, Problem> {
        self.endpoints.get().await.map_err(|_| Problem::unavailable("the issuer of logins cannot be reached"))
    }

    /// Whether its answers must name it.
    pub(super) async fn names_itself(&self) -> Result<bool, Problem> {
        Ok(self.endpoints().await?.authorization_response_iss_parameter_supported)
    }

    /// Where a browser asks for a code (RFC 6749, 4.1.1; RFC 7636, 4.3).
    pub(super) async fn authorization(&self, state: &str, nonce: &str, verifier: &str) -> Result<Url, Problem> {
        let mut url = self.endpoints().await?.authorization_endpoint.clone();
        url.query_pairs_mut()
            .append_pair("response_type", "code")
            .append_pair("client_id", &self.client_id)
            .append_pair("redirect_uri", &self.redirect)
            .append_pair("scope", &self.request)
            .append_pair("state", state)
            .append_pair("nonce", nonce)
            .append_pair("code_challenge", &URL_SAFE_NO_PAD.encode(Sha256::digest(verifier)))
            .append_pair("code_challenge_method", "S256");
        Ok(url)
    }

    /// The tokens for a code (RFC 6749, 4.1.3).
    pub(super) async fn exchange(&self, code: &str, verifier: &str) -> Result<Tokens, Problem> {
        let endpoints = self.endpoints().await?;
        let mut pairs = vec![
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", &self.redirect),
            ("code_verifier", verifier),
        ];
        let mut request = self.client.post(endpoints.token_endpoint.clone()).header(ACCEPT, "application/json");
        // Basic is what all take that do not say otherwise (OpenID Connect Discovery, 3).
        let methods = &endpoints.token_endpoint_auth_methods_supported;
        let by_basic = methods.as_ref().is_none_or(|methods| methods.iter().any(|method| method == BASIC));
        match &self.client_secret {
            Some(secret) if by_basic => {
                let encoded = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
                request = request.basic_auth(encoded(&self.client_id), Some(encoded(secret.reveal())));
            }
            secret => {
                pairs.push(("client_id", &self.client_id));
                pairs.extend(secret.as_ref().map(|secret| ("client_secret", secret.reveal())));
            }
        }
        let form = form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
        let request = request.header(CONTENT_TYPE, "application/x-www-form-urlencoded").body(form);
        let away = |reason: String| {
            info!(issuer = self.issuer, reason, "a code cannot be exchanged");
            Problem::unavailable("the issuer of logins cannot be asked for tokens")
        };
        let response = request.send().await.map_err(|error| away(issuer::failed(error)))?;
        let status = response.status();
        if status.is_client_error() {
            let refused = issuer::read::<Refused>(response).await.map_err(|_| away(format!("answered {status}")))?;
            let error: String = refused.error.chars().filter(char::is_ascii_graphic).take(64).collect();
            info!(issuer = self.issuer, error, "a code is refused");
            return Err(Problem::invalid_parameter("code", format!("the issuer refuses it: {error}")));
        }
        if !status.is_success() {
            return Err(away(format!("answered {status}")));
        }
        // What is wrong with it may quote it.
        issuer::read(response).await.map_err(|_| away("no ID token in its answer".to_owned()))
    }
}

fn usable(endpoints: &Endpoints) -> Result<(), String> {
    for url in [&endpoints.authorization_endpoint, &endpoints.token_endpoint] {
        if !is_trusted(url) {
            return Err(format!("an endpoint is at {url}, expected https"));
        }
    }
    // Many issuers that know PKCE do not list it.
    match &endpoints.code_challenge_methods_supported {
        Some(methods) if !methods.iter().any(|method| method == "S256") => Err("it knows no PKCE by S256".to_owned()),
        _ => Ok(()),
    }
}
