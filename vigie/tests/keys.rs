//! API keys and revocations on the command line, in a real PostgreSQL.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::process::{Command, Output};

use serde_json::Value;

struct Operator {
    postgres: String,
}

impl Operator {
    fn vigie(&self, args: &[&str]) -> Output {
        let dir = tempfile::tempdir().unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_vigie"));
        command.args(args).current_dir(dir.path()).env("VIGIE_POSTGRES_URL", &self.postgres).env("VIGIE_LOG", "off");
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
fn keys_are_made_listed_and_revoked_and_each_change_is_in_the_log() {
    let operator = Operator { postgres: vigie_stack::testing::shared().postgres_url };
    let create = ["keys", "create", "--name", "nightly report", "--scopes", "read:insights,read:posts", "--days", "7"];
    operator.fails(&create, 1, "run vigie migrate");
    operator.lines(&["migrate"]);
    let (made, log) = operator.lines(&create);
    let (id, key) = (made[0]["id"].as_str().unwrap(), made[0]["key"].as_str().unwrap());
    assert!(log.contains("audit") && log.contains("api key created") && log.contains(id), "{log}");
    assert!(!log.contains(&key[16..]), "the key itself is in the log");
    let (listed, log) = operator.lines(&["keys", "list"]);
    assert_eq!((listed.len(), &listed[0]["id"], &listed[0]["name"]), (1, &made[0]["id"], &made[0]["name"]));
    assert_eq!(listed[0]["scopes"], serde_json::json!(["read:insights", "read:posts"]));
    assert!(!listed[0].to_string().contains(&key[16..]) && log.is_empty(), "{log}");
    let (_, log) = operator.lines(&["keys", "revoke", id]);
    assert!(log.contains("api key revoked"), "{log}");
    assert!(operator.lines(&["keys", "list"]).0[0]["revoked_at"].is_string());
    operator.fails(&["keys", "revoke", id], 1, "no key");
    operator.fails(&["keys", "create", "--name", "x", "--scopes", "write:all"], 64, "write:all");

    let (_, log) = operator.lines(&["token", "revoke", "--subject", "alice"]);
    assert!(log.contains("tokens revoked") && log.contains("alice"), "{log}");
    operator.lines(&["token", "revoke", "--jti", "1"]);
    operator.fails(&["token", "revoke"], 64, "--jti");
    operator.fails(&["token", "revoke", "--jti", "1", "--subject", "alice"], 64, "--subject");
}
