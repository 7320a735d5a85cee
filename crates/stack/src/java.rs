//! Finding a Java that can run Kafka.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::StackError;

const OLDEST: u32 = 17;

/// The first Java of version 17 or newer among JAVA_HOME, PATH and the usual folders.
pub(crate) fn find() -> Result<PathBuf, StackError> {
    let mut too_old = String::new();
    for java in candidates() {
        match version(&java) {
            Some(version) if version >= OLDEST => return Ok(java),
            Some(version) if too_old.is_empty() => too_old = format!(" ({} is version {version})", java.display()),
            _ => {}
        }
    }
    Err(StackError::NoJava { found: too_old })
}

fn candidates() -> Vec<PathBuf> {
    let mut found = Vec::new();
    if let Some(home) = std::env::var_os("JAVA_HOME").filter(|home| !home.is_empty()) {
        found.push(PathBuf::from(home).join("bin/java"));
    }
    found.extend(in_path("java"));
    for family in ["/usr/lib/jvm", "/opt/homebrew/opt", "/usr/local/opt"] {
        let homes = sorted_entries(Path::new(family));
        found.extend(homes.iter().rev().map(|home| home.join("bin/java")).filter(|java| java.is_file()));
    }
    found
}

/// `program` in each folder of PATH that has it.
pub(crate) fn in_path(program: &str) -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).map(|dir| dir.join(program)).filter(|file| file.is_file()).collect()
}

/// What is in a folder, by name; nothing if it cannot be read.
pub(crate) fn sorted_entries(dir: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(dir) else { return Vec::new() };
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    paths
}

fn version(java: &Path) -> Option<u32> {
    let output = Command::new(java).arg("-version").output().ok()?;
    parse_version(&String::from_utf8_lossy(&output.stderr))
}

/// The feature version in `openjdk version "17.0.15" 2025-04-15`; Java 8 calls itself 1.8.
fn parse_version(text: &str) -> Option<u32> {
    let (_, quoted) = text.split_once("version \"")?;
    let mut numbers = quoted.split(|c: char| !c.is_ascii_digit()).map(str::parse);
    match numbers.next()?.ok()? {
        1 => numbers.next()?.ok(),
        feature => Some(feature),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_old_and_new_are_read() {
        assert_eq!(parse_version("openjdk version \"17.0.15\" 2025-04-15\n"), Some(17));
        assert_eq!(parse_version("java version \"1.8.0_401\"\n"), Some(8));
        assert_eq!(parse_version("openjdk version \"25-ea\" 2025-09-16\n"), Some(25));
        assert_eq!(parse_version("The operation couldn't be completed."), None);
    }
}
