//! Faults of the network between a processor and the brokers, by the proxies.

use std::time::Duration;

use rand::Rng;
use rand::seq::IndexedRandom;
use vigie_stack::testing::Coordinated;

use super::commits::{COMMITS, TOPOLOGIES, until_commits_again};

use crate::error::ChaosError;
use crate::world::World;
use crate::world::fleet::Fleet;
use crate::world::proxy::{Order, Request, Trick};

/// Longer than a client waits for the answer to a commit, and than a transaction may be open.
pub(crate) const TOO_LATE: Duration = Duration::from_secs(8);
/// As long as a transaction may be open, and longer than a member's session.
const APART: Duration = Duration::from_secs(14);

/// A processor whose transactional id is known, and the id.
pub(super) fn known(world: &mut World) -> (String, String) {
    let topology = TOPOLOGIES.choose(&mut world.rng).copied().unwrap_or("trends");
    (format!("{topology}-a"), format!("vigie-{topology}-a-0"))
}

/// Proof: the proxy before the broker did it to a request of the processor, which commits again afterwards.
pub(crate) async fn trick(world: &mut World, request: Request, trick: Trick) -> Result<String, ChaosError> {
    let (name, id) = known(world);
    let rules = world.proxies.rules.clone();
    let (done, dropped) = (rules.done(), rules.dropped());
    rules.order(Order { id: id.clone(), request, trick });
    let met = async |fleet: &mut Fleet| {
        fleet.revive(&name)?;
        Ok(rules.done() > done)
    };
    world.fleet.until(&format!("{name} sends {request:?}"), met).await?;
    if matches!(trick, Trick::Twice) {
        let dropped_one = async |_: &mut Fleet| Ok(rules.dropped() > dropped);
        world.fleet.until(&format!("the broker answers {request:?} a second time"), dropped_one).await?;
    }
    until_commits_again(world, &name).await?;
    let failed = failed_commits(world, &name).await;
    Ok(format!("{trick:?} of {request:?} of {id}; since its start {name} counts {failed} commits that failed"))
}

/// Held back for some time that may be shorter or longer than what the client and the transaction wait.
pub(crate) async fn delay(world: &mut World, request: Request) -> Result<String, ChaosError> {
    let time = Duration::from_millis(world.rng.random_range(1_000..TOO_LATE.as_millis() as u64));
    trick(world, request, Trick::Delay(time)).await
}

/// A processor does not reach the coordinator of its transactions, or that of its group; everybody else does.
///
/// Proof: the proxy before that broker held requests or answers of the processor back; the processor commits again afterwards.
pub(crate) async fn part(world: &mut World) -> Result<String, ChaosError> {
    let (name, id) = known(world);
    let (of, kind) = match world.rng.random_bool(0.5) {
        true => (id, Coordinated::Transaction),
        false => (id.trim_end_matches("-a-0").to_owned(), Coordinated::Group),
    };
    let broker = world.coordinator(&of, kind).await?.kind();
    let vigie_stack::ServerKind::Kafka(node) = broker else {
        return Err(ChaosError::Other(format!("{broker} coordinates {of}, expected a Kafka broker")));
    };
    let rules = world.proxies.rules.clone();
    let before = rules.held();
    rules.part(&name, node);
    let passed = world.pass(APART).await;
    let held = rules.held() - before;
    rules.join();
    passed?;
    if held == 0 {
        return Err(ChaosError::DidNotFire(format!("{name} had nothing to say to {broker}")));
    }
    until_commits_again(world, &name).await?;
    let failed = failed_commits(world, &name).await;
    let seconds = APART.as_secs();
    Ok(format!(
        "{held} requests and answers between {name} and {broker}, which coordinates {of}, were held back for up to {seconds} s; since \
         its start {name} counts {failed} commits that failed"
    ))
}

async fn failed_commits(world: &World, name: &str) -> f64 {
    let mut failed = 0.0;
    for outcome in ["unknown", "fenced", "aborted"] {
        failed += world.fleet.metric(name, COMMITS, &[&format!("outcome=\"{outcome}\"")]).await;
    }
    failed
}
