//! A client of the API, and of the probes and metrics of other services.

use std::time::Duration;

use reqwest::{Client, StatusCode};
use serde_json::Value;
use url::Url;
use vigie_daemon::{Mistake, ServiceError};

const TIMEOUT: Duration = Duration::from_secs(10);

/// One server.
pub(crate) struct Api {
    client: Client,
    base: Url,
    token: Option<String>,
}

impl Api {
    /// Does not connect yet.
    pub(crate) fn new(base: &Url, token: Option<&str>) -> Result<Self, ServiceError> {
        if !matches!(base.scheme(), "http" | "https") {
            return Err(Mistake::new("--api-url", place(base), "http:// or https://").into());
        }
        // Whoever comes first installs the process's TLS provider; it is the same one.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder().no_proxy().timeout(TIMEOUT).build().map_err(ServiceError::failed)?;
        Ok(Self { client, base: base.clone(), token: token.map(str::to_owned) })
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
        // An address may hold a password.
        let away = |error: reqwest::Error| self.unavailable(ServiceError::failed(error.without_url()).chain());
        let url = self.base.join(path).map_err(ServiceError::failed)?;
        let mut request = self.client.get(url);
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        let response = request.send().await.map_err(away)?;
        let status = response.status();
        if matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
            let found = format!("{} answers {status} to /{path}", place(&self.base));
            return Err(Mistake::new("--token", found, "a token with read:insights and read:operations").into());
        }
        Ok((status, response.text().await.map_err(away)?))
    }

    fn unavailable(&self, detail: String) -> ServiceError {
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
        let error = Api::new(&url, None).unwrap().json("readyz").await.unwrap_err();
        let text = error.chain();
        assert_eq!(error.exit_code(), 69);
        assert!(text.contains("http://127.0.0.1:1") && !text.contains("secret") && !text.contains("hidden"), "{text}");
    }
}
