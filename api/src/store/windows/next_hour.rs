use tokio_postgres::Row;

use crate::insights::leaderboard::NextHour;
use crate::store::StoreError;
use crate::time::UtcTime;

/// The forecast of the newest window of a group that has one, for [`NextHour::read`]: arrays compare by their first elements.
pub(crate) const NEXT_HOUR: &str = "max(ARRAY[extract(epoch FROM window_end)::double precision, next_hour_p10, next_hour_p50, next_hour_p90, \
    doubling_probability]) FILTER (WHERE next_hour_p50 IS NOT NULL) AS next_hour";

impl NextHour {
    /// `None` if no window of the group has a forecast.
    pub(crate) fn read(row: &Row) -> Result<Option<Self>, StoreError> {
        Ok(Self::of(row.try_get("next_hour")?))
    }

    /// From the array that [`NEXT_HOUR`] makes.
    pub(crate) fn of(numbers: Option<Vec<Option<f64>>>) -> Option<Self> {
        let &[Some(from), Some(p10), Some(p50), Some(p90), Some(doubling_probability)] = numbers.as_deref()? else {
            return None;
        };
        Some(Self { from: UtcTime::from_seconds(from as i64), p10, p50, p90, doubling_probability })
    }
}
