//! A broker that goes away: on a stack of the test's own, so that no other test notices.

use std::time::Duration;

use vigie_clock::{Clock, SystemClock};
use vigie_kafka_client::KafkaConfig;
use vigie_stack::{ServerKind, Stack, testing};
use vigie_streams::AppState;

use crate::place::{Place, Running};

#[test]
fn killed_broker_is_ridden_out_and_a_stopped_one_does_not_hold_the_shutdown_up() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let evidence = testing::Evidence::new();
    let stack = runtime.block_on(Stack::start(evidence.stack())).unwrap();
    let kafka = stack.server(ServerKind::Kafka(1)).unwrap();
    let config = KafkaConfig::new(&stack.endpoints().kafka_brokers, "");
    let words = ["btc", "eth", "luna", "ust", "sol", "doge"];

    let mut place = Place::on(config.clone());
    let app = Running::start(place.config());
    place.write(words);
    place.wait_for("counts", 6);

    kafka.kill();
    runtime.block_on(kafka.wait_ready()).unwrap();
    let mut place = Place::on(config);
    place.write(words);
    place.wait_for("counts", 12);
    place.assert_exact(12);

    runtime.block_on(kafka.stop()).unwrap();
    app.wait_until(|state| matches!(state, AppState::Degraded(_)));
    let clock = SystemClock::default();
    app.stop();
    assert!(clock.monotonic() < Duration::from_secs(10), "{:?}", clock.monotonic());
    runtime.block_on(stack.stop());
}
