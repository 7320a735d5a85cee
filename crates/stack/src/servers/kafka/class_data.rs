//! Kafka's classes as a JVM keeps them in memory, in a file next to the jars: a start maps it
//! instead of parsing and verifying the classes of 46 jars. Class data sharing, [JEP
//! 350](https://openjdk.org/jeps/350).
//!
//! The file is written by the JVM that formats a storage, at its end. Where that cannot be, starts
//! are as slow as before, and nothing else.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

/// The JVM neither stops nor prints if it cannot use the file: other jars, other options.
const QUIETLY: [&str; 2] = ["-Xshare:auto", "-Xlog:cds*=off"];

/// The file for a Java and a folder of jars, there or not.
#[derive(Debug)]
pub(super) struct ClassData(PathBuf);

impl ClassData {
    /// `None` if this Java's build cannot be told from another: the file holds for one build only.
    pub(super) fn of(java: &Path, jars: &Path) -> Option<Self> {
        let home = fs::canonicalize(java).ok()?.parent()?.parent()?.to_owned();
        let modules = fs::metadata(home.join("lib/modules")).ok()?;
        let made = modules.modified().ok()?.duration_since(UNIX_EPOCH).ok()?.as_secs();
        Some(Self(jars.join(format!("classes-{made:x}-{:x}.jsa", modules.len()))))
    }

    /// The options of a JVM that uses the file; none if it is not there.
    pub(super) fn options(&self) -> Vec<OsString> {
        if !self.0.is_file() {
            return Vec::new();
        }
        QUIETLY.into_iter().map(OsString::from).chain([option("-XX:SharedArchiveFile=", &self.0)]).collect()
    }

    /// The place for a file that is still written; `None` if there is a file already, or the folder
    /// takes none.
    pub(super) fn begin(&self) -> Option<Unfinished> {
        if self.0.is_file() {
            return None;
        }
        let folder = tempfile::Builder::new().prefix(".classes-").tempdir_in(self.0.parent()?).ok()?;
        Some(Unfinished { finished: self.0.clone(), folder })
    }
}

/// A file that a JVM is to write; it goes away with its folder unless it is finished.
#[derive(Debug)]
pub(super) struct Unfinished {
    finished: PathBuf,
    folder: tempfile::TempDir,
}

impl Unfinished {
    fn file(&self) -> PathBuf {
        self.folder.path().join("classes.jsa")
    }

    /// The options of the JVM that writes it.
    pub(super) fn options(&self) -> Vec<OsString> {
        QUIETLY.into_iter().map(OsString::from).chain([option("-XX:ArchiveClassesAtExit=", &self.file())]).collect()
    }

    /// Puts it where starts look for it. Of several that were written at once the last stays: a JVM
    /// keeps the one that it has opened.
    pub(super) fn finish(self) {
        if fs::rename(self.file(), &self.finished).is_err() {
            tracing::debug!(file = %self.finished.display(), "class data were not kept");
        }
    }
}

fn option(name: &str, file: &Path) -> OsString {
    let mut option = OsString::from(name);
    option.push(file);
    option
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A Java of its own kind, and a folder for jars.
    fn installed() -> (tempfile::TempDir, ClassData) {
        let dir = tempfile::tempdir().unwrap();
        for folder in ["bin", "lib", "jars"] {
            fs::create_dir(dir.path().join(folder)).unwrap();
        }
        fs::write(dir.path().join("bin/java"), "").unwrap();
        fs::write(dir.path().join("lib/modules"), "modules").unwrap();
        let data = ClassData::of(&dir.path().join("bin/java"), &dir.path().join("jars")).unwrap();
        (dir, data)
    }

    #[test]
    fn the_file_is_written_beside_and_used_once_it_is_whole() {
        let (dir, data) = installed();
        assert_eq!(data.options(), Vec::<OsString>::new());
        let (abandoned, unfinished) = (data.begin().unwrap(), data.begin().unwrap());
        assert_ne!(abandoned.options(), unfinished.options(), "starts at the same time do not write over each other");
        fs::write(unfinished.file(), "classes").unwrap();
        assert_eq!(data.options(), Vec::<OsString>::new());
        unfinished.finish();
        abandoned.finish();
        assert!(data.begin().is_none(), "once is enough");
        let used = data.options().pop().unwrap();
        assert_eq!(used, option("-XX:SharedArchiveFile=", &data.0));
        assert_eq!(fs::read_dir(dir.path().join("jars")).unwrap().count(), 1, "nothing else is left");

        fs::write(dir.path().join("lib/modules"), "modules of another build").unwrap();
        let other = ClassData::of(&dir.path().join("bin/java"), &dir.path().join("jars")).unwrap();
        assert_eq!(other.options(), Vec::<OsString>::new(), "another build of Java has its own");
    }

    #[test]
    fn a_folder_that_takes_no_file_is_no_mistake() {
        let (dir, data) = installed();
        fs::remove_dir(dir.path().join("jars")).unwrap();
        assert!(data.begin().is_none() && data.options().is_empty());
    }
}
