//! The sentiment topology beside a tight loop over the model, on the same posts in the same run, in turns: what decoding, checking, deduplication,
//! language, assets, encoding and state cost beside inference. The broker is left out (`vigie-load` measures with it).
//!
//! Prints posts per second of one model thread and of two, and the ratio of the medians.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use bytes::Bytes;
use tokio::runtime::Runtime;
use vigie_benches::posts::PostMaker;
use vigie_benches::{model_folder, registry};
use vigie_clock::{Clock, ManualClock, SystemClock, Timestamp};
use vigie_processors::assets::{AssetMatcher, AssetTable, post_text};
use vigie_processors::inference::{ModelOptions, SentimentModel};
use vigie_processors::sentiment::{Only, SentimentMetrics, SentimentSettings, SharedAnalyser, topology};
use vigie_processors::text::analysis::Analyser;
use vigie_schemas::{RawPost, SyncCodec, Topic};
use vigie_streams::testing::TopologyTestDriver;

const ROUNDS: usize = 7;
const POSTS: usize = 512;
const BATCH: u16 = 64;
const NOW: Timestamp = Timestamp::from_millis(1_652_000_000_000);

fn load(threads: usize) -> Result<SentimentModel> {
    let options = ModelOptions { threads, ..ModelOptions::default() };
    SentimentModel::load_with(&model_folder(), &options).context("load the model")
}

fn driver(codec: SyncCodec, threads: usize) -> Result<TopologyTestDriver> {
    let analyser = Analyser::new(Box::new(load(threads)?), AssetMatcher::new(AssetTable::bundled()?)?);
    let settings = SentimentSettings {
        run_id: "live".into(),
        source: Topic::PostsRaw.name().into(),
        scored: Topic::InsightsSentiment.name().into(),
        mentions: Topic::PostsMentions.name().into(),
        dedupe_retention: Duration::from_secs(7 * 86_400),
        spread_market_from: None,
        published: None,
        only: Only::default(),
        dead_letters: true,
        author_key: "0123456789abcdef".parse().map_err(anyhow::Error::msg)?,
    };
    let metrics = SentimentMetrics::new(&prometheus::Registry::new());
    let topology = topology(settings, BATCH, Arc::new(SharedAnalyser::new(analyser)), codec, metrics)?;
    Ok(TopologyTestDriver::new(topology, ManualClock::new(NOW)))
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn measure(codec: &SyncCodec, threads: usize) -> Result<()> {
    let clock = SystemClock::default();
    let mut model = load(threads)?;
    let mut driver = driver(codec.clone(), threads)?;
    let mut maker = PostMaker::new("topology", 1);
    let (mut tight, mut whole) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let posts: Vec<RawPost> = (0..POSTS).map(|_| maker.post(NOW)).collect();
        let texts: Vec<String> = posts.iter().map(|post| post_text(post.title.as_deref(), &post.text)).collect();
        let record = |post: &RawPost| {
            let value = codec.encode(Topic::PostsRaw.name(), post)?;
            Ok((Some(Bytes::from(post.post_id.clone())), Some(Bytes::from(value)), NOW))
        };
        let records = posts.iter().map(record).collect::<Result<Vec<_>>>()?;

        let started = clock.monotonic();
        for batch in texts.chunks(usize::from(BATCH)) {
            let batch: Vec<&str> = batch.iter().map(String::as_str).collect();
            model.score(&batch)?;
        }
        tight.push(POSTS as f64 / (clock.monotonic() - started).as_secs_f64());

        let started = clock.monotonic();
        driver.pipe_batch(Topic::PostsRaw.name(), 0, records)?;
        driver.commit()?;
        whole.push(POSTS as f64 / (clock.monotonic() - started).as_secs_f64());
        let scored = driver.read(Topic::InsightsSentiment.name()).len();
        anyhow::ensure!(scored == POSTS, "{scored} of {POSTS} posts were scored");
        driver.read(Topic::PostsMentions.name());
    }
    let (tight, whole) = (median(tight), median(whole));
    println!(
        "{threads} model thread(s): tight loop {tight:.0} posts/s, topology {whole:.0} posts/s, ratio {:.3}",
        whole / tight
    );
    Ok(())
}

fn main() -> Result<()> {
    let runtime = Runtime::new()?;
    let folder = tempfile::tempdir()?;
    let codec = runtime.block_on(registry::codec(folder.path()))?.sync(runtime.handle().clone());
    for threads in [1, 2] {
        measure(&codec, threads)?;
    }
    Ok(())
}
