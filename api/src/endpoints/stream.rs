use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::{Extensions, HeaderMap, HeaderName, HeaderValue, header};
use axum::response::sse::{Event as SseEvent, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use prometheus::IntGauge;
use tokio::sync::{OwnedSemaphorePermit, broadcast};
use tokio_util::sync::CancellationToken;

use crate::app::{App, SharedApp};
use crate::auth::Scope;
use crate::events::{Event, EventId, EventKind};
use crate::params::{Choice, Params};
use crate::problem::Problem;
use crate::{answer, middleware};

const HEARTBEAT: Duration = Duration::from_secs(15);
/// Clients wait this long before they connect again.
const RETRY: Duration = Duration::from_secs(2);
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// Live updates as server-sent events
///
/// Event types are trend (a new revision of a window), alert and post; data is JSON with the fields of the Avro record, times in
/// RFC 3339. Ids grow; with the last one as `Last-Event-ID` (or `last_event_id=`) nothing is missed and nothing comes twice, as long as
/// the server still has it (some 10,000 events). If it has not, the first event is of type gap: load the state again. Comments come every 15 s.
#[utoipa::path(get, path = "/v1/stream", tag = "insights",
    params(
        ("asset" = Option<String>, Query, description = "Only about these assets, separated by commas; `*` is the whole market"),
        ("type" = Option<String>, Query, description = "Only these types, separated by commas: trend, alert, post; all by default, or without post for a token without read:posts"),
        ("last_event_id" = Option<String>, Query, description = "As Last-Event-ID, for clients that cannot set it"),
        ("Last-Event-ID" = Option<String>, Header, description = "Id of the last event that was received")),
    responses((status = 200, body = String, content_type = "text/event-stream")))]
pub(crate) async fn subscribe(
    State(app): SharedApp,
    extensions: Extensions,
    headers: HeaderMap,
    mut params: Params,
) -> Result<Response, Problem> {
    let allowed = middleware::has_scope(&extensions, Scope::Posts);
    let assets: Option<Vec<String>> =
        params.text("asset", 1024).map(|list| list.split(',').map(str::to_owned).collect());
    let kinds = params.choices::<EventKind>("type");
    let last_id = last_event_id(&headers, &mut params);
    params.finish()?;
    if kinds.as_ref().is_some_and(|kinds| kinds.contains(&EventKind::Post)) {
        allowed.clone()?;
    }
    let kinds = kinds.unwrap_or_else(|| {
        EventKind::ALL
            .iter()
            .map(|(_, kind)| *kind)
            .filter(|kind| *kind != EventKind::Post || allowed.is_ok())
            .collect()
    });
    answer::negotiate(&headers, &["text/event-stream"])?;
    if !app.events.is_ready().await {
        return Err(Problem::unavailable("live events cannot be read at the moment"));
    }
    let place = app.streams.clone().try_acquire_owned();
    let place = place.map_err(|_| Problem::unavailable("too many subscribers at the moment"))?;

    // Subscribe before looking back, so that nothing falls between.
    let live = app.events.subscribe();
    let gap = match last_id {
        Some(id) => gap(&app, id).await?,
        None => None,
    };
    app.metrics.streams.inc();
    let subscriber = Subscriber {
        gauge: Open(app.metrics.streams.clone()),
        shutdown: app.shutdown.clone(),
        app,
        live,
        pending: VecDeque::new(),
        last: last_id,
        catching_up: last_id.is_some(),
        filter: Filter { assets, kinds },
        first: vec![SseEvent::default().retry(RETRY).comment("vigie")],
        _place: place,
    };
    let subscriber = Subscriber { first: gap.into_iter().chain(subscriber.first).collect(), ..subscriber };
    let body =
        Sse::new(stream::unfold(subscriber, next)).keep_alive(KeepAlive::new().interval(HEARTBEAT).text("heartbeat"));
    let fields = [
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        // Proxies must pass events on at once.
        (HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no")),
    ];
    Ok((fields, body).into_response())
}

fn last_event_id(headers: &HeaderMap, params: &mut Params) -> Option<EventId> {
    let from_query = params.text("last_event_id", 64);
    let text = match headers.get(&LAST_EVENT_ID) {
        Some(value) => value.to_str().unwrap_or("not text").to_owned(),
        None => from_query?,
    };
    let id = EventId::parse(&text);
    if id.is_none() {
        let shown: String = text.chars().take(64).collect();
        params.reject("last_event_id", format!("{shown:?}, expected the id of an event, as 1700000000000-0"));
    }
    id
}

/// Tells a client that resumes if events after `id` are gone already.
async fn gap(app: &App, id: EventId) -> Result<Option<SseEvent>, Problem> {
    let oldest = app.events.oldest().await.map_err(|error| {
        tracing::warn!(%error, "event stream not readable");
        Problem::unavailable("live events cannot be read at the moment")
    })?;
    let lost = oldest.is_some_and(|oldest| id != EventId::START && oldest > id);
    Ok(lost.then(|| SseEvent::default().event("gap").data(format!("{{\"after\":\"{id}\"}}"))))
}

struct Filter {
    assets: Option<Vec<String>>,
    kinds: Vec<EventKind>,
}

impl Filter {
    fn passes(&self, event: &Event) -> bool {
        let about = |wanted: &Vec<String>| event.assets.iter().any(|asset| wanted.contains(asset));
        self.kinds.contains(&event.kind) && self.assets.as_ref().is_none_or(about)
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
    live: broadcast::Receiver<Arc<Event>>,
    pending: VecDeque<Arc<Event>>,
    /// The last event that was looked at.
    last: Option<EventId>,
    /// Read from the stream itself, not from the broadcast.
    catching_up: bool,
    filter: Filter,
    first: Vec<SseEvent>,
    #[expect(dead_code, reason = "counts down when dropped")]
    gauge: Open,
    _place: OwnedSemaphorePermit,
}

async fn next(mut subscriber: Subscriber) -> Option<(Result<SseEvent, Infallible>, Subscriber)> {
    if let Some(event) = subscriber.first.pop() {
        return Some((Ok(event), subscriber));
    }
    let shutdown = subscriber.shutdown.clone();
    let event = tokio::select! {
        () = shutdown.cancelled() => return None,
        event = subscriber.advance() => event?,
    };
    let sse = SseEvent::default().id(event.id.to_string()).event(event.kind.name()).data(&event.data);
    Some((Ok(sse), subscriber))
}

impl Subscriber {
    /// The next event that passes the filter; `None` ends the answer, and the client connects again.
    async fn advance(&mut self) -> Option<Arc<Event>> {
        loop {
            let event = match self.pending.pop_front() {
                Some(event) => event,
                None if self.catching_up => {
                    self.catch_up().await?;
                    continue;
                }
                None => match self.live.recv().await {
                    Ok(event) => event,
                    Err(broadcast::error::RecvError::Lagged(_)) => {
                        // Without a place in the stream there is nothing to go back to.
                        self.catching_up = self.last.is_some();
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
                return Some(event);
            }
        }
    }

    async fn catch_up(&mut self) -> Option<()> {
        let last = self.last?;
        match self.app.events.after(last).await {
            Ok((events, Some(end))) => {
                self.pending.extend(events);
                if self.pending.is_empty() {
                    self.last = Some(end);
                }
            }
            Ok((_, None)) => self.catching_up = false,
            Err(error) => {
                tracing::warn!(%error, "event stream not readable");
                return None;
            }
        }
        Some(())
    }
}
