//! `vigie status`: how a running pipeline is, on one screen.
//!
//! ```text
//! API and services: /readyz, /metrics ─┐
//! API: sources, alerts, newest posts ──┴─▶ Status ─▶ a screen, or a line of JSON
//! ```

mod metrics;
mod screen;

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;
use url::Url;
use vigie_clock::{Clock, SystemClock, Timestamp};
use vigie_daemon::ServiceError;

use self::metrics::Metrics;
use crate::api_client::{Api, TIMEOUT};
use crate::dead_letter_log::stage_of;
use crate::output::Output;

/// How often `--watch` looks.
const WATCH: Duration = Duration::from_secs(2);
/// Posts whose latency is shown.
const NEWEST: usize = 100;
/// Puts the cursor in the corner of an empty terminal (ECMA-48).
const CLEAR: &str = "\x1b[2J\x1b[H";

#[derive(clap::Args, Debug)]
pub(crate) struct StatusArgs {
    /// Where the API is
    #[arg(long, env = "VIGIE_API_URL", value_name = "URL", default_value = "http://127.0.0.1:8080")]
    api_url: Url,
    /// Bearer token for the API, with read:insights and read:operations
    #[arg(long = "api-token", alias = "token", env = "VIGIE_API_TOKEN", value_name = "TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// Where services that are processes of their own answer probes, separated by commas (--ops-listen of each)
    #[arg(long = "ops-urls", alias = "ops-url", env = "VIGIE_OPS_URLS", value_name = "URL", value_delimiter = ',')]
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
    standby: Standby,
    /// From the fetch of a post to its score, of the newest posts: what was read with a backlog says nothing of now.
    latency_seconds: Option<Latency>,
    /// Scored since the start.
    posts: u64,
    /// Since the start, by the stage that put them aside.
    dead_letters: BTreeMap<String, u64>,
    sources: Sources,
    /// The newest one, as the API has it.
    last_alert: Option<Value>,
    sample: bool,
}

/// Copies of the state of tasks that other instances run.
#[derive(Debug, Default, Serialize)]
struct Standby {
    copies: u64,
    /// Records that the one furthest behind has to read.
    lag: u64,
}

#[derive(Debug, PartialEq, Serialize)]
struct Latency {
    p50: f64,
    p95: f64,
    /// How many there are.
    of: usize,
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

pub(crate) async fn run(args: StatusArgs, output: Output) -> Result<(), ServiceError> {
    let pipeline = Pipeline::new(&args)?;
    loop {
        let status = pipeline.look().await;
        let now = SystemClock::default().now();
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
        tokio::time::sleep(WATCH).await;
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
        let scopes = "read:insights and read:operations";
        let api = |url| Api::new(url, args.token.as_deref(), scopes, TIMEOUT);
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
        let posts: Value = self.api.json(&format!("v1/assets/*/posts?limit={NEWEST}")).await?;
        status.latency_seconds = latency(&posts);
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
        self.standby.copies = metrics.sum("vigie_streams_standby_tasks") as u64;
        self.standby.lag = metrics.highest("vigie_streams_standby_lag_records").unwrap_or_default() as u64;
        self.posts = metrics.sum("vigie_sentiment_posts_total") as u64;
        for name in metrics.names() {
            if let Some(stage) = stage_of(name) {
                self.dead_letters.insert(stage.to_owned(), metrics.sum(name) as u64);
            }
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

/// From fetch to score, of the API's page of posts; `None` without posts.
fn latency(page: &Value) -> Option<Latency> {
    let time = |post: &Value, name: &str| Timestamp::parse_rfc3339(post[name].as_str()?).ok();
    let posts = page["posts"].as_array()?;
    let took = |post| Some(time(post, "scored_at")?.since(time(post, "fetched_at")?));
    let mut took: Vec<Duration> = posts.iter().filter_map(took).collect();
    took.sort_unstable();
    let quantile = |part: usize| took.get((took.len() * part).div_ceil(100).max(1) - 1).map(Duration::as_secs_f64);
    Some(Latency { p50: quantile(50)?, p95: quantile(95)?, of: took.len() })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn latency_is_that_of_the_posts() {
        let post = |millis: i64| json!({"fetched_at": "1970-01-01T00:00:00Z", "scored_at": Timestamp::from_millis(millis).to_string()});
        let page = |posts: Vec<Value>| latency(&json!({"posts": posts}));
        assert_eq!(
            page((1..=20).rev().map(|tenths| post(tenths * 100)).collect()),
            Some(Latency { p50: 1.0, p95: 1.9, of: 20 })
        );
        assert_eq!(page(vec![post(1500)]), Some(Latency { p50: 1.5, p95: 1.5, of: 1 }));
        assert_eq!(page(Vec::new()), None);
    }
}
