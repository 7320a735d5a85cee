//! Three replicas as processes of their own, killed and frozen at random: nothing is lost or published twice, no cursor goes back, no source is asked
//! by two at once, no host more often than it may.
//!
//! `VIGIE_TEST_FAULTS` makes it longer, `VIGIE_TEST_SEED` repeats a run.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde::{Deserialize, Serialize};
use vigie_daemon::{Context, LogFormat, init_logging, spawn_signal_handler};
use vigie_kafka_client::{Admin, KafkaConfig, Start, read_to_end};
use vigie_producers::poll::backoff;
use vigie_producers::run;
use vigie_schemas::{Codec, Cursor, RegistryConfig, Topic};

use crate::farm::{Ask, Farm};
use crate::pipeline::{checked, config, posts, prepare};

/// In the environment of a replica: what it is to do.
const ORDER: &str = "VIGIE_TEST_REPLICA";
const SESSION: Duration = Duration::from_millis(2500);
/// Longer than a take-over, so that a new owner that does not wait is caught.
const SPACING: Duration = Duration::from_millis(1500);
/// What the site sees is what a replica did, give or take the time that a request is under way on a busy machine.
const JITTER: Duration = Duration::from_millis(300);
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Clone, Serialize, Deserialize)]
struct Order {
    brokers: String,
    prefix: String,
    registry: String,
    sources: PathBuf,
    contact: String,
}

/// Not a test by itself: the tests below start this program again with an order, and it becomes a replica.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_if_there_is_an_order() {
    let Ok(order) = std::env::var(ORDER) else { return };
    let order: Order = serde_json::from_str(&order).unwrap();
    // Whoever started us holds the other end, and may die.
    std::thread::spawn(|| {
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        std::process::exit(3);
    });
    init_logging(LogFormat::Text, "info");
    let ctx = Context::system();
    spawn_signal_handler(ctx.shutdown.clone());
    let kafka = KafkaConfig::new(order.brokers, order.prefix);
    let registry = RegistryConfig::at(order.registry);
    let config = vigie_producers::Config {
        sources: Some(order.sources),
        list: None,
        contact: Some(order.contact),
        local_spacing_ms: SPACING.as_millis() as u64,
        session_timeout_ms: SESSION.as_millis() as u64,
        reload_seconds: 1,
        ..config(&kafka, &registry, Vec::new())
    };
    run(config.check().unwrap(), ctx).await.unwrap();
}

/// A replica as a process; killed when dropped.
struct Replica {
    name: String,
    starts: u32,
    order: Order,
    log: PathBuf,
    child: Option<Child>,
}

impl Replica {
    fn new(number: usize, order: &Order, folder: &Path) -> Self {
        let name = format!("{}", char::from(b'a' + u8::try_from(number).unwrap()));
        let log = folder.join(format!("{name}.log"));
        Self { name, starts: 0, order: order.clone(), log, child: None }
    }

    /// What it calls itself since its last start.
    fn contact(&self) -> String {
        format!("{}{}", self.name, self.starts)
    }

    fn start(&mut self) {
        self.starts += 1;
        let order = Order { contact: format!("replica-{}@example.org", self.contact()), ..self.order.clone() };
        let log = File::options().create(true).append(true).open(&self.log).unwrap();
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["replicas::a_replica_if_there_is_an_order", "--exact", "--nocapture"])
            .env(ORDER, serde_json::to_string(&order).unwrap())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        self.child = Some(child);
    }

    fn signal(&self, signal: &str) {
        let pid = self.child.as_ref().unwrap().id().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success(), "{signal} {}", self.name);
    }

    /// As a crash would.
    fn kill(&mut self) {
        let mut child = self.child.take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Asks it to stop and waits; whether it ended well.
    async fn stop(&mut self) -> bool {
        self.signal("-TERM");
        let mut child = self.child.take().unwrap();
        // Waiting would close it, which ends a replica at once.
        let alive = child.stdin.take();
        let success = tokio::task::spawn_blocking(move || child.wait().unwrap().success()).await.unwrap();
        drop(alive);
        success
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        if std::thread::panicking() {
            let log = std::fs::read_to_string(&self.log).unwrap_or_default();
            let lines: Vec<&str> = log.lines().collect();
            eprintln!("--- {}\n{}", self.name, lines[lines.len().saturating_sub(40)..].join("\n"));
        }
    }
}

/// Looks again until it is so.
async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let waiting = async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("{what}"));
}

/// Every feed is asked from now on, by someone who is there.
async fn until_all_are_asked(farm: &Farm, replicas: &[Replica]) {
    let seen = farm.asks().len();
    let present: BTreeSet<String> = replicas.iter().map(Replica::contact).collect();
    until("every source is asked again", async || {
        let asks = farm.asks_from(seen);
        let asked: BTreeSet<&str> =
            asks.iter().filter(|ask| present.contains(&ask.by)).map(|ask| ask.feed.as_str()).collect();
        asked.len() == farm.feeds()
    })
    .await;
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_killed_and_frozen_at_random_lose_nothing_repeat_nothing_and_stay_polite() {
    let seed = number("VIGIE_TEST_SEED", backoff::random().random_range(0..1_000_000));
    let faults = number("VIGIE_TEST_FAULTS", 4);
    println!("seed {seed}, {faults} faults");
    let mut random = StdRng::seed_from_u64(seed);
    let stack = tokio::task::spawn_blocking(vigie_stack::testing::shared).await.unwrap();
    let (kafka, registry) = prepare(&stack).await;
    let codec = Codec::connect(&registry, &stack.prefix).await.unwrap();
    let farm = Farm::start(16, seed).await;
    let folder = tempfile::tempdir().unwrap();
    let order = Order {
        brokers: kafka.brokers.clone(),
        prefix: stack.prefix.clone(),
        registry: registry.schema_registry_url.clone(),
        sources: folder.path().join("sources.toml"),
        contact: String::new(),
    };
    std::fs::write(&order.sources, farm.sources()).unwrap();
    let mut replicas: Vec<Replica> = (0..3).map(|number| Replica::new(number, &order, folder.path())).collect();
    replicas.iter_mut().for_each(Replica::start);
    let growing = tokio::spawn({
        let farm = farm.clone();
        async move {
            loop {
                farm.grow();
                tokio::time::sleep(Duration::from_millis(15)).await;
            }
        }
    });
    until_all_are_asked(&farm, &replicas).await;
    until("each replica has sources", async || {
        let by: BTreeSet<String> = farm.asks().into_iter().map(|ask| ask.by).collect();
        by.len() == replicas.len()
    })
    .await;

    let mut frozen = Vec::new();
    for fault in 0..faults {
        let victim = random.random_range(0..replicas.len());
        let name = replicas[victim].contact();
        match fault % 3 {
            0 => {
                // In the middle of a fetch.
                until("the victim asks", async || {
                    farm.asks().iter().rev().take(20).any(|ask| ask.by == name && ask.until.is_none())
                })
                .await;
                replicas[victim].kill();
            }
            1 => {
                // Something new has just been answered: it is being published.
                let seen = farm.asks().len();
                until("the victim gets something new", async || {
                    farm.asks_from(seen).iter().any(|ask| ask.by == name && ask.posts > 0 && ask.until.is_some())
                })
                .await;
                tokio::time::sleep(Duration::from_millis(random.random_range(0..25))).await;
                replicas[victim].kill();
            }
            _ => {
                let from = farm.now();
                replicas[victim].signal("-STOP");
                let others: Vec<String> =
                    replicas.iter().map(Replica::contact).filter(|other| *other != name).collect();
                let seen = farm.asks().len();
                until("the others take the sources of a frozen replica over", async || {
                    let asks = farm.asks_from(seen);
                    let asked: BTreeSet<&str> =
                        asks.iter().filter(|ask| others.contains(&ask.by)).map(|ask| ask.feed.as_str()).collect();
                    asked.len() == farm.feeds()
                })
                .await;
                frozen.push((name.clone(), from, farm.now()));
                replicas[victim].signal("-CONT");
            }
        }
        println!("fault {fault} of {name}");
        if replicas[victim].child.is_none() {
            tokio::time::sleep(Duration::from_millis(random.random_range(0..3000))).await;
            replicas[victim].start();
        }
        until("the victim has sources again", async || {
            let back = replicas[victim].contact();
            let since = frozen.last().map_or(Duration::ZERO, |(_, _, until)| *until);
            farm.asks().iter().rev().take(200).any(|ask| ask.by == back && ask.from > since)
        })
        .await;
        until_all_are_asked(&farm, &replicas).await;
    }
    growing.abort();
    let _ = growing.await;

    let expected: BTreeSet<String> = farm.titles().into_iter().collect();
    until("every post is published", async || {
        let titles: BTreeSet<String> = posts(&kafka, &codec).await.into_iter().filter_map(|post| post.title).collect();
        titles.len() >= expected.len()
    })
    .await;
    let mut all_well = true;
    for replica in &mut replicas {
        all_well &= replica.stop().await;
    }
    assert!(all_well, "every replica stops when asked to");

    let published = posts(&kafka, &codec).await;
    let ids: BTreeSet<&str> = published.iter().map(|post| post.post_id.as_str()).collect();
    let titles: BTreeSet<String> = published.iter().filter_map(|post| post.title.clone()).collect();
    assert_eq!(titles, expected);
    assert_eq!(ids.len(), expected.len(), "a post has one id");
    println!("{} posts, {} raw repeats", ids.len(), published.len() - ids.len());
    assert_eq!(published.len(), ids.len(), "published twice before de-duplication");
    check_cursors(&kafka, &codec).await;
    check_politeness(&farm.asks(), &frozen);
}

/// Of each source: later cursors know more.
async fn check_cursors(kafka: &KafkaConfig, codec: &Codec) {
    let reading = kafka.clone();
    let records = tokio::task::spawn_blocking(move || {
        let records = read_to_end(&reading, Topic::SourcesCursors.name(), &Start::Beginning).unwrap();
        records.map(|record| record.unwrap()).collect::<Vec<_>>()
    });
    let mut last: BTreeMap<String, (i32, Cursor)> = BTreeMap::new();
    let mut count = 0;
    for record in records.await.unwrap() {
        let cursor: Cursor = codec.decode(&record.value.unwrap()).await.unwrap();
        count += 1;
        if let Some((partition, before)) = last.get(&cursor.source) {
            assert_eq!(*partition, record.partition, "{}", cursor.source);
            assert!(cursor.updated_at > before.updated_at, "{before:?} then {cursor:?}");
            let known: BTreeSet<&String> = cursor.recent_ids.iter().collect();
            assert!(before.recent_ids.iter().all(|id| known.contains(id)), "{before:?} then {cursor:?}");
        }
        last.insert(cursor.source.clone(), (record.partition, cursor));
    }
    let used: BTreeSet<i32> = last.values().map(|(partition, _)| *partition).collect();
    println!("{count} cursors of {} sources in {} partitions", last.len(), used.len());
    assert!(used.len() > 2, "sources are spread");
}

fn check_politeness(asks: &[Ask], frozen: &[(String, Duration, Duration)]) {
    let mut by_feed: BTreeMap<&str, Vec<&Ask>> = BTreeMap::new();
    let mut by_host: BTreeMap<&str, Vec<&Ask>> = BTreeMap::new();
    for ask in asks {
        by_feed.entry(&ask.feed).or_default().push(ask);
        by_host.entry(&ask.host).or_default().push(ask);
    }
    let mut moves = 0;
    for asks in by_feed.values() {
        for pair in asks.windows(2) {
            let ended = pair[0].until.unwrap();
            assert!(ended <= pair[1].from, "a source is asked by two at once: {pair:?}");
        }
    }
    let mut closest = Duration::MAX;
    for asks in by_host.values() {
        for pair in asks.windows(2) {
            let gap = pair[1].from - pair[0].from;
            moves += u32::from(pair[0].by != pair[1].by);
            closest = closest.min(gap);
            assert!(gap >= SPACING - JITTER, "{gap:?} between two requests to a host: {pair:?}");
        }
    }
    println!(
        "{} requests, {moves} times a host changed hands, {closest:?} at least between two to one host",
        asks.len()
    );
    assert!(moves > 0);
    for (name, _, woken) in frozen {
        // It has to join the group first, which takes longer.
        let soon = *woken + Duration::from_millis(150);
        let early = asks.iter().find(|ask| ask.by == *name && ask.from > *woken && ask.from < soon);
        assert!(early.is_none(), "{name} woke at {woken:?} and asked for what is not its own: {early:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn cursors_of_another_number_of_partitions_are_found() {
    let stack = tokio::task::spawn_blocking(vigie_stack::testing::shared).await.unwrap();
    let (kafka, registry) = prepare(&stack).await;
    let codec = Codec::connect(&registry, &stack.prefix).await.unwrap();
    let farm = Farm::start(8, 1).await;
    let list = vigie_producers::sources::catalogue::parse(&farm.sources()).unwrap();
    for partitions in [None, Some(11)] {
        if let Some(total) = partitions {
            let growing = kafka.clone();
            let grow =
                move || Admin::new(&growing).unwrap().add_partitions(Topic::SourcesCursors.name(), total).unwrap();
            tokio::task::spawn_blocking(grow).await.unwrap();
        }
        (0..40).for_each(|_| farm.grow());
        let ctx = Context::system();
        let running = tokio::spawn(run(checked(&kafka, &registry, list.clone()), ctx.clone()));
        crate::pipeline::wait_for(&kafka, &codec, farm.titles().len()).await;
        ctx.shutdown.cancel();
        running.await.unwrap().unwrap();
    }
    let published = posts(&kafka, &codec).await;
    let titles: BTreeSet<String> = published.iter().filter_map(|post| post.title.clone()).collect();
    assert_eq!((published.len(), titles), (farm.titles().len(), farm.titles().into_iter().collect()));
}
