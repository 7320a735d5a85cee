use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use tokio_postgres::Row;
use utoipa::ToSchema;
use vigie_schemas::LIVE_RUN;

use crate::http::page::Page;
use crate::store::row::columns;
use crate::store::{Snapshot, StoreError};
use crate::time::UtcTime;

/// A word, phrase or cashtag that more authors used than was to be expected.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Term {
    /// In lower case; a cashtag with its dollar sign.
    pub term: String,
    /// word, phrase or cashtag.
    pub kind: String,
    /// Inclusive.
    pub window_start: UtcTime,
    /// Exclusive: an hour or a day after the start.
    pub window_end: UtcTime,
    /// How far the share of authors is above what is usual, in standard deviations: docs/terms.md.
    pub significance: f64,
    /// Distinct authors who used it; spam and copies are left out.
    pub authors: i64,
    /// Their posts with it.
    pub posts: i64,
    /// Distinct authors of the window.
    pub all_authors: i64,
    /// How many authors would be usual.
    pub expected_authors: f64,
    /// When the first of the posts was published.
    pub first_seen: UtcTime,
    /// The asset whose ticker or name it is; null if no asset is known by it.
    pub asset: Option<String>,
    /// Assets that at least half of the posts mention.
    pub assets: Vec<String>,
    /// The first posts, one of each author.
    pub examples: Vec<TermPost>,
    /// Nothing follows: the window takes no more posts.
    pub r#final: bool,
    /// As of when.
    pub computed_at: UtcTime,
    /// Not only from the public web.
    pub sample: bool,
    /// Its place among the terms of its window.
    #[serde(skip)]
    pub place: String,
}

/// A post behind a term.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct TermPost {
    /// Id, as /v1/assets/{asset}/posts has it.
    pub post_id: String,
    /// When it was published.
    pub published_at: UtcTime,
    /// Where; null if the post is not kept any more.
    pub source: Option<String>,
    /// Its address, if it has one.
    pub url: Option<String>,
}

/// What a term is, as the topic names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum TermKind {
    Word,
    Phrase,
    Cashtag,
}

impl TermKind {
    fn name(self) -> &'static str {
        match self {
            Self::Word => vigie_schemas::TermKind::Word.as_str(),
            Self::Phrase => vigie_schemas::TermKind::Phrase.as_str(),
            Self::Cashtag => vigie_schemas::TermKind::Cashtag.as_str(),
        }
    }
}

/// Which terms.
#[derive(Clone, Debug)]
pub(crate) struct TermsQuery {
    pub(crate) seconds: i32,
    pub(crate) asset: Option<String>,
    pub(crate) term: Option<String>,
    pub(crate) kind: Option<TermKind>,
    /// Of starts of windows.
    pub(crate) range: (UtcTime, UtcTime),
    pub(crate) min_significance: i64,
    pub(crate) page: Page,
}

/// The place puts the most significant first, for texts of numbers from 0 on of one length are in the order of the numbers.
const TERMS: &str = "SELECT * FROM (SELECT *, to_char(1e6 - significance, 'FM0000000.000000') || ' ' || term AS place FROM terms \
     WHERE run_id = $1 AND window_seconds = $2 AND window_start >= $3 AND window_start < $4 AND significance >= $5::bigint \
     AND ($6::text IS NULL OR asset = $6 OR $6 = ANY(string_to_array(assets, E'\\n'))) \
     AND ($7::text IS NULL OR term = $7) AND ($8::text IS NULL OR kind = $8) AND window_start <= $9) t \
     WHERE window_start < $9 OR place COLLATE \"C\" > $10 ORDER BY window_start DESC, place COLLATE \"C\" LIMIT $11";

/// By the key, one by one. An example is `<milliseconds> <post_id>`.
const EXAMPLES: &str = "SELECT e.line, p.source, p.url FROM (SELECT DISTINCT unnest($2::text[])) e (line) LEFT JOIN LATERAL ( \
     SELECT source, url FROM posts WHERE run_id = $1 AND published_at = to_timestamp(split_part(e.line, ' ', 1)::double precision / 1000) \
     AND post_id = substr(e.line, strpos(e.line, ' ') + 1) AND deleted_at IS NULL) p ON true";

impl Snapshot {
    /// Newest window first; of the same window the most significant first.
    pub(crate) async fn terms(&self, query: &TermsQuery) -> Result<Vec<Term>, StoreError> {
        let (from, to) = query.range;
        let (time, place) = query.page.begin(to);
        let params: &[&(dyn tokio_postgres::types::ToSql + Sync)] = &[
            &LIVE_RUN,
            &query.seconds,
            &from,
            &to,
            &query.min_significance,
            &query.asset,
            &query.term,
            &query.kind.map(TermKind::name),
            &time,
            &place,
            &query.page.rows(),
        ];
        let rows = self.rows(TERMS, params).await?;
        let lines = |row: &Row, name: &str| -> Result<Vec<String>, StoreError> {
            let text: Option<String> = row.try_get(name)?;
            Ok(text.iter().flat_map(|text| text.split('\n')).map(str::to_owned).collect())
        };
        let mut terms = Vec::with_capacity(rows.len());
        let mut examples = Vec::with_capacity(rows.len());
        for row in &rows {
            let start: jiff::Timestamp = row.try_get("window_start")?;
            let seconds: i32 = row.try_get("window_seconds")?;
            let count = |name: &str| row.try_get::<_, i32>(name).map(i64::from);
            examples.push(lines(row, "examples")?);
            terms.push(columns!(row => Term {
                term, kind, significance, expected_authors, first_seen, asset, r#final, sample, place;
                window_start: start.into(),
                window_end: (start + jiff::SignedDuration::from_secs(seconds.into())).into(),
                authors: count("authors")?,
                posts: count("posts")?,
                all_authors: count("all_authors")?,
                assets: lines(row, "assets")?,
                examples: Vec::new(),
                computed_at: row.try_get("emitted_at")?
            }));
        }
        let posts = self.examples(&examples.concat()).await?;
        for (term, lines) in terms.iter_mut().zip(examples) {
            term.examples = lines.iter().filter_map(|line| posts.get(line).cloned()).collect();
        }
        Ok(terms)
    }

    /// The posts of these lines.
    async fn examples(&self, lines: &[String]) -> Result<HashMap<String, TermPost>, StoreError> {
        let mut posts = HashMap::new();
        for row in self.rows(EXAMPLES, &[&LIVE_RUN, &lines]).await? {
            let line: String = row.try_get("line")?;
            let read = |(millis, post_id): (&str, &str)| {
                let published = jiff::Timestamp::from_millisecond(millis.parse().ok()?).ok()?;
                Some((published, post_id.to_owned()))
            };
            let Some((published, post_id)) = line.split_once(' ').and_then(read) else { continue };
            let (source, url) = (row.try_get("source")?, row.try_get("url")?);
            posts.insert(line, TermPost { post_id, published_at: published.into(), source, url });
        }
        Ok(posts)
    }
}
