//! `./dev test`: every test, against servers that all of them share.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Instant;

use crate::fetch::{Fetch, Scratch};
use crate::run::{Failed, Result, cargo, program, run};

/// A program that runs as long as a task does. One that reads its standard input ends with this program even if that is killed.
pub(crate) struct Held {
    child: Child,
    input: Option<ChildStdin>,
    /// The first line that it printed.
    pub(crate) said: String,
}

impl Held {
    /// Starts a program and waits for its first line.
    pub(crate) fn start(command: &mut Command) -> Result<Self> {
        let spawned = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut child = spawned.map_err(|error| Failed::because(format!("the servers cannot be started: {error}")))?;
        let (input, mut said) = (child.stdin.take(), String::new());
        if let Some(output) = child.stdout.take() {
            let _ = BufReader::new(output).read_line(&mut said);
        }
        match said.trim() {
            "" => Err(Failed::because("the servers did not start")),
            line => Ok(Self { said: line.to_owned(), child, input }),
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let terminated = run(program("kill").args(["-TERM", &self.child.id().to_string()]));
        drop(self.input.take());
        if terminated.is_ok() {
            let _ = self.child.wait();
        }
    }
}

/// Starts Kafka, PostgreSQL and Redis in a folder that goes with them; what it says are their addresses, in JSON.
pub(crate) fn hold(fetch: &Fetch, scratch: &Scratch) -> Result<Held> {
    let data = scratch.path().join("data");
    Held::start(program("target/debug/examples/hold").arg("--ephemeral").arg(data).envs(fetch.servers()?))
}

#[expect(clippy::disallowed_methods, reason = "how long people waited, nothing that is tested")]
pub(crate) fn run_all(fetch: &Fetch, filter: &[String]) -> Result {
    let began = Instant::now();
    let servers = fetch.servers()?;
    let python = fetch.python("python-tests", "tests/python/requirements.txt")?;
    // The example `hold` with them.
    run(cargo(["test", "--workspace", "--no-run"]))?;
    let built = Instant::now();
    let scratch = fetch.scratch("servers")?;
    let stack = hold(fetch, &scratch)?;
    eprintln!("dev: servers are up, running the tests");
    let mut tests = cargo(["test", "--workspace", "--no-fail-fast", "--"]);
    tests.args(filter).envs(servers).env("VIGIE_TEST_PYTHON", python).env("VIGIE_TEST_STACK", &stack.said);
    let (success, log) = tee(tests, &fetch.cache().join("test.log"))?;
    drop(stack);
    let sum = Sum::of(&log);
    println!("dev: {} passed, {} failed, {} skipped", sum.passed, sum.failed, sum.skipped);
    let seconds = |since: Instant, until: Instant| until.duration_since(since).as_secs();
    eprintln!("dev: built in {} s, tested in {} s", seconds(began, built), seconds(built, Instant::now()));
    match success && sum.passed > 0 {
        true => Ok(()),
        false => Err(Failed { code: 1, why: "FAILED".to_owned() }),
    }
}

/// Runs a program, prints what it says as it says it, and keeps it; true if it succeeded.
fn tee(mut command: Command, log: &Path) -> Result<(bool, String)> {
    let cannot = |error: std::io::Error| Failed::because(format!("the tests cannot be run: {error}"));
    let (reader, writer) = std::io::pipe().map_err(cannot)?;
    let out = writer.try_clone().map_err(cannot)?;
    let mut child = command.stdout(out).stderr(writer).spawn().map_err(cannot)?;
    // It holds the pipe's other end open.
    drop(command);
    let mut kept = String::new();
    for line in BufReader::new(reader).split(b'\n') {
        let line = String::from_utf8_lossy(&line.map_err(cannot)?).into_owned();
        println!("{line}");
        kept.push_str(&line);
        kept.push('\n');
    }
    let mut file = std::fs::File::create(log).map_err(cannot)?;
    file.write_all(kept.as_bytes()).map_err(cannot)?;
    Ok((child.wait().map_err(cannot)?.success(), kept))
}

/// Cargo's own closing lines, one for each test program, added up.
#[derive(Debug, Default, PartialEq)]
struct Sum {
    passed: u64,
    failed: u64,
    skipped: u64,
}

impl Sum {
    fn of(log: &str) -> Self {
        let mut sum = Self::default();
        for line in log.lines().filter(|line| line.starts_with("test result:")) {
            let words: Vec<&str> = line.split_whitespace().collect();
            for pair in words.windows(2) {
                let [count, what] = pair else { continue };
                let Ok(count) = count.parse::<u64>() else { continue };
                match *what {
                    "passed;" => sum.passed += count,
                    "failed;" => sum.failed += count,
                    "ignored;" => sum.skipped += count,
                    _ => {}
                }
            }
        }
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closing_lines_are_added_up() {
        let log = "running 3 tests\ntest result: ok. 2 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.1s\n\
                   error: 1 passed; 1 failed\n\
                   test result: FAILED. 3 passed; 1 failed; 0 ignored; 0 measured; 4 filtered out; finished in 2.00s\n";
        assert_eq!(Sum::of(log), Sum { passed: 5, failed: 1, skipped: 1 });
    }

    #[test]
    fn what_a_program_says_is_kept_and_its_failure_seen() {
        let log = std::env::temp_dir().join(format!("vigie-xtask-{}.log", std::process::id()));
        let mut shell = Command::new("sh");
        shell.args(["-c", "echo out; echo err >&2; exit 3"]);
        let (success, said) = tee(shell, &log).ok().expect("sh runs");
        assert!(!success);
        assert_eq!(said, "out\nerr\n");
        assert_eq!(std::fs::read_to_string(&log).expect("the log is written"), said);
        let _ = std::fs::remove_file(log);
    }
}
