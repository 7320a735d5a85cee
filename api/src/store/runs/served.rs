//! The runs that a question is answered from: the one that it names, or those that are served, each for its time (ADR 23).
//!
//! Questions of sums and of sets read the union of all parts ([`Snapshot::rows_of`]); those of the newest, which an index has in order,
//! go from part to part. Where one run answers for all of the range, which is the rule, both are the plain statement.

use tokio_postgres::Row;
use tokio_postgres::types::ToSql;
use vigie_clock::Timestamp;
use vigie_schemas::{SERVED_RUN, Segment, Switch};

use crate::store::{Snapshot, StoreError};
use crate::time::{EARLIEST, LATEST, UtcTime};

/// A run, and the times that it answers for: `from` inclusive, `to` exclusive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) run: String,
    pub(crate) from: UtcTime,
    pub(crate) to: UtcTime,
}

impl Part {
    /// What it has of a range.
    pub(crate) fn clip(&self, (from, to): (UtcTime, UtcTime)) -> (UtcTime, UtcTime) {
        (self.from.max(from), self.to.min(to))
    }

    /// The condition that `column` lies in its times; nothing where they have no end.
    pub(crate) fn holds(&self, column: &str) -> String {
        let side = |time: UtcTime, compare| format!(" AND {column} {compare} '{time}'::timestamptz");
        let begins = if self.from.0 > EARLIEST { side(self.from, ">=") } else { String::new() };
        let ends = if self.to.0 < LATEST { side(self.to, "<") } else { String::new() };
        begins + &ends
    }
}

/// The runs that answer: one part or more, in the order of time, without a gap or an overlap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Served {
    parts: Vec<Part>,
}

impl Served {
    /// One run for all times.
    pub(crate) fn only(run: &str) -> Self {
        let (from, to) = (UtcTime(EARLIEST), UtcTime(LATEST));
        Self { parts: vec![Part { run: run.to_owned(), from, to }] }
    }

    fn resolved(switches: &[Switch], as_of: Option<UtcTime>) -> Self {
        let segments = vigie_schemas::segments(switches, as_of.map(|time| Timestamp::from(time.0)));
        let part = |Segment { run_id, from, to }| Part {
            run: run_id,
            from: from.map_or(UtcTime(EARLIEST), UtcTime::from),
            to: to.map_or(UtcTime(LATEST), UtcTime::from),
        };
        Self { parts: segments.into_iter().map(part).collect() }
    }

    pub(crate) fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// Those parts that have some of a range; of an empty one, the part that it lies in.
    pub(crate) fn within(&self, (from, to): (UtcTime, UtcTime)) -> Self {
        let touches = |part: &&Part| from < part.to && (part.from < to || part.from <= from);
        let mut parts: Vec<Part> = self.parts.iter().filter(touches).cloned().collect();
        if parts.is_empty() {
            parts.extend(self.parts.last().cloned());
        }
        Self { parts }
    }

    /// The runs of a range, each once.
    pub(crate) fn runs(&self, range: (UtcTime, UtcTime)) -> Vec<String> {
        let mut runs = Vec::new();
        for part in self.within(range).parts {
            if !runs.contains(&part.run) {
                runs.push(part.run);
            }
        }
        runs
    }
}

/// The tables and views that hold rows of runs, and the time by which a row belongs to a part.
const TABLES: [(&str, &str); 6] = [
    ("posts", "published_at"),
    ("post_assets", "published_at"),
    ("trend_windows", "window_start"),
    ("trend_window_revisions", "window_start"),
    ("stored_windows", "window_start"),
    ("stored_window_revisions", "window_start"),
];

impl Snapshot {
    /// The runs that a question about `run` is answered from, as it was at `as_of`.
    pub(crate) fn served(&self, run: &str, as_of: Option<UtcTime>) -> Served {
        if run == SERVED_RUN { Served::resolved(self.versions().switches(), as_of) } else { Served::only(run) }
    }

    /// The rows of a statement over `served`, whose conditions say `run_id = $1`; `params` are those from $2 on. If there is more than one
    /// part, each table is read as the union of what the parts have of it.
    pub(in crate::store) async fn rows_of(
        &self,
        served: &Served,
        sql: &str,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, StoreError> {
        let parts = served.parts();
        if let [part] = parts {
            let params: Vec<_> = std::iter::once(&part.run as _).chain(params.iter().copied()).collect();
            return self.rows(sql, &params).await;
        }
        let sql = union(sql, parts.len(), params.len() + 2);
        let mut all: Vec<&(dyn ToSql + Sync)> = vec![&""];
        all.extend(params);
        for part in parts {
            all.extend([&part.run as &(dyn ToSql + Sync), &part.from, &part.to]);
        }
        self.rows(&sql, &all).await
    }
}

/// The statement over the union of this many parts; run, from and to of each are parameters from `first` on, and $1 is the empty text.
/// The names of the tables stand for what the parts have of them, and keep the run of each row.
fn union(sql: &str, parts: usize, first: usize) -> String {
    let table = |(table, time): &(&str, &str)| {
        let part = |part: usize| {
            let run = first + 3 * part;
            let (from, to) = (run + 1, run + 2);
            format!("SELECT * FROM {table} WHERE run_id = ${run} AND {time} >= ${from} AND {time} < ${to}")
        };
        let parts: Vec<String> = (0..parts).map(part).collect();
        format!("{table} AS NOT MATERIALIZED ({})", parts.join(" UNION ALL "))
    };
    let tables: Vec<String> = TABLES.iter().filter(|(table, _)| sql.contains(table)).map(table).collect();
    let sql = sql.replace("run_id = $1", "run_id <> $1");
    let sql = sql.strip_prefix("WITH ").map_or_else(|| format!(" {sql}"), |rest| format!(", {rest}"));
    format!("WITH {}{sql}", tables.join(", "))
}
