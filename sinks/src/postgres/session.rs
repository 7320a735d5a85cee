//! One connection: load offsets, claim them, write a batch.

use std::collections::{BTreeSet, HashMap};
use std::time::SystemTime;

use tokio_postgres::binary_copy::BinaryCopyInWriter;
use tokio_postgres::types::Type;
use tokio_postgres::{Client, Row as SqlRow, Statement, Transaction};
use tracing::debug;
use vigie_clock::Timestamp;
use vigie_kafka_client::TopicPartition;
use vigie_schemas::{FetchRecord, ScoredPost, TermInsight, TrendInsight};
use vigie_stores::PostgresUrl;

use crate::insight::{Insight, Redriven};
use crate::postgres::authors::AuthorChanges;
use crate::postgres::cell::Cell;
use crate::postgres::dead_letters::{DEAD_LETTERS, dead_letter_cells};
use crate::postgres::dictionaries::{Dictionaries, Ids, LineageKey};
use crate::postgres::failure::classify;
use crate::postgres::partitions::Known;
use crate::postgres::statements::Statements;
use crate::postgres::table::{
    ALERTS, FETCHES, POST_ASSETS, POSTS, TERMS, TREND_WINDOWS, WINDOW_REVISIONS, alert_cells, fetch_cells,
    post_asset_cells, post_cells, term_cells, trend_cells,
};
use crate::sink::{Batch, Offsets, Row, SinkError, Written};

/// A connection with its temporary tables and prepared statements.
pub(crate) struct Session {
    sink: &'static str,
    client: Client,
    statements: Statements,
    /// Runs that the table of runs is known to hold.
    seen_runs: BTreeSet<String>,
    dictionaries: Dictionaries,
    partitions: Known,
}

impl Session {
    pub(crate) async fn open(url: &PostgresUrl, sink: &'static str) -> Result<Self, tokio_postgres::Error> {
        let (client, connection) = url.connect(sink).await?;
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                debug!(%error, "connection to postgresql ended");
            }
        });
        let statements = Statements::prepare(&client).await?;
        Ok(Self {
            sink,
            client,
            statements,
            seen_runs: BTreeSet::new(),
            dictionaries: Dictionaries::default(),
            partitions: Known::default(),
        })
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.client.is_closed()
    }

    pub(crate) async fn load(&self, partitions: &[TopicPartition]) -> Result<Offsets, SinkError> {
        let (topics, numbers) = columns_of(partitions);
        let rows = self.client.query(&self.statements.load_offsets, &[&self.sink, &topics, &numbers]).await;
        Ok(offsets(&rows.map_err(classify)?))
    }

    pub(crate) async fn claim(&self, starts: &Offsets, replace: bool) -> Result<Offsets, SinkError> {
        let statement = if replace { &self.statements.reset_offset } else { &self.statements.claim_offset };
        for (at, next) in starts {
            self.client.execute(statement, &[&self.sink, &at.topic, &at.partition, next]).await.map_err(classify)?;
        }
        let partitions: Vec<TopicPartition> = starts.keys().cloned().collect();
        self.load(&partitions).await
    }

    /// Rows and offsets in one transaction. The offsets are locked first: whoever comes second finds them moved, and gives up.
    pub(crate) async fn write(&mut self, batch: &Batch) -> Result<Written, SinkError> {
        let incoming = Incoming::of(batch);
        self.partitions.make(&self.client, incoming.times()).await.map_err(classify)?;
        let tx = self.client.transaction().await.map_err(classify)?;
        guard_offsets(&tx, &self.statements, self.sink, batch).await?;
        let (sources, lineages) = incoming.shared();
        let found = self.dictionaries.find(&tx, &self.statements.dictionaries, sources, lineages).await;
        let found = found.map_err(classify)?;
        let ids = self.dictionaries.with(&found);
        let mut written = Vec::new();
        let seen = incoming.write(&tx, &self.statements, ids, &self.seen_runs, &mut written).await.map_err(classify)?;
        store_offsets(&tx, &self.statements, self.sink, batch).await.map_err(classify)?;
        tx.commit().await.map_err(classify)?;
        self.dictionaries.extend(found);
        self.seen_runs.extend(seen);
        Ok(written)
    }
}

async fn guard_offsets(
    tx: &Transaction<'_>,
    statements: &Statements,
    sink: &'static str,
    batch: &Batch,
) -> Result<(), SinkError> {
    let (topics, numbers) = columns_of(batch.advances.keys());
    let rows = tx.query(&statements.lock_offsets, &[&sink, &topics, &numbers]).await.map_err(classify)?;
    let stored = offsets(&rows);
    for (partition, advance) in &batch.advances {
        let stored = stored.get(partition).copied();
        if stored != Some(advance.expected) {
            return Err(SinkError::Conflict { partition: partition.clone(), expected: advance.expected, stored });
        }
    }
    Ok(())
}

async fn store_offsets(
    tx: &Transaction<'_>,
    statements: &Statements,
    sink: &'static str,
    batch: &Batch,
) -> Result<(), tokio_postgres::Error> {
    let (topics, numbers) = columns_of(batch.advances.keys());
    let next: Vec<i64> = batch.advances.values().map(|advance| advance.next).collect();
    tx.execute(&statements.store_offsets, &[&sink, &topics, &numbers, &next]).await.map(drop)
}

/// The rows of a batch, by table.
#[derive(Default)]
struct Incoming<'a> {
    posts: Vec<&'a ScoredPost>,
    trends: Vec<&'a TrendInsight>,
    alert_rows: Vec<Vec<Cell<'a>>>,
    terms: Vec<&'a TermInsight>,
    fetches: Vec<(&'a Row, &'a FetchRecord)>,
    authors: AuthorChanges<'a>,
    dead_letter_rows: Vec<Vec<Cell<'a>>>,
    redriven: Vec<(&'a Row, Redriven)>,
}

impl<'a> Incoming<'a> {
    fn of(batch: &'a Batch) -> Self {
        let mut incoming = Self::default();
        // Of a post that comes twice in a batch the later one counts.
        let mut positions: HashMap<(&str, &str), usize> = HashMap::new();
        for row in &batch.rows {
            match &row.insight {
                Insight::Post(post) => match positions.entry((&post.lineage.run_id, &post.post_id)) {
                    std::collections::hash_map::Entry::Occupied(at) => incoming.posts[*at.get()] = post,
                    std::collections::hash_map::Entry::Vacant(free) => {
                        free.insert(incoming.posts.len());
                        incoming.posts.push(post);
                    }
                },
                Insight::Trend(trend) => incoming.trends.push(trend),
                Insight::Alert(alert) => incoming.alert_rows.push(alert_cells(alert)),
                Insight::Term(term) => incoming.terms.push(term),
                Insight::Fetch(fetch) => incoming.fetches.push((row, fetch)),
                Insight::AuthorKey(key) => incoming.authors.add(key),
                Insight::DestroyedKey(key) => incoming.authors.destroy(key),
                Insight::DeadLetter(letter) => incoming.dead_letter_rows.push(dead_letter_cells(row, letter)),
                Insight::Redriven(mark) => incoming.redriven.push((row, *mark)),
            }
        }
        incoming
    }

    /// Where each row of a table by time belongs.
    fn times(&self) -> impl Iterator<Item = (&'static str, Timestamp)> {
        let posts =
            self.posts.iter().flat_map(|post| [POSTS.name, POST_ASSETS.name].map(|name| (name, post.published_at)));
        let trends = self.trends.iter();
        let trends =
            trends.flat_map(|trend| [TREND_WINDOWS.name, WINDOW_REVISIONS].map(|name| (name, trend.window_start)));
        let terms = self.terms.iter().map(|term| (TERMS.name, term.window_start));
        posts.chain(trends).chain(terms).chain(self.fetches.iter().map(|(_, fetch)| (FETCHES.name, fetch.at)))
    }

    /// The names of sources and the lineages of the rows.
    fn shared(&self) -> (BTreeSet<&'a str>, BTreeSet<LineageKey>) {
        let of_trends = self.trends.iter().flat_map(|trend| trend.sources.keys());
        let sources = self.posts.iter().map(|post| &post.source).chain(of_trends).map(String::as_str).collect();
        let lineages = self.posts.iter().map(|post| LineageKey::of_post(post));
        (sources, lineages.chain(self.trends.iter().map(|trend| LineageKey::of_trend(trend))).collect())
    }

    /// Copies and merges; returns the runs that are now known to be there.
    async fn write(
        &self,
        tx: &Transaction<'_>,
        statements: &Statements,
        ids: Ids<'_>,
        seen_runs: &BTreeSet<String>,
        written: &mut Written,
    ) -> Result<Vec<String>, tokio_postgres::Error> {
        let mut runs = Vec::new();
        self.authors.write(tx, &statements.authors, written).await?;
        if !self.posts.is_empty() {
            runs = see_runs(tx, statements, &self.posts, seen_runs).await?;
            self.write_posts(tx, statements, ids, written).await?;
        }
        if !self.trends.is_empty() {
            let rows: Vec<_> = self.trends.iter().map(|trend| trend_cells(trend, ids)).collect();
            copy(tx, &statements.copy_trends, &TREND_WINDOWS.types(), &rows).await?;
            written.push(("trend_windows", tx.execute(&statements.merge_trends, &[]).await?));
            written.push(("trend_window_revisions", tx.execute(&statements.merge_revisions, &[]).await?));
        }
        if !self.alert_rows.is_empty() {
            copy(tx, &statements.copy_alerts, &ALERTS.types(), &self.alert_rows).await?;
            written.push((ALERTS.name, tx.execute(&statements.merge_alerts, &[]).await?));
        }
        if !self.terms.is_empty() {
            let rows: Vec<_> = self.terms.iter().map(|term| term_cells(term)).collect();
            copy(tx, &statements.copy_terms, &TERMS.types(), &rows).await?;
            written.push((TERMS.name, tx.execute(&statements.merge_terms, &[]).await?));
        }
        if !self.fetches.is_empty() {
            let rows: Vec<_> = self.fetches.iter().map(|(row, fetch)| fetch_cells(row, fetch)).collect();
            copy(tx, &statements.copy_fetches, &FETCHES.types(), &rows).await?;
            written.push((FETCHES.name, tx.execute(&statements.merge_fetches, &[]).await?));
        }
        if !self.dead_letter_rows.is_empty() {
            copy(tx, &statements.copy_dead_letters, &DEAD_LETTERS.types(), &self.dead_letter_rows).await?;
            written.push((DEAD_LETTERS.name, tx.execute(&statements.dead_letters.merge, &[]).await?));
        }
        if !self.redriven.is_empty() {
            written.push((DEAD_LETTERS.name, statements.dead_letters.mark(tx, &self.redriven).await?));
        }
        Ok(runs)
    }

    /// The assets follow their posts: they are written for those posts only that are newer than what is there.
    async fn write_posts(
        &self,
        tx: &Transaction<'_>,
        statements: &Statements,
        ids: Ids<'_>,
        written: &mut Written,
    ) -> Result<(), tokio_postgres::Error> {
        let authors = statements.authors.find(tx, &self.posts).await?;
        let author = |post: &ScoredPost| authors.get(post.author_id.as_deref()?).copied();
        let rows: Vec<_> = self.posts.iter().map(|post| post_cells(post, ids, author(post))).collect();
        copy(tx, &statements.copy_posts, &POSTS.types(), &rows).await?;
        statements.authors.strip_incoming(tx).await?;
        for row in tx.query(&statements.replaced_posts, &[]).await? {
            let (run_id, post_key, published_at, assets): (&str, i64, SystemTime, &str) =
                (row.get(0), row.get(1), row.get(2), row.get(3));
            tx.execute(&statements.delete_post_assets, &[&run_id, &post_key, &published_at, &assets]).await?;
        }
        let merged = tx.query(&statements.merge_posts, &[]).await?;
        written.push(("posts", merged.len() as u64));
        let newer: HashMap<(&str, &str), i64> =
            merged.iter().map(|row| ((row.get(0), row.get(1)), row.get(2))).collect();
        let mut mentions = Vec::new();
        for post in &self.posts {
            let Some(key) = newer.get(&(&*post.lineage.run_id, &*post.post_id)) else { continue };
            let mut assets = BTreeSet::new();
            let once = post.assets.iter().filter(|mention| assets.insert(&mention.asset));
            mentions.extend(once.map(|mention| (post, *key, mention)));
        }
        // In the order of the index: neighbours meet the same page.
        mentions.sort_by_key(|(post, _, mention)| (&post.lineage.run_id, &mention.asset, post.published_at));
        let asset_rows: Vec<_> =
            mentions.into_iter().map(|(post, key, mention)| post_asset_cells(post, key, mention)).collect();
        if !asset_rows.is_empty() {
            copy(tx, &statements.copy_post_assets, &POST_ASSETS.types(), &asset_rows).await?;
            written.push((POST_ASSETS.name, asset_rows.len() as u64));
        }
        Ok(())
    }
}

async fn see_runs(
    tx: &Transaction<'_>,
    statements: &Statements,
    posts: &[&ScoredPost],
    seen: &BTreeSet<String>,
) -> Result<Vec<String>, tokio_postgres::Error> {
    let mut new = std::collections::BTreeMap::new();
    for post in posts {
        if !seen.contains(&post.lineage.run_id) {
            new.entry(&post.lineage.run_id).or_insert(&post.lineage);
        }
    }
    for (run_id, lineage) in &new {
        let model = format!("{}@{}", lineage.model_name, lineage.model_version);
        tx.execute(&statements.see_run, &[run_id, &lineage.input_topic, &model]).await?;
    }
    Ok(new.into_keys().cloned().collect())
}

async fn copy(
    tx: &Transaction<'_>,
    statement: &Statement,
    types: &[Type],
    rows: &[Vec<Cell<'_>>],
) -> Result<(), tokio_postgres::Error> {
    let sink = tx.copy_in(statement).await?;
    let mut writer = std::pin::pin!(BinaryCopyInWriter::new(sink, types));
    for row in rows {
        writer.as_mut().write_raw(row.iter()).await?;
    }
    writer.finish().await.map(drop)
}

fn columns_of<'a>(partitions: impl IntoIterator<Item = &'a TopicPartition>) -> (Vec<&'a str>, Vec<i32>) {
    partitions.into_iter().map(|at| (at.topic.as_str(), at.partition)).unzip()
}

fn offsets(rows: &[SqlRow]) -> Offsets {
    rows.iter().map(|row| (TopicPartition { topic: row.get(0), partition: row.get(1) }, row.get(2))).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use vigie_clock::{Clock, SystemClock};

    use super::*;
    use crate::sink::Advance;

    /// `cargo test --release -p vigie-sinks --lib copy_path -- --ignored --nocapture`
    #[tokio::test]
    #[ignore = "a measurement: prints rows per second"]
    async fn copy_path_rows_per_second() {
        const POSTS: i64 = 100_000;
        let stack = tokio::task::spawn_blocking(vigie_stack::testing::shared).await.unwrap();
        let url: PostgresUrl = stack.postgres_url.parse().unwrap();
        crate::migrate(&url).await.unwrap();
        let mut session = Session::open(&url, "measured").await.unwrap();
        let partition = TopicPartition::new("insights.sentiment.v1", 0);
        let clock = SystemClock::default();
        for (size, name) in [(5_000, "new"), (5_000, "redelivered"), (500, "new"), (50, "new"), (1, "new")] {
            let (posts, run) = if size == 1 { (2_000, 1) } else { (POSTS, size) };
            session.claim(&Offsets::from([(partition.clone(), 0)]), true).await.unwrap();
            let rows: Vec<Row> = (0..posts)
                .map(|n| {
                    let mut post = crate::testing::post(&format!("rss:{n:032}"), n);
                    post.lineage.run_id = format!("run-{run}");
                    Row { partition: partition.clone(), offset: n, insight: Insight::Post(Box::new(post)) }
                })
                .collect();
            let mut expected = 0;
            let started = clock.monotonic();
            for rows in rows.chunks(usize::try_from(size).unwrap()) {
                let next = expected + rows.len() as i64;
                let advances = BTreeMap::from([(partition.clone(), Advance { expected, next })]);
                session.write(&Batch { rows: rows.to_vec(), advances }).await.unwrap();
                expected = next;
            }
            let seconds = (clock.monotonic() - started).as_secs_f64();
            let batches = posts / size;
            println!(
                "{posts} posts (2 assets each), {name}, {size} a batch: {seconds:.2} s, {:.0} posts/s, {:.2} ms a batch",
                posts as f64 / seconds,
                seconds * 1000.0 / batches as f64
            );
        }
    }
}
