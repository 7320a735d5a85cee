//! Snapshot: proposals of off-chain governance, by GraphQL over GET.
//!
//! The source's address names the spaces, `https://hub.snapshot.org/graphql?space=a.eth&space=b.eth`; the query is made here. An address that brings its
//! own `query` is asked as it is. Bodies are Markdown and stay so.

use std::time::Duration;

use serde_json::Value;
use url::Url;
use vigie_clock::Timestamp;

use crate::content::document::{Document, ParseError};
use crate::content::quotes::{self, Marks};
use crate::content::{identity, json};
use crate::kinds::source::draft::Draft;
use crate::kinds::source::{Older, Origin, Overlap, Page, Source};

pub(super) const NAME: &str = "snapshot";

/// How late a proposal may turn up.
const INDEX_DELAY: Duration = Duration::from_secs(600);

/// Proposals asked for at once.
const PAGE: usize = 100;

pub(super) struct Snapshot;

impl Source for Snapshot {
    fn parse(&self, document: Document<'_>, origin: Origin<'_>) -> Result<Page, ParseError> {
        parse(&json::read(document.bytes)?, origin)
    }

    fn newest(&self, listed: &Url, seen_until: Option<Timestamp>) -> Url {
        query(listed, seen_until, None)
    }

    fn older(&self, listed: &Url, seen_until: Option<Timestamp>, older: &Older) -> Option<Url> {
        older.not_after().map(|second| query(listed, seen_until, Some(second)))
    }

    fn overlap(&self) -> Overlap {
        Overlap::Late(INDEX_DELAY)
    }
}

/// The query for the proposals between the newest seen (less the index delay) and `until`, in seconds.
fn query(listed: &Url, seen_until: Option<Timestamp>, until: Option<i64>) -> Url {
    if listed.query_pairs().any(|(key, _)| key == "query") {
        return listed.clone();
    }
    let spaces: Vec<String> = listed
        .query_pairs()
        .filter(|(key, _)| key == "space")
        .map(|(_, space)| {
            space.chars().filter(|c| c.is_alphanumeric() || matches!(c, '.' | '-' | '_')).collect::<String>()
        })
        .map(|space| format!("\"{space}\""))
        .collect();
    let mut bounds = Vec::new();
    if !spaces.is_empty() {
        bounds.push(format!("space_in:[{}]", spaces.join(",")));
    }
    if let Some(seen) = seen_until {
        bounds.push(format!("created_gte:{}", seen.saturating_sub(INDEX_DELAY).as_millis() / 1000));
    }
    if let Some(until) = until {
        bounds.push(format!("created_lte:{until}"));
    }
    let text = format!(
        "{{proposals(first:{PAGE},where:{{{}}},orderBy:\"created\",orderDirection:desc)\
         {{id title body choices author created state space{{id name}}}}}}",
        bounds.join(",")
    );
    let mut url = listed.clone();
    url.query_pairs_mut().clear().append_pair("query", &text);
    url
}

fn parse(answer: &Value, origin: Origin<'_>) -> Result<Page, ParseError> {
    let data = answer.get("data").filter(|data| data.is_object());
    let Some(data) = data else {
        let message = json::list(answer, "errors").first().and_then(|error| json::text(error, "message"));
        return Err(match message {
            Some(message) => ParseError::Reported(message.to_owned()),
            None => ParseError::Shape("expected data with proposals".into()),
        });
    };
    let proposals: Vec<&Value> = match (data.get("proposals"), data.get("proposal")) {
        (Some(Value::Array(proposals)), _) => proposals.iter().collect(),
        (_, Some(proposal)) => Some(proposal).filter(|proposal| proposal.is_object()).into_iter().collect(),
        _ => return Err(ParseError::Shape("expected data with proposals".into())),
    };
    let mut page = Page::default();
    let mut oldest: Option<i64> = None;
    for proposal in &proposals {
        let Some(id) = json::text(proposal, "id") else {
            return Err(ParseError::Shape("a proposal has no id".into()));
        };
        let created = proposal.get("created").and_then(Value::as_i64);
        oldest = oldest.into_iter().chain(created).min();
        let space = proposal.get("space").and_then(|space| json::text(space, "id"));
        let made = || space.map(|space| format!("https://snapshot.org/#/{space}/proposal/{id}"));
        let mut draft = Draft {
            id: identity::named(NAME, id),
            url: json::text(proposal, "link").map(str::to_owned).or_else(made),
            author: json::text(proposal, "author").map(str::to_owned),
            title: json::text(proposal, "title").map(str::to_owned),
            published: json::time(proposal, "created"),
            edited: json::time(proposal, "updated"),
            ..Draft::default()
        }
        .prose(quotes::split(json::text(proposal, "body").unwrap_or_default(), Marks::Markdown));
        draft.add_choices(json::list(proposal, "choices").iter().filter_map(Value::as_str));
        draft.add_to(&mut page, NAME, origin);
    }
    page.older = oldest.filter(|_| proposals.len() >= PAGE).map(Older::NotAfter);
    Ok(page)
}
