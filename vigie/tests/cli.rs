//! Bad input to the command line: a clear error and the exit code that says whose fault it is. No server is needed.

#![expect(clippy::unwrap_used, reason = "a test ends where something it needs is missing")]

use std::io::Write;
use std::net::TcpListener;
use std::process::{Command, Output, Stdio};

use vigie_schemas::{RawPost, ScoredPost};

fn vigie(args: &[&str], env: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vigie"));
    let dir = tempfile::tempdir().unwrap();
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
    command
        .args(args)
        .current_dir(root)
        .env("VIGIE_DATA_DIR", dir.path())
        .envs(env.iter().copied())
        .stdin(Stdio::null());
    command.output().unwrap()
}

#[track_caller]
fn assert_fails(output: &Output, code: i32, words: &[&str]) {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{stderr}");
    for word in words {
        assert!(stderr.contains(word), "{word:?} is missing in: {stderr}");
    }
}

#[test]
fn bad_usage_exits_64() {
    assert_fails(&vigie(&["fly"], &[]), 64, &["fly"]);
    assert_fails(&vigie(&["up", "--archive", "x"], &[]), 64, &["--sample"]);
    assert_fails(&vigie(&["tail"], &[]), 64, &["TOPIC"]);
    assert_fails(&vigie(&["replay", "promote"], &[]), 64, &["RUN_ID"]);
    assert_fails(&vigie(&["replay", "promote", "r1", "--from", "soon"], &[]), 64, &["soon", "RFC 3339"]);
    assert_eq!(vigie(&["--help"], &[]).status.code(), Some(0));
    assert_eq!(vigie(&["--version"], &[]).status.code(), Some(0));
}

#[test]
fn a_backfill_says_what_is_wrong_with_its_source_its_date_and_its_servers() {
    let backfill = |id: &str, since: &str, more: &[&str]| {
        let key = ("VIGIE_AUTHOR_KEY", "0123456789abcdef");
        vigie(&[&["source", "backfill", id, "--since", since], more].concat(), &[key])
    };
    assert_fails(&backfill("hn-bitcoin", "yesterday", &[]), 64, &["RFC 3339"]);
    assert_fails(&backfill("nobody", "2026-01-01", &[]), 64, &["nobody", "source list"]);
    assert_fails(&backfill("coindesk", "2026-01-01", &[]), 64, &["kind rss has no archive"]);
    assert_fails(&backfill("bluesky-jetstream", "2026-01-01", &[]), 64, &["no archive"]);
    let away = ["--schema-registry-url", "http://127.0.0.1:1", "--kafka-brokers", "127.0.0.1:1"];
    assert_fails(&backfill("hn-bitcoin", "2026-01-01", &away), 69, &["schema registry", "127.0.0.1:1"]);
}

#[test]
fn an_audit_says_what_is_wrong_with_its_range_its_address_and_its_servers() {
    let verify = |more: &[&str]| vigie(&[&["verify", "--from", "2026-01-01T00:00:00Z"], more].concat(), &[]);
    let to = ["--to", "2026-01-02T00:00:00Z"];
    assert_fails(&verify(&[]), 64, &["--to"]);
    assert_fails(&verify(&["--to", "yesterday"]), 64, &["yesterday"]);
    assert_fails(&verify(&["--to", "2026-01-01T00:00:00Z"]), 64, &["is not before --to"]);
    assert_fails(&verify(&[&to[..], &["--api-url", "ftp://127.0.0.1"]].concat()), 64, &["--api-url", "http://"]);
    assert_fails(&verify(&[&to[..], &["--grace", "long"]].concat()), 64, &["long", "6h"]);
    let away = ["--schema-registry-url", "http://127.0.0.1:1", "--api-url", "http://127.0.0.1:1"];
    assert_fails(&verify(&[&to[..], &away].concat()), 69, &["schema registry", "127.0.0.1:1"]);
}

#[test]
fn rendering_without_a_chromium_exits_64() {
    let output =
        vigie(&["produce", "--render", "--chromium", "/no/such/chromium", "--proxy", "http://127.0.0.1:1"], &[]);
    assert_fails(&output, 64, &["no Chromium at /no/such/chromium", "--proxy"]);
}

#[test]
fn a_wrong_sources_file_lists_every_mistake_and_exits_64() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(
        b"[[source]]\nid = \"a\"\nkind = \"smoke-signals\"\nurl = \"https://example.org/a\"\n\n[[source]]\nid = \"b\"\nkind = \"rss\"\nurl = \"not a url\"\n",
    )
    .unwrap();
    let output = vigie(&["up", "--sources", file.path().to_str().unwrap(), "--api-listen", "127.0.0.1:0"], &[]);
    assert_fails(&output, 64, &["smoke-signals", "not a url"]);
}

#[test]
fn a_port_in_use_is_said_before_anything_starts() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = vigie(&["up", "--sample", "--api-listen", &address], &[]);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && stderr.contains(&address) && stderr.contains("in use"), "{stderr}");
    assert!(!stderr.contains("starting Kafka"), "{stderr}");
}

#[test]
fn without_java_the_error_says_what_to_install() {
    let output = vigie(
        &["up", "--sample", "--api-listen", "127.0.0.1:0"],
        &[("PATH", "/nonexistent"), ("JAVA_HOME", "/nonexistent")],
    );
    assert_fails(&output, 69, &["java 17", "install"]);
}

#[test]
fn an_unreachable_broker_or_registry_exits_69() {
    // Port 1 is never listened on by accident, and a refused connection answers at once.
    let registry = ["--schema-registry-url", "http://127.0.0.1:1"];
    assert_fails(&vigie(&["topics", "list", "--kafka-brokers", "127.0.0.1:1"], &[]), 69, &["kafka", "127.0.0.1:1"]);
    assert_fails(&vigie(&["schemas", "check", registry[0], registry[1]], &[]), 69, &["schema registry", "127.0.0.1:1"]);
    let postgres = "postgres://vigie@127.0.0.1:1/vigie";
    for command in [&["migrate"][..], &["replay", "promoted"]] {
        let command = [command, &["--postgres-url", postgres]].concat();
        assert_fails(&vigie(&command, &[]), 69, &["127.0.0.1:1"]);
    }
    // What cannot be audited is not done.
    for command in [&["replay", "promote", "r1"][..], &["replay", "rollback"]] {
        let command = [command, &["--postgres-url", postgres], &registry].concat();
        assert_fails(&vigie(&command, &[]), 69, &["audit log", "127.0.0.1:1"]);
    }
}

#[test]
fn a_damaged_model_is_refused_with_its_name() {
    let dir = tempfile::tempdir().unwrap();
    let up = ["up", "--sample", "--api-listen", "127.0.0.1:0", "--model", dir.path().to_str().unwrap()];
    assert_fails(&vigie(&up, &[]), 64, &["--model", "model.json"]);
    let output = vigie(&["model", "score", "--model", dir.path().to_str().unwrap()], &[]);
    assert_fails(&output, 1, &["model.json"]);
}

#[test]
fn detect_answers_each_row_and_names_the_line_of_a_bad_one() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(b"timestamp,value\n2015-02-26 21:42:53,104\n2015-02-26 21:47:53,many\n").unwrap();
    let output = vigie(&["model", "detect", file.path().to_str().unwrap()], &[]);
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert!(
        stdout
            .starts_with("timestamp,value,anomaly_score,p10,p50,p90,tail_probability,alarm\n2015-02-26 21:42:53,104,"),
        "{stdout}"
    );
    assert_fails(&output, 1, &["line 3", "many"]);
}

#[test]
fn a_malformed_feed_is_an_error_and_a_good_one_is_printed() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(b"<html><body>not a feed</body></html>").unwrap();
    assert_fails(&vigie(&["source", "test", "--kind", "rss", file.path().to_str().unwrap()], &[]), 1, &["not a feed"]);

    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(
        br#"<rss version="2.0"><channel><title>T</title><link>https://example.org/</link><item><guid isPermaLink="false">7</guid>
        <title>Bitcoin rises</title><link>https://example.org/7</link><description>&lt;p&gt;Up &amp;amp; away&lt;/p&gt;</description>
        <pubDate>Mon, 09 May 2022 10:00:00 +0200</pubDate></item></channel></rss>"#,
    )
    .unwrap();
    let output = vigie(&["source", "test", "--kind", "rss", file.path().to_str().unwrap()], &[]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let post: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(post["title"], "Bitcoin rises");
    assert_eq!(post["text"], "Up & away");
    assert_eq!(post["published_at"], "2022-05-09T08:00:00Z");
    assert_eq!(post["url"], "https://example.org/7");
}

#[test]
fn sources_are_added_and_relative_links_start_at_the_base_given() {
    let dir = tempfile::tempdir().unwrap();
    let feed = dir.path().join("feed.xml");
    std::fs::write(&feed, "<rss><channel><item><title>t</title><link>/a</link></item></channel></rss>").unwrap();
    let feed = feed.to_str().unwrap();
    let output = vigie(&["source", "test", "--kind", "rss", "--base", "https://b.example/x/", feed], &[]);
    let post: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(post["url"], "https://b.example/a");
    assert_fails(
        &vigie(&["source", "test", "--kind", "rss", "--base", "b.example", feed], &[]),
        64,
        &["--base", "http"],
    );
    assert_fails(&vigie(&["source", "test", "--kind", "rss", "/nonexistent/feed"], &[]), 64, &["/nonexistent/feed"]);
    assert_fails(&vigie(&["source", "add", "ftp://example.org/"], &[]), 64, &["ftp"]);
    let list = dir.path().join("sources.toml");
    let add = ["source", "add", "http://127.0.0.1:1/", "--file", list.to_str().unwrap()];
    assert_fails(&vigie(&add, &[]), 69, &["127.0.0.1"]);
    assert!(!list.exists());
    let schema: serde_json::Value = serde_json::from_slice(&vigie(&["source", "schema"], &[]).stdout).unwrap();
    assert_eq!(schema["$defs"]["source"]["required"][0], "id");
}

#[test]
fn a_reader_that_stops_reading_is_no_error() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_vigie"))
        .args(["source", "schema"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn status_says_which_pipeline_is_away() {
    let away = ["status", "--api-url", "http://me:secret@127.0.0.1:1/"];
    let output = vigie(&away, &[]);
    assert_fails(&output, 69, &["127.0.0.1:1"]);
    assert!(!String::from_utf8_lossy(&output.stderr).contains("secret"));
    assert_fails(&vigie(&["status", "--api-url", "ftp://127.0.0.1/"], &[]), 64, &["http"]);
    assert_fails(&vigie(&["--json", "status", "--api-url", "http://127.0.0.1:1/"], &[]), 69, &["\"exit_code\":69"]);
}

#[test]
fn an_erasure_is_not_begun_without_a_yes_where_nobody_can_be_asked() {
    let author = "0123456789abcdef0123456789abcdef";
    assert_fails(&vigie(&["author", "erase", author, "--yes", "--dry-run"], &[]), 64, &["--dry-run"]);
    let away = ["--schema-registry-url", "http://me:secret@127.0.0.1:1"];
    let output = vigie(&[&["author", "erase", author, "--dry-run"], &away[..]].concat(), &[]);
    assert_fails(&output, 69, &["127.0.0.1:1"]);
    assert!(!String::from_utf8_lossy(&output.stderr).contains("secret"), "the registry's password is never shown");
}

#[test]
fn the_kind_of_a_file_is_found_out() {
    let fixtures = concat!(env!("CARGO_MANIFEST_DIR"), "/../producers/tests/fixtures/");
    for (file, kind) in [("news.rss", "rss"), ("hackernews.json", "hackernews"), ("bluesky_search.json", "bluesky")] {
        let output = vigie(&["source", "test", &format!("{fixtures}{file}")], &[]);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{stderr}");
        assert!(stderr.contains(&format!("kind {kind},")), "{file}: {stderr}");
    }
}

#[test]
fn what_is_installed_works_from_any_folder() {
    let prefix = tempfile::tempdir().unwrap();
    let installed = vigie(&["install", "--prefix", prefix.path().to_str().unwrap()], &[]);
    assert_eq!(installed.status.code(), Some(0), "{}", String::from_utf8_lossy(&installed.stderr));
    for file in [
        "share/man/man1/vigie-tail.1",
        "share/bash-completion/completions/vigie.bash",
        "share/zsh/site-functions/_vigie",
    ] {
        assert!(prefix.path().join(file).is_file(), "{file}");
    }
    let home = tempfile::tempdir().unwrap();
    let mut scoring = Command::new(prefix.path().join("bin/vigie"))
        .args(["model", "score"])
        .current_dir("/")
        .env("HOME", home.path())
        .env_remove("XDG_CACHE_HOME")
        .env_remove("ORT_DISABLE_TELEMETRY")
        .env_remove("ORT_DYLIB_PATH")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    scoring.stdin.take().unwrap().write_all(b"BTC is great, I love it\n").unwrap();
    let output = scoring.wait_with_output().unwrap();
    let score: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(score["label"], "positive", "{score}");
    // ONNX Runtime would put its telemetry here.
    assert_eq!(std::fs::read_dir(home.path()).unwrap().count(), 0);
}

#[test]
fn an_archive_is_listed_and_verified_and_damage_is_reported() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("file://{}", folder.path().display());
    let archive = |args: &[&str]| vigie(&[&["archive"], args].concat(), &[("VIGIE_ARCHIVE_URL", url.as_str())]);
    assert_fails(&vigie(&["archive", "list"], &[]), 64, &["--archive-url (VIGIE_ARCHIVE_URL)", "s3://bucket"]);
    assert_fails(&vigie(&["archive", "list", "--archive-url", "gs://x"], &[]), 64, &["gs://x", "file:///"]);
    assert_fails(&archive(&["list"]), 1, &["nothing is archived in", &url]);

    let scored = ["--topic", "insights.sentiment.v1"];
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let file = runtime.block_on(archived::<RawPost>(&url));
    let text = |output: Output| String::from_utf8(output.stdout).unwrap();
    let path = folder.path().join(&file);
    assert_eq!(text(archive(&["list"])).lines().count(), 1, "an archive from before scored posts were archived");
    assert_fails(&archive(&[&["list"], &scored[..]].concat()), 1, &["nothing of insights.sentiment.v1 is archived"]);
    assert_fails(&archive(&["list", "--topic", "posts.raw"]), 64, &["posts.raw.v1 or insights.sentiment.v1"]);
    let scored_file = folder.path().join(runtime.block_on(archived::<ScoredPost>(&url)));
    let listed = text(archive(&["list"]));
    for (line, topic) in listed.lines().zip(["posts.raw.v1", "insights.sentiment.v1"]) {
        assert!(line.starts_with(&format!("{topic}-2: offsets 5 to 9, 3 records in 1 file, ")), "{listed}");
    }
    assert_eq!(text(archive(&["list", "--files"])).trim_end(), path.to_str().unwrap());
    let files = text(archive(&[&["list", "--files"], &scored[..]].concat()));
    assert_eq!(files.trim_end(), scored_file.to_str().unwrap());
    let sound = archive(&["verify", "--offline"]);
    assert_eq!(sound.status.code(), Some(0));
    let of = |topic| format!("{topic}-2: 3 records in 1 file, 0 compared with Kafka: as written\n");
    assert_eq!(text(sound), of("posts.raw.v1") + &of("insights.sentiment.v1"));
    assert_eq!(text(archive(&[&["verify", "--offline"], &scored[..]].concat())), of("insights.sentiment.v1"));
    assert_fails(&archive(&["verify", "--kafka-brokers", "127.0.0.1:1"]), 69, &["127.0.0.1:1"]);

    std::fs::write(&path, "damaged").unwrap();
    let damaged = archive(&["--json", "verify", "--offline"]);
    assert_fails(&damaged, 1, &["the archive has 1 flaw"]);
    assert!(text(damaged).contains(&format!("{file}: SHA-256 is ")));
}

/// Three deletions at offsets 6 to 8; the path of their file.
async fn archived<R: vigie_archive::Archived>(url: &str) -> String {
    use vigie_archive::{Archive, Content, FileWriter, Manifest, Row, Span};
    let archive = Archive::open(&url.parse().unwrap()).unwrap();
    let mut writer = FileWriter::<R>::new().unwrap();
    for offset in 6..9 {
        let appended_at = vigie_clock::Timestamp::from_millis(1_800_000_000_000 + offset);
        let content = Content::Deleted(format!("reddit:{offset}"));
        writer.push(Row { partition: 2, offset, appended_at, content }).unwrap();
    }
    let (topic, span) = (R::TOPIC.name(), Span { first_offset: 5, next_offset: 9 });
    let file = archive.put(topic, 2, span, writer.finish().unwrap().unwrap()).await.unwrap();
    let mut manifest = Manifest::starting_at(topic, 2, 5);
    manifest.add(file.clone());
    archive.commit(None, manifest).await.unwrap();
    file.path
}
