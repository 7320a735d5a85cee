//! Options of the sinks of PostgreSQL and Redis.

use clap::Args;
use vigie_daemon::units::{bytes, milliseconds};

/// How records are put together into transactions.
#[derive(Args, Clone, Copy, Debug)]
pub struct BatchOptions {
    /// Most records in one transaction.
    #[arg(long = "sink-batch-records", env = "VIGIE_SINK_BATCH_RECORDS", default_value_t = 5_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub batch_records: u32,
    /// Most of undecoded records in one transaction; one record may exceed it.
    #[arg(long = "sink-batch-size", alias = "sink-batch-bytes", env = "VIGIE_SINK_BATCH_SIZE", default_value = "8MiB", value_name = "SIZE", value_parser = bytes(1_u64..))]
    pub batch_bytes: u64,
    /// Time to wait for a batch to fill, at most, from its first record. Under load batches fill while the one before is written.
    #[arg(long = "sink-linger", alias = "sink-linger-ms", env = "VIGIE_SINK_LINGER", default_value = "50ms", value_name = "DURATION", value_parser = milliseconds(0..=10_000_u64))]
    pub linger_ms: u64,
}

impl Default for BatchOptions {
    fn default() -> Self {
        Self { batch_records: 5_000, batch_bytes: 8 * 1024 * 1024, linger_ms: 50 }
    }
}
