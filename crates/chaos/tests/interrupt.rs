//! An interrupted run leaves nothing behind.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use std::fs::{File, OpenOptions, Permissions};
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Stands in for the program under test: its jobs succeed at once, its services say their process id and are never ready.
const PROGRAM: &str =
    "#!/bin/sh\ncase $1 in topics|schemas|migrate) ;; *) echo $$ >\"$STARTED\"; exec sleep 1000 ;; esac\n";
const SERVICES: usize = 8;

fn executable(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, Permissions::from_mode(0o755)).unwrap();
}

/// A pipe with a name; open in both directions, so that it has no end.
fn pipe(path: &Path) -> BufReader<File> {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
    BufReader::new(OpenOptions::new().read(true).write(true).open(path).unwrap())
}

#[test]
fn sigterm_stops_services_and_servers_and_removes_what_they_wrote() {
    let dir = tempfile::tempdir().unwrap();
    // PostgreSQL may run as another user.
    std::fs::set_permissions(dir.path(), Permissions::from_mode(0o711)).unwrap();
    let (program, started, runs) = (dir.path().join("program"), dir.path().join("started"), dir.path().join("runs"));
    executable(&program, PROGRAM);
    std::fs::create_dir(&runs).unwrap();
    std::fs::set_permissions(&runs, Permissions::from_mode(0o711)).unwrap();
    let said = pipe(&started);
    let mut chaos = Command::new(env!("CARGO_BIN_EXE_vigie-chaos"))
        .args(["--kafka-nodes", "1", "--posts", "100", "--vigie"])
        .arg(&program)
        .env("STARTED", &started)
        .env("TMPDIR", &runs)
        .spawn()
        .unwrap();
    let services: Vec<i32> = said.lines().take(SERVICES).map(|line| line.unwrap().parse().unwrap()).collect();
    kill(Pid::from_raw(i32::try_from(chaos.id()).unwrap()), Signal::SIGTERM).unwrap();
    assert_eq!(chaos.wait().unwrap().code(), Some(1));
    for pid in services {
        assert_eq!(kill(Pid::from_raw(pid), None), Err(Errno::ESRCH), "service {pid} runs");
    }
    let processes = Command::new("ps").args(["-axo", "pid=,args="]).output().unwrap();
    let processes = String::from_utf8_lossy(&processes.stdout).into_owned();
    let left: Vec<&str> = processes.lines().filter(|line| line.contains(&*runs.to_string_lossy())).collect();
    assert!(left.is_empty(), "{left:#?}");
    assert_eq!(std::fs::read_dir(&runs).unwrap().count(), 0, "the folder of the run is there");
}
