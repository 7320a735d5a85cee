//! Options of who may ask.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use reqwest::{Certificate, Url};
use vigie_daemon::units::hours;
use vigie_daemon::{Check, FromSecret, Mistake, Secret, SecretArg};

use super::issuer::{self, IssuerConfig};
use super::key::VerifyingKey;
use super::token::Expected;

/// RFC 7518, 3.2: a key of the same size as the hash or larger.
const MIN_SECRET_BYTES: usize = 32;
/// A year.
pub const MAX_TOKEN_LIFETIME: &str = "8784h";
const KEYS: &str = "--auth-secret (VIGIE_AUTH_SECRET), --auth-public-key-file, --auth-jwks-url or --auth-oidc-issuers";
const FILE: &str = "auth-public-key-file";
const TRUSTED: &str = "https, or http on the loopback interface";

/// Whether tokens or API keys are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum AuthMode {
    /// Anyone who reaches the address may read.
    Off,
    /// A bearer token or an API key is needed.
    Jwt,
    /// An API key is needed.
    Keys,
}

/// Who may read. Without `--auth`, reading is open on loopback and needs a token or an API key elsewhere.
#[derive(clap::Args, Clone, Debug)]
pub struct AuthConfig {
    /// Whether a bearer token or an API key is needed; by default only if the address is not loopback
    #[arg(long, env = "VIGIE_AUTH", value_enum)]
    pub auth: Option<AuthMode>,
    /// Shared secret of HS256 tokens.
    #[command(flatten)]
    pub auth_secret: SecretArg<TokenSecret>,
    /// PEM file with the public key of the issuer: RSA of 2048 to 4096 bits for RS256 and PS256, P-256 for ES256, Ed25519 for EdDSA
    #[arg(long, env = "VIGIE_AUTH_PUBLIC_KEY_FILE")]
    pub auth_public_key_file: Option<PathBuf>,
    /// URL of a JWK set with the public keys of --auth-issuer
    #[arg(long, env = "VIGIE_AUTH_JWKS_URL", value_name = "URL")]
    pub auth_jwks_url: Option<Url>,
    /// Issuer (iss) that tokens must name which that secret or key verifies; any by default
    #[arg(long, env = "VIGIE_AUTH_ISSUER")]
    pub auth_issuer: Option<String>,
    /// Further issuers, separated by commas, whose public keys are found by OpenID Connect Discovery: URLs, as tokens name them in iss
    #[arg(long, env = "VIGIE_AUTH_OIDC_ISSUERS", value_name = "URL", value_delimiter = ',')]
    pub auth_oidc_issuers: Vec<String>,
    /// PEM file of the authorities that sign the certificates of issuers [default: those that the system trusts]
    #[arg(long, env = "VIGIE_AUTH_CA_FILE", value_name = "FILE")]
    pub auth_ca_file: Option<PathBuf>,
    /// Audience (aud) that tokens must name
    #[arg(long, env = "VIGIE_AUTH_AUDIENCE", default_value = "vigie")]
    pub auth_audience: String,
    /// Time between a token's issue (iat) and its end (exp), at most; one that is valid for longer is refused
    #[arg(long = "auth-max-token-lifetime", alias = "auth-max-token-hours", env = "VIGIE_AUTH_MAX_TOKEN_LIFETIME", default_value = MAX_TOKEN_LIFETIME, value_name = "DURATION", value_parser = hours(1_u32..))]
    pub auth_max_token_hours: u32,
    /// URL of this API as its clients know it, as `https://vigie.example`: published with the issuers, so that clients find whom to ask for
    /// a token (RFC 9728)
    #[arg(long, env = "VIGIE_AUTH_RESOURCE", value_name = "URL")]
    pub auth_resource: Option<String>,
}

impl AuthConfig {
    pub(crate) fn mode(&self, listen: SocketAddr) -> AuthMode {
        self.auth.unwrap_or(if listen.ip().is_loopback() { AuthMode::Off } else { AuthMode::Jwt })
    }

    /// How long tokens may be valid, at most.
    pub fn max_lifetime(&self) -> Duration {
        Duration::from_secs(u64::from(self.auth_max_token_hours) * 3600)
    }

    /// How tokens are checked; `None` if reading is open. `A` has the option `--api-listen`.
    pub(crate) fn check<A: Args>(&self, listen: SocketAddr) -> Result<Option<TokenCheck>, Vec<Mistake>> {
        let mode = self.mode(listen);
        if mode == AuthMode::Off {
            return Ok(None);
        }
        let mut check = Check::<Self>::default();
        for name in &self.auth_oidc_issuers {
            let url = Url::parse(name).ok().filter(|url| url.query().is_none() && url.fragment().is_none());
            check.option(
                "auth-oidc-issuers",
                url.as_ref().is_some_and(issuer::is_trusted),
                without_user(name),
                TRUSTED,
            );
            let is_other = self.auth_issuer.as_ref() != Some(name);
            check.option("auth-oidc-issuers", is_other, "--auth-issuer among them", "one of them");
        }
        let mut issuers: Vec<IssuerConfig> =
            self.auth_oidc_issuers.iter().map(|name| IssuerConfig { name: name.clone(), jwks: None }).collect();
        if let Some(url) = &self.auth_jwks_url {
            check.option("auth-jwks-url", issuer::is_trusted(url), without_user(url.as_str()), TRUSTED);
            check.option("auth-issuer", self.auth_issuer.is_some(), "not given beside --auth-jwks-url", "an issuer");
            issuers.push(IssuerConfig { name: self.auth_issuer.clone().unwrap_or_default(), jwks: Some(url.clone()) });
        }
        let resource = self.auth_resource.as_ref().map(|resource| {
            let url = Url::parse(resource).ok().filter(issuer::is_trusted);
            let is_origin = url.is_some_and(|url| url.origin().ascii_serialization() == *resource);
            let expected = "scheme, host and port only, as https://vigie.example";
            check.option("auth-resource", is_origin, without_user(resource), expected);
            resource.clone()
        });
        let roots = check.part(self.roots()).unwrap_or_default();
        let mut key = check.part(self.key::<A>(listen, !issuers.is_empty()));
        if mode == AuthMode::Keys {
            (key, issuers) = (Some(None), Vec::new());
        }
        let expected = Expected {
            issuer: self.auth_issuer.clone(),
            audience: self.auth_audience.clone(),
            lifetime: self.max_lifetime(),
        };
        check.finish(key.map(|key| Some(TokenCheck { key, expected, issuers, roots, resource })))
    }

    /// The key that is no issuer's on the network.
    fn key<A: Args>(&self, listen: SocketAddr, has_issuers: bool) -> Result<Option<VerifyingKey>, Vec<Mistake>> {
        let secret = self.auth_secret.read()?;
        let given = [secret.is_some(), self.auth_public_key_file.is_some(), self.auth_jwks_url.is_some()];
        if given.into_iter().filter(|&given| given).count() > 1 {
            let found = "more than one of --auth-secret (VIGIE_AUTH_SECRET), it, and --auth-jwks-url";
            return Err(vec![Mistake::of::<Self>(FILE, found, "one of them")]);
        }
        if let Some(TokenSecret(secret)) = secret {
            return Ok(Some(VerifyingKey::secret(secret.reveal().as_bytes())));
        }
        if let Some(path) = &self.auth_public_key_file {
            let read = std::fs::read(path).map_err(|error| error.to_string());
            return read.and_then(|pem| VerifyingKey::pem(&pem)).map(Some).map_err(|error| {
                let found = format!("{}: {error}", path.display());
                vec![Mistake::of::<Self>(FILE, found, "a readable public key in PEM")]
            });
        }
        match self.auth {
            _ if has_issuers => Ok(None),
            Some(AuthMode::Keys) => Ok(None),
            Some(_) => Err(vec![Mistake::of::<Self>("auth", "jwt without a key", format!("{KEYS}, or keys"))]),
            None => {
                let found = format!("{listen} is not loopback, so readers need tokens");
                Err(vec![Mistake::of::<A>("api-listen", found, format!("{KEYS}, or --auth keys or off"))])
            }
        }
    }

    fn roots(&self) -> Result<Vec<Certificate>, Vec<Mistake>> {
        let Some(file) = &self.auth_ca_file else { return Ok(Vec::new()) };
        let read = std::fs::read(file).map_err(|error| error.to_string());
        let roots = read.and_then(|pem| Certificate::from_pem_bundle(&pem).map_err(|error| error.to_string()));
        let found = roots.as_ref().err().map_or("no certificate", String::as_str);
        let mistake = Mistake::of::<Self>("auth-ca-file", format!("{}: {found}", file.display()), "a file in PEM");
        roots.ok().filter(|roots| !roots.is_empty()).ok_or_else(|| vec![mistake])
    }
}

/// What a mistake shows of a URL: there may be a password in it.
fn without_user(url: &str) -> &str {
    url.rsplit('@').next().unwrap_or_default()
}

/// The shared secret of HS256 tokens.
#[derive(Clone, Debug)]
pub struct TokenSecret(pub(super) Secret);

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
    /// Of the tokens that no issuer on the network has issued.
    pub(super) key: Option<VerifyingKey>,
    pub(super) expected: Expected,
    pub(super) issuers: Vec<IssuerConfig>,
    /// Who signs the certificates of issuers; empty: whom the system trusts.
    pub(super) roots: Vec<Certificate>,
    /// Our URL.
    pub(super) resource: Option<String>,
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        auth: AuthConfig,
    }

    fn mistakes(listen: &str, args: &[&str]) -> Vec<Mistake> {
        let Cli { auth } = Cli::parse_from(std::iter::once("api").chain(args.iter().copied()));
        auth.check::<crate::Config>(listen.parse().unwrap()).err().unwrap_or_default()
    }

    #[test]
    fn outside_loopback_a_key_is_needed() {
        let open = "0.0.0.0:8080";
        assert_eq!(mistakes("[::1]:8080", &[]), []);
        assert_eq!(mistakes(open, &[]).len(), 1);
        assert_eq!(mistakes(open, &["--auth=off"]), []);
        assert_eq!(mistakes(open, &["--auth=keys"]), []);
        assert_eq!(mistakes(open, &["--auth-secret=0123456789abcdef0123456789abcdef"]), []);
        let expected = Mistake::new("--auth-secret (VIGIE_AUTH_SECRET)", "5 bytes", "32 bytes or more");
        assert_eq!(mistakes(open, &["--auth-secret=short"]), [expected]);
    }

    #[test]
    fn keys_come_from_where_nobody_can_change_them() {
        let local = "127.0.0.1:8080";
        for good in [
            "https://a.example",
            "https://a.example/realms/b,https://c.example/",
            "http://127.0.0.1:9",
            "http://[::1]:9",
        ] {
            assert_eq!(mistakes(local, &["--auth=jwt", "--auth-oidc-issuers", good]), [], "{good}");
        }
        for bad in [
            "http://a.example",
            "ftp://a.example",
            "a.example",
            "https://me:hunter2@a.example",
            "http://127.0.0.1.example",
            "https://a.example?b=c",
        ] {
            assert_eq!(mistakes(local, &["--auth=jwt", "--auth-oidc-issuers", bad]).len(), 1, "{bad}");
        }
        let jwks = |args: &[&str]| mistakes(local, &[&["--auth=jwt"], args].concat()).len();
        assert_eq!(jwks(&["--auth-jwks-url=https://a.example/jwks", "--auth-issuer=a"]), 0);
        assert_eq!(jwks(&["--auth-jwks-url=https://a.example/jwks"]), 1);
        assert_eq!(jwks(&["--auth-jwks-url=http://a.example/jwks", "--auth-issuer=a"]), 1);
        let secret = "--auth-secret=0123456789abcdef0123456789abcdef";
        assert_eq!(jwks(&["--auth-jwks-url=https://a.example/jwks", "--auth-issuer=a", secret]), 1);
        assert_eq!(jwks(&["--auth-oidc-issuers=https://a.example", "--auth-issuer=https://a.example", secret]), 1);
        assert_eq!(jwks(&[secret, "--auth-resource=https://vigie.example"]), 0);
        assert_eq!(jwks(&[secret, "--auth-resource=https://vigie.example/api"]), 1);
        assert_eq!(jwks(&[secret, "--auth-ca-file=/nowhere"]), 1);
    }
}
