//! Faults in the middle of a commit, by the fail points of the runtime.

use std::time::Duration;

use nix::sys::signal::Signal;
use rand::Rng;
use rand::seq::IndexedRandom;
use vigie_stack::testing::Coordinated;

use crate::error::ChaosError;
use crate::world::World;
use crate::world::fleet::Fleet;
use crate::world::service::signal_of;

const REACHED: &str = "fail point reached";
pub(super) const COMMITS: &str = "vigie_streams_commits_total";
/// Longer than the transaction's time-out (2 s, looked at each second), shorter than a member's session (10 s, from its last heartbeat on).
const PAUSE: Duration = Duration::from_secs(5);
pub(super) const TOPOLOGIES: [&str; 2] = ["sentiment", "trends"];

/// Some instance of some topology, and the other one.
pub(super) fn pick(world: &mut World) -> (String, String) {
    let topology = TOPOLOGIES.choose(&mut world.rng).copied().unwrap_or("trends");
    let (one, other) = if world.rng.random_bool(0.5) { ("a", "b") } else { ("b", "a") };
    (format!("{topology}-{one}"), format!("{topology}-{other}"))
}

/// Restarts `name` so that it fails at `point`. Where its log ends now.
async fn arm(world: &mut World, name: &str, point: &str) -> Result<u64, ChaosError> {
    arm_with(world, name, &[("VIGIE_FAILPOINTS", point)]).await
}

pub(super) async fn arm_with(world: &mut World, name: &str, env: &[(&str, &str)]) -> Result<u64, ChaosError> {
    world.fleet.terminate(name).await?;
    let service = world.fleet.get(name)?;
    let log = service.log_length();
    service.start(env)?;
    Ok(log)
}

fn reached(world: &mut World, name: &str, log: u64) -> Result<bool, ChaosError> {
    Ok(world.fleet.get(name)?.log_from(log).contains(REACHED))
}

/// Proof: the log says that the fail point was reached, and the system that the process aborted.
pub(crate) async fn crash(world: &mut World, step: &str) -> Result<String, ChaosError> {
    let (name, _) = pick(world);
    let time = world.rng.random_range(1..=4);
    let log = arm(world, &name, &format!("{step}=crash@{time}")).await?;
    let status = world.fleet.until_ended(&name).await?;
    if signal_of(status) != Some(Signal::SIGABRT as i32) || !reached(world, &name, log)? {
        return Err(ChaosError::DidNotFire(format!("{name} ended with {status} and not at {step}")));
    }
    world.fleet.get(&name)?.start(&[])?;
    Ok(format!("{name} aborted (signal 6) after {step} of commit {time}"))
}

/// Proof: the log, and the metric of aborted transactions.
pub(crate) async fn abort(world: &mut World) -> Result<String, ChaosError> {
    let (name, _) = pick(world);
    let point = ["commit.begin=fail@2", "commit.send=fail@2", "commit.offsets=fail@2"];
    let point = point.choose(&mut world.rng).copied().unwrap_or("commit.send=fail@2");
    let log = arm(world, &name, point).await?;
    world
        .fleet
        .until(&format!("{name} aborts a transaction"), async |fleet| {
            fleet.revive(&name)?;
            Ok(fleet.get(&name)?.metric(COMMITS, &["outcome=\"aborted\""]).await.unwrap_or(0.0) >= 1.0)
        })
        .await?;
    if !reached(world, &name, log)? {
        return Err(ChaosError::DidNotFire(format!("{name} aborted, but not at {point}")));
    }
    Ok(format!("{name} counted an aborted transaction after {point}"))
}

/// Proof: the system says that the process was stopped, its successor has all four tasks and commits, and after the SIGCONT the process
/// itself counts a commit that was refused, or partitions that were lost.
pub(crate) async fn zombie(world: &mut World) -> Result<String, ChaosError> {
    let (name, successor) = pick(world);
    let time = world.rng.random_range(1..=3);
    let log = arm(world, &name, &format!("commit.send=stop@{time}")).await?;
    until_stopped(world, &name).await?;
    until_taken_over(world, &successor).await?;
    let committed = ["outcome=\"committed\""];
    let before = world.fleet.metric(&successor, COMMITS, &committed).await;
    world
        .fleet
        .until(&format!("{successor} commits"), async |fleet| {
            Ok(fleet.metric(&successor, COMMITS, &committed).await > before)
        })
        .await?;
    let service = world.fleet.get(&name)?;
    if !service.is_stopped() {
        return Err(ChaosError::DidNotFire(format!("{name} was not stopped any more when {successor} had its tasks")));
    }
    service.signal(Signal::SIGCONT);
    let proof = refused(world, &name).await?;
    if !reached(world, &name, log)? {
        return Err(ChaosError::DidNotFire(format!("{name} was not stopped in a commit")));
    }
    Ok(format!("{name} stopped in commit {time} until {successor} had its tasks and committed; then {proof}"))
}

/// The process is stopped in a commit for longer than the transaction may be open, and goes on before its session is over: the broker has
/// ended the transaction, but the processor still has its partitions.
///
/// Proof: the system says that the process was stopped all the time; then it counts a commit that was refused, and no lost partitions,
/// and commits again.
pub(crate) async fn pause(world: &mut World) -> Result<String, ChaosError> {
    const LOST: (&str, &str) = ("vigie_streams_rebalances_total", "kind=\"lost\"");
    let (name, _) = pick(world);
    let point = format!("commit.send=stop@{}", world.rng.random_range(1..=3));
    arm_with(world, &name, &[("VIGIE_FAILPOINTS", &point), ("VIGIE_TRANSACTION_TIMEOUT", "2s")]).await?;
    until_stopped(world, &name).await?;
    world.pass(PAUSE).await?;
    let service = world.fleet.get(&name)?;
    if !service.is_stopped() {
        return Err(ChaosError::DidNotFire(format!("{name} was not stopped any more")));
    }
    service.signal(Signal::SIGCONT);
    let proof = refused(world, &name).await?;
    until_commits_again(world, &name).await?;
    let lost = world.fleet.metric(&name, LOST.0, &[LOST.1]).await;
    if lost > 0.0 {
        return Err(ChaosError::DidNotFire(format!("{name} lost its partitions, so it was stopped for too long")));
    }
    // From here on with the usual time-out.
    world.fleet.terminate(&name).await?;
    world.fleet.get(&name)?.start(&[])?;
    let seconds = PAUSE.as_secs();
    Ok(format!(
        "{name} was stopped for {seconds} s in a transaction that may take 2 s; {proof}, its partitions were not lost"
    ))
}

/// A batch that takes longer than the group waits for a poll, while the client's heartbeats go on.
///
/// Proof: the log, another instance has all four tasks meanwhile, and then a commit is refused, or partitions are lost.
pub(crate) async fn slow_inference(world: &mut World) -> Result<String, ChaosError> {
    let (name, successor) = pick(world);
    let time = world.rng.random_range(1..=3);
    let point = format!("commit.process=hold@{time}");
    let env = [("VIGIE_FAILPOINTS", point.as_str()), ("VIGIE_MAX_POLL_INTERVAL", "10s")];
    let log = arm_with(world, &name, &env).await?;
    let reached = |fleet: &mut Fleet| Ok(fleet.get(&name)?.log_from(log).contains(REACHED));
    world
        .fleet
        .until(&format!("{name} takes long"), async |fleet| {
            fleet.revive(&name)?;
            reached(fleet)
        })
        .await?;
    until_taken_over(world, &successor).await?;
    let proof = refused(world, &name).await?;
    // From here on with the usual interval, in which a restore has its time.
    world.fleet.terminate(&name).await?;
    world.fleet.get(&name)?.start(&[])?;
    Ok(format!("{name} took 25 s over batch {time}, its tasks went to {successor}; then {proof}"))
}

/// Waits until `successor` has the tasks of all partitions.
async fn until_taken_over(world: &mut World, successor: &str) -> Result<(), ChaosError> {
    world
        .fleet
        .until(&format!("{successor} has all tasks"), async |fleet| {
            Ok(fleet.get(successor)?.metric("vigie_streams_tasks", &[]).await == Some(4.0))
        })
        .await
        .map(drop)
}

/// Waits until `name` says that something of its was refused.
pub(super) async fn refused(world: &mut World, name: &str) -> Result<String, ChaosError> {
    let signs = [
        (COMMITS, "outcome=\"fenced\"", "its commit was fenced"),
        (COMMITS, "outcome=\"aborted\"", "its commit was aborted"),
        (COMMITS, "outcome=\"unknown\"", "its commit failed"),
        ("vigie_streams_rebalances_total", "kind=\"lost\"", "its partitions were lost"),
    ];
    let mut proof = String::new();
    world
        .fleet
        .until(&format!("{name} is refused"), async |fleet| {
            fleet.revive(name)?;
            let service = fleet.get(name)?;
            for (metric, label, words) in signs {
                if service.metric(metric, &[label]).await.unwrap_or(0.0) >= 1.0 {
                    words.clone_into(&mut proof);
                    return Ok(true);
                }
            }
            Ok(false)
        })
        .await?;
    Ok(proof)
}

pub(super) async fn until_stopped(world: &mut World, name: &str) -> Result<(), ChaosError> {
    world
        .fleet
        .until(&format!("{name} stops itself"), async |fleet| {
            fleet.revive(name)?;
            Ok(fleet.get(name)?.is_stopped())
        })
        .await
        .map(drop)
}

/// The process stops itself before it asks for the commit; then the coordinator's broker is frozen, then the process goes on: its EndTxn
/// lies at the broker, which answers (and perhaps carries it out) long after the client has given up.
///
/// Proof: the process counts a commit that did not succeed while the broker is frozen.
pub(crate) async fn answer_lost(world: &mut World) -> Result<String, ChaosError> {
    let topology = TOPOLOGIES.choose(&mut world.rng).copied().unwrap_or("trends");
    // Of this instance the transactional id is known.
    let name = format!("{topology}-a");
    let time = world.rng.random_range(1..=3);
    arm(world, &name, &format!("commit.offsets=stop@{time}")).await?;
    until_stopped(world, &name).await?;
    let id = format!("vigie-{topology}-a-0");
    let broker = world.coordinator(&id, Coordinated::Transaction).await?.clone();
    broker.pause();
    world.fleet.get(&name)?.signal(Signal::SIGCONT);
    let refused = refused(world, &name).await;
    let later = Duration::from_millis(world.rng.random_range(0..3_000));
    world.pass(later).await?;
    broker.resume();
    let proof = refused?;
    Ok(format!("{} froze on the EndTxn of {name}; {proof}", broker.kind()))
}

/// Waits until the processor commits again, twice: the first may have been on its way.
pub(super) async fn until_commits_again(world: &mut World, name: &str) -> Result<(), ChaosError> {
    let committed = ["outcome=\"committed\""];
    let so_far = world.fleet.metric(name, COMMITS, &committed).await;
    world
        .fleet
        .until(&format!("{name} commits again"), async |fleet| {
            fleet.revive(name)?;
            Ok(fleet.metric(name, COMMITS, &committed).await > so_far + 1.0)
        })
        .await
        .map(drop)
}
