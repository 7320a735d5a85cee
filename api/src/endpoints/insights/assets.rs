use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::app::SharedApp;
use crate::http::params::{Format, Query, Run};
use crate::http::problem::Problem;
use crate::http::table::{Form, Table};
use crate::names::{Names, slug};
use crate::serving::Question;
use crate::store::windows::assets::Asset;
use crate::store::windows::lineage::Lineage;
use crate::store::{Plans, Snapshot};
use crate::time::{EARLIEST, LATEST, UtcTime};

/// The assets of a run.
#[derive(Serialize, ToSchema)]
pub(crate) struct Assets {
    /// `live`, or the id of a replay; `served` where several runs have a part.
    run_id: String,
    /// Start of the oldest window; null if there is no data yet.
    oldest: Option<UtcTime>,
    /// Up to where time has passed: the end of the newest window that is over, the "now" of the data. Archives play the past. Null if there is
    /// no data yet.
    newest: Option<UtcTime>,
    /// At least some of the data does not come from the public web.
    sample: bool,
    /// By id; `*` stands for all posts.
    assets: Vec<NamedAsset>,
    /// What the last 24 hours stand on.
    lineage: Lineage,
}

/// An asset with what it is called.
#[derive(Serialize, ToSchema)]
pub(crate) struct NamedAsset {
    /// As people write it; null if the table of assets does not have it.
    name: Option<String>,
    /// The name in small letters and digits with hyphens between, as bitcoin-cash.
    slug: Option<String>,
    /// More that it may be asked for by, in any case.
    aliases: Vec<String>,
    /// Kinds that the table of assets knows: stablecoin.
    categories: Vec<String>,
    #[serde(flatten)]
    asset: Asset,
}

impl Table for Assets {
    fn list(&self, form: Form) -> Result<Bytes, Problem> {
        let columns = "\
            asset,name,slug,aliases,categories,first_window,latest_window.start,latest_window.end,\
            latest_window.revision,latest_window.final,latest_window.posts,\
            latest_window.mean_score,latest_window.computed_at,posts_1h,posts_24h,mean_score_24h";
        form.rows(columns, &self.assets)
    }
}

/// What can be asked about assets.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct AssetsParams {
    /// `live`, or a replay's id; by default what is served: promoted runs in their ranges, `live` elsewhere
    #[param(inline)]
    run: Run,
    /// By default what `Accept` prefers
    #[param(inline)]
    format: Option<Format>,
}

/// All assets that posts have mentioned
#[utoipa::path(get, path = "/v1/assets", tag = "insights", operation_id = "list_assets", params(AssetsParams),
    responses((status = 200, description = "The assets by id", content((Assets = "application/json"), (String = "text/csv")))))]
pub(crate) async fn list(
    State(app): SharedApp,
    headers: HeaderMap,
    Query(asked): Query<AssetsParams>,
) -> Result<Response, Problem> {
    let media = Format::media(asked.format, &headers)?;
    app.serving.answer(&headers, media, &AssetsQuestion { run: asked.run, names: app.names.clone() }).await
}

#[derive(Debug)]
struct AssetsQuestion {
    run: Run,
    names: Arc<Names>,
}

impl AssetsQuestion {
    fn named(&self, asset: Asset) -> NamedAsset {
        let known = self.names.of(&asset.asset);
        NamedAsset {
            name: known.map(|known| known.name.clone()),
            slug: known.map(|known| slug(&known.name)),
            aliases: known.map(|known| known.aliases.clone()).unwrap_or_default(),
            categories: known.map(|known| known.categories.clone()).unwrap_or_default(),
            asset,
        }
    }
}

impl Question for AssetsQuestion {
    const NAME: &'static str = "assets";
    type Answer = Assets;

    fn run(&self) -> &str {
        &self.run.0
    }

    /// One table has the assets and one the hours: whatever the time, an index has the rest.
    fn plans(&self) -> Plans {
        Plans::Once
    }

    async fn build(&self, data: &Snapshot, now: UtcTime) -> Result<Assets, Problem> {
        let served = data.served(&self.run.0, None);
        let all = Lineage::new(&served, (UtcTime(EARLIEST), UtcTime(LATEST)));
        let empty = Assets {
            run_id: all.run_id.clone(),
            oldest: None,
            newest: None,
            sample: false,
            assets: Vec::new(),
            lineage: all,
        };
        let Some(extent) = data.extent(&served).await? else { return Ok(empty) };
        let reached = extent.reached(now);
        let (assets, sample, lineage) = data.assets(&served, reached).await?;
        let assets = assets.into_iter().map(|asset| self.named(asset)).collect();
        Ok(Assets { oldest: Some(extent.oldest), newest: Some(reached), sample, assets, lineage, ..empty })
    }
}
