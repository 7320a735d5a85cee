//! The tables that topics feed: their columns, and how a record becomes a row.

use tokio_postgres::types::Type;
use vigie_schemas::{Alert, AssetMention, FetchRecord, Forecast, Lineage, ScoredPost, TrendInsight};

use crate::postgres::cell::Cell;
use crate::sink::Row;

/// A table and the columns that a sink writes, in the order of the cells.
#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) name: &'static str,
    pub(crate) columns: &'static [(&'static str, Type)],
}

impl Table {
    /// `a, b, c`, each after `prefix`.
    pub(crate) fn list(&self, prefix: &str) -> String {
        let columns: Vec<String> = self.columns.iter().map(|(name, _)| format!("{prefix}\"{name}\"")).collect();
        columns.join(", ")
    }

    /// `a = excluded.a, b = excluded.b`, for all columns but those of the key.
    pub(crate) fn replace(&self, key: &[&str]) -> String {
        let columns = self.columns.iter().filter(|(name, _)| !key.contains(name));
        columns.map(|(name, _)| format!("\"{name}\" = excluded.\"{name}\"")).collect::<Vec<_>>().join(", ")
    }

    pub(crate) fn types(&self) -> Vec<Type> {
        self.columns.iter().map(|(_, ty)| ty.clone()).collect()
    }
}

pub(crate) const POSTS: Table = Table {
    name: "posts",
    columns: &[
        ("run_id", Type::TEXT),
        ("post_id", Type::TEXT),
        ("source", Type::TEXT),
        ("kind", Type::TEXT),
        ("url", Type::TEXT),
        ("author_id", Type::TEXT),
        ("title", Type::TEXT),
        ("excerpt", Type::TEXT),
        ("published_at", Type::TIMESTAMPTZ),
        ("fetched_at", Type::TIMESTAMPTZ),
        ("scored_at", Type::TIMESTAMPTZ),
        ("language", Type::TEXT),
        ("label", Type::TEXT),
        ("score", Type::FLOAT8),
        ("p_negative", Type::FLOAT8),
        ("p_neutral", Type::FLOAT8),
        ("p_positive", Type::FLOAT8),
        ("unscored_reason", Type::TEXT),
        ("sample", Type::BOOL),
        ("model_name", Type::TEXT),
        ("model_version", Type::TEXT),
        ("model_sha256", Type::TEXT),
        ("assets_version", Type::TEXT),
        ("input_topic", Type::TEXT),
        ("input_partition", Type::INT4),
        ("input_offset", Type::INT8),
        ("revision", Type::INT4),
        ("fingerprint", Type::INT8),
        ("spam_score", Type::FLOAT8),
        ("spam_reasons", Type::JSONB),
        ("deleted_at", Type::TIMESTAMPTZ),
        ("author_sealed", Type::BYTEA),
    ],
};

pub(crate) fn post_cells(post: &ScoredPost) -> Vec<Cell<'_>> {
    let mut cells = vec![
        Cell::Text(&post.lineage.run_id),
        Cell::Text(&post.post_id),
        Cell::Text(&post.source),
        Cell::Text(&post.kind),
        Cell::OptText(post.url.as_deref()),
        Cell::OptText(post.author_id.as_deref()),
        Cell::OptText(post.title.as_deref()),
        Cell::Text(&post.excerpt),
        Cell::Time(post.published_at),
        Cell::Time(post.fetched_at),
        Cell::Time(post.scored_at),
        Cell::OptText(post.language.as_deref()),
        Cell::OptText(post.label.as_deref()),
        Cell::OptDouble(post.score),
        Cell::OptDouble(post.p_negative),
        Cell::OptDouble(post.p_neutral),
        Cell::OptDouble(post.p_positive),
        Cell::OptText(post.unscored_reason.as_deref()),
        Cell::Bool(post.sample),
    ];
    cells.extend(lineage_cells(&post.lineage));
    cells.extend([
        Cell::Long(post.lineage.last_offset),
        Cell::Int(post.revision),
        Cell::OptLong(post.fingerprint),
        Cell::OptDouble(post.spam_score),
        Cell::Words(&post.spam_reasons),
        Cell::OptTime(post.deleted_at),
        Cell::OptBytes(post.author_sealed.as_deref()),
    ]);
    cells
}

pub(crate) const POST_ASSETS: Table = Table {
    name: "post_assets",
    columns: &[
        ("run_id", Type::TEXT),
        ("post_id", Type::TEXT),
        ("asset", Type::TEXT),
        ("evidence", Type::TEXT),
        ("published_at", Type::TIMESTAMPTZ),
        ("score", Type::FLOAT8),
        ("label", Type::TEXT),
    ],
};

pub(crate) fn post_asset_cells<'a>(post: &'a ScoredPost, mention: &'a AssetMention) -> Vec<Cell<'a>> {
    vec![
        Cell::Text(&post.lineage.run_id),
        Cell::Text(&post.post_id),
        Cell::Text(&mention.asset),
        Cell::Text(&mention.evidence),
        Cell::Time(post.published_at),
        Cell::OptDouble(post.score),
        Cell::OptText(post.label.as_deref()),
    ]
}

pub(crate) const TREND_WINDOWS: Table = Table {
    name: "trend_windows",
    columns: &[
        ("run_id", Type::TEXT),
        ("asset", Type::TEXT),
        ("window_start", Type::TIMESTAMPTZ),
        ("window_end", Type::TIMESTAMPTZ),
        ("revision", Type::INT4),
        ("final", Type::BOOL),
        ("posts", Type::INT8),
        ("unique_authors", Type::INT8),
        ("negative", Type::INT8),
        ("neutral", Type::INT8),
        ("positive", Type::INT8),
        ("mean_score", Type::FLOAT8),
        ("anomaly_score", Type::FLOAT8),
        ("expected_posts", Type::FLOAT8),
        ("sources", Type::JSONB),
        ("emitted_at", Type::TIMESTAMPTZ),
        ("sample", Type::BOOL),
        ("model_name", Type::TEXT),
        ("model_version", Type::TEXT),
        ("model_sha256", Type::TEXT),
        ("assets_version", Type::TEXT),
        ("input_topic", Type::TEXT),
        ("input_partition", Type::INT4),
        ("first_offset", Type::INT8),
        ("last_offset", Type::INT8),
        ("next_window_p10", Type::FLOAT8),
        ("next_window_p50", Type::FLOAT8),
        ("next_window_p90", Type::FLOAT8),
        ("next_hour_p10", Type::FLOAT8),
        ("next_hour_p50", Type::FLOAT8),
        ("next_hour_p90", Type::FLOAT8),
        ("doubling_probability", Type::FLOAT8),
        ("forecast_model", Type::TEXT),
        ("forecast_version", Type::TEXT),
        ("forecast_sha256", Type::TEXT),
        ("no_forecast_reason", Type::TEXT),
        ("unique_posts", Type::INT8),
        ("spam_posts", Type::INT8),
    ],
};

pub(crate) fn trend_cells(trend: &TrendInsight) -> Vec<Cell<'_>> {
    let mut cells = vec![
        Cell::Text(&trend.lineage.run_id),
        Cell::Text(&trend.asset),
        Cell::Time(trend.window_start),
        Cell::Time(trend.window_end),
        Cell::Int(trend.revision),
        Cell::Bool(trend.r#final),
        Cell::Long(trend.posts),
        Cell::Long(trend.unique_authors),
        Cell::Long(trend.negative),
        Cell::Long(trend.neutral),
        Cell::Long(trend.positive),
        Cell::OptDouble(trend.mean_score),
        Cell::OptDouble(trend.anomaly_score),
        Cell::OptDouble(trend.expected_posts),
        Cell::Counts(&trend.sources),
        Cell::Time(trend.emitted_at),
        Cell::Bool(trend.sample),
    ];
    cells.extend(lineage_cells(&trend.lineage));
    cells.push(Cell::Long(trend.lineage.first_offset));
    cells.push(Cell::Long(trend.lineage.last_offset));
    let forecast = trend.forecast.as_ref();
    let number = |field: fn(&Forecast) -> f64| Cell::OptDouble(forecast.map(field));
    cells.extend([
        number(|f| f.next_window_p10),
        number(|f| f.next_window_p50),
        number(|f| f.next_window_p90),
        number(|f| f.next_hour_p10),
        number(|f| f.next_hour_p50),
        number(|f| f.next_hour_p90),
        number(|f| f.doubling_probability),
        Cell::OptText(forecast.map(|f| f.model_name.as_str())),
        Cell::OptText(forecast.map(|f| f.model_version.as_str())),
        Cell::OptText(forecast.map(|f| f.model_sha256.as_str())),
        Cell::OptText(trend.no_forecast_reason.as_deref()),
        Cell::OptLong(trend.unique_posts),
        Cell::OptLong(trend.spam_posts),
    ]);
    cells
}

fn lineage_cells(lineage: &Lineage) -> [Cell<'_>; 6] {
    [
        Cell::Text(&lineage.model_name),
        Cell::Text(&lineage.model_version),
        Cell::Text(&lineage.model_sha256),
        Cell::Text(&lineage.assets_version),
        Cell::Text(&lineage.input_topic),
        Cell::Int(lineage.input_partition),
    ]
}

pub(crate) const ALERTS: Table = Table {
    name: "alerts",
    columns: &[
        ("alert_id", Type::TEXT),
        ("run_id", Type::TEXT),
        ("asset", Type::TEXT),
        ("kind", Type::TEXT),
        ("window_start", Type::TIMESTAMPTZ),
        ("window_end", Type::TIMESTAMPTZ),
        ("value", Type::FLOAT8),
        ("expected", Type::FLOAT8),
        ("anomaly_score", Type::FLOAT8),
        ("raised_at", Type::TIMESTAMPTZ),
        ("sample", Type::BOOL),
    ],
};

pub(crate) fn alert_cells(alert: &Alert) -> Vec<Cell<'_>> {
    vec![
        Cell::Text(&alert.alert_id),
        Cell::Text(&alert.run_id),
        Cell::Text(&alert.asset),
        Cell::Text(&alert.kind),
        Cell::Time(alert.window_start),
        Cell::Time(alert.window_end),
        Cell::Double(alert.value),
        Cell::OptDouble(alert.expected),
        Cell::OptDouble(alert.anomaly_score),
        Cell::Time(alert.raised_at),
        Cell::Bool(alert.sample),
    ]
}

pub(crate) const FETCHES: Table = Table {
    name: "fetches",
    columns: &[
        ("topic", Type::TEXT),
        ("partition", Type::INT4),
        ("offset", Type::INT8),
        ("source", Type::TEXT),
        ("kind", Type::TEXT),
        ("url", Type::TEXT),
        ("at", Type::TIMESTAMPTZ),
        ("decision", Type::TEXT),
        ("status", Type::INT4),
        ("bytes", Type::INT8),
        ("posts_seen", Type::INT8),
        ("posts_new", Type::INT8),
        ("duration_ms", Type::INT8),
        ("next_at", Type::TIMESTAMPTZ),
        ("reason", Type::TEXT),
        ("sample", Type::BOOL),
    ],
};

pub(crate) fn fetch_cells<'a>(row: &'a Row, fetch: &'a FetchRecord) -> Vec<Cell<'a>> {
    vec![
        Cell::Text(&row.partition.topic),
        Cell::Int(row.partition.partition),
        Cell::Long(row.offset),
        Cell::Text(&fetch.source),
        Cell::Text(&fetch.kind),
        Cell::Text(&fetch.url),
        Cell::Time(fetch.at),
        Cell::Text(&fetch.decision),
        Cell::OptInt(fetch.status),
        Cell::Long(fetch.bytes),
        Cell::Long(fetch.posts_seen),
        Cell::Long(fetch.posts_new),
        Cell::Long(fetch.duration_ms),
        Cell::Time(fetch.next_at),
        Cell::OptText(fetch.reason.as_deref()),
        Cell::Bool(fetch.sample),
    ]
}
