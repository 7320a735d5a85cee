//! Reading a source that has an archive back to a date.
//!
//! ```text
//!   newest page, or where an earlier run stopped ─▶ fetch, at half the host's rate ─▶ posts between the date and the live source
//!         ▲                                                                                 │
//!         └────────── older ◀── committed: posts, position and ledger entry in one transaction
//! ```
//!
//! Guarantees: a backfill that is interrupted at any moment goes on where it stopped, and publishes no post twice, nor one that is in `posts.raw.v1`
//! already; the cursor of the live source is read, never written; two backfills of one source fence each other. Posts keep the time at which
//! they were published, so that they count then.

mod output;
mod state;

use std::time::Duration;

use serde::Serialize;
use tracing::warn;
use url::Url;
use vigie_clock::Timestamp;
use vigie_daemon::{Context, Mistake, ServiceError};
use vigie_kafka_client::{KafkaConfig, KafkaError, Publisher, Start, read_to_end};
use vigie_schemas::{Codec, Cursor, Topic};

use crate::config::Checked;
use crate::fetcher::{FetchError, Fetched, Fetcher};
use crate::keys::Key;
use crate::kinds::Kind;
use crate::kinds::source::Page;
use crate::poll::page::{self, Failure};
use crate::poll::walk::Position;
use crate::poll::{Polled, fresh_cursor};
use crate::publish::authors::Authors;
use crate::publish::cursors::TakeError;
use crate::sources::SourceConfig;
use output::Output;
use state::{Published, State};

/// How often a page is asked for that does not come.
const TRIES: u32 = 5;

/// Who is asked to stay away for longer than this is not waited for.
const PATIENCE: Duration = Duration::from_secs(600);

/// How far a backfill is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Progress {
    /// Pages read, over all runs.
    pub pages: u64,
    /// Posts published, over all runs.
    pub posts: u64,
    /// The age of the last page: the newest time on it; `None` before any.
    pub reached: Option<Timestamp>,
}

/// What a backfill did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The source.
    pub source: String,
    /// The date asked for.
    pub since: Timestamp,
    /// How far it came.
    #[serde(flatten)]
    pub progress: Progress,
}

/// Whether sources of this kind can be read back.
pub fn has_archive(source: &SourceConfig) -> bool {
    !source.is_stream() && source.kind.source().has_archive()
}

/// Reads the source of this id back to a date, or to the end of its archive. `progress` is called after each page.
///
/// # Errors
/// [`ServiceError::Config`] if there is no such source or it has no archive; [`ServiceError::Unavailable`] if Kafka, the registry or the site does not
/// answer; [`ServiceError::Failed`] if the site refuses, or the shutdown came first. Whatever the error, the next run goes on from there.
pub async fn backfill(
    checked: Checked,
    id: &str,
    since: Timestamp,
    ctx: Context,
    mut progress: impl FnMut(Progress),
) -> Result<Report, ServiceError> {
    let mut run = Run::prepare(checked, id, since, ctx).await?;
    run.state.reopen(since);
    while !run.state.is_done(since) {
        if run.ctx.shutdown.is_cancelled() {
            return Err(ServiceError::failed("interrupted: the same command goes on from here"));
        }
        let Some(url) = run.state.next(&run.source) else { break };
        run.page(url).await?;
        progress(run.progress());
    }
    Ok(Report { source: run.source.id.clone(), since, progress: run.progress() })
}

/// A backfill under way.
struct Run {
    source: SourceConfig,
    since: Timestamp,
    state: State,
    cursor: Cursor,
    published: Published,
    fetcher: Fetcher,
    output: Output,
    ctx: Context,
}

impl Run {
    async fn prepare(checked: Checked, id: &str, since: Timestamp, ctx: Context) -> Result<Self, ServiceError> {
        let Checked { config, sources, author_key, keyring } = checked;
        let Some(source) = sources.into_iter().find(|source| source.id == id) else {
            return Err(Mistake::new("source", format!("{id:?}"), "one that `vigie source list` shows").into());
        };
        if !has_archive(&source) {
            let found = format!("{id:?} of kind {} has no archive", source.kind);
            return Err(Mistake::new("source", found, "one with an archive").into());
        }
        if source.waits_for_key() {
            let variable = source.key.as_ref().map(Key::variable).unwrap_or_default();
            return Err(Mistake::new("source", format!("{id:?} has no key"), format!("it in {variable}")).into());
        }
        // The live source goes before: half its rate, and one page at a time.
        let mut polite = config.fetcher();
        polite.spacing *= 2;
        polite.local_spacing *= 2;
        let fetcher = Fetcher::new(polite, ctx.clock.clone()).map_err(ServiceError::failed)?;
        let codec = Codec::connect(&config.registry, &config.kafka.topic_prefix)
            .await
            .map_err(|e| ServiceError::unavailable("schema registry", e))?;
        let name = format!("backfill-{id}");
        let publisher = Publisher::exclusive(&config.kafka, &name);
        let own = format!("backfill:{id}");
        let output = Output {
            kafka: config.kafka.clone(),
            codec,
            publisher,
            authors: Authors::new(author_key, keyring),
            clock: ctx.clock.clone(),
            shutdown: ctx.shutdown.clone(),
        };
        let cursors = output.cursors([own.clone(), id.to_owned()]).await.map_err(unreadable)?;
        let stored = cursors.get(&own).filter(|cursor| cursor.url == source.url.as_str());
        let state = stored.and_then(|cursor| serde_json::from_str(cursor.position.as_deref()?).ok());
        let live = cursors.get(id).and_then(|live| Position::read(live.position.as_deref()).seen_until());
        let cursor = stored.cloned().unwrap_or_else(|| Cursor { source: own, ..fresh_cursor(&source) });
        let published = published(&config.kafka, source.kind).await?;
        let state = state.unwrap_or_else(|| State::new(live));
        Ok(Self { source, since, state, cursor, published, fetcher, output, ctx })
    }

    fn progress(&self) -> Progress {
        Progress { pages: self.state.pages, posts: self.state.posts, reached: self.state.reached }
    }

    /// Reads one page and commits it.
    async fn page(&mut self, url: Url) -> Result<(), ServiceError> {
        let at = self.ctx.clock.now();
        let begun = self.ctx.clock.monotonic();
        let (mut record, mut posts, mut left_out) = (page::record(&self.source, at), Vec::new(), 0);
        (record.source, record.url) = (self.cursor.source.clone(), url.to_string());
        let failure = match self.ask(url).await? {
            Ok((page, status, bytes)) => {
                left_out = page.left_out;
                record.posts_seen = i64::try_from(page.posts.len() + left_out).unwrap_or(i64::MAX);
                record.reason = page::left_out(left_out);
                record.status = Some(i32::from(status));
                record.bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
                posts = self.state.take(&self.source, page, self.since, &mut self.published);
                None
            }
            // One of many documents that is gone does not hold up the others.
            Err(failure) if self.state.is_at_nested() && failure.is_lasting() => {
                record.reason = Some(failure.to_string());
                self.state.skip_nested(self.since);
                None
            }
            Err(failure) => Some(failure),
        };
        if let Some(failure) = &failure {
            record.decision = failure.decision().to_string();
            record.reason = Some(failure.to_string());
        }
        record.duration_ms =
            i64::try_from(self.ctx.clock.monotonic().saturating_sub(begun).as_millis()).unwrap_or(i64::MAX);
        self.cursor.url = self.source.url.to_string();
        self.cursor.position = Some(serde_json::to_string(&self.state).map_err(ServiceError::failed)?);
        let now = self.ctx.clock.now();
        self.cursor.updated_at = now.max(self.cursor.updated_at.saturating_add(Duration::from_millis(1)));
        let cursor = self.cursor.clone();
        record.posts_new = i64::try_from(posts.len()).unwrap_or(i64::MAX);
        self.output
            .publish(Polled {
                posts,
                edited: Vec::new(),
                deleted: Vec::new(),
                left_out,
                cursor,
                record,
                changed: failure.is_none(),
            })
            .await?;
        match failure {
            None => Ok(()),
            Some(failure) => Err(into_error(failure, &self.source)),
        }
    }

    /// Asks until an answer comes, with growing pauses; the outer error is a shutdown.
    async fn ask(&self, url: Url) -> Result<Result<(Page, u16, usize), Failure>, ServiceError> {
        let mut pause = if self.source.local { Duration::from_millis(100) } else { Duration::from_secs(2) };
        let mut tries = 0;
        loop {
            let answer = tokio::select! {
                () = self.ctx.shutdown.cancelled() => return Err(ServiceError::failed("interrupted: the same command goes on from here")),
                answer = self.ask_once(url.clone()) => answer,
            };
            tries += 1;
            let Err(failure) = answer else { return Ok(answer) };
            let wait = failure.retry_after().unwrap_or_default().max(pause);
            if failure.is_lasting() || tries >= TRIES || wait > PATIENCE {
                return Ok(Err(failure));
            }
            warn!(source = self.source.id, error = %failure, wait_seconds = wait.as_secs(), "page not read, trying again");
            tokio::select! {
                () = self.ctx.shutdown.cancelled() => {}
                () = tokio::time::sleep(wait) => {}
            }
            pause *= 2;
        }
    }

    async fn ask_once(&self, url: Url) -> Result<(Page, u16, usize), Failure> {
        let body = match self.fetcher.fetch(&page::request(&self.source, url)).await? {
            Fetched::Body(body) => body,
            Fetched::NotModified { .. } => {
                return Err(FetchError::Network("status 304 to an unconditional request".into()).into());
            }
        };
        let page = page::parse(&self.source, &body, self.ctx.clock.now())?;
        Ok((page, body.status, body.bytes.len()))
    }
}

fn into_error(failure: Failure, source: &SourceConfig) -> ServiceError {
    match failure {
        Failure::Fetch(error) if !error.is_lasting() => {
            ServiceError::unavailable(source.url.host_str().unwrap_or_default(), error)
        }
        failure => ServiceError::failed(failure),
    }
}

/// Which posts of this kind are published already. Read after the claim, so that nothing a predecessor had under way is missed.
async fn published(kafka: &KafkaConfig, kind: Kind) -> Result<Published, ServiceError> {
    let kafka = kafka.clone();
    let begin = format!("{kind}:").into_bytes();
    let reading = tokio::task::spawn_blocking(move || -> Result<Published, KafkaError> {
        let mut published = Published::default();
        for record in read_to_end(&kafka, Topic::PostsRaw.name(), &Start::Beginning)? {
            if let Some(key) = record?.key.filter(|key| key.starts_with(&begin)) {
                published.insert(&key);
            }
        }
        Ok(published)
    });
    reading.await.map_err(ServiceError::failed)?.map_err(|e| unreadable(e.into()))
}

fn unreadable(error: TakeError) -> ServiceError {
    match error {
        TakeError::Kafka(error) => ServiceError::unavailable("kafka", error),
        TakeError::Codec(error) => ServiceError::unavailable("schema registry", error),
        other => ServiceError::failed(other),
    }
}
