use std::time::Duration;

use fred::clients::Client;
use fred::interfaces::{ClientLike, KeysInterface, LuaInterface, StreamsInterface};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use vigie_daemon::ServiceError;

use crate::world::{World, eventually};

const PATIENCE: Duration = Duration::from_secs(20);

struct Served {
    world: World,
    addr: std::net::SocketAddr,
    redis: Client,
    service: JoinHandle<Result<(), ServiceError>>,
}

impl Served {
    async fn start() -> Self {
        let world = World::with(&["--api-rate=0"]).await;
        let redis = Client::new(fred::types::config::Config::from_url(&world.redis_url).unwrap(), None, None, None);
        redis.init().await.unwrap();
        let (addr, service) = world.serve().await;
        Self { world, addr, redis, service }
    }

    fn key(&self) -> String {
        format!("{}stream", self.world.redis_prefix)
    }

    /// Writes an event as the sink does; the answer is its id.
    async fn write(&self, kind: &str, data: &str) -> String {
        self.redis.xadd(self.key(), false, None, "*", vec![("type", kind), ("data", data)]).await.unwrap()
    }

    async fn listen(&self, query: &str, last: Option<&str>) -> Listener {
        timeout(PATIENCE, async {
            let mut stream = TcpStream::connect(self.addr).await.unwrap();
            let resume = last.map(|id| format!("Last-Event-ID: {id}\r\n")).unwrap_or_default();
            let request = format!(
                "GET /v1/stream{query} HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n{resume}\r\n"
            );
            stream.write_all(request.as_bytes()).await.unwrap();
            let mut listener = Listener { lines: BufReader::new(stream) };
            assert_eq!(listener.line().await.unwrap(), "HTTP/1.1 200 OK");
            while !listener.line().await.unwrap().is_empty() {}
            listener
        })
        .await
        .unwrap()
    }

    async fn stop(self) {
        self.world.ctx.shutdown.cancel();
        timeout(PATIENCE, self.service).await.unwrap().unwrap().unwrap();
    }
}

struct Listener {
    lines: BufReader<TcpStream>,
}

impl Listener {
    async fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        let read = self.lines.read_line(&mut line).await.unwrap();
        (read > 0).then(|| line.trim_end().to_owned())
    }

    /// Id, type and data of the next event.
    async fn event(&mut self) -> (String, String, String) {
        let (mut id, mut kind, mut data) = (String::new(), String::new(), String::new());
        timeout(PATIENCE, async {
            loop {
                let line = self.line().await.expect("the stream goes on");
                match line.split_once(": ") {
                    Some(("id", value)) => id = value.to_owned(),
                    Some(("event", value)) => kind = value.to_owned(),
                    Some(("data", value)) => data = value.to_owned(),
                    _ if line.is_empty() && !data.is_empty() => return,
                    _ => {}
                }
            }
        })
        .await
        .unwrap();
        (id, kind, data)
    }
}

#[tokio::test]
async fn live_events_arrive_filtered() {
    let served = Served::start().await;
    let mut all = served.listen("", None).await;
    let mut btc = served.listen("?asset=BTC,SOL&type=trend,post", None).await;
    let first = served.write("trend", r#"{"asset":"ETH","posts":1}"#).await;
    // A reader that has seen the first event is known to be reading.
    assert_eq!(all.event().await, (first, "trend".to_owned(), r#"{"asset":"ETH","posts":1}"#.to_owned()));
    served.write("unheard-of", "{}").await;
    let alert = served.write("alert", r#"{"asset":"BTC"}"#).await;
    let post = served.write("post", r#"{"assets":[{"asset":"SOL","evidence":"name"}]}"#).await;
    assert_eq!(all.event().await.0, alert);
    assert_eq!(all.event().await.0, post);
    assert_eq!(btc.event().await.0, post);
    served.stop().await;
}

#[tokio::test]
async fn resuming_neither_misses_nor_repeats() {
    let served = Served::start().await;
    let mut ids = Vec::new();
    for n in 0..1203 {
        ids.push(served.write("trend", &format!("{{\"asset\":\"A{}\",\"n\":{n}}}", n % 2)).await);
    }
    let mut listener = served.listen("", Some(&ids[99])).await;
    for id in &ids[100..] {
        assert_eq!(listener.event().await.0, *id);
    }
    let live = served.write("trend", r#"{"asset":"A0"}"#).await;
    assert_eq!(listener.event().await.0, live);
    let mut some = served.listen(&format!("?asset=A1&last_event_id={}", ids[1000]), None).await;
    assert_eq!(some.event().await.0, ids[1001]);
    assert_eq!(some.event().await.0, ids[1003]);
    served.stop().await;
}

#[tokio::test]
async fn events_that_are_gone_are_reported() {
    let served = Served::start().await;
    let first = served.write("trend", r#"{"asset":"BTC","n":1}"#).await;
    let second = served.write("trend", r#"{"asset":"BTC","n":2}"#).await;
    let mut reader = served.listen("", Some(&second)).await;
    let third = served.write("trend", r#"{"asset":"BTC","n":3}"#).await;
    assert_eq!(reader.event().await.0, third, "the server has read all of them");
    let _: i64 = served.redis.xtrim(served.key(), ("MAXLEN", "=", 1)).await.unwrap();
    let mut listener = served.listen("", Some(&first)).await;
    let (_, kind, data) = listener.event().await;
    assert_eq!((kind.as_str(), data), ("gap", format!("{{\"after\":\"{first}\"}}")));
    assert_eq!(listener.event().await.0, third);
    let mut up_to_date = served.listen("", Some(&third)).await;
    let fourth = served.write("trend", r#"{"asset":"BTC","n":4}"#).await;
    assert_eq!(up_to_date.event().await, (fourth, "trend".to_owned(), r#"{"asset":"BTC","n":4}"#.to_owned()));
    assert!(second > first);
    served.stop().await;
}

#[tokio::test]
async fn the_service_is_ready_with_its_database_and_drains_with_open_streams() {
    let served = Served::start().await;
    let mut listener = served.listen("", None).await;
    eventually("ready", async || served.world.ctx.health.report().ready.then_some(())).await;
    served.world.ctx.shutdown.cancel();
    timeout(Duration::from_secs(3), served.service)
        .await
        .expect("no subscriber holds the shutdown up")
        .unwrap()
        .unwrap();
    timeout(PATIENCE, async { while listener.line().await.is_some() {} }).await.expect("the stream ends");
    assert!(TcpStream::connect(served.addr).await.is_err());
}

#[tokio::test]
async fn an_id_that_the_stream_never_had_is_a_gap_and_an_empty_one_none() {
    let served = Served::start().await;
    let first = served.write("trend", r#"{"asset":"BTC","n":1}"#).await;
    let future = "99999999999999-0";
    for query in ["", "?last_event_id=99999999999999-0"] {
        let mut ahead = served.listen(query, if query.is_empty() { Some(future) } else { None }).await;
        let (_, kind, data) = ahead.event().await;
        assert_eq!((kind.as_str(), data), ("gap", format!("{{\"after\":\"{future}\"}}")));
        let next = served.write("trend", r#"{"asset":"BTC","n":2}"#).await;
        assert_eq!(ahead.event().await.0, next, "then what happens from now on");
    }
    let mut fresh = served.listen("", Some("")).await;
    let last = served.write("trend", r#"{"asset":"BTC","n":3}"#).await;
    assert_eq!(fresh.event().await.0, last);
    assert!(first < last);
    served.stop().await;
}

#[tokio::test]
async fn a_gap_in_mid_stream_is_reported() {
    let served = Served::start().await;
    let mut listener = served.listen("", None).await;
    let mut btc = served.listen("?asset=BTC", None).await;
    let first = served.write("trend", r#"{"asset":"BTC","n":1}"#).await;
    assert_eq!((listener.event().await.0, btc.event().await.0), (first.clone(), first.clone()));
    // Two events and a cut between them, in one step: the first is gone before anybody can read it.
    let script = "redis.call('XADD', KEYS[1], '*', 'type', 'trend', 'data', '{\"asset\":\"BTC\",\"n\":2}') \
        local last = redis.call('XADD', KEYS[1], '*', 'type', 'trend', 'data', '{\"asset\":\"ETH\",\"n\":3}') \
        redis.call('XTRIM', KEYS[1], 'MAXLEN', '=', 1) return last";
    let last: String = served.redis.eval(script, vec![served.key()], Vec::<String>::new()).await.unwrap();
    let gap = ("gap".to_owned(), format!("{{\"after\":\"{first}\"}}"));
    for listener in [&mut listener, &mut btc] {
        let (id, kind, data) = listener.event().await;
        assert_eq!((id.as_str(), (kind, data)), ("", gap.clone()), "also to those whom what is left does not concern");
    }
    assert_eq!(listener.event().await.0, last);
    // The stream starts over, as after a loss of Redis.
    let _: i64 = served.redis.del(served.key()).await.unwrap();
    let again = served.write("trend", r#"{"asset":"BTC","n":4}"#).await;
    let (_, kind, data) = listener.event().await;
    assert_eq!((kind, data), ("gap".to_owned(), format!("{{\"after\":\"{last}\"}}")));
    assert_eq!(listener.event().await.0, again);
    served.stop().await;
}

#[tokio::test]
async fn subscribers_hear_which_runs_are_served_and_of_no_others() {
    let served = Served::start().await;
    let mut all = served.listen("", None).await;
    let mut trends = served.listen("?type=trend", None).await;
    let mut live = served.listen("?run=live&type=trend", None).await;
    let trend = async |run: &str, start: &str| {
        let data = format!(r#"{{"asset":"BTC","lineage":{{"run_id":"{run}"}},"window_start":"{start}"}}"#);
        served.write("trend", &data).await
    };
    let (within, without) = ("2022-05-09T12:00:00Z", "2022-05-09T13:00:00Z");
    let first = trend("live", within).await;
    for listener in [&mut all, &mut trends, &mut live] {
        assert_eq!(listener.event().await.0, first, "nothing is promoted");
    }
    let promote = format!(
        "INSERT INTO served_runs (run_id, from_time, to_time, promoted_at) VALUES ('r1', '{within}', '{without}', now())"
    );
    served.world.sql(&promote).await;
    let range = |run: &str, from: Option<&str>, to: Option<&str>| json!({"run_id": run, "from": from, "to": to});
    let parts = [
        range("live", None, Some(within)),
        range("r1", Some(within), Some(without)),
        range("live", Some(without), None),
    ];
    let mut late = served.listen("?asset=BTC", Some(&first)).await;
    for listener in [&mut all, &mut late] {
        let (id, kind, data) = listener.event().await;
        let data: Value = serde_json::from_str(&data).unwrap();
        assert_eq!((id.as_str(), kind.as_str(), &data["served"]), ("", "switch", &json!(parts)));
    }
    // Whoever listens to trends alone gets nothing of it, but also hears them of served runs only.
    let hidden = trend("live", within).await;
    let outside = trend("live", without).await;
    assert_eq!(live.event().await.0, hidden);
    assert_eq!(live.event().await.0, outside);
    for listener in [&mut all, &mut trends, &mut late] {
        assert_eq!(listener.event().await.0, outside);
    }
    served.world.sql("UPDATE served_runs SET rolled_back_at = now()").await;
    let (_, kind, data) = all.event().await;
    assert_eq!((kind.as_str(), data), ("switch", json!({"served": [range("live", None, None)]}).to_string()));
    let again = trend("live", within).await;
    assert_eq!(all.event().await.0, again);
    served.world.get("/v1/stream?run=r1").await.problem(400);
    served.stop().await;
}
