//! A changed list of sources is used without a restart.

use std::time::Duration;

use vigie_daemon::Context;
use vigie_producers::{Config, run};

use crate::farm::Farm;
use crate::pipeline::{config, prepare};

async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let waiting = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), waiting).await.unwrap_or_else(|_| panic!("{what}"));
}

fn gauge(ctx: &Context, name: &str) -> f64 {
    let families = ctx.metrics.gather();
    let family = families.iter().find(|family| family.name() == name).unwrap();
    family.get_metric()[0].get_gauge().get_value()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_file_adds_and_removes_sources_and_a_broken_one_changes_nothing() {
    let stack = tokio::task::spawn_blocking(vigie_stack::testing::shared).await.unwrap();
    let (kafka, registry) = prepare(&stack).await;
    let farm = Farm::start(3, 1).await;
    let all = farm.sources();
    let entries: Vec<&str> = all.split("\n\n").filter(|entry| !entry.trim().is_empty()).collect();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sources.toml");
    std::fs::write(&file, entries[..2].join("\n")).unwrap();
    let ctx = Context::system();
    let config =
        Config { sources: Some(file.clone()), list: None, reload_seconds: 1, ..config(&kafka, &registry, Vec::new()) };
    let running = tokio::spawn(run(config.check().unwrap(), ctx.clone()));
    let asked = |feed: &str, seen: usize| farm.asks_from(seen).iter().filter(|ask| ask.feed == feed).count();
    until("the first two are asked", || asked("h1-f0", 0) > 0 && asked("h2-f0", 0) > 0).await;
    assert_eq!(asked("h3-f0", 0), 0);

    let (seen, starts) = (farm.asks().len(), gauge(&ctx, "vigie_producers_sources_owned"));
    std::fs::write(&file, entries[1..].join("\n")).unwrap();
    until("the third is asked", || asked("h3-f0", 0) > 0).await;
    assert_eq!((starts, gauge(&ctx, "vigie_producers_sources_owned")), (2.0, 2.0));
    let gone = farm.asks().len();
    until("the second is asked as before", || asked("h2-f0", gone) > 2).await;
    assert_eq!(asked("h1-f0", gone), 0, "the first is asked no more");
    let second = farm.asks_from(seen).into_iter().filter(|ask| ask.feed == "h2-f0");
    assert!(second.skip(1).all(|ask| ask.posts == 0), "it went on from where it was");

    std::fs::write(&file, format!("{}\n[[source]]\nid = \"x\"\n", entries[0])).unwrap();
    until("the mistake is seen", || gauge(&ctx, "vigie_producers_sources_file_invalid") > 0.0).await;
    let seen = farm.asks().len();
    until("the others are asked as before", || asked("h2-f0", seen) > 1 && asked("h3-f0", seen) > 1).await;
    assert_eq!(asked("h1-f0", seen), 0);
    assert!(ctx.health.report().ready, "{:?}", ctx.health.report());
    assert!(ctx.health.degraded("sources-file").is_some_and(|why| why.contains("earlier list")), "{:?}", ctx.health);

    std::fs::write(&file, &all).unwrap();
    until("the first is asked again", || asked("h1-f0", seen) > 0).await;
    assert_eq!(gauge(&ctx, "vigie_producers_sources_file_invalid"), 0.0);
    assert_eq!(ctx.health.degraded("sources-file"), None);
    let again = farm.asks_from(seen).into_iter().find(|ask| ask.feed == "h1-f0").unwrap();
    assert_eq!(again.posts, 0, "its cursor was kept");
    ctx.shutdown.cancel();
    running.await.unwrap().unwrap();
}
