//! The configuration is checked before anything moves. No server is needed.

#![expect(clippy::unwrap_used, reason = "a test ends where something it needs is missing")]

use std::path::Path;
use std::process::{Command, Output, Stdio};

fn vigie(dir: &Path, args: &[&str], env: &[(&str, &str)]) -> Output {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
    let mut command = Command::new(env!("CARGO_BIN_EXE_vigie"));
    command.args(args).current_dir(root).env("VIGIE_DATA_DIR", dir.join("data")).envs(env.iter().copied());
    command.stdin(Stdio::null()).output().unwrap()
}

/// The mistakes that a command lists, after a look at its exit code.
fn mistakes(output: &Output) -> Vec<String> {
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(64), "{stderr}");
    assert!(!stderr.contains("hunter2"), "{stderr}");
    match stderr.split_once("invalid configuration: ") {
        Some((_, one)) => vec![one.trim_end().to_owned()],
        None => stderr.lines().filter_map(|line| line.strip_prefix("  - ")).map(str::to_owned).collect(),
    }
}

#[test]
fn up_lists_the_mistakes_of_every_service_and_starts_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let sources = dir.path().join("sources.toml");
    std::fs::write(&sources, "[[source]]\nid = \"a\"\nkind = \"rss\"\nurl = \"ftp://a.example/\"\nevery_seconds = 0\n")
        .unwrap();
    let sources = sources.to_str().unwrap();
    let args = ["up", "--sources", sources, "--listen-time=5ms", "--alert-score=7", "--api-burst=0", "--settle=soon"];
    let env = [
        ("VIGIE_AUTH", "jwt"),
        ("VIGIE_AUTHOR_KEY", "hunter2"),
        ("VIGIE_KAFKA_NODES", "2"),
        ("VIGIE_SINK_BATCH_RECORDS", "0"),
        ("VIGIE_MODEL", "/no/such/model"),
        ("VIGIE_PROXY", "hunter2"),
    ];
    let found = mistakes(&vigie(dir.path(), &args, &env));
    let expected = [
        "--settle (VIGIE_SETTLE): \"soon\", expected ",
        "--proxy (VIGIE_PROXY): not shown here, expected",
        "--sink-batch-records (VIGIE_SINK_BATCH_RECORDS): \"0\"",
        "--kafka-nodes (VIGIE_KAFKA_NODES): 2, expected 1 or 3",
        "--listen-time (VIGIE_LISTEN_TIME): \"5ms\", expected 100ms to 60000ms",
        &format!("{sources}: line 4: source \"a\": url: ftp://a.example/, expected http or https with a host"),
        &format!("{sources}: line 5: source \"a\": every_seconds: 0, expected 30 to 604800"),
        "--author-key (VIGIE_AUTHOR_KEY): 7 bytes, expected at least 16 bytes",
        "--model (VIGIE_MODEL): cannot read model file /no/such/model",
        "--alert-score (VIGIE_ALERT_SCORE): 7, expected 0 to 1",
        "--api-burst (VIGIE_API_BURST): 0, expected at least 1",
        "--auth (VIGIE_AUTH): jwt without a key, expected --auth-secret (VIGIE_AUTH_SECRET), ",
    ];
    for start in expected {
        let hits = found.iter().filter(|mistake| mistake.starts_with(start)).count();
        assert_eq!(hits, 1, "{start} in {found:#?}");
    }
    assert_eq!(found.len(), expected.len(), "{found:#?}");
    assert!(!dir.path().join("data").exists(), "nothing was written");
}

#[test]
fn the_example_in_the_documentation_is_what_is_printed() {
    let dir = tempfile::tempdir().unwrap();
    let source = "[[source]]\nid = \"a\"\nkind = \"rss\"\nurl = \"ftp://a.example/feed\"\nevery_seconds = 0\n";
    std::fs::write(dir.path().join("my.toml"), source).unwrap();
    let document = include_str!("../../docs/configuration.md");
    let example = document.split("```text\n$ ").nth(1).unwrap().split("```").next().unwrap();
    let (line, printed) = example.split_once('\n').unwrap();
    let (env, args) = line.split_once(" vigie ").unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_vigie"))
        .args(args.split(' '))
        .envs(env.split(' ').map(|pair| pair.split_once('=').unwrap()))
        .env("VIGIE_MODEL", concat!(env!("CARGO_MANIFEST_DIR"), "/../models/sentiment"))
        .current_dir(&dir)
        .output()
        .unwrap();
    assert_eq!(String::from_utf8(output.stderr).unwrap(), printed);
}

#[test]
fn up_takes_the_options_of_all_services_and_no_servers() {
    let dir = tempfile::tempdir().unwrap();
    let help = vigie(dir.path(), &["up", "--help"], &[("VIGIE_AUTHOR_KEY", "hunter2"), ("VIGIE_PROXY", "hunter2")]);
    let help = String::from_utf8(help.stdout).unwrap();
    for part in [
        "VIGIE_SCHEMA_REGISTRY_PORT",
        "VIGIE_CONTACT",
        "VIGIE_STREAM_THREADS",
        "VIGIE_ALERT_SCORE",
        "VIGIE_SINK_LINGER",
        "VIGIE_AUTH_SECRET_FILE",
    ] {
        assert_eq!(help.matches(part).count(), 1, "{part} in {help}");
    }
    assert!(help.contains("[default: 7d]") && !help.contains("--kafka-brokers") && !help.contains("hunter2"), "{help}");
    let output = vigie(dir.path(), &["up", "--kafka-brokers", "127.0.0.1:9"], &[]);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(64) && stderr.contains("--kafka-brokers"), "{stderr}");
    let both = mistakes(&vigie(dir.path(), &["up", "--sample"], &[("VIGIE_SOURCES", "producers/sources.toml")]));
    assert_eq!(both, ["--sample: given with --sources (VIGIE_SOURCES), expected one of them"]);
}

#[test]
fn a_secret_may_be_in_a_file_and_must_not_be_in_two_places() {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    // Nobody listens on port 1: the address of the file is the one that is tried, without its password in the message.
    let url = file("url", "postgres://vigie:hunter2@127.0.0.1:1/of_the_file\n");
    let output = vigie(dir.path(), &["migrate"], &[("VIGIE_POSTGRES_URL_FILE", &url)]);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.code() == Some(69) && stderr.contains("postgresql at postgres://127.0.0.1:1/of_the_file"),
        "{stderr}"
    );
    assert!(!stderr.contains("hunter2"), "{stderr}");
    let secret = file("secret", "0123456789abcdef0123456789abcdef\n");
    let token = |env: &[(&str, &str)]| vigie(dir.path(), &["token", "issue", "--subject", "a"], env);
    assert_eq!(token(&[("VIGIE_AUTH_SECRET_FILE", &secret)]).status.code(), Some(0));

    let (short, wrong) = (file("short", "hunter2"), file("wrong", "http://hunter2@a.example/"));
    let env = [
        ("VIGIE_AUTH", "jwt"),
        ("VIGIE_AUTH_SECRET_FILE", short.as_str()),
        ("VIGIE_POSTGRES_URL_FILE", "/no/such/file"),
        ("VIGIE_REDIS_URL", "redis://:hunter2@127.0.0.1:1"),
        ("VIGIE_REDIS_URL_FILE", &url),
        ("VIGIE_AUTHOR_KEYRING_FILE", &wrong),
    ];
    let mut found = mistakes(&vigie(dir.path(), &["api"], &env));
    found.sort_unstable();
    let place = dir.path().display();
    let expected = [
        format!("--auth-secret-file (VIGIE_AUTH_SECRET_FILE): {place}/short: 7 bytes, expected 32 bytes or more"),
        format!(
            "--author-keyring-file (VIGIE_AUTHOR_KEYRING_FILE): {place}/wrong: line 1: one word, expected lines of a key id and 64 \
             hexadecimal digits each"
        ),
        "--postgres-url-file (VIGIE_POSTGRES_URL_FILE): /no/such/file: No such file or directory (os error 2), expected \
         postgres://user:password@host:port/database"
            .to_owned(),
        "--redis-url (VIGIE_REDIS_URL): --redis-url-file (VIGIE_REDIS_URL_FILE) is given too, expected one of them".to_owned(),
    ];
    assert_eq!(found, expected);
}

#[test]
fn what_cannot_be_encrypted_as_asked_is_refused_by_services_and_commands() {
    let dir = tempfile::tempdir().unwrap();
    let postgres = "postgres://vigie:hunter2@db.example/vigie?sslmode=";
    for (args, variable, value) in [
        (&["topics", "list"][..], "VIGIE_KAFKA_SASL_PASSWORD", "hunter2"),
        (&["process", "trends"], "VIGIE_KAFKA_SASL_PASSWORD", "hunter2"),
        (&["tail", "posts.raw.v1"], "VIGIE_SCHEMA_REGISTRY_URL", "http://vigie:hunter2@registry.example"),
        (&["sink", "redis"], "VIGIE_SCHEMA_REGISTRY_URL", "http://vigie:hunter2@registry.example"),
        (&["migrate"], "VIGIE_POSTGRES_URL", &format!("{postgres}allow")),
        (&["sink", "postgres"], "VIGIE_POSTGRES_URL", &format!("{postgres}verify-full")),
        (&["sink", "redis"], "VIGIE_REDIS_URL", "redis-sentinel://:hunter2@cache.example"),
        (&["api"], "VIGIE_REDIS_URL", "redis://:hunter2@cache.example?ssl_ca_certs=/ca.pem"),
        (&["api"], "VIGIE_API_TLS_KEY_FILE", "/no/such/key"),
    ] {
        // A protocol that does not hold for a password is the mistake there.
        let named = if variable == "VIGIE_KAFKA_SASL_PASSWORD" { "VIGIE_KAFKA_SECURITY_PROTOCOL" } else { variable };
        let output = vigie(dir.path(), args, &[(variable, value)]);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(64) && stderr.contains(named), "{args:?} {variable}: {stderr}");
        assert!(!stderr.contains("hunter2"), "{stderr}");
    }
}

#[test]
fn a_single_service_lists_its_mistakes_before_it_listens() {
    let dir = tempfile::tempdir().unwrap();
    // The address of the probes is nobody's: a service that bound it first would say so.
    let env = [
        ("VIGIE_OPS_LISTEN", "203.0.113.1:1"),
        ("VIGIE_STREAM_THREADS", "many"),
        ("VIGIE_STATE_BACKEND", "disk"),
        ("VIGIE_WINDOW", "0s"),
    ];
    let found = mistakes(&vigie(dir.path(), &["process", "trends"], &env));
    assert_eq!(found.len(), 3, "{found:#?}");
    assert!(found[0].starts_with("--stream-threads (VIGIE_STREAM_THREADS): \"many\""), "{found:#?}");
    assert!(found[1].starts_with("--state-backend (VIGIE_STATE_BACKEND): disk without a folder"), "{found:#?}");
    assert!(found[2].starts_with("--window (VIGIE_WINDOW): 0ns, expected at least 1s"), "{found:#?}");
}
