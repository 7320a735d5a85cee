//! Forecasts for the rows of a series, each made before its row is seen.

use vigie_schemas::Forecast;

use super::history::{ForecastHistory, WindowFacts};
use super::{Features, SharedForecaster, WINDOW_MILLIS, time_of_row};
use crate::anomaly::InvalidCount;
use crate::inference::ModelError;

/// The forecaster of the rows of one series. Rows are windows of 5 minutes in a row; a series of other steps has no forecasts.
pub struct RowForecaster {
    model: SharedForecaster,
    history: ForecastHistory,
    first: Option<i64>,
    rows: i64,
    foreign: bool,
}

impl RowForecaster {
    /// Has seen no row.
    pub fn new(model: SharedForecaster) -> Self {
        Self { model, history: ForecastHistory::default(), first: None, rows: 0, foreign: false }
    }

    /// What is expected of the next row; `None` until there is an hour of history, or if rows are not 5 minutes apart.
    ///
    /// # Errors
    /// If the model fails.
    pub fn expected(&self) -> Result<Option<Forecast>, ModelError> {
        let Some(row) = Features::of(&self.history).ok().filter(|_| !self.foreign) else { return Ok(None) };
        Ok(self.model.forecast(&[&row])?.pop())
    }

    /// Learns a row. A time that cannot be read is that of 1970.
    ///
    /// # Errors
    /// If the value is no count.
    pub fn learn(&mut self, timestamp: &str, value: f64) -> Result<(), InvalidCount> {
        let time = time_of_row::millis(timestamp);
        if self.rows == 1
            && let (Some(first), Some(second)) = (self.first, time)
        {
            self.foreign = second.abs_diff(first) != WINDOW_MILLIS.unsigned_abs();
        }
        let first = *self.first.get_or_insert(time.unwrap_or(0));
        self.history
            .learn(time_of_row::window(first) + self.rows, WindowFacts { posts: value, ..WindowFacts::default() })?;
        self.rows += 1;
        Ok(())
    }
}
