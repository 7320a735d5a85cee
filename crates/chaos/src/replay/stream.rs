//! A subscriber of the API's events who writes down what comes: nothing twice, nothing missing, and every switch.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use parking_lot::Mutex;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use vigie_clock::Timestamp;

use super::live::{Door, Seen};
use crate::check::Violations;
use crate::check::oracle::{Counts, Expected, Key};
use crate::error::ChaosError;
use crate::wire::redis;

/// Milliseconds and number.
type EventId = (u64, u64);

#[derive(Default)]
struct Heard {
    ids: BTreeSet<EventId>,
    posts: BTreeSet<String>,
    /// Revision and counts that were heard last.
    windows: BTreeMap<Key, (i64, Counts)>,
    switches: Vec<Value>,
    violations: Violations,
    ended: bool,
}

#[derive(Clone, Default)]
pub(super) struct Subscriber(Arc<Mutex<Heard>>);

impl Subscriber {
    /// Hears what comes from now on.
    pub(super) async fn connect(api: u16, seen: &Seen) -> Result<Self, ChaosError> {
        let failed = |source| ChaosError::Io { action: "subscribe to /v1/stream".to_owned(), source };
        let mut stream = TcpStream::connect(("127.0.0.1", api)).await.map_err(failed)?;
        stream.write_all(b"GET /v1/stream HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n").await.map_err(failed)?;
        let mut lines = BufReader::new(stream).lines();
        let status = lines.next_line().await.map_err(failed)?.unwrap_or_default();
        if !status.contains(" 200 ") {
            return Err(ChaosError::Other(format!("/v1/stream answers {status}")));
        }
        let (subscriber, seen) = (Self::default(), seen.clone());
        let heard = Arc::clone(&subscriber.0);
        tokio::spawn(async move {
            let (mut id, mut kind) = (String::new(), String::new());
            while let Ok(Some(line)) = lines.next_line().await {
                let Some((field, value)) = line.split_once(": ").or_else(|| line.split_once(':')) else { continue };
                match field {
                    "id" => value.clone_into(&mut id),
                    "event" => value.clone_into(&mut kind),
                    "data" => heard.lock().take(&std::mem::take(&mut id), &std::mem::take(&mut kind), value, &seen),
                    _ => {}
                }
            }
            heard.lock().ended = true;
        });
        Ok(subscriber)
    }

    pub(super) fn events(&self) -> usize {
        self.0.lock().ids.len()
    }

    /// What was said to be served, each time.
    pub(super) fn switches(&self) -> Vec<Value> {
        self.0.lock().switches.clone()
    }

    /// All events that Redis has since the first that was heard were heard, and no others.
    pub(super) async fn equals_redis(&self, url: &str) -> Result<Violations, ChaosError> {
        let first = self.0.lock().ids.first().copied().unwrap_or_default();
        let there = redis::event_ids(url).await?;
        let oldest = there.first().copied().unwrap_or_default();
        let end = there.last().copied().unwrap_or_default();
        let there: BTreeSet<EventId> = there.into_iter().filter(|id| *id >= first).collect();
        let mut violations = Violations::default();
        // What is in Redis is heard in a moment.
        for _ in 0..100 {
            if self.0.lock().ids.last().is_some_and(|last| *last >= end) {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        let heard = self.0.lock();
        there.difference(&heard.ids).for_each(|id| violations.add(format!("event {id:?} is in redis, and unheard")));
        let unknown = heard.ids.range(oldest.max(first)..=end).filter(|id| !there.contains(id));
        unknown.for_each(|id| violations.add(format!("event {id:?} was heard, and is not in redis")));
        Ok(violations)
    }

    /// Each of the live posts was heard once, and the last revision of each window is that of `expected`.
    pub(super) fn equals(&self, live: &[String], expected: &Expected) -> Violations {
        let mut heard = self.0.lock();
        let mut violations = std::mem::take(&mut heard.violations);
        if heard.ended {
            violations.add("the stream ended");
        }
        for post in live.iter().filter(|post| !heard.posts.contains(*post)) {
            violations.add(format!("stream: {post} was never heard"));
        }
        for post in heard.posts.iter().filter(|post| !expected.posts.contains_key(*post)) {
            violations.add(format!("stream: {post} was heard, and is no live post"));
        }
        for (key, (revision, counts)) in &heard.windows {
            let should = expected.windows.get(key);
            if !should.is_some_and(|should| should.agrees(counts)) {
                let is = format!("{counts:?} in revision {revision}");
                violations.add(format!("stream: window {key:?} is {is}, expected {should:?}"));
            }
        }
        if heard.windows.is_empty() {
            violations.add("stream: no window was heard");
        }
        violations
    }
}

impl Heard {
    fn take(&mut self, id: &str, kind: &str, data: &str, seen: &Seen) {
        let data: Value = serde_json::from_str(data).unwrap_or_default();
        if kind == "switch" {
            return self.switches.push(data["served"].clone());
        }
        let parsed = id.split_once('-').and_then(|(millis, number)| Some((millis.parse().ok()?, number.parse().ok()?)));
        let Some(parsed) = parsed else {
            return self.violations.add(format!("stream: event {kind} {id:?}: {data}"));
        };
        if self.ids.last().is_some_and(|last| parsed <= *last) {
            self.violations.add(format!("stream: event {id} comes after {:?}", self.ids.last()));
        }
        self.ids.insert(parsed);
        let run = if kind == "alert" { &data["run_id"] } else { &data["lineage"]["run_id"] };
        if run != "live" {
            self.violations.add(format!("stream: an event {kind} of run {run}"));
        }
        match kind {
            "post" => {
                let post = data["post_id"].as_str().unwrap_or_default();
                seen.note(post, Door::Stream);
                if !self.posts.insert(post.to_owned()) {
                    self.violations.add(format!("stream: {post} was heard twice"));
                }
            }
            "trend" => self.window(&data),
            _ => {}
        }
    }

    fn window(&mut self, data: &Value) {
        let start = data["window_start"].as_str().and_then(|start| Timestamp::parse_rfc3339(start).ok());
        let key = (data["asset"].as_str().unwrap_or_default().to_owned(), start.map_or(0, Timestamp::as_millis));
        let number = |name: &str| data[name].as_i64().unwrap_or(-1);
        let counts = Counts {
            posts: number("posts"),
            unique_authors: number("unique_authors"),
            labels: ["negative", "neutral", "positive"].map(number),
            mean_score: data["mean_score"].as_f64(),
            sources: serde_json::from_value(data["sources"].clone()).unwrap_or_default(),
        };
        let revision = number("revision");
        let before = self.windows.insert(key.clone(), (revision, counts));
        if before.as_ref().is_some_and(|(before, _)| revision != before + 1) {
            let before = before.map(|(before, _)| before);
            self.violations.add(format!("stream: window {key:?}: revision {revision} follows on {before:?}"));
        }
    }
}
