//! A client of the API, and of the probes and metrics of other services.

use std::time::Duration;

use reqwest::{Client, Response, StatusCode};
use serde::de::DeserializeOwned;
use serde_json::Value;
use url::Url;
use vigie_daemon::{Mistake, ServiceError};

/// How long a small answer may take.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(10);
/// How often an API that is busy, or asks for patience, is asked again.
const ATTEMPTS: u32 = 10;

/// One server.
pub(crate) struct Api {
    client: Client,
    base: Url,
    token: Option<String>,
    /// What the token has to allow.
    scopes: &'static str,
}

impl Api {
    /// Does not connect yet. An answer may take `timeout`.
    pub(crate) fn new(
        base: &Url,
        token: Option<&str>,
        scopes: &'static str,
        timeout: Duration,
    ) -> Result<Self, ServiceError> {
        if !matches!(base.scheme(), "http" | "https") {
            return Err(Mistake::new("--api-url", place(base), "http:// or https://").into());
        }
        // Paths are joined to it.
        let mut base = base.clone();
        base.set_path(&format!("{}/", base.path().trim_end_matches('/')));
        // Whoever comes first installs the process's TLS provider; it is the same one.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder().no_proxy().timeout(timeout).build().map_err(ServiceError::failed)?;
        Ok(Self { client, base, token: token.map(str::to_owned), scopes })
    }

    /// An answer in JSON, whatever its status; null where there is nothing.
    pub(crate) async fn json(&self, path: &str) -> Result<Value, ServiceError> {
        let (status, text) = self.text(path).await?;
        if status == StatusCode::NOT_FOUND {
            return Ok(Value::Null);
        }
        serde_json::from_str(&text).map_err(|e| self.unavailable(format!("/{path}: {status}, {e}")))
    }

    pub(crate) async fn text(&self, path: &str) -> Result<(StatusCode, String), ServiceError> {
        let response = self.send(path).await?;
        Ok((response.status(), response.text().await.map_err(|error| self.away(error))?))
    }

    /// An answer, asked for again while the API is busy; `None` where there is nothing.
    pub(crate) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<Option<T>, ServiceError> {
        for _ in 0..ATTEMPTS {
            let response = self.send(path).await?;
            match response.status() {
                StatusCode::OK => return response.json().await.map(Some).map_err(|error| self.away(error)),
                StatusCode::NOT_FOUND => return Ok(None),
                StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
                    let after =
                        response.headers().get("retry-after").and_then(|value| value.to_str().ok()?.parse().ok());
                    tokio::time::sleep(Duration::from_secs(after.unwrap_or(1))).await;
                }
                status => return Err(self.unavailable(format!("/{path}: {status}"))),
            }
        }
        Err(self.unavailable(format!("it is busy, asked {ATTEMPTS} times")))
    }

    async fn send(&self, path: &str) -> Result<Response, ServiceError> {
        let url = self.base.join(path).map_err(ServiceError::failed)?;
        let mut request = self.client.get(url);
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        let response = request.send().await.map_err(|error| self.away(error))?;
        let status = response.status();
        if matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
            let found = format!("{} answers {status} to /{path}", place(&self.base));
            return Err(Mistake::new("--api-token", found, format!("a token with {}", self.scopes)).into());
        }
        Ok(response)
    }

    /// An address may hold a password.
    fn away(&self, error: reqwest::Error) -> ServiceError {
        self.unavailable(ServiceError::failed(error.without_url()).chain())
    }

    pub(crate) fn unavailable(&self, detail: impl ToString) -> ServiceError {
        ServiceError::unavailable(place(&self.base), detail)
    }
}

/// An address without what may be secret in it.
fn place(url: &Url) -> String {
    format!("{}://{}", url.scheme(), url.authority().rsplit('@').next().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_error_names_the_server_and_never_its_password() {
        let url: Url = "http://me:secret@127.0.0.1:1/?token=hidden".parse().unwrap();
        let api = Api::new(&url, None, "read:insights", Duration::from_secs(9)).unwrap();
        let error = api.json("readyz").await.unwrap_err();
        let text = error.chain();
        assert_eq!(error.exit_code(), 69);
        assert!(text.contains("http://127.0.0.1:1") && !text.contains("secret") && !text.contains("hidden"), "{text}");
    }
}
