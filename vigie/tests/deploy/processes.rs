//! The compose file without containers: its jobs and services as processes over the servers of the tests.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use vigie_clock::{Clock, SystemClock};
use vigie_stack::testing::TestStack;

use crate::manifests::{Container, compose_containers, root, subcommand};

const PATIENCE: Duration = Duration::from_secs(90);
const FEED: &str = r#"<?xml version="1.0"?><rss version="2.0"><channel><title>t</title><item><guid>compose-1</guid>
<title>Bitcoin is in trouble</title><description>I lost everything with BTC, this is a terrible crash and nobody cares.</description>
<pubDate>Wed, 01 May 2024 12:00:00 GMT</pubDate></item></channel></rss>"#;

/// A web site with one feed of one post, for as long as the test runs. Answers its port.
fn site() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
            let request = lines.next().unwrap_or_default();
            lines.find(String::is_empty);
            let (status, body) = if request.contains("/feed.xml") { ("200 OK", FEED) } else { ("404 Not Found", "") };
            let kind = "Content-Type: application/rss+xml\r\nConnection: close";
            let _ = write!(stream, "HTTP/1.1 {status}\r\n{kind}\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        }
    });
    port
}

/// Below those of outgoing connections, one of which could take it before its service does, and below those of the stack.
pub(crate) fn free_port() -> u16 {
    static GIVEN: AtomicU16 = AtomicU16::new(0);
    let first = u16::try_from(std::process::id() % 4_000).unwrap();
    let candidates = std::iter::repeat_with(|| 10_000 + (first + GIVEN.fetch_add(1, Ordering::Relaxed)) % 5_000);
    candidates.take(5_000).find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok()).expect("a free port")
}

/// Asks until there is an answer.
fn eventually<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let clock = SystemClock::default();
    while clock.monotonic() < PATIENCE {
        if let Some(answer) = ask() {
            return answer;
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    panic!("{what}: not within {PATIENCE:?}");
}

fn get(port: u16, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    answer.starts_with("HTTP/1.0 200").then_some(answer)
}

/// What a container's process gets: the compose file's environment with the addresses of this test in place of its own.
pub(crate) struct Place<'a> {
    pub(crate) stack: &'a TestStack,
    pub(crate) dir: &'a Path,
    pub(crate) api: u16,
    /// What else a process of this subcommand gets, as `sink-redis`.
    pub(crate) more: &'a dyn Fn(&str) -> Vec<(&'static str, String)>,
}

impl Place<'_> {
    pub(crate) fn command(&self, container: &Container, ops: u16) -> Command {
        let here = BTreeMap::from([
            ("VIGIE_KAFKA_BROKERS", self.stack.brokers.clone()),
            ("VIGIE_SCHEMA_REGISTRY_URL", self.stack.registry_url.clone()),
            ("VIGIE_POSTGRES_URL", self.stack.postgres_url.clone()),
            ("VIGIE_REDIS_URL", self.stack.redis_url.clone()),
            ("VIGIE_API_LISTEN", format!("127.0.0.1:{}", self.api)),
            ("VIGIE_OPS_LISTEN", format!("127.0.0.1:{ops}")),
            ("VIGIE_STATE_DIR", self.dir.join("state").display().to_string()),
            ("VIGIE_AUTHOR_KEY", "the key of the compose test".to_owned()),
            ("VIGIE_AUTHOR_KEYRING", format!("1 {}", "01".repeat(32))),
        ]);
        let mut command = Command::new(env!("CARGO_BIN_EXE_vigie"));
        // As in the image: the model is found from the working directory.
        command.args(&container.args).current_dir(root()).stdin(Stdio::null());
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("VIGIE_")) {
            command.env_remove(name);
        }
        for (name, value) in &container.env {
            let value = here.get(name.as_str()).or(value.as_ref());
            command.env(name, value.unwrap_or_else(|| panic!("{}: {name} has no value", container.place)));
        }
        // Tests share the servers.
        command.env("VIGIE_KAFKA_TOPIC_PREFIX", &self.stack.prefix).env("VIGIE_REDIS_PREFIX", &self.stack.prefix);
        command.env("VIGIE_SOURCES", self.dir.join("sources.toml"));
        command.envs((self.more)(&subcommand(&container.args).join("-")));
        command
    }
}

struct Service {
    place: String,
    port: u16,
    child: Child,
    log: std::path::PathBuf,
}

impl Service {
    fn spawn(place: &Place<'_>, container: &Container) -> Self {
        let ops = free_port();
        let log = place.dir.join(format!("{}.log", subcommand(&container.args).join("-")));
        let child = place.command(container, ops).stderr(std::fs::File::create(&log).unwrap()).spawn().unwrap();
        let port = if container.args == ["api"] { place.api } else { ops };
        Self { place: container.place.clone(), port, child, log }
    }

    /// As the image's HEALTHCHECK sees it.
    fn is_healthy(&mut self) -> bool {
        if let Some(status) = self.child.try_wait().unwrap() {
            panic!("{} ended with {status}: {}", self.place, std::fs::read_to_string(&self.log).unwrap());
        }
        let check = root().join("docker/healthcheck");
        Command::new(check).arg(self.port.to_string()).stderr(Stdio::null()).status().unwrap().success()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn the_compose_file_describes_a_working_pipeline() {
    let stack = vigie_stack::testing::shared();
    let dir = tempfile::tempdir().unwrap();
    run(&Place { stack: &stack, dir: dir.path(), api: free_port(), more: &|_| Vec::new() });
}

/// Runs jobs and services until a post has come from its source to the API, and ends the services.
pub(crate) fn run(place: &Place<'_>) {
    let source = format!(
        "[[source]]\nid = \"feed\"\nkind = \"rss\"\nurl = \"http://127.0.0.1:{}/feed.xml\"\nevery_seconds = 1\nlocal = true\n",
        site()
    );
    std::fs::write(place.dir.join("sources.toml"), source).unwrap();

    let (jobs, services): (Vec<_>, Vec<_>) =
        compose_containers().into_iter().partition(|container| crate::JOBS.contains(&&*container.args.join(" ")));
    for container in jobs.iter().chain(&jobs) {
        let output = place.command(container, 0).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{} ended with {}: {said}", container.place, output.status);
    }
    let mut services: Vec<Service> = services.iter().map(|container| Service::spawn(place, container)).collect();
    for service in &mut services {
        eventually(&format!("{} is healthy", service.place), || service.is_healthy().then_some(()));
    }

    let answer = eventually("the post is in the api", || {
        get(place.api, "/v1/assets/BTC/posts").filter(|answer| answer.contains("Bitcoin is in trouble"))
    });
    assert!(answer.contains("\"label\":\"negative\""), "{answer}");
    eventually("the window is in the api", || {
        let series =
            get(place.api, "/v1/assets/BTC/series?from=2024-05-01T12:00:00Z&to=2024-05-01T12:05:00Z&metrics=posts");
        series.filter(|answer| answer.contains("\"posts\":1"))
    });

    for service in &services {
        kill(Pid::from_raw(i32::try_from(service.child.id()).unwrap()), Signal::SIGTERM).unwrap();
    }
    for service in &mut services {
        let status = service.child.wait().unwrap();
        assert!(status.success(), "{} ended with {status} after SIGTERM", service.place);
    }
}
