use axum::body::Bytes;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::app::SharedApp;
use crate::http::params::{AssetId, Cursor, End, Int, Moment, PageLimit, Path, Query, Run};
use crate::http::problem::Problem;
use crate::http::{answer, cursor};
use crate::serving::Question;
use crate::store::Snapshot;
use crate::store::posts::{LabelFilter, Post, PostsQuery};
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

/// The asset in a path.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct AssetPath {
    /// Canonical id, as BTC; `*` for all posts
    #[param(inline)]
    pub(crate) asset: AssetId,
}

/// What can be asked about posts.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct PostsParams {
    /// Published at or after: RFC 3339 or a date
    #[param(inline)]
    from: Option<Moment>,
    /// Published before: RFC 3339, or the end of a date
    #[param(inline)]
    to: Option<End>,
    /// Only with this label, or without one
    #[param(inline)]
    label: Option<LabelFilter>,
    /// Whether to leave out spam, and of posts with the same words all but the first; false by default
    unique: bool,
    /// A replay's id; `live` by default
    #[param(inline)]
    run: Run,
    /// Posts per page
    #[param(inline)]
    limit: PageLimit,
    /// `next` of the page before
    #[param(inline)]
    cursor: Option<Cursor>,
}

/// The posts that mention an asset, newest first
///
/// Pages neither repeat nor skip a post, whatever arrives meanwhile.
#[utoipa::path(get, path = "/v1/assets/{asset}/posts", tag = "posts", operation_id = "list_posts", params(AssetPath, PostsParams),
    responses((status = 200, description = "A page of posts", body = Posts)))]
pub(crate) async fn list(
    State(app): SharedApp,
    Path(AssetPath { asset }): Path<AssetPath>,
    headers: HeaderMap,
    Query(asked): Query<PostsParams>,
) -> Result<Response, Problem> {
    answer::negotiate(&headers, &[answer::JSON])?;
    app.serving.answer(&headers, answer::JSON, &PostsQuestion { asset, asked }).await
}

#[derive(Debug)]
struct PostsQuestion {
    asset: AssetId,
    asked: PostsParams,
}

impl Question for PostsQuestion {
    const NAME: &'static str = "posts";

    fn run(&self) -> &str {
        &self.asked.run.0
    }

    async fn build(&self, data: &Snapshot) -> Result<Bytes, Problem> {
        let PostsParams { from, to, label, unique, run: Run(run), limit: Int(limit), cursor } = &self.asked;
        let question = format!("posts {run} {:?} {from:?} {to:?} {label:?} {unique}", self.asset);
        let after = cursor::read(cursor.as_ref(), &question)?;
        let asset = data.ground(run, &self.asset.0).await?.asset;
        let query = PostsQuery {
            run: run.clone(),
            asset: asset.clone(),
            from: from.map_or(UtcTime(EARLIEST), |from| from.0),
            to: to.map_or(UtcTime(LATEST), |to| to.0),
            label: *label,
            unique: *unique,
            after,
            // One more tells whether there is another page.
            limit: limit + 1,
        };
        let mut posts = data.posts(&query).await?;
        let next = cursor::end_page(&mut posts, *limit, &question, |last| (last.published_at, &last.post_id));
        let sample = posts.iter().any(|post| post.sample);
        answer::to_json(&Posts { asset, sample, posts, next })
    }
}
