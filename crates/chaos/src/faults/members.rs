//! Faults of services as members of their groups.

use std::time::Duration;

use nix::sys::signal::Signal;
use rand::Rng;
use rand::seq::IndexedRandom;
use vigie_clock::Clock;

use crate::error::ChaosError;
use crate::world::{STATE_DIR, World};

const REBALANCES: &str = "vigie_streams_rebalances_total";

/// Some service, at some moment; in a sabotaged run the processor that commits wrongly, once it has.
///
/// Proof: the system says that the process was ended by signal 9.
pub(crate) async fn kill(world: &mut World) -> Result<String, ChaosError> {
    let moment = Duration::from_millis(world.rng.random_range(0..1_500));
    world.pass(moment).await?;
    let name = match world.options.sabotage {
        true => saboteur(world).await?,
        false => world.fleet.names().choose(&mut world.rng).cloned().unwrap_or_default(),
    };
    let proof = world.fleet.kill(&name).await?;
    world.fleet.until_ready(&name).await?;
    Ok(proof)
}

async fn saboteur(world: &mut World) -> Result<String, ChaosError> {
    const COMMITTED: [&str; 1] = ["outcome=\"committed\""];
    let mut found = None;
    world
        .fleet
        .until("trends has committed without outputs", async |fleet| {
            for name in ["trends-a", "trends-b"] {
                if fleet.metric(name, "vigie_streams_commits_total", &COMMITTED).await >= 8.0 {
                    found = Some(name.to_owned());
                }
            }
            Ok(found.is_some())
        })
        .await?;
    found.ok_or_else(|| ChaosError::DidNotFire("trends committed nothing".to_owned()))
}

/// Proof: every service ends with status 0 after SIGTERM.
pub(crate) async fn rolling_restart(world: &mut World) -> Result<String, ChaosError> {
    let names = world.fleet.names();
    for name in &names {
        let status = world.fleet.terminate(name).await?;
        if !status.success() {
            return Err(ChaosError::Other(format!("{name} ended with {status} after SIGTERM, expected 0")));
        }
        world.fleet.get(name)?.start(&[])?;
        world.fleet.until_ready(name).await?;
    }
    Ok(format!("{} services ended with 0 after SIGTERM", names.len()))
}

/// Proof: the other instances count at least as many rebalances as the third one joined and left.
pub(crate) async fn storm(world: &mut World) -> Result<String, ChaosError> {
    const ROUNDS: f64 = 4.0;
    let topology = ["sentiment", "trends"].choose(&mut world.rng).copied().unwrap_or("trends");
    let before = world.fleet.metric(topology, REBALANCES, &[]).await;
    let mut third = world.fleet.extra(&format!("{topology}-c"), &format!("process {topology}"))?;
    let folder = world.dir.join("state").join(format!("{topology}-c")).display().to_string();
    let (since, mut rounds, mut seen) = (world.clock.monotonic(), 0.0, 0.0);
    // On a slow machine it may leave before it has joined: then there are more rounds.
    while rounds < ROUNDS || seen < ROUNDS {
        if world.clock.monotonic().saturating_sub(since) > world.fleet.patience {
            return Err(ChaosError::DidNotFire(format!("{topology} saw {seen} rebalances in {rounds} rounds")));
        }
        third.start(&[(STATE_DIR, &folder)])?;
        world.pass(Duration::from_secs(2)).await?;
        third.signal(Signal::SIGTERM);
        world
            .fleet
            .until("the third instance leaves", async |_| Ok(third.ended().is_some() || third.pid().is_none()))
            .await?;
        rounds += 1.0;
        seen = world.fleet.metric(topology, REBALANCES, &[]).await - before;
    }
    Ok(format!("{topology}-c joined and left {rounds} times, the others count {seen} rebalances"))
}

/// Proof: the system says each time that the process is stopped.
pub(crate) async fn slow_consumer(world: &mut World) -> Result<String, ChaosError> {
    const ROUNDS: u32 = 10;
    let name = ["sink-postgres", "trends-a"].choose(&mut world.rng).copied().unwrap_or("sink-postgres");
    let mut stopped = 0;
    for _ in 0..ROUNDS {
        world.fleet.get(name)?.signal(Signal::SIGSTOP);
        world.pass(Duration::from_millis(900)).await?;
        stopped += u32::from(world.fleet.get(name)?.is_stopped());
        world.fleet.get(name)?.signal(Signal::SIGCONT);
        world.pass(Duration::from_millis(100)).await?;
    }
    if stopped < ROUNDS {
        return Err(ChaosError::DidNotFire(format!("{name} was stopped {stopped} times of {ROUNDS}")));
    }
    Ok(format!("{name} was held nine tenths of {ROUNDS} s"))
}
