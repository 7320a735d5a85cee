//! The tables that topics feed: their columns, and how a record becomes a row.

use std::collections::BTreeSet;

use tokio_postgres::types::Type;
use vigie_schemas::{Alert, AssetMention, FetchRecord, Forecast, ScoredPost, TermInsight, TrendInsight};

use crate::postgres::cell::Cell;
use crate::postgres::dictionaries::{Ids, LineageKey};
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

/// The view `posts` shows it with the columns of the record. `label` is an enum, which travels as text.
pub(crate) const POSTS: Table = Table {
    name: "stored_posts",
    columns: &[
        ("published_at", Type::TIMESTAMPTZ),
        ("fetched_at", Type::TIMESTAMPTZ),
        ("scored_at", Type::TIMESTAMPTZ),
        ("input_offset", Type::INT8),
        ("fingerprint", Type::INT8),
        ("deleted_at", Type::TIMESTAMPTZ),
        ("lineage_id", Type::INT4),
        ("source_id", Type::INT4),
        ("revision", Type::INT4),
        ("label", Type::TEXT),
        ("score", Type::FLOAT4),
        ("p_negative", Type::FLOAT4),
        ("p_neutral", Type::FLOAT4),
        ("p_positive", Type::FLOAT4),
        ("spam_score", Type::FLOAT4),
        ("sample", Type::BOOL),
        ("run_id", Type::TEXT),
        ("post_id", Type::TEXT),
        ("kind", Type::TEXT),
        ("url", Type::TEXT),
        ("author", Type::INT4),
        ("title", Type::TEXT),
        ("excerpt", Type::TEXT),
        ("language", Type::TEXT),
        ("unscored_reason", Type::TEXT),
        ("spam_reasons", Type::JSONB),
        ("assets", Type::TEXT),
    ],
};

/// `author`: the number of its author, if it is known.
pub(crate) fn post_cells<'a>(post: &'a ScoredPost, ids: Ids<'_>, author: Option<i32>) -> Vec<Cell<'a>> {
    vec![
        Cell::Time(post.published_at),
        Cell::Time(post.fetched_at),
        Cell::Time(post.scored_at),
        Cell::Long(post.lineage.last_offset),
        Cell::OptLong(post.fingerprint),
        Cell::OptTime(post.deleted_at),
        Cell::Int(ids.lineage(&LineageKey::of_post(post))),
        Cell::Int(ids.source(&post.source)),
        Cell::Int(post.revision),
        Cell::OptText(post.label.as_deref()),
        Cell::OptReal(post.score),
        Cell::OptReal(post.p_negative),
        Cell::OptReal(post.p_neutral),
        Cell::OptReal(post.p_positive),
        Cell::OptReal(post.spam_score),
        Cell::Bool(post.sample),
        Cell::Text(&post.lineage.run_id),
        Cell::Text(&post.post_id),
        Cell::Text(&post.kind),
        Cell::OptText(post.url.as_deref()),
        Cell::OptInt(author),
        Cell::OptText(post.title.as_deref()),
        Cell::Text(&post.excerpt),
        Cell::OptText(post.language.as_deref()),
        Cell::OptText(post.unscored_reason.as_deref()),
        Cell::Words(&post.spam_reasons),
        Cell::OptOwned(asset_lines(post)),
    ]
}

/// Each asset once, one a line.
fn asset_lines(post: &ScoredPost) -> Option<String> {
    let assets: BTreeSet<&str> = post.assets.iter().map(|mention| mention.asset.as_str()).collect();
    let lines = assets.into_iter().collect::<Vec<_>>().join("\n");
    (!lines.is_empty()).then_some(lines)
}

pub(crate) const POST_ASSETS: Table = Table {
    name: "post_assets",
    columns: &[
        ("published_at", Type::TIMESTAMPTZ),
        ("score", Type::FLOAT4),
        ("label", Type::TEXT),
        ("run_id", Type::TEXT),
        ("asset", Type::TEXT),
        ("post_key", Type::INT8),
        ("evidence", Type::TEXT),
    ],
};

/// `key`: the number of the post, which PostgreSQL computes.
pub(crate) fn post_asset_cells<'a>(post: &'a ScoredPost, key: i64, mention: &'a AssetMention) -> Vec<Cell<'a>> {
    let (label, score) = post.mood(mention);
    vec![
        Cell::Time(post.published_at),
        Cell::OptReal(score),
        Cell::OptText(label),
        Cell::Text(&post.lineage.run_id),
        Cell::Text(&mention.asset),
        Cell::Long(key),
        Cell::Text(&mention.evidence),
    ]
}

/// The latest revision of each window; the view `trend_windows` shows it with the columns of the record.
pub(crate) const TREND_WINDOWS: Table = Table {
    name: "stored_windows",
    columns: &[
        ("window_start", Type::TIMESTAMPTZ),
        ("emitted_at", Type::TIMESTAMPTZ),
        ("first_offset", Type::INT8),
        ("last_offset", Type::INT8),
        ("mean_score", Type::FLOAT8),
        ("window_seconds", Type::INT4),
        ("revision", Type::INT4),
        ("posts", Type::INT4),
        ("unique_authors", Type::INT4),
        ("negative", Type::INT4),
        ("neutral", Type::INT4),
        ("positive", Type::INT4),
        ("unique_posts", Type::INT4),
        ("spam_posts", Type::INT4),
        ("lineage_id", Type::INT4),
        ("anomaly_score", Type::FLOAT4),
        ("tail_probability", Type::FLOAT4),
        ("expected_posts", Type::FLOAT4),
        ("next_window_p10", Type::FLOAT4),
        ("next_window_p50", Type::FLOAT4),
        ("next_window_p90", Type::FLOAT4),
        ("next_hour_p10", Type::FLOAT4),
        ("next_hour_p50", Type::FLOAT4),
        ("next_hour_p90", Type::FLOAT4),
        ("doubling_probability", Type::FLOAT4),
        ("final", Type::BOOL),
        ("sample", Type::BOOL),
        ("run_id", Type::TEXT),
        ("asset", Type::TEXT),
        ("sources", Type::TEXT),
    ],
};

/// Every revision, in the same columns.
pub(crate) const WINDOW_REVISIONS: &str = "stored_window_revisions";

pub(crate) fn trend_cells<'a>(trend: &'a TrendInsight, ids: Ids<'_>) -> Vec<Cell<'a>> {
    let count = |number: i64| Cell::Count(Some(number));
    let forecast = trend.forecast.as_ref();
    let number = |field: fn(&Forecast) -> f64| Cell::OptReal(forecast.map(field));
    vec![
        Cell::Time(trend.window_start),
        Cell::Time(trend.emitted_at),
        Cell::Long(trend.lineage.first_offset),
        Cell::Long(trend.lineage.last_offset),
        Cell::OptDouble(trend.mean_score),
        count(trend.window_end.since(trend.window_start).as_secs() as i64),
        Cell::Int(trend.revision),
        count(trend.posts),
        count(trend.unique_authors),
        count(trend.negative),
        count(trend.neutral),
        count(trend.positive),
        Cell::Count(trend.unique_posts),
        Cell::Count(trend.spam_posts),
        Cell::Int(ids.lineage(&LineageKey::of_trend(trend))),
        Cell::OptReal(trend.anomaly_score),
        Cell::OptReal(trend.tail_probability),
        Cell::OptReal(trend.expected_posts),
        number(|f| f.next_window_p10),
        number(|f| f.next_window_p50),
        number(|f| f.next_window_p90),
        number(|f| f.next_hour_p10),
        number(|f| f.next_hour_p50),
        number(|f| f.next_hour_p90),
        number(|f| f.doubling_probability),
        Cell::Bool(trend.r#final),
        Cell::Bool(trend.sample),
        Cell::Text(&trend.lineage.run_id),
        Cell::Text(&trend.asset),
        Cell::OptOwned(Some(counts_by_source(trend, ids))),
    ]
}

/// `<id>:<posts>`, with a space between.
fn counts_by_source(trend: &TrendInsight, ids: Ids<'_>) -> String {
    let counts = trend.sources.iter().map(|(source, posts)| format!("{}:{posts}", ids.source(source)));
    counts.collect::<Vec<_>>().join(" ")
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
        ("scale_seconds", Type::INT8),
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
        Cell::OptLong(alert.scale_seconds),
    ]
}

pub(crate) const TERMS: Table = Table {
    name: "terms",
    columns: &[
        ("window_start", Type::TIMESTAMPTZ),
        ("first_seen", Type::TIMESTAMPTZ),
        ("emitted_at", Type::TIMESTAMPTZ),
        ("significance", Type::FLOAT8),
        ("expected_authors", Type::FLOAT8),
        ("window_seconds", Type::INT4),
        ("revision", Type::INT4),
        ("authors", Type::INT4),
        ("posts", Type::INT4),
        ("all_authors", Type::INT4),
        ("final", Type::BOOL),
        ("sample", Type::BOOL),
        ("run_id", Type::TEXT),
        ("term", Type::TEXT),
        ("kind", Type::TEXT),
        ("asset", Type::TEXT),
        ("assets", Type::TEXT),
        ("examples", Type::TEXT),
    ],
};

pub(crate) fn term_cells(term: &TermInsight) -> Vec<Cell<'_>> {
    let lines = |lines: Vec<String>| Cell::OptOwned((!lines.is_empty()).then(|| lines.join("\n")));
    let examples = term.examples.iter().map(|post| format!("{} {}", post.published_at.as_millis(), post.post_id));
    vec![
        Cell::Time(term.window_start),
        Cell::Time(term.first_seen),
        Cell::Time(term.emitted_at),
        Cell::Double(term.significance),
        Cell::Double(term.expected_authors),
        Cell::Count(Some(term.window_end.since(term.window_start).as_secs() as i64)),
        Cell::Int(term.revision),
        Cell::Count(Some(term.authors)),
        Cell::Count(Some(term.posts)),
        Cell::Count(Some(term.all_authors)),
        Cell::Bool(term.r#final),
        Cell::Bool(term.sample),
        Cell::Text(&term.run_id),
        Cell::Text(&term.term),
        Cell::Text(&term.kind),
        Cell::OptText(term.asset.as_deref()),
        lines(term.assets.clone()),
        lines(examples.collect()),
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
