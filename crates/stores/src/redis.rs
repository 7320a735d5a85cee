//! Where Redis is.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use fred::types::config::{Config, TlsConnector};
use url::Url;
use vigie_daemon::FromSecret;

use crate::tls::{Identity, Roots, Trust, client};

const ROOTS: &str = "ssl_ca_certs";
const CERTIFICATE: &str = "ssl_certfile";
const KEY: &str = "ssl_keyfile";

/// A Redis URL that has been parsed. Prints without its password.
#[derive(Clone, Default)]
pub struct RedisUrl {
    config: Config,
}

impl RedisUrl {
    /// For a connection.
    pub fn to_config(&self) -> Config {
        self.config.clone()
    }
}

impl FromSecret for RedisUrl {
    const LONG: &'static str = "redis-url";
    const VARIABLE: &'static str = "VIGIE_REDIS_URL";
    const HELP: &'static str = "Redis database, as redis://user:password@host:port/database, or \
                                rediss://...[?ssl_ca_certs=FILE] encrypted [default: redis://127.0.0.1:6379]";
    const EXPECTED: &'static str = "redis:// or rediss:// and user:password@host:port/database";

    fn from_secret(text: &str) -> Result<Self, String> {
        let wrong = || "not a URL of Redis".to_owned();
        let mut url = Url::parse(text).map_err(|_| wrong())?;
        let is_encrypted = match url.scheme() {
            "redis" => false,
            "rediss" => true,
            _ => return Err(wrong()),
        };
        let (mut roots, mut certificate, mut key) = (None, None, None);
        for (name, value) in url.query_pairs() {
            let place = match &*name {
                ROOTS => &mut roots,
                CERTIFICATE => &mut certificate,
                KEY => &mut key,
                _ => return Err("an option in it that is not known".to_owned()),
            };
            if !is_encrypted {
                return Err(format!("{name} with redis://, which is in clear"));
            }
            *place = Some(PathBuf::from(value.into_owned()));
        }
        url.set_query(None);
        // Left alone, fred would trust the system's authorities beside ours.
        url.set_scheme("redis").map_err(|()| wrong())?;
        let mut config = Config::from_url_centralized(url.as_str()).map_err(|_| wrong())?;
        if is_encrypted {
            let identity = match (certificate, key) {
                (Some(certificate), Some(key)) => Some(Identity { certificate, key }),
                (None, None) => None,
                _ => return Err(format!("one of {CERTIFICATE} and {KEY} without the other")),
            };
            let trust = Trust::Named(roots.map_or(Roots::System, Roots::File));
            let tls = tokio_rustls::TlsConnector::from(Arc::new(client(&trust, identity.as_ref())?));
            config.tls = Some(TlsConnector::Rustls(tls).into());
        }
        Ok(Self { config })
    }
}

address!(RedisUrl);

impl fmt::Display for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.config.uses_tls() { "rediss" } else { "redis" };
        let hosts = self.config.server.hosts();
        let hosts: Vec<String> = hosts.iter().map(|server| format!("{}:{}", server.host, server.port)).collect();
        write!(f, "{scheme}://{}/{}", hosts.join(","), self.config.database.unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_never_prints_its_password() {
        let url: RedisUrl = "redis://vigie:hunter2@cache.example:6380/2".parse().unwrap();
        assert_eq!(format!("{url:?} {url}"), "redis://cache.example:6380/2 redis://cache.example:6380/2");
    }

    #[test]
    fn what_cannot_be_honoured_is_refused_without_repeating_it() {
        for (text, reason) in [
            ("http://user:hunter2@host", "not a URL of Redis"),
            ("redis-cluster://user:hunter2@host", "not a URL of Redis"),
            ("rediss:/user:hunter2@host", "not a URL of Redis"),
            ("redis://user:hunter2@host/0?ssl_ca_certs=/ca.pem", "ssl_ca_certs with redis://, which is in clear"),
            ("rediss://user:hunter2@host/0?ssl=hunter2", "an option in it that is not known"),
            ("rediss://user:hunter2@host/0?ssl_certfile=/c.pem", "one of ssl_certfile and ssl_keyfile"),
            ("rediss://user:hunter2@host/0?ssl_ca_certs=/no/ca.pem", "/no/ca.pem: "),
        ] {
            let error = text.parse::<RedisUrl>().unwrap_err();
            assert!(error.starts_with(reason) && error.contains("expected redis://"), "{error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn rediss_is_encrypted_and_says_so() {
        let dir = tempfile::tempdir().unwrap();
        let roots = dir.path().join("ca.pem");
        let authority = rcgen::generate_simple_self_signed(["ca".to_owned()]).unwrap();
        std::fs::write(&roots, authority.cert.pem()).unwrap();
        let text = format!("rediss://vigie:hunter2@cache.example/?ssl_ca_certs={}", roots.display());
        let url: RedisUrl = text.parse().unwrap();
        assert!(url.to_config().uses_tls());
        assert_eq!(url.to_string(), "rediss://cache.example:6379/0");
    }
}
