//! `./dev test`: every test, against servers that all of them share.

use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Mutex, mpsc};
use std::time::Instant;

use crate::fetch::{Fetch, Scratch};
use crate::run::{Failed, Result, cargo, output_of, program, run};

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
    // Of the examples only the one that holds the servers.
    run(cargo(["build", "--workspace", "--example", "hold"]))?;
    let build = ["test", "--workspace", "--tests", "--no-run", "--message-format=json-render-diagnostics"];
    let mut programs = Program::of_messages(&output_of(&mut cargo(build))?);
    programs.sort_by_key(|program| LONGEST.iter().position(|name| program.name == *name).unwrap_or(LONGEST.len()));
    let built = Instant::now();
    let scratch = fetch.scratch("servers")?;
    let stack = hold(fetch, &scratch)?;
    eprintln!("dev: servers are up, running the tests");
    let mut commands: Vec<(String, Command)> = programs.iter().map(Program::command).collect();
    commands.push(("documentation".to_owned(), cargo(["test", "--workspace", "--doc", "--no-fail-fast", "--"])));
    for (_, command) in &mut commands {
        command.args(filter).envs(servers.iter().map(|(name, value)| (name, value)));
        command.env("VIGIE_TEST_PYTHON", &python).env("VIGIE_TEST_STACK", &stack.said);
    }
    let (success, log) = run_beside_each_other(commands)?;
    drop(stack);
    let path = fetch.cache().join("test.log");
    std::fs::write(&path, &log).map_err(|error| Failed::because(format!("{}: {error}", path.display())))?;
    let sum = Sum::of(&log);
    println!("dev: {} passed, {} failed, {} skipped", sum.passed, sum.failed, sum.skipped);
    let seconds = |since: Instant, until: Instant| until.duration_since(since).as_secs();
    eprintln!("dev: built in {} s, tested in {} s", seconds(began, built), seconds(built, Instant::now()));
    match success && sum.passed > 0 {
        true => Ok(()),
        false => Err(Failed { code: 1, why: "FAILED".to_owned() }),
    }
}

/// Programs that run at once: their own tests already run in parallel. Two have not been tried over
/// a whole run on two cores.
const AT_ONCE: usize = 1;

/// The programs that run longest, in the order in which they begin; the others follow.
const LONGEST: [&str; 9] =
    ["pipeline", "broker", "it", "chaos", "real_servers", "api", "kafka", "topologies", "servers"];

/// A program of tests.
#[derive(Debug, PartialEq)]
struct Program {
    name: String,
    /// Of its crate, where it runs.
    folder: PathBuf,
    file: PathBuf,
}

impl Program {
    /// Those that cargo says it has built, one message a line.
    fn of_messages(messages: &str) -> Vec<Self> {
        messages.lines().filter_map(Self::of_message).collect()
    }

    fn of_message(line: &str) -> Option<Self> {
        let text = |from: &str, name: &str| {
            let (_, rest) = from.split_once(&format!(r#""{name}":""#))?;
            Some(rest.split_once('"')?.0.to_owned())
        };
        let (_, target) = line.split_once(r#""target":{"#)?;
        let (_, profile) = target.split_once(r#""profile":{"#)?;
        if !profile.split_once('}')?.0.contains(r#""test":true"#) {
            return None;
        }
        let manifest = PathBuf::from(text(line, "manifest_path")?);
        Some(Self {
            name: text(target, "name")?,
            folder: manifest.parent()?.to_owned(),
            file: text(target, "executable")?.into(),
        })
    }

    /// What is said of it, and how cargo runs it.
    fn command(&self) -> (String, Command) {
        let mut command = program(&self.file);
        command.current_dir(&self.folder).env("CARGO_MANIFEST_DIR", &self.folder);
        (format!("{} of {}", self.name, self.folder.display()), command)
    }
}

/// Runs programs, some at once, and prints what each said when it has ended. True if all succeeded,
/// and all that they said.
fn run_beside_each_other(commands: Vec<(String, Command)>) -> Result<(bool, String)> {
    let waiting = Mutex::new(commands.into_iter());
    let next = || waiting.lock().ok().and_then(|mut waiting| waiting.next());
    let (sender, ended) = mpsc::channel();
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            let sender = sender.clone();
            scope.spawn(move || {
                while let Some((name, command)) = next() {
                    eprintln!("dev: running {name}");
                    let _ = sender.send((name, captured(command)));
                }
            });
        }
        drop(sender);
        let (mut success, mut log) = (true, String::new());
        for (name, outcome) in ended {
            let (succeeded, said) = outcome.map_err(|error| Failed::because(format!("{name}: {error}")))?;
            let block = format!("     Ran {name}{}\n{said}", if succeeded { "" } else { ", which FAILED" });
            println!("{block}");
            log.push_str(&block);
            success &= succeeded;
        }
        Ok((success, log))
    })
}

/// Runs a program; true if it succeeded, and what it said.
fn captured(mut command: Command) -> std::io::Result<(bool, String)> {
    let (mut reader, writer) = std::io::pipe()?;
    let mut child = command.stdin(Stdio::null()).stdout(writer.try_clone()?).stderr(writer).spawn()?;
    // It holds the pipe's other end open.
    drop(command);
    let mut said = Vec::new();
    reader.read_to_end(&mut said)?;
    Ok((child.wait()?.success(), String::from_utf8_lossy(&said).into_owned()))
}

/// The closing lines of test programs, one for each test program, added up.
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
    fn what_each_program_says_is_kept_together_and_a_failure_seen() {
        let shell = |name: &str, script: &str| {
            let mut shell = Command::new("sh");
            shell.args(["-c", script]);
            (name.to_owned(), shell)
        };
        let good = shell("good", "echo out");
        let (success, said) = run_beside_each_other(vec![good]).ok().expect("sh runs");
        assert_eq!((success, said.as_str()), (true, "     Ran good\nout\n"));
        let both = vec![shell("bad", "echo a; sleep 0.05; echo b >&2; exit 3"), shell("good", "echo out")];
        let (success, said) = run_beside_each_other(both).ok().expect("sh runs");
        assert!(!success && said.contains("     Ran bad, which FAILED\na\nb\n") && said.contains("out\n"), "{said}");
    }

    #[test]
    fn programs_of_tests_are_found_among_what_cargo_built() {
        let message = |name: &str, test: bool, executable: &str| {
            format!(
                r#"{{"reason":"compiler-artifact","package_id":"path+file:///v/api#0.1.0","manifest_path":"/v/api/Cargo.toml","target":{{"kind":["test"],"crate_types":["bin"],"name":"{name}","src_path":"/v/api/tests/a.rs","edition":"2024","doc":false,"doctest":false,"test":true}},"profile":{{"opt_level":"0","debuginfo":1,"debug_assertions":true,"overflow_checks":true,"test":{test}}},"features":[],"filenames":["{executable}"],"executable":{},"fresh":true}}"#,
                if executable.is_empty() { "null".to_owned() } else { format!("\"{executable}\"") }
            )
        };
        let built = [
            message("vigie_api", false, ""),
            message("vigie", false, "/v/target/debug/vigie"),
            message("api", true, "/v/target/debug/deps/api-1"),
            r#"{"reason":"build-finished","success":true}"#.to_owned(),
        ];
        let api = Program { name: "api".into(), folder: "/v/api".into(), file: "/v/target/debug/deps/api-1".into() };
        assert_eq!(Program::of_messages(&built.join("\n")), [api]);
    }
}
