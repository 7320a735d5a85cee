use axum::body::Bytes;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::app::SharedApp;
use crate::http::cursor;
use crate::http::params::{
    AsOf, AssetId, Cursor, End, Format, Int, Moment, PageLimit, Path, Query, Run, Score, Text, is_relative,
};
use crate::http::problem::Problem;
use crate::http::table::{self, Table};
use crate::serving::Question;
use crate::store::Snapshot;
use crate::store::posts::{LabelFilter, Post, PostsFilter, PostsQuery};
use crate::time::{EARLIEST, LATEST, UtcTime};

/// A page of posts, newest first.
#[derive(Serialize, ToSchema)]
pub(crate) struct Posts {
    /// Canonical id; `*` stands for all posts.
    asset: String,
    /// At least some of these posts do not come from the public web.
    sample: bool,
    /// Newest first.
    posts: Vec<Post>,
    /// Give it as `cursor=` for the next page; null on the last one.
    next: Option<String>,
}

impl Table for Posts {
    fn csv(&self) -> Result<Bytes, Problem> {
        let columns = [
            "post_id",
            "source",
            "kind",
            "url",
            "author_id",
            "title",
            "excerpt",
            "published_at",
            "fetched_at",
            "scored_at",
            "language",
            "label",
            "score",
            "probabilities.negative",
            "probabilities.neutral",
            "probabilities.positive",
            "unscored_reason",
            "evidence",
            "revision",
            "copies",
            "spam_score",
            "spam_reasons",
            "sample",
        ];
        table::csv_page(&columns, &self.posts, self.next.as_deref())
    }
}

/// Seconds before `to` that are looked through where posts are to be picked out and no `from` is given.
const PICKED_RANGE: i64 = 30 * 86_400;
/// Seconds that the time of a post may be ahead of the clock.
const AHEAD: i64 = 3600;

/// The asset in a path.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct AssetPath {
    /// Id, name or alias, as BTC or bitcoin; `*` for all posts
    #[param(inline)]
    pub(crate) asset: AssetId,
}

/// What can be asked about posts.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct PostsParams {
    /// Published at or after: RFC 3339, a date, or now-1h; by default the oldest, or 30 days before `to` with any of source, language, author,
    /// text, min_score and max_score
    #[param(inline)]
    from: Option<Moment>,
    /// Published before: RFC 3339, the end of a date, or now-1h
    #[param(inline)]
    to: Option<End>,
    /// Only with this label, or without one
    #[param(inline)]
    label: Option<LabelFilter>,
    /// Whether to leave out spam and near copies of a post about the asset of the 24 hours before, as `unique_posts` counts; false by default
    unique: bool,
    /// Only of this source, as in /v1/sources
    #[param(inline)]
    source: Option<Text<256>>,
    /// Only in this language: ISO 639-1, as en
    #[param(inline)]
    language: Option<Text<8>>,
    /// Only by this author: an `author_id`
    #[param(inline)]
    author: Option<Text<64>>,
    /// Only with these characters in the title or in the beginning of the text; a to z in any case, other letters if the database's locale
    /// knows their cases
    #[param(inline)]
    text: Option<Text<128>>,
    /// Only with this score or a higher one
    #[param(inline)]
    min_score: Option<Score>,
    /// Only with this score or a lower one
    #[param(inline)]
    max_score: Option<Score>,
    /// Only posts that were scored by this time, in their present revision
    #[param(inline)]
    as_of: Option<AsOf>,
    /// A replay's id; `live` by default
    #[param(inline)]
    run: Run,
    /// Posts per page
    #[param(inline)]
    limit: PageLimit,
    /// `next` of the page before
    #[param(inline)]
    cursor: Option<Cursor>,
    /// By default what `Accept` prefers
    #[param(inline)]
    format: Option<Format>,
}

/// The posts that mention an asset, newest first
///
/// Pages neither repeat nor skip a post, whatever arrives meanwhile.
#[utoipa::path(get, path = "/v1/assets/{asset}/posts", tag = "posts", operation_id = "list_posts", params(AssetPath, PostsParams),
    responses((status = 200, description = "A page of posts", content((Posts = "application/json"), (String = "text/csv")))))]
pub(crate) async fn list(
    State(app): SharedApp,
    Path(AssetPath { asset }): Path<AssetPath>,
    headers: HeaderMap,
    Query(mut asked): Query<PostsParams>,
) -> Result<Response, Problem> {
    let media = Format::media(asked.format.take(), &headers)?;
    app.serving.answer(&headers, media, &PostsQuestion { asset: app.names.canonical(&asset), asked }).await
}

#[derive(Debug)]
struct PostsQuestion {
    asset: AssetId,
    asked: PostsParams,
}

impl Question for PostsQuestion {
    const NAME: &'static str = "posts";
    type Answer = Posts;

    fn run(&self) -> &str {
        &self.asked.run.0
    }

    fn is_timeless(&self, _now: UtcTime) -> bool {
        let PostsParams { from, to, .. } = self.asked;
        !is_relative(from, to) && (from.is_some() || to.is_some() || !self.filter().picks())
    }

    async fn build(&self, data: &Snapshot, now: UtcTime) -> Result<Posts, Problem> {
        let PostsParams { from, to, unique, run: Run(run), limit: Int(limit), cursor, .. } = &self.asked;
        let filter = self.filter();
        let question = format!("posts {run} {:?} {from:?} {to:?} {unique} {filter:?}", self.asset);
        let after = cursor::read(cursor.as_ref(), &question)?;
        let ground = data.ground(run, &self.asset.0).await?;
        let reached = ground.reached(now);
        let to = to.map(|to| to.0.at(reached));
        let oldest = if filter.picks() { to.unwrap_or(reached).plus(-PICKED_RANGE) } else { UtcTime(EARLIEST) };
        let query = PostsQuery {
            run: run.clone(),
            asset: ground.asset,
            from: from.map_or(oldest, |from| from.0.at(reached)),
            // What is published later cannot have been scored by then: it is not even looked at.
            to: to.unwrap_or(UtcTime(LATEST)).min(filter.as_of.map_or(UtcTime(LATEST), |as_of| as_of.plus(AHEAD))),
            filter,
            after,
            // One more tells whether there is another page.
            limit: limit + 1,
        };
        let mut posts = if *unique { data.unique_posts(&query).await? } else { data.posts(&query).await? };
        let next = cursor::end_page(&mut posts, *limit, &question, |last| (last.published_at, &last.post_id));
        let sample = posts.iter().any(|post| post.sample);
        Ok(Posts { asset: query.asset, sample, posts, next })
    }
}

impl PostsQuestion {
    fn filter(&self) -> PostsFilter {
        let PostsParams { label, source, language, author, text, min_score, max_score, as_of, .. } = &self.asked;
        PostsFilter {
            label: *label,
            source: source.as_ref().map(|source| source.0.clone()),
            language: language.as_ref().map(|language| language.0.to_lowercase()),
            author: author.as_ref().map(|author| author.0.clone()),
            text: text.as_ref().map(|text| text.0.clone()),
            min_score: min_score.map(|score| score.0),
            max_score: max_score.map(|score| score.0),
            as_of: as_of.map(|time| time.0),
            no_spam: self.asked.unique,
        }
    }
}
