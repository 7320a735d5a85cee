//! Whether final windows account for the posts that are stored.
//!
//! ```text
//! every 5 s: windows of `*` that became final ─▶ all posts before it stored? ─▶ at least ≤ posts of the window ≤ at most
//!                    (20 at most)                   (else later)                   └─ else: log, metric, not ready
//! ```
//!
//! **The rule.** A window ends up with every post that came while it was open; late ones are stored and not counted, edited and deleted ones are
//! stored as they are now. Which posts were late is written down nowhere, but the order is: mentions of `*` lie in one partition in the order in
//! which their posts were scored, but for [`SKEW`], and no post is scored earlier than [`AHEAD`] before it was published. When the
//! window became final, a post of some later window V had been counted already. So whatever was scored before the start of V, less
//! [`AHEAD`] and [`SKEW`], was taken in while the window was open:
//!
//! - at least the posts that were scored by then and are not deleted are counted;
//! - at most all posts of the window are, but for those deleted by then.
//!
//! With a grace of hours that leaves no room in a window whose posts all came in time. With a grace shorter than [`AHEAD`] and [`SKEW`] it
//! leaves much.
//!
//! **No false alarms.** Windows are checked once the sink has stored all posts that are on the topic, and only if they became final within the
//! last day: of older ones the posts may have expired before a new database read them. Records that were put aside as dead letters are allowed for.
//!
//! **A mismatch stays.** Nothing repairs a final window by itself, so the component is not ready until the sink is restarted. Then the windows
//! that became final within the last day are checked again.

use std::convert::Infallible;
use std::time::Duration;

use prometheus::{IntCounter, Opts, Registry};
use tokio_postgres::Client;
use tracing::{debug, error, warn};
use vigie_clock::Timestamp;
use vigie_daemon::Component;
use vigie_kafka_client::{Admin, KafkaConfig, KafkaError, TopicPartition, last_offset_before};
use vigie_schemas::Topic;
use vigie_stores::PostgresUrl;

use crate::postgres::failure::describe;

const INTERVAL: Duration = Duration::from_secs(5);
/// So long before its publication a post can be scored: the sentiment topology takes none that is further ahead.
const AHEAD: Duration = Duration::from_secs(3600);
/// The order of mentions is that of scoring, but for the time that a transaction may take, at most, and what clocks disagree.
const SKEW: Duration = Duration::from_secs(20 * 60);

/// $1: milliseconds since the epoch, windows up to here are done. $2: seconds of [`AHEAD`]. $3: seconds of [`SKEW`].
const ACCOUNT: &str = "SELECT (extract(epoch FROM w.window_start) * 1000)::bigint, w.posts, p.at_least, p.at_most
    FROM (SELECT * FROM trend_windows
          WHERE run_id = 'live' AND asset = '*' AND final AND emitted_at > now() - interval '1 day'
            AND window_start > greatest(to_timestamp($1::bigint / 1000.0), now() - interval '30 days')
          ORDER BY window_start LIMIT 20) w
    LEFT JOIN LATERAL (
        SELECT r.window_start AS reached FROM trend_window_revisions r
        WHERE r.run_id = 'live' AND r.asset = '*' AND r.window_start > w.window_start AND r.emitted_at <= w.emitted_at
          AND r.window_start <= w.emitted_at + $2::bigint * interval '1 second'
        ORDER BY r.window_start DESC LIMIT 1) v ON true
    CROSS JOIN LATERAL (
        SELECT count(*) FILTER (WHERE deleted_at IS NULL AND in_time) AS at_least,
               count(*) FILTER (WHERE deleted_at IS NULL OR NOT in_time) AS at_most
        FROM (SELECT deleted_at, coalesce(scored_at < v.reached - ($2::bigint + $3::bigint) * interval '1 second', false) AS in_time
              FROM posts WHERE run_id = 'live' AND published_at >= w.window_start AND published_at < w.window_end) s) p
    ORDER BY w.window_start";

const OFFSETS: &str = "SELECT partition, next_offset FROM sink_offsets WHERE sink = $1 AND topic = $2";

/// A final window and what is stored of it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Account {
    window_start: Timestamp,
    posts: i64,
    at_least: i64,
    at_most: i64,
}

impl Account {
    /// Posts that are missing in the window (positive), or in the history (negative).
    fn gap(&self) -> i64 {
        (self.at_least - self.posts).max(0) + (self.at_most - self.posts).min(0)
    }
}

/// Checks windows as they become final.
pub(super) struct Accounts {
    sink: &'static str,
    database: PostgresUrl,
    kafka: KafkaConfig,
    health: Component,
    checked: IntCounter,
    mismatches: IntCounter,
    client: Option<Client>,
    /// The last window that was checked.
    done: Timestamp,
}

/// Why a round came to no result.
#[derive(Debug, thiserror::Error)]
enum AccountError {
    #[error("postgresql: {}", describe(.0))]
    Postgres(#[from] tokio_postgres::Error),
    #[error(transparent)]
    Kafka(#[from] KafkaError),
    #[error("the look at kafka panicked")]
    Panicked(#[from] tokio::task::JoinError),
}

impl Accounts {
    pub(super) fn new(
        sink: &'static str,
        database: PostgresUrl,
        kafka: KafkaConfig,
        health: Component,
        registry: &Registry,
    ) -> Result<Self, prometheus::Error> {
        let counter = |name: &str, help: &str| {
            let counter = IntCounter::with_opts(Opts::new(name, help).const_label("sink", sink))?;
            if let Err(error) = registry.register(Box::new(counter.clone())) {
                debug!(%error, "metric is registered already"); // the same sink twice in one process
            }
            Ok::<_, prometheus::Error>(counter)
        };
        let checked = counter("vigie_sinks_windows_checked_total", "Final windows held against the stored posts")?;
        let mismatches =
            counter("vigie_sinks_window_mismatches_total", "Final windows that do not account for the stored posts")?;
        Ok(Self { sink, database, kafka, health, checked, mismatches, client: None, done: Timestamp::from_millis(0) })
    }

    /// Checks until it is dropped.
    pub(super) async fn watch(mut self) -> Infallible {
        self.health.ready();
        let mut rounds = tokio::time::interval(INTERVAL);
        loop {
            rounds.tick().await;
            if let Err(error) = self.round().await {
                // The driver reports outages.
                debug!(sink = self.sink, %error, "windows not checked for now");
                self.client = None;
            }
        }
    }

    async fn round(&mut self) -> Result<(), AccountError> {
        let Some(last) = self.account().await?.pop() else { return Ok(()) };
        if !self.is_complete().await? {
            return Ok(());
        }
        // The posts of windows that became final since then may be on their way.
        let known = self.account().await?.into_iter().filter(|account| account.window_start <= last.window_start);
        for account in known {
            self.judge(&account).await?;
            self.checked.inc();
            self.done = account.window_start;
        }
        Ok(())
    }

    async fn client(&mut self) -> Result<&Client, AccountError> {
        if self.client.as_ref().is_none_or(Client::is_closed) {
            let (client, connection) = self.database.connect(self.sink).await?;
            tokio::spawn(async move {
                if let Err(error) = connection.await {
                    debug!(%error, "connection to postgresql ended");
                }
            });
            self.client = Some(client);
        }
        Ok(self.client.as_ref().expect("it was just made"))
    }

    async fn account(&mut self) -> Result<Vec<Account>, AccountError> {
        let (ahead, skew) = (AHEAD.as_secs() as i64, SKEW.as_secs() as i64);
        let done = self.done.as_millis();
        let rows = self.client().await?.query(ACCOUNT, &[&done, &ahead, &skew]).await?;
        let account = |row: &tokio_postgres::Row| Account {
            window_start: Timestamp::from_millis(row.get(0)),
            posts: row.get(1),
            at_least: row.get(2),
            at_most: row.get(3),
        };
        Ok(rows.iter().map(account).collect())
    }

    /// Whether all scored posts that are on the topic now are stored, by whatever instance of the sink.
    async fn is_complete(&mut self) -> Result<bool, AccountError> {
        let topic = Topic::InsightsSentiment.name();
        let kafka = self.kafka.clone();
        let last = tokio::task::spawn_blocking(move || last_offsets(&kafka, topic)).await??;
        let sink = self.sink;
        let rows = self.client().await?.query(OFFSETS, &[&sink, &topic]).await?;
        let stored = |partition: i32| rows.iter().find(|row| row.get::<_, i32>(0) == partition).map(|row| row.get(1));
        Ok(last.into_iter().all(|(partition, last)| stored(partition).is_some_and(|next: i64| next > last)))
    }

    async fn judge(&self, account: &Account) -> Result<(), AccountError> {
        let gap = account.gap();
        if gap == 0 {
            return Ok(());
        }
        let Account { window_start, posts, at_least, at_most } = account;
        // Missing in the window: the mention may be a dead letter. Missing in the history: the post may be one.
        let topic = if gap > 0 { Topic::PostsMentions } else { Topic::InsightsSentiment };
        let kafka = self.kafka.clone();
        let dead_letters = tokio::task::spawn_blocking(move || dead_letters(&kafka, topic)).await??;
        if dead_letters >= gap.abs() {
            warn!(
                sink = self.sink,
                %window_start, posts, at_least, at_most, "window does not fit the stored posts, dead letters may be why"
            );
            return Ok(());
        }
        self.mismatches.inc();
        error!(
            sink = self.sink,
            %window_start, posts, at_least, at_most, "final window does not account for the stored posts"
        );
        self.health.not_ready(format!(
            "the window of all posts at {window_start} counts {posts} posts, and {at_least} to {at_most} are stored that it should: \
             look at it with vigie verify"
        ));
        Ok(())
    }
}

/// The last record of each partition that has one, whether it can be read yet or not.
fn last_offsets(kafka: &KafkaConfig, topic: &str) -> Result<Vec<(i32, i64)>, KafkaError> {
    let admin = Admin::new(kafka)?;
    let mut last = Vec::new();
    for partition in 0..admin.partitions(topic)?.unwrap_or(0) {
        let at = TopicPartition::new(topic, partition);
        let end = admin.watermarks(&at)?.1;
        last.extend(last_offset_before(&admin, &at, end)?.map(|offset| (partition, offset)));
    }
    Ok(last)
}

/// How many dead letters of a topic there may be: marks of transactions count too.
fn dead_letters(kafka: &KafkaConfig, topic: Topic) -> Result<i64, KafkaError> {
    let Some(queue) = topic.dead_letter_queue() else { return Ok(0) };
    let admin = Admin::new(kafka)?;
    let mut letters = 0;
    for partition in 0..admin.partitions(&queue)?.unwrap_or(0) {
        let (low, high) = admin.watermarks(&TopicPartition::new(&*queue, partition))?;
        letters += high - low;
    }
    Ok(letters)
}

#[cfg(test)]
mod tests {
    use vigie_daemon::Context;
    use vigie_kafka_client::{OutgoingRecord, Publisher};

    use super::*;
    use crate::testing::topics::create_topics;

    #[tokio::test(flavor = "multi_thread")]
    async fn windows_wait_until_the_posts_of_the_topic_are_stored() {
        let stack = tokio::task::spawn_blocking(vigie_stack::testing::shared).await.unwrap();
        let kafka = KafkaConfig::new(&stack.brokers, &stack.prefix);
        let url = stack.postgres_url.parse::<PostgresUrl>().unwrap();
        create_topics(&kafka).await;
        crate::migrate(&url).await.unwrap();
        let ctx = Context::system();
        let health = ctx.health.component("windows");
        let mut accounts = Accounts::new("sink", url, kafka.clone(), health, &ctx.metrics).unwrap();
        let topic = Topic::InsightsSentiment.name();
        let post = OutgoingRecord { partition: Some(0), ..OutgoingRecord::new(topic, "p", "a post") };
        Publisher::new(&kafka, "test").publish(vec![post]).await.unwrap();
        let window = "SELECT make_partition(t, now() - interval '1 hour') FROM unnest(ARRAY['stored_windows', 'stored_posts']) t; \
            INSERT INTO stored_windows (run_id, asset, window_start, window_seconds, revision, final, posts, unique_authors, negative, neutral, \
              positive, emitted_at, sample, lineage_id, first_offset, last_offset, sources) \
            SELECT 'live', '*', date_trunc('minute', now() - interval '1 hour'), 300, 1, true, 1, 1, 0, 0, 1, now(), false, 1, 0, 0, ''";
        let post = "INSERT INTO stored_posts (run_id, post_id, source_id, kind, excerpt, published_at, fetched_at, scored_at, sample, \
              lineage_id, input_offset) \
            SELECT 'live', 'p', 1, 'rss', '', t, t, t, false, 1, 0 FROM (SELECT date_trunc('minute', now() - interval '58 minutes') AS t) s";
        accounts.client().await.unwrap().batch_execute(window).await.unwrap();
        accounts.round().await.unwrap();
        assert_eq!(accounts.checked.get(), 0, "the post may be on its way");
        let offset = format!("INSERT INTO sink_offsets VALUES ('sink', '{topic}', 0, 1)");
        accounts.client().await.unwrap().batch_execute(&format!("{post}; {offset}")).await.unwrap();
        accounts.round().await.unwrap();
        assert_eq!((accounts.checked.get(), accounts.mismatches.get()), (1, 0));
        accounts.round().await.unwrap();
        assert_eq!(accounts.checked.get(), 1, "each window is checked once");
    }
}
