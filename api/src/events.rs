//! Live events, from the Redis stream that the sink writes to the clients that listen.
//!
//! ```text
//!   Redis stream ──XREAD BLOCK──▶ pump ──broadcast──▶ subscriber ──▶ client
//!        └───────────────────XRANGE (resume, lag)────────▲
//! ```
//!
//! One connection reads for all subscribers. A subscriber that resumes, or that fell behind the broadcast, reads what it missed
//! from the stream itself; since both sources give the same ids in the same order, it sees each event once.

use std::sync::Arc;
use std::time::Duration;

use fred::clients::Client;
use fred::interfaces::{ClientLike, StreamsInterface};
use fred::types::Value;
use fred::types::config::Options;
use fred::types::streams::XReadResponse;
use serde::Deserialize;
use tokio::sync::{broadcast, watch};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use utoipa::ToSchema;
use vigie_clock::Timestamp;
use vigie_schemas::Segment;
use vigie_schemas::redis::{ALERT, EVENTS, POST, SWITCH, TREND};

use crate::presence::Presence;

pub(crate) mod redis;

const BLOCK: Duration = Duration::from_secs(5);
const RETRY: Duration = Duration::from_secs(1);
const PAGE: u64 = 500;
const BROADCAST_CAPACITY: usize = 4096;

/// What an event is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum EventKind {
    Trend,
    Alert,
    Post,
    Switch,
}

impl EventKind {
    pub(crate) const ALL: [Self; 4] = [Self::Trend, Self::Alert, Self::Post, Self::Switch];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Trend => TREND,
            Self::Alert => ALERT,
            Self::Post => POST,
            Self::Switch => SWITCH,
        }
    }
}

/// Place of an event in the stream: `<milliseconds>-<number>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct EventId(u64, u64);

impl EventId {
    /// Before every event.
    pub(crate) const START: Self = Self(0, 0);

    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (millis, number) = text.split_once('-')?;
        let digits = |part: &str| (1..=19).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit());
        (digits(millis) && digits(number)).then_some(())?;
        Some(Self(millis.parse().ok()?, number.parse().ok()?))
    }
}

impl std::fmt::Display for EventId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}", self.0, self.1)
    }
}

/// One live event.
#[derive(Debug)]
pub(crate) struct Event {
    pub(crate) id: EventId,
    pub(crate) kind: EventKind,
    /// The assets that it is about.
    pub(crate) assets: Vec<String>,
    /// The run that it comes from, and the event time that it is about.
    of: Option<(String, Timestamp)>,
    /// JSON.
    pub(crate) data: String,
}

#[derive(Deserialize)]
struct About {
    run_id: Option<String>,
    lineage: Option<Lineage>,
    #[serde(alias = "published_at")]
    window_start: Option<String>,
    asset: Option<String>,
    #[serde(default)]
    assets: Vec<Mentioned>,
}

#[derive(Deserialize)]
struct Lineage {
    run_id: String,
}

#[derive(Deserialize)]
struct Mentioned {
    asset: String,
}

impl Event {
    /// `None` for what no reader would understand.
    fn parse(id: &str, fields: &std::collections::HashMap<String, String>) -> Option<Self> {
        let id = EventId::parse(id)?;
        let kind =
            EventKind::ALL.into_iter().find(|kind| fields.get("type").is_some_and(|name| name == kind.name()))?;
        let data = fields.get("data")?;
        let about: About = serde_json::from_str(data).ok()?;
        let time = about.window_start.and_then(|time| Timestamp::parse_rfc3339(&time).ok());
        let of = about.run_id.or(about.lineage.map(|lineage| lineage.run_id)).zip(time);
        let assets = about.asset.into_iter().chain(about.assets.into_iter().map(|m| m.asset)).collect();
        Some(Self { id, kind, assets, of, data: data.clone() })
    }

    /// Whether its run answers for its time.
    pub(crate) fn is_served(&self, segments: &[Segment]) -> bool {
        self.of
            .as_ref()
            .is_none_or(|(run, time)| segments.iter().any(|segment| segment.run_id == *run && segment.holds(*time)))
    }
}

/// What a subscriber is sent.
#[derive(Clone, Debug)]
pub(crate) enum Live {
    Event(Arc<Event>),
    /// Events after this place are gone before anybody read them.
    Gap(EventId),
    /// From now on these runs are served.
    Switch(Vec<Segment>),
}

/// The oldest and the newest event that are still there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds(Option<(EventId, EventId)>);

impl Bounds {
    /// Whether the stream has come as far as `id`. If not, it is another one, as after a loss of Redis.
    pub(crate) fn reach(self, id: EventId) -> bool {
        id == EventId::START || self.0.is_some_and(|(_, newest)| id <= newest)
    }

    /// Whether events after `id` may be gone.
    pub(crate) fn have_gap_after(self, id: EventId) -> bool {
        !self.reach(id) || (id != EventId::START && self.0.is_some_and(|(oldest, _)| oldest > id))
    }
}

/// Events of the stream.
pub(crate) struct Page {
    pub(crate) events: Vec<Arc<Event>>,
    /// The last that was looked at; `None` at the end of the stream.
    pub(crate) end: Option<EventId>,
    /// Events before these may be gone.
    pub(crate) gap: bool,
}

/// The live events.
pub(crate) struct Events {
    redis: Client,
    key: String,
    sender: broadcast::Sender<Live>,
    /// Whether every event from now on will be sent.
    pumping: watch::Sender<bool>,
    pub(crate) presence: Presence,
}

/// Redis cannot be asked.
#[derive(Debug, thiserror::Error)]
#[error("the event stream cannot be read: {0}")]
pub(crate) struct EventsError(#[from] fred::error::Error);

impl Events {
    pub(crate) fn new(redis: Client, prefix: &str) -> Self {
        Self {
            redis,
            key: format!("{prefix}{EVENTS}"),
            sender: broadcast::channel(BROADCAST_CAPACITY).0,
            pumping: watch::Sender::new(false),
            presence: Presence::new(),
        }
    }

    /// Whether events can be read now, or in a moment. Before the pump knows where it begins, a subscriber could miss the first one.
    pub(crate) async fn is_ready(&self) -> bool {
        if self.presence.away().is_some() {
            return false;
        }
        let mut pumping = self.pumping.subscribe();
        let ready =
            async { self.redis.wait_for_connect().await.is_ok() && pumping.wait_for(|pumping| *pumping).await.is_ok() };
        tokio::time::timeout(RETRY, ready).await.unwrap_or(false)
    }

    /// Whether Redis answers.
    pub(crate) async fn ping(&self) -> Result<(), EventsError> {
        // The prober's patience counts.
        let options = Options { timeout: Some(READ_TIMEOUT), ..Options::default() };
        Ok(self.redis.with_options(&options).ping::<()>(None).await?)
    }

    /// Events from now on.
    pub(crate) fn subscribe(&self) -> broadcast::Receiver<Live> {
        self.sender.subscribe()
    }

    pub(crate) async fn bounds(&self) -> Result<Bounds, EventsError> {
        let entries = self.range("-".to_owned(), Some(1)).await?;
        let oldest = entries.first().and_then(|(id, _)| EventId::parse(id));
        let newest = self.newest(&self.redis).await?;
        Ok(Bounds(oldest.map(|oldest| (oldest, newest))))
    }

    /// The first events after `id`.
    pub(crate) async fn after(&self, id: EventId) -> Result<Page, EventsError> {
        let mut entries = self.range(id.to_string(), Some(PAGE + 1)).await?;
        // Where the event itself is still there, none after it is gone.
        let is_there = entries.first().is_some_and(|(first, _)| EventId::parse(first) == Some(id));
        let gap = !is_there && self.bounds().await?.have_gap_after(id);
        entries.drain(..usize::from(is_there));
        let end = entries.last().and_then(|(id, _)| EventId::parse(id));
        Ok(Page {
            events: entries.iter().filter_map(|(id, fields)| Event::parse(id, fields)).map(Arc::new).collect(),
            end,
            gap,
        })
    }

    async fn has(&self, reader: &Client, id: EventId) -> Result<bool, fred::error::Error> {
        let entries: Vec<Entry> = reader.xrange_values(&self.key, id.to_string(), id.to_string(), Some(1)).await?;
        Ok(!entries.is_empty())
    }

    async fn range(&self, start: String, count: Option<u64>) -> Result<Vec<Entry>, EventsError> {
        Ok(self.redis.xrange_values(&self.key, start, "+", count).await?)
    }

    /// Reads the stream and tells the subscribers, until the shutdown. `reader` is a connection of its own, for the reads block.
    pub(crate) async fn pump(&self, reader: Client, shutdown: CancellationToken) {
        let mut last: Option<EventId> = None;
        let mut healthy = true;
        loop {
            let step = async {
                let from = match last {
                    Some(id) => id,
                    None => self.newest(&reader).await?,
                };
                last = Some(from);
                self.pumping.send_replace(true);
                let entries = self.read_after(&reader, from).await?;
                // What was cut off before it was read took the last event with it; and of a stream that starts over, none may be as new.
                let is_other = entries.is_empty() && self.newest(&reader).await? < from;
                if is_other || (!entries.is_empty() && from != EventId::START && !self.has(&reader, from).await?) {
                    let _ = self.sender.send(Live::Gap(from));
                }
                if is_other {
                    last = Some(EventId::START);
                }
                Ok::<_, fred::error::Error>(entries)
            };
            let result = tokio::select! {
                () = shutdown.cancelled() => break,
                result = step => result,
            };
            match result {
                Ok(entries) => {
                    if !healthy {
                        info!("event stream is back");
                        healthy = true;
                    }
                    for (id, fields) in &entries {
                        last = EventId::parse(id).or(last);
                        if let Some(event) = Event::parse(id, fields) {
                            // No receiver is no error.
                            let _ = self.sender.send(Live::Event(Arc::new(event)));
                        }
                    }
                }
                Err(error) => {
                    if healthy {
                        warn!(%error, "event stream is away, live updates pause");
                        healthy = false;
                    }
                    tokio::select! {
                        () = shutdown.cancelled() => break,
                        () = tokio::time::sleep(RETRY) => {}
                    }
                }
            }
        }
        let _ = reader.quit().await;
    }

    async fn newest(&self, reader: &Client) -> Result<EventId, fred::error::Error> {
        let entries: Vec<Entry> = reader.xrevrange_values(&self.key, "+", "-", Some(1)).await?;
        Ok(entries.first().and_then(|(id, _)| EventId::parse(id)).unwrap_or(EventId::START))
    }

    async fn read_after(&self, reader: &Client, id: EventId) -> Result<Vec<Entry>, fred::error::Error> {
        let block = u64::try_from(BLOCK.as_millis()).unwrap_or(u64::MAX);
        let answer: Value = reader.xread(Some(PAGE), Some(block), &self.key, id.to_string()).await?;
        if answer.is_null() {
            return Ok(Vec::new());
        }
        let mut streams: XReadResponse<String, String, String, String> = answer.into_xread_response()?;
        Ok(streams.remove(&self.key).unwrap_or_default())
    }
}

/// Blocking reads wait this long, and a little more for the way.
pub(crate) const READ_TIMEOUT: Duration = Duration::from_secs(BLOCK.as_secs() + 3);

type Entry = (String, std::collections::HashMap<String, String>);

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    fn event(kind: &str, data: &str) -> Option<Event> {
        let fields = HashMap::from([("type".to_owned(), kind.to_owned()), ("data".to_owned(), data.to_owned())]);
        Event::parse("5-1", &fields)
    }

    #[test]
    fn ids_are_ordered_by_number_not_by_text() {
        let (nine, ten) = (EventId::parse("9-9").unwrap(), EventId::parse("10-1").unwrap());
        assert!(nine < ten && EventId::START < nine);
        for bad in ["", "-", "1", "1-", "-1", "1-x", "+1-1", "1-1-1", "99999999999999999999-0"] {
            assert_eq!(EventId::parse(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn an_event_knows_its_assets() {
        assert_eq!(event("trend", r#"{"asset":"BTC"}"#).unwrap().assets, ["BTC"]);
        let post = event(
            "post",
            r#"{"post_id":"x","assets":[{"asset":"BTC","evidence":"name"},{"asset":"ETH","evidence":"name"}]}"#,
        );
        assert_eq!(post.unwrap().assets, ["BTC", "ETH"]);
        assert!(event("unheard-of", "{}").is_none() && event("post", "not json").is_none());
    }
}
