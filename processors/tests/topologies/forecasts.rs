//! Forecasts in the topology. Needs libonnxruntime, which `./dev test` provides (or `ORT_DYLIB_PATH`).

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use vigie_clock::ManualClock;
use vigie_processors::forecast::{ForecastModel, SharedForecaster};
use vigie_processors::trends::batch::Batch;
use vigie_processors::trends::history::TRUSTED_AFTER;
use vigie_processors::trends::{TrendsMetrics, TrendsSettings, topology};
use vigie_schemas::{Forecast, Mention, TrendInsight};
use vigie_streams::TumblingWindows;
use vigie_streams::testing::TopologyTestDriver;

use crate::fixtures::{LocalCodec, at, decode, encode, mention};
use crate::trends::settings;

const MENTIONS: &str = "posts.mentions.v1";
const INSIGHTS: &str = "insights.trends.v1";
const MINUTE: i64 = 60_000;
/// Start of a window.
const T0: i64 = 1_000_000 * 5 * MINUTE;
const WINDOWS: TumblingWindows =
    TumblingWindows { size: Duration::from_secs(300), grace: Duration::from_secs(6 * 3600) };

fn forecaster() -> SharedForecaster {
    SharedForecaster::new(ForecastModel::bundled(None).expect("the bundled model loads"))
}

fn driver() -> TopologyTestDriver {
    let settings = TrendsSettings { forecaster: Some(forecaster()), ..settings() };
    let topology = topology(settings, LocalCodec, TrendsMetrics::new(&prometheus::Registry::new())).unwrap();
    TopologyTestDriver::new(topology, ManualClock::new(at(T0 + 48 * 60 * MINUTE)))
}

/// Mentions of window `n`: one asset always, one now and then.
fn window(n: i64) -> Vec<Mention> {
    let start = T0 + n * 5 * MINUTE;
    let of = |asset: &str, posts: i64| {
        (0..posts).map(|i| mention(asset, (n * 100 + i) as usize, 0, at(start + i))).collect::<Vec<_>>()
    };
    let mut mentions = of("BTC", 2 + n % 5 + if n == 40 { 60 } else { 0 });
    mentions.extend(of("ETH", if n % 4 == 0 { 3 } else { 0 }));
    mentions
}

fn commit(driver: &mut TopologyTestDriver, mentions: &[Mention]) -> Vec<TrendInsight> {
    let records = mentions.iter().map(|m| (Some(Bytes::from(m.asset.clone())), encode(m), at(T0)));
    driver.pipe_batch(MENTIONS, 0, records).unwrap();
    driver.commit().unwrap();
    decode(&driver.read(INSIGHTS))
}

type Said = BTreeMap<(String, i64), (Option<Forecast>, Option<String>)>;

fn said(insights: impl IntoIterator<Item = TrendInsight>) -> Said {
    let one = |i: TrendInsight| ((i.asset, i.window_start.as_millis()), (i.forecast, i.no_forecast_reason));
    insights.into_iter().map(one).collect()
}

#[test]
fn the_live_run_and_a_replay_of_it_forecast_the_same() {
    const LAST: i64 = 60;
    let mut driver = driver();
    let mut emitted = commit(&mut driver, &window(0));
    driver.advance(TRUSTED_AFTER).unwrap();
    let mut batch = Batch::default();
    window(0).iter().for_each(|mention| batch.add(&WINDOWS, mention, 0).unwrap());
    for n in 1..=LAST {
        emitted.extend(commit(&mut driver, &window(n)));
        window(n).iter().for_each(|mention| batch.add(&WINDOWS, mention, 0).unwrap());
        if n % 17 == 0 {
            driver.restart().unwrap();
        }
    }
    // Far enough ahead for all to settle and to close.
    emitted.extend(commit(&mut driver, &window(LAST + 100)));
    let mut live = said(emitted);
    live.retain(|(_, start), _| *start <= T0 + LAST * 5 * MINUTE);
    let policy = settings().policy;
    let (insights, _) =
        batch.insights(&WINDOWS, "replay-1", (MENTIONS, 0), at(0), policy, Some(&forecaster())).unwrap();
    let replayed = said(insights);
    assert_eq!(live.keys().collect::<Vec<_>>(), replayed.keys().collect::<Vec<_>>());
    for (window, forecast) in &live {
        assert_eq!(forecast, &replayed[window], "{window:?}");
    }
    let given = replayed.values().filter(|(forecast, _)| forecast.is_some()).count();
    assert!(given > 50, "{given} forecasts");
    let young: Vec<_> = replayed.values().filter_map(|(_, reason)| reason.as_deref()).collect();
    assert!(young.len() >= 10 && young.iter().all(|reason| *reason == "short_history"), "{young:?}");
}

#[test]
fn a_forecast_comes_when_its_window_has_settled_without_any_new_mention_of_the_asset() {
    let mut driver = driver();
    commit(&mut driver, &window(0));
    driver.advance(TRUSTED_AFTER).unwrap();
    for n in 1..29 {
        let emitted = commit(&mut driver, &window(n));
        let open = emitted.iter().filter(|i| i.window_start == at(T0 + n * 5 * MINUTE));
        assert!(open.map(|i| i.no_forecast_reason.as_deref()).all(|reason| reason == Some("settling")));
    }
    // Window 28 is the last with ETH; only BTC goes on.
    let btc = |n| window(n).into_iter().filter(|m| m.asset == "BTC").collect::<Vec<_>>();
    assert!(said(commit(&mut driver, &btc(29))).keys().all(|(asset, _)| asset == "BTC"));
    assert!(said(commit(&mut driver, &btc(30))).keys().all(|(asset, _)| asset == "BTC"));
    let settled = commit(&mut driver, &btc(31));
    let eth: Vec<_> = settled.iter().filter(|i| i.asset == "ETH").collect();
    assert_eq!(eth.len(), 1, "{settled:?}");
    assert_eq!(eth[0].window_start, at(T0 + 28 * 5 * MINUTE));
    let forecast = eth[0].forecast.as_ref().unwrap();
    assert!(forecast.next_hour_p10 <= forecast.next_hour_p50 && forecast.next_hour_p50 <= forecast.next_hour_p90);
    assert_eq!(forecast.model_sha256.len(), 64);
    assert!(said(commit(&mut driver, &btc(32))).keys().all(|(asset, _)| asset == "BTC"), "it is given once");
}

#[test]
fn posts_that_come_late_do_not_undo_a_forecast_and_a_window_of_late_posts_says_so() {
    let mut driver = driver();
    commit(&mut driver, &window(0));
    driver.advance(TRUSTED_AFTER).unwrap();
    let mut emitted: Vec<_> = (1..30).flat_map(|n| commit(&mut driver, &window(n))).collect();
    emitted.extend(commit(&mut driver, &[mention("BTC", 9_000, 0, at(T0 + 21 * 5 * MINUTE))]));
    emitted.extend(commit(&mut driver, &[mention("ETH", 9_001, 0, at(T0 + 21 * 5 * MINUTE))]));
    let said = said(emitted);
    let of = |asset: &str| &said[&(asset.to_owned(), T0 + 21 * 5 * MINUTE)];
    assert!(of("BTC").0.is_some());
    assert_eq!(of("ETH"), &(None, Some("late_posts".to_owned())));
}
