use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio::net::{TcpListener, TcpSocket};
use tracing::{info, warn};
use vigie_daemon::{Component, Context, ServiceError};
use vigie_schemas::Service;

use crate::app::App;
use crate::config::Checked;
use crate::events::{READ_TIMEOUT, redis};
use crate::http::connection;
use crate::http::peers::Peers;
use crate::serving::MAX_AGE;

/// No process takes a version for the present one that long after its reading began.
const LOOK_EVERY: Duration = Duration::from_secs(1);
const _: () = assert!(LOOK_EVERY.as_millis() >= MAX_AGE.as_millis());

/// Connections that wait to be accepted, at most, as far as the system allows it (Linux: net.core.somaxconn). Whoever comes when the
/// queue is full, by the haste of others, tries again a second later.
const BACKLOG: u32 = 4096;

/// Takes the address. Port 0 takes a free one; ask the listener which.
///
/// # Errors
/// [`ServiceError::Failed`] if the address is in use or not ours.
pub async fn bind(addr: SocketAddr) -> Result<TcpListener, ServiceError> {
    listen(addr).map_err(|error| {
        ServiceError::failed(match error.kind() {
            ErrorKind::AddrInUse => format!("address {addr} is in use, choose another one with --api-listen"),
            _ => format!("cannot listen on {addr}: {error}"),
        })
    })
}

fn listen(addr: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = if addr.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(cfg!(unix))?;
    socket.bind(addr)?;
    socket.listen(BACKLOG)
}

/// Serves until the shutdown.
///
/// # Errors
/// [`ServiceError::Failed`] if the address cannot be had. A database that is away is no error: requests are answered 503 until
/// it is back.
pub async fn run(checked: Checked, ctx: Context) -> Result<(), ServiceError> {
    let listener = bind(checked.config.listen).await?;
    run_with_listener(checked, listener, ctx).await
}

/// As [`run`], on a listener that the caller has made with [`bind`].
///
/// # Errors
/// As [`run`].
pub async fn run_with_listener(checked: Checked, listener: TcpListener, ctx: Context) -> Result<(), ServiceError> {
    let health = ctx.health.component(Service::Api.name());
    let shutdown = ctx.shutdown.clone();
    let (app, router) = build(&checked, &ctx)?;
    let reader = redis::connect(&checked.redis, Some(READ_TIMEOUT))?;
    let addr = listener.local_addr().map_err(ServiceError::failed)?;
    if checked.auth.is_none() && !addr.ip().is_loopback() {
        warn!(%addr, "reading needs no token and the address is not loopback: everyone who reaches it can read");
    }
    info!(%addr, tls = checked.tls.is_some(), "api listening");

    let pump = tokio::spawn({
        let (app, shutdown) = (app.clone(), shutdown.clone());
        async move { app.events.pump(reader, shutdown).await }
    });
    let watch = tokio::spawn(watch(app.clone(), health, ctx.health.component("events")));
    let audit = app.audit.clone();
    let switches = tokio::spawn(watch_switches(app));
    let peers = Peers::new(checked.config.max_connections_per_client, checked.proxies);
    connection::serve(listener, router, checked.tls, checked.config.max_connections, peers, &shutdown).await;
    watch.abort();
    switches.abort();
    pump.abort();
    audit.flush().await;
    Ok(())
}

/// The API as a router, without a listener and without live events, for tests and for embedding.
///
/// # Errors
/// [`ServiceError::Failed`] if the metrics are registered already.
pub fn router(checked: &Checked, ctx: &Context) -> Result<Router, ServiceError> {
    build(checked, ctx).map(|(_, router)| router)
}

fn build(checked: &Checked, ctx: &Context) -> Result<(Arc<App>, Router), ServiceError> {
    let app = Arc::new(App::new(checked, ctx)?);
    let router = crate::router::router(app.clone(), ctx.clone());
    Ok((app, router))
}

async fn watch(app: Arc<App>, api: Component, events: Component) {
    let (asks_store, asks_redis) = (app.clone(), app.clone());
    let ping_store = move || {
        let app = asks_store.clone();
        async move { app.store.ping().await }
    };
    let ping_redis = move || {
        let app = asks_redis.clone();
        async move { app.events.ping().await }
    };
    tokio::join!(
        app.store.presence.watch("postgresql", api, app.shutdown.clone(), ping_store),
        app.events.presence.watch("redis", events, app.shutdown.clone(), ping_redis),
    );
}

/// Tells subscribers of switches, when no process answers from before them any more.
async fn watch_switches(app: Arc<App>) {
    let mut seen = None;
    loop {
        if let Ok(versions) = app.store.versions().await {
            let switches = versions.switches();
            if seen.replace(switches.clone()).is_none_or(|seen| seen == *switches) {
                app.tell_switches(switches);
            }
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
