//! The brokers' logs in words, one file for each partition and broker, and all ends of transactions in one.

mod markers;

use std::fs::{self, File};
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

use vigie_stack::{LogContent, dump_logs};

use crate::error::ChaosError;
use markers::Markers;

/// Dumps what the brokers in `kafka` (its folders are `node-1`, `node-2`, ...) have stored, into the folder `to`.
pub(crate) async fn brokers(kafka: &Path, to: &Path) -> Result<(), ChaosError> {
    let failed = || ChaosError::io(format!("dump the logs of {}", kafka.display()));
    fs::create_dir_all(to).map_err(failed())?;
    let mut markers = Markers::default();
    for node in 1..=9 {
        let data = kafka.join(format!("node-{node}/data"));
        if !data.is_dir() {
            continue;
        }
        let segments = segments(&data).map_err(failed())?;
        for content in [LogContent::Transactions, LogContent::Offsets, LogContent::Records] {
            let files: Vec<PathBuf> = segments.iter().filter(|path| content_of(path) == content).cloned().collect();
            if files.is_empty() {
                continue;
            }
            let raw = to.join("raw.txt");
            dump_logs(None, &files, content, &raw).await?;
            split(&raw, to, node, content, &mut markers).map_err(failed())?;
            fs::remove_file(&raw).map_err(failed())?;
        }
    }
    fs::write(to.join("transactions.txt"), markers.to_string()).map_err(failed())
}

/// All segments of all partitions, but the controllers' own.
fn segments(data: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for partition in fs::read_dir(data)? {
        let partition = partition?.path();
        if !partition.is_dir() || name_of(&partition).starts_with("__cluster_metadata") {
            continue;
        }
        for file in fs::read_dir(&partition)? {
            let file = file?.path();
            if file.extension().is_some_and(|extension| extension == "log") {
                found.push(file);
            }
        }
    }
    found.sort();
    Ok(found)
}

fn content_of(segment: &Path) -> LogContent {
    match partition_of(segment) {
        name if name.starts_with("__transaction_state") => LogContent::Transactions,
        name if name.starts_with("__consumer_offsets") => LogContent::Offsets,
        _ => LogContent::Records,
    }
}

/// `topic-partition`, the folder of a segment.
fn partition_of(segment: &Path) -> String {
    segment.parent().map(name_of).unwrap_or_default()
}

fn name_of(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// Gives each partition a file of its own, and leaves out what records say, but for commit marks: they are binary, and posts at that.
fn split(raw: &Path, to: &Path, node: u8, content: LogContent, markers: &mut Markers) -> std::io::Result<()> {
    let mut partition = String::new();
    let mut output: Option<BufWriter<File>> = None;
    for line in BufReader::new(File::open(raw)?).split(b'\n') {
        let line = String::from_utf8_lossy(&line?).into_owned();
        if let Some(segment) = line.strip_prefix("Dumping ") {
            partition = partition_of(Path::new(segment));
            let path = to.join(format!("{partition}.node-{node}.txt"));
            output = Some(BufWriter::new(File::options().create(true).append(true).open(path)?));
        }
        let Some(output) = &mut output else { continue };
        if content == LogContent::Records && !is_of_the_tool(&line) {
            continue;
        }
        let shown = match (content, line.split_once(" payload:")) {
            (LogContent::Records, Some((head, payload))) if !is_commit_mark(payload) => head,
            _ => &line,
        };
        writeln!(output, "{shown}")?;
        markers.read(shown, &partition, node);
    }
    Ok(())
}

/// Whether it is a commit mark of a changelog: the ledger of a task, with the commit's number, its input offsets and its account.
fn is_commit_mark(payload: &str) -> bool {
    payload.trim_start().starts_with("{\"commit\":")
}

/// Whether a line is the tool's, and not the rest of a record with a line break in it.
fn is_of_the_tool(line: &str) -> bool {
    ["Dumping ", "Log starting offset", "baseOffset:", "| offset:"].iter().any(|begin| line.starts_with(begin))
}
