use tokio_postgres::Row;

use super::StoreError;
use crate::leaderboard::NextHour;

/// The forecast of the newest window of a group that has one: columns for [`NextHour::read`].
pub(crate) const NEXT_HOUR: &str = "(array_agg(window_end ORDER BY window_start DESC) FILTER (WHERE next_hour_p50 IS NOT NULL))[1] AS forecast_from, \
    (array_agg(next_hour_p10 ORDER BY window_start DESC) FILTER (WHERE next_hour_p50 IS NOT NULL))[1] AS next_hour_p10, \
    (array_agg(next_hour_p50 ORDER BY window_start DESC) FILTER (WHERE next_hour_p50 IS NOT NULL))[1] AS next_hour_p50, \
    (array_agg(next_hour_p90 ORDER BY window_start DESC) FILTER (WHERE next_hour_p50 IS NOT NULL))[1] AS next_hour_p90, \
    (array_agg(doubling_probability ORDER BY window_start DESC) FILTER (WHERE next_hour_p50 IS NOT NULL))[1] AS doubling_probability";

impl NextHour {
    /// `None` if no window of the group has a forecast.
    pub(crate) fn read(row: &Row) -> Result<Option<Self>, StoreError> {
        let from: Option<jiff::Timestamp> = row.try_get("forecast_from")?;
        let number = |name: &str| row.try_get::<_, Option<f64>>(name);
        let numbers = (number("next_hour_p10")?, number("next_hour_p50")?, number("next_hour_p90")?);
        let (Some(from), (Some(p10), Some(p50), Some(p90))) = (from, numbers) else { return Ok(None) };
        let Some(doubling_probability) = number("doubling_probability")? else { return Ok(None) };
        Ok(Some(Self { from: from.into(), p10, p50, p90, doubling_probability }))
    }
}
