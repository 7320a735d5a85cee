//! What a replay would read and write, without doing it.

use std::collections::{BTreeMap, HashSet};

use serde::Serialize;
use vigie_clock::Timestamp;
use vigie_daemon::{Mistake, ServiceError};
use vigie_kafka_client::{Admin, KafkaError, ReadToEnd, Record, TopicPartition};
use vigie_schemas::{RawPost, SyncCodec, Topic};

use super::config::Checked;
use super::scope::{Bound, Selection};
use super::{archived, optional_text};
use crate::inference::ModelInfo;
use crate::past::{Part, Past};
use crate::sentiment::{SharedAnalyser, check_post};
use crate::service::{self, kafka_error};

/// How many of the last records of each partition are looked at to learn how large they are.
const SAMPLE: i64 = 100;
/// Records between two reports of progress.
const REPORT: u64 = 1_000;

/// What a replay would read.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Survey {
    /// The topic.
    pub topic: String,
    /// Start of the range of `published_at`, widened to a whole window; none if it is one of offsets only.
    #[serde(serialize_with = "optional_text")]
    pub from: Option<Timestamp>,
    /// End of the range, exclusive.
    #[serde(serialize_with = "optional_text")]
    pub to: Option<Timestamp>,
    /// The model.
    pub model: ModelInfo,
    /// The version of the asset table.
    pub assets_version: String,
    /// What each partition holds.
    pub partitions: Vec<PartitionSurvey>,
    /// Posts of the range, each counted once; none if nothing was read.
    pub posts: Option<u64>,
    /// Mean size of the last scored posts of the live run in Kafka, as large as those of the replay will be; none if there are none.
    pub scored_post_bytes: Option<f64>,
}

/// What a replay would read of a partition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PartitionSurvey {
    /// The partition.
    pub partition: i32,
    /// Records that come out of the archive at first, some of them older than the range.
    pub archived_records: u64,
    /// The first offset to read in Kafka.
    pub first_offset: i64,
    /// The offset to stop before. Between the two lie the records, and markers of transactions.
    pub end_offset: i64,
    /// Records; none if nothing was read.
    pub records: Option<u64>,
    /// Posts of the range, each counted once in the whole topic; none if nothing was read.
    pub posts: Option<u64>,
    /// The oldest offset that retention has left.
    pub oldest_offset: i64,
    /// When the oldest record arrived; none if there is none.
    #[serde(serialize_with = "optional_text")]
    pub oldest_at: Option<Timestamp>,
    /// Whether records of the range may be gone: retention has removed some that arrived since an hour before it, or asked offsets, and the
    /// archive, if one is named, did not hold them from then on.
    pub removed: bool,
}

impl Survey {
    /// Offsets to read: at least the records.
    pub fn offsets(&self) -> u64 {
        let offsets =
            |of: &PartitionSurvey| of.archived_records + u64::try_from(of.end_offset - of.first_offset).unwrap_or(0);
        self.partitions.iter().map(offsets).sum()
    }
}

/// Looks at what a replay would read. With `read` the records are read and counted, else only their offsets are looked up. `progress` hears
/// how many records were read. Changes nothing.
///
/// # Errors
/// See [`ServiceError`].
pub async fn survey(
    checked: Checked,
    read: bool,
    progress: impl Fn(u64) + Send + 'static,
) -> Result<Survey, ServiceError> {
    let Checked { config, analyser, .. } = checked;
    let expected = "--from and --to, or --offsets";
    let selection = config.selection().ok_or_else(|| Mistake::new("--from", "no range", expected))?;
    let codec = service::connect(&config.registry, &config.kafka).await?;
    let work = move || {
        let admin = Admin::new(&config.kafka).map_err(kafka_error)?;
        let bounds = selection.bounds(&admin).map_err(kafka_error)?;
        let archived = archived::parts(&config, &selection, &bounds, &codec)?;
        let parts = archived.as_ref().map(|(_, parts)| parts.as_slice()).unwrap_or_default();
        let mut partitions = Vec::new();
        for (number, bound) in bounds.iter().enumerate() {
            partitions.push(partition(&admin, &selection, bound, parts.get(number)).map_err(kafka_error)?);
        }
        let mut posts = None;
        if read {
            posts = Some(count(&admin, &codec, &analyser, &selection, archived.as_ref(), &mut partitions, progress)?);
        }
        let published = selection.published;
        Ok(Survey {
            topic: Topic::PostsRaw.name().to_owned(),
            from: published.as_ref().map(|range| range.start),
            to: published.as_ref().map(|range| range.end),
            model: analyser.model().clone(),
            assets_version: analyser.assets_version().to_owned(),
            partitions,
            posts,
            scored_post_bytes: scored_post_bytes(&admin).map_err(kafka_error)?,
        })
    };
    tokio::task::spawn_blocking(work).await.map_err(ServiceError::failed)?
}

/// A partition before it is read.
fn partition(
    admin: &Admin,
    selection: &Selection,
    bound: &Bound,
    part: Option<&Part>,
) -> Result<PartitionSurvey, KafkaError> {
    let Bound { partition, start, end, low } = *bound;
    let oldest_at = oldest_at(admin, bound)?;
    Ok(PartitionSurvey {
        partition,
        archived_records: part.map_or(0, Part::records),
        first_offset: part.map_or(start, |part| part.kafka_from.min(end)),
        end_offset: end,
        records: None,
        posts: None,
        oldest_offset: low,
        oldest_at,
        removed: removed(selection, partition, low, oldest_at) && !part.is_some_and(|part| part.is_whole),
    })
}

/// Whether all records are there that a run needs. `parts` are what the archive has of them.
pub(super) fn is_complete(
    admin: &Admin,
    selection: &Selection,
    bounds: &[Bound],
    parts: &[Part],
) -> Result<bool, KafkaError> {
    for (number, bound) in bounds.iter().enumerate() {
        if partition(admin, selection, bound, parts.get(number))?.removed {
            return Ok(false);
        }
    }
    Ok(true)
}

/// When the oldest record of a partition arrived.
fn oldest_at(admin: &Admin, bound: &Bound) -> Result<Option<Timestamp>, KafkaError> {
    let low = bound.low;
    let (_, stable) = admin.stable_watermarks(&bound.at(Topic::PostsRaw.name()))?;
    let range = BTreeMap::from([(bound.at(Topic::PostsRaw.name()), (low, stable))]);
    ReadToEnd::between(admin, &range)?.next().map(|oldest| oldest.map(|oldest| oldest.timestamp)).transpose()
}

/// Whether retention, which has left the offsets from `low` on, may have removed records of the selection.
fn removed(selection: &Selection, partition: i32, low: i64, oldest_at: Option<Timestamp>) -> bool {
    match selection.offsets.iter().find(|asked| asked.partition == partition) {
        Some(asked) => asked.start < low,
        None => {
            let is_younger = |from| oldest_at.is_none_or(|oldest| oldest > from);
            low > 0 && selection.reads_from().is_none_or(is_younger)
        }
    }
}

/// Counts the records and posts of each partition; returns the posts.
fn count(
    admin: &Admin,
    codec: &SyncCodec,
    analyser: &SharedAnalyser,
    selection: &Selection,
    archived: Option<&(Past<'_>, Vec<Part>)>,
    partitions: &mut [PartitionSurvey],
    progress: impl Fn(u64),
) -> Result<u64, ServiceError> {
    let at = |partition| TopicPartition::new(Topic::PostsRaw.name(), partition);
    let ranges = partitions.iter().map(|of| (at(of.partition), (of.first_offset, of.end_offset))).collect();
    let mut counts: BTreeMap<i32, (u64, u64)> = BTreeMap::new();
    let (mut seen, mut read) = (HashSet::new(), 0);
    let mut take = |record: Record| {
        let counted = counts.entry(record.partition).or_default();
        counted.0 += 1;
        read += 1;
        if read % REPORT == 0 {
            progress(read);
        }
        let Some(value) = &record.value else { return };
        // What the live run put aside is passed over by a replay.
        let Ok(post) = codec.decode::<RawPost>(value) else { return };
        let in_range = selection.published.as_ref().is_none_or(|range| range.contains(&post.published_at));
        if in_range
            && analyser.selects(&selection.only, &post)
            && check_post(&post, &record).is_ok()
            && seen.insert(post.post_id)
        {
            counted.1 += 1;
        }
    };
    if let Some((past, parts)) = archived {
        for part in parts {
            past.read(part, |record| {
                take(record);
                Ok(())
            })?;
        }
    }
    for record in ReadToEnd::between(admin, &ranges).map_err(kafka_error)? {
        take(record.map_err(kafka_error)?);
    }
    for of in partitions {
        let (records, posts) = counts.get(&of.partition).copied().unwrap_or_default();
        (of.records, of.posts) = (Some(records), Some(posts));
    }
    Ok(seen.len() as u64)
}

fn scored_post_bytes(admin: &Admin) -> Result<Option<f64>, KafkaError> {
    let topic = Topic::InsightsSentiment.name();
    let mut ranges = BTreeMap::new();
    for partition in 0..admin.partitions(topic)?.unwrap_or(0) {
        let at = TopicPartition::new(topic, partition);
        let (low, end) = admin.stable_watermarks(&at)?;
        ranges.insert(at, (low.max(end - SAMPLE), end));
    }
    let (mut records, mut bytes) = (0_u32, 0);
    for record in ReadToEnd::between(admin, &ranges)? {
        let record = record?;
        records += 1;
        bytes += record.key.map_or(0, |key| key.len()) + record.value.map_or(0, |value| value.len());
    }
    Ok((records > 0).then(|| bytes as f64 / f64::from(records)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replay::Offsets;

    #[test]
    fn what_retention_took_is_distinguished_from_what_it_left() {
        let hour = |hour: i64| Timestamp::from_millis(hour * 3_600_000);
        let of_time = Selection { published: Some(hour(10)..hour(12)), ..Selection::default() };
        let gone = |low, oldest| removed(&of_time, 0, low, oldest);
        assert!(!gone(0, Some(hour(11))), "nothing was ever removed");
        assert!(!gone(5, Some(hour(9))), "posts arrive an hour before their time at most");
        assert!(gone(5, Some(hour(10))) && gone(5, None));
        let offsets = vec![Offsets { partition: 0, start: 100, end: 200 }];
        let of_offsets = Selection { offsets, ..Selection::default() };
        assert!(removed(&of_offsets, 0, 101, Some(hour(1))) && !removed(&of_offsets, 0, 100, Some(hour(1))));
    }
}
