//! Posts by their words. The index is in V6; erased posts have no words, and a question has to have one that must occur.

use std::collections::BTreeMap;

use tokio_postgres::types::ToSql;
use vigie_schemas::WHOLE_MARKET;

use crate::http::problem::Problem;
use crate::store::runs::served::Served;
use crate::store::{Snapshot, StoreError};
use crate::time::UtcTime;

/// What is searched for, as `websearch_to_tsquery` reads it: all words, "phrases", `or`, and `-` before what must not occur.
#[derive(Clone, Debug)]
pub(crate) struct Words(pub(crate) String);

/// That the post `p` has the words of the parameter.
pub(super) const MATCHES: &str = "post_words(p.title, p.excerpt) @@ websearch_to_tsquery('pg_catalog.simple', ?::text)";
/// Posts `p` with the row `k` of the asset that they are about.
pub(super) const ABOUT: &str = "posts p JOIN post_assets k ON k.run_id = p.run_id AND k.published_at = p.published_at \
     AND k.post_key = p.post_key AND k.published_at >= $3 AND k.published_at < $4";

impl Words {
    /// Signs that stand between words go, as they do in posts (V6). A hyphen stays where a word begins.
    pub(crate) fn new(text: &str) -> Self {
        let mut words = String::with_capacity(text.len());
        for c in text.chars() {
            let begins = words.chars().next_back().is_none_or(|last| last.is_whitespace() || last == '"');
            let between = "./@:_&?=".contains(c) || c == '-' && !begins;
            words.push(if between { ' ' } else { c });
        }
        Self(words)
    }
}

/// Where posts are counted.
pub(crate) struct VolumeQuery {
    pub(crate) served: Served,
    pub(crate) asset: String,
    pub(crate) from: UtcTime,
    pub(crate) to: UtcTime,
    /// Length of an interval in seconds.
    pub(crate) interval: i64,
    pub(crate) words: Words,
    pub(crate) language: Option<String>,
    pub(crate) as_of: Option<UtcTime>,
}

impl Snapshot {
    /// A problem if nothing has to occur: "-btc" is about nearly every post.
    pub(crate) async fn check_words(&self, Words(words): &Words) -> Result<(), Problem> {
        let sql = "SELECT querytree(websearch_to_tsquery('pg_catalog.simple', $1)) IN ('', 'T')";
        let rows = self.rows(sql, &[words]).await?;
        match rows.first().map(|row| row.try_get(0)).transpose().map_err(StoreError::from)? {
            Some(false) => Ok(()),
            _ => Err(Problem::invalid_parameter("q", format!("{words:?}, expected a word that has to occur"))),
        }
    }

    /// Posts with the words, by the start of their interval; none where there are none.
    pub(crate) async fn volume(&self, query: &VolumeQuery) -> Result<BTreeMap<UtcTime, i64>, StoreError> {
        let (table, asset) =
            if query.asset == WHOLE_MARKET { ("posts p", "$2::text = '*'") } else { (ABOUT, "k.asset = $2") };
        let sql = format!(
            "SELECT date_bin($5::text::interval, p.published_at, '1970-01-05T00:00:00Z'::timestamptz) AS start, count(*) AS posts \
             FROM {table} WHERE p.run_id = $1 AND {asset} AND p.published_at >= $3 AND p.published_at < $4 AND p.deleted_at IS NULL \
             AND {} AND ($7::text IS NULL OR p.language = $7) AND ($8::timestamptz IS NULL OR p.scored_at <= $8) GROUP BY 1",
            MATCHES.replace('?', "$6")
        );
        let interval = format!("{} seconds", query.interval);
        let (asset, words, language) = (&query.asset, &query.words.0, &query.language);
        let served = query.served.within((query.from, query.to));
        let params: &[&(dyn ToSql + Sync)] = &[asset, &query.from, &query.to, &interval, words, language, &query.as_of];
        let rows = self.rows_of(&served, &sql, params).await?;
        rows.iter().map(|row| Ok((row.try_get("start")?, row.try_get("posts")?))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::Words;

    #[test]
    fn signs_between_words_go_and_a_minus_before_one_stays() {
        let words = |text| Words::new(text).0;
        assert_eq!(
            words("btc/usd -scam stable-coin \"de-peg now\" -\"to the moon\""),
            "btc usd -scam stable coin \"de peg now\" -\"to the moon\""
        );
    }
}
