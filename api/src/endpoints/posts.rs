use std::sync::Arc;

use axum::Extension;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::app::{App, SharedApp};
use crate::http::answer;
use crate::http::page::{Page, page_params};
use crate::http::params::{
    AsOf, AssetId, AssetPath, End, Moment, Path, PostsFormat, Query, Run, Score, Text, is_relative,
};
use crate::http::problem::Problem;
use crate::http::rate_limit::Client;
use crate::http::table::{Form, Table};
use crate::serving::Question;
use crate::store::Snapshot;
use crate::store::posts::search::Words;
use crate::store::posts::{LabelFilter, Post, PostsFilter, PostsQuery};
use crate::time::{EARLIEST, LATEST, UtcTime};

mod export;
pub(crate) mod search;

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

const COLUMNS: &str = "\
    post_id,source,kind,url,author_id,title,excerpt,published_at,fetched_at,scored_at,\
    language,label,score,probabilities.negative,probabilities.neutral,\
    probabilities.positive,unscored_reason,evidence,assets,revision,copies,spam_score,\
    spam_reasons,sample,lineage.run_id";

impl Table for Posts {
    fn list(&self, form: Form) -> Result<Bytes, Problem> {
        form.page(COLUMNS, &self.posts, self.next.as_deref())
    }
}

/// Seconds before `to` that are looked through where posts are to be picked out and no `from` is given.
const PICKED_RANGE: i64 = 30 * 86_400;
/// Days that a search may look through.
const SEARCHED_DAYS: i64 = 92;
/// Seconds that the time of a post may be ahead of the clock.
const AHEAD: i64 = 3600;

page_params!(
    /// What can be asked about posts.
    PostsParams {
        /// Published at or after: RFC 3339, a date, or now-1h; by default the oldest, or 30 days before `to` with any of source, language, author,
        /// text, min_score and max_score
        #[param(inline)]
        pub(crate) from: Option<Moment>,
        /// Published before: RFC 3339, the end of a date, or now-1h
        #[param(inline)]
        pub(crate) to: Option<End>,
        /// Only with this label, or without one
        #[param(inline)]
        pub(crate) label: Option<LabelFilter>,
        /// Whether to leave out spam and near copies of a post about the asset of the 24 hours before, as `unique_posts` counts; false by default
        pub(crate) unique: bool,
        /// Only of this source, as in /v1/sources
        #[param(inline)]
        pub(crate) source: Option<Text<256>>,
        /// Only in this language: ISO 639-1, as en
        #[param(inline)]
        pub(crate) language: Option<Text<8>>,
        /// Only by this author: an `author_id`
        #[param(inline)]
        pub(crate) author: Option<Text<64>>,
        /// Only with these characters in the title or in the beginning of the text; a to z in any case, other letters if the database's locale
        /// knows their cases
        #[param(inline)]
        pub(crate) text: Option<Text<128>>,
        /// Only with this score or a higher one
        #[param(inline)]
        pub(crate) min_score: Option<Score>,
        /// Only with this score or a lower one
        #[param(inline)]
        pub(crate) max_score: Option<Score>,
        /// Only posts that were scored by this time, in their present revision
        #[param(inline)]
        pub(crate) as_of: Option<AsOf>,
        /// `live`, or a replay's id; by default what is served: promoted runs in their ranges, `live` elsewhere
        #[param(inline)]
        pub(crate) run: Run,
    }
    /// Posts per page; NDJSON and Arrow have none
    PostsFormat
);

/// The posts that mention an asset, newest first
///
/// Pages neither repeat nor skip a post, whatever arrives meanwhile. NDJSON and Arrow are all of them in one answer; if it breaks off, so
/// does the connection.
#[utoipa::path(get, path = "/v1/assets/{asset}/posts", tag = "posts", operation_id = "list_posts", params(AssetPath, PostsParams),
    responses((status = 200, description = "A page of posts", content((Posts = "application/json"), (String = "text/csv"), (String = "application/x-ndjson")))))]
pub(crate) async fn list(
    State(app): SharedApp,
    Path(AssetPath { asset }): Path<AssetPath>,
    headers: HeaderMap,
    Extension(client): Extension<Client>,
    Query(mut asked): Query<PostsParams>,
) -> Result<Response, Problem> {
    let media = PostsFormat::media(asked.format.take(), &headers)?;
    PostsQuestion { asset: app.names.canonical(&asset), words: None, asked }.answer(app, client, &headers, media).await
}

#[derive(Debug)]
pub(crate) struct PostsQuestion {
    pub(crate) asset: AssetId,
    /// What is searched for.
    pub(crate) words: Option<Words>,
    pub(crate) asked: PostsParams,
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
        let PostsParams { from, to, unique, run: Run(run), limit, cursor, .. } = &self.asked;
        let filter = self.filter();
        let question = format!("posts {run} {:?} {from:?} {to:?} {unique} {filter:?}", self.asset);
        let page = Page::new(question, cursor.as_ref(), *limit)?;
        let served = data.served(run, filter.as_of);
        let ground = data.ground(&served, &self.asset.0).await?;
        let reached = ground.reached(now);
        let to = to.map(|to| to.0.at(reached));
        let oldest = if filter.picks() { to.unwrap_or(reached).plus(-PICKED_RANGE) } else { UtcTime(EARLIEST) };
        let from = from.map_or(oldest, |from| from.0.at(reached));
        if let Some(words) = &self.words {
            check_range(from, to.unwrap_or(reached))?;
            data.check_words(words).await?;
        }
        let query = PostsQuery {
            served,
            asset: ground.asset,
            from,
            // What is published later cannot have been scored by then: it is not even looked at.
            to: to.unwrap_or(UtcTime(LATEST)).min(filter.as_of.map_or(UtcTime(LATEST), |as_of| as_of.plus(AHEAD))),
            filter,
            limit: page.rows(),
            after: page.after.clone(),
        };
        let mut posts = if *unique { data.unique_posts(&query).await? } else { data.posts(&query).await? };
        let next = page.end(&mut posts, |last| (last.published_at, &last.post_id));
        let sample = posts.iter().any(|post| post.sample);
        Ok(Posts { asset: query.asset, sample, posts, next })
    }
}

/// A search may not look through more.
pub(crate) fn check_range(from: UtcTime, to: UtcTime) -> Result<(), Problem> {
    let days = (to.seconds() - from.seconds()) / 86_400;
    if days <= SEARCHED_DAYS {
        return Ok(());
    }
    Err(Problem::invalid_parameter("from", format!("{days} days, expected {SEARCHED_DAYS} or fewer before to")))
}

impl PostsQuestion {
    pub(crate) async fn answer(
        self,
        app: Arc<App>,
        client: Client,
        headers: &HeaderMap,
        media: &'static str,
    ) -> Result<Response, Problem> {
        if matches!(media, answer::NDJSON | answer::ARROW) {
            return export::export(app, client, self, media).await;
        }
        app.serving.answer(headers, media, &self).await
    }

    fn filter(&self) -> PostsFilter {
        let PostsParams { label, source, language, author, text, min_score, max_score, as_of, .. } = &self.asked;
        PostsFilter {
            label: *label,
            source: source.as_ref().map(|source| source.0.clone()),
            language: language.as_ref().map(|language| language.0.to_lowercase()),
            author: author.as_ref().map(|author| author.0.clone()),
            text: text.as_ref().map(|text| text.0.clone()),
            words: self.words.clone(),
            min_score: min_score.map(|score| score.0),
            max_score: max_score.map(|score| score.0),
            as_of: as_of.map(|time| time.0),
            no_spam: self.asked.unique,
        }
    }
}
