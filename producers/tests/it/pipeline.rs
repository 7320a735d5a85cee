//! From a web site to Kafka: a crash at any moment loses nothing and sends nothing twice.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use vigie_authors::AuthorKey;
use vigie_daemon::{Context, SecretArg, ServiceError};
use vigie_kafka_client::{Admin, KafkaConfig, Start, TopicSpec, read_to_end};
use vigie_producers::{Checked, Config, Kind, SourceConfig, run};
use vigie_sample::{Archive, Site, SiteConfig};
use vigie_schemas::{Codec, FetchRecord, RawPost, RegistryConfig, Topic, register_schemas};
use vigie_stack::testing::TestStack;

use crate::recorded;
use crate::server::{Subreddit, serve, source};

pub(crate) async fn prepare(stack: &TestStack) -> (KafkaConfig, RegistryConfig) {
    let kafka = KafkaConfig::new(stack.brokers.clone(), stack.prefix.clone());
    let registry = RegistryConfig::at(stack.registry_url.clone());
    if let Ok(filter) = std::env::var("VIGIE_LOG") {
        vigie_daemon::init_logging(vigie_daemon::LogFormat::Text, &filter);
    }
    // Shown of a test that fails; the first test has set it for all.
    let _ = tracing_subscriber::fmt().with_test_writer().try_init();
    register_schemas(&registry, &stack.prefix).await.unwrap();
    let created = kafka.clone();
    tokio::task::spawn_blocking(move || {
        let specs: Vec<TopicSpec> = [Topic::PostsRaw, Topic::SourcesCursors, Topic::SourcesFetches, Topic::AuthorsKeys]
            .into_iter()
            .flat_map(Topic::configs)
            .map(|config| TopicSpec {
                name: config.name,
                partitions: config.partitions,
                replication: 1,
                config: config.config,
            })
            .collect();
        Admin::new(&created).unwrap().create_topics(&specs).unwrap();
    })
    .await
    .unwrap();
    (kafka, registry)
}

const AUTHOR_KEY: &str = "the key of the test";

fn author_key() -> AuthorKey {
    AUTHOR_KEY.parse().unwrap()
}

fn keyring_text() -> String {
    format!("1 {}", "01".repeat(32))
}

pub(crate) fn config(kafka: &KafkaConfig, registry: &RegistryConfig, list: Vec<SourceConfig>) -> Config {
    Config {
        sources: None,
        list: Some(list),
        contact: None,
        concurrency: 8,
        max_body_mib: 16,
        host_spacing_ms: 1000,
        listen_ms: 200,
        render: false,
        chromium: None,
        local_spacing_ms: 2,
        session_timeout_ms: 3000,
        reload_seconds: 0,
        proxy: None,
        author: SecretArg::text(AUTHOR_KEY),
        keyring: SecretArg::text(keyring_text()),
        kafka: kafka.clone(),
        registry: registry.clone(),
    }
}

/// The same, checked.
pub(crate) fn checked(kafka: &KafkaConfig, registry: &RegistryConfig, list: Vec<SourceConfig>) -> Checked {
    config(kafka, registry, list).check().unwrap()
}

/// The values of a topic, committed ones only.
pub(crate) async fn values(kafka: &KafkaConfig, topic: Topic) -> Vec<(String, Vec<u8>)> {
    let kafka = kafka.clone();
    let read = move || {
        // A topic that was just made may not be known to the broker that is asked.
        let mut tries = 0;
        let records = loop {
            match read_to_end(&kafka, topic.name(), &Start::Beginning) {
                Err(error) if tries < 100 && error.to_string().contains("there is no topic") => tries += 1,
                other => break other.unwrap(),
            }
            std::thread::sleep(Duration::from_millis(50));
        };
        records
            .map(|record| record.unwrap())
            // A record without a value says that a post is gone.
            .filter_map(|r| Some((String::from_utf8(r.key?.to_vec()).unwrap(), r.value?.to_vec())))
            .collect()
    };
    tokio::task::spawn_blocking(read).await.unwrap()
}

pub(crate) async fn posts(kafka: &KafkaConfig, codec: &Codec) -> Vec<RawPost> {
    let mut posts = Vec::new();
    for (key, value) in values(kafka, Topic::PostsRaw).await {
        let post: RawPost = codec.decode(&value).await.unwrap();
        assert_eq!(post.post_id, key);
        posts.push(post);
    }
    posts
}

/// Drops the producers at a counted event, as a crash would: in even rounds once `counted` has gone up by `more`, so mostly in a fetch;
/// in odd ones once a transaction has made it `wanted` posts, so before what follows a commit.
pub(crate) async fn crash(
    running: JoinHandle<Result<(), ServiceError>>,
    round: usize,
    (counted, more): (&watch::Sender<usize>, usize),
    (kafka, codec): (&KafkaConfig, &Codec),
    wanted: usize,
) {
    if round.is_multiple_of(2) {
        let mut counted = counted.subscribe();
        let enough = *counted.borrow() + more;
        let counting = counted.wait_for(|counted| *counted >= enough);
        tokio::time::timeout(Duration::from_secs(120), counting).await.expect("it is counted in time").unwrap();
    } else {
        wait_for(kafka, codec, wanted).await;
    }
    running.abort();
    let _ = running.await;
}

/// Reads until that many posts are there.
pub(crate) async fn wait_for(kafka: &KafkaConfig, codec: &Codec, expected: usize) -> Vec<RawPost> {
    let reading = async {
        loop {
            let all = posts(kafka, codec).await;
            if all.len() >= expected {
                return all;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(120), reading).await.expect("all posts are published in time")
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_producers_publish_every_post_exactly_once() {
    let stack = tokio::task::spawn_blocking(vigie_stack::testing::shared).await.unwrap();
    let (kafka, registry) = prepare(&stack).await;
    let subreddit = Subreddit::default();
    subreddit.grow(700);
    let base = serve(subreddit.router()).await;
    let list = vec![
        SourceConfig { max_pages: 3, ..source("sub", Kind::Reddit, base.join("r/test/new.json").unwrap()) },
        source("dead", Kind::Rss, base.join("no-such-feed").unwrap()),
    ];
    let codec = Codec::connect(&registry, &stack.prefix).await.unwrap();
    for round in 0..6 {
        let running = tokio::spawn(run(checked(&kafka, &registry, list.clone()), Context::system()));
        crash(running, round, (&subreddit.answers, 1 + round), (&kafka, &codec), 700 + 130 * round).await;
        subreddit.grow(130);
    }
    let ctx = Context::system();
    let running = tokio::spawn(run(checked(&kafka, &registry, list), ctx.clone()));
    let expected = 700 + 6 * 130;
    let all = wait_for(&kafka, &codec, expected).await;
    assert!(ctx.health.report().ready, "{:?}", ctx.health.report());
    ctx.shutdown.cancel();
    let stopped = tokio::time::timeout(Duration::from_secs(10), running).await.expect("drains within 10 s").unwrap();
    stopped.unwrap();

    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for post in &all {
        *counts.entry(post.post_id.clone()).or_default() += 1;
    }
    let wanted: BTreeMap<String, usize> = (1..=expected).map(|n| (format!("reddit:t3_{n}"), 1)).collect();
    assert_eq!(counts, wanted);

    let mut decisions: BTreeMap<(String, String), i64> = BTreeMap::new();
    for (key, value) in values(&kafka, Topic::SourcesFetches).await {
        let record: FetchRecord = codec.decode(&value).await.unwrap();
        *decisions.entry((key, record.decision)).or_default() += record.posts_new;
    }
    assert_eq!(
        decisions.get(&("sub".into(), "fetched".into())),
        Some(&i64::try_from(expected).unwrap()),
        "the ledger adds up"
    );
    assert!(decisions.contains_key(&("dead".into(), "failed".into())), "{decisions:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_whole_archive_reaches_kafka_exactly_once_through_a_crash() {
    let Some(folder) = recorded::folder() else { return };
    let folder = folder.join("posts");
    let stack = tokio::task::spawn_blocking(vigie_stack::testing::shared).await.unwrap();
    let (kafka, registry) = prepare(&stack).await;
    let ctx = Context::system();
    let site_config = SiteConfig { archive: Some(folder.clone()), archive_rate: 8000.0, ..SiteConfig::default() };
    let site = Site::start(&site_config, ctx.clock.clone(), ctx.shutdown.clone()).await.unwrap();
    let first = tokio::spawn(run(checked(&kafka, &registry, site.sources()), Context::system()));
    while site.progress().unwrap().released < 30_000 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    first.abort();
    let _ = first.await;
    let second = tokio::spawn(run(checked(&kafka, &registry, site.sources()), ctx.clone()));
    let codec = Codec::connect(&registry, &stack.prefix).await.unwrap();
    let total = site.progress().unwrap().total;
    let reading = async {
        while published(&kafka, &codec).await < total {
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(240), reading).await.expect("all of the archive is published in time");
    ctx.shutdown.cancel();
    second.await.unwrap().unwrap();

    let archive = Archive::load(&folder, 1.0).unwrap();
    let comments = archive.items().iter().filter(|item| item.is_comment).count();
    assert_eq!((archive.items().len() - comments, comments), (7_328, 104_517));
    let mut expected: BTreeMap<String, _> =
        archive.items().iter().map(|item| (format!("reddit:{}", item.name), item)).collect();
    for post in posts(&kafka, &codec).await {
        let item = expected.remove(&post.post_id).unwrap_or_else(|| panic!("{} came twice", post.post_id));
        assert_eq!(post.published_at.as_millis(), (item.created_utc * 1000.0) as i64);
        assert_eq!(post.author_id, author_key().pseudonym("reddit", &post.source, &item.author));
        assert!(post.author.is_none() && post.author_sealed.is_some() == post.author_id.is_some());
        assert!(post.sample && post.kind == "reddit");
    }
    assert!(expected.is_empty(), "{} are missing", expected.len());
}

/// The posts that the fetch ledger says were published.
async fn published(kafka: &KafkaConfig, codec: &Codec) -> usize {
    let mut sum = 0;
    for (_, value) in values(kafka, Topic::SourcesFetches).await {
        let record: FetchRecord = codec.decode(&value).await.unwrap();
        sum += usize::try_from(record.posts_new).unwrap();
    }
    sum
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_outage_is_waited_out_and_nothing_is_published_twice() {
    let evidence = vigie_stack::testing::Evidence::new();
    let stack = vigie_stack::Stack::start(evidence.stack()).await.unwrap();
    let endpoints = stack.endpoints();
    let place = TestStack {
        brokers: endpoints.kafka_brokers.clone(),
        postgres_url: endpoints.postgres_url.clone(),
        redis_url: endpoints.redis_url.clone(),
        registry_url: endpoints.registry_url.clone(),
        prefix: "outage-".to_owned(),
    };
    let (kafka, registry) = prepare(&place).await;
    let codec = Codec::connect(&registry, &place.prefix).await.unwrap();
    let subreddit = Subreddit::default();
    subreddit.grow(100);
    let base = serve(subreddit.router()).await;
    let ctx = Context::system();
    let list = vec![source("sub", Kind::Reddit, base.join("r/test/new.json").unwrap())];
    let running = tokio::spawn(run(checked(&kafka, &registry, list), ctx.clone()));
    wait_for(&kafka, &codec, 100).await;

    let broker = stack.server(vigie_stack::ServerKind::Kafka(1)).unwrap();
    subreddit.grow(100);
    broker.restart().await.unwrap();
    subreddit.grow(100);
    broker.kill();
    broker.wait_ready().await.unwrap();
    subreddit.grow(100);
    let all = wait_for(&kafka, &codec, 400).await;
    let ids: std::collections::BTreeSet<&str> = all.iter().map(|post| post.post_id.as_str()).collect();
    assert_eq!((all.len(), ids.len()), (400, 400));
    ctx.shutdown.cancel();
    tokio::time::timeout(Duration::from_secs(10), running).await.expect("drains within 10 s").unwrap().unwrap();
    stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unreachable_registry_is_reported_at_the_start_with_exit_code_69() {
    let kafka = KafkaConfig::new("127.0.0.1:1", "x-");
    let registry = RegistryConfig::at("http://127.0.0.1:1");
    let base = serve(Subreddit::default().router()).await;
    let error =
        run(checked(&kafka, &registry, vec![source("s", Kind::Reddit, base)]), Context::system()).await.unwrap_err();
    assert_eq!(error.exit_code(), 69, "{error}");
}
