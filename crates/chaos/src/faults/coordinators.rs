//! Faults of the broker that coordinates transactions, at the moments that hurt.

use std::io::{Read, Seek, SeekFrom};
use std::path::PathBuf;
use std::time::Duration;

use nix::sys::signal::Signal;
use rand::Rng;
use vigie_clock::Clock;
use vigie_stack::testing::Coordinated;
use vigie_stack::{ServerHandle, ServerKind};

use super::commits::{arm_with, until_stopped};
use super::requests::known;

use crate::error::ChaosError;
use crate::world::World;
use crate::world::proxy::{Order, Request, Trick};

/// As `transaction.state.log.num.partitions` of the stack's brokers.
const PARTITIONS: i32 = 4;
/// Longer than a follower's fetch waits at the leader (`replica.fetch.wait.max.ms`, 500): one that was sent before the follower froze
/// must be answered before the record comes, or its answer brings the record.
const FETCHES_ANSWERED: Duration = Duration::from_millis(1_500);
/// How long the request and the record may take, each, before it is tried again.
const SOON: Duration = Duration::from_secs(5);
const LOOK_AGAIN: Duration = Duration::from_millis(5);
const TRIES: u32 = 4;

/// The coordinator has decided to commit, has informed nobody, and dies; the others, frozen meanwhile, know nothing of the decision.
///
/// ```text
/// processor    ... offsets │ stopped │ EndTxn ──▶
/// coordinator                                     PREPARE_COMMIT in its log │ killed │ restarts, finds it there
/// others                   │ frozen ───────────────────────────────────────────────── │ thawed: choose another coordinator
/// ```
///
/// What the one decided and the others do not know is lost if the killed broker comes back late, and the client, which had no answer,
/// must not believe either. If it is back before the others have chosen, Kafka 4.2 acts on what it finds in its log, and both decisions are
/// carried out, each in some partitions.
///
/// Proof: its log has a record of the transactional id from after the EndTxn, those of the others have none, and it is another process
/// afterwards.
pub(crate) async fn kill_unreplicated(world: &mut World) -> Result<String, ChaosError> {
    for _ in 0..TRIES {
        if let Some(proof) = try_kill_unreplicated(world).await? {
            return Ok(proof);
        }
        world.fleet.until_all_ready().await?;
    }
    Err(ChaosError::DidNotFire(format!("in {TRIES} tries no decision was in the log of the coordinator alone")))
}

async fn try_kill_unreplicated(world: &mut World) -> Result<Option<String>, ChaosError> {
    let (name, id) = known(world);
    let point = format!("commit.offsets=stop@{}", world.rng.random_range(1..=3));
    // Not to end by its time-out while everything stands still.
    arm_with(world, &name, &[("VIGIE_FAILPOINTS", &point), ("VIGIE_TRANSACTION_TIMEOUT", "60s")]).await?;
    until_stopped(world, &name).await?;
    let coordinator = world.coordinator(&id, Coordinated::Transaction).await?.clone();
    let others: Vec<ServerHandle> = brokers(world).filter(|broker| broker.kind() != coordinator.kind()).collect();
    others.iter().for_each(ServerHandle::pause);
    let decided = until_decided(world, &name, &id, &coordinator, &others).await;
    let before = coordinator.status();
    if matches!(decided, Ok(true)) {
        coordinator.kill();
    }
    others.iter().for_each(ServerHandle::resume);
    world.fleet.get(&name)?.signal(Signal::SIGCONT);
    if !decided? {
        return Ok(None);
    }
    world.back(&coordinator).await?;
    let (kind, after) = (coordinator.kind(), coordinator.status());
    if after.pid == before.pid {
        return Err(ChaosError::DidNotFire(format!("{kind} is still process {:?}", before.pid)));
    }
    let (old, new) = (before.pid.unwrap_or_default(), after.pid.unwrap_or_default());
    Ok(Some(format!(
        "{kind} alone had the decision on {id} in its log; process {old} was killed, {new} is in its place"
    )))
}

/// Lets the processor go on, and waits until the coordinator's log has the decision. False if that takes too long.
async fn until_decided(
    world: &mut World,
    name: &str,
    id: &str,
    coordinator: &ServerHandle,
    others: &[ServerHandle],
) -> Result<bool, ChaosError> {
    world.pass(FETCHES_ANSWERED).await?;
    let partition = partition_of(id);
    let log = StateLog::end_of(world, coordinator.kind(), partition)?;
    let mut copies = Vec::new();
    for other in others {
        copies.push(StateLog::end_of(world, other.kind(), partition)?);
    }
    let rules = world.proxies.rules.clone();
    let done = rules.done();
    rules.order(Order { id: id.to_owned(), request: Request::EndTxn, trick: Trick::Pass });
    world.fleet.get(name)?.signal(Signal::SIGCONT);
    let arrived = soon(|| Ok(rules.done() > done)).await?;
    if !arrived || !soon(|| log.has_since(id)).await? {
        return Ok(false);
    }
    for copy in &copies {
        if copy.has_since(id)? {
            return Ok(false);
        }
    }
    Ok(true)
}

async fn soon(mut met: impl FnMut() -> Result<bool, ChaosError>) -> Result<bool, ChaosError> {
    let looks = SOON.as_millis() / LOOK_AGAIN.as_millis();
    for _ in 0..looks {
        if met()? {
            return Ok(true);
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
    Ok(false)
}

/// The coordinator of a processor's transactions is killed, and as soon as another broker has taken over, that one.
///
/// Proof: two different brokers, and each is another process afterwards.
pub(crate) async fn kill_two(world: &mut World) -> Result<String, ChaosError> {
    let (_, id) = known(world);
    let first = world.coordinator(&id, Coordinated::Transaction).await?.clone();
    let first_before = first.status().pid;
    first.kill();
    let since = world.clock.monotonic();
    let second = loop {
        // While none has taken over, some brokers do not answer, and some name the old one.
        match world.coordinator(&id, Coordinated::Transaction).await {
            Ok(now) if now.kind() != first.kind() => break now.clone(),
            _ => tokio::time::sleep(LOOK_AGAIN).await,
        }
        if world.clock.monotonic().saturating_sub(since) > world.fleet.patience {
            return Err(ChaosError::DidNotFire(format!("no broker took the transactions of {id} over")));
        }
    };
    let second_before = second.status().pid;
    second.kill();
    world.back(&first).await?;
    world.back(&second).await?;
    let mut proofs = Vec::new();
    for (broker, before) in [(&first, first_before), (&second, second_before)] {
        let (kind, after) = (broker.kind(), broker.status().pid);
        if after == before {
            return Err(ChaosError::DidNotFire(format!("{kind} is still process {before:?}")));
        }
        let (old, new) = (before.unwrap_or_default(), after.unwrap_or_default());
        proofs.push(format!("{kind} (process {old}) was replaced by {new}"));
    }
    Ok(format!("coordinators of transactions of {id}: {}", proofs.join(", then ")))
}

fn brokers(world: &World) -> impl Iterator<Item = ServerHandle> {
    let is_broker = |server: &&ServerHandle| matches!(server.kind(), ServerKind::Kafka(_));
    world.stack.servers().iter().filter(is_broker).cloned()
}

/// The partition of `__transaction_state` that a transactional id belongs to: Java's hash of the text.
fn partition_of(id: &str) -> i32 {
    let hash = id.encode_utf16().fold(0_i32, |hash, unit| hash.wrapping_mul(31).wrapping_add(i32::from(unit)));
    (hash & i32::MAX) % PARTITIONS
}

/// A broker's log of a partition of `__transaction_state`, from some moment on.
struct StateLog {
    file: PathBuf,
    from: u64,
}

impl StateLog {
    fn end_of(world: &World, broker: ServerKind, partition: i32) -> Result<Self, ChaosError> {
        let node = broker.to_string().replace("kafka-", "node-");
        let folder = world.stack.data_dir().join(format!("kafka/{node}/data/__transaction_state-{partition}"));
        // The first segment is never full in a run.
        let file = folder.join("00000000000000000000.log");
        let length = std::fs::metadata(&file).map_err(ChaosError::io(format!("read {}", file.display())))?.len();
        Ok(Self { file, from: length })
    }

    /// Whether it has a record of this transactional id from after that moment.
    fn has_since(&self, id: &str) -> Result<bool, ChaosError> {
        let read = || {
            let mut file = std::fs::File::open(&self.file)?;
            file.seek(SeekFrom::Start(self.from))?;
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes)?;
            Ok(bytes.windows(id.len()).any(|part| part == id.as_bytes()))
        };
        read().map_err(ChaosError::io(format!("read {}", self.file.display())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_partition_is_that_of_javas_hash() {
        // Where a broker was seen to put it; "a".hashCode() is 97.
        assert_eq!((partition_of("vigie-sentiment-a-0"), partition_of("a"), partition_of("")), (1, 1, 0));
    }
}
