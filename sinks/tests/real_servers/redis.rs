//! What the hot views hold.

use fred::clients::Client;
use fred::interfaces::{
    ClientLike, HashesInterface, KeysInterface, LuaInterface, SortedSetsInterface, StreamsInterface,
};
use fred::types::Builder;
use fred::types::config::Config;
use serde_json::Value;
use vigie_schemas::Topic;

use crate::harness::{Pipeline, eventually};
use crate::records::{T0, WINDOW, alert, post, trend};

struct Views {
    client: Client,
    prefix: String,
}

impl Views {
    async fn of(pipeline: &Pipeline) -> Self {
        let client = Builder::from_config(Config::from_url(&pipeline.stack.redis_url).unwrap()).build().unwrap();
        client.init().await.unwrap();
        Self { client, prefix: pipeline.stack.prefix.clone() }
    }

    fn key(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    async fn windows(&self, asset: &str) -> Vec<(i64, i64)> {
        let key = self.key(&format!("windows:{asset}"));
        let windows: Vec<String> = self.client.zrange(key, 0, -1, None, false, None, false).await.unwrap();
        let parse = |json: &String| serde_json::from_str::<Value>(json).unwrap();
        windows.iter().map(parse).map(|w| (w["revision"].as_i64().unwrap(), w["posts"].as_i64().unwrap())).collect()
    }

    async fn leaderboard(&self) -> Vec<(String, f64)> {
        self.client.zrevrange(self.key("leaderboard"), 0, -1, true).await.unwrap()
    }

    async fn events(&self) -> Vec<(String, Value)> {
        type Entry = (String, std::collections::HashMap<String, String>);
        let entries: Vec<Entry> = self.client.xrange_values(self.key("stream"), "-", "+", None).await.unwrap();
        entries.into_iter().map(|(_, e)| (e["type"].clone(), serde_json::from_str(&e["data"]).unwrap())).collect()
    }

    /// As FLUSHDB, but for this test's keys only: the server is shared.
    async fn flush(&self) {
        let script = "for _, key in ipairs(redis.call('KEYS', ARGV[1] .. '*')) do redis.call('DEL', key) end";
        let _: Value = self
            .client
            .eval::<Option<String>, _, _, _>(script, None, self.prefix.clone())
            .await
            .map(|_| Value::Null)
            .unwrap();
        assert!(!self.client.exists::<bool, _>(self.key("offsets")).await.unwrap());
    }
}

async fn publish(pipeline: &Pipeline) {
    let trends = [
        trend("BTC", 0, 1, 100), // more than an hour before the last window
        trend("BTC", 12, 1, 3),
        trend("BTC", 12, 2, 5),
        trend("ETH", 12, 1, 7),
        trend("BTC", 20, 1, 4),
        trend("*", 20, 1, 12),
    ];
    let keyed: Vec<_> = trends.into_iter().map(|trend| (trend.asset.clone(), trend)).collect();
    pipeline.publish_all(Topic::InsightsTrends, &keyed).await;
    pipeline.publish_all(Topic::InsightsAlerts, &[("BTC".to_owned(), alert("BTC", 12))]).await;
    pipeline.publish_all(Topic::InsightsSentiment, &[("rss:1".to_owned(), post(1))]).await;
}

async fn expect_views(views: &Views) {
    let board = vec![("BTC".to_owned(), 9.0), ("ETH".to_owned(), 7.0)];
    eventually("the leaderboard", async || {
        let found = views.leaderboard().await;
        if found == board && views.events().await.iter().filter(|(kind, _)| kind != "trend").count() == 2 {
            Ok(())
        } else {
            Err(found)
        }
    })
    .await;
    assert_eq!(views.windows("BTC").await, [(1, 100), (2, 5), (1, 4)]);
    assert_eq!(views.windows("*").await, [(1, 12)]);
    let meta: std::collections::HashMap<String, String> =
        views.client.hgetall(views.key("leaderboard:meta")).await.unwrap();
    assert_eq!(meta["to"], (T0 + 21 * WINDOW).to_string());
    assert_eq!(meta["posts"], "12");
    let alerts: Vec<String> = views.client.zrange(views.key("alerts"), 0, -1, None, false, None, false).await.unwrap();
    assert_eq!(alerts, [alert("BTC", 12).alert_id]);
    let events = views.events().await;
    let trend = &events.iter().find(|(kind, data)| kind == "trend" && data["asset"] == "ETH").unwrap().1;
    assert_eq!(trend["window_start"], "2022-05-09T13:40:00Z");
    assert_eq!(events.iter().find(|(kind, _)| kind == "post").unwrap().1["post_id"], "rss:1");
}

#[tokio::test(flavor = "multi_thread")]
async fn views_show_the_latest_revisions_and_the_last_hour() {
    let pipeline = Pipeline::new().await;
    let views = Views::of(&pipeline).await;
    let sink = pipeline.start_redis();
    publish(&pipeline).await;
    expect_views(&views).await;
    sink.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn redelivered_insights_change_no_view_and_are_not_announced_again() {
    let pipeline = Pipeline::new().await;
    let views = Views::of(&pipeline).await;
    let sink = pipeline.start_redis();
    publish(&pipeline).await;
    expect_views(&views).await;
    let announced = views.events().await.len();
    publish(&pipeline).await;
    // The offsets decide about a post; the same post under a new offset is announced.
    eventually("all is read again", async || {
        let read = sink.metric("vigie_sinks_records_total");
        if read >= 16.0 { Ok(()) } else { Err(read) }
    })
    .await;
    assert_eq!(views.windows("BTC").await, [(1, 100), (2, 5), (1, 4)]);
    assert_eq!(views.events().await.len(), announced + 1);
    sink.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn emptied_redis_is_rebuilt() {
    let pipeline = Pipeline::new().await;
    let views = Views::of(&pipeline).await;
    let sink = pipeline.start_redis();
    publish(&pipeline).await;
    expect_views(&views).await;
    views.flush().await;
    expect_views(&views).await; // noticed without any new record
    views.flush().await;
    pipeline.publish_all(Topic::InsightsTrends, &[("BTC".to_owned(), trend("BTC", 20, 2, 6))]).await;
    eventually("rebuilt with the new record", async || {
        let found = views.leaderboard().await;
        if found == [("BTC".to_owned(), 11.0), ("ETH".to_owned(), 7.0)] { Ok(()) } else { Err(found) }
    })
    .await;
    sink.stop().await;
    views.flush().await;
    let sink = pipeline.start_redis(); // and a new process begins with nothing in Redis, though its group has offsets
    eventually("rebuilt by a new process", async || {
        let found = views.windows("BTC").await;
        if found == [(1, 100), (2, 5), (2, 6)] { Ok(()) } else { Err(found) }
    })
    .await;
    sink.stop().await;
}

/// Nothing is known of the last hour then; the window is kept, and nothing is blocked.
#[tokio::test(flavor = "multi_thread")]
async fn a_window_in_the_far_future_does_not_move_the_leaderboard() {
    let pipeline = Pipeline::new().await;
    let views = Views::of(&pipeline).await;
    let sink = pipeline.start_redis();
    let far = trend("BTC", 1_000_000, 1, 99);
    pipeline.publish_all(Topic::InsightsTrends, &[("BTC".to_owned(), far)]).await;
    eventually("the far window is there", async || {
        let found = views.windows("BTC").await;
        if found == [(1, 99)] { Ok(()) } else { Err(found) }
    })
    .await;
    assert!(views.leaderboard().await.is_empty());
    pipeline.publish_all(Topic::InsightsTrends, &[("BTC".to_owned(), trend("BTC", 0, 1, 3))]).await;
    eventually("the leaderboard is of today", async || {
        let found = views.leaderboard().await;
        if found == [("BTC".to_owned(), 3.0)] { Ok(()) } else { Err(found) }
    })
    .await;
    sink.stop().await;
}
