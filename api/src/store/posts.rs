use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tokio_postgres::Row;
use tokio_postgres::types::{Json, ToSql};
use utoipa::ToSchema;
use vigie_schemas::WHOLE_MARKET;

use super::runs::served::Served;
use super::windows::lineage::Model;
use super::{Snapshot, StoreError};
use crate::store::row::columns;
use crate::time::UtcTime;
use search::{ABOUT, MATCHES, Words};

pub(crate) mod search;
pub(crate) mod terms;
pub(crate) mod unique;

/// A post with its sentiment.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Post {
    /// Stable id: kind of source, native id.
    pub post_id: String,
    /// Id of the source.
    pub source: String,
    /// Kind of the source: rss, hackernews, reddit, ...
    pub kind: String,
    /// Where it stands; only http and https.
    pub url: Option<String>,
    /// Pseudonym of its author.
    pub author_id: Option<String>,
    /// Plain text.
    pub title: Option<String>,
    /// The beginning of its text.
    pub excerpt: String,
    /// When it was published: the time that counts.
    pub published_at: UtcTime,
    /// When it was read from its source.
    pub fetched_at: UtcTime,
    /// When the model scored it.
    pub scored_at: UtcTime,
    /// ISO 639-1; null if it is unknown.
    pub language: Option<String>,
    /// negative, neutral or positive; null if it was not scored.
    pub label: Option<String>,
    /// p_positive - p_negative, -1 to 1; null if it was not scored.
    pub score: Option<f64>,
    /// Of the labels; null if it was not scored.
    pub probabilities: Option<Probabilities>,
    /// Why it was not scored.
    pub unscored_reason: Option<String>,
    /// What gave the asset away: cashtag, ticker, name or alias; null when asking for `*`.
    pub evidence: Option<String>,
    /// All that it mentions, by id, each with the mood towards it.
    pub assets: Vec<AssetMood>,
    /// 1, 2, ...: one more with each edit.
    pub revision: i32,
    /// Other posts with the same words that were published within a day before or after it; 1,000 at most are counted.
    pub copies: i64,
    /// 0 to 1; from 0.5 on the post is left out of the unique volume. Null if it was not judged.
    pub spam_score: Option<f64>,
    /// Why, in stable words: promotion, promised_gain, wallet_begging, bot, link_only, many_cashtags, many_hashtags, price_feed, offer,
    /// market_feed, lottery, invitation, many_handles, repetition, capitals, wording. A score below 0.5 may have some too.
    pub spam_reasons: Vec<String>,
    /// Not from the public web.
    pub sample: bool,
    /// What the score stands on.
    pub lineage: PostLineage,
    /// Of its words, see [`unique`].
    #[serde(skip)]
    pub(crate) fingerprint: Option<i64>,
}

/// An asset that a post mentions.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct AssetMood {
    /// Canonical id.
    pub asset: String,
    /// Mood towards it, which may differ from the post's where it mentions several; null if it was not scored.
    pub label: Option<String>,
    /// -1 to 1; null if it was not scored.
    pub score: Option<f64>,
}

/// Probabilities of the labels. They add up to 1.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
pub(crate) struct Probabilities {
    /// Of negative.
    pub negative: f64,
    /// Of neutral.
    pub neutral: f64,
    /// Of positive.
    pub positive: f64,
}

/// Which model read which record.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct PostLineage {
    /// `live`, or the id of a replay.
    pub run_id: String,
    /// The model.
    pub model: Model,
    /// Topic of the raw post.
    pub input_topic: String,
    /// Its partition.
    pub input_partition: i32,
    /// Its offset.
    pub input_offset: i64,
}

/// Which posts.
#[derive(Clone, Debug)]
pub(crate) struct PostsQuery {
    pub(crate) served: Served,
    pub(crate) asset: String,
    pub(crate) from: UtcTime,
    pub(crate) to: UtcTime,
    pub(crate) filter: PostsFilter,
    /// Only what comes after this post: older, or as old with a higher id.
    pub(crate) after: Option<(UtcTime, String)>,
    pub(crate) limit: i64,
}

impl PostsQuery {
    /// The same of each part, the newest first.
    pub(super) fn of_parts(&self) -> impl Iterator<Item = (String, Self)> {
        let range = (self.from, self.to);
        self.served.within(range).parts().to_vec().into_iter().rev().map(move |part| {
            let (from, to) = part.clip(range);
            (part.run, Self { from, to, ..self.clone() })
        })
    }
}

/// What posts must have.
#[derive(Clone, Debug, Default)]
pub(crate) struct PostsFilter {
    pub(crate) label: Option<LabelFilter>,
    pub(crate) source: Option<String>,
    pub(crate) language: Option<String>,
    pub(crate) author: Option<String>,
    /// Anywhere in the title or the excerpt, in any case.
    pub(crate) text: Option<String>,
    /// See [`search`].
    pub(crate) words: Option<Words>,
    pub(crate) min_score: Option<f64>,
    pub(crate) max_score: Option<f64>,
    /// Scored by this time.
    pub(crate) as_of: Option<UtcTime>,
    pub(crate) no_spam: bool,
}

impl PostsFilter {
    /// Whether many posts may have to be read to find one.
    pub(crate) fn picks(&self) -> bool {
        self.source.is_some()
            || self.language.is_some()
            || self.author.is_some()
            || self.text.is_some()
            || self.words.is_some()
            || self.min_score.is_some()
            || self.max_score.is_some()
    }

    /// Conditions on the post `p` and on the label and the score of `k`, and their parameters from $8 on.
    fn conditions(&self, k: &str) -> (String, Vec<Param>) {
        let mut sql = String::new();
        let mut params: Vec<Param> = Vec::new();
        let mut add = |condition: &str, value: Option<Param>| {
            if let Some(value) = value {
                params.push(value);
                let place = format!("${}", FIRST_OF_FILTER + params.len() - 1);
                sql.push_str(&format!(" AND {}", condition.replace('?', &place)));
            }
        };
        let text = |value: &Option<String>| value.clone().map(|value| Box::new(value) as Param);
        add("p.source = ?", text(&self.source));
        add("p.language = ?", text(&self.language));
        add("p.author_id = ?", text(&self.author));
        add("(p.title ILIKE ? OR p.excerpt ILIKE ?)", text(&self.text.as_deref().map(contains)));
        add(MATCHES, text(&self.words.as_ref().map(|Words(words)| words.clone())));
        add(&format!("{k}.score::numeric::float8 >= ?"), self.min_score.map(|score| Box::new(score) as Param));
        add(&format!("{k}.score::numeric::float8 <= ?"), self.max_score.map(|score| Box::new(score) as Param));
        add("p.scored_at <= ?", self.as_of.map(|time| Box::new(time) as Param));
        sql.push_str(&match self.label {
            None => String::new(),
            Some(LabelFilter::Negative) => format!(" AND {k}.label = 'negative'"),
            Some(LabelFilter::Neutral) => format!(" AND {k}.label = 'neutral'"),
            Some(LabelFilter::Positive) => format!(" AND {k}.label = 'positive'"),
            Some(LabelFilter::Unscored) => format!(" AND {k}.label IS NULL"),
        });
        if self.no_spam {
            sql.push_str(" AND (p.spam_score IS NULL OR p.spam_score < 0.5)");
        }
        (sql, params)
    }
}

type Param = Box<dyn ToSql + Sync + Send>;

const FIRST_OF_FILTER: usize = 8;

/// A pattern of texts with `text` in them, as it is.
fn contains(text: &str) -> String {
    let escaped = text.replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_");
    format!("%{escaped}%")
}

/// Posts of a label, or without one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum LabelFilter {
    Negative,
    Neutral,
    Positive,
    Unscored,
}

/// For queries over posts from $3 to $4. The times that are said twice let PostgreSQL pass over partitions before it begins.
const COLUMNS: &str = "p.post_id, p.source, p.kind, p.url, p.author_id, p.title, p.excerpt, p.published_at, p.fetched_at, p.scored_at, \
    p.language, p.label, p.score, p.p_negative, p.p_neutral, p.p_positive, p.unscored_reason, p.sample, p.run_id, p.model_name, \
    p.model_version, p.model_sha256, p.assets_version, p.input_topic, p.input_partition, p.input_offset, p.revision, p.spam_score, \
    p.spam_reasons, p.fingerprint, (SELECT greatest(count(*) - 1, 0) FROM (SELECT FROM posts c WHERE c.run_id = p.run_id AND c.fingerprint = p.fingerprint \
    AND c.published_at >= p.published_at - interval '24 hours' AND c.published_at <= p.published_at + interval '24 hours' \
    AND c.published_at >= $3::timestamptz - interval '24 hours' AND c.published_at < $4::timestamptz + interval '24 hours' LIMIT 1001) c) AS copies, \
    (SELECT coalesce(jsonb_agg(jsonb_build_object('asset', m.asset, 'label', m.label, 'score', m.score) ORDER BY m.asset), '[]') \
    FROM post_assets m WHERE m.run_id = p.run_id AND m.asset = ANY (p.assets) AND m.published_at = p.published_at AND m.post_key = p.post_key \
    AND m.published_at >= $3 AND m.published_at < $4) AS moods";

impl Snapshot {
    /// Newest first; of the same time by id.
    pub(crate) async fn posts(&self, query: &PostsQuery) -> Result<Vec<Post>, StoreError> {
        let mut posts = Vec::new();
        for (run, mut part) in query.of_parts() {
            part.limit -= posts.len() as i64;
            if part.limit > 0 {
                posts.extend(self.posts_of(&run, &part).await?);
            }
        }
        Ok(posts)
    }

    pub(super) async fn posts_of(&self, run: &str, query: &PostsQuery) -> Result<Vec<Post>, StoreError> {
        // One index gives the order; the row that comes last is looked up in `posts` only for the rows of the page.
        let (k, of, table, evidence, asset) = if query.asset == WHOLE_MARKET {
            ("p", "p", "posts p", "NULL::text", "p.run_id = $1 AND $2::text = '*'")
        } else if query.filter.words.is_some() {
            // Of the words or of the asset there may be far fewer: the planner knows.
            ("p", "k", ABOUT, "k.evidence", "p.run_id = $1 AND k.asset = $2")
        } else {
            (
                "k",
                "k",
                // `OFFSET 0`: the planner knows that it finds one row, and so that the page is had in the order of the index.
                "post_assets k CROSS JOIN LATERAL (SELECT * FROM posts o WHERE o.run_id = k.run_id AND o.published_at = k.published_at \
                 AND o.post_key = k.post_key AND o.published_at >= $3 AND o.published_at < $4 OFFSET 0) p",
                "k.evidence",
                "k.run_id = $1 AND k.asset = $2",
            )
        };
        let (conditions, filters) = query.filter.conditions(of);
        // The first condition on the time lets the index start at the cursor; the second takes out what came before on the same instant.
        let sql = format!(
            "SELECT {COLUMNS}, {evidence} AS evidence FROM {table} WHERE {asset} AND {k}.published_at >= $3 AND {k}.published_at < $4 \
             AND {k}.published_at <= $5 AND ({k}.published_at < $5 OR p.post_id > $6) \
             AND p.deleted_at IS NULL {conditions} \
             ORDER BY {k}.published_at DESC, p.post_id LIMIT $7"
        );
        let (time, id) = query.after.clone().unwrap_or_else(|| (query.to, String::new()));
        let mut params: Vec<&(dyn ToSql + Sync)> =
            vec![&run, &query.asset, &query.from, &query.to, &time, &id, &query.limit];
        params.extend(filters.iter().map(|filter| &**filter as &(dyn ToSql + Sync)));
        self.rows(&sql, &params).await?.iter().map(post).collect()
    }

    /// By asset, those of its posts in `[from, to)` that speak most clearly in its direction (1 up, -1 down), no text twice and no spam.
    pub(crate) async fn explaining_posts(
        &self,
        served: &Served,
        towards: &[(&str, f64)],
        range: (UtcTime, UtcTime),
        (limit, as_of): (usize, Option<UtcTime>),
    ) -> Result<BTreeMap<String, Vec<Post>>, StoreError> {
        // One statement for all: planning takes longer than reading.
        let sql = format!(
            "SELECT {COLUMNS}, b.evidence, t.asset AS about FROM unnest($2::text[], $5::float8[]) t (asset, direction) CROSS JOIN LATERAL ( \
               SELECT run_id, published_at, post_key, evidence, score FROM post_assets a WHERE a.run_id = $1 AND a.asset = t.asset \
               AND a.published_at >= $3 AND a.published_at < $4 \
               ORDER BY a.score * t.direction DESC NULLS LAST, a.published_at DESC, a.post_key LIMIT $6) b \
             JOIN posts p ON p.run_id = b.run_id AND p.published_at = b.published_at AND p.post_key = b.post_key \
             WHERE p.published_at >= $3 AND p.published_at < $4 AND ($7::timestamptz IS NULL OR p.scored_at <= $7) \
             ORDER BY b.score * t.direction DESC NULLS LAST, p.published_at DESC, p.post_id"
        );
        let (assets, directions): (Vec<&str>, Vec<f64>) = towards.iter().copied().unzip();
        let candidates = i64::try_from(limit * 5).unwrap_or(i64::MAX);
        let mut clearest: BTreeMap<String, Vec<Post>> = BTreeMap::new();
        let served = served.within(range);
        for part in served.parts() {
            let (from, to) = part.clip(range);
            let params: [&(dyn ToSql + Sync); 7] = [&part.run, &assets, &from, &to, &directions, &candidates, &as_of];
            for row in &self.rows(&sql, &params).await? {
                clearest.entry(row.try_get("about")?).or_default().push(post(row)?);
            }
        }
        if served.parts().len() > 1 {
            for (asset, direction) in towards {
                let mood = |post: &Post| match post.assets.iter().find(|mood| mood.asset == **asset) {
                    Some(mood) => mood.score,
                    None => post.score,
                };
                let clear = |post: &Post| mood(post).map_or(f64::NEG_INFINITY, |score| score * direction);
                let newest_first =
                    |a: &Post, b: &Post| b.published_at.cmp(&a.published_at).then(a.post_id.cmp(&b.post_id));
                if let Some(posts) = clearest.get_mut(*asset) {
                    posts.sort_by(|a, b| clear(b).total_cmp(&clear(a)).then_with(|| newest_first(a, b)));
                }
            }
        }
        for posts in clearest.values_mut() {
            let mut chosen: Vec<Post> = Vec::new();
            for post in posts.drain(..) {
                if chosen.len() < limit && !is_spam(&post) && !chosen.iter().any(|c| same_text(c, &post)) {
                    chosen.push(post);
                }
            }
            *posts = chosen;
        }
        Ok(clearest)
    }
}

/// As the topology counts it.
fn is_spam(post: &Post) -> bool {
    post.spam_score.is_some_and(|score| score >= 0.5)
}

/// Reposts are one voice.
fn same_text(a: &Post, b: &Post) -> bool {
    a.excerpt == b.excerpt && (a.title == b.title || !a.excerpt.is_empty())
}

fn post(row: &Row) -> Result<Post, StoreError> {
    let url: Option<String> = row.try_get("url")?;
    let (negative, neutral, positive): (Option<f64>, Option<f64>, Option<f64>) =
        (row.try_get("p_negative")?, row.try_get("p_neutral")?, row.try_get("p_positive")?);
    Ok(columns!(row => Post {
        post_id, source, kind, author_id, title, excerpt, published_at, fetched_at, scored_at, language, label, score,
        unscored_reason, evidence, revision, fingerprint, copies, spam_score, sample;
        url: url.filter(|url| is_web(url)),
        probabilities: negative.zip(neutral).zip(positive).map(|((negative, neutral), positive)| Probabilities {
            negative,
            neutral,
            positive,
        }),
        assets: row.try_get::<_, Json<Vec<AssetMood>>>("moods")?.0,
        spam_reasons: row.try_get::<_, Json<Vec<String>>>("spam_reasons")?.0,
        lineage: columns!(row => PostLineage {
            run_id, input_topic, input_partition, input_offset;
            model: Model::read(row)?
        })
    }))
}

/// Posts are hostile input: a `javascript:` link must not reach a reader.
fn is_web(url: &str) -> bool {
    url::Url::parse(url).is_ok_and(|url| matches!(url.scheme(), "http" | "https"))
}

#[cfg(test)]
mod tests {
    use super::{contains, is_web};

    #[test]
    fn a_text_is_looked_for_as_it_is() {
        assert_eq!(contains(r"100%_\o"), r"%100\%\_\\o%");
    }

    #[test]
    fn only_web_links_pass() {
        assert!(is_web("https://example.com/a") && is_web("HTTP://example.com"));
        for bad in ["javascript:alert(1)", " javascript:alert(1)", "data:text/html,x", "/relative", ""] {
            assert!(!is_web(bad), "{bad}");
        }
    }
}
