//! How the way to the brokers is protected: encryption, certificates, and who we are.
//!
//! The settings are librdkafka's: <https://github.com/confluentinc/librdkafka/blob/master/CONFIGURATION.md>

use std::fs::File;
use std::path::PathBuf;

use clap::ValueEnum;
use rdkafka::ClientConfig;
use vigie_daemon::{Check, FromSecret, Mistake, Secret, SecretArg};

use crate::config::oauth::KafkaOAuth;
use crate::login::Login;

/// What a listener of the brokers speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum SecurityProtocol {
    /// In clear, without a name.
    #[default]
    Plaintext,
    /// Encrypted.
    Ssl,
    /// In clear, with a name.
    SaslPlaintext,
    /// Encrypted, with a name.
    SaslSsl,
}

impl SecurityProtocol {
    fn is_encrypted(self) -> bool {
        matches!(self, Self::Ssl | Self::SaslSsl)
    }

    fn has_name(self) -> bool {
        matches!(self, Self::SaslPlaintext | Self::SaslSsl)
    }
}

/// How a client proves its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SaslMechanism {
    /// The password itself is sent.
    #[value(name = "PLAIN")]
    Plain,
    /// Both sides prove that they know the password (RFC 7677).
    #[value(name = "SCRAM-SHA-256")]
    ScramSha256,
    /// As SCRAM-SHA-256, with SHA-512.
    #[value(name = "SCRAM-SHA-512")]
    ScramSha512,
    /// A token, from a server that gives it for a secret (RFC 7628, RFC 6749 section 4.4).
    #[value(name = "OAUTHBEARER")]
    OAuthBearer,
}

/// The name on the command line, which is also librdkafka's.
fn name(value: impl ValueEnum) -> String {
    value.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
}

/// How the way to the brokers is protected.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct KafkaSecurity {
    /// What the brokers' listener speaks, as Kafka's security.protocol
    #[arg(
        long = "kafka-security-protocol",
        env = "VIGIE_KAFKA_SECURITY_PROTOCOL",
        value_enum,
        ignore_case = true,
        default_value_t
    )]
    pub kafka_security_protocol: SecurityProtocol,
    /// PEM file of the authorities that sign the brokers' certificates [default: those that the system trusts]
    #[arg(long = "kafka-ssl-ca-file", env = "VIGIE_KAFKA_SSL_CA_FILE", value_name = "FILE")]
    pub kafka_ssl_ca_file: Option<PathBuf>,
    /// PEM file of our certificate and its chain, for brokers that ask for one
    #[arg(long = "kafka-ssl-certificate-file", env = "VIGIE_KAFKA_SSL_CERTIFICATE_FILE", value_name = "FILE")]
    pub kafka_ssl_certificate_file: Option<PathBuf>,
    /// PEM file of that certificate's private key
    #[arg(long = "kafka-ssl-key-file", env = "VIGIE_KAFKA_SSL_KEY_FILE", value_name = "FILE")]
    pub kafka_ssl_key_file: Option<PathBuf>,
    /// What that key is encrypted with.
    #[command(flatten)]
    pub kafka_ssl_key_password: SecretArg<KeyPassword>,
    /// How we prove our name, with a protocol of SASL; PLAIN and OAUTHBEARER only where it is
    /// encrypted
    #[arg(long = "kafka-sasl-mechanism", env = "VIGIE_KAFKA_SASL_MECHANISM", value_enum, ignore_case = true)]
    pub kafka_sasl_mechanism: Option<SaslMechanism>,
    /// Our name at the brokers, with a protocol of SASL
    #[arg(long = "kafka-sasl-username", env = "VIGIE_KAFKA_SASL_USERNAME", value_name = "NAME")]
    pub kafka_sasl_username: Option<String>,
    /// The password of that name.
    #[command(flatten)]
    pub kafka_sasl_password: SecretArg<SaslPassword>,
    /// Where tokens come from, with OAUTHBEARER.
    #[command(flatten)]
    pub kafka_sasl_oauth: KafkaOAuth,
}

/// A password at the brokers.
pub struct SaslPassword(Secret);

impl FromSecret for SaslPassword {
    const LONG: &'static str = "kafka-sasl-password";
    const VARIABLE: &'static str = "VIGIE_KAFKA_SASL_PASSWORD";
    const HELP: &'static str = "Password of --kafka-sasl-username";
    const EXPECTED: &'static str = "a password";

    fn from_secret(text: &str) -> Result<Self, String> {
        read(text).map(Self)
    }
}

/// What a private key is encrypted with.
pub struct KeyPassword(Secret);

impl FromSecret for KeyPassword {
    const LONG: &'static str = "kafka-ssl-key-password";
    const VARIABLE: &'static str = "VIGIE_KAFKA_SSL_KEY_PASSWORD";
    const HELP: &'static str = "Password of --kafka-ssl-key-file, if that is encrypted";
    const EXPECTED: &'static str = "a password";

    fn from_secret(text: &str) -> Result<Self, String> {
        read(text).map(Self)
    }
}

fn read(text: &str) -> Result<Secret, String> {
    if text.is_empty() { Err("empty".to_owned()) } else { Ok(text.to_owned().into()) }
}

impl KafkaSecurity {
    /// Sets what librdkafka takes, from the files of secrets as they are now.
    pub(crate) fn set(&self, native: &mut ClientConfig) -> Result<(), Vec<Mistake>> {
        let mut check = Check::<Self>::default();
        let protocol = self.kafka_security_protocol;
        native.set("security.protocol", name(protocol));
        let files = [
            ("kafka-ssl-ca-file", "ssl.ca.location", &self.kafka_ssl_ca_file),
            ("kafka-ssl-certificate-file", "ssl.certificate.location", &self.kafka_ssl_certificate_file),
            ("kafka-ssl-key-file", "ssl.key.location", &self.kafka_ssl_key_file),
        ];
        if protocol.is_encrypted() {
            // OpenSSL is part of the binary, and does not know where this system keeps what it trusts.
            native.set("ssl.ca.location", "probe");
        }
        for (option, setting, file) in files {
            let Some(file) = file else { continue };
            let found = format!("given with --kafka-security-protocol {}", name(protocol));
            check.option(option, protocol.is_encrypted(), found, "ssl or sasl_ssl");
            if let Err(error) = File::open(file) {
                check.option(option, false, format!("{}: {error}", file.display()), "a file in PEM");
            }
            native.set(setting, file.to_string_lossy());
        }
        let is_pair = self.kafka_ssl_certificate_file.is_some() == self.kafka_ssl_key_file.is_some();
        check.option("kafka-ssl-key-file", is_pair, "one without the other", "it beside --kafka-ssl-certificate-file");
        if let Some(Some(KeyPassword(password))) = check.part(self.kafka_ssl_key_password.read()) {
            native.set("ssl.key.password", password.reveal());
        }
        self.set_name(&mut check, native);
        check.finish(Some(()))
    }

    fn set_name(&self, check: &mut Check<Self>, native: &mut ClientConfig) {
        let protocol = self.kafka_security_protocol;
        let (mechanism, username) = (self.kafka_sasl_mechanism, self.kafka_sasl_username.as_deref());
        let password = check.part(self.kafka_sasl_password.read()).flatten();
        if !protocol.has_name() {
            let is_absent = mechanism.is_none() && username.is_none() && self.kafka_sasl_password.is_absent();
            let is_absent = is_absent && self.kafka_sasl_oauth.is_absent();
            let found = format!("{} beside options of SASL", name(protocol));
            check.option("kafka-security-protocol", is_absent, found, "sasl_ssl");
            return;
        }
        let expected = "PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 or OAUTHBEARER";
        check.option("kafka-sasl-mechanism", mechanism.is_some(), "not given", expected);
        let sent = match mechanism {
            _ if protocol.is_encrypted() => None,
            Some(SaslMechanism::Plain) => Some("PLAIN with sasl_plaintext, which sends the password in clear"),
            Some(SaslMechanism::OAuthBearer) => Some("OAUTHBEARER with sasl_plaintext, which sends the token in clear"),
            _ => None,
        };
        check.option("kafka-sasl-mechanism", sent.is_none(), sent.unwrap_or_default(), "sasl_ssl, or SCRAM");
        if mechanism == Some(SaslMechanism::OAuthBearer) {
            let is_absent = username.is_none() && self.kafka_sasl_password.is_absent();
            let expected = "--kafka-sasl-oauth-client-id and its secret";
            check.option("kafka-sasl-username", is_absent, "a name or password with OAUTHBEARER", expected);
            check.part(self.kafka_sasl_oauth.source());
            native.set("sasl.mechanism", "OAUTHBEARER");
            return;
        }
        let is_absent = self.kafka_sasl_oauth.is_absent();
        check.option("kafka-sasl-mechanism", is_absent, "another beside options of OAUTHBEARER", "OAUTHBEARER");
        check.option("kafka-sasl-username", username.is_some(), "not given", "the name at the brokers");
        if self.kafka_sasl_password.is_absent() {
            check.part::<SaslPassword>(self.kafka_sasl_password.require());
        }
        if let (Some(mechanism), Some(username), Some(SaslPassword(password))) = (mechanism, username, password) {
            native.set("sasl.mechanism", name(mechanism));
            native.set("sasl.username", username).set("sasl.password", password.reveal());
        }
    }

    /// What fetches our tokens, one for all clients of this configuration and its copies; `None` if
    /// we need none.
    pub(crate) fn login(&self) -> Result<Option<&Login>, Vec<Mistake>> {
        if self.has_token() { self.kafka_sasl_oauth.login().map(Some) } else { Ok(None) }
    }

    pub(crate) fn has_token(&self) -> bool {
        self.kafka_security_protocol.has_name() && self.kafka_sasl_mechanism == Some(SaslMechanism::OAuthBearer)
    }

    /// What may be wrong where a broker ended the conversation for `reason`; empty if that has nothing to do with security.
    pub(crate) fn hint(&self, reason: &str) -> String {
        let reason = reason.to_ascii_lowercase();
        let options = if reason.contains("certificate") {
            // OpenSSL does not tell librdkafka which of these it is.
            "--kafka-ssl-ca-file, --kafka-ssl-certificate-file, and whether the broker's is for this host and has not expired"
        } else if self.has_token()
            && (reason.contains("sasl") || reason.contains("authentication") || reason.contains("token"))
        {
            "--kafka-sasl-oauth-token-url, --kafka-sasl-oauth-scope, --kafka-sasl-oauth-extensions, and what issuer and audience the \
             broker expects"
        } else if reason.contains("sasl") || reason.contains("authentication") {
            "--kafka-sasl-mechanism, --kafka-sasl-username, --kafka-sasl-password"
        } else if reason.contains("ssl") || reason.contains("security.protocol") || reason.contains("disconnected") {
            "--kafka-security-protocol"
        } else {
            return String::new();
        };
        format!(" (--kafka-security-protocol is {}; see {options})", name(self.kafka_security_protocol))
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use crate::KafkaConfig;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        kafka: KafkaConfig,
    }

    fn check(args: &[&str]) -> Vec<String> {
        let args: Vec<String> = args.iter().map(|arg| format!("--kafka-{arg}")).collect();
        let kafka = Cli::parse_from([vec!["test".to_owned()], args].concat()).kafka;
        assert!(!format!("{kafka:?}").contains("hunter2"));
        let mistakes = kafka.check().err().unwrap_or_default();
        let lines: Vec<String> = mistakes.iter().map(ToString::to_string).collect();
        assert!(!lines.concat().contains("hunter2"), "{lines:?}");
        lines
    }

    #[test]
    fn what_cannot_be_honoured_is_refused_and_secrets_are_never_shown() {
        let dir = tempfile::tempdir().unwrap();
        let (secret, nonsense) = (dir.path().join("password"), dir.path().join("ca.pem"));
        std::fs::write(&secret, "hunter2\n").unwrap();
        std::fs::write(&nonsense, "hunter2").unwrap();
        let password = format!("sasl-password-file={}", secret.display());
        let scram = ["security-protocol=SASL_SSL", "sasl-mechanism=scram-sha-512", "sasl-username=vigie", &password];
        assert_eq!(check(&scram), [""; 0]);
        let bearer = ["security-protocol=sasl_ssl", "sasl-mechanism=oauthbearer"];
        let token = [
            "sasl-oauth-token-url=https://issuer.example/token".to_owned(),
            "sasl-oauth-client-id=vigie".to_owned(),
            format!("sasl-oauth-client-secret-file={}", secret.display()),
        ];
        let [url, id, client_secret] = token.each_ref().map(String::as_str);
        let extensions = "sasl-oauth-extensions=logicalCluster=lkc-1,identityPoolId=pool-1";
        assert_eq!(check(&[&bearer[..], &[url, id, client_secret, extensions]].concat()), [""; 0]);
        let ca = format!("ssl-ca-file={}", nonsense.display());
        for (args, expected) in [
            (&["sasl-password=hunter2"][..], "--kafka-security-protocol (VIGIE_KAFKA_SECURITY_PROTOCOL): plaintext"),
            (&[&ca], "--kafka-ssl-ca-file (VIGIE_KAFKA_SSL_CA_FILE): given with --kafka-security-protocol plaintext"),
            (&["security-protocol=ssl", &ca], "--kafka-security-protocol (VIGIE_KAFKA_SECURITY_PROTOCOL): ssl"),
            (
                &["security-protocol=ssl", "ssl-ca-file=/no/ca.pem"],
                "--kafka-ssl-ca-file (VIGIE_KAFKA_SSL_CA_FILE): /no/ca.pem: No such file",
            ),
            (
                &["security-protocol=ssl", "ssl-key-file=/dev/null"],
                "--kafka-ssl-key-file (VIGIE_KAFKA_SSL_KEY_FILE): one",
            ),
            (
                &["security-protocol=sasl_plaintext", "sasl-mechanism=PLAIN", "sasl-username=vigie", &password],
                "--kafka-sasl-mechanism (VIGIE_KAFKA_SASL_MECHANISM): PLAIN with sasl_plaintext",
            ),
            (
                &["security-protocol=sasl_ssl", "sasl-username=vigie", &password],
                "--kafka-sasl-mechanism (VIGIE_KAFKA_SASL_MECHANISM): not given",
            ),
            (
                &["security-protocol=sasl_plaintext", "sasl-mechanism=OAUTHBEARER", url, id, client_secret],
                "--kafka-sasl-mechanism (VIGIE_KAFKA_SASL_MECHANISM): OAUTHBEARER with sasl_plaintext",
            ),
            (
                &["security-protocol=sasl_ssl", "sasl-mechanism=OAUTHBEARER", id, client_secret],
                "--kafka-sasl-oauth-token-url (VIGIE_KAFKA_SASL_OAUTH_TOKEN_URL): not given",
            ),
            (
                &[&bearer[..], &[id, client_secret, "sasl-oauth-token-url=http://issuer.example/token"]].concat(),
                "--kafka-sasl-oauth-token-url (VIGIE_KAFKA_SASL_OAUTH_TOKEN_URL): http, which sends the secret in clear",
            ),
            (
                &[&bearer[..], &[url, id]].concat(),
                "--kafka-sasl-oauth-client-secret (VIGIE_KAFKA_SASL_OAUTH_CLIENT_SECRET): not given",
            ),
            (
                &[&bearer[..], &[url, id, client_secret, "sasl-oauth-extensions=logicalCluster=a,auth=b"]].concat(),
                "--kafka-sasl-oauth-extensions (VIGIE_KAFKA_SASL_OAUTH_EXTENSIONS): \"auth=b\"",
            ),
            (
                &[&bearer[..], &[url, id, client_secret, "sasl-username=vigie"]].concat(),
                "--kafka-sasl-username (VIGIE_KAFKA_SASL_USERNAME): a name or password with OAUTHBEARER",
            ),
            (
                &[&scram[..], &[client_secret]].concat(),
                "--kafka-sasl-mechanism (VIGIE_KAFKA_SASL_MECHANISM): another beside options of OAUTHBEARER",
            ),
            (&scram[..3], "--kafka-sasl-password (VIGIE_KAFKA_SASL_PASSWORD): not given"),
        ] {
            let lines = check(args);
            assert!(lines.len() == 1 && lines[0].starts_with(expected), "{args:?}: {lines:#?}");
        }
    }
}
