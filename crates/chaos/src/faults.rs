//! How each fault is made.

pub(crate) mod brokers;
pub(crate) mod clock;
pub(crate) mod commits;
pub(crate) mod coordinators;
pub(crate) mod members;
pub(crate) mod registry;
pub(crate) mod requests;
pub(crate) mod state;
pub(crate) mod stores;

use crate::error::ChaosError;
use crate::fault::{FaultKind, Fired};
use crate::world::World;
use crate::world::proxy::{Request, Trick};

impl FaultKind {
    fn needs_three_brokers(self) -> bool {
        use FaultKind::{
            BrokerKill, BrokerRestart, CommitAnswerLost, CoordinatorKillUnreplicated, GroupCoordinatorKill,
            TransactionCoordinatorKill, TwoCoordinatorsKill,
        };
        matches!(
            self,
            BrokerKill
                | BrokerRestart
                | GroupCoordinatorKill
                | TransactionCoordinatorKill
                | TwoCoordinatorsKill
                | CoordinatorKillUnreplicated
                | CommitAnswerLost
        )
    }

    /// Makes the fault, and returns when the services are ready again.
    ///
    /// # Errors
    /// [`ChaosError::DidNotFire`] if it had no effect; others if the pipeline does not come back.
    pub(crate) async fn fire(self, world: &mut World) -> Result<Fired, ChaosError> {
        if self.needs_three_brokers() && world.options.kafka_nodes < 3 {
            return Ok(Fired::Skipped("it needs three brokers"));
        }
        let proof = match self {
            Self::CrashBegin => commits::crash(world, "commit.begin").await,
            Self::CrashSend => commits::crash(world, "commit.send").await,
            Self::CrashOffsets => commits::crash(world, "commit.offsets").await,
            Self::CrashEnd => commits::crash(world, "commit.end").await,
            Self::Abort => commits::abort(world).await,
            Self::Zombie => commits::zombie(world).await,
            Self::CommitAnswerLost => commits::answer_lost(world).await,
            Self::EndTxnCut => requests::trick(world, Request::EndTxn, Trick::Cut).await,
            Self::EndTxnAnswerCut => requests::trick(world, Request::EndTxn, Trick::CutAnswer).await,
            Self::EndTxnDelayed => requests::trick(world, Request::EndTxn, Trick::Delay(requests::TOO_LATE)).await,
            Self::EndTxnTwice => requests::trick(world, Request::EndTxn, Trick::Twice).await,
            Self::ProduceDelayed => requests::delay(world, Request::Produce).await,
            Self::AddPartitionsDelayed => requests::delay(world, Request::AddPartitionsToTxn).await,
            Self::NetworkPartition => requests::part(world).await,
            Self::PausePastTransaction => commits::pause(world).await,
            Self::RollingRestart => members::rolling_restart(world).await,
            Self::RebalanceStorm => members::storm(world).await,
            Self::SlowConsumer => members::slow_consumer(world).await,
            Self::BrokerKill => brokers::kill(world).await,
            Self::BrokerRestart => brokers::restart(world).await,
            Self::GroupCoordinatorKill => brokers::kill_group_coordinator(world).await,
            Self::TransactionCoordinatorKill => brokers::kill_transaction_coordinator(world).await,
            Self::TwoCoordinatorsKill => coordinators::kill_two(world).await,
            Self::CoordinatorKillUnreplicated => coordinators::kill_unreplicated(world).await,
            Self::PostgresKill => stores::kill_postgres(world).await,
            Self::RedisFlush => stores::flush_redis(world).await,
            Self::RegistryWarm => registry::warm(world).await,
            Self::RegistryCold => registry::cold(world).await,
            Self::StateDeleted | Self::StateTruncated | Self::DiskFull => return state::fire(self, world).await,
            Self::SlowInference => commits::slow_inference(world).await,
            Self::ClockStep => clock::step(world).await,
        }?;
        world.fleet.until_all_ready().await?;
        Ok(Fired::Proof(proof))
    }
}
