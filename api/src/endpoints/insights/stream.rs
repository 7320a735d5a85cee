use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::{Extensions, HeaderMap, HeaderName, HeaderValue, header};
use axum::response::sse::{Event as SseEvent, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::future::{self, BoxFuture, FutureExt};
use futures_util::stream;
use prometheus::IntGauge;
use serde::Deserialize;
use tokio::sync::{OwnedSemaphorePermit, broadcast, watch};
use tokio_util::sync::CancellationToken;
use utoipa::{IntoParams, ToSchema};
use vigie_schemas::{Segment, Switch, segments};

use crate::app::{App, SharedApp};
use crate::auth::{self, Identity, Scope};
use crate::events::{Event, EventId, EventKind, EventsError, Live};
use crate::http::answer;
use crate::http::params::{AssetIds, List, Query, Text};
use crate::http::places::Place;
use crate::http::problem::Problem;
use crate::http::rate_limit::Client;
use crate::time::UtcTime;

const HEARTBEAT: Duration = Duration::from_secs(15);
/// How often the tokens and keys of listeners are checked for revocation. The lists are half a second old at most.
const LOOK_EVERY: Duration = Duration::from_millis(400);
/// Clients wait this long before they connect again.
const RETRY: Duration = Duration::from_secs(2);
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// Types separated by commas.
type EventKinds = List<EventKind>;

/// Whose events are heard. Replays have none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum Heard {
    #[default]
    Served,
    Live,
}

/// Which events.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct StreamParams {
    /// Only about these assets, by id, name or alias, separated by commas; `*` is the whole market
    #[param(inline, style = Form, explode = false)]
    asset: Option<AssetIds>,
    /// Only these types, separated by commas; all by default, or without post for a token without read:posts
    #[param(inline, style = Form, explode = false)]
    r#type: Option<EventKinds>,
    /// `live` for all events of the live run; by default those of runs that are served for their time
    #[param(inline)]
    run: Heard,
    /// As Last-Event-ID, for clients that cannot set it
    #[param(value_type = String, pattern = "^[0-9]{1,19}-[0-9]{1,19}$", required = false)]
    last_event_id: Option<Text<64>>,
}

/// Where to go on.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "documents a header")]
struct Resume {
    /// Id of the last event that was received
    #[param(rename = "Last-Event-ID", pattern = "^([0-9]{1,19}-[0-9]{1,19})?$", required = false)]
    last_event_id: String,
}

/// Live updates as server-sent events
///
/// Event types are trend (a new revision of a window), alert and post; data is JSON with the fields of the Avro record, times in
/// RFC 3339. An event of type switch says which runs are served for which times from now on (`served`, in order, without gaps), when that
/// changes and, where a run was ever promoted, at the beginning; it has no id. Answers that are asked for after it are of these runs.
/// Ids grow; with the last one as `Last-Event-ID` (or `last_event_id=`) nothing is missed and nothing comes twice, as long as
/// the server still has it (some 10,000 events). Where events were missed, be it that the server no longer has them or never had
/// that id, or that a reader was too slow, an event of type gap comes in their place: load the state again. Comments come every 15 s. The
/// stream ends with the token or key, also when that is revoked.
#[utoipa::path(get, path = "/v1/stream", tag = "insights", operation_id = "subscribe",
    params(StreamParams, Resume),
    responses((status = 200, description = "Events, without end", body = String, content_type = "text/event-stream")))]
pub(crate) async fn subscribe(
    State(app): SharedApp,
    extensions: Extensions,
    headers: HeaderMap,
    Query(asked): Query<StreamParams>,
) -> Result<Response, Problem> {
    let allowed = auth::has_scope(&extensions, Scope::Posts);
    let kinds = match asked.r#type {
        Some(List(kinds)) => kinds,
        None => EventKind::ALL.into_iter().filter(|kind| *kind != EventKind::Post || allowed.is_ok()).collect(),
    };
    if kinds.contains(&EventKind::Post) {
        allowed?;
    }
    let assets = asked.asset.map(|List(assets)| assets.iter().map(|asset| app.names.canonical(asset).0).collect());
    let last_id = last_event_id(&headers, asked.last_event_id)?;
    answer::negotiate(&headers, &["text/event-stream"])?;
    if !app.events.is_ready().await {
        return Err(Problem::unavailable("live events cannot be read at the moment"));
    }
    let own = extensions.get::<Client>().map(|client| app.streams_by_client.take(client.clone()));
    let own =
        own.map(|place| place.ok_or_else(|| Problem::too_many_streams(app.streams_by_client.most))).transpose()?;
    let place = app.streams.clone().try_acquire_owned();
    let place = place.map_err(|_| Problem::unavailable("too many subscribers at the moment"))?;

    // Subscribe before looking back, so that nothing falls between.
    let live = app.events.subscribe();
    let (gap, last) = match last_id {
        Some(id) => {
            let bounds = app.events.bounds().await.map_err(unreadable)?;
            // In another stream there is nothing to go back to.
            (bounds.have_gap_after(id).then_some(id), bounds.reach(id).then_some(id))
        }
        None => (None, None),
    };
    let identity = auth::identity(&extensions).cloned();
    let left = identity.as_ref().map(|identity| {
        let millis = identity.expires.saturating_mul(1000).saturating_sub(app.clock.now().as_millis());
        Duration::from_millis(u64::try_from(millis).unwrap_or(0))
    });
    let mut switches = app.switches.subscribe();
    let served = segments(&switches.borrow(), None);
    if !switches.borrow().is_empty() {
        switches.mark_changed();
    }
    app.metrics.streams.inc();
    let subscriber = Subscriber {
        gauge: Open(app.metrics.streams.clone()),
        shutdown: app.shutdown.clone(),
        live,
        switches,
        pending: VecDeque::new(),
        gap,
        sent: gap,
        last,
        catching_up: last.is_some(),
        filter: Filter { assets, kinds, heard: asked.run, served },
        first: Some(SseEvent::default().retry(RETRY).comment("vigie")),
        ends: left.map(|left| app.clock.monotonic() + left),
        revoked: revoked(app.clone(), identity).boxed(),
        _places: (place, own),
        app,
    };
    let body =
        Sse::new(stream::unfold(subscriber, next)).keep_alive(KeepAlive::new().interval(HEARTBEAT).text("heartbeat"));
    let fields = [
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        // Proxies must pass events on at once.
        (HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no")),
    ];
    Ok((fields, body).into_response())
}

/// The header's, or else the parameter's; a wrong one is refused also where it does not count.
fn last_event_id(headers: &HeaderMap, asked: Option<Text<64>>) -> Result<Option<EventId>, Problem> {
    let read = |text: &str| {
        let shown: String = text.chars().take(64).collect();
        let wrong = || format!("{shown:?}, expected the id of an event, as 1700000000000-0");
        EventId::parse(text).ok_or_else(|| Problem::invalid_parameter("last_event_id", wrong()))
    };
    let asked = asked.map(|Text(text)| read(&text)).transpose()?;
    match headers.get(&LAST_EVENT_ID) {
        // Clients that have seen no event send the empty string.
        Some(value) if value.is_empty() => Ok(None),
        Some(value) => read(value.to_str().unwrap_or("not text")).map(Some),
        None => Ok(asked),
    }
}

fn unreadable(error: EventsError) -> Problem {
    tracing::warn!(%error, "event stream not readable");
    Problem::unavailable("live events cannot be read at the moment")
}

struct Filter {
    assets: Option<Vec<String>>,
    kinds: Vec<EventKind>,
    heard: Heard,
    served: Vec<Segment>,
}

impl Filter {
    fn passes(&self, event: &Event) -> bool {
        let about = |wanted: &Vec<String>| event.assets.iter().any(|asset| wanted.contains(asset));
        self.kinds.contains(&event.kind)
            && self.assets.as_ref().is_none_or(about)
            && (self.heard == Heard::Live || event.is_served(&self.served))
    }
}

/// Counts down when the client is gone.
struct Open(IntGauge);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// One client's way through the events.
struct Subscriber {
    app: Arc<App>,
    shutdown: CancellationToken,
    live: broadcast::Receiver<Live>,
    switches: watch::Receiver<Arc<[Switch]>>,
    pending: VecDeque<Arc<Event>>,
    /// Events after this place were missed, and that is still to be said.
    gap: Option<EventId>,
    /// The last gap that was said.
    sent: Option<EventId>,
    /// The last event that was looked at.
    last: Option<EventId>,
    /// Read from the stream itself, not from the broadcast.
    catching_up: bool,
    filter: Filter,
    first: Option<SseEvent>,
    #[expect(dead_code, reason = "counts down when dropped")]
    gauge: Open,
    /// Comes when the token or key is revoked.
    revoked: BoxFuture<'static, ()>,
    /// When the token ends, by the monotonic clock.
    ends: Option<Duration>,
    _places: (OwnedSemaphorePermit, Option<Place>),
}

async fn next(mut subscriber: Subscriber) -> Option<(Result<SseEvent, Infallible>, Subscriber)> {
    if let Some(event) = subscriber.first.take() {
        return Some((Ok(event), subscriber));
    }
    let shutdown = subscriber.shutdown.clone();
    let left = subscriber.ends.map_or(Duration::MAX, |ends| ends.saturating_sub(subscriber.app.clock.monotonic()));
    let mut revoked = std::mem::replace(&mut subscriber.revoked, future::pending().boxed());
    let sent = tokio::select! {
        biased;
        () = shutdown.cancelled() => return None,
        () = tokio::time::sleep(left) => return None,
        () = &mut revoked => return None,
        sent = subscriber.advance() => sent?,
    };
    subscriber.revoked = revoked;
    let sse = match sent {
        Live::Event(event) => SseEvent::default().id(event.id.to_string()).event(event.kind.name()).data(&event.data),
        Live::Gap(after) => SseEvent::default().event("gap").data(format!("{{\"after\":\"{after}\"}}")),
        Live::Switch(served) => SseEvent::default().event(EventKind::Switch.name()).data(switch(&served)),
    };
    Some((Ok(sse), subscriber))
}

/// Waits until the caller's token or key is revoked.
async fn revoked(app: Arc<App>, identity: Option<Identity>) {
    let Some((auth, identity)) = app.auth.as_ref().zip(identity) else { return future::pending().await };
    while !auth.is_revoked(&identity).await {
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

fn switch(served: &[Segment]) -> String {
    let range = |segment: &Segment| {
        let (from, to) = (segment.from.map(UtcTime::from), segment.to.map(UtcTime::from));
        serde_json::json!({"run_id": segment.run_id, "from": from, "to": to})
    };
    serde_json::json!({"served": served.iter().map(range).collect::<Vec<_>>()}).to_string()
}

impl Subscriber {
    /// The next event that passes the filter, or that some were missed; `None` ends the answer, and the client connects again.
    async fn advance(&mut self) -> Option<Live> {
        loop {
            if let Some(after) = self.gap.take() {
                return Some(Live::Gap(after));
            }
            let event = match self.pending.pop_front() {
                Some(event) => event,
                None if self.catching_up => {
                    self.catch_up().await?;
                    continue;
                }
                None => match self.hear().await {
                    Ok(Live::Event(event)) => event,
                    Ok(Live::Switch(served)) => {
                        self.filter.served.clone_from(&served);
                        if self.filter.kinds.contains(&EventKind::Switch) {
                            return Some(Live::Switch(served));
                        }
                        continue;
                    }
                    Ok(Live::Gap(after)) => {
                        // Of a stream that starts over, no id is old.
                        self.last = None;
                        return Some(Live::Gap(after));
                    }
                    Err(broadcast::error::RecvError::Lagged(_)) => {
                        // Without a place in the stream there is nothing to go back to.
                        self.catching_up = self.last.is_some();
                        self.gap = if self.catching_up { None } else { Some(EventId::START) };
                        continue;
                    }
                    Err(broadcast::error::RecvError::Closed) => return None,
                },
            };
            if self.last.is_some_and(|last| event.id <= last) {
                continue;
            }
            self.last = Some(event.id);
            if self.filter.passes(&event) {
                return Some(Live::Event(event));
            }
        }
    }

    /// What is sent next.
    async fn hear(&mut self) -> Result<Live, broadcast::error::RecvError> {
        tokio::select! {
            biased;
            Ok(()) = self.switches.changed() => Ok(Live::Switch(segments(&self.switches.borrow_and_update(), None))),
            live = self.live.recv() => live,
        }
    }

    async fn catch_up(&mut self) -> Option<()> {
        let last = self.last?;
        let page = self.app.events.after(last).await.map_err(unreadable).ok()?;
        self.gap = Some(last).filter(|_| page.gap && self.sent != Some(last));
        self.sent = self.gap.or(self.sent);
        self.pending.extend(page.events);
        match page.end {
            Some(end) if self.pending.is_empty() => self.last = Some(end),
            Some(_) => {}
            None => self.catching_up = false,
        }
        Some(())
    }
}
