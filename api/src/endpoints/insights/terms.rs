use axum::body::Bytes;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use vigie_schemas::{LIVE_RUN, WHOLE_MARKET};

use crate::app::SharedApp;
use crate::http::page::{Page, page_params};
use crate::http::params::{AssetId, End, Format, Int, Moment, Query, Text, is_relative, range};
use crate::http::problem::Problem;
use crate::http::table::{Form, Table};
use crate::serving::Question;
use crate::store::Snapshot;
use crate::store::posts::terms::{Term, TermKind, TermsQuery};
use crate::time::UtcTime;

/// A page of terms, newest window first.
#[derive(Serialize, ToSchema)]
pub(crate) struct Terms {
    /// At least some of these terms are of sample data.
    sample: bool,
    /// Newest window first; of the same window the most significant first.
    terms: Vec<Term>,
    /// Give it as `cursor=` for the next page; null on the last one.
    next: Option<String>,
}

/// Length of the windows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ToSchema)]
enum Interval {
    #[default]
    #[serde(rename = "1h")]
    Hour,
    #[serde(rename = "1d")]
    Day,
}

page_params!(
    /// What can be asked about terms.
    TermsParams {
        /// Length of the windows
        #[param(inline)]
        interval: Interval,
        /// Only terms that name this asset, or whose posts are about it: its id, name or an alias
        #[param(inline)]
        asset: Option<AssetId>,
        /// Only this term, in lower case
        #[param(inline)]
        term: Option<Text<64>>,
        /// Only of this kind
        #[param(inline)]
        kind: Option<TermKind>,
        /// Windows that start at or after: RFC 3339, a date, or now-1h
        #[param(inline)]
        from: Option<Moment>,
        /// Windows that start before: RFC 3339, the end of a date, or now-1h
        #[param(inline)]
        to: Option<End>,
        /// Leave out what is less significant; terms under 3 were significant before, while their window went on
        #[param(inline)]
        min_significance: Int<0, 1000, 3>,
    }
    /// Terms per page
    Format
);

impl Table for Terms {
    fn list(&self, form: Form) -> Result<Bytes, Problem> {
        let columns = "\
            term,kind,window_start,window_end,significance,authors,posts,all_authors,\
            expected_authors,first_seen,asset,assets,final,computed_at,sample";
        form.page(columns, &self.terms, self.next.as_deref())
    }
}

/// Words, phrases and cashtags that rise beyond expectation, with the posts behind them
///
/// Of the live run. A coin that no table knows yet is seen here first: a cashtag without `asset`.
#[utoipa::path(get, path = "/v1/terms", tag = "insights", operation_id = "list_terms", params(TermsParams),
    responses((status = 200, description = "A page of terms", content((Terms = "application/json"), (String = "text/csv")))))]
pub(crate) async fn list(
    State(app): SharedApp,
    headers: HeaderMap,
    Query(mut asked): Query<TermsParams>,
) -> Result<Response, Problem> {
    let media = Format::media(asked.format.take(), &headers)?;
    asked.asset = asked.asset.map(|asset| app.names.canonical(&asset));
    app.serving.answer(&headers, media, &asked).await
}

impl Question for TermsParams {
    const NAME: &'static str = "terms";
    type Answer = Terms;

    fn run(&self) -> &str {
        LIVE_RUN
    }

    fn is_timeless(&self, _now: UtcTime) -> bool {
        !is_relative(self.from, self.to)
    }

    async fn build(&self, data: &Snapshot, now: UtcTime) -> Result<Terms, Problem> {
        let Self { interval, asset, term, kind, from, to, min_significance, limit, cursor, format: _ } = self;
        let question = format!("terms {interval:?} {asset:?} {term:?} {kind:?} {from:?} {to:?} {min_significance:?}");
        let page = Page::new(question, cursor.as_ref(), *limit)?;
        let live = data.served(LIVE_RUN, None);
        let ground = data.ground(&live, asset.as_ref().map_or(WHOLE_MARKET, |asset| &asset.0)).await?;
        let query = TermsQuery {
            seconds: match interval {
                Interval::Hour => 3600,
                Interval::Day => 24 * 3600,
            },
            asset: asset.as_ref().map(|_| ground.asset.clone()),
            term: term.as_ref().map(|Text(term)| term.clone()),
            kind: *kind,
            range: range(*from, *to, ground.reached(now)),
            min_significance: min_significance.0,
            page,
        };
        let mut terms = data.terms(&query).await?;
        let next = query.page.end(&mut terms, |last| (last.window_start, &last.place));
        let sample = terms.iter().any(|term| term.sample);
        Ok(Terms { sample, terms, next })
    }
}
