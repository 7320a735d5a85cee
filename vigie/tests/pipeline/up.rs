//! A running `vigie up`, and what a user can see of it.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tokio::runtime::Runtime;
use vigie_clock::{Clock, SystemClock};

/// How often a condition is asked for.
const ASK: Duration = Duration::from_millis(500);

/// A third of the usual posts, over the usual six hours: some three thousand, each of which costs a
/// debug build much.
pub(crate) const SAMPLE: [&str; 3] = ["--sample", "--sample-rate", "4"];

pub(crate) struct Up {
    child: Child,
    started: Value,
    runtime: Runtime,
    client: reqwest::Client,
    clock: SystemClock,
    /// How long conditions may take to come true.
    pub(crate) patience: Duration,
}

impl Up {
    /// Starts it in `dir` on free ports and waits until it says that it is up.
    pub(crate) fn start(dir: &Path, args: &[&str]) -> Self {
        Self::start_with(dir, args, &[])
    }

    /// As [`Self::start`], with more environment.
    pub(crate) fn start_with(dir: &Path, args: &[&str], env: &[(&str, &str)]) -> Self {
        let log = std::fs::File::options().create(true).append(true).open(dir.join("up.log")).unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_vigie"))
            .args(["--json", "up", "--api-listen", "127.0.0.1:0", "--data-dir"])
            .arg(dir.join("data"))
            .args(args)
            .envs(env.iter().copied())
            .current_dir(root())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let log = || std::fs::read_to_string(dir.join("up.log")).unwrap_or_default();
        let started = serde_json::from_str(&line).unwrap_or_else(|e| panic!("{e}: {line:?}\n{}", log()));
        // The same TLS provider as the product's; plain HTTP needs none, the client asks for one all the same.
        let _ = rustls::crypto::ring::default_provider().install_default();
        Self {
            child,
            started,
            runtime: Runtime::new().unwrap(),
            client: reqwest::Client::builder().no_proxy().build().unwrap(),
            clock: SystemClock::default(),
            patience: Duration::from_secs(120),
        }
    }

    /// Base URL of the API, without a slash at the end.
    pub(crate) fn url(&self) -> &str {
        self.started["dashboard"].as_str().unwrap().trim_end_matches('/')
    }

    /// An address that it printed at its start.
    pub(crate) fn endpoint(&self, name: &str) -> &str {
        self.started[name].as_str().unwrap_or_else(|| panic!("no {name} in {}", self.started))
    }

    pub(crate) fn text(&self, path: &str) -> String {
        let url = format!("{}{path}", self.url());
        self.runtime.block_on(async { self.client.get(url).send().await.unwrap().text().await.unwrap() })
    }

    /// Asks until the answer is a success that satisfies `condition`.
    pub(crate) fn wait_for(&self, path: &str, condition: impl Fn(&Value) -> bool) -> Value {
        let url = format!("{}{path}", self.url());
        let mut last = String::new();
        let found = self.ask(|| {
            let answer = self.runtime.block_on(async {
                let response = self.client.get(&url).send().await.ok()?;
                Some((response.status(), response.text().await.ok()?))
            });
            let (status, text) = answer?;
            last = format!("{status} {}", text.chars().take(2000).collect::<String>());
            let value = serde_json::from_str(&text).unwrap_or(Value::Null);
            (status.is_success() && condition(&value)).then_some(value)
        });
        found.unwrap_or_else(|| panic!("{path} after {:?}: {last}", self.patience))
    }

    /// Asks with a token until status and answer satisfy `condition`.
    pub(crate) fn until(&self, path: &str, token: &str, condition: impl Fn(u16, &Value) -> bool) -> Value {
        let url = format!("{}{path}", self.url());
        let mut last = String::new();
        let found = self.ask(|| {
            let (status, text) = self.runtime.block_on(async {
                let response = self.client.get(&url).bearer_auth(token).send().await.ok()?;
                Some((response.status().as_u16(), response.text().await.ok()?))
            })?;
            last = format!("{status} {}", text.chars().take(2000).collect::<String>());
            let value = serde_json::from_str(&text).unwrap_or(Value::Null);
            condition(status, &value).then_some(value)
        });
        found.unwrap_or_else(|| panic!("{path} after {:?}: {last}", self.patience))
    }

    /// Looks until what is seen passes the test.
    pub(crate) fn settled<T>(&self, look: impl Fn(&Self) -> T, test: impl Fn(&T, &Self) -> bool) -> T {
        let found = self.ask(|| Some(look(self)).filter(|seen| test(seen, self)));
        found.unwrap_or_else(|| panic!("not settled after {:?}", self.patience))
    }

    fn ask<T>(&self, mut question: impl FnMut() -> Option<T>) -> Option<T> {
        let deadline = self.clock.monotonic() + self.patience;
        let mut pace = self.runtime.block_on(async { tokio::time::interval(ASK) });
        while self.clock.monotonic() < deadline {
            if let Some(answer) = question() {
                return Some(answer);
            }
            self.runtime.block_on(pace.tick());
        }
        None
    }

    /// The first event of a server-sent stream.
    pub(crate) fn first_event(&self, path: &str) -> String {
        let url = format!("{}{path}", self.url());
        self.runtime.block_on(async {
            let events = async {
                let mut response = self.client.get(url).send().await.unwrap();
                let mut text = String::new();
                while let Some(chunk) = response.chunk().await.unwrap() {
                    text.push_str(&String::from_utf8_lossy(&chunk));
                    if text.contains("data:") {
                        break;
                    }
                }
                text
            };
            tokio::time::timeout(self.patience, events).await.unwrap()
        })
    }

    /// It, and all processes below it.
    #[cfg(target_os = "linux")]
    pub(crate) fn processes(&self) -> Vec<Process> {
        let read = |pid: u32, file: &str| std::fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
        let parent = |pid: u32| -> Option<u32> {
            // Behind the name, which may have any characters, are the state and the parent.
            let stat = String::from_utf8_lossy(&read(pid, "stat")).into_owned();
            stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse().ok()
        };
        let all: Vec<u32> = std::fs::read_dir("/proc")
            .unwrap()
            .flatten()
            .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
            .collect();
        let mut found = vec![self.child.id()];
        let mut at = 0;
        while let Some(above) = found.get(at).copied() {
            found.extend(all.iter().copied().filter(|pid| parent(*pid) == Some(above)));
            at += 1;
        }
        let process = |pid: u32| Process {
            name: String::from_utf8_lossy(&read(pid, "comm")).trim_end().to_owned(),
            arguments: read(pid, "cmdline"),
            environment: read(pid, "environ"),
        };
        found.into_iter().map(process).collect()
    }

    /// Asks it to stop as a service manager does; how long that took.
    pub(crate) fn stop(&mut self, within: Duration) -> Duration {
        kill(Pid::from_raw(i32::try_from(self.child.id()).unwrap()), Signal::SIGTERM).unwrap();
        let started = self.clock.monotonic();
        let mut pace = self.runtime.block_on(async { tokio::time::interval(Duration::from_millis(50)) });
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(self.clock.monotonic() - started < within, "still running {within:?} after SIGTERM");
            self.runtime.block_on(pace.tick());
        };
        assert_eq!(status.code(), Some(0));
        self.clock.monotonic() - started
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What can be seen of a process in `/proc`.
#[cfg(target_os = "linux")]
pub(crate) struct Process {
    pub(crate) name: String,
    pub(crate) arguments: Vec<u8>,
    pub(crate) environment: Vec<u8>,
}

#[cfg(target_os = "linux")]
impl std::fmt::Debug for Process {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let arguments = String::from_utf8_lossy(&self.arguments).replace('\0', " ");
        write!(f, "{} ({arguments}; {} bytes of environment)", self.name, self.environment.len())
    }
}

/// The repository.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap()
}

/// Python with the packages of tests/python/requirements.txt, as `./dev test` provides it.
pub(crate) fn python(args: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os("VIGIE_TEST_PYTHON").unwrap_or_else(|| "python3".into()));
    command.args(args).current_dir(root());
    command
}

/// Command lines of processes that name a path.
pub(crate) fn processes_naming(path: &Path) -> Vec<String> {
    let output = Command::new("ps").args(["-eo", "args"]).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.lines().filter(|line| line.contains(path.to_str().unwrap())).map(str::to_owned).collect()
}
