//! Handles, looked for wherever the running pipeline keeps anything.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use vigie_kafka_client::{Admin, KafkaConfig, Start, read_to_end};
use vigie_schemas::Topic;

use crate::up::{self, Up};

/// Occurs nowhere else.
const HANDLE: &str = "Zyrqwx Handle-7f3a";
const OTHER: &str = "Vbnmkj Handle-9c1d";
/// Keys of the keyring.
const OLD: &str = "old 0101010101010101010101010101010101010101010101010101010101010101";
const NEW: &str = "new 0202020202020202020202020202020202020202020202020202020202020202";
const SECRET: &str = "0123456789abcdef0123456789abcdef";
/// Given to `vigie up` by its environment.
const IN_ENVIRONMENT: &str = "Planted-5b2e-in-the-environment";

/// A feed of two authors, for as long as the test runs. Answers its port.
fn site() -> u16 {
    let item = |n: u32, author: &str| {
        format!(
            "<item><guid>authors-{n}</guid><link>https://example.org/{n}</link><title>Bitcoin rises, number {n}</title>\
             <author>{author}</author><description>BTC gained again today, this is great news and everybody is happy.</description>\
             <pubDate>Wed, 01 May 2024 12:0{n}:00 GMT</pubDate></item>"
        )
    };
    let items = [item(1, HANDLE), item(2, HANDLE), item(3, OTHER)].concat();
    let feed = format!(r#"<?xml version="1.0"?><rss version="2.0"><channel><title>t</title>{items}</channel></rss>"#);
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
            let request = lines.next().unwrap_or_default();
            lines.find(String::is_empty);
            let (status, body) = if request.contains("/feed.xml") { ("200 OK", &*feed) } else { ("404 Not Found", "") };
            let kind = "Content-Type: application/rss+xml\r\nConnection: close";
            let _ = write!(stream, "HTTP/1.1 {status}\r\n{kind}\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        }
    });
    port
}

/// A command beside the running pipeline, which it finds by the data folder.
pub(crate) fn vigie(data_dir: &Path, args: &[&str]) -> Output {
    vigie_with(data_dir, args, &[])
}

fn vigie_with(data_dir: &Path, args: &[&str], variables: &[(&str, &str)]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_vigie"))
        .args(args)
        .envs(variables.iter().copied())
        .env("VIGIE_DATA_DIR", data_dir)
        .env("VIGIE_AUTH_SECRET", SECRET)
        .current_dir(up::root())
        .output()
        .unwrap()
}

pub(crate) fn json(output: &Output) -> Value {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn holds(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

/// Topics, dead letters and changelogs included, with a record that holds the text in its key or value.
fn topics_with(up: &Up, text: &str) -> Vec<String> {
    let kafka = KafkaConfig::new(up.endpoint("kafka_brokers"), "");
    let topics = Admin::new(&kafka).unwrap().list_topics().unwrap();
    let has = |topic: &String| {
        let mut records = read_to_end(&kafka, topic, &Start::Beginning).unwrap().map(Result::unwrap);
        records.any(|record| [record.key, record.value].into_iter().flatten().any(|bytes| holds(&bytes, text)))
    };
    assert!(Topic::ALL.into_iter().all(|topic| topics.contains_key(topic.name())), "{topics:?}");
    topics.into_keys().filter(has).collect()
}

/// Files below a folder that hold the text. Indexes of Kafka's log have no records and are full of holes.
fn files_with(folder: &Path, text: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut waiting = vec![folder.to_owned()];
    while let Some(folder) = waiting.pop() {
        for path in std::fs::read_dir(&folder).into_iter().flatten().flatten().map(|entry| entry.path()) {
            if path.is_dir() {
                waiting.push(path);
            } else if !path.to_string_lossy().ends_with("index")
                && path.is_file()
                && std::fs::read(&path).is_ok_and(|bytes| holds(&bytes, text))
            {
                found.push(path);
            }
        }
    }
    found
}

/// Neither arguments nor environment of any process of `vigie up` have a secret that was given by a
/// file; one from its environment is in its own, and its servers do not get it.
#[cfg(target_os = "linux")]
fn no_process_shows_a_secret(up: &Up, by_file: &[&str]) {
    let processes = up.processes();
    for name in ["java", "postgres", "redis-server", "sh"] {
        assert!(processes.iter().any(|process| process.name == name), "no {name} among {processes:?}");
    }
    let has_planted = |process: &up::Process| holds(&process.environment, IN_ENVIRONMENT);
    // PostgreSQL and Redis write their titles over theirs.
    let has_path = |process: &up::Process| process.name == "java" && holds(&process.environment, "PATH=");
    assert!(has_planted(&processes[0]) && processes.iter().any(has_path), "environments can be read");
    for process in &processes {
        let is_own = process.name == processes[0].name;
        assert!(is_own || !has_planted(process), "{process:?}");
        for secret in by_file.iter().chain(&[IN_ENVIRONMENT]) {
            let is_shown = holds(&process.arguments, secret);
            assert!(!is_shown, "{secret} in the arguments of {process:?}");
        }
        for secret in by_file {
            assert!(!holds(&process.environment, secret), "{secret} in the environment of {process:?}");
        }
    }
}

#[test]
fn a_handle_is_nowhere_to_be_read_and_opens_until_its_author_is_erased() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let sources = dir.path().join("sources.toml");
    let source = format!(
        "[[source]]\nid = \"feed\"\nkind = \"rss\"\nurl = \"http://127.0.0.1:{}/feed.xml\"\nevery_seconds = 1\nlocal = true\n",
        site()
    );
    std::fs::write(&sources, source).unwrap();
    std::fs::create_dir(&data).unwrap();
    std::fs::write(data.join("author.keyring"), format!("{OLD}\n{NEW}\n")).unwrap();
    let secret = dir.path().join("auth-secret");
    std::fs::write(&secret, SECRET).unwrap();
    let secret = secret.to_str().unwrap();
    let auth = [("VIGIE_AUTH", "jwt"), ("VIGIE_AUTH_SECRET_FILE", secret), ("AWS_SECRET_ACCESS_KEY", IN_ENVIRONMENT)];
    let mut up = Up::start_with(dir.path(), &["--sources", sources.to_str().unwrap()], &auth);
    let token = |scopes: &str| {
        let issued = vigie(&data, &["--json", "token", "issue", "--subject", "auditor", "--scopes", scopes]);
        json(&issued)["token"].as_str().unwrap().to_owned()
    };
    let (reader, opener) = (token("read:posts,read:insights,read:operations"), token("authors:read"));

    let digits = [OLD, NEW].map(|line| line.split_once(' ').unwrap().1);
    #[cfg(target_os = "linux")]
    no_process_shows_a_secret(&up, &[SECRET, digits[0], digits[1]]);

    // The posts are in the history, each under its author's pseudonym, which an operator can compute.
    let id_of = |handle: &str| {
        let id = vigie(&data, &["--json", "author", "id", "--handle", handle, "--kind", "rss", "--source", "feed"]);
        json(&id)["author_id"].as_str().unwrap().to_owned()
    };
    let (id, other) = (id_of(HANDLE), id_of(OTHER));
    let posts = up.until("/v1/assets/BTC/posts", &reader, |status, body| {
        status == 200 && body["posts"].as_array().is_some_and(|posts| posts.len() == 3)
    });
    let of =
        |posts: &Value, id: &str| posts["posts"].as_array().unwrap().iter().filter(|p| p["author_id"] == id).count();
    assert_eq!((of(&posts, &id), of(&posts, &other)), (2, 1), "{posts}");

    // With the scope it opens, without it does not.
    let path = format!("/v1/authors/{id}");
    let author = up.until(&path, &opener, |status, _| status == 200);
    assert_eq!((&author["handle"], &author["posts"]), (&HANDLE.into(), &2.into()), "{author}");
    up.until(&path, &reader, |status, body| status == 403 && !body.to_string().contains(HANDLE));
    assert_eq!(json(&vigie(&data, &["--json", "author", "open", &id]))["handle"], HANDLE);

    // It is nowhere else; the search finds what is there.
    assert!(topics_with(&up, &id).contains(&"posts.raw.v1".to_owned()), "the search finds what is there");
    assert!(topics_with(&up, &id).contains(&"authors.keys.v1".to_owned()));
    assert_eq!(topics_with(&up, HANDLE), Vec::<String>::new());
    assert!(files_with(&data, &id).iter().any(|file| file.to_string_lossy().contains("postgres")), "so does that one");
    assert_eq!(files_with(dir.path(), HANDLE), Vec::<PathBuf>::new());
    let tail = vigie(&data, &["tail", "posts.raw.v1"]);
    assert!(holds(&tail.stdout, &id) && !holds(&tail.stdout, HANDLE), "{}", String::from_utf8_lossy(&tail.stdout));

    // The old key of the keyring gives way to a new one, and is not needed any more.
    let rotated = format!("{NEW},{OLD}");
    let rewrap =
        |keyring: &str| vigie_with(&data, &["--json", "author", "rewrap"], &[("VIGIE_AUTHOR_KEYRING", keyring)]);
    let lacks_old = rewrap(NEW);
    assert_eq!(lacks_old.status.code(), Some(1));
    let said = String::from_utf8_lossy(&lacks_old.stderr).into_owned();
    assert!(said.contains("2 keys (the keyring has no key"), "{said}");
    let done = json(&rewrap(&rotated));
    assert_eq!(
        (&done["rewrapped"], &done["kek_id"], &done["failed"]),
        (&2.into(), &"new".into(), &serde_json::json!({}))
    );
    assert_eq!(json(&rewrap(&rotated))["rewrapped"], 0, "there is nothing left to do");
    assert_eq!(json(&rewrap(NEW))["rewrapped"], 0);
    let opened =
        |keyring: &str| vigie_with(&data, &["--json", "author", "open", &id], &[("VIGIE_AUTHOR_KEYRING", keyring)]);
    assert_eq!(json(&opened(NEW))["handle"], HANDLE);
    assert_eq!(opened(OLD).status.code(), Some(1));
    let keys_under = |up: &Up| {
        let mut psql = Command::new("psql");
        psql.args(["--no-psqlrc", "--tuples-only", "--no-align", "--dbname", up.endpoint("postgres_url")]);
        let output = psql.args(["--command", "SELECT kek_id, count(*) FROM author_keys GROUP BY 1"]).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    up.settled(keys_under, |keys, _| keys == "new|2\n");
    let author = up.until(&path, &opener, |status, _| status == 200);
    assert_eq!(author["handle"], HANDLE);

    // After the erasure neither API nor operator opens it; the posts stay, without their texts. The other author is untouched.
    assert_eq!(vigie(&data, &["author", "erase", &id]).status.code(), Some(64), "nobody can be asked here");
    let dry = json(&vigie(&data, &["--json", "author", "erase", &id, "--dry-run"]));
    assert_eq!((&dry["keys"], &dry["dry_run"]), (&Value::from(1), &Value::from(true)), "{dry}");
    let erased = json(&vigie(&data, &["--json", "author", "erase", &id, "--yes"]));
    assert_eq!(erased["keys_destroyed"], 1, "{erased}");
    up.until(&path, &opener, |status, _| status == 410);
    let again = vigie(&data, &["author", "open", &id]);
    assert_eq!(again.status.code(), Some(1), "{}", String::from_utf8_lossy(&again.stdout));
    let posts = up.until("/v1/assets/BTC/posts", &reader, |_, body| {
        let texts = |post: &&Value| post["title"].is_null() && post["url"].is_null() && post["excerpt"] == "";
        body["posts"].as_array().is_some_and(|posts| posts.iter().filter(texts).count() == 2)
    });
    assert_eq!((of(&posts, &id), of(&posts, &other)), (2, 1), "{posts}");
    let author = up.until(&format!("/v1/authors/{other}"), &opener, |status, _| status == 200);
    assert_eq!(author["handle"], OTHER);
    // All of it is audited, by ids only.
    let list = String::from_utf8(vigie(&data, &["audit", "list", "--action", "author"]).stdout).unwrap();
    for (who, what) in [
        ("auditor", format!("author.open  {id}  allowed")),
        ("os:", format!("author.erase  {id}  allowed")),
        ("os:", "author.rewrap  new  allowed".to_owned()),
    ] {
        assert!(list.lines().any(|line| line.contains(who) && line.contains(&what)), "{what} is missing in {list}");
    }
    assert!(!list.contains(HANDLE) && !list.contains(OTHER), "{list}");
    assert_eq!(vigie(&data, &["audit", "verify"]).status.code(), Some(0));
    up.stop(std::time::Duration::from_secs(30));
    let log = std::fs::read(dir.path().join("up.log")).unwrap();
    assert!(holds(&log, "author.open") && holds(&log, "auditor"), "openings are logged");
    for secret in [HANDLE, OTHER, SECRET, &reader, &opener, digits[0], digits[1]] {
        assert!(!holds(&log, secret), "{secret} was logged");
    }
}
