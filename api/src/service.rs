use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio::net::TcpListener;
use tracing::{info, warn};
use vigie_daemon::{Component, Context, ServiceError};

use crate::app::App;
use crate::config::Checked;
use crate::events::{READ_TIMEOUT, redis};
use crate::http::connection;
use crate::serving::MAX_AGE;

/// No process takes a version for the present one that long after its reading began.
const PING_EVERY: Duration = Duration::from_secs(1);
const _: () = assert!(PING_EVERY.as_millis() >= MAX_AGE.as_millis());

/// Takes the address. Port 0 takes a free one; ask the listener which.
///
/// # Errors
/// [`ServiceError::Failed`] if the address is in use or not ours.
pub async fn bind(addr: SocketAddr) -> Result<TcpListener, ServiceError> {
    TcpListener::bind(addr).await.map_err(|error| {
        ServiceError::failed(match error.kind() {
            ErrorKind::AddrInUse => format!("address {addr} is in use, choose another one with --api-listen"),
            _ => format!("cannot listen on {addr}: {error}"),
        })
    })
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
    let health = ctx.health.component("api");
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
    let watch = tokio::spawn(watch(app, health));
    connection::serve(listener, router, checked.tls, checked.config.max_connections, &shutdown).await;
    watch.abort();
    pump.abort();
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

/// Ready while the database answers. Tells subscribers of switches, when no process answers from before them any more.
async fn watch(app: Arc<App>, health: Component) {
    let mut away = false;
    let mut seen = None;
    while !app.shutdown.is_cancelled() {
        match app.store.ping().await {
            Ok(versions) => {
                let switches = versions.switches();
                if seen.replace(switches.clone()).is_none_or(|seen| seen == *switches) {
                    app.tell_switches(switches);
                }
                if std::mem::take(&mut away) {
                    info!("database is back");
                }
                health.ready();
            }
            Err(error) => {
                if !std::mem::replace(&mut away, true) {
                    warn!(%error, "database is away, requests are answered 503");
                }
                health.not_ready(error.to_string());
            }
        }
        tokio::select! {
            () = app.shutdown.cancelled() => {}
            () = tokio::time::sleep(PING_EVERY) => {}
        }
    }
}
