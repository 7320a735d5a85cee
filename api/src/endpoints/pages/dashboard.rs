use std::sync::LazyLock;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use serde::Deserialize;
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{IntoParams, PartialSchema, ToSchema};

use crate::app::SharedApp;
use crate::http::answer;
use crate::http::params::Path;
use crate::http::problem::Problem;

const HTML: &str = "text/html; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";
const ICON: &str = "image/svg+xml";

const FILES: &[(&str, &str, &str)] = &[
    ("app.js", SCRIPT, include_str!("../../../assets/app.js")),
    ("client.js", SCRIPT, include_str!("../../../assets/client.js")),
    ("chart.js", SCRIPT, include_str!("../../../assets/chart.js")),
    ("board.js", SCRIPT, include_str!("../../../assets/board.js")),
    ("posts.js", SCRIPT, include_str!("../../../assets/posts.js")),
    ("panels.js", SCRIPT, include_str!("../../../assets/panels.js")),
    ("format.js", SCRIPT, include_str!("../../../assets/format.js")),
    ("docs.js", SCRIPT, include_str!("../../../assets/docs.js")),
    ("style.css", STYLE, include_str!("../../../assets/style.css")),
    ("docs.css", STYLE, include_str!("../../../assets/docs.css")),
    ("icon.svg", ICON, include_str!("../../../assets/icon.svg")),
];

/// The dashboard
#[utoipa::path(get, path = "/", tag = "pages", operation_id = "dashboard",
    responses((status = 200, description = "The page", body = String, content_type = "text/html")))]
pub(crate) async fn page(State(app): SharedApp, headers: HeaderMap) -> Response {
    let has_login = app.auth.as_ref().is_some_and(|auth| auth.login.is_some());
    html(&headers, if has_login { &WITH_LOGIN } else { PAGE })
}

const PAGE: &str = include_str!("../../../assets/index.html");
/// With room for who has logged in, so that nothing moves once that is known.
static WITH_LOGIN: LazyLock<String> = LazyLock::new(|| PAGE.replace(r#"id="account" hidden"#, r#"id="account""#));

/// Which file.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct FilePath {
    /// Its name
    #[param(inline)]
    file: FileName,
}

#[derive(Deserialize)]
#[serde(transparent)]
struct FileName(String);

impl PartialSchema for FileName {
    fn schema() -> RefOr<Schema> {
        let names = FILES.iter().map(|(name, ..)| *name);
        ObjectBuilder::new().schema_type(Type::String).enum_values(Some(names)).into()
    }
}

impl ToSchema for FileName {}

/// A file of the dashboard or of the documentation
#[utoipa::path(get, path = "/assets/{file}", tag = "pages", operation_id = "dashboard_file", params(FilePath),
    responses(
        (status = 200, description = "The file", content((String = "text/javascript"), (String = "text/css"), (String = "image/svg+xml")))))]
pub(crate) async fn file(
    Path(FilePath { file: FileName(name) }): Path<FilePath>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let (_, media, text) = FILES
        .iter()
        .find(|(file, _, _)| *file == name)
        .ok_or_else(|| Problem::not_found("there is no such file, see /"))?;
    Ok(answer::conditional(&headers, media, Bytes::from_static(text.as_bytes())))
}

pub(crate) fn html(headers: &HeaderMap, page: &'static str) -> Response {
    answer::conditional(headers, HTML, Bytes::from_static(page.as_bytes()))
}
