//! What the stream of events holds.

use fred::clients::Client;
use fred::interfaces::{ClientLike, KeysInterface, LuaInterface, StreamsInterface};
use fred::types::Builder;
use fred::types::config::Config;
use serde_json::Value;
use vigie_schemas::Topic;
use vigie_schemas::redis::{EVENTS, OFFSETS};

use crate::harness::{Pipeline, eventually};
use crate::records::{alert, post, trend};

struct Events {
    client: Client,
    prefix: String,
}

impl Events {
    async fn of(pipeline: &Pipeline) -> Self {
        let client = Builder::from_config(Config::from_url(&pipeline.stack.redis_url).unwrap()).build().unwrap();
        client.init().await.unwrap();
        Self { client, prefix: pipeline.stack.prefix.clone() }
    }

    fn key(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    async fn all(&self) -> Vec<(String, Value)> {
        type Entry = (String, std::collections::HashMap<String, String>);
        let entries: Vec<Entry> = self.client.xrange_values(self.key(EVENTS), "-", "+", None).await.unwrap();
        entries.into_iter().map(|(_, e)| (e["type"].clone(), serde_json::from_str(&e["data"]).unwrap())).collect()
    }

    /// Revisions of BTC's windows, in the order of their announcement.
    async fn revisions(&self) -> Vec<(i64, i64)> {
        let all = self.all().await;
        let of_btc = all.iter().filter(|(kind, data)| kind == "trend" && data["asset"] == "BTC");
        of_btc.map(|(_, data)| (data["revision"].as_i64().unwrap(), data["posts"].as_i64().unwrap())).collect()
    }

    async fn expect(&self, what: &str, revisions: &[(i64, i64)]) {
        eventually(what, async || {
            let (found, all) = (self.revisions().await, self.all().await);
            let others = all.iter().filter(|(kind, _)| kind != "trend").count();
            if found == revisions && others == 2 { Ok(()) } else { Err((found, others)) }
        })
        .await;
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
        assert!(!self.client.exists::<bool, _>(self.key(OFFSETS)).await.unwrap());
    }
}

const BTC: [(i64, i64); 3] = [(1, 3), (2, 5), (1, 4)];

async fn publish(pipeline: &Pipeline) {
    let trends = [trend("BTC", 12, 1, 3), trend("BTC", 12, 2, 5), trend("ETH", 12, 1, 7), trend("BTC", 20, 1, 4)];
    let keyed: Vec<_> = trends.into_iter().map(|trend| (trend.asset.clone(), trend)).collect();
    pipeline.publish_all(Topic::InsightsTrends, &keyed).await;
    pipeline.publish_all(Topic::InsightsAlerts, &[("BTC".to_owned(), alert("BTC", 12))]).await;
    pipeline.publish_all(Topic::InsightsSentiment, &[("rss:1".to_owned(), post(1))]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn insights_are_announced_in_order_and_once() {
    let pipeline = Pipeline::new().await;
    let events = Events::of(&pipeline).await;
    let sink = pipeline.start_redis();
    publish(&pipeline).await;
    events.expect("all events", &BTC).await;
    let all = events.all().await;
    let trend = &all.iter().find(|(kind, data)| kind == "trend" && data["asset"] == "ETH").unwrap().1;
    assert_eq!(trend["window_start"], "2022-05-09T13:40:00Z");
    assert_eq!(all.iter().find(|(kind, _)| kind == "alert").unwrap().1["alert_id"], alert("BTC", 12).alert_id);
    assert_eq!(all.iter().find(|(kind, _)| kind == "post").unwrap().1["post_id"], "rss:1");
    sink.stop().await;

    // The next process goes on from the offsets that stand beside the events.
    let sink = pipeline.start_redis();
    pipeline.publish_all(Topic::InsightsTrends, &[("BTC".to_owned(), crate::records::trend("BTC", 20, 2, 6))]).await;
    events.expect("the new event and no other", &[&BTC[..], &[(2, 6)]].concat()).await;
    sink.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn emptied_redis_is_rebuilt() {
    let pipeline = Pipeline::new().await;
    let events = Events::of(&pipeline).await;
    let sink = pipeline.start_redis();
    publish(&pipeline).await;
    events.expect("all events", &BTC).await;
    events.flush().await;
    events.expect("rebuilt without any new record", &BTC).await;
    events.flush().await;
    pipeline.publish_all(Topic::InsightsTrends, &[("BTC".to_owned(), trend("BTC", 20, 2, 6))]).await;
    let all = [&BTC[..], &[(2, 6)]].concat();
    events.expect("rebuilt with the new record", &all).await;
    sink.stop().await;
    events.flush().await;
    let sink = pipeline.start_redis(); // with nothing in Redis, though its group has offsets
    events.expect("rebuilt by a new process", &all).await;
    sink.stop().await;
}
