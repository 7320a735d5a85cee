//! Live posts at a steady rate, and when each is visible: in the API, which is asked again and again, and to a subscriber.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::Value;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};
use vigie_clock::{Clock, SystemClock};

use crate::error::ChaosError;
use crate::posts::Generator;
use crate::posts::feeder::Writer;
use crate::report::LatencyReport;
use crate::wire::http;

const ASK_EVERY: Duration = Duration::from_millis(100);

/// Where a post is visible.
#[derive(Clone, Copy, Debug)]
pub(super) enum Door {
    Api,
    Stream,
}

/// By the monotonic clock.
struct Times {
    due: Duration,
    /// First, at each [`Door`].
    visible: [Option<Duration>; 2],
}

/// When each live post was due, and when it was visible.
#[derive(Clone, Default)]
pub(super) struct Seen {
    clock: SystemClock,
    posts: Arc<Mutex<HashMap<String, Times>>>,
}

impl Seen {
    /// Notes that a post is visible; nothing if it is no live post, or was visible before.
    pub(super) fn note(&self, post: &str, door: Door) {
        if let Some(times) = self.posts.lock().get_mut(post) {
            times.visible[door as usize].get_or_insert_with(|| self.clock.monotonic());
        }
    }

    pub(super) fn now(&self) -> Duration {
        self.clock.monotonic()
    }

    pub(super) fn ids(&self) -> Vec<String> {
        self.posts.lock().keys().cloned().collect()
    }

    /// Latencies of the posts that were due from `from` until `to`.
    pub(super) fn report(&self, beside: &str, from: Duration, to: Duration) -> Vec<LatencyReport> {
        let posts = self.posts.lock();
        let of = |(door, visible_in): (Door, &'static str)| {
            let of_then = posts.values().filter(|times| (from..to).contains(&times.due));
            let mut millis: Vec<u128> = of_then
                .filter_map(|times| Some(times.visible[door as usize]?.saturating_sub(times.due).as_millis()))
                .collect();
            millis.sort_unstable();
            // Nearest rank.
            let percentile = |percent: usize| {
                millis.get((percent * millis.len()).div_ceil(100).saturating_sub(1)).copied().unwrap_or(0)
            };
            let (p50, p95, most) = (percentile(50), percentile(95), percentile(100));
            LatencyReport { beside: beside.to_owned(), visible_in, posts: millis.len(), p50, p95, most }
        };
        [(Door::Api, "api"), (Door::Stream, "stream")].map(of).into()
    }
}

/// The load, until it is stopped.
pub(super) struct Live {
    stop: watch::Sender<bool>,
    publishing: JoinHandle<Result<(), ChaosError>>,
    asking: JoinHandle<()>,
}

impl Live {
    pub(super) fn start(writer: Writer, generator: Generator, rate: u64, api: u16, seen: &Seen) -> Self {
        let (stop, stopped) = watch::channel(false);
        let publishing = tokio::spawn(publish(writer, generator, rate, seen.clone(), stopped.clone()));
        let asking = tokio::spawn(ask(api, seen.clone(), stopped));
        Self { stop, publishing, asking }
    }

    /// Publishes no more; every post is on the topic then.
    pub(super) async fn stop(mut self) -> Result<(), ChaosError> {
        let _ = self.stop.send(true);
        let published = (&mut self.publishing).await;
        published.map_err(|error| ChaosError::Other(format!("the live load ended: {error}")))??;
        (&mut self.asking).await.map_err(|error| ChaosError::Other(format!("asking the api ended: {error}")))
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.publishing.abort();
        self.asking.abort();
    }
}

/// Each post is due at a moment of its own, however long those before it take; all that are due are published together.
async fn publish(
    writer: Writer,
    mut generator: Generator,
    rate: u64,
    seen: Seen,
    stopped: watch::Receiver<bool>,
) -> Result<(), ChaosError> {
    let mut tick = interval(Duration::from_secs(1) / u32::try_from(rate).unwrap_or(u32::MAX));
    tick.set_missed_tick_behavior(MissedTickBehavior::Burst);
    while !*stopped.borrow() {
        let mut late = tick.tick().await.elapsed();
        let mut due = Vec::new();
        loop {
            let post = generator.fresh(seen.clock.now());
            let times = Times { due: seen.now().saturating_sub(late), visible: [None; 2] };
            seen.posts.lock().insert(post.key.clone(), times);
            due.push(post);
            match tokio::time::timeout(Duration::ZERO, tick.tick()).await {
                Ok(since) => late = since.elapsed(),
                Err(_) => break,
            }
        }
        writer.write(due).await?;
    }
    Ok(())
}

async fn ask(api: u16, seen: Seen, stopped: watch::Receiver<bool>) {
    let mut tick = interval(ASK_EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while !*stopped.borrow() {
        tick.tick().await;
        let Some(answer) = http::get(api, "/v1/assets/*/posts?limit=200").await else { continue };
        let answer: Value = serde_json::from_str(&answer).unwrap_or_default();
        for post in answer["posts"].as_array().into_iter().flatten() {
            post["post_id"].as_str().into_iter().for_each(|id| seen.note(id, Door::Api));
        }
    }
}
