//! Faults of PostgreSQL and Redis.

use vigie_schemas::redis::{OFFSETS, PREFIX};
use vigie_stack::ServerKind;

use crate::error::ChaosError;
use crate::wire::redis;
use crate::world::World;

const RECORDS: &str = "vigie_sinks_records_total";
const RETRIES: &str = "vigie_sinks_retries_total";
const TRIES: u32 = 5;

/// Killed while the sink writes, again until the sink had a batch in hand.
///
/// Proof: another process, and the sink counts a batch that it had to repeat.
pub(crate) async fn kill_postgres(world: &mut World) -> Result<String, ChaosError> {
    const SINK: &str = "sink-postgres";
    let repeated = world.fleet.metric(SINK, RETRIES, &[]).await;
    for _ in 0..TRIES {
        let written = world.fleet.metric(SINK, RECORDS, &[]).await;
        world
            .fleet
            .until("the sink writes", async |fleet| Ok(fleet.metric(SINK, RECORDS, &[]).await > written))
            .await?;
        let replaced = world.kill_server(ServerKind::Postgres).await?;
        world.fleet.until_ready(SINK).await?;
        let now = world.fleet.metric(SINK, RETRIES, &[]).await;
        if now > repeated {
            return Ok(format!("{replaced}; the sink repeated {} attempts", now - repeated));
        }
    }
    Err(ChaosError::DidNotFire(format!("postgresql was killed {TRIES} times, and never in a batch")))
}

/// Proof: Redis had keys, had none, and has some again.
pub(crate) async fn flush_redis(world: &mut World) -> Result<String, ChaosError> {
    let url = world.stack.endpoints().redis_url.clone();
    let mut before = 0;
    world
        .fleet
        .until("redis has events", async |_| {
            before = redis::ask_number(&url, "DBSIZE").await?;
            Ok(before > 0)
        })
        .await?;
    redis::ask(&url, "FLUSHALL").await?;
    let mut after = 0;
    world
        .fleet
        .until("redis has events again", async |_| {
            after = redis::ask_number(&url, &format!("EXISTS {PREFIX}{OFFSETS}")).await?;
            Ok(after > 0)
        })
        .await?;
    Ok(format!("{before} keys were deleted, and the sink started over"))
}
