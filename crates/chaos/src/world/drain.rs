//! Waiting until the pipeline has nothing left to do.

use std::time::Duration;

use vigie_clock::Clock;

use crate::error::ChaosError;
use crate::world::World;

/// So often in a row, a second apart (which is how often lags are reported), nothing must be left.
const LOOKS: u32 = 4;
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// The slowest that a pipeline may be, in records per second.
const SLOWEST: u64 = 15;

/// Waits until no service has a lag.
pub(crate) async fn drain(world: &mut World, what: &str) -> Result<(), ChaosError> {
    let patience = world.fleet.patience + Duration::from_secs(world.writer.count() / SLOWEST);
    let since = world.clock.monotonic();
    let mut quiet = 0;
    while quiet < LOOKS {
        tokio::time::sleep(LOOK_AGAIN).await;
        world.fleet.weigh().await;
        for name in world.fleet.names() {
            world.fleet.revive(&name)?;
        }
        quiet = if is_quiet(world).await { quiet + 1 } else { 0 };
        if world.clock.monotonic().saturating_sub(since) > patience {
            return Err(ChaosError::TooLong { what: format!("the pipeline drains ({what})"), patience });
        }
    }
    Ok(())
}

async fn is_quiet(world: &World) -> bool {
    let lag = "vigie_streams_lag_records";
    // The partitions that each reads: where the whole market is shared, `trends` runs two topologies.
    for (topology, expected) in [("sentiment", 4.0), ("trends", if world.options.spread_market { 8.0 } else { 4.0 })] {
        let partitions = world.fleet.count(topology, lag).await;
        if partitions != expected || world.fleet.metric(topology, lag, &[]).await != 0.0 {
            return false;
        }
    }
    for sink in ["sink-postgres", "sink-redis"] {
        let lag = "vigie_sinks_lag_records";
        if world.fleet.count(sink, lag).await == 0.0 || world.fleet.metric(sink, lag, &[]).await != 0.0 {
            return false;
        }
    }
    true
}
