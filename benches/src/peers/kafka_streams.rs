//! The windowed count on Kafka Streams: compiled from source, run by the Java that compiled it.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};

use super::Job;

const SOURCE: &str = include_str!("../../peers/kafka-streams/WindowedCount.java");
const CLASS: &str = "WindowedCount";

/// Where Kafka Streams keeps its state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Store {
    /// In the heap.
    Memory,
    /// In RocksDB, its default.
    RocksDb,
}

/// The program, compiled.
#[derive(Debug)]
pub struct KafkaStreams {
    java: PathBuf,
    classes: String,
    java_options: Vec<String>,
}

impl KafkaStreams {
    /// Finds a JDK and the jars; what is missing, in words, if it does not.
    ///
    /// # Errors
    /// If `javac` or one of the folders of jars is not there.
    pub fn find(java_options: &str) -> anyhow::Result<Self> {
        let javac = candidates().into_iter().find(|javac| javac.is_file());
        let javac = javac.context("no javac in JAVA_HOME, PATH or /usr/lib/jvm: install a JDK, 17 or newer")?;
        let java = javac.with_file_name("java");
        let jars = |variable: &str| -> anyhow::Result<String> {
            let folder =
                std::env::var(variable).with_context(|| format!("{variable} is not set: ./dev bench peers sets it"))?;
            match Path::new(&folder).is_dir() {
                true => Ok(format!("{folder}/*")),
                false => bail!("{variable} names {folder}, which is not a folder"),
            }
        };
        let classes = format!("{}:{}", jars("VIGIE_KAFKA_STREAMS_JARS")?, jars("VIGIE_KAFKA_JARS")?);
        Ok(Self { java, classes, java_options: java_options.split_whitespace().map(str::to_owned).collect() })
    }

    /// Compiles the program into `folder`.
    ///
    /// # Errors
    /// If it does not compile.
    pub fn compile(&mut self, folder: &Path) -> anyhow::Result<()> {
        let source = folder.join(format!("{CLASS}.java"));
        std::fs::write(&source, SOURCE)?;
        let mut javac = Command::new(self.java.with_file_name("javac"));
        let status = javac.arg("-d").arg(folder).args(["-cp", &self.classes]).arg(&source).status().context("javac")?;
        if !status.success() {
            bail!("{CLASS}.java does not compile ({status})");
        }
        self.classes = format!("{}:{}", folder.display(), self.classes);
        Ok(())
    }

    /// The process that runs `job`.
    pub fn command(&self, job: &Job, store: Store) -> Command {
        let mut command = Command::new(&self.java);
        command.args(&self.java_options).args(["-cp", &self.classes, CLASS]);
        let prefixed = |name: &str| format!("{}{name}", job.prefix);
        let store = match store {
            Store::Memory => "memory",
            Store::RocksDb => "rocksdb",
        };
        command.args([
            format!("brokers={}", job.brokers),
            format!("application={}", prefixed(&job.application)),
            format!("input={}", prefixed(&job.input)),
            format!("output={}", prefixed(&job.output)),
            format!("records={}", job.records),
            format!("commit-ms={}", job.commit_ms),
            format!("state-dir={}", job.state_dir),
            format!("store={store}"),
        ]);
        command
    }
}

/// Where `javac` may be: only in JAVA_HOME if that is set.
fn candidates() -> Vec<PathBuf> {
    if let Some(home) = std::env::var_os("JAVA_HOME").filter(|home| !home.is_empty()) {
        return vec![PathBuf::from(home).join("bin/javac")];
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut found: Vec<PathBuf> = std::env::split_paths(&path).map(|folder| folder.join("javac")).collect();
    let homes = std::fs::read_dir("/usr/lib/jvm").into_iter().flatten().flatten();
    found.extend(homes.map(|home| home.path().join("bin/javac")));
    found
}
