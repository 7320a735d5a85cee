//! Where the schema registry is, whom it trusts, and the client that both make.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use reqwest::{Certificate, Client, ClientBuilder, Method, RequestBuilder, Url};
use schema_registry_converter::async_impl::schema_registry::SrSettings;
use vigie_daemon::{Check, FromSecret, Mistake, Secret, SecretArg};

use crate::error::CodecError;

const TIMEOUT: Duration = Duration::from_secs(10);

/// Where the schema registry is. Prints without secrets.
#[derive(Args, Clone)]
pub struct RegistryConfig {
    /// URL of a Confluent-compatible schema registry, http or https.
    #[arg(long, env = "VIGIE_SCHEMA_REGISTRY_URL", hide_env_values = true, default_value = "http://127.0.0.1:8081")]
    pub schema_registry_url: String,
    /// PEM file of the authorities that sign the registry's certificate [default: those that the system trusts]
    #[arg(long, env = "VIGIE_SCHEMA_REGISTRY_CA_FILE", value_name = "FILE")]
    pub schema_registry_ca_file: Option<PathBuf>,
    /// Our name at the registry
    #[arg(long, env = "VIGIE_SCHEMA_REGISTRY_USERNAME", value_name = "NAME")]
    pub schema_registry_username: Option<String>,
    /// The password of that name.
    #[command(flatten)]
    pub schema_registry_password: SecretArg<RegistryPassword>,
    /// In place of a name.
    #[command(flatten)]
    pub schema_registry_token: SecretArg<RegistryToken>,
}

impl fmt::Debug for RegistryConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let url = self.schema_registry_url.replace(user_info(&self.schema_registry_url), "");
        f.debug_struct("RegistryConfig").field("schema_registry_url", &url).finish_non_exhaustive()
    }
}

/// A password at the registry.
pub struct RegistryPassword(Secret);

impl FromSecret for RegistryPassword {
    const LONG: &'static str = "schema-registry-password";
    const VARIABLE: &'static str = "VIGIE_SCHEMA_REGISTRY_PASSWORD";
    const HELP: &'static str = "Password of --schema-registry-username";
    const EXPECTED: &'static str = "a password";

    fn from_secret(text: &str) -> Result<Self, String> {
        Ok(Self(text.to_owned().into()))
    }
}

/// A bearer token at the registry.
pub struct RegistryToken(Secret);

impl FromSecret for RegistryToken {
    const LONG: &'static str = "schema-registry-token";
    const VARIABLE: &'static str = "VIGIE_SCHEMA_REGISTRY_TOKEN";
    const HELP: &'static str = "Bearer token for the schema registry, in place of name and password";
    const EXPECTED: &'static str = "a token of letters, digits and -._~+/=";

    fn from_secret(text: &str) -> Result<Self, String> {
        let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte);
        if text.is_empty() || !text.bytes().all(is_token) {
            return Err(format!("{} bytes that are not a token", text.len()));
        }
        Ok(Self(text.to_owned().into()))
    }
}

/// Who we are at the registry.
enum Credentials {
    None,
    Basic(String, Secret),
    Bearer(Secret),
}

/// A client of the registry.
pub(crate) struct Access {
    base: String,
    roots: Vec<Certificate>,
    credentials: Credentials,
}

impl RegistryConfig {
    /// The registry at `url`, without a name there.
    pub fn at(url: impl Into<String>) -> Self {
        Self {
            schema_registry_url: url.into(),
            schema_registry_ca_file: None,
            schema_registry_username: None,
            schema_registry_password: SecretArg::default(),
            schema_registry_token: SecretArg::default(),
        }
    }

    /// Checks what clap cannot.
    ///
    /// # Errors
    /// With every mistake.
    pub fn check(&self) -> Result<(), Vec<Mistake>> {
        self.checked().map(drop)
    }

    pub(crate) fn access(&self) -> Result<Access, CodecError> {
        self.checked().map_err(CodecError::Config)
    }

    fn checked(&self) -> Result<Access, Vec<Mistake>> {
        let mut check = Check::<Self>::default();
        let url = Url::parse(&self.schema_registry_url).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
        check.option("schema-registry-url", url.is_some(), "not a URL of a registry", "http://host:port or https://");
        let is_encrypted = url.as_ref().is_some_and(|url| url.scheme() == "https");
        let roots = self.schema_registry_ca_file.as_ref().map(|file| {
            let option = "schema-registry-ca-file";
            check.option(option, is_encrypted, "given with a URL of http", "https");
            let read = std::fs::read(file).map_err(|e| e.to_string());
            let roots = read.and_then(|pem| Certificate::from_pem_bundle(&pem).map_err(|e| e.to_string()));
            let found = roots.as_ref().err().map_or("no certificate", String::as_str);
            let found = format!("{}: {found}", file.display());
            check.option(option, roots.as_ref().is_ok_and(|roots| !roots.is_empty()), found, "a file in PEM");
            roots.unwrap_or_default()
        });
        let password = check.part(self.schema_registry_password.read()).flatten();
        let token = check.part(self.schema_registry_token.read()).flatten();
        let name = self.schema_registry_username.clone();
        let is_pair = name.is_some() != self.schema_registry_password.is_absent();
        check.option("schema-registry-username", is_pair, "one without the other", "it beside its password");
        let is_one = name.is_none() || token.is_none();
        check.option("schema-registry-username", is_one, "given with --schema-registry-token", "one of them");
        let in_url = url.as_ref().is_some_and(|url| !url.username().is_empty() || url.password().is_some());
        let has_secret = in_url || name.is_some() || !self.schema_registry_token.is_absent();
        let is_kept = is_encrypted || !has_secret || url.as_ref().is_none_or(is_loopback);
        check.option("schema-registry-url", is_kept, "http, which sends the password in clear", "https");
        let credentials = match (name, password, token) {
            (Some(name), Some(RegistryPassword(password)), _) => Credentials::Basic(name, password),
            (_, _, Some(RegistryToken(token))) => Credentials::Bearer(token),
            _ => Credentials::None,
        };
        check.finish(Some(Access {
            base: self.schema_registry_url.trim_end_matches('/').to_owned(),
            roots: roots.unwrap_or_default(),
            credentials,
        }))
    }
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    host == "localhost" || host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

impl Access {
    fn builder(&self) -> ClientBuilder {
        // reqwest wants a process-wide TLS provider; whoever comes first installs it, and it is the same one.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let builder = Client::builder().no_proxy().timeout(TIMEOUT);
        if self.roots.is_empty() { builder } else { builder.tls_certs_only(self.roots.clone()) }
    }

    /// The same for the codec.
    pub(crate) fn settings(&self) -> Result<SrSettings, CodecError> {
        let mut settings = SrSettings::new_builder(self.base.clone());
        match &self.credentials {
            Credentials::None => {}
            Credentials::Basic(name, password) => {
                settings.set_basic_authorization(name, Some(password.reveal()));
            }
            Credentials::Bearer(token) => {
                settings.set_token_authorization(token.reveal());
            }
        }
        settings.no_proxy().set_timeout(TIMEOUT).build_with(self.builder()).map_err(|e| self.unavailable(e.error))
    }

    /// Whether the registry is there, and lets us in.
    pub(crate) async fn probe(&self) -> Result<(), CodecError> {
        self.send(Method::GET, "subjects", None).await
    }

    /// Sends a request, whose answer is of no interest.
    pub(crate) async fn send(&self, method: Method, path: &str, json: Option<String>) -> Result<(), CodecError> {
        let failed = |error: reqwest::Error| self.unavailable(chain(&error));
        let url = format!("{}/{path}", self.base);
        let mut request = self.authorize(self.builder().build().map_err(failed)?.request(method.clone(), &url));
        if let Some(json) = json {
            request = request.header("content-type", "application/vnd.schemaregistry.v1+json").body(json);
        }
        let status = request.send().await.map_err(failed)?.status();
        if status.is_success() {
            return Ok(());
        }
        let hint = if matches!(status.as_u16(), 401 | 403) {
            " (see --schema-registry-username, --schema-registry-token)"
        } else {
            ""
        };
        Err(self.unavailable(format!("{method} {url} answered {status}{hint}")))
    }

    fn authorize(&self, request: RequestBuilder) -> RequestBuilder {
        match &self.credentials {
            Credentials::None => request,
            Credentials::Basic(name, password) => request.basic_auth(name, Some(password.reveal())),
            Credentials::Bearer(token) => request.bearer_auth(token.reveal()),
        }
    }

    pub(crate) fn unavailable(&self, detail: String) -> CodecError {
        unavailable(&self.base, &detail)
    }
}

/// The error with its causes, which say what is wrong with a certificate.
fn chain(error: &reqwest::Error) -> String {
    let (mut text, mut cause) = (error.to_string(), std::error::Error::source(error));
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    if text.contains("certificate") { text + " (see --schema-registry-ca-file)" } else { text }
}

/// The registry at `url` does not answer. Its password, in the address or in a client's words, is left out.
pub(crate) fn unavailable(url: &str, detail: &str) -> CodecError {
    let secret = user_info(url);
    let shown = |text: &str| if secret.is_empty() { text.to_owned() } else { text.replace(secret, "") };
    CodecError::Registry { url: shown(url), detail: shown(detail) }
}

/// `user:password@` of an address; empty if it has none.
fn user_info(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    authority.rfind('@').map_or("", |at| &authority[..=at])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_never_shows_the_password() {
        let url = "http://me:se@cret@registry:8081/ccompat?x=@";
        let text = unavailable(url, &format!("error sending request for url ({url}/subjects)")).to_string();
        assert!(text.contains("registry:8081") && !text.contains("me:") && !text.contains("cret"), "{text}");
        assert!(unavailable("http://registry:8081", "refused").to_string().contains("refused"));
    }

    #[test]
    fn what_cannot_be_honoured_is_refused_and_secrets_are_never_shown() {
        #[derive(clap::Parser)]
        struct Cli {
            #[command(flatten)]
            registry: RegistryConfig,
        }
        for (args, expected) in [
            (&["url=http://registry", "token=hunter2"][..], "-url (VIGIE_SCHEMA_REGISTRY_URL): http, which sends"),
            (&["url=http://me:hunter2@registry"], "-url (VIGIE_SCHEMA_REGISTRY_URL): http, which sends"),
            (&["url=ftp://me:hunter2@registry"], "-url (VIGIE_SCHEMA_REGISTRY_URL): not a URL"),
            (&["password=hunter2"], "-username (VIGIE_SCHEMA_REGISTRY_USERNAME): one without the other"),
            (&["token=hunter2 2"], "-token (VIGIE_SCHEMA_REGISTRY_TOKEN): 9 bytes that are not a token"),
            (
                &["username=me", "password=hunter2", "token=hunter2"],
                "-username (VIGIE_SCHEMA_REGISTRY_USERNAME): given",
            ),
            (&["ca-file=Cargo.toml"], "-ca-file (VIGIE_SCHEMA_REGISTRY_CA_FILE): given with a URL of http"),
            (&["url=https://registry", "ca-file=/no/ca"], "-ca-file (VIGIE_SCHEMA_REGISTRY_CA_FILE): /no/ca: No such"),
            (&["url=https://registry", "username=me", "password=hunter2"], ""),
            (&["url=http://[::1]:8081", "token=hunter2"], ""),
        ] {
            let args = args.iter().map(|arg| format!("--schema-registry-{arg}"));
            let registry = <Cli as clap::Parser>::parse_from(std::iter::once("test".to_owned()).chain(args)).registry;
            let mistakes = registry.check().err().unwrap_or_default();
            let text = mistakes.first().map(ToString::to_string).unwrap_or_default();
            assert!(text.trim_start_matches("--schema-registry").starts_with(expected), "{text}");
            assert!(expected.is_empty() == mistakes.is_empty(), "{mistakes:?}");
            assert!(!format!("{mistakes:?} {registry:?}").contains("hunter2"), "{registry:?}");
        }
    }
}
