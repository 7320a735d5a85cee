use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::http::page::Page;
use crate::store::row::columns;
use crate::store::runs::served::Served;
use crate::store::{Snapshot, StoreError};
use crate::time::UtcTime;

/// Something about an asset that deserves a look.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Alert {
    /// The same alert raised twice has the same id.
    pub alert_id: String,
    /// `live`, or the id of a replay.
    pub run_id: String,
    /// Canonical id; `*` stands for all posts.
    pub asset: String,
    /// attention_spike or sentiment_drop.
    pub kind: String,
    /// Start of the window that brought it to light; inclusive.
    pub window_start: UtcTime,
    /// Exclusive.
    pub window_end: UtcTime,
    /// What was seen in the `scale_seconds` up to `window_end`: posts, or the mean score.
    pub value: f64,
    /// What is usual.
    pub expected: Option<f64>,
    /// 0 to 1.
    pub anomaly_score: Option<f64>,
    /// When it was raised.
    pub raised_at: UtcTime,
    /// Not from the public web.
    pub sample: bool,
    /// Length of what was looked at: a window, or 1 h, 6 h or 1 d for slow and thin events; null for the window, of alerts from before there were scales.
    pub scale_seconds: Option<i64>,
}

/// What an alert is about, as the topic names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum AlertKind {
    AttentionSpike,
    SentimentDrop,
}

impl AlertKind {
    fn name(self) -> &'static str {
        match self {
            Self::AttentionSpike => vigie_schemas::AlertKind::AttentionSpike.as_str(),
            Self::SentimentDrop => vigie_schemas::AlertKind::SentimentDrop.as_str(),
        }
    }
}

/// Which alerts.
#[derive(Clone, Debug)]
pub(crate) struct AlertsQuery {
    pub(crate) served: Served,
    pub(crate) asset: Option<String>,
    pub(crate) kind: Option<AlertKind>,
    /// Of starts of windows.
    pub(crate) range: (UtcTime, UtcTime),
    /// Only what had been raised at this time.
    pub(crate) as_of: Option<UtcTime>,
    pub(crate) page: Page,
}

impl Snapshot {
    /// Newest window first; of the same window by id.
    pub(crate) async fn alerts(&self, query: &AlertsQuery) -> Result<Vec<Alert>, StoreError> {
        let asset = if query.asset.is_some() { "asset = $2" } else { "$2::text IS NULL" };
        let sql = format!(
            "SELECT * FROM alerts WHERE run_id = $1 AND {asset} AND ($3::text IS NULL OR kind = $3) \
             AND window_start >= $4 AND window_start < $5 AND window_start <= $6 AND (window_start < $6 OR alert_id > $7) \
             AND ($9::timestamptz IS NULL OR raised_at <= $9) \
             ORDER BY window_start DESC, alert_id LIMIT $8"
        );
        let mut alerts = Vec::new();
        for part in query.served.within(query.range).parts().iter().rev() {
            let limit = query.page.rows() - alerts.len() as i64;
            if limit > 0 {
                alerts.extend(self.alerts_of(&part.run, part.clip(query.range), limit, query, &sql).await?);
            }
        }
        Ok(alerts)
    }

    async fn alerts_of(
        &self,
        run: &str,
        (from, to): (UtcTime, UtcTime),
        limit: i64,
        query: &AlertsQuery,
        sql: &str,
    ) -> Result<Vec<Alert>, StoreError> {
        let (time, id) = query.page.begin(to);
        let params: &[&(dyn tokio_postgres::types::ToSql + Sync)] =
            &[&run, &query.asset, &query.kind.map(AlertKind::name), &from, &to, &time, &id, &limit, &query.as_of];
        let rows = self.rows(sql, params).await?;
        rows.iter()
            .map(|row| {
                Ok(columns!(row => Alert {
                    alert_id, run_id, asset, kind, window_start, window_end, value, expected, anomaly_score,
                    raised_at, sample, scale_seconds
                }))
            })
            .collect()
    }
}
