use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::SharedApp;
use crate::params::{Choice, Params};
use crate::problem::Problem;
use crate::store::posts::{LabelFilter, Post, PostsQuery};
use crate::time::{EARLIEST, LATEST, UtcTime};
use crate::{answer, cursor};

impl Choice for LabelFilter {
    const ALL: &'static [(&'static str, Self)] = &[
        ("negative", Self::Is("negative")),
        ("neutral", Self::Is("neutral")),
        ("positive", Self::Is("positive")),
        ("unscored", Self::Unscored),
    ];
}

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

/// The posts that mention an asset, newest first
///
/// Pages neither repeat nor skip a post, whatever arrives meanwhile.
#[utoipa::path(get, path = "/v1/assets/{asset}/posts", tag = "posts",
    params(
        ("asset" = String, Path, description = "Canonical id, as BTC; `*` for all posts"),
        ("from" = Option<String>, Query, description = "Published at or after: RFC 3339 or a date"),
        ("to" = Option<String>, Query, description = "Published before: RFC 3339, or the end of a date"),
        ("label" = Option<String>, Query, description = "negative, neutral, positive or unscored"),
        ("unique" = Option<bool>, Query, description = "Whether to leave out spam, and of posts with the same words all but the first; false by default"),
        ("run" = Option<String>, Query, description = "A replay's id; `live` by default"),
        ("limit" = Option<i64>, Query, description = "Posts per page, 1 to 200; 50 by default"),
        ("cursor" = Option<String>, Query, description = "`next` of the page before")),
    responses((status = 200, body = Posts)))]
pub(crate) async fn list(
    State(app): SharedApp,
    Path(asset): Path<String>,
    headers: HeaderMap,
    mut params: Params,
) -> Result<Response, Problem> {
    let (from, to) = (params.time("from"), params.end("to"));
    params.check_order(from, to);
    let label = params.choice("label").unwrap_or(LabelFilter::Any);
    let unique = params.flag("unique");
    let run = params.run();
    let limit = params.integer("limit", 1..=200, 50);
    let question = format!("posts {run} {asset} {from:?} {to:?} {label:?} {unique}");
    let after = cursor::take(&mut params, &question);
    params.finish()?;
    app.extent(&run).await?;
    let asset = app.asset(&run, asset).await?;

    let query = PostsQuery {
        run,
        asset: asset.clone(),
        from: from.unwrap_or(UtcTime(EARLIEST)),
        to: to.unwrap_or(UtcTime(LATEST)),
        label,
        unique,
        after,
        // One more tells whether there is another page.
        limit: limit + 1,
    };
    let mut posts = app.store.posts(&query).await?;
    let more = posts.len() as i64 > limit;
    posts.truncate(limit as usize);
    let next = posts.last().filter(|_| more).map(|last| cursor::encode(&question, last.published_at, &last.post_id));
    let sample = posts.iter().any(|post| post.sample);
    answer::json(&headers, &Posts { asset, sample, posts, next })
}
