//! API keys and revocations on the command line, in a real PostgreSQL.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::process::{Command, Output};

use serde_json::Value;
use vigie_kafka_client::{KafkaConfig, OutgoingRecord, Publisher};
use vigie_stack::testing::TestStack;

struct Operator {
    stack: TestStack,
}

impl Operator {
    fn vigie(&self, args: &[&str]) -> Output {
        let dir = tempfile::tempdir().unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_vigie"));
        let TestStack { brokers, postgres_url, registry_url, prefix, .. } = &self.stack;
        command.args(args).current_dir(dir.path()).env("VIGIE_POSTGRES_URL", postgres_url).env("VIGIE_LOG", "off");
        command.env("VIGIE_KAFKA_BROKERS", brokers).env("VIGIE_KAFKA_TOPIC_PREFIX", prefix);
        command.env("VIGIE_SCHEMA_REGISTRY_URL", registry_url);
        command.output().unwrap()
    }

    /// The lines of JSON that the command prints, and what it logs.
    fn lines(&self, args: &[&str]) -> (Vec<Value>, String) {
        let output = self.vigie(&[&["--json"], args].concat());
        let log = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{args:?}: {log}");
        let text = String::from_utf8(output.stdout).unwrap();
        (text.lines().map(|line| serde_json::from_str(line).unwrap()).collect(), log)
    }

    fn fails(&self, args: &[&str], code: i32, words: &str) {
        let output = self.vigie(args);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{args:?}: {said}");
        assert!(said.contains(words), "{args:?}: {said}");
    }
}

#[test]
fn keys_are_made_listed_and_revoked_and_each_change_is_audited() {
    let operator = Operator { stack: vigie_stack::testing::shared() };
    let create =
        ["keys", "create", "--name", "nightly report", "--scopes", "read:insights,read:posts", "--valid-for", "7d"];
    operator.fails(&create, 1, "run vigie topics apply");
    operator.lines(&["topics", "apply"]);
    operator.fails(&create, 1, "run vigie migrate");
    operator.lines(&["migrate"]);
    let (made, log) = operator.lines(&create);
    let (id, key) = (made[0]["id"].as_str().unwrap(), made[0]["key"].as_str().unwrap());
    assert!(log.contains("audit") && log.contains("key.create") && log.contains("nightly report"), "{log}");
    assert!(!log.contains(&key[16..]), "the key itself is in the log");
    let (listed, log) = operator.lines(&["keys", "list"]);
    assert_eq!((listed.len(), &listed[0]["id"], &listed[0]["name"]), (1, &made[0]["id"], &made[0]["name"]));
    assert_eq!(listed[0]["scopes"], serde_json::json!(["read:insights", "read:posts"]));
    assert!(!listed[0].to_string().contains(&key[16..]) && log.is_empty(), "{log}");
    let (_, log) = operator.lines(&["keys", "revoke", id]);
    assert!(log.contains("key.revoke") && log.contains(id), "{log}");
    assert!(operator.lines(&["keys", "list"]).0[0]["revoked_at"].is_string());
    operator.fails(&["keys", "revoke", id], 1, "no key");
    operator.fails(&["keys", "create", "--name", "x", "--scopes", "write:all"], 64, "write:all");

    let (_, log) = operator.lines(&["token", "revoke", "--subject", "alice"]);
    assert!(log.contains("token.revoke") && log.contains("alice"), "{log}");
    operator.lines(&["token", "revoke", "--jti", "1"]);
    operator.fails(&["token", "revoke"], 64, "--jti");
    operator.fails(&["token", "revoke", "--jti", "1", "--subject", "alice"], 64, "--subject");

    let (records, _) = operator.lines(&["audit", "list"]);
    let said: Vec<String> =
        records.iter().map(|r| format!("{} {}", r["action"], r["outcome"]).replace('"', "")).collect();
    let expected = [
        "key.create allowed",
        "key.create failed",
        "key.create allowed",
        "key.revoke allowed",
        "key.revoke allowed",
        "token.revoke allowed",
        "token.revoke allowed",
    ];
    assert_eq!(said, expected);
    assert!(records.iter().all(|record| record["subject"].as_str().unwrap().starts_with("os:")), "{records:?}");
    assert!(!format!("{records:?}").contains(&key[16..]), "the key itself is in the audit");
    assert_eq!(operator.lines(&["audit", "list", "--action", "token"]).0.len(), 2);
    assert_eq!(operator.lines(&["audit", "list", "--subject", "nobody"]).0.len(), 0);
    assert_eq!(operator.lines(&["audit", "list", "--from", "1h"]).0.len(), 7);
    assert_eq!(operator.lines(&["audit", "list", "--to", "2020-01-01"]).0.len(), 0);
    let (whole, _) = operator.lines(&["audit", "verify"]);
    assert_eq!((&whole[0]["records"], &whole[0]["head"]), (&7.into(), &records[6]["hash"]));
    operator.lines(&["audit", "verify", "--holds", records[2]["hash"].as_str().unwrap()]);
    operator.fails(&["audit", "verify", "--holds", &"0".repeat(64)], 1, "cut off");

    // What takes rights away is done without Kafka too, what gives them is not.
    let mut alone = Operator { stack: operator.stack.clone() };
    alone.stack.brokers = "127.0.0.1:1".to_owned();
    alone.fails(&create, 69, "audit");
    let (revoked, log) = alone.lines(&["token", "revoke", "--jti", "2"]);
    assert!(revoked[0]["revoked"] == "2" && log.contains("audited in the log only"), "{log}");

    // A record that somebody else puts there.
    let kafka = KafkaConfig::new(operator.stack.brokers.clone(), operator.stack.prefix.clone());
    let record = OutgoingRecord { topic: "audit.v1".into(), value: Some("junk".into()), ..OutgoingRecord::default() };
    let written =
        tokio::runtime::Runtime::new().unwrap().block_on(Publisher::new(&kafka, "intruder").publish(vec![record]));
    operator.fails(&["audit", "verify"], 1, &format!("broken at offset {}", written.unwrap()[0].1));
}
