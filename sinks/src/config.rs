//! Options of the sinks of PostgreSQL and Redis.

use clap::Args;

/// How records are put together into transactions.
#[derive(Args, Clone, Copy, Debug)]
pub struct BatchOptions {
    /// Most records in one transaction.
    #[arg(long = "sink-batch-records", env = "VIGIE_SINK_BATCH_RECORDS", default_value_t = 5_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub batch_records: u32,
    /// Most bytes of undecoded records in one transaction; one record may exceed it.
    #[arg(long = "sink-batch-bytes", env = "VIGIE_SINK_BATCH_BYTES", default_value_t = 8 * 1024 * 1024, value_parser = clap::value_parser!(u64).range(1..))]
    pub batch_bytes: u64,
    /// Milliseconds to wait for a batch to fill, at most, from its first record. Under load batches fill while the one before is written.
    #[arg(long = "sink-linger-ms", env = "VIGIE_SINK_LINGER_MS", default_value_t = 50, value_parser = clap::value_parser!(u64).range(0..=10_000))]
    pub linger_ms: u64,
}

impl Default for BatchOptions {
    fn default() -> Self {
        Self { batch_records: 5_000, batch_bytes: 8 * 1024 * 1024, linger_ms: 50 }
    }
}
