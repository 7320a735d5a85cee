//! `vigie status`: how a running pipeline is, on one screen.
//!
//! ```text
//! API and services: /readyz, /metrics ─┐
//! API: /v1/sources, /v1/alerts ────────┴─▶ Status ─▶ a screen, or a line of JSON
//! ```

mod metrics;
mod screen;

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;
use url::Url;
use vigie_daemon::{Context, ServiceError, spawn_signal_handler};

use self::metrics::Metrics;
use crate::api_client::Api;
use crate::output::Output;

/// How often `--watch` looks.
const WATCH: Duration = Duration::from_secs(2);
/// Puts the cursor in the corner of an empty terminal (ECMA-48).
const CLEAR: &str = "\x1b[2J\x1b[H";

#[derive(clap::Args, Debug)]
pub(crate) struct StatusArgs {
    /// Where the API is
    #[arg(long, env = "VIGIE_API_URL", value_name = "URL", default_value = "http://127.0.0.1:8080")]
    api_url: Url,
    /// Bearer token for the API, with read:insights and read:operations
    #[arg(long, env = "VIGIE_API_TOKEN", value_name = "TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// Where services that are processes of their own answer probes, separated by commas (--ops-listen of each)
    #[arg(long, env = "VIGIE_OPS_URLS", value_name = "URL", value_delimiter = ',')]
    ops_url: Vec<Url>,
    /// Look again every 2 seconds, until Ctrl-C
    #[arg(long, short)]
    watch: bool,
}

/// What was found.
#[derive(Debug, Default, Serialize)]
struct Status {
    /// Whether every service is ready.
    ready: bool,
    /// Each part of each service; null if it is ready, or else why it is not.
    services: BTreeMap<String, Option<String>>,
    /// Records that are not processed yet, by the topic that they are in.
    lag: BTreeMap<String, u64>,
    /// Age of the oldest of them, as the stream threads estimate it.
    lag_seconds: Option<f64>,
    /// From the fetch of a post to its score, since the start.
    latency_seconds: Option<Latency>,
    posts: u64,
    /// Since the start, by the stage that put them aside.
    dead_letters: BTreeMap<String, u64>,
    sources: Sources,
    /// The newest one, as the API has it.
    last_alert: Option<Value>,
    sample: bool,
}

#[derive(Debug, Serialize)]
struct Latency {
    p50: f64,
    p95: f64,
}

#[derive(Debug, Default, Serialize)]
struct Sources {
    total: u64,
    healthy: u64,
    /// Those that are not, with the reason.
    failing: BTreeMap<String, String>,
    /// The changed file of sources is not used, for it has mistakes.
    file_rejected: bool,
}

pub(super) async fn run(args: StatusArgs, output: Output) -> Result<(), ServiceError> {
    let ctx = Context::system();
    spawn_signal_handler(ctx.shutdown.clone());
    let pipeline = Pipeline::new(&args)?;
    loop {
        let status = pipeline.look().await;
        let now = ctx.clock.now();
        match &status {
            Ok(status) => {
                let clear = if args.watch && std::io::stdout().is_terminal() { CLEAR } else { "" };
                output.result(status, || format!("{clear}{}", screen::draw(status, now)))?;
            }
            Err(error) if args.watch => output.note(error.chain()),
            Err(_) => {}
        }
        if !args.watch {
            return match status? {
                Status { ready: true, .. } => Ok(()),
                _ => Err(ServiceError::failed("not every service is ready")),
            };
        }
        tokio::select! {
            () = tokio::time::sleep(WATCH) => {}
            () = ctx.shutdown.cancelled() => return Ok(()),
        }
    }
}

/// Where to look.
struct Pipeline {
    api: Api,
    /// Services that are processes of their own.
    others: Vec<Api>,
}

impl Pipeline {
    fn new(args: &StatusArgs) -> Result<Self, ServiceError> {
        let api = |url| Api::new(url, args.token.as_deref());
        Ok(Self { api: api(&args.api_url)?, others: args.ops_url.iter().map(api).collect::<Result<_, _>>()? })
    }

    async fn look(&self) -> Result<Status, ServiceError> {
        let mut status = Status { ready: true, ..Status::default() };
        let mut metrics = Metrics::default();
        for service in std::iter::once(&self.api).chain(&self.others) {
            let probe: Value = service.json("readyz").await?;
            status.ready &= probe["ok"] == true;
            for (name, state) in probe["components"].as_object().into_iter().flatten() {
                let why = state["reason"].as_str().map(str::to_owned);
                status.services.insert(name.clone(), (state["state"] != "ready").then(|| why.unwrap_or_default()));
            }
            metrics.add(&service.text("metrics").await?.1);
        }
        status.take(&metrics);
        let sources: Value = self.api.json("v1/sources").await?;
        status.take_sources(&sources);
        let alerts: Value = self.api.json("v1/alerts?limit=1").await?;
        status.last_alert = alerts["alerts"].get(0).cloned();
        Ok(status)
    }
}

impl Status {
    fn take(&mut self, metrics: &Metrics) {
        for name in ["vigie_streams_lag_records", "vigie_sinks_lag_records"] {
            for (topic, records) in metrics.by_label(name, "topic") {
                *self.lag.entry(topic).or_default() += records as u64;
            }
        }
        self.lag_seconds = metrics.highest("vigie_streams_lag_seconds");
        let age = |part| metrics.quantile("vigie_sentiment_age_seconds", part);
        self.latency_seconds = age(0.5).zip(age(0.95)).map(|(p50, p95)| Latency { p50, p95 });
        self.posts = metrics.sum("vigie_sentiment_posts_total") as u64;
        for stage in ["sentiment", "trends", "sinks"] {
            self.dead_letters
                .insert(stage.to_owned(), metrics.sum(&format!("vigie_{stage}_dead_letters_total")) as u64);
        }
        self.sources.file_rejected = metrics.sum("vigie_producers_sources_file_invalid") > 0.0;
    }

    fn take_sources(&mut self, answer: &Value) {
        self.sample = answer["sample"] == true;
        self.sources.total = answer["total"].as_u64().unwrap_or_default();
        self.sources.healthy = answer["healthy"].as_u64().unwrap_or_default();
        for source in answer["sources"].as_array().into_iter().flatten().filter(|source| source["health"] != "ok") {
            let word = |name: &str| source[name].as_str().unwrap_or_default();
            let reason = format!("{}, {} {}", word("health"), word("decision"), word("reason"));
            self.sources.failing.insert(word("source").to_owned(), reason.trim_end().to_owned());
        }
    }
}
