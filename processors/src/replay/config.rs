//! Options of a replay.

use std::num::NonZeroU32;

use vigie_archive::ArchiveOptions;
use vigie_authors::AuthorKey;
use vigie_clock::Timestamp;
use vigie_daemon::{Check, Mistake};
use vigie_schemas::{LIVE_RUN, RegistryConfig, SERVED_RUN, Topic};
use vigie_streams::{KafkaConfig, StreamsOptions};

use super::scope::{Offsets, Selection};
use crate::forecast::SharedForecaster;
use crate::inference::ModelConfig;
use crate::sentiment::{self, EnrichmentConfig, Only, SharedAnalyser};
use crate::text::analysis::Analyser;
use crate::times::{since, until};
use crate::trends::TrendsOptions;

/// Options of a replay.
#[derive(clap::Args, Clone, Debug)]
pub struct Config {
    /// Topic to read again; only posts.raw.v1 so far
    #[arg(long, value_name = "TOPIC", default_value = Topic::PostsRaw.name())]
    pub topic: String,
    /// Start of the range of published_at, inclusive: RFC 3339, a day (UTC), or how long ago, for example 6h; widened to a whole window
    #[arg(long, value_name = "TIME", value_parser = since, requires = "to")]
    pub from: Option<Timestamp>,
    /// End of the range of published_at, exclusive, in the same words (a day: its end); widened to a whole window
    #[arg(long, value_name = "TIME", value_parser = until, requires = "from")]
    pub to: Option<Timestamp>,
    /// Only these records of a partition, instead of a range of time or beside it; the end is exclusive; may be given several times
    #[arg(long, value_name = "PARTITION:FIRST-END")]
    pub offsets: Vec<Offsets>,
    /// Only posts of this source; may be given several times. Such a run cannot be promoted
    #[arg(long, value_name = "ID")]
    pub source: Vec<String>,
    /// Only posts about this asset, by its id in the asset table, as BTC; may be given several times. Such a run cannot be promoted
    #[arg(long, value_name = "ID")]
    pub asset: Vec<String>,
    /// Id of the run: small letters, digits and hyphens; made from the time if not given. One that was interrupted goes on
    #[arg(long, value_name = "ID", required_unless_present_any = ["from", "offsets"])]
    pub run_id: Option<String>,
    /// Records read per second at most
    #[arg(long, value_name = "RECORDS")]
    pub rate: Option<NonZeroU32>,
    /// Where Kafka is.
    #[command(flatten)]
    pub kafka: KafkaConfig,
    /// Where the schema registry is.
    #[command(flatten)]
    pub registry: RegistryConfig,
    /// How the stream threads run.
    #[command(flatten)]
    pub streams: StreamsOptions,
    /// Where posts are that Kafka no longer has.
    #[command(flatten)]
    pub archive: ArchiveOptions,
    /// The model.
    #[command(flatten)]
    pub model: ModelConfig,
    /// Assets and author pseudonyms.
    #[command(flatten)]
    pub enrichment: EnrichmentConfig,
    /// Windows and alerts; grace and settling have no meaning in a replay.
    #[command(flatten)]
    pub trends: TrendsOptions,
    /// Most posts that are scored at once
    #[arg(long, value_name = "POSTS", env = "VIGIE_MAX_BATCH", default_value_t = 64,
          value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub max_batch: u16,
}

impl Config {
    /// Checks what clap cannot, and loads the models and the asset table.
    ///
    /// # Errors
    /// With every mistake.
    pub fn check(self) -> Result<Checked, Vec<Mistake>> {
        let loaded = sentiment::load(&self.model, &self.enrichment);
        self.check_loaded(loaded)
    }

    /// As [`Config::check`], with an analyser in place of the configured model and asset table.
    ///
    /// # Errors
    /// With every mistake.
    pub fn check_with(self, analyser: Analyser) -> Result<Checked, Vec<Mistake>> {
        let key = self.enrichment.author.require();
        self.check_loaded(key.map(|key| (SharedAnalyser::new(analyser), key)))
    }

    fn check_loaded(self, loaded: Result<(SharedAnalyser, AuthorKey), Vec<Mistake>>) -> Result<Checked, Vec<Mistake>> {
        let mut check = Check::<Self>::default();
        let topic = Topic::PostsRaw.name();
        check.option("topic", self.topic == topic, format!("{:?}", self.topic), topic);
        if let (Some(from), Some(to)) = (self.from, self.to) {
            check.option("from", from < to, from, format!("a time before --to ({to})"));
        }
        let mut partitions: Vec<i32> = self.offsets.iter().map(|offsets| offsets.partition).collect();
        partitions.sort_unstable();
        let once = partitions.windows(2).all(|pair| pair[0] != pair[1]);
        check.option("offsets", once, "a partition given twice", "one range of each");
        let expected =
            format!("1 to 64 small letters, digits and hyphens, and neither {LIVE_RUN:?} nor {SERVED_RUN:?}");
        check.option("run-id", self.run_id.as_deref().is_none_or(is_run_id), format!("{:?}", self.run_id), expected);
        let (only, selection) = (self.only(), self.selection());
        let found = "given without a range";
        check.option("source", only.sources.is_empty() || selection.is_some(), found, "--from and --to, or --offsets");
        check.option("asset", only.assets.is_empty() || selection.is_some(), found, "--from and --to, or --offsets");
        if let Ok((analyser, _)) = &loaded {
            let unknown = analyser.unknown_assets(&only.assets);
            check.option("asset", unknown.is_empty(), unknown.join(", "), "ids of the asset table, as BTC");
        }
        check.part(self.kafka.check());
        check.part(self.registry.check());
        let forecaster = check.part(self.trends.check(self.model.library.as_deref()));
        let loaded = check.part(loaded).zip(forecaster);
        check.finish(loaded.map(|((analyser, author_key), forecaster)| Checked {
            config: self,
            analyser,
            author_key,
            forecaster,
        }))
    }

    fn only(&self) -> Only {
        Only { sources: self.source.iter().cloned().collect(), assets: self.asset.iter().cloned().collect() }
    }

    /// Which posts are asked for, the time widened to whole windows; `None` if nothing is said about it.
    pub fn selection(&self) -> Option<Selection> {
        let windows = self.trends.windows();
        let published = self.from.zip(self.to).map(|(from, to)| {
            let last = windows.window_of(to);
            windows.window_of(from).start..if last.start == to { to } else { last.end }
        });
        let is_new = published.is_some() || !self.offsets.is_empty();
        is_new.then(|| Selection { published, offsets: self.offsets.clone(), only: self.only() })
    }
}

/// A configuration without mistakes, for [`super::open`].
pub struct Checked {
    pub(super) config: Config,
    pub(super) analyser: SharedAnalyser,
    pub(super) author_key: AuthorKey,
    pub(super) forecaster: Option<SharedForecaster>,
}

impl Checked {
    /// The options.
    pub fn config(&self) -> &Config {
        &self.config
    }
}

/// A new run id: the time, and some letters so that two replays of one second differ.
pub fn new_run_id(now: Timestamp) -> String {
    let time = now.to_jiff().map(|time| time.strftime("%Y%m%d-%H%M%S").to_string()).unwrap_or_default();
    format!("replay-{time}-{:06x}", rand::random_range(0..0x100_0000))
}

fn is_run_id(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=64).contains(&text.len()) && text.bytes().all(allowed) && ![LIVE_RUN, SERVED_RUN].contains(&text)
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
        let range = config.selection().unwrap().published.unwrap();
        assert_eq!(range.start.to_string(), "2022-05-09T00:00:00Z");
        assert_eq!(range.end.to_string(), "2022-05-09T01:05:00Z");
        let whole = parse(&["--from", "2022-05-09T00:00:00Z", "--to", "2022-05-09T01:00:00Z"]);
        assert_eq!(whole.selection().unwrap().published, whole.from.zip(whole.to).map(|(from, to)| from..to));
    }

    #[test]
    fn every_mistake_is_listed() {
        let from_to = ["--from", "2022-05-09T00:00:00Z", "--to", "2022-05-08T00:00:00Z"];
        let config = parse(&[&from_to[..], &["--topic", "x", "--run-id", "live"]].concat());
        let mistakes = config.check().err().unwrap();
        let options = ["--model (VIGIE_MODEL)", "--author-key (VIGIE_AUTHOR_KEY)"];
        let of_options = mistakes.iter().map(Mistake::to_string).filter(|m| !options.iter().any(|o| m.starts_with(o)));
        assert_eq!(of_options.count(), 3, "{mistakes:?}");
        let twice = parse(&["--offsets", "0:1-2", "--offsets", "0:5-9"]).check().err().unwrap();
        assert!(twice.iter().any(|mistake| mistake.to_string().contains("a partition given twice")), "{twice:?}");
    }

    #[test]
    fn made_run_ids_are_valid_and_differ() {
        let now = Timestamp::parse_rfc3339("2026-11-23T03:00:00Z").unwrap();
        let (a, b) = (new_run_id(now), new_run_id(now));
        assert!(is_run_id(&a) && a.starts_with("replay-20261123-030000-"), "{a}");
        assert_ne!(a, b);
    }
}
