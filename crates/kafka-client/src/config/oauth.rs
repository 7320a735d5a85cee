//! Where the tokens of OAUTHBEARER come from: a token endpoint, by the grant of client credentials
//! (RFC 6749, section 4.4).

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use reqwest::Certificate;
use url::Url;
use vigie_daemon::{Check, Mistake, SecretArg};

use crate::login::Login;
use crate::login::endpoint::{Endpoint, OAuthSecret};

/// Who gives us tokens for the brokers, and what for.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct KafkaOAuth {
    /// With OAUTHBEARER: where a token is given for client id and secret; https, or http on the
    /// loopback interface
    #[arg(long = "kafka-sasl-oauth-token-url", env = "VIGIE_KAFKA_SASL_OAUTH_TOKEN_URL", value_name = "URL")]
    pub kafka_sasl_oauth_token_url: Option<String>,
    /// Our client id there
    #[arg(long = "kafka-sasl-oauth-client-id", env = "VIGIE_KAFKA_SASL_OAUTH_CLIENT_ID", value_name = "ID")]
    pub kafka_sasl_oauth_client_id: Option<String>,
    /// The secret of that client.
    #[command(flatten)]
    pub kafka_sasl_oauth_client_secret: SecretArg<OAuthSecret>,
    /// Scopes to ask for, separated by spaces [default: none, which leaves it to the server]
    #[arg(long = "kafka-sasl-oauth-scope", env = "VIGIE_KAFKA_SASL_OAUTH_SCOPE", value_name = "SCOPES")]
    pub kafka_sasl_oauth_scope: Option<String>,
    /// SASL extensions for the brokers, as logicalCluster=lkc-1,identityPoolId=pool-1
    #[arg(
        long = "kafka-sasl-oauth-extensions",
        env = "VIGIE_KAFKA_SASL_OAUTH_EXTENSIONS",
        value_name = "NAME=VALUE,..."
    )]
    pub kafka_sasl_oauth_extensions: Option<String>,
    /// PEM file of the authorities that sign that server's certificate [default: those that the
    /// system trusts]
    #[arg(long = "kafka-sasl-oauth-ca-file", env = "VIGIE_KAFKA_SASL_OAUTH_CA_FILE", value_name = "FILE")]
    pub kafka_sasl_oauth_ca_file: Option<PathBuf>,
    /// Shared by the clients of all copies.
    #[arg(skip)]
    login: Arc<OnceLock<Login>>,
}

impl KafkaOAuth {
    pub(crate) fn is_absent(&self) -> bool {
        let texts = [
            &self.kafka_sasl_oauth_token_url,
            &self.kafka_sasl_oauth_client_id,
            &self.kafka_sasl_oauth_scope,
            &self.kafka_sasl_oauth_extensions,
        ];
        texts.into_iter().all(Option::is_none)
            && self.kafka_sasl_oauth_client_secret.is_absent()
            && self.kafka_sasl_oauth_ca_file.is_none()
    }

    /// What fetches the tokens; made once.
    pub(crate) fn login(&self) -> Result<&Login, Vec<Mistake>> {
        if self.login.get().is_none() {
            let endpoint = self.source()?;
            self.login.get_or_init(|| Login::new(endpoint));
        }
        self.login.get().ok_or_else(Vec::new)
    }

    /// Whom to ask, and how. Connects to nothing.
    ///
    /// # Errors
    /// With every mistake.
    pub(crate) fn source(&self) -> Result<Endpoint, Vec<Mistake>> {
        let mut check = Check::<Self>::default();
        let option = "kafka-sasl-oauth-token-url";
        let text = self.kafka_sasl_oauth_token_url.as_deref();
        check.option(option, text.is_some(), "not given", "a URL");
        let url = text.and_then(|text| Url::parse(text).map_err(|e| check.option(option, false, e, "a URL")).ok());
        if let Some(url) = &url {
            let found = format!("{}, which sends the secret in clear", url.scheme());
            check.option(option, is_kept(url), found, "https");
            let has_secret = !url.username().is_empty() || url.password().is_some();
            check.option(option, !has_secret, "a name or password in the URL", "--kafka-sasl-oauth-client-id");
        }
        let id = self.kafka_sasl_oauth_client_id.clone().filter(|id| !id.is_empty());
        check.option("kafka-sasl-oauth-client-id", id.is_some(), "not given", "our id at the token endpoint");
        check.part(self.kafka_sasl_oauth_client_secret.require());
        let extensions = self.kafka_sasl_oauth_extensions.as_deref().unwrap_or_default();
        let extensions = extensions.split(',').filter(|pair| !pair.trim().is_empty()).map(extension);
        let extensions = extensions.collect::<Result<Vec<_>, _>>().unwrap_or_else(|found| {
            let expected = "NAME=VALUE,..., names of letters but auth, values of printable ASCII";
            check.option("kafka-sasl-oauth-extensions", false, found, expected);
            Vec::new()
        });
        let roots = self.kafka_sasl_oauth_ca_file.as_deref().map(|file| {
            let option = "kafka-sasl-oauth-ca-file";
            let is_used = url.as_ref().is_none_or(|url| url.scheme() == "https");
            check.option(option, is_used, "given with a URL of http", "https");
            authorities(file).unwrap_or_else(|found| {
                check.option(option, false, format!("{}: {found}", file.display()), "a file in PEM");
                Vec::new()
            })
        });
        let made = url.zip(id).map(|(url, client_id)| Endpoint {
            url,
            client_id,
            secret: self.kafka_sasl_oauth_client_secret.clone(),
            scope: self.kafka_sasl_oauth_scope.clone(),
            extensions,
            roots: roots.unwrap_or_default(),
        });
        check.finish(made)
    }
}

/// Whether nobody on the way there can listen.
fn is_kept(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let is_loopback =
        host == "localhost" || host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
    url.scheme() == "https" || url.scheme() == "http" && is_loopback
}

/// One extension: its name is of letters, and not that of the token itself (RFC 7628, section 3.1).
fn extension(pair: &str) -> Result<(String, String), String> {
    let (name, value) = pair.trim().split_once('=').ok_or_else(|| format!("{pair:?}"))?;
    let is_name = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphabetic()) && name != "auth";
    let is_value = !value.is_empty() && value.chars().all(|c| c.is_ascii_graphic());
    if is_name && is_value { Ok((name.to_owned(), value.to_owned())) } else { Err(format!("{pair:?}")) }
}

fn authorities(file: &Path) -> Result<Vec<Certificate>, String> {
    let pem = std::fs::read(file).map_err(|e| e.to_string())?;
    let found = Certificate::from_pem_bundle(&pem).map_err(|e| e.to_string())?;
    if found.is_empty() { Err("no certificate".to_owned()) } else { Ok(found) }
}
