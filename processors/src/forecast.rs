//! How many posts the next hour brings, and whether attention is about to double.
//!
//! ```text
//! learned windows ─▶ ForecastHistory (a day of windows, a week of hours) ─▶ Features ─┐ all assets of a window close
//!                                                                                     └▶ model.onnx, one run ─▶ Forecast
//! ```
//!
//! - A forecast is made after a window was learned, for what follows it: p10, p50 and p90 of the posts in the next 5-minute window and in the
//!   next hour (12 windows), and the probability that attention at least doubles within that hour.
//! - **Attention doubles** if some hour (12 windows in a row) that ends within the next hour has at least twice the posts of the last hour,
//!   and at least 10: from 0 to 3 posts is no doubling.
//! - The inputs are logarithms relative to the asset's own level, so one model serves assets of any size (`features.rs` has their list). The
//!   time of day and of week comes in by the asset's own hours of the last seven days, not by the clock: who reads a clock learns the
//!   habits of the assets in the training data.
//! - Training, measurements and limits: `models/trend/forecast/README.md`.
//!
//! **Guarantees.** A forecast depends on the windows up to its own only. The answer for a row is the same in any batch. A stored
//! [`ForecastHistory`] that was read back continues unchanged. Quantiles are finite, ordered and not negative.
//!
//! **Failures.** A history shorter than an hour has no forecast, only a [`NoForecast`]. A damaged or foreign model file is refused when it is
//! loaded ([`crate::inference::ModelError`]).

mod csv;
mod detect;
mod features;
mod history;
mod model;
mod time_of_row;

pub use csv::{DetectError, detect_csv};
pub use detect::RowForecaster;
pub use features::{FEATURES, Features};
pub use history::{ForecastHistory, LEAST_WINDOWS, WindowFacts};
pub use model::{ForecastModel, ForecasterConfig, SharedForecaster};

/// Length of the windows that the model was trained on, in milliseconds.
pub const WINDOW_MILLIS: i64 = vigie_schemas::WINDOW.as_millis() as i64;

/// Why a window has no forecast.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoForecast {
    /// The window may still change: it is not learned yet.
    Settling,
    /// There is less than an hour of history.
    ShortHistory,
    /// The history is too young by the wall clock: backlogs of many sources are still coming in.
    YoungHistory,
    /// The window got its first post only after it was learned as empty.
    LatePosts,
    /// This process has no model for windows of this length, or no ONNX Runtime.
    NoModel,
}

impl NoForecast {
    /// As written to topics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Settling => "settling",
            Self::ShortHistory => "short_history",
            Self::YoungHistory => "young_history",
            Self::LatePosts => "late_posts",
            Self::NoModel => "no_model",
        }
    }
}
