//! `vigie archive`: what is archived, and whether it is whole.

use std::collections::BTreeMap;
use std::time::Duration;

use clap::{Args, Subcommand};
use serde_json::json;
use tokio::runtime::Handle;
use vigie_archive::{
    Archive, ArchiveError, ArchiveOptions, Archived, ArchivedFile, Location, Manifest, TOPICS, read_rows,
};
use vigie_clock::Timestamp;
use vigie_daemon::ServiceError;
use vigie_kafka_client::{Admin, KafkaConfig, ReadToEnd, TopicPartition};
use vigie_schemas::{RawPost, ScoredPost, Topic};

use crate::commands::topics::{blocking, kafka_error};
use crate::output::{Output, count};

const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Subcommand, Debug)]
pub(crate) enum ArchiveCommand {
    /// Show what is archived of each partition, or the files that count
    List {
        /// Print the address of each file, for other readers: of raw posts, unless --topic names another
        #[arg(long)]
        files: bool,
        #[command(flatten)]
        topic: TopicOption,
        #[command(flatten)]
        archive: ArchiveOptions,
    },
    /// Read every file and hold it against the manifest, and against Kafka as far back as that goes
    Verify(Box<VerifyArgs>),
}

#[derive(Args, Debug)]
pub(crate) struct TopicOption {
    /// Only this topic: posts.raw.v1, or insights.sentiment.v1 for the scored posts
    #[arg(long, value_parser = archived_topic)]
    topic: Option<Topic>,
}

#[derive(Args, Debug)]
pub(crate) struct VerifyArgs {
    /// Do not ask Kafka
    #[arg(long)]
    pub(crate) offline: bool,
    #[command(flatten)]
    pub(crate) topic: TopicOption,
    #[command(flatten)]
    pub(crate) archive: ArchiveOptions,
    #[command(flatten)]
    pub(crate) kafka: KafkaConfig,
}

pub(crate) async fn run(command: ArchiveCommand, output: Output) -> Result<(), ServiceError> {
    match command {
        ArchiveCommand::List { files, topic, archive } => {
            let location = archive.require()?;
            let topic = topic.topic.or(files.then_some(Topic::PostsRaw));
            for (archive, manifest) in manifests(&location, topic).await? {
                if files {
                    for file in &manifest.files {
                        let url = address(&location, &archive, file);
                        output.result(&json!({"url": url, "partition": manifest.partition, "file": file}), || {
                            url.clone()
                        })?;
                    }
                } else {
                    list(&manifest, output)?;
                }
            }
            Ok(())
        }
        ArchiveCommand::Verify(args) => verify(*args, output).await,
    }
}

fn archived_topic(name: &str) -> Result<Topic, String> {
    let names = TOPICS.map(Topic::name).join(" or ");
    TOPICS.into_iter().find(|topic| topic.name() == name).ok_or_else(|| format!("not archived, expected {names}"))
}

/// The manifest of each partition, of one topic or of all.
async fn manifests(location: &Location, only: Option<Topic>) -> Result<Vec<(Archive, Manifest)>, ServiceError> {
    let failed = |error| archive_error(location, error);
    let archive = Archive::open(location).map_err(failed)?;
    let mut manifests = Vec::new();
    for topic in TOPICS.into_iter().filter(|topic| only.is_none_or(|only| only == *topic)) {
        for partition in archive.partitions(topic.name()).await.map_err(failed)? {
            let stored = archive.load(topic.name(), partition).await.map_err(failed)?;
            manifests.extend(stored.map(|stored| (archive.clone(), stored.manifest)));
        }
    }
    if manifests.is_empty() {
        let of = only.map(|topic| format!(" of {}", topic.name())).unwrap_or_default();
        return Err(ServiceError::failed(format!("nothing{of} is archived in {location}")));
    }
    Ok(manifests)
}

/// Where other readers find a file.
fn address(location: &Location, archive: &Archive, file: &ArchivedFile) -> String {
    match location {
        Location::Folder(folder) => folder.join(archive.key(file)).display().to_string(),
        Location::S3 { bucket, .. } => format!("s3://{bucket}/{}", archive.key(file)),
    }
}

fn list(manifest: &Manifest, output: Output) -> Result<(), ServiceError> {
    let Manifest { topic, partition, first_offset, next_offset, files, expired, .. } = manifest;
    let bytes: u64 = files.iter().map(|file| file.bytes).sum();
    let appended = files.first().zip(files.last()).map(|(a, b)| (a.first_appended_at, b.last_appended_at));
    let text = |time: Timestamp| time.to_string();
    let (from, to) = appended.map(|(from, to)| (text(from), text(to))).unzip();
    let value = json!({
        "topic": topic, "partition": partition, "first_offset": first_offset, "next_offset": next_offset,
        "files": files.len(), "records": manifest.records(), "bytes": bytes,
        "first_appended_at": from, "last_appended_at": to, "expired": expired,
    });
    output.result(&value, || {
        let (files, records) = (count(files.len() as u64, "file"), count(manifest.records(), "record"));
        let span = from.zip(to).map(|(from, to)| format!(", {from} to {to}")).unwrap_or_default();
        let gaps = if expired.is_empty() { String::new() } else { format!(", {} expired unread", count(expired.len() as u64, "gap")) };
        format!("{topic}-{partition}: offsets {first_offset} to {next_offset}, {records} in {files}, {bytes} bytes{span}{gaps}")
    })
}

async fn verify(args: VerifyArgs, output: Output) -> Result<(), ServiceError> {
    let location = args.archive.require()?;
    let kafka = (!args.offline).then_some(args.kafka);
    if let Some(kafka) = kafka.clone() {
        blocking(move || kafka.ping(PATIENCE).map(drop).map_err(kafka_error)).await?;
    }
    let mut flawed = 0;
    for (archive, manifest) in manifests(&location, args.topic.topic).await? {
        let (kafka, place, handle) = (kafka.clone(), location.clone(), Handle::current());
        let (manifest, verdict) = blocking(move || {
            let admin = kafka.as_ref().map(Admin::new).transpose().map_err(kafka_error)?;
            let mut verdict = Verdict { flaws: manifest.flaws(), ..Verdict::default() };
            verdict.of_partition(&archive, &manifest, admin.as_ref(), &handle).map_err(|e| match e {
                Stop::Archive(error) => archive_error(&place, error),
                Stop::Kafka(error) => error,
            })?;
            Ok((manifest, verdict))
        })
        .await?;
        let Verdict { records, compared, flaws } = verdict;
        flawed += flaws.len();
        let Manifest { topic, partition, .. } = &manifest;
        let value = json!({
            "topic": topic, "partition": partition, "files": manifest.files.len(), "records": records,
            "compared_with_kafka": compared, "flaws": flaws,
        });
        output.result(&value, || {
            let (files, records) = (count(manifest.files.len() as u64, "file"), count(records, "record"));
            let result = if flaws.is_empty() { "as written".to_owned() } else { flaws.join("\n  ") };
            format!("{topic}-{partition}: {records} in {files}, {compared} compared with Kafka: {result}")
        })?;
    }
    match flawed {
        0 => Ok(()),
        flaws => Err(ServiceError::failed(format!("the archive has {}", count(flaws as u64, "flaw")))),
    }
}

enum Stop {
    Archive(ArchiveError),
    Kafka(ServiceError),
}

/// What a look at a partition found.
#[derive(Default)]
struct Verdict {
    records: u64,
    compared: u64,
    flaws: Vec<String>,
}

impl Verdict {
    fn of_partition(
        &mut self,
        archive: &Archive,
        manifest: &Manifest,
        admin: Option<&Admin>,
        handle: &Handle,
    ) -> Result<(), Stop> {
        let at = TopicPartition::new(&*manifest.topic, manifest.partition);
        let kafka = match admin {
            Some(admin) => Some((admin, admin.watermarks(&at).map_err(|e| Stop::Kafka(kafka_error(e)))?)),
            None => None,
        };
        if let Some((_, (_, end))) = kafka
            && manifest.next_offset > end
        {
            self.flaws.push(format!("archived up to offset {}, and Kafka ends at {end}", manifest.next_offset));
        }
        let of_file = match Topic::from_name(&manifest.topic) {
            Some(Topic::InsightsSentiment) => Self::of_file::<ScoredPost>,
            _ => Self::of_file::<RawPost>,
        };
        for file in &manifest.files {
            let found = match handle.block_on(archive.get(file)).and_then(|bytes| of_file(self, manifest, file, bytes))
            {
                Ok(found) => found,
                Err(ArchiveError::Corrupt { path, detail }) => {
                    self.flaws.push(format!("{path}: {detail}"));
                    continue;
                }
                Err(error) => return Err(Stop::Archive(error)),
            };
            if let Some((admin, (oldest, end))) = kafka
                && (oldest..=end).contains(&file.span.first_offset)
                && file.span.next_offset <= end
            {
                self.of_kafka(admin, &at, file, found).map_err(Stop::Kafka)?;
            }
        }
        Ok(())
    }

    /// Offsets and times of the rows.
    fn of_file<R: Archived>(
        &mut self,
        manifest: &Manifest,
        file: &ArchivedFile,
        bytes: bytes::Bytes,
    ) -> Result<BTreeMap<i64, Timestamp>, ArchiveError> {
        let span = file.span.first_offset..file.span.next_offset;
        let (mut found, mut last) = (BTreeMap::new(), None);
        for row in read_rows::<R>(&file.path, bytes)? {
            let row = row?;
            if !span.contains(&row.offset) || row.partition != manifest.partition || last >= Some(row.offset) {
                self.flaws.push(format!(
                    "{}: offset {} of partition {} is out of place",
                    file.path, row.offset, row.partition
                ));
            }
            last = Some(row.offset);
            found.insert(row.offset, row.appended_at);
        }
        let times = found.values().next().zip(found.values().next_back());
        if found.len() as u64 != file.records || times != Some((&file.first_appended_at, &file.last_appended_at)) {
            self.flaws.push(format!(
                "{}: {} records, expected {}, or of other times",
                file.path,
                found.len(),
                file.records
            ));
        }
        self.records += found.len() as u64;
        Ok(found)
    }

    fn of_kafka(
        &mut self,
        admin: &Admin,
        at: &TopicPartition,
        file: &ArchivedFile,
        mut found: BTreeMap<i64, Timestamp>,
    ) -> Result<(), ServiceError> {
        let (first, next) = (file.span.first_offset, file.span.next_offset);
        for record in ReadToEnd::bounded(admin, at, first, next).map_err(kafka_error)? {
            let record = record.map_err(kafka_error)?;
            self.compared += 1;
            if found.remove(&record.offset) != Some(record.timestamp) {
                self.flaws
                    .push(format!("{}: offset {} of Kafka is missing, or of another time", file.path, record.offset));
            }
        }
        if let Some(offset) = found.keys().next() {
            self.flaws.push(format!("{}: offset {offset} is not in Kafka", file.path));
        }
        Ok(())
    }
}

fn archive_error(location: &Location, error: ArchiveError) -> ServiceError {
    match error {
        ArchiveError::Store(_) => ServiceError::unavailable(location.to_string(), error),
        other => ServiceError::failed(other),
    }
}
