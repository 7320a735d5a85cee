//! The API at a route that needs a scope and no database.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request, header};
use clap::Parser;
use serde_json::Value;
use tower::ServiceExt;
use vigie_api::Checked;
use vigie_clock::{ManualClock, Timestamp};
use vigie_daemon::{Context, Mistake};

/// The clock's time, in seconds.
pub(crate) const NOW: i64 = 1_800_000_000;
/// A database with our tables.
pub(crate) struct Database {
    pub(crate) url: String,
    pub(crate) redis_url: String,
    /// Of keys in Redis.
    pub(crate) prefix: String,
    pub(crate) client: tokio_postgres::Client,
}

impl Database {
    pub(crate) async fn new() -> Self {
        let stack = tokio::task::spawn_blocking(vigie_stack::testing::shared).await.unwrap();
        let url = stack.postgres_url.clone();
        let (client, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await.unwrap();
        tokio::spawn(connection);
        for (_, migration) in vigie_schemas::sql::MIGRATIONS {
            client.batch_execute(migration).await.unwrap();
        }
        Self { url, redis_url: stack.redis_url.clone(), prefix: stack.prefix.clone(), client }
    }

    /// Every credential is looked up in it.
    pub(crate) fn door(&self, args: &[&str]) -> Door {
        self.door_at(Timestamp::from_millis(NOW * 1000), args)
    }

    /// As [`Self::door`], at another time.
    pub(crate) fn door_at(&self, now: Timestamp, args: &[&str]) -> Door {
        let url = format!("--postgres-url={}", self.url);
        Door::at(now, &[&[url.as_str()], args].concat()).unwrap_or_else(|mistakes| panic!("{mistakes:?}"))
    }
}

const ROUTE: &str = "/v1/metrics";

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    config: vigie_api::Config,
}

pub(crate) struct Door {
    router: Router,
    pub(crate) config: Checked,
    pub(crate) clock: ManualClock,
}

pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
}

impl Answer {
    pub(crate) fn challenge(&self) -> &str {
        self.headers.get("www-authenticate").map_or("", |value| value.to_str().unwrap())
    }

    pub(crate) fn location(&self) -> &str {
        self.headers.get(header::LOCATION).map_or("", |value| value.to_str().unwrap())
    }

    pub(crate) fn detail(&self) -> &str {
        self.body["detail"].as_str().unwrap_or_default()
    }
}

impl Door {
    pub(crate) fn with(args: &[&str]) -> Result<Self, Vec<Mistake>> {
        Self::at(Timestamp::from_millis(NOW * 1000), args)
    }

    fn at(now: Timestamp, args: &[&str]) -> Result<Self, Vec<Mistake>> {
        let config =
            Cli::parse_from(["api", "--api-listen=192.0.2.1:80", "--api-rate=0"].iter().chain(args)).config.check()?;
        let clock = ManualClock::new(now);
        let router = vigie_api::router(&config, &Context::new(Arc::new(clock.clone()))).unwrap();
        Ok(Self { router, config, clock })
    }

    pub(crate) async fn knock(&self, token: &str) -> Answer {
        self.ask(ROUTE, &[("authorization", &format!("Bearer {token}"))]).await
    }

    pub(crate) async fn ask(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        self.send("GET", path, headers).await
    }

    pub(crate) async fn send(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = self.router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
        let body = serde_json::from_slice(&body).unwrap_or_default();
        Answer { status: parts.status.as_u16(), headers: parts.headers, body }
    }
}
