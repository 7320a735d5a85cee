//! Faults of Kafka's brokers. Proof of a kill: the broker is another process afterwards.

use rand::Rng;
use rand::seq::IndexedRandom;
use vigie_stack::ServerKind;
use vigie_stack::testing::Coordinated;

use crate::error::ChaosError;
use crate::world::World;

fn some_broker(world: &mut World) -> ServerKind {
    ServerKind::Kafka(world.rng.random_range(1..=world.options.kafka_nodes))
}

pub(crate) async fn kill(world: &mut World) -> Result<String, ChaosError> {
    let kind = some_broker(world);
    world.kill_server(kind).await
}

/// Proof: the broker is another process, and ended because it was asked to.
pub(crate) async fn restart(world: &mut World) -> Result<String, ChaosError> {
    let kind = some_broker(world);
    let server = world.server(kind)?;
    let before = server.status();
    server.restart().await?;
    let after = server.status();
    if after.pid == before.pid || after.restarts != before.restarts {
        return Err(ChaosError::DidNotFire(format!("{kind} went from {before:?} to {after:?}")));
    }
    Ok(format!("{kind} stopped in order and is process {} now", after.pid.unwrap_or_default()))
}

pub(crate) async fn kill_group_coordinator(world: &mut World) -> Result<String, ChaosError> {
    let group = ["vigie-sentiment", "vigie-trends", "sink-postgres"].choose(&mut world.rng).copied();
    let group = group.unwrap_or("vigie-trends");
    let kind = world.coordinator(group, Coordinated::Group).await?.kind();
    Ok(format!("coordinator of group {group}: {}", world.kill_server(kind).await?))
}

pub(crate) async fn kill_transaction_coordinator(world: &mut World) -> Result<String, ChaosError> {
    let id = ["vigie-sentiment-a-0", "vigie-trends-a-0"].choose(&mut world.rng).copied();
    let id = id.unwrap_or("vigie-trends-a-0");
    let kind = world.coordinator(id, Coordinated::Transaction).await?.kind();
    Ok(format!("coordinator of transactions of {id}: {}", world.kill_server(kind).await?))
}
