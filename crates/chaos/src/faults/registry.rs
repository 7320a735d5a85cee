//! Faults of the schema registry.

use rand::seq::IndexedRandom;
use vigie_stack::ServerKind;

use crate::error::ChaosError;
use crate::wire::http;
use crate::world::World;

const CONSUMED: &str = "vigie_streams_records_consumed_total";

fn port(world: &World) -> u16 {
    world.stack.endpoints().registry_url.rsplit(':').next().and_then(|port| port.parse().ok()).unwrap_or_default()
}

async fn stop(world: &World) -> Result<(), ChaosError> {
    world.server(ServerKind::Registry)?.stop().await?;
    if http::get(port(world), "/subjects").await.is_some() {
        return Err(ChaosError::DidNotFire("the registry still answers".to_owned()));
    }
    Ok(())
}

/// Proof: the registry does not answer, and records are processed all the same, for the schemas are known.
pub(crate) async fn warm(world: &mut World) -> Result<String, ChaosError> {
    // A process that has not seen a record yet does not know the schemas.
    world
        .fleet
        .until("every processor knows the schemas", async |fleet| {
            let mut warm = true;
            for name in ["sentiment-a", "sentiment-b", "trends-a", "trends-b"] {
                fleet.revive(name)?;
                warm &= fleet.metric(name, CONSUMED, &[]).await > 0.0;
            }
            Ok(warm)
        })
        .await?;
    stop(world).await?;
    let before = world.fleet.metric("", CONSUMED, &[]).await;
    let mut more = 0.0;
    let went_on = world
        .fleet
        .until("records are processed without a registry", async |fleet| {
            more = fleet.metric("", CONSUMED, &[]).await - before;
            Ok(more >= 10.0)
        })
        .await;
    world.server(ServerKind::Registry)?.start().await?;
    went_on?;
    Ok(format!("it did not answer while {more} records were processed"))
}

/// Proof: a service ends with 69 as there is no registry.
pub(crate) async fn cold(world: &mut World) -> Result<String, ChaosError> {
    let name = ["sentiment-b", "trends-b", "sink-postgres"].choose(&mut world.rng).copied().unwrap_or("trends-b");
    stop(world).await?;
    world.fleet.terminate(name).await?;
    world.fleet.get(name)?.start(&[])?;
    let before = world.fleet.unavailable;
    let refused = world
        .fleet
        .until(&format!("{name} finds no registry"), async |fleet| {
            fleet.revive(name)?;
            Ok(fleet.unavailable > before)
        })
        .await;
    world.server(ServerKind::Registry)?.start().await?;
    refused?;
    Ok(format!("{name} ended with 69 without a registry"))
}
