//! The whole market, counted by several tasks: the same windows as by one.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use vigie_clock::ManualClock;
use vigie_processors::trends::history::TRUSTED_AFTER;
use vigie_processors::trends::{MarketTopic, TrendsMetrics, TrendsSettings, market_topology, topology};
use vigie_schemas::{Lineage, Mention, TrendInsight, market_key, market_route};
use vigie_streams::testing::TopologyTestDriver;
use vigie_streams::{OutgoingRecord, TumblingWindows};

use crate::fixtures::{FINGERPRINTS, LocalCodec, at, decode, encode, mention};
use crate::trends::settings;

const MENTIONS: &str = "posts.mentions.v1";
const MARKET: &str = "trends.market.v1";
const INSIGHTS: &str = "insights.trends.v1";
const MINUTE: i64 = 60_000;
const WINDOW: i64 = 5 * MINUTE;
const GRACE: i64 = 60 * MINUTE;
const T0: i64 = 1_000_000 * WINDOW;
const IDLE: Duration = Duration::from_secs(60);

/// Both topologies, with as many tasks each; the whole market is spread over them but for `None`.
struct Pipeline {
    partitions: Option<i32>,
    trends: TopologyTestDriver,
    market: TopologyTestDriver,
    revisions: Vec<TrendInsight>,
    /// Records by task of each stage.
    work: [BTreeMap<i32, usize>; 2],
}

impl Pipeline {
    fn new(partitions: Option<i32>, now: i64, emit_interval: Duration) -> Self {
        let settings = TrendsSettings {
            market: MarketTopic::new(partitions.unwrap_or(1)),
            windows: TumblingWindows { size: Duration::from_secs(300), grace: Duration::from_millis(GRACE as u64) },
            emit_interval,
            idle_timeout: IDLE,
            ..settings()
        };
        let clock = ManualClock::new(at(now));
        let metrics = || TrendsMetrics::new(&prometheus::Registry::new());
        let trends = topology(settings.clone(), LocalCodec, metrics()).unwrap();
        let market = market_topology(settings, LocalCodec, metrics()).unwrap();
        Self {
            partitions,
            trends: TopologyTestDriver::new(trends, clock.clone()),
            market: TopologyTestDriver::new(market, clock),
            revisions: Vec::new(),
            work: Default::default(),
        }
    }

    /// Mentions of the whole market, as the sentiment topology writes them.
    fn pipe(&mut self, mentions: &[Mention]) {
        let tasks = self.partitions.unwrap_or(1);
        let mut batches: BTreeMap<i32, Vec<_>> = (0..tasks).map(|task| (task, Vec::new())).collect();
        for sent in mentions {
            // A retraction names no author: the test's posts have one that follows from their id.
            let author = author(&sent.post_id);
            let route = market_route(author.as_deref(), &sent.post_id);
            let key = self.partitions.map_or_else(|| "*".to_owned(), |_| market_key(route));
            let task = (route % tasks as u32) as i32;
            batches.entry(task).or_default().push((Some(Bytes::from(key)), encode(sent), at(T0)));
        }
        for (task, batch) in batches {
            *self.work[0].entry(task).or_default() += batch.len();
            self.trends.pipe_batch(MENTIONS, task, batch).unwrap();
        }
    }

    /// Commits until nothing is left to be read. `seed` chooses in which order the market tasks' records come.
    fn settle(&mut self, seed: u64) {
        self.trends.commit().unwrap();
        let mut sent = self.trends.read(MARKET);
        self.collect();
        while !sent.is_empty() {
            let mut batches: BTreeMap<i32, Vec<OutgoingRecord>> = BTreeMap::new();
            for record in sent {
                batches.entry(record.partition.unwrap()).or_default().push(record);
            }
            let mut batches: Vec<_> = batches.into_iter().collect();
            let turn = seed as usize % batches.len();
            batches.rotate_left(turn);
            for (task, batch) in batches {
                *self.work[1].entry(task).or_default() += batch.len();
                let records = batch.into_iter().map(|record| (record.key, record.value, at(T0)));
                self.market.pipe_batch(MARKET, task, records).unwrap();
            }
            self.market.commit().unwrap();
            sent = self.market.read(MARKET);
            self.collect();
        }
    }

    fn collect(&mut self) {
        for driver in [&mut self.trends, &mut self.market] {
            self.revisions.extend(decode::<TrendInsight>(&driver.read(INSIGHTS)));
        }
    }

    /// Time passes by the wall clock. Both drivers have the same clock.
    fn wait(&mut self, by: Duration) {
        self.trends.advance(by).unwrap();
    }

    /// The last revision of each window, apart from how it came about; revisions go up by one.
    fn windows(&self) -> BTreeMap<i64, TrendInsight> {
        let mut last: BTreeMap<i64, TrendInsight> = BTreeMap::new();
        for insight in &self.revisions {
            assert_eq!(insight.asset, "*");
            let start = insight.window_start.as_millis();
            let before = last.get(&start);
            assert_eq!(insight.revision, before.map_or(1, |before| before.revision + 1));
            assert!(!before.is_some_and(|before| before.r#final), "nothing follows the final revision");
            last.insert(start, insight.clone());
        }
        for insight in last.values_mut() {
            insight.revision = 0;
            insight.emitted_at = at(0);
            let of = &insight.lineage;
            let lineage = Lineage {
                input_topic: String::new(),
                input_partition: 0,
                first_offset: 0,
                last_offset: 0,
                ..of.clone()
            };
            insight.lineage = lineage;
        }
        last
    }

    fn changelog_bytes(driver: &TopologyTestDriver, stores: &[&str], task: i32) -> usize {
        let writes = stores.iter().flat_map(|store| driver.changelog(store, task));
        writes.map(|(key, value)| key.len() + value.map_or(0, |value| value.len())).sum()
    }

    /// Bytes of the changelogs of each task, of both stages together.
    fn bytes(&self) -> Vec<usize> {
        (0..self.partitions.unwrap_or(1))
            .map(|task| {
                Self::changelog_bytes(&self.trends, &["windows", "authors", "posts", "histories", "progress"], task)
                    + Self::changelog_bytes(
                        &self.market,
                        &["windows", "posts", "histories", "shares", "copies", "progress"],
                        task,
                    )
            })
            .collect()
    }
}

fn author(post_id: &str) -> Option<String> {
    let post: usize = post_id[1..].parse().unwrap();
    (!post.is_multiple_of(9)).then(|| format!("author-{}", post % 97))
}

/// Pseudo-random numbers.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

fn post(number: usize, published_at: i64, dice: &mut Dice) -> Mention {
    let mention = mention("*", number, (number % 3) as i32, at(published_at));
    let own = dice.below(u64::MAX >> 33) << 32 | dice.below(u64::MAX >> 33);
    let fingerprint = match dice.below(4) {
        0 => None,
        1 => Some(FINGERPRINTS[dice.below(6) as usize]),
        _ => Some(own.cast_signed()),
    };
    Mention { author_id: author(&mention.post_id), fingerprint, spam: dice.below(9) == 0, ..mention }
}

/// Mentions of `posts` posts of four hours, a tenth of them late by up to a quarter of one, some edited and some deleted, in batches.
fn story(posts: usize, seed: u64) -> Vec<Vec<Mention>> {
    let mut dice = Dice(seed);
    let mut latest: Vec<Mention> = Vec::new();
    let mut batches = vec![Vec::new()];
    for number in 0..posts {
        let now = T0 + 240 * MINUTE * number as i64 / posts as i64;
        let back = if dice.below(10) == 0 { dice.below(15 * MINUTE as u64) as i64 } else { 0 };
        latest.push(post(number, now - back, &mut dice));
        let mut sent = vec![latest[number].clone()];
        if number > 20 && dice.below(12) == 0 {
            let last = &mut latest[number - 1 - dice.below(20) as usize];
            let next = Mention { revision: last.revision + 1, ..last.clone() };
            *last = match dice.below(2) {
                0 => Mention { retracted: true, author_id: None, label: None, score: None, fingerprint: None, ..next },
                _ => Mention { fingerprint: Some(FINGERPRINTS[dice.below(6) as usize]), ..next },
            };
            sent.push(last.clone());
        }
        if dice.below(7) == 0 {
            batches.push(Vec::new());
        }
        batches.last_mut().unwrap().extend(sent);
    }
    batches
}

/// The whole story, and then what moves event time past the grace; the last of it comes to every task.
fn run(partitions: Option<i32>, batches: &[Vec<Mention>], seed: u64, disturb: bool) -> Pipeline {
    let mut pipeline = Pipeline::new(partitions, T0, Duration::ZERO);
    let mut dice = Dice(seed);
    pipeline.wait(TRUSTED_AFTER);
    for (number, batch) in batches.iter().enumerate() {
        pipeline.pipe(batch);
        if disturb && number % 50 == 49 {
            pipeline.trends.abort().unwrap();
            pipeline.market.restart().unwrap();
        }
        pipeline.wait(Duration::from_millis(dice.below(900)));
        if disturb && number % 60 == 59 {
            pipeline.settle(seed);
            pipeline.trends.restart().unwrap();
            pipeline.market.abort().unwrap();
        }
        if dice.below(3) == 0 {
            pipeline.settle(dice.below(64));
        }
    }
    pipeline.settle(0);
    pipeline.wait(Duration::from_secs(300 * 60));
    let closing: Vec<Mention> =
        (100_000..100_400).map(|number| post(number, T0 + 240 * MINUTE + GRACE + WINDOW, &mut dice)).collect();
    pipeline.pipe(&closing);
    pipeline.settle(0);
    pipeline
}

#[test]
fn any_number_of_tasks_counts_the_whole_market_as_one_does() {
    for seed in 1..4 {
        let batches = story(700, seed);
        let alone = run(None, &batches, seed, false);
        let expected = alone.windows();
        assert!(expected.values().filter(|window| window.r#final).count() >= 48, "{}", expected.len());
        let copies = expected.values().map(|w| w.posts - w.spam_posts.unwrap() - w.unique_posts.unwrap()).sum::<i64>();
        assert!(copies > 50, "{copies} copies");
        for (partitions, disturb) in [(1, false), (4, false), (16, false), (4, true)] {
            let spread = run(Some(partitions), &batches, seed, disturb);
            let found = spread.windows();
            for (start, window) in &expected {
                assert_eq!(counts(found.get(start)), counts(Some(window)), "{partitions} tasks, seed {seed}, {start}");
            }
            assert_eq!(found.len(), expected.len());
            assert_eq!((spread.trends.late() + spread.market.late(), alone.trends.late()), (0, 0));
        }
    }
}

#[test]
fn nothing_is_sent_until_a_share_comes_and_then_by_every_task() {
    let mut dice = Dice(1);
    let mut pipeline = Pipeline::new(None, T0, Duration::ZERO);
    pipeline.pipe(&[post(1, T0, &mut dice)]);
    pipeline.trends.commit().unwrap();
    assert_eq!(pipeline.trends.read(MARKET).len(), 0);
    pipeline.collect();
    assert_eq!(pipeline.windows()[&T0].posts, 1);

    let mut pipeline = Pipeline::new(Some(4), T0, Duration::ZERO);
    for task in 0..4 {
        let other = encode(&Mention { asset: "BTC".into(), ..post(task, T0, &mut dice) });
        pipeline.trends.pipe_batch(MENTIONS, task as i32, [(Some(Bytes::from("BTC")), other, at(T0))]).unwrap();
    }
    pipeline.trends.commit().unwrap();
    assert_eq!(pipeline.trends.read(MARKET).len(), 0);
    pipeline.pipe(&[post(1, T0, &mut dice)]);
    pipeline.trends.commit().unwrap();
    let sent = pipeline.trends.read(MARKET);
    let first = sent.iter().filter(|record| record.partition == Some(0)).count();
    assert!(first >= 4, "each task announces its progress to each partition: {sent:?}");
}

#[test]
fn a_share_without_its_topic_stops_the_task_and_says_what_to_do() {
    let settings = TrendsSettings { market: MarketTopic::new(0), ..settings() };
    let trends = topology(settings, LocalCodec, TrendsMetrics::new(&prometheus::Registry::new())).unwrap();
    let mut driver = TopologyTestDriver::new(trends, ManualClock::new(at(T0)));
    let sent = post(1, T0, &mut Dice(1));
    let mut pipe = |key: String| driver.pipe_batch(MENTIONS, 0, [(Some(Bytes::from(key)), encode(&sent), at(T0))]);
    pipe("*".to_owned()).unwrap();
    let error = pipe(market_key(7)).unwrap_err().to_string();
    assert!(error.contains("vigie topics apply"), "{error}");
}

/// All that depends on the posts alone, and not on when each was judged.
fn counts(insight: Option<&TrendInsight>) -> Option<TrendInsight> {
    let insight = insight?.clone();
    Some(TrendInsight { anomaly_score: None, expected_posts: None, no_forecast_reason: None, ..insight })
}

#[test]
fn a_task_without_posts_does_not_hold_windows_open_and_what_comes_then_is_late() {
    let mut dice = Dice(1);
    let mut pipeline = Pipeline::new(Some(4), T0 + 2 * GRACE, Duration::ZERO);
    let task = |number: usize| market_route(author(&format!("p{number}")).as_deref(), &format!("p{number}")) % 4;
    let of: Vec<Vec<usize>> = (0..4).map(|of| (1..400).filter(|number| task(*number) == of).collect()).collect();
    let one = post(of[1][0], T0, &mut dice);
    pipeline.pipe(&[one]);
    pipeline.settle(0);
    assert_eq!(pipeline.windows()[&T0].posts, 1);
    pipeline.pipe(&[post(of[2][0], T0 + GRACE + 2 * WINDOW, &mut dice)]);
    pipeline.settle(0);
    assert!(!pipeline.windows()[&T0].r#final, "task 1 may still get posts of that window");
    pipeline.pipe(&[post(of[1][1], T0 + MINUTE, &mut dice)]);
    pipeline.settle(0);
    assert_eq!((pipeline.windows()[&T0].posts, pipeline.market.late()), (2, 0));
    pipeline.wait(IDLE);
    pipeline.settle(0);
    let closed = pipeline.windows()[&T0].clone();
    assert_eq!((closed.posts, closed.r#final), (2, true));
    // Tasks 1 and 3 are behind: by their own watermark the window is open.
    pipeline.pipe(&[post(of[1][2], T0, &mut dice), post(of[1][3], T0, &mut dice), post(of[3][0], T0, &mut dice)]);
    pipeline.settle(0);
    assert_eq!((pipeline.market.late(), pipeline.trends.late()), (3, 0));
    assert_eq!(pipeline.windows()[&T0], closed);
}

/// The figures of docs/adr/0020: `cargo test -p vigie-processors --test topologies no_task_has -- --nocapture`.
#[test]
fn no_task_has_much_more_work_than_another() {
    const POSTS: usize = 6000;
    // A hundred posts a second, a tenth of them copies of fifty texts, in commits of half a second.
    let mut dice = Dice(7);
    let texts: Vec<i64> = (0..50).map(|_| (dice.below(1 << 31) << 32 | dice.below(1 << 31)).cast_signed()).collect();
    let posts: Vec<Mention> = (0..POSTS)
        .map(|number| {
            let own = Some((dice.below(1 << 31) << 33 | dice.below(1 << 31) << 2 | 1).cast_signed());
            let copied = (dice.below(10) == 0).then(|| texts[dice.below(50) as usize]);
            let at = T0 + number as i64 * 10;
            Mention { fingerprint: copied.or(own), ..post(number, at, &mut dice) }
        })
        .collect();
    let mut shares = Vec::new();
    for partitions in [None, Some(4), Some(16)] {
        let mut pipeline = Pipeline::new(partitions, T0, Duration::from_secs(2));
        for batch in posts.chunks(50) {
            pipeline.wait(Duration::from_millis(500));
            pipeline.pipe(batch);
            pipeline.settle(0);
        }
        let bytes = pipeline.bytes();
        let (sum, most) = (bytes.iter().sum::<usize>(), bytes.iter().max().copied().unwrap());
        let ratio = most as f64 * bytes.len() as f64 / sum as f64;
        let tasks = partitions.map_or_else(|| "one task".to_owned(), |partitions| format!("{partitions} tasks"));
        println!(
            "{tasks}: {} B of changelog a post, {} B of the task with most, {ratio:.2} times the mean; records {:?}",
            sum / POSTS,
            most / POSTS,
            pipeline.work
        );
        shares.push((most, ratio));
    }
    let [(alone, _), (four, _), (sixteen, _)] = shares[..] else { unreachable!("three were run") };
    assert!(four * 4 < alone * 3 && sixteen * 2 < alone, "{shares:?}");
}
