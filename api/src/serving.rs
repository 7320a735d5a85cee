//! The way from a question to its answer: kept in this process, over shared in Redis, over PostgreSQL.
//!
//! ```text
//!   question ─▶ version of the data ─▶ client has it? ─▶ kept? ─▶ shared? ─▶ build from one snapshot ─▶ keep, share ─▶ answer
//!                (read at most every      304                     one at a time for each question
//!                 CHECK_EVERY)
//! ```
//!
//! An answer is a function of its question and of the version of the data (see [`Versions`]), and is kept under both. So nothing has
//! to be invalidated, and whatever happens, an answer is at most [`MAX_AGE`] older than the data: that is how long a version counts
//! after it was read. Scopes are asked for before; where the answer depends on them, they are part of the question.

use std::fmt::Debug;
use std::future::Future;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use axum::http::{HeaderMap, HeaderValue};
use axum::response::Response;
use fred::clients::Client;
use moka::future::Cache;
use moka::policy::EvictionPolicy;
use tokio::sync::Mutex;
use vigie_clock::SharedClock;

use crate::http::answer::{self, Answer};
use crate::http::problem::Problem;
use crate::http::table::Table;
use crate::metrics::{Metrics, Outcome};
use crate::store::runs::version::Versions;
use crate::store::{Plans, Snapshot, Store, StoreError};
use crate::time::{UtcTime, WINDOW_SECONDS};
use shared::Shared;

mod shared;

/// A version that was read within this time is taken as the present one.
const CHECK_EVERY: Duration = Duration::from_millis(200);
/// So is one of this age while a newer one is being read.
pub(crate) const MAX_AGE: Duration = Duration::from_secs(1);
/// What nobody asked for within this time is forgotten; so are answers of former versions.
const FORGET_AFTER: Duration = Duration::from_secs(60);

/// A question whose answer the data decides, with the time of day where it is not [timeless](Self::is_timeless).
pub(crate) trait Question: Debug + Sync {
    /// Another than that of every other type.
    const NAME: &'static str;

    /// What it is answered with.
    type Answer: Table + Send + 'static;

    /// The run that it is about.
    fn run(&self) -> &str;

    /// Whether `now` does not matter to the answer, nor any later time.
    fn is_timeless(&self, _now: UtcTime) -> bool {
        false
    }

    /// How its statements are planned.
    fn plans(&self) -> Plans {
        Plans::Each
    }

    /// The answer at `now`, the wall clock's time down to a whole window.
    fn build(&self, data: &Snapshot, now: UtcTime) -> impl Future<Output = Result<Self::Answer, Problem>> + Send;
}

/// Answers, built from the store or kept.
pub(crate) struct Serving {
    store: Store,
    metrics: Metrics,
    clock: SharedClock,
    /// The last versions, and when their reading began.
    versions: RwLock<Option<(Arc<Versions>, Duration)>>,
    /// Whoever holds it reads the next versions.
    reading: Mutex<()>,
    /// `None` where no answers are kept.
    kept: Option<Kept>,
}

struct Kept {
    /// By version and question.
    here: Cache<String, Arc<Answer>>,
    shared: Shared,
}

impl Serving {
    /// Keeps answers of `capacity` bytes together, and shares them in `redis` under keys with the prefix; if it is 0, neither.
    pub(crate) fn new(
        store: Store,
        (redis, prefix): (Client, &str),
        metrics: Metrics,
        clock: SharedClock,
        capacity: u64,
    ) -> Self {
        let weigh = |key: &String, answer: &Arc<Answer>| u32::try_from(key.len() + answer.size()).unwrap_or(u32::MAX);
        // Former versions must leave, however often they were asked for: hence LRU.
        let here = Cache::builder().max_capacity(capacity).weigher(weigh).eviction_policy(EvictionPolicy::lru());
        let here = here.time_to_idle(FORGET_AFTER).build();
        let kept = (capacity > 0).then(|| Kept { here, shared: Shared::new(redis, prefix) });
        Self { store, metrics, clock, versions: RwLock::default(), reading: Mutex::default(), kept }
    }

    /// Answers `question`, or 304 if the client has the answer.
    pub(crate) async fn answer<Q: Question>(
        &self,
        headers: &HeaderMap,
        media: &'static str,
        question: &Q,
    ) -> Result<Response, Problem> {
        let now = UtcTime::from(self.clock.now()).floor(WINDOW_SECONDS);
        let time = if question.is_timeless(now) { 0 } else { now.seconds() };
        let name = format!("{} {media} {time} {question:?}", Q::NAME);
        let build = || self.build(question, media, &name, now);
        let Some(kept) = &self.kept else { return respond(Arc::new(build().await?), headers, media).await };
        let versions = self.versions().await?;
        let Some(version) = versions.of(question.run()) else {
            return respond(Arc::new(build().await?), headers, media).await;
        };
        let etag = etag(version, &name);
        if answer::is_known(headers, &etag) {
            self.metrics.served(Outcome::Unchanged);
            return Ok(answer::not_modified(etag));
        }
        let key = format!("{version} {name}");
        if let Some(answer) = kept.here.get(&key).await {
            self.metrics.served(Outcome::Kept);
            return respond(answer, headers, media).await;
        }
        let find = async {
            if let Some(body) = kept.shared.get(&etag).await {
                self.metrics.served(Outcome::Shared);
                return Ok(Arc::new(Answer::new(etag.clone(), body)));
            }
            let answer = build().await?;
            kept.shared.put(answer.etag(), answer.body());
            Ok(Arc::new(answer))
        };
        let answer =
            kept.here.try_get_with(key, find).await.map_err(|problem: Arc<Problem>| Problem::clone(&problem))?;
        respond(answer, headers, media).await
    }

    /// The answer from the data as it is now: of this version, or of a later one.
    async fn build<Q: Question>(
        &self,
        question: &Q,
        media: &'static str,
        name: &str,
        now: UtcTime,
    ) -> Result<Answer, Problem> {
        self.metrics.served(Outcome::Built);
        let snapshot = self.store.snapshot_with(question.plans()).await?;
        let answer = question.build(&snapshot, now).await;
        let etag = snapshot.versions().of(question.run()).map(|version| etag(version, name));
        snapshot.end().await;
        let answer = answer?;
        let body = apart(move || answer.body(media)).await??;
        Ok(match etag {
            Some(etag) => Answer::new(etag, body),
            None => Answer::of(body),
        })
    }

    /// The versions of a moment at most [`MAX_AGE`] ago.
    async fn versions(&self) -> Result<Arc<Versions>, StoreError> {
        if let Some(versions) = self.read_within(CHECK_EVERY) {
            return Ok(versions);
        }
        let _reading = match self.reading.try_lock() {
            Ok(reading) => reading,
            Err(_) => match self.read_within(MAX_AGE) {
                Some(versions) => return Ok(versions),
                None => self.reading.lock().await,
            },
        };
        if let Some(versions) = self.read_within(CHECK_EVERY) {
            return Ok(versions);
        }
        let began = self.clock.monotonic();
        let versions = match self.store.versions().await {
            Ok(versions) => Arc::new(versions),
            Err(error) => return self.read_within(MAX_AGE).ok_or(error),
        };
        *self.versions.write().unwrap_or_else(PoisonError::into_inner) = Some((versions.clone(), began));
        Ok(versions)
    }

    fn read_within(&self, age: Duration) -> Option<Arc<Versions>> {
        let last = self.versions.read().unwrap_or_else(PoisonError::into_inner);
        let (versions, began) = last.as_ref()?;
        (self.clock.monotonic().saturating_sub(*began) < age).then(|| versions.clone())
    }
}

/// Answers, in the coding that the client prefers.
async fn respond(answer: Arc<Answer>, headers: &HeaderMap, media: &'static str) -> Result<Response, Problem> {
    if let Ok(Some(coding)) = answer::coding(headers)
        && !answer.is_coded(coding)
    {
        let answer = answer.clone();
        apart(move || drop(answer.coded(coding))).await?;
    }
    Ok(answer.respond(headers, media))
}

/// Where work takes no time of other questions. Putting an answer of some megabytes takes longer than most questions, coding it longer still.
async fn apart<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Problem> {
    tokio::task::spawn_blocking(work).await.map_err(|error| {
        tracing::error!(%error, "answer not put");
        Problem::internal()
    })
}

/// The same in every process of this release.
fn etag(version: &str, name: &str) -> HeaderValue {
    answer::etag(&[env!("CARGO_PKG_VERSION").as_bytes(), version.as_bytes(), name.as_bytes()])
}
