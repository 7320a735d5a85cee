//! What a post costs at rest, and how fast rows are taken in: a feed as the pipeline writes it, through the sink's own session.
//!
//! `cargo test --release -p vigie-sinks --lib bytes_at_rest -- --ignored --nocapture`, with `VIGIE_MEASURE_POSTS` for another number of posts, and
//! `VIGIE_MEASURE_TEXTS` for a file with a text a line, in place of made-up titles and excerpts.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use tokio_postgres::Client;
use vigie_clock::{Clock, SystemClock, Timestamp};
use vigie_kafka_client::TopicPartition;
use vigie_schemas::{AssetMention, Forecast, LIVE_RUN, Lineage, ScoredPost, TrendInsight, WHOLE_MARKET};

use crate::insight::Insight;
use crate::postgres::rebuild;
use crate::postgres::session::Session;
use crate::sink::{Advance, Batch, Offsets, Row};
use crate::testing::{post, trend};
use vigie_stores::PostgresUrl;

/// 2026-09-01T00:00:00Z.
const FROM: i64 = 1_788_220_800_000;
const WINDOW: i64 = 300_000;
/// 8.6 posts a second.
const POSTS_A_WINDOW: i64 = 2_580;
/// With [`REVISIONS`] each, and 33 of the whole market, 0.86 revisions a post.
const ASSETS: u64 = 187;
const REVISIONS: i32 = 11;
const WORDS: [&str; 24] = [
    "harbor",
    "ledger",
    "the",
    "bridge",
    "a",
    "validator",
    "of",
    "yield",
    "and",
    "settlement",
    "liquidity",
    "this",
    "week",
    "custody",
    "to",
    "nobody",
    "expected",
    "rollup",
    "fees",
    "were",
    "in",
    "higher",
    "again",
    "quietly",
];

/// Reproducible noise (SplitMix64).
struct Noise(u64);

impl Noise {
    fn next(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % below
    }

    fn hex(&mut self) -> String {
        format!("{:016x}{:016x}", self.next(u64::MAX), self.next(u64::MAX))
    }

    fn text(&mut self, letters: usize) -> String {
        let mut text = String::new();
        while text.len() < letters {
            text.push_str(WORDS[self.next(24) as usize]);
            text.push(' ');
        }
        text.truncate(letters);
        text
    }

    fn share(&mut self) -> f64 {
        self.next(1 << 40) as f64 / (1_u64 << 40) as f64
    }
}

fn lineage(input_topic: &str, partition: i32, offset: i64) -> Lineage {
    Lineage {
        run_id: LIVE_RUN.to_owned(),
        model_name: "vigie-sentiment".to_owned(),
        model_version: "4.1".to_owned(),
        model_sha256: "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08".to_owned(),
        assets_version: "2026-11-20".to_owned(),
        input_topic: input_topic.to_owned(),
        input_partition: partition,
        first_offset: offset / 2,
        last_offset: offset,
    }
}

/// Texts to take instead; none if there is no file.
static TEXTS: LazyLock<Vec<String>> = LazyLock::new(|| {
    let path = std::env::var("VIGIE_MEASURE_TEXTS");
    let lines = path.map_or_else(|_| String::new(), |path| std::fs::read_to_string(path).unwrap());
    lines.lines().map(|line| line.chars().take(280).collect()).collect()
});

/// Post number `n`: three in four with two thirds of an excerpt, an author who is known in one case of five, 1.25 assets. One in a hundred is
/// an edit of an earlier one.
fn scored(n: i64) -> ScoredPost {
    let edited = n % 100 == 99;
    let mut noise = Noise(if edited { n - 50 } else { n } as u64);
    let published = FROM + (n - if edited { 50 } else { 0 }) * WINDOW / POSTS_A_WINDOW + noise.next(120_000) as i64;
    let author = Noise(noise.next(40_000)).hex();
    let given = TEXTS.get(n as usize % TEXTS.len().max(1));
    let shares = [noise.share(), noise.share(), noise.share()];
    let p = shares.map(|share| share / shares.iter().sum::<f64>());
    let mut assets = vec![noise.next(ASSETS)];
    if noise.next(4) == 0 {
        assets.push(noise.next(ASSETS));
    }
    ScoredPost {
        post_id: format!("rss:{}", noise.hex()),
        source: format!("chain-gazette-{}", noise.next(40)),
        url: Some(format!("https://gazette.example/{}", noise.text(36))),
        author_sealed: Some((0..77).map(|_| noise.next(256) as u8).collect()),
        author_id: Some(author),
        title: (n % 4 != 0 && given.is_none()).then(|| noise.text(60)),
        excerpt: given.cloned().unwrap_or_else(|| noise.text(200)),
        published_at: Timestamp::from_millis(published),
        fetched_at: Timestamp::from_millis(published + 60_000),
        scored_at: Timestamp::from_millis(published + 61_000 + n),
        score: Some(p[2] - p[0]),
        p_negative: Some(p[0]),
        p_neutral: Some(p[1]),
        p_positive: Some(p[2]),
        assets: assets
            .into_iter()
            .map(|asset| AssetMention {
                asset: format!("A{asset}"),
                evidence: "cashtag".to_owned(),
                ..AssetMention::default()
            })
            .collect(),
        lineage: lineage("posts.raw.v1", (n % 4) as i32, n),
        revision: if edited { 2 } else { 1 },
        fingerprint: Some(noise.next(u64::MAX) as i64),
        spam_score: Some(noise.share()),
        ..post("", n)
    }
}

/// One revision of each window of all assets, in the order of the commits.
fn revisions(window: i64) -> Vec<TrendInsight> {
    let mut all = Vec::new();
    for revision in 1..=33 {
        let assets = (0..ASSETS).map(|n| format!("A{n}")).filter(|_| revision <= REVISIONS);
        for asset in assets.chain([WHOLE_MARKET.to_owned()]) {
            let whole = asset == WHOLE_MARKET;
            let mut noise = Noise((window * 1000 + i64::from(revision)) as u64 ^ asset.len() as u64);
            let sources = if whole { 40 } else { 12 };
            let last = revision == if whole { 33 } else { REVISIONS };
            let sources: BTreeMap<String, i64> =
                (0..sources).map(|n| (format!("chain-gazette-{n}"), 1 + noise.next(40) as i64)).collect();
            all.push(TrendInsight {
                r#final: last,
                mean_score: Some(noise.share()),
                anomaly_score: Some(noise.share()),
                tail_probability: Some(noise.share()),
                expected_posts: Some(noise.share() * 20.0),
                sources,
                lineage: lineage("posts.mentions.v1", (noise.next(4)) as i32, window * 1000 + i64::from(revision)),
                forecast: last.then(|| Forecast {
                    next_window_p10: noise.share(),
                    next_window_p50: noise.share(),
                    next_window_p90: noise.share(),
                    next_hour_p10: noise.share(),
                    next_hour_p50: noise.share(),
                    next_hour_p90: noise.share(),
                    doubling_probability: noise.share(),
                    model_name: "vigie-forecast".to_owned(),
                    model_version: "2".to_owned(),
                    model_sha256: "60303ae22b998861bce3b28f33eec1be758a213c86c93c076dbe9f558c11c752".to_owned(),
                }),
                no_forecast_reason: (!last).then(|| "settling".to_owned()),
                ..trend(&asset, FROM + window * WINDOW, revision, i64::from(revision) * 3)
            });
        }
    }
    all
}

async fn write(session: &mut Session, partition: &TopicPartition, at: &mut i64, insights: Vec<Insight>) {
    let next = *at + insights.len() as i64;
    let advances = BTreeMap::from([(partition.clone(), Advance { expected: *at, next })]);
    let rows =
        insights.into_iter().zip(*at..).map(|(insight, offset)| Row { partition: partition.clone(), offset, insight });
    session.write(&Batch { rows: rows.collect(), advances }).await.unwrap();
    *at = next;
}

#[tokio::test]
#[ignore = "a measurement: prints bytes per post and rows per second"]
async fn bytes_at_rest() {
    let posts: i64 = std::env::var("VIGIE_MEASURE_POSTS").map_or(200_000, |text| text.parse().unwrap());
    let stack = tokio::task::spawn_blocking(vigie_stack::testing::shared).await.unwrap();
    let url: PostgresUrl = stack.postgres_url.parse().unwrap();
    crate::migrate(&url).await.unwrap();
    let mut session = Session::open(&url, "measured").await.unwrap();
    let (feed, windows) =
        (TopicPartition::new("insights.sentiment.v1", 0), TopicPartition::new("insights.trends.v1", 0));
    session.claim(&Offsets::from([(feed.clone(), 0), (windows.clone(), 0)]), true).await.unwrap();
    let clock = SystemClock::default();
    let (mut at, mut window_at, mut spent) = (0, 0, [0.0; 2]);
    for window in 0..posts / POSTS_A_WINDOW {
        let batch = (at..at + POSTS_A_WINDOW).map(|n| Insight::Post(Box::new(scored(n)))).collect();
        let started = clock.monotonic();
        write(&mut session, &feed, &mut at, batch).await;
        spent[0] += (clock.monotonic() - started).as_secs_f64();
        let mut all = revisions(window).into_iter().map(|trend| Insight::Trend(Box::new(trend))).peekable();
        while all.peek().is_some() {
            let batch = all.by_ref().take(500).collect();
            let started = clock.monotonic();
            write(&mut session, &windows, &mut window_at, batch).await;
            spent[1] += (clock.monotonic() - started).as_secs_f64();
        }
    }
    println!(
        "{}: {at} posts, {:.0} posts/s, {:.0} revisions/s",
        stack.postgres_url,
        at as f64 / spent[0],
        window_at as f64 / spent[1]
    );
    let (client, connection) = url.connect("measured").await.unwrap();
    tokio::spawn(connection);
    client.batch_execute("VACUUM ANALYZE").await.unwrap();
    print_sizes(&client, at).await;
    println!("with the indexes rebuilt, as those of a closed month are:");
    for table in rebuild::TABLES {
        client.batch_execute(&format!("REINDEX TABLE {table}")).await.unwrap();
    }
    print_sizes(&client, at).await;
}

async fn print_sizes(client: &Client, posts: i64) {
    let sizes = "SELECT regexp_replace(relname, '_(past|future|[0-9]{4}_[0-9]{2})$', ''), sum(pg_table_size(oid))::bigint, \
        sum(pg_indexes_size(oid))::bigint FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace GROUP BY 1 ORDER BY 2 DESC";
    for row in client.query(sizes, &[]).await.unwrap() {
        let (table, heap, indexes): (String, i64, i64) = (row.get(0), row.get(1), row.get(2));
        println!(
            "{table:>24}: {:7.1} rows + {:7.1} indexes, bytes a post",
            heap as f64 / posts as f64,
            indexes as f64 / posts as f64
        );
    }
}
