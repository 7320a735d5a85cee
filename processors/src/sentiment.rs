//! Language, assets and sentiment of every post.

mod dedupe;
mod enrich;
mod metrics;

pub use enrich::enrich;
pub use metrics::SentimentMetrics;
