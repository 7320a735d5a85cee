//! Dead letters as they come, and which of them were redriven.

use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Error, Statement, Transaction};
use vigie_schemas::DeadLetter;

use crate::insight::Redriven;
use crate::postgres::cell::Cell;
use crate::postgres::table::Table;
use crate::sink::Row;

pub(crate) const DEAD_LETTERS: Table = Table {
    name: "dead_letters",
    columns: &[
        ("topic", Type::TEXT),
        ("letter_partition", Type::INT4),
        ("letter_offset", Type::INT8),
        ("partition", Type::INT4),
        ("offset", Type::INT8),
        ("appended_at", Type::TIMESTAMPTZ),
        ("stage", Type::TEXT),
        ("reason", Type::TEXT),
        ("detail", Type::TEXT),
        ("failed_at", Type::TIMESTAMPTZ),
        ("version", Type::TEXT),
        ("key", Type::BYTEA),
        ("value", Type::BYTEA),
    ],
};

/// As the queues expire.
pub(crate) const EXPIRE: &str = "DELETE FROM dead_letters WHERE failed_at < now() - interval '30 days'";

/// A queue that was recreated numbers its places from 0 again, and its marks come again.
fn merge() -> String {
    let key = ["topic", "letter_partition", "letter_offset"];
    format!(
        "INSERT INTO dead_letters ({columns}) SELECT {columns} FROM incoming_dead_letters ORDER BY {keys}
         ON CONFLICT ({keys}) DO UPDATE SET {replace}, redriven_at = NULL, redriven_partition = NULL, redriven_offset = NULL, attempt = NULL",
        columns = DEAD_LETTERS.list(""),
        keys = key.join(", "),
        replace = DEAD_LETTERS.replace(&key),
    )
}

const MARK: &str = "UPDATE dead_letters d SET redriven_at = n.at, redriven_partition = n.to_partition, redriven_offset = n.to_offset, attempt = n.attempt
    FROM unnest($1::text[], $2::int[], $3::bigint[], $4::timestamptz[], $5::int[], $6::bigint[], $7::int[])
        AS n (topic, letter_partition, letter_offset, at, to_partition, to_offset, attempt)
    WHERE (d.topic, d.letter_partition, d.letter_offset) = (n.topic, n.letter_partition, n.letter_offset)";

pub(crate) struct DeadLetterStatements {
    pub(crate) merge: Statement,
    mark: Statement,
}

impl DeadLetterStatements {
    /// The temporary tables must be there.
    pub(crate) async fn prepare(client: &Client) -> Result<Self, Error> {
        Ok(Self { merge: client.prepare(&merge()).await?, mark: client.prepare(MARK).await? })
    }

    /// Marks letters that are there. A mark comes after its letter in the same queue.
    pub(crate) async fn mark(&self, tx: &Transaction<'_>, redriven: &[(&Row, Redriven)]) -> Result<u64, Error> {
        let topics: Vec<&str> = redriven.iter().map(|(row, _)| topic(row)).collect();
        let marks = || redriven.iter().map(|(_, mark)| mark);
        let (partitions, offsets): (Vec<i32>, Vec<i64>) =
            marks().map(|mark| (mark.letter.partition, mark.letter.offset)).unzip();
        let times: Vec<_> = marks().map(|mark| mark.at.to_jiff()).collect();
        let to = |mark: &Redriven| (mark.to.map(|to| to.partition), mark.to.map(|to| to.offset));
        let (to_partitions, to_offsets): (Vec<Option<i32>>, Vec<Option<i64>>) = marks().map(to).unzip();
        let attempts: Vec<Option<i32>> = marks().map(|mark| mark.attempt).collect();
        let places: [&(dyn ToSql + Sync); 7] =
            [&topics, &partitions, &offsets, &times, &to_partitions, &to_offsets, &attempts];
        tx.execute(&self.mark, &places).await
    }
}

/// The topic of a row that was read from its queue.
fn topic(row: &Row) -> &str {
    row.partition.topic.strip_suffix(".dlq").unwrap_or(&row.partition.topic)
}

pub(crate) fn dead_letter_cells<'a>(row: &'a Row, letter: &'a DeadLetter) -> Vec<Cell<'a>> {
    vec![
        Cell::Text(topic(row)),
        Cell::Int(row.partition.partition),
        Cell::Long(row.offset),
        Cell::Int(letter.partition),
        Cell::Long(letter.offset),
        Cell::Time(letter.timestamp),
        Cell::Text(&letter.stage),
        Cell::Text(&letter.reason),
        Cell::Text(&letter.detail),
        Cell::Time(letter.failed_at),
        Cell::OptText(letter.version.as_deref()),
        Cell::OptBytes(letter.key.as_deref()),
        Cell::OptBytes(letter.value.as_deref()),
    ]
}
