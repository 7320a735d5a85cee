//! Servers that speak TLS: whom we trust, what we send whom, and what is said of those we do not trust.

mod certificates;
mod relay;
mod tokens;

use std::time::Duration;

use clap::Parser;
use fred::clients::Client as RedisClient;
use fred::interfaces::ClientLike;
use fred::types::Builder;
use tokio_postgres::Client;
use vigie_daemon::{Context, SecretArg, ServiceError};
use vigie_kafka_client::{KafkaConfig, OutgoingRecord, Publisher, Start, read_to_end};
use vigie_schemas::{Codec, RegistryConfig, Topic};
use vigie_sinks::{BatchOptions, PostgresSinkConfig, Retention, run_postgres};
use vigie_stack::testing::own;
use vigie_stack::{Stack, StackConfig, TlsConfig, TlsPorts};
use vigie_stores::{PostgresUrl, RedisUrl};

use self::certificates::{Authority, Issued};
use self::relay::{Face, Relay};
use self::tokens::Issuer;
use crate::topics::create_topics;

const SECRET: &str = "hunter2hunter2";
const USER: &str = "remote";
const HOST: &str = "127.0.0.1";
const PATIENCE: Duration = Duration::from_secs(20);

/// Servers, and certificates for and against them.
struct World {
    stack: Stack,
    ports: TlsPorts,
    authority: Authority,
    stranger: Authority,
    client: Issued,
    server: Issued,
    expired: Issued,
    elsewhere: Issued,
    issuer: Issuer,
    dir: tempfile::TempDir,
}

impl World {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (authority, stranger) = (Authority::new(dir.path(), "ours"), Authority::new(dir.path(), "stranger"));
        let server = authority.issue("server", &[HOST]);
        let issuer = Issuer::start();
        let tls = TlsConfig {
            authority: authority.file.clone(),
            certificate: server.certificate.clone(),
            key: server.key.clone(),
            user: USER.to_owned(),
            password: SECRET.to_owned(),
            restricted: Vec::new(),
            issuer: Some(issuer.config()),
        };
        let stack = Stack::start(StackConfig { tls: Some(tls), ..own(&dir.path().join("stack")) }).await.unwrap();
        Self {
            ports: stack.tls_ports().unwrap(),
            client: authority.issue("certified", &[]),
            expired: authority.issue_expired("expired", &[HOST]),
            elsewhere: authority.issue("elsewhere", &["elsewhere.example"]),
            stack,
            authority,
            stranger,
            server,
            issuer,
            dir,
        }
    }
}

#[derive(Parser)]
struct Kafka {
    #[command(flatten)]
    kafka: KafkaConfig,
}

fn kafka(port: u16, protocol: &str, more: &[String]) -> KafkaConfig {
    let brokers = format!("--kafka-brokers={HOST}:{port}");
    let args = ["test".to_owned(), brokers, format!("--kafka-security-protocol={protocol}")];
    let kafka = Kafka::parse_from(args.iter().chain(more)).kafka;
    kafka.check().unwrap();
    kafka
}

fn trusting(authority: &Authority) -> String {
    format!("--kafka-ssl-ca-file={}", authority.file.display())
}

fn named(mechanism: &str, password: &str) -> [String; 3] {
    [
        format!("--kafka-sasl-mechanism={mechanism}"),
        format!("--kafka-sasl-username={USER}"),
        format!("--kafka-sasl-password={password}"),
    ]
}

async fn ping(kafka: &KafkaConfig, patience: Duration) -> Result<usize, String> {
    let kafka = kafka.clone();
    let pinged = tokio::task::spawn_blocking(move || kafka.ping(patience)).await.unwrap();
    pinged.map_err(|error| {
        assert!(error.is_unavailable(), "{error}");
        error.to_string()
    })
}

/// `error` says all of `parts`, and not the secret.
fn tells(error: &str, parts: &[&str]) {
    assert!(parts.iter().all(|part| error.contains(part)), "{error:?} without {parts:?}");
    assert!(!error.contains(SECRET), "{error}");
}

async fn kafka_is_reached_by_certificate_and_by_password(world: &World) {
    let ca = trusting(&world.authority);
    let certified = kafka(
        world.ports.kafka_ssl,
        "SSL",
        &[
            ca.clone(),
            format!("--kafka-ssl-certificate-file={}", world.client.certificate.display()),
            format!("--kafka-ssl-key-file={}", world.client.key.display()),
        ],
    );
    create_topics(&certified).await;
    let topic = Topic::InsightsAlerts.name();
    for mechanism in ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] {
        let options = [&[ca.clone()][..], &named(mechanism, SECRET)].concat();
        let named = kafka(world.ports.kafka_sasl_ssl, "SASL_SSL", &options);
        let record = OutgoingRecord::new(topic, mechanism, mechanism);
        Publisher::new(&named, mechanism).publish(vec![record]).await.unwrap();
    }
    let read = move || read_to_end(&certified, topic, &Start::Beginning).unwrap().filter(Result::is_ok).count();
    assert_eq!(tokio::task::spawn_blocking(read).await.unwrap(), 3);
}

async fn kafka_that_is_not_trusted_hears_no_secret(world: &World) {
    let (ca, ports) = (trusting(&world.authority), world.ports);
    let options = [&[ca.clone()][..], &named("PLAIN", SECRET)].concat();
    let strange = [&[trusting(&world.stranger)][..], &named("PLAIN", SECRET)].concat();
    for (face, options) in
        [(world.server.server(), &strange), (world.expired.server(), &options), (world.elsewhere.server(), &options)]
    {
        let relay = Relay::to(ports.kafka_sasl_ssl, Face::Tls(face)).await;
        let error = ping(&kafka(relay.port, "sasl_ssl", options), PATIENCE).await.unwrap_err();
        tells(&error, &["certificate verify failed", "--kafka-security-protocol is sasl_ssl", "--kafka-ssl-ca-file"]);
        assert!(!relay.is_silent() && !relay.has_heard(SECRET));
    }

    let plain: u16 = world.stack.endpoints().kafka_brokers.rsplit_once(':').unwrap().1.parse().unwrap();
    let relay = Relay::to(plain, Face::Plain).await;
    // It may be a broker that restarts: only the time tells.
    let error = ping(&kafka(relay.port, "sasl_ssl", &options), Duration::from_secs(2)).await.unwrap_err();
    tells(&error, &["PLAINTEXT broker listener?", "--kafka-security-protocol is sasl_ssl"]);
    assert!(!relay.is_silent() && !relay.has_heard(SECRET));

    let wrong = [&[ca.clone()][..], &named("SCRAM-SHA-256", "another")].concat();
    let error = ping(&kafka(ports.kafka_sasl_ssl, "sasl_ssl", &wrong), PATIENCE).await.unwrap_err();
    tells(&error, &["uthentication", "--kafka-sasl-password"]);
    let error = ping(&kafka(ports.kafka_ssl, "ssl", &[ca]), PATIENCE).await.unwrap_err();
    tells(&error, &["certificate", "--kafka-ssl-certificate-file"]);
}

fn postgres(user: &str, host: &str, port: u16, more: &str) -> String {
    format!("postgres://{user}:{SECRET}@{host}:{port}/vigie?{more}")
}

async fn connect(url: &str) -> Result<Client, String> {
    let (client, connection) = url.parse::<PostgresUrl>()?.connect("test").await.map_err(|error| {
        let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
        format!("{error}: {cause}")
    })?;
    tokio::spawn(connection);
    Ok(client)
}

/// How the server sees the connection: whether it is encrypted, and whose certificate it has.
async fn seen(client: &Client) -> (bool, Option<String>) {
    let sql = "SELECT ssl, client_dn FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
    let row = client.query_one(sql, &[]).await.unwrap();
    (row.get(0), row.get(1))
}

async fn postgres_is_reached_by_certificate_and_by_password(world: &World) {
    let url = &world.stack.endpoints().postgres_url;
    let port = url.parse::<tokio_postgres::Config>().unwrap().get_ports()[0];
    let admin = connect(&format!("{url}?sslmode=disable")).await.unwrap();
    assert_eq!(seen(&admin).await, (false, None));
    let roles = format!("CREATE ROLE certified LOGIN; CREATE ROLE {USER} LOGIN PASSWORD '{SECRET}'");
    admin.batch_execute(&roles).await.unwrap();

    let roots = format!("sslrootcert={}", world.authority.file.display());
    let Issued { certificate, key } = &world.client;
    let identity = format!("sslcert={}&sslkey={}", certificate.display(), key.display());
    let client = connect(&postgres("certified", HOST, port, &format!("sslmode=verify-full&{roots}&{identity}"))).await;
    assert_eq!(seen(&client.unwrap()).await, (true, Some("/CN=certified".to_owned())));
    for (host, options) in [
        (HOST, "sslmode=prefer"),
        (HOST, "sslmode=require"),
        (HOST, &format!("sslmode=verify-full&{roots}")),
        // Its certificate is not for that name.
        ("localhost", &format!("sslmode=verify-ca&{roots}")),
        ("localhost", &format!("sslmode=require&{roots}")),
    ] {
        assert!(seen(&connect(&postgres(USER, host, port, options)).await.unwrap()).await.0, "{host} {options}");
    }
}

async fn postgres_that_is_not_trusted_hears_no_secret(world: &World) {
    let url = &world.stack.endpoints().postgres_url;
    let port = url.parse::<tokio_postgres::Config>().unwrap().get_ports()[0];
    let roots = |authority: &Authority| format!("sslrootcert={}", authority.file.display());
    let (ours, strangers) = (roots(&world.authority), roots(&world.stranger));
    let right = || Face::PostgresTls(world.server.server());
    for (face, options, reason) in [
        (Face::PostgresTls(world.expired.server()), format!("sslmode=verify-ca&{ours}"), "expired"),
        (Face::PostgresTls(world.elsewhere.server()), format!("sslmode=verify-full&{ours}"), "not valid for name"),
        (right(), format!("sslmode=verify-full&{strangers}"), "UnknownIssuer"),
        (right(), format!("sslmode=verify-ca&{strangers}"), "UnknownIssuer"),
        (right(), format!("sslmode=require&{strangers}"), "UnknownIssuer"),
        (right(), format!("sslmode=prefer&{strangers}"), "UnknownIssuer"),
    ] {
        let relay = Relay::to(port, face).await;
        let error = connect(&postgres(USER, HOST, relay.port, &options)).await.unwrap_err();
        tells(&error, &[reason, &options]);
        assert!(!relay.is_silent() && !relay.has_heard(SECRET));
    }
    let clear = connect(&postgres(USER, HOST, port, "sslmode=disable")).await.unwrap_err();
    assert!(clear.contains("pg_hba.conf rejects connection"), "{clear}");

    // A service says the same, and with which options.
    let relay = Relay::to(port, Face::PostgresPlain).await;
    let options = format!("sslmode=verify-full&{ours}");
    let config = PostgresSinkConfig {
        kafka: KafkaConfig::new("127.0.0.1:1", ""),
        registry: RegistryConfig::at("http://127.0.0.1:1"),
        postgres_url: SecretArg::text(postgres(USER, HOST, relay.port, &options)),
        no_migrate: false,
        keep: Retention::default(),
        batch: BatchOptions::default(),
    };
    let error = run_postgres(config.check().unwrap(), Context::system()).await.unwrap_err();
    assert!(matches!(error, ServiceError::Unavailable { .. }), "{error}");
    tells(&error.to_string(), &["server does not support TLS", &options]);
    assert!(!relay.is_silent() && !relay.has_heard(SECRET));
}

async fn redis(scheme: &str, host: &str, port: u16, authority: &Authority) -> Result<RedisClient, String> {
    let url = format!("{scheme}://{USER}:{SECRET}@{host}:{port}/0?ssl_ca_certs={}", authority.file.display());
    let url: RedisUrl = url.parse()?;
    let client = Builder::from_config(url.to_config()).build().unwrap();
    client.init().await.map_err(|error| format!("{url}: {error}"))?;
    Ok(client)
}

async fn redis_is_reached_by_name_and_otherwise_hears_no_secret(world: &World) {
    let port = world.ports.redis;
    let client = redis("rediss", HOST, port, &world.authority).await.unwrap();
    assert_eq!(client.custom::<String, _>(fred::cmd!("ACL"), vec!["WHOAMI"]).await.unwrap(), USER);
    client.quit().await.unwrap();

    let plain = world.stack.endpoints().redis_url.rsplit_once(':').unwrap().1.parse().unwrap();
    for (face, server, authority, reason) in [
        (Face::Tls(world.expired.server()), port, &world.authority, "Expired"),
        (Face::Tls(world.elsewhere.server()), port, &world.authority, "NotValidForName"),
        (Face::Tls(world.server.server()), port, &world.stranger, "UnknownIssuer"),
        (Face::Plain, plain, &world.authority, "rediss://"),
    ] {
        let relay = Relay::to(server, face).await;
        let error = redis("rediss", HOST, relay.port, authority).await.unwrap_err();
        tells(&error, &[reason]);
        assert!(!relay.is_silent() && !relay.has_heard(SECRET));
    }
}

#[derive(Parser)]
struct Registry {
    #[command(flatten)]
    registry: RegistryConfig,
}

async fn registry_hears_who_we_are_once_it_is_trusted(world: &World) {
    let port = world.stack.endpoints().registry_url.rsplit_once(':').unwrap().1.parse().unwrap();
    let names: [&[&str]; 2] = [&["username=me", "password=hunter2hunter2"], &["token=hunter2hunter2"]];
    for (name, sent) in names.iter().zip(["Basic bWU6aHVudGVyMmh1bnRlcjI=", &format!("Bearer {SECRET}")]) {
        for (face, authority, reason) in [
            (world.server.server(), &world.authority, None),
            (world.server.server(), &world.stranger, Some("UnknownIssuer")),
            (world.expired.server(), &world.authority, Some("expired")),
            (world.elsewhere.server(), &world.authority, Some("not valid for name")),
        ] {
            let relay = Relay::to(port, Face::Tls(face)).await;
            let where_ =
                [format!("url=https://{HOST}:{}", relay.port), format!("ca-file={}", authority.file.display())];
            let args = where_.iter().map(String::as_str).chain(name.iter().copied());
            let args = args.map(|arg| format!("--schema-registry-{arg}"));
            let registry = Registry::parse_from(std::iter::once("test".to_owned()).chain(args)).registry;
            registry.check().unwrap();
            match (Codec::connect(&registry, "").await, reason) {
                (Ok(_), None) => assert!(relay.has_heard(sent)),
                (Err(error), Some(reason)) => {
                    tells(&error.to_string(), &[reason, "--schema-registry-ca-file"]);
                    assert!(!relay.is_silent() && !relay.has_heard(sent));
                }
                (outcome, reason) => panic!("{outcome:?}, expected {reason:?}"),
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_are_spoken_to_in_secret_and_hear_no_secret_unless_they_are_trusted() {
    let world = World::new().await;
    postgres_is_reached_by_certificate_and_by_password(&world).await;
    postgres_that_is_not_trusted_hears_no_secret(&world).await;
    redis_is_reached_by_name_and_otherwise_hears_no_secret(&world).await;
    registry_hears_who_we_are_once_it_is_trusted(&world).await;
    kafka_is_reached_by_certificate_and_by_password(&world).await;
    kafka_that_is_not_trusted_hears_no_secret(&world).await;
    tokens::kafka_is_reached_by_token(&world).await;
    world.stack.stop().await;
}
