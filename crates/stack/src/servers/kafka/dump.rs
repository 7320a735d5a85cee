//! What is in a broker's files, in Kafka's own words: `kafka.tools.DumpLogSegments`.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::process::Command;

use super::KafkaNode;
use crate::servers::java;
use crate::{StackError, environment};

/// What the records of a log are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogContent {
    /// Records of a topic, as they are.
    Records,
    /// `__consumer_offsets`.
    Offsets,
    /// `__transaction_state`.
    Transactions,
}

/// Writes to `to` what Kafka says of log segments (`*.log`): batches, records, control records. No broker may be writing to them.
///
/// # Errors
/// If Java or Kafka's jars are not found, or the tool fails, in its words.
pub async fn dump_logs(
    jars: Option<&Path>,
    segments: &[PathBuf],
    content: LogContent,
    to: &Path,
) -> Result<(), StackError> {
    let jars = KafkaNode::find_jars(jars)?;
    let failed = || StackError::io("dump Kafka's logs");
    let java = tokio::task::spawn_blocking(java::find).await.map_err(|error| failed()(error.into()))??;
    let paths: Vec<String> = segments.iter().map(|path| path.display().to_string()).collect();
    let mut command = Command::new(java);
    command.env_clear().envs(environment::kept());
    command.args(["-Xmx512m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-cp"]).arg(jars.join("*"));
    command.args(["kafka.tools.DumpLogSegments", "--deep-iteration", "--print-data-log", "--files", &paths.join(",")]);
    match content {
        LogContent::Records => {}
        LogContent::Offsets => drop(command.arg("--offsets-decoder")),
        LogContent::Transactions => drop(command.arg("--transaction-log-decoder")),
    }
    let output = File::create(to).map_err(failed())?;
    command.stdin(Stdio::null()).stdout(output).stderr(Stdio::piped()).kill_on_drop(true);
    let running = command.spawn().map_err(failed())?;
    let ended = running.wait_with_output().await.map_err(failed())?;
    if ended.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&ended.stderr).trim_end().to_owned();
    Err(failed()(std::io::Error::other(format!("{}: {said}", ended.status))))
}
