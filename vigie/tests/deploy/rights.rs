//! The services of the compose file, each with a user of its own that has the rights which `vigie topics acls` prints, and no others.

use std::process::{Command, Output};

use serde_json::Value;
use vigie_kafka_client::{Admin, KafkaConfig};
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
        issuer: None,
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let stack = StackConfig { tls: Some(tls), ..own(&dir.path().join("stack")) };
    let stack = runtime.block_on(Stack::start(stack)).unwrap();
    let servers = stack.endpoints();
    rights_are_given_once_and_what_is_beside_them_is_reported(&|more| {
        let args = ["--json", "topics", "apply", "--acls"];
        let printed = stdout(vigie().args(args).args(more).env("VIGIE_KAFKA_BROKERS", &servers.kafka_brokers));
        let lines = printed.lines().map(|line| serde_json::from_str(line).unwrap());
        lines.filter(|line: &Value| line["topic"].is_null()).collect()
    });
    // Left to the service that sets up.
    let admin = Admin::new(&KafkaConfig::new(servers.kafka_brokers.clone(), PREFIX)).unwrap();
    let topics: Vec<String> = admin.list_topics().unwrap().into_keys().collect();
    admin.delete_topics(&topics).unwrap();

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

/// `apply` applies the rights with more arguments, and returns what was said of each, and of all at
/// the end.
fn rights_are_given_once_and_what_is_beside_them_is_reported(apply: &dyn Fn(&[&str]) -> Vec<Value>) {
    let told = |more: &[&str]| {
        let mut lines = apply(more);
        let unchanged = lines.pop().unwrap()["rights_unchanged"].as_u64().unwrap();
        let actions: Vec<String> = lines.iter().map(|line| line["action"].as_str().unwrap().to_owned()).collect();
        (lines, actions, unchanged)
    };
    let (missing, actions, unchanged) = told(&["--dry-run"]);
    assert!(missing.len() > 50 && actions.iter().all(|action| action == "missing") && unchanged == 0, "{missing:?}");
    // Somebody gives the API more than it needs.
    let (_, actions, _) = told(&["--principal", "subscriber=vigie-api"]);
    let given = actions.iter().filter(|action| *action == "created").count();
    let (_, actions, unchanged) = told(&["--dry-run", "--prune"]);
    let superfluous = actions.iter().filter(|action| *action == "superfluous").count();
    assert!(superfluous > 0 && unchanged as usize == given - superfluous, "{actions:?}");
    let (_, actions, _) = told(&[]);
    assert_eq!(actions.iter().filter(|action| *action == "superfluous").count(), superfluous);
    assert_eq!(actions.iter().filter(|action| *action == "created").count(), missing.len() - unchanged as usize);
    let (removed, actions, unchanged) = told(&["--prune"]);
    assert_eq!(
        (actions.as_slice(), unchanged as usize),
        (vec!["removed".to_owned(); superfluous].as_slice(), missing.len())
    );
    assert!(removed.iter().all(|right| right["principal"] == "User:vigie-api"), "{removed:?}");
    // Nothing is left to do.
    assert_eq!(told(&["--prune"]), (Vec::new(), Vec::new(), missing.len() as u64));
}
