use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use nix::sys::signal::kill;
use nix::unistd::Pid;
use vigie_stack::{ServerKind, Stack, StackConfig};

const PARENT: &str = "VIGIE_TEST_PARENT_DIR";

/// What the parent that is going to be killed does: starts a stack, prints its servers' process ids, and waits for its end.
async fn be_the_parent(dir: &str) {
    let stack = Stack::start(StackConfig::new(dir)).await.unwrap();
    let pids: Vec<String> =
        stack.servers().iter().filter_map(|server| server.status().pid.map(|pid| pid.to_string())).collect();
    println!("\nPIDS {}", pids.join(" "));
    std::future::pending::<()>().await;
}

fn runs(pid: i32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let is_zombie = status.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('Z'));
    kill(Pid::from_raw(pid), None).is_ok() && !is_zombie
}

/// Runs this test again as a process of its own, in the part of the parent.
fn spawn_parent(dir: &Path) -> (std::process::Child, Vec<i32>) {
    let mut parent = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "orphans::parent_killed_leaves_no_orphan", "--nocapture"])
        .env(PARENT, dir)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(parent.stdout.take().unwrap()).lines();
    let pids = lines.map_while(Result::ok).find_map(|line| line.strip_prefix("PIDS ").map(str::to_owned));
    let pids = pids.expect("the parent starts its servers").split(' ').map(|pid| pid.parse().unwrap()).collect();
    (parent, pids)
}

#[tokio::test]
async fn parent_killed_leaves_no_orphan() {
    if let Ok(dir) = std::env::var(PARENT) {
        return be_the_parent(&dir).await;
    }
    let dir = tempfile::tempdir().unwrap();
    let (mut parent, pids) = spawn_parent(dir.path());
    assert_eq!(pids.len(), 3);
    assert!(pids.iter().all(|pid| runs(*pid)));
    parent.kill().unwrap();
    parent.wait().unwrap();

    // The data dir's lock is free only once the watchdog has seen the servers end.
    let next = Stack::start(StackConfig::new(dir.path())).await.unwrap();
    let left: Vec<&i32> = pids.iter().filter(|pid| runs(**pid)).collect();
    assert!(left.is_empty(), "processes {left:?} outlive their parent");
    assert!(next.server(ServerKind::Postgres).is_some());
    next.stop().await;
}
