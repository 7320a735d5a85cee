//! Kafka by tokens of OAUTHBEARER, which another implementation issues
//! (`tests/python/oidc_provider.py`) and the broker's own code checks.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tokio::runtime::Handle;
use vigie_clock::{Clock, SystemClock};
use vigie_kafka_client::{Admin, Consumer, ConsumerOptions, Event, KafkaConfig, OutgoingRecord, Publisher, TopicSpec};
use vigie_stack::IssuerConfig;

use super::relay::{Face, Relay};
use super::{PATIENCE, World, kafka, ping, tells, trusting};

const CLIENT: &str = "confidential";
const SECRET: &str = "a-password-of-a-client";
const AUDIENCE: &str = "vigie-kafka";
const TOPIC: &str = "tokens";

/// Gives tokens for the audience that is asked for as scope.
pub(super) struct Issuer {
    url: String,
    process: Child,
}

impl Drop for Issuer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Issuer {
    pub(super) fn start() -> Self {
        let python = std::env::var_os("VIGIE_TEST_PYTHON").unwrap_or_else(|| "python3".into());
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/python/oidc_provider.py");
        let mut process = Command::new(python).arg("-B").arg(script).stdout(Stdio::piped()).spawn().unwrap();
        let mut url = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut url).unwrap();
        Self { url: url.trim().to_owned(), process }
    }

    pub(super) fn config(&self) -> IssuerConfig {
        IssuerConfig { jwks_url: format!("{}/keys", self.url), audience: AUDIENCE.to_owned() }
    }

    /// Sets what it is told to, and returns how many tokens it has issued.
    fn tell(&self, query: &str) -> u64 {
        let mut stream = TcpStream::connect(self.url.trim_start_matches("http://")).unwrap();
        write!(stream, "GET /user?{query} HTTP/1.0\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let json: serde_json::Value = serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap();
        json["issued"].as_u64().unwrap()
    }
}

fn by_token(world: &World, port: u16, audience: &str, secret: &Path) -> KafkaConfig {
    let options = [
        trusting(&world.authority),
        "--kafka-sasl-mechanism=OAUTHBEARER".to_owned(),
        format!("--kafka-sasl-oauth-token-url={}/token", world.issuer.url),
        format!("--kafka-sasl-oauth-client-id={CLIENT}"),
        format!("--kafka-sasl-oauth-client-secret-file={}", secret.display()),
        format!("--kafka-sasl-oauth-scope={audience}"),
        "--kafka-sasl-oauth-extensions=logicalCluster=lkc-1,identityPoolId=pool-2".to_owned(),
    ];
    let kafka = kafka(port, "sasl_ssl", &options);
    assert!(!format!("{kafka:?}").contains(SECRET));
    kafka
}

pub(super) async fn kafka_is_reached_by_token(world: &World) {
    let (port, secret) = (world.ports.kafka_sasl_ssl, world.dir.path().join("client-secret"));
    std::fs::write(&secret, format!("{SECRET}\n")).unwrap();

    // Token and extensions are sent as RFC 7628 has them.
    let face = Face::TlsToTls(world.server.server(), world.authority.client());
    let relay = Relay::to(port, face).await;
    ping(&by_token(world, relay.port, AUDIENCE, &secret), PATIENCE).await.unwrap();
    assert!(relay.has_heard("n,,\x01auth=Bearer ey"));
    assert!(relay.has_heard("\x01logicalCluster=lkc-1\x01identityPoolId=pool-2\x01\x01"));

    // A token for another audience, one that has expired, a wrong secret, an endpoint that is away.
    let error = ping(&by_token(world, port, "another", &secret), PATIENCE).await.unwrap_err();
    tells(&error, &["invalid_token", "--kafka-sasl-oauth-scope", "audience"]);
    world.issuer.tell("lifetime=-60");
    let error = ping(&by_token(world, port, AUDIENCE, &secret), PATIENCE).await.unwrap_err();
    tells(&error, &["no token from http://127.0.0.1:", "the token has expired at "]);
    world.issuer.tell("lifetime=5");
    let wrong = world.dir.path().join("wrong-secret");
    std::fs::write(&wrong, "another-password").unwrap();
    let error = ping(&by_token(world, port, AUDIENCE, &wrong), PATIENCE).await.unwrap_err();
    tells(&error, &["no token from ", "401", "invalid_client", "--kafka-sasl-oauth-client-secret"]);
    assert!(!error.contains("another-password"), "{error}");

    let kafka = by_token(world, port, AUDIENCE, &secret);
    tokio::task::block_in_place(|| a_running_consumer_outlives_its_tokens(world, &kafka, &secret));
}

/// The broker ends a connection when its token expires, after 5 s here, unless it is shown another.
fn a_running_consumer_outlives_its_tokens(world: &World, kafka: &KafkaConfig, secret: &Path) {
    let clock = SystemClock::default();
    let spec = TopicSpec { name: TOPIC.to_owned(), partitions: 1, replication: 1, config: [].into() };
    Admin::new(kafka).unwrap().create_topics(&[spec]).unwrap();
    let mut consumer = Consumer::new(kafka, &ConsumerOptions::new("tokens", [TOPIC])).unwrap();
    let publisher = Publisher::new(kafka, "tokens");
    let publish = |text: &str| {
        let record = OutgoingRecord::new(TOPIC, text.to_owned(), text.to_owned());
        Handle::current().block_on(publisher.publish(vec![record]))
    };
    let mut read = |text: &str| {
        let begun = clock.monotonic();
        loop {
            let events = consumer.poll(Duration::from_millis(100)).unwrap_or_else(|error| {
                // Without a token; never for good.
                assert!(error.is_retriable(), "{error}");
                Vec::new()
            });
            let is_record = |event: &Event| matches!(event, Event::Records(records) if records.iter().any(|r| r.value.as_deref() == Some(text.as_bytes())));
            if events.iter().any(is_record) {
                return;
            }
            assert!(clock.monotonic() - begun < PATIENCE, "{text:?} was not read");
        }
    };
    let before = world.issuer.tell("");
    let (mut round, begun) = (0, clock.monotonic());
    while world.issuer.tell("") < before + 2 {
        let text = format!("round {round}");
        publish(&text).unwrap();
        read(&text);
        round += 1;
        assert!(clock.monotonic() - begun < 2 * PATIENCE, "{round} rounds without a new token");
    }

    // The secret is changed at the issuer: nothing goes on without the new one, and all goes on
    // with it.
    std::fs::write(secret, "another-password").unwrap();
    let begun = clock.monotonic();
    while publish("refused").is_ok() {
        assert!(clock.monotonic() - begun < 2 * PATIENCE, "it goes on without a token");
    }
    std::fs::write(secret, SECRET).unwrap();
    let begun = clock.monotonic();
    while publish("back again").is_err() {
        assert!(clock.monotonic() - begun < 2 * PATIENCE, "it does not go on with a token");
    }
    read("back again");
}
