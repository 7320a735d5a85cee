//! How much and how kindly every asset is talked about, in event-time windows.

pub mod alerts;
pub mod history;
mod keys;
mod metrics;
pub mod mood;
pub mod progress;
pub mod window;

pub use metrics::TrendsMetrics;
