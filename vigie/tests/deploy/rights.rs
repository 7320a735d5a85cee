//! The services of the compose file, each with a user of its own that has the rights which `vigie topics acls` prints, and no others.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Command, Output};

use serde_json::Value;
use vigie_stack::testing::{TestStack, own};
use vigie_stack::{Stack, StackConfig, TlsConfig};

use crate::manifests::compose_containers;
use crate::processes::{Place, free_port, run};

const PREFIX: &str = "rights-";
const PASSWORD: &str = "the-password-of-all";

/// What a program prints that must succeed.
fn stdout(command: &mut Command) -> String {
    let Output { status, stdout, stderr } = command.output().unwrap();
    assert!(status.success(), "{command:?}: {}", String::from_utf8_lossy(&stderr));
    String::from_utf8(stdout).unwrap()
}

/// One CreateAcls request (API key 30, version 1; <https://kafka.apache.org/protocol#The_Messages_CreateAcls>).
fn create_acls(broker: &str, rules: &[Value]) {
    let text = |text: &str| [&u16::try_from(text.len()).unwrap().to_be_bytes()[..], text.as_bytes()].concat();
    let of = |names: &[(&str, u8)], name: &Value| names.iter().find(|(known, _)| name == known).unwrap().1;
    let operations = [("All", 2), ("Read", 3), ("Write", 4), ("Create", 5), ("Describe", 8), ("DescribeConfigs", 10)];
    let (mut count, mut body) = (0_u32, Vec::new());
    for rule in rules {
        for operation in rule["operations"].as_array().unwrap() {
            count += 1;
            body.push(of(&[("topic", 2), ("group", 3), ("transactional-id", 5)], &rule["resource"]));
            body.extend(text(rule["name"].as_str().unwrap()));
            body.push(of(&[("literal", 3), ("prefixed", 4)], &rule["pattern"]));
            body.extend(text(&format!("User:{}", rule["principal"].as_str().unwrap())));
            body.extend(text("*"));
            body.extend([of(&operations, operation), 3]);
        }
    }
    // Key, version, correlation id, no client id.
    let head = [0, 30, 0, 1, 0, 0, 0, 1, 0xFF, 0xFF];
    let request = [&head[..], &count.to_be_bytes(), &body].concat();
    let mut stream = TcpStream::connect(broker).unwrap();
    stream.write_all(&[&u32::try_from(request.len()).unwrap().to_be_bytes()[..], &request].concat()).unwrap();
    let mut length = [0; 4];
    stream.read_exact(&mut length).unwrap();
    let mut answer = vec![0; u32::from_be_bytes(length) as usize];
    stream.read_exact(&mut answer).unwrap();
    // Correlation id, throttle time, count; then for each no error and an empty message.
    assert_eq!(answer[8..12], count.to_be_bytes());
    assert!(answer[12..].chunks(4).all(|result| result == [0; 4]), "{answer:?}");
}

#[test]
fn each_service_works_with_the_rights_that_are_written_down_and_with_no_others() {
    let dir = tempfile::tempdir().unwrap();
    let rcgen::CertifiedKey { cert, signing_key } =
        rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let (certificate, key) = (dir.path().join("server.crt"), dir.path().join("server.key"));
    std::fs::write(&certificate, cert.pem()).unwrap();
    std::fs::write(&key, signing_key.serialize_pem()).unwrap();

    let vigie = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_vigie"));
        command.current_dir(dir.path()).env("VIGIE_LOG", "off").env("VIGIE_KAFKA_TOPIC_PREFIX", PREFIX);
        command
    };
    let printed = stdout(vigie().args(["--json", "topics", "acls"]));
    let services: Vec<Value> = printed.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let names = services.iter().map(|service| service["principal"].as_str().unwrap().to_owned()).collect();

    let tls = TlsConfig {
        authority: certificate.clone(),
        certificate: certificate.clone(),
        key,
        user: "nobody".to_owned(),
        password: PASSWORD.to_owned(),
        restricted: names,
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let stack = StackConfig { tls: Some(tls), ..own(&dir.path().join("stack")) };
    let stack = runtime.block_on(Stack::start(stack)).unwrap();
    let servers = stack.endpoints();
    for service in &services {
        create_acls(&servers.kafka_brokers, service["rules"].as_array().unwrap());
    }

    let brokers = format!("127.0.0.1:{}", stack.tls_ports().unwrap().kafka_sasl_ssl);
    let as_user = |user: &str| {
        vec![
            ("VIGIE_KAFKA_BROKERS", brokers.clone()),
            ("VIGIE_SCHEMA_REGISTRY_URL", servers.registry_url.clone()),
            ("VIGIE_POSTGRES_URL", servers.postgres_url.clone()),
            ("VIGIE_KAFKA_SECURITY_PROTOCOL", "SASL_SSL".to_owned()),
            ("VIGIE_KAFKA_SASL_MECHANISM", "PLAIN".to_owned()),
            ("VIGIE_KAFKA_SASL_USERNAME", format!("vigie-{user}")),
            ("VIGIE_KAFKA_SASL_PASSWORD", PASSWORD.to_owned()),
            ("VIGIE_KAFKA_SSL_CA_FILE", certificate.display().to_string()),
        ]
    };
    let test_stack = TestStack {
        brokers: brokers.clone(),
        postgres_url: servers.postgres_url.clone(),
        redis_url: servers.redis_url.clone(),
        registry_url: servers.registry_url.clone(),
        prefix: PREFIX.to_owned(),
    };
    let more = |service: &str| as_user(if service == "topics-apply" { "setup" } else { service });
    run(&Place { stack: &test_stack, dir: dir.path(), api: free_port(), more: &more });

    // Tools, with the rights of who may and of who may not.
    let with = |user: &str, args: &[&str]| vigie().args(args).envs(as_user(user)).output().unwrap();
    let revoke = ["token", "revoke", "--subject", "alice"];
    let revoked = with("api", &revoke);
    assert!(!String::from_utf8_lossy(&revoked.stderr).contains("in the log only"), "{revoked:?}");
    let list = String::from_utf8(with("operator", &["audit", "list"]).stdout).unwrap();
    assert_eq!(list.lines().filter(|line| line.contains("token.revoke  alice  allowed")).count(), 1, "{list}");
    let subscribed = with("subscriber", &["tail", "insights.sentiment.v1", "-n", "1"]);
    assert!(String::from_utf8_lossy(&subscribed.stdout).contains("I lost everything with BTC"), "{subscribed:?}");
    for (user, args) in [
        ("sink-redis", &["tail", "authors.keys.v1"][..]),
        ("sink-postgres", &["audit", "verify"]),
        ("subscriber", &["tail", "posts.raw.v1"]),
        ("process-sentiment", &["keys", "create", "--name", "x"]),
        ("api", &["topics", "apply"]),
    ] {
        let refused = with(user, args);
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(!refused.status.success() && said.to_lowercase().contains("authoriz"), "{user} {args:?}: {said}");
    }
    // A service with another's rights says so and ends, or never begins.
    let redis = compose_containers().into_iter().find(|container| container.args.join(" ") == "sink redis").unwrap();
    let place = Place { stack: &test_stack, dir: dir.path(), api: 0, more: &|_| as_user("api") };
    let refused = place.command(&redis, free_port()).output().unwrap();
    let said = String::from_utf8_lossy(&refused.stderr).to_lowercase();
    assert!(!refused.status.success() && said.contains("authoriz"), "{said}");
    runtime.block_on(stack.stop());
}
