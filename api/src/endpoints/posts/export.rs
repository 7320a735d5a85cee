//! Posts without end: one page after the other is read and sent, so that a page is all that is
//! held.

use std::io;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use tokio::task::coop::consume_budget;
use vigie_schemas::Switch;

use super::{COLUMNS, Posts, PostsQuestion};
use crate::app::App;
use crate::http::answer;
use crate::http::arrow::{self, Batches};
use crate::http::params::{Cursor, Int};
use crate::http::problem::Problem;
use crate::http::rate_limit::Client;
use crate::serving::Question;
use crate::store::posts::Post;
use crate::time::{UtcTime, WINDOW_SECONDS};

/// Posts that are read at once.
const PAGE: i64 = 1000;

struct Export {
    app: Arc<App>,
    client: Client,
    question: PostsQuestion,
    now: UtcTime,
    /// Those that the first page was read with: a switch in between must not mix runs.
    switches: Option<Arc<[Switch]>>,
    /// What was read and not sent yet.
    page: Option<Posts>,
    form: Form,
}

enum Form {
    Lines,
    Arrow(Box<Batches>),
    Ended,
}

/// What only a typed table has of the lineage.
const MORE: &str = "lineage.model.name,lineage.model.version,lineage.model.sha256,lineage.model.assets_version,lineage.input_topic,\
    lineage.input_partition,lineage.input_offset";

/// All posts, a line each or a batch of Arrow for each page; the first page in the turn of the
/// request, each later one in a turn of its own. What is wrong with the question is seen with the
/// first page; an error later breaks the connection.
pub(super) async fn export(
    app: Arc<App>,
    client: Client,
    mut question: PostsQuestion,
    media: &'static str,
) -> Result<Response, Problem> {
    let form = if media == answer::ARROW {
        Form::Arrow(Box::new(Batches::new(arrow::fields::<Post>(&format!("{COLUMNS},{MORE}"))?)?))
    } else {
        Form::Lines
    };
    question.asked.limit = Int(PAGE);
    let now = UtcTime::from(app.clock.now()).floor(WINDOW_SECONDS);
    let mut export = Export { app, client, question, now, switches: None, page: None, form };
    export.page = Some(export.read().await?);
    let body = Body::from_stream(stream::try_unfold(export, Export::next));
    Ok(([(header::CONTENT_TYPE, media), (header::CACHE_CONTROL, "no-store"), (header::VARY, "accept")], body)
        .into_response())
}

impl Export {
    async fn read(&mut self) -> Result<Posts, Problem> {
        let mut data = self.app.store.snapshot().await?;
        data.pin(self.switches.get_or_insert_with(|| data.versions().switches().clone()));
        let page = self.question.build(&data, self.now).await;
        data.end().await;
        page
    }

    async fn next(mut self) -> io::Result<Option<(Bytes, Self)>> {
        let broken = |problem: Problem| io::Error::other(problem.detail.clone());
        let page = match self.page.take() {
            Some(page) => page,
            None if self.question.asked.cursor.is_none() => {
                return match std::mem::replace(&mut self.form, Form::Ended) {
                    Form::Arrow(batches) => Ok(Some((batches.finish().map_err(broken)?, self))),
                    Form::Lines | Form::Ended => Ok(None),
                };
            }
            None if self.app.shutdown.is_cancelled() => return Err(io::Error::other("shutting down")),
            None => {
                let app = self.app.clone();
                let _turn = app.turns.take(&self.client).await;
                self.read().await.map_err(broken)?
            }
        };
        self.question.asked.cursor = page.next.map(Cursor);
        if let Form::Arrow(batches) = &mut self.form {
            return Ok(Some((batches.add(&page.posts).map_err(broken)?, self)));
        }
        let mut lines = Vec::new();
        for post in &page.posts {
            consume_budget().await;
            lines.extend_from_slice(&answer::to_json(post).map_err(broken)?);
            lines.push(b'\n');
        }
        Ok(Some((Bytes::from(lines), self)))
    }
}
