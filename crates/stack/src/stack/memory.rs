//! Resident memory of the servers.

use std::collections::BTreeMap;
use std::fs;

use serde::Serialize;
use tokio::process::Command;

use crate::environment;

/// What one server holds in memory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ServerMemory {
    /// `kafka-1`, `postgres`, `redis`; the registry is part of the own process.
    pub server: String,
    /// Bytes of its process and all below it; pages that several of them share count once (Linux) or for each (elsewhere).
    pub bytes: u64,
}

/// Memory of the process trees with these roots.
pub(crate) async fn of_trees(roots: Vec<(String, u32)>) -> std::io::Result<Vec<ServerMemory>> {
    let output = Command::new("ps")
        .env_clear()
        .envs(environment::kept())
        .args(["-axo", "pid=,ppid=,rss="])
        .kill_on_drop(true)
        .output()
        .await?;
    let table = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut children: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    let mut resident: BTreeMap<u32, u64> = BTreeMap::new();
    for line in table.lines() {
        let numbers: Vec<u64> = line.split_whitespace().filter_map(|word| word.parse().ok()).collect();
        let [pid, parent, kib] = numbers[..] else { continue };
        let (Ok(pid), Ok(parent)) = (u32::try_from(pid), u32::try_from(parent)) else { continue };
        children.entry(parent).or_default().push(pid);
        resident.insert(pid, kib * 1024);
    }
    let mut memory = Vec::new();
    for (server, root) in roots {
        let (mut bytes, mut open) = (0, vec![root]);
        while let Some(pid) = open.pop() {
            bytes += proportional(pid).or_else(|| resident.get(&pid).copied()).unwrap_or(0);
            open.extend(children.get(&pid).into_iter().flatten());
        }
        memory.push(ServerMemory { server, bytes });
    }
    Ok(memory)
}

/// Proportional set size, on Linux: shared pages are divided among those who share them.
fn proportional(pid: u32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:"))?;
    Some(line.trim().trim_end_matches(" kB").parse::<u64>().ok()? * 1024)
}
