//! Options of a replay.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::ops::Range;

use vigie_clock::Timestamp;
use vigie_schemas::{LIVE_RUN, RegistryConfig, Topic};
use vigie_streams::{KafkaConfig, StreamsOptions};

use crate::inference::ModelConfig;
use crate::sentiment::EnrichmentConfig;
use crate::trends::TrendsOptions;

/// Options of a replay.
#[derive(clap::Args, Clone, Debug)]
pub struct Config {
    /// Topic to read again; only posts.raw.v1 so far
    #[arg(long, value_name = "TOPIC", default_value = Topic::PostsRaw.name())]
    pub topic: String,
    /// Start of the range of published_at, inclusive, RFC 3339; widened to a whole window
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub from: Timestamp,
    /// End of the range of published_at, exclusive, RFC 3339; widened to a whole window
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub to: Timestamp,
    /// Id of the run: small letters, digits and hyphens; made from the time if not given
    #[arg(long, value_name = "ID")]
    pub run_id: Option<String>,
    /// Where Kafka is.
    #[command(flatten)]
    pub kafka: KafkaConfig,
    /// Where the schema registry is.
    #[command(flatten)]
    pub registry: RegistryConfig,
    /// How the stream threads run.
    #[command(flatten)]
    pub streams: StreamsOptions,
    /// The model.
    #[command(flatten)]
    pub model: ModelConfig,
    /// Assets and author pseudonyms.
    #[command(flatten)]
    pub enrichment: EnrichmentConfig,
    /// Windows; grace, settling and alerts have no meaning in a replay.
    #[command(flatten)]
    pub trends: TrendsOptions,
    /// Most posts that are scored at once
    #[arg(long, value_name = "POSTS", env = "VIGIE_MAX_BATCH", default_value_t = 64,
          value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub max_batch: u16,
}

impl Config {
    /// What is wrong with the options; empty if nothing is.
    pub fn mistakes(&self) -> Vec<String> {
        let mut mistakes = self.trends.mistakes();
        if self.topic != Topic::PostsRaw.name() {
            mistakes.push(format!("--topic: {:?}, expected {}", self.topic, Topic::PostsRaw.name()));
        }
        if self.from >= self.to {
            mistakes.push(format!("--from {} is not before --to {}", self.from, self.to));
        }
        if let Some(run_id) = &self.run_id
            && !is_run_id(run_id)
        {
            mistakes.push(format!(
                "--run-id: {run_id:?}, expected 1 to 64 small letters, digits and hyphens, and not {LIVE_RUN:?}"
            ));
        }
        mistakes
    }

    /// The range, widened to whole windows.
    pub fn range(&self) -> Range<Timestamp> {
        let windows = self.trends.windows();
        let last = windows.window_of(self.to);
        let end = if last.start == self.to { self.to } else { last.end };
        windows.window_of(self.from).start..end
    }
}

/// A new run id: the time, and some letters so that two replays of one second differ.
pub fn new_run_id(now: Timestamp) -> String {
    let time = now.to_jiff().map(|time| time.strftime("%Y%m%d-%H%M%S").to_string()).unwrap_or_default();
    format!("replay-{time}-{:06x}", RandomState::new().build_hasher().finish() & 0xff_ffff)
}

fn is_run_id(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=64).contains(&text.len()) && text.bytes().all(allowed) && text != LIVE_RUN
}

fn parse_time(text: &str) -> Result<Timestamp, String> {
    Timestamp::parse_rfc3339(text)
        .map_err(|_| format!("{text:?} is not a time, expected for example 2022-05-09T00:00:00Z"))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        config: Config,
    }

    fn parse(extra: &[&str]) -> Config {
        Cli::try_parse_from([&["replay"], extra].concat()).unwrap_or_else(|error| panic!("{error}")).config
    }

    #[test]
    fn the_range_is_widened_to_whole_windows() {
        let config = parse(&["--from", "2022-05-09T00:01:00Z", "--to", "2022-05-09T01:00:01Z"]);
        let range = config.range();
        assert_eq!(range.start.to_string(), "2022-05-09T00:00:00Z");
        assert_eq!(range.end.to_string(), "2022-05-09T01:05:00Z");
        let whole = parse(&["--from", "2022-05-09T00:00:00Z", "--to", "2022-05-09T01:00:00Z"]);
        assert_eq!(whole.range(), whole.from..whole.to);
    }

    #[test]
    fn every_mistake_is_listed() {
        let from_to = ["--from", "2022-05-09T00:00:00Z", "--to", "2022-05-08T00:00:00Z"];
        let config = parse(&[&from_to[..], &["--topic", "x", "--run-id", "live"]].concat());
        assert_eq!(config.mistakes().len(), 3, "{:?}", config.mistakes());
    }

    #[test]
    fn made_run_ids_are_valid_and_differ() {
        let now = Timestamp::parse_rfc3339("2026-11-23T03:00:00Z").unwrap();
        let (a, b) = (new_run_id(now), new_run_id(now));
        assert!(is_run_id(&a) && a.starts_with("replay-20261123-030000-"), "{a}");
        assert_ne!(a, b);
    }
}
