//! The trends topology's processor: mentions in, window revisions and alerts out.
//!
//! ```text
//! process:    mention ─▶ late? ─▶ window (+ author) ─▶ dirty
//! before each commit:  watermark ─▶ learn what is usual ─▶ close windows (final) ─▶ emit dirty windows ─▶ alerts
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use vigie_clock::Timestamp;
use vigie_kafka_client::Record;
use vigie_schemas::{Mention, Topic};
use vigie_streams::{Processor, ProcessorContext, ProcessorError, Punctuation};

use super::alerts::{AlertPolicy, alerts};
use super::history::{AssetHistory, Judgement, boundary};
use super::metrics::TrendsMetrics;
use super::progress::Progress;
use super::window::{InsightHeader, WindowSpec, WindowState, validate};
use super::{keys, stores};
use crate::RecordCodec;

/// What the topology does, apart from where it runs.
#[derive(Clone, Debug)]
pub struct TrendsSettings {
    /// The run that the insights belong to.
    pub run_id: String,
    /// Topic of mentions.
    pub source: String,
    /// Topic of window revisions.
    pub insights: String,
    /// Topic of alerts; `None` for a replay, which raises none.
    pub alerts: Option<String>,
    /// Shape of the windows.
    pub windows: WindowSpec,
    /// How long after its end a window is still expected to change; then it is learned as history.
    pub settle: Duration,
    /// Silence, by the wall clock, after which an upstream partition does not hold the watermark back.
    pub idle_timeout: Duration,
    /// When to raise alerts.
    pub policy: AlertPolicy,
}

/// One task's processor.
pub struct TrendsProcessor<C> {
    settings: Arc<TrendsSettings>,
    codec: C,
    metrics: TrendsMetrics,
    /// As in the store; read with the first batch.
    progress: Option<Progress>,
    /// Windows that changed since the last commit.
    dirty: BTreeSet<(Timestamp, String)>,
}
