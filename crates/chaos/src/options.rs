//! What a run does.

use std::path::PathBuf;

use vigie_processors::inference::ModelConfig;

use crate::fault::FaultKind;

/// What a run does.
#[derive(clap::Args, Clone, Debug)]
pub struct Options {
    /// Posts to publish; more if the faults take longer
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u64).range(100..))]
    pub posts: u64,
    /// How often some service is killed at some moment (SIGKILL), beside the other faults
    #[arg(long, default_value_t = 5)]
    pub kills: u32,
    /// Decides about posts, order of faults, and moments
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Faults, each once; may be given several times [default: all]
    #[arg(long = "fault", value_enum)]
    pub faults: Vec<FaultKind>,
    /// Records a second while there are faults [default: what spreads the posts over them]
    #[arg(long)]
    pub rate: Option<u64>,
    /// Busy processes beside the run, which make the machine slow
    #[arg(long, default_value_t = 0, value_name = "PROCESSES")]
    pub busy: u32,
    /// Kafka brokers: 1 or 3; faults of brokers need 3
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=3))]
    pub kafka_nodes: u8,
    /// The program under test, built with the feature `failpoints` [default: vigie beside this program]
    #[arg(long, value_name = "FILE")]
    pub vigie: Option<PathBuf>,
    /// The model, of the services and of the oracle.
    #[command(flatten)]
    pub model: ModelConfig,
    /// Where the services' logs go [default: the run's temporary folder, which is kept if the run fails]
    #[arg(long, value_name = "DIR")]
    pub logs: Option<PathBuf>,
    /// Commit without offsets (in the trends topology): the run must fail, or its checks are worth nothing
    #[arg(long)]
    pub sabotage: bool,
    /// All tasks share the counting of the whole market, from the first post on
    #[arg(long)]
    pub spread_market: bool,
    /// Where the topologies keep their state
    #[arg(long, env = "VIGIE_STATE_BACKEND", default_value = "disk", value_parser = ["memory", "disk"])]
    pub state_backend: String,
    /// Most MiB that a service may hold in memory
    #[arg(long, default_value_t = 1024)]
    pub max_memory_mib: u64,
    /// Replays beside live posts, in place of faults.
    #[arg(skip)]
    pub replay: Option<ReplayOptions>,
}

/// What is replayed beside which load.
#[derive(clap::Args, Clone, Debug)]
pub struct ReplayOptions {
    /// Live posts a second, from before the first replay until after the last
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=1_000))]
    pub live: u64,
    /// Seconds for which the live posts are alone, before the replays and after them
    #[arg(long, default_value_t = 60)]
    pub alone: u64,
    /// Records that each replay reads a second at most
    #[arg(long, value_name = "RECORDS")]
    pub replay_rate: Option<u32>,
}
