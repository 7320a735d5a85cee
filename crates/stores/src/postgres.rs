//! Where PostgreSQL is.

pub(crate) mod connector;
mod parameters;

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use rustls::ClientConfig;
use tokio_postgres::config::{ChannelBinding, Host, SslMode};
use tokio_postgres::{Client, Config, Connection, Error, Socket};
use vigie_daemon::FromSecret;

use self::connector::{Connector, PostgresStream};
use self::parameters::{Parameters, split};
use crate::tls::{Identity, Roots, Trust, client};

/// A PostgreSQL connection URL or key-value string that has been parsed. Prints without its password.
#[derive(Clone)]
pub struct PostgresUrl {
    config: Config,
    tls: Tls,
}

/// What the connection string says of TLS.
#[derive(Clone, Debug)]
pub(crate) struct Tls {
    /// As it was given, for messages; empty if nothing was said.
    options: String,
    trust: Trust,
    identity: Option<Identity>,
}

impl Tls {
    fn client(&self) -> Result<ClientConfig, String> {
        client(&self.trust, self.identity.as_ref())
    }
}

impl fmt::Display for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.options)
    }
}

impl PostgresUrl {
    /// For a connection, which bears `name` in the server's lists, with [`Self::connector`].
    pub fn to_config(&self, name: &str) -> Config {
        let mut config = self.config.clone();
        config.application_name(name);
        config.connect_timeout(Duration::from_secs(5)).tcp_user_timeout(Duration::from_secs(20));
        config.keepalives_idle(Duration::from_secs(15));
        config
    }

    /// What encrypts a connection.
    pub fn connector(&self) -> Connector {
        Connector { tls: self.tls.clone() }
    }

    /// Opens a connection, which bears `name` in the server's lists.
    ///
    /// # Errors
    /// If the server cannot be reached, or is not what the URL says, or refuses.
    pub async fn connect(&self, name: &str) -> Result<(Client, Connection<Socket, PostgresStream<Socket>>), Error> {
        self.to_config(name).connect(self.connector()).await
    }
}

impl FromSecret for PostgresUrl {
    const LONG: &'static str = "postgres-url";
    const VARIABLE: &'static str = "VIGIE_POSTGRES_URL";
    const HELP: &'static str = "PostgreSQL database, as postgres://user:password@host:port/database, encrypted with \
                                ?sslmode=verify-full&sslrootcert=FILE [default of services: \
                                postgres://vigie@127.0.0.1:5432/vigie]";
    const EXPECTED: &'static str = "postgres://user:password@host:port/database";

    fn from_secret(text: &str) -> Result<Self, String> {
        let wrong = || "not a URL of PostgreSQL, or one with an option that is not known".to_owned();
        let (ours, rest) = split(text).ok_or_else(wrong)?;
        let mut config: Config = rest.parse().map_err(|_| wrong())?;
        if config.get_hosts().is_empty() {
            return Err("it names no host".to_owned());
        }
        if config.get_channel_binding() == ChannelBinding::Require {
            return Err("channel_binding=require, which is not supported".to_owned());
        }
        let (mode, tls) = tls(ours)?;
        config.ssl_mode(mode);
        // Mistakes in the files are found now.
        tls.client()?;
        Ok(Self { config, tls })
    }
}

/// The modes as libpq has them: <https://www.postgresql.org/docs/current/libpq-ssl.html>
fn tls(given: Parameters) -> Result<(SslMode, Tls), String> {
    let shown = [("sslmode", &given.mode), ("sslrootcert", &given.roots), ("sslcert", &given.certificate)];
    let shown = shown.iter().filter_map(|(name, value)| Some(format!("{name}={}", value.as_deref()?)));
    let options = shown.collect::<Vec<_>>().join("&");
    let roots = match given.roots.as_deref() {
        Some("system") => Some(Roots::System),
        file => file.map(|file| Roots::File(file.into())),
    };
    let strong = if roots == Some(Roots::System) { "verify-full" } else { "prefer" };
    let mode = given.mode.as_deref().unwrap_or(strong);
    if roots == Some(Roots::System) && mode != strong {
        return Err(format!("sslmode={mode} with sslrootcert=system, which takes verify-full"));
    }
    let (mode, trust) = match (mode, roots) {
        ("disable", _) => (SslMode::Disable, Trust::Anyone),
        ("prefer", roots) => (SslMode::Prefer, roots.map_or(Trust::Anyone, Trust::Signed)),
        ("require", roots) => (SslMode::Require, roots.map_or(Trust::Anyone, Trust::Signed)),
        ("verify-ca", Some(roots)) => (SslMode::Require, Trust::Signed(roots)),
        ("verify-full", Some(roots)) => (SslMode::Require, Trust::Named(roots)),
        ("verify-ca" | "verify-full", None) => {
            return Err(format!("sslmode={mode} without sslrootcert=FILE, or system"));
        }
        _ => return Err("an sslmode other than disable, prefer, require, verify-ca and verify-full".to_owned()),
    };
    let identity = match (given.certificate, given.key) {
        (Some(certificate), Some(key)) => {
            Some(Identity { certificate: PathBuf::from(certificate), key: PathBuf::from(key) })
        }
        (None, None) => None,
        _ => return Err("one of sslcert and sslkey without the other".to_owned()),
    };
    Ok((mode, Tls { options, trust, identity }))
}

impl Default for PostgresUrl {
    fn default() -> Self {
        let mut config = Config::new();
        config.user("vigie").host("127.0.0.1").port(5432).dbname("vigie");
        Self { config, tls: Tls { options: String::new(), trust: Trust::Anyone, identity: None } }
    }
}

address!(PostgresUrl);

impl fmt::Display for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ports = self.config.get_ports();
        let hosts = self.config.get_hosts().iter().enumerate().map(|(i, host)| {
            let port = ports.get(i).or(ports.first()).map(|port| format!(":{port}")).unwrap_or_default();
            match host {
                Host::Tcp(name) => name.clone() + &port,
                Host::Unix(path) => path.display().to_string() + &port,
            }
        });
        let (hosts, database) = (hosts.collect::<Vec<_>>().join(","), self.config.get_dbname().unwrap_or_default());
        write!(f, "postgres://{hosts}/{database}")?;
        if self.tls.options.is_empty() { Ok(()) } else { write!(f, "?{}", self.tls) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_never_prints_its_password() {
        let url: PostgresUrl = "postgres://vigie:hunter2@db.example:5433/insights?sslmode=require".parse().unwrap();
        let shown = "postgres://db.example:5433/insights?sslmode=require";
        assert_eq!(format!("{url:?} {url} {:?}", url.connector()).matches("hunter2").count(), 0);
        assert_eq!(format!("{url:?} {url}"), format!("{shown} {shown}"));
    }

    #[test]
    fn what_cannot_be_honoured_is_refused_without_repeating_it() {
        for (text, reason) in [
            ("http://user:hunter2@host", "not a URL"),
            ("user=u password=hunter2", "it names no host"),
            ("postgres://user:hunter2@host?sslcrl=/f", "not a URL of PostgreSQL, or one with an option"),
            ("postgres://user:hunter2@host?sslmode=allow", "an sslmode other than"),
            ("postgres://user:hunter2@host?sslmode=verify-full", "sslmode=verify-full without sslrootcert"),
            ("postgres://user:hunter2@host?sslmode=require&sslrootcert=system", "sslmode=require with"),
            ("postgres://user:hunter2@host?sslcert=/c", "one of sslcert and sslkey"),
            ("postgres://user:hunter2@host?channel_binding=require", "channel_binding=require"),
            ("host=h password=hunter2 sslmode=verify-ca sslrootcert=/no/ca.pem", "/no/ca.pem: "),
        ] {
            let error = text.parse::<PostgresUrl>().unwrap_err();
            assert!(error.starts_with(reason) && error.contains("expected postgres://"), "{error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn each_mode_checks_what_libpq_checks() {
        let tls = |mode: &str, roots: Option<&str>| {
            let given =
                Parameters { mode: Some(mode.to_owned()), roots: roots.map(str::to_owned), ..Parameters::default() };
            let (mode, tls) = tls(given).unwrap();
            (mode, tls.trust)
        };
        let roots = || Roots::File("/ca".into());
        for (mode, roots, expected) in [
            ("disable", Some("/ca"), (SslMode::Disable, Trust::Anyone)),
            ("prefer", None, (SslMode::Prefer, Trust::Anyone)),
            ("prefer", Some("/ca"), (SslMode::Prefer, Trust::Signed(roots()))),
            ("require", None, (SslMode::Require, Trust::Anyone)),
            ("require", Some("/ca"), (SslMode::Require, Trust::Signed(roots()))),
            ("verify-ca", Some("/ca"), (SslMode::Require, Trust::Signed(roots()))),
            ("verify-full", Some("/ca"), (SslMode::Require, Trust::Named(roots()))),
            ("verify-full", Some("system"), (SslMode::Require, Trust::Named(Roots::System))),
        ] {
            assert_eq!(tls(mode, roots), expected, "{mode}");
        }
    }
}
