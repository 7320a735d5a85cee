//! `vigie source list`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};
use url::Url;
use vigie_clock::Timestamp;
use vigie_daemon::{Context, ServiceError};
use vigie_kafka_client::{KafkaConfig, Start, read_to_end};
use vigie_producers::keys::Key;
use vigie_schemas::{Codec, Decision, RegistryConfig};

use crate::api_client::{Api, TIMEOUT};
use crate::commands::topics::{codec_error, kafka_error};
use crate::output::Output;

/// The ledger of fetches, and how much of it shows how a source is.
const LEDGER: &str = "sources.fetches.v1";
const LOOK_BACK: Duration = Duration::from_secs(24 * 3600);

#[derive(clap::Args, Debug)]
pub(crate) struct ListArgs {
    /// A TOML file [default: what a running `vigie up` scrapes, or else the bundled list]
    #[arg(long, value_name = "FILE")]
    sources: Option<PathBuf>,
    /// The API of the pipeline whose sources are listed
    #[arg(long, env = "VIGIE_API_URL", value_name = "URL", conflicts_with = "sources")]
    api_url: Option<Url>,
    /// Bearer token for the API, with read:operations
    #[arg(long = "api-token", alias = "token", env = "VIGIE_API_TOKEN", value_name = "TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// Tell how each source did in the last 24 hours, from the fetch ledger; needs Kafka
    #[arg(long)]
    status: bool,
    #[command(flatten)]
    kafka: KafkaConfig,
    #[command(flatten)]
    registry: RegistryConfig,
}

pub(super) async fn run(args: ListArgs, output: Output) -> Result<(), ServiceError> {
    if let (Some(api), None) = (&args.api_url, &args.sources) {
        let api = Api::new(api, args.token.as_deref(), "read:operations", TIMEOUT)?;
        return running(&api, output).await;
    }
    let found = match &args.sources {
        Some(path) => vigie_producers::sources::catalogue::load(path),
        None => vigie_producers::sources::catalogue::bundled(),
    };
    let sources = found.map_err(ServiceError::Config)?;
    let health = if args.status { Some(health(args.kafka, &args.registry).await?) } else { None };
    for source in sources {
        let mut value =
            json!({"id": source.id, "kind": source.kind, "url": source.url, "every_seconds": source.every.as_secs()});
        let mut words = String::new();
        if let Some(health) = &health {
            let health = health.get(&source.id);
            words = health.map_or_else(|| "never fetched".to_owned(), Health::words);
            value["health"] = health.map_or(Value::Null, Health::to_json);
        }
        if let Some(key) = &source.key {
            value["key"] = key.variable().into();
        }
        if source.waits_for_key() {
            let variable = source.key.as_ref().map(Key::variable).unwrap_or_default();
            value["waits_for_key"] = true.into();
            words = format!("waits for its key in {variable}");
        }
        output.result(&value, || {
            format!("{:<28} {:<12} {} {words}", source.id, source.kind.name(), source.url).trim_end().to_owned()
        })?;
    }
    Ok(())
}

/// What a running pipeline scrapes, and how well that works.
async fn running(api: &Api, output: Output) -> Result<(), ServiceError> {
    let answer = api.json("v1/sources").await?;
    for source in answer["sources"].as_array().into_iter().flatten() {
        let word = |name: &str| source[name].as_str().unwrap_or_default();
        output.result(source, || {
            let (id, kind, url) = (word("source"), word("kind"), word("url"));
            let reason = source["reason"].as_str().map(|reason| format!(" ({reason})")).unwrap_or_default();
            format!("{id:<28} {kind:<12} {url} {}{reason}", word("health"))
        })?;
    }
    Ok(())
}

/// What the ledger says of one source.
#[derive(Debug, Default)]
struct Health {
    last: Value,
    fetches: u64,
    posts: i64,
    /// Failures since the last success.
    failures: u64,
}

impl Health {
    fn add(&mut self, record: Value) {
        self.fetches += 1;
        self.posts += record["posts_new"].as_i64().unwrap_or_default();
        match record["decision"].as_str().and_then(|decision| decision.parse().ok()) {
            Some(Decision::Fetched | Decision::NotModified) => self.failures = 0,
            Some(Decision::Waited) => {}
            _ => self.failures += 1,
        }
        self.last = record;
    }

    fn time(&self, name: &str) -> Option<String> {
        self.last[name].as_i64().map(|millis| Timestamp::from_millis(millis).to_string())
    }

    fn to_json(&self) -> Value {
        json!({
            "at": self.time("at"), "next_at": self.time("next_at"), "decision": self.last["decision"], "status": self.last["status"],
            "reason": self.last["reason"], "fetches": self.fetches, "posts": self.posts, "failures": self.failures,
        })
    }

    fn words(&self) -> String {
        let decision = self.last["decision"].as_str().unwrap_or_default();
        let reason = self.last["reason"].as_str().map(|reason| format!(" ({reason})")).unwrap_or_default();
        let at = self.time("at").unwrap_or_default();
        format!(
            "{decision}{reason} at {at}, {} posts in {} fetches, {} failures in a row",
            self.posts, self.fetches, self.failures
        )
    }
}

async fn health(kafka: KafkaConfig, registry: &RegistryConfig) -> Result<BTreeMap<String, Health>, ServiceError> {
    let codec = Codec::connect(registry, &kafka.topic_prefix).await.map_err(codec_error)?;
    let since = Context::system().clock.now().as_millis() - i64::try_from(LOOK_BACK.as_millis()).unwrap_or_default();
    let read = move || {
        let records = read_to_end(&kafka, LEDGER, &Start::Time(Timestamp::from_millis(since)))?;
        records.map(|record| record.map(|record| record.value)).collect::<Result<Vec<_>, _>>()
    };
    let records = tokio::task::spawn_blocking(read).await.map_err(ServiceError::failed)?.map_err(kafka_error)?;
    let mut found: BTreeMap<String, Health> = BTreeMap::new();
    for bytes in records.into_iter().flatten() {
        let Ok(record) = codec.decode_json(&bytes).await else { continue };
        if let Some(source) = record["source"].as_str().map(str::to_owned) {
            found.entry(source).or_default().add(record);
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_count_from_the_last_success() {
        let mut health = Health::default();
        for (decision, posts) in
            [("fetched", 3), ("failed", 0), ("not_modified", 0), ("failed", 0), ("waited", 0), ("unparsable", 0)]
        {
            health.add(json!({"decision": decision, "posts_new": posts, "at": 0, "reason": "x"}));
        }
        assert_eq!((health.fetches, health.posts, health.failures), (6, 3, 2));
        assert_eq!(health.words(), "unparsable (x) at 1970-01-01T00:00:00Z, 3 posts in 6 fetches, 2 failures in a row");
        assert_eq!(health.to_json()["failures"], 2);
    }
}
