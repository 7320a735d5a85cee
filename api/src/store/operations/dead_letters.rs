use serde::Serialize;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;
use utoipa::ToSchema;
use vigie_schemas::Place;

use crate::http::page::Page;
use crate::store::{Snapshot, StoreError};
use crate::time::UtcTime;

/// A record that a stage could not process, and why.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct DeadLetter {
    /// Topic of the record.
    pub topic: String,
    /// Partition and offset of the letter in the queue of the topic, as `vigie dlq` names it.
    pub letter: String,
    /// Partition of the record.
    pub partition: i32,
    /// Offset of the record.
    pub offset: i64,
    /// When the record was written to its topic.
    pub appended_at: UtcTime,
    /// Who gave up: sentiment, trends, sink-postgres, ...
    pub stage: String,
    /// A stable word: undecodable, invalid, ...
    pub reason: String,
    /// What exactly was wrong.
    pub detail: String,
    /// When it failed.
    pub failed_at: UtcTime,
    /// Version of vigie that gave up; null in letters from before it was recorded.
    pub version: Option<String>,
    /// Key of the record, as text.
    pub key: Option<String>,
    /// Length of its value; null if there is none, or it was too large to keep.
    pub value_bytes: Option<i32>,
    /// How often the record had been sent again when it failed here, as `vigie dlq redrive --max-attempts` counts it.
    pub attempts: i32,
    /// When the record was sent to its topic again; null if it was not.
    pub redriven_at: Option<UtcTime>,
    /// The place for a cursor.
    #[serde(skip)]
    pub place: String,
}

/// How many letters have something in common.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct DeadLetterCount {
    /// Topic of the records.
    pub topic: String,
    /// Who gave up.
    pub stage: String,
    /// The kind of failure.
    pub reason: String,
    /// How many there are.
    pub letters: i64,
    /// How many of them were sent again.
    pub redriven: i64,
    /// When the last one failed.
    pub latest: UtcTime,
}

/// Which letters.
pub(crate) struct DeadLettersQuery<'a> {
    pub(crate) topic: Option<&'a str>,
    pub(crate) stage: Option<&'a str>,
    pub(crate) reason: Option<&'a str>,
    /// Of the times at which they failed.
    pub(crate) range: (UtcTime, UtcTime),
}

const MEANT: &str = "($1::text IS NULL OR topic = $1) AND ($2::text IS NULL OR stage = $2) AND ($3::text IS NULL OR reason = $3) \
    AND failed_at >= $4 AND failed_at < $5";
/// Of a letter, without the value.
const COLUMNS: &str = "topic, letter_partition, letter_offset, partition, \"offset\", appended_at, stage, reason, detail, failed_at, version, \
    key, length(value) AS value_bytes, redriven_at, coalesce((SELECT max(s.attempt) FROM dead_letters s WHERE s.topic = dead_letters.topic \
    AND s.redriven_partition = dead_letters.partition AND s.redriven_offset = dead_letters.\"offset\"), 0) AS attempts";
const PLACE: &str = "concat(topic, ' ', letter_partition, ':', letter_offset)";

impl DeadLettersQuery<'_> {
    fn parameters(&self) -> [&(dyn ToSql + Sync); 5] {
        [&self.topic, &self.stage, &self.reason, &self.range.0.0, &self.range.1.0]
    }
}

impl Snapshot {
    /// Latest failure first.
    pub(crate) async fn dead_letters(
        &self,
        query: &DeadLettersQuery<'_>,
        page: &Page,
    ) -> Result<Vec<DeadLetter>, StoreError> {
        let sql = format!(
            "SELECT {COLUMNS}, {PLACE} AS place FROM dead_letters WHERE {MEANT} AND failed_at <= $6 AND (failed_at < $6 OR {PLACE} > $7) \
             ORDER BY failed_at DESC, {PLACE} LIMIT $8"
        );
        let (time, place) = page.begin(query.range.1);
        let (limit, mut parameters) = (page.rows(), query.parameters().to_vec());
        parameters.extend([&time.0 as &(dyn ToSql + Sync), &place, &limit]);
        self.rows(&sql, &parameters).await?.iter().map(letter).collect()
    }

    /// Most letters first.
    pub(crate) async fn dead_letter_counts(
        &self,
        query: &DeadLettersQuery<'_>,
    ) -> Result<Vec<DeadLetterCount>, StoreError> {
        let sql = format!(
            "SELECT topic, stage, reason, count(*) AS letters, count(redriven_at) AS redriven, max(failed_at) AS latest \
             FROM dead_letters WHERE {MEANT} GROUP BY topic, stage, reason ORDER BY letters DESC, topic, stage, reason"
        );
        let count = |row: &Row| {
            Ok(DeadLetterCount {
                topic: row.try_get("topic")?,
                stage: row.try_get("stage")?,
                reason: row.try_get("reason")?,
                letters: row.try_get("letters")?,
                redriven: row.try_get("redriven")?,
                latest: UtcTime(row.try_get("latest")?),
            })
        };
        self.rows(&sql, &query.parameters()).await?.iter().map(count).collect()
    }

    /// A letter, with key and value of its record.
    pub(crate) async fn dead_letter(&self, topic: &str, at: Place) -> Result<Option<RawLetter>, StoreError> {
        let sql = format!(
            "SELECT {COLUMNS}, value, {PLACE} AS place FROM dead_letters WHERE topic = $1 AND letter_partition = $2 AND letter_offset = $3"
        );
        let rows = self.rows(&sql, &[&topic, &at.partition, &at.offset]).await?;
        let raw = |row: &Row| Ok((letter(row)?, row.try_get("key")?, row.try_get("value")?));
        rows.first().map(raw).transpose()
    }
}

/// A letter, with key and value of its record.
pub(crate) type RawLetter = (DeadLetter, Option<Vec<u8>>, Option<Vec<u8>>);

fn letter(row: &Row) -> Result<DeadLetter, StoreError> {
    let at = Place { partition: row.try_get("letter_partition")?, offset: row.try_get("letter_offset")? };
    let key: Option<&[u8]> = row.try_get("key")?;
    Ok(DeadLetter {
        topic: row.try_get("topic")?,
        letter: at.to_string(),
        partition: row.try_get("partition")?,
        offset: row.try_get("offset")?,
        appended_at: UtcTime(row.try_get("appended_at")?),
        stage: row.try_get("stage")?,
        reason: row.try_get("reason")?,
        detail: row.try_get("detail")?,
        failed_at: UtcTime(row.try_get("failed_at")?),
        version: row.try_get("version")?,
        key: key.map(|key| String::from_utf8_lossy(key).into_owned()),
        value_bytes: row.try_get("value_bytes")?,
        attempts: row.try_get("attempts")?,
        redriven_at: row.try_get::<_, Option<jiff::Timestamp>>("redriven_at")?.map(UtcTime),
        place: row.try_get("place")?,
    })
}
