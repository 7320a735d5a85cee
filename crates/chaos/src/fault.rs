//! What can be broken, and what counts as proof that it was.

use clap::ValueEnum;

/// A fault. The crate's README says of each how it proves that it fired.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum FaultKind {
    /// A processor crashes after it began a transaction
    CrashBegin,
    /// A processor crashes after it sent outputs and changelog
    CrashSend,
    /// A processor crashes after it sent the consumed offsets
    CrashOffsets,
    /// A processor crashes after its transaction was committed, before it knows
    CrashEnd,
    /// A commit fails half-way and is aborted
    Abort,
    /// A processor is stopped in a commit for longer than its session, and goes on when another has its partitions
    Zombie,
    /// A processor is stopped in a commit for longer than its transaction may be open, and goes on before its session is over
    PausePastTransaction,
    /// The transaction coordinator freezes as it is asked to commit
    CommitAnswerLost,
    /// The request to commit is lost
    EndTxnCut,
    /// The answer to the request to commit is lost
    EndTxnAnswerCut,
    /// The request to commit arrives when the client has given up
    EndTxnDelayed,
    /// The broker gets the request to commit twice
    EndTxnTwice,
    /// The outputs of a transaction are held back for seconds
    ProduceDelayed,
    /// The request to add partitions to a transaction is held back for seconds
    AddPartitionsDelayed,
    /// A processor does not reach its coordinator, and everybody else does
    NetworkPartition,
    /// Every service is stopped in order and started again, one after the other
    RollingRestart,
    /// A third instance joins and leaves again and again
    RebalanceStorm,
    /// A sink gets a tenth of the time
    SlowConsumer,
    /// Some broker is killed
    BrokerKill,
    /// Some broker is restarted in order
    BrokerRestart,
    /// The group coordinator's broker is killed
    GroupCoordinatorKill,
    /// The transaction coordinator's broker is killed
    TransactionCoordinatorKill,
    /// The transaction coordinator is killed, and as soon as another has taken over, that one
    TwoCoordinatorsKill,
    /// The transaction coordinator is killed when it alone knows that a transaction is to be committed
    CoordinatorKillUnreplicated,
    /// PostgreSQL is killed while the sink writes
    PostgresKill,
    /// Redis loses everything
    RedisFlush,
    /// The schema registry is away while services run
    RegistryWarm,
    /// The schema registry is away when a service starts
    RegistryCold,
    /// A processor's local state is deleted while it is down
    StateDeleted,
    /// A processor's local state is cut in half while it is down
    StateTruncated,
    /// A processor's local state has no room
    DiskFull,
    /// Scoring takes longer than the group waits for a member
    SlowInference,
    /// A processor's wall clock is an hour wrong for a while
    ClockStep,
}

/// What became of a fault.
pub(crate) enum Fired {
    /// It was made; this is how it is known.
    Proof(String),
    /// It cannot be made here, and why.
    Skipped(&'static str),
}

impl FaultKind {
    pub(crate) fn all() -> Vec<Self> {
        Self::value_variants().to_vec()
    }

    /// As on the command line.
    pub(crate) fn name(self) -> String {
        self.to_possible_value().map_or_else(|| format!("{self:?}"), |value| value.get_name().to_owned())
    }
}
