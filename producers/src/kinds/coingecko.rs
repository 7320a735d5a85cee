//! CoinGecko's news, `/api/v3/news`: a list of articles, for paid plans (`pro-api.coingecko.com`).
//!
//! Two shapes are read: a plain list with `posted_at` and `source_name`, as documented in 2026, and the older `data` with `updated_at` and `news_site`.
//! Times may be text or seconds. An article is named by its canonical address; one without an address is left out. The answer is not walked back:
//! `page` and `per_page` in the source's address are sent as they are.

use serde_json::Value;
use url::Url;

use crate::content::document::{Document, ParseError};
use crate::content::{identity, json, plain_text};
use crate::keys::access::{Access, Api, Means};
use crate::kinds::source::draft::Draft;
use crate::kinds::source::{Origin, Page, Source};

pub(super) const NAME: &str = "coingecko";

static API: Api = Api {
    hosts: &["pro-api.coingecko.com", "api.coingecko.com"],
    needs_key: true,
    access: |listed, key| {
        let is_demo = listed.host_str() == Some("api.coingecko.com");
        let header = if is_demo { "x-cg-demo-api-key" } else { "x-cg-pro-api-key" };
        Some(Access::new(listed, listed.clone(), Means::Header(header, key)))
    },
};

pub(super) struct CoinGecko;

impl Source for CoinGecko {
    fn parse(&self, document: Document<'_>, origin: Origin<'_>) -> Result<Page, ParseError> {
        parse(&json::read(document.bytes)?, origin)
    }

    fn api(&self) -> Option<&'static Api> {
        Some(&API)
    }
}

fn parse(answer: &Value, origin: Origin<'_>) -> Result<Page, ParseError> {
    let articles = match (answer, answer.get("data")) {
        (Value::Array(articles), _) | (_, Some(Value::Array(articles))) => articles,
        _ => {
            return Err(match reported(answer) {
                Some(error) => ParseError::Reported(error),
                None => ParseError::Shape("expected a list of articles".into()),
            });
        }
    };
    let mut page = Page::default();
    articles.iter().filter_map(draft).for_each(|draft| draft.add_to(&mut page, NAME, origin));
    if page.posts.is_empty() && !articles.is_empty() {
        return Err(ParseError::Shape("no article has a url".into()));
    }
    Ok(page)
}

/// `error`, as text or with a status; or a `status` with a message.
fn reported(answer: &Value) -> Option<String> {
    let error = json::text(answer, "error");
    let status = answer.get("status").or_else(|| answer.get("error")?.get("status"));
    error.or_else(|| json::text(status?, "error_message")).map(str::to_owned)
}

fn draft(article: &Value) -> Option<Draft> {
    let url = Url::parse(json::text(article, "url")?).ok().filter(|url| matches!(url.scheme(), "http" | "https"))?;
    let first = |names: &[&str]| names.iter().find_map(|name| json::text(article, name));
    let text = first(&["description", "content", "summary"]).map(plain_text::from_html);
    Some(Draft {
        id: identity::page(NAME, &url),
        author: first(&["author", "source_name", "news_site"]).map(str::to_owned),
        title: json::text(article, "title").map(plain_text::title),
        text: text.unwrap_or_default(),
        language: first(&["language", "lang"]).map(str::to_owned),
        published: ["posted_at", "created_at", "updated_at"].iter().find_map(|name| json::time(article, name)),
        url: Some(url.into()),
        ..Draft::default()
    })
}

#[cfg(test)]
mod tests {
    use vigie_clock::Timestamp;

    use super::*;

    fn read(text: &str) -> Result<Page, ParseError> {
        let fetched_at = Timestamp::from_millis(1_800_000_000_000);
        let origin = Origin { source: "s", language: None, sample: false, select: None, fetched_at };
        CoinGecko.parse(Document { bytes: text.as_bytes(), charset: None, base: None }, origin)
    }

    fn access(url: &str) -> Access {
        (API.access)(&Url::parse(url).unwrap(), "client:tellnobody".to_owned().into()).unwrap()
    }

    #[test]
    fn the_header_of_coingecko_goes_by_the_host() {
        let header = |url| match access(url).means() {
            Means::Header(name, _) => *name,
            other => panic!("{other:?}"),
        };
        assert_eq!(header("https://pro-api.coingecko.com/api/v3/news"), "x-cg-pro-api-key");
        assert_eq!(header("https://api.coingecko.com/api/v3/news"), "x-cg-demo-api-key");
    }

    #[test]
    fn both_shapes_give_the_same_article() {
        let list = include_str!("../../tests/fixtures/coingecko_news.json");
        let data = r#"{"data": [{"id": 1, "title": "Fees &amp; more", "url": "https://n.example/a", "news_site": "N", "updated_at": 1774609242,
            "description": "<p>They fell.</p>"}], "page": 1}"#;
        let (list, data) = (read(list).unwrap().posts, read(data).unwrap().posts);
        assert_eq!((list.len(), data.len()), (1, 1));
        assert_eq!(list[0].post_id, data[0].post_id);
        assert!(list[0].post_id.starts_with("coingecko:"), "{}", list[0].post_id);
        assert_eq!(list[0].published_at, data[0].published_at);
        assert_eq!((list[0].title.as_deref(), data[0].text.as_str()), (Some("Fees & more"), "They fell."));
        assert_eq!((list[0].author.as_deref(), data[0].author.as_deref()), (Some("Ada"), Some("N")));
    }

    #[test]
    fn errors_are_reported() {
        for error in [
            r#"{"error": "no"}"#,
            r#"{"status": {"error_code": 10005, "error_message": "no"}}"#,
            r#"{"error": {"status": {"error_message": "no"}}}"#,
        ] {
            assert_eq!(read(error).unwrap_err(), ParseError::Reported("no".into()), "{error}");
        }
        assert!(matches!(read("{}"), Err(ParseError::Shape(_))));
        assert!(matches!(read(r#"[{"title": "x"}]"#), Err(ParseError::Shape(_))));
        assert!(read("[]").unwrap().posts.is_empty());
    }
}
