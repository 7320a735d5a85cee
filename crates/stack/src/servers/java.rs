//! Finding a Java that can run Kafka.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{StackError, environment};

const OLDEST: u32 = 17;

/// The Java of JAVA_HOME if that is set, else the first of version 17 or newer in PATH and the usual folders.
pub(crate) fn find() -> Result<PathBuf, StackError> {
    match std::env::var_os("JAVA_HOME").filter(|home| !home.is_empty()) {
        Some(home) => choose(&[PathBuf::from(home).join("bin/java")]),
        None => choose(&candidates()),
    }
}

fn choose(candidates: &[PathBuf]) -> Result<PathBuf, StackError> {
    let mut found = String::new();
    for java in candidates {
        match version(java) {
            Some(version) if version >= OLDEST => return Ok(java.clone()),
            _ if !found.is_empty() => {}
            Some(version) => found = format!(" ({} is version {version})", java.display()),
            None => found = format!(" ({} does not run)", java.display()),
        }
    }
    Err(StackError::NoJava { found })
}

fn candidates() -> Vec<PathBuf> {
    let mut found = in_path("java");
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
    let output = Command::new(java).arg("-version").env_clear().envs(environment::kept()).output().ok()?;
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
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    /// A program that says what `java -version` of that version says.
    fn java(dir: &Path, version: &str) -> PathBuf {
        let file = dir.join(version);
        std::fs::write(&file, format!("#!/bin/sh\necho 'openjdk version \"{version}\"' >&2\n")).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).unwrap();
        file
    }

    #[test]
    fn the_first_java_that_is_new_enough_is_taken() {
        let dir = tempfile::tempdir().unwrap();
        let (old, new) = (java(dir.path(), "11.0.2"), java(dir.path(), "21.0.1"));
        assert_eq!(choose(&[old, dir.path().join("absent"), new.clone()]).unwrap(), new);
    }

    #[test]
    fn without_java_the_error_says_what_to_install() {
        let error = choose(&[]).unwrap_err().to_string();
        assert!(error.starts_with("java 17 or newer not found: install "), "{error}");
        let dir = tempfile::tempdir().unwrap();
        let error = choose(&[java(dir.path(), "11.0.2")]).unwrap_err().to_string();
        assert!(error.contains("11.0.2 is version 11)"), "{error}");
    }

    #[test]
    fn versions_old_and_new_are_read() {
        assert_eq!(parse_version("openjdk version \"17.0.15\" 2025-04-15\n"), Some(17));
        assert_eq!(parse_version("java version \"1.8.0_401\"\n"), Some(8));
        assert_eq!(parse_version("openjdk version \"25-ea\" 2025-09-16\n"), Some(25));
        assert_eq!(parse_version("The operation couldn't be completed."), None);
    }
}
