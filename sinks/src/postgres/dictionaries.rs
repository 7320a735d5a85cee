//! What many rows share, as numbers: lineages and the names of sources. Found or made in the transaction that first needs them.

use std::collections::{BTreeSet, HashMap};

use tokio_postgres::{Client, Error, Statement, Transaction};
use vigie_schemas::{ScoredPost, TrendInsight};

const FIND_SOURCE: &str = "SELECT id FROM sources WHERE source = $1";
const ADD_SOURCE: &str = "INSERT INTO sources (source) VALUES ($1) ON CONFLICT DO NOTHING";

const LINEAGE: &str =
    "model_name, model_version, model_sha256, assets_version, input_topic, input_partition, forecast_model,
    forecast_version, forecast_sha256, no_forecast_reason";
const LINEAGE_VALUES: &str = "$1, $2, $3, $4, $5, $6, $7, $8, $9, $10";

/// A row of `lineages`: all that the rows of a model, an input partition and a forecaster have in common. What is missing is empty.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct LineageKey {
    model: [String; 4],
    input_topic: String,
    input_partition: i32,
    forecast: [String; 4],
}

impl LineageKey {
    pub(crate) fn of_post(post: &ScoredPost) -> Self {
        Self::of(&post.lineage, Default::default())
    }

    pub(crate) fn of_trend(trend: &TrendInsight) -> Self {
        let forecast = trend.forecast.as_ref();
        let [name, version, sha256] = forecast.map_or_else(Default::default, |forecast| {
            [&forecast.model_name, &forecast.model_version, &forecast.model_sha256].map(Clone::clone)
        });
        Self::of(&trend.lineage, [name, version, sha256, trend.no_forecast_reason.clone().unwrap_or_default()])
    }

    fn of(lineage: &vigie_schemas::Lineage, forecast: [String; 4]) -> Self {
        let model = [&lineage.model_name, &lineage.model_version, &lineage.model_sha256, &lineage.assets_version];
        Self {
            model: model.map(Clone::clone),
            input_topic: lineage.input_topic.clone(),
            input_partition: lineage.input_partition,
            forecast,
        }
    }
}

/// The statements of this module, prepared.
pub(crate) struct DictionaryStatements {
    find_source: Statement,
    add_source: Statement,
    find_lineage: Statement,
    add_lineage: Statement,
}

impl DictionaryStatements {
    pub(crate) async fn prepare(client: &Client) -> Result<Self, Error> {
        let find_lineage = format!("SELECT id FROM lineages WHERE ({LINEAGE}) = ({LINEAGE_VALUES})");
        let add_lineage = format!("INSERT INTO lineages ({LINEAGE}) VALUES ({LINEAGE_VALUES}) ON CONFLICT DO NOTHING");
        Ok(Self {
            find_source: client.prepare(FIND_SOURCE).await?,
            add_source: client.prepare(ADD_SOURCE).await?,
            find_lineage: client.prepare(&find_lineage).await?,
            add_lineage: client.prepare(&add_lineage).await?,
        })
    }
}

/// The numbers that are known to be in the database.
#[derive(Clone, Debug, Default)]
pub(crate) struct Dictionaries {
    sources: HashMap<String, i32>,
    lineages: HashMap<LineageKey, i32>,
}

impl Dictionaries {
    /// Those of these names and lineages that are not known yet. Valid once the transaction is committed.
    pub(crate) async fn find(
        &self,
        tx: &Transaction<'_>,
        statements: &DictionaryStatements,
        sources: BTreeSet<&str>,
        lineages: BTreeSet<LineageKey>,
    ) -> Result<Self, Error> {
        let mut found = Self::default();
        // In order, so that two sinks that add several cannot wait for each other.
        for source in sources.into_iter().filter(|source| !self.sources.contains_key(*source)) {
            let id = id(tx, &statements.find_source, &statements.add_source, &[&source]).await?;
            found.sources.insert(source.to_owned(), id);
        }
        for lineage in lineages.into_iter().filter(|lineage| !self.lineages.contains_key(lineage)) {
            let LineageKey { model: [name, version, sha256, assets], input_topic, input_partition, forecast } =
                &lineage;
            let [forecaster, forecast_version, forecast_sha256, reason] = forecast;
            let values: [&(dyn tokio_postgres::types::ToSql + Sync); 10] = [
                name,
                version,
                sha256,
                assets,
                input_topic,
                input_partition,
                forecaster,
                forecast_version,
                forecast_sha256,
                reason,
            ];
            let id = id(tx, &statements.find_lineage, &statements.add_lineage, &values).await?;
            found.lineages.insert(lineage, id);
        }
        Ok(found)
    }

    pub(crate) fn extend(&mut self, found: Self) {
        self.sources.extend(found.sources);
        self.lineages.extend(found.lineages);
    }

    /// These and what was just found.
    pub(crate) fn with<'a>(&'a self, found: &'a Self) -> Ids<'a> {
        Ids { known: self, found }
    }
}

/// The numbers for the rows of a batch, all of which were asked for with [`Dictionaries::find`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ids<'a> {
    known: &'a Dictionaries,
    found: &'a Dictionaries,
}

impl Ids<'_> {
    pub(crate) fn source(&self, name: &str) -> i32 {
        let id = self.known.sources.get(name).or_else(|| self.found.sources.get(name));
        *id.expect("the names of a batch are found before its rows are made")
    }

    pub(crate) fn lineage(&self, lineage: &LineageKey) -> i32 {
        let id = self.known.lineages.get(lineage).or_else(|| self.found.lineages.get(lineage));
        *id.expect("the lineages of a batch are found before its rows are made")
    }
}

/// Of what another session adds at the same time, `add` waits for the end, and the second look sees it.
async fn id(
    tx: &Transaction<'_>,
    find: &Statement,
    add: &Statement,
    values: &[&(dyn tokio_postgres::types::ToSql + Sync)],
) -> Result<i32, Error> {
    if let Some(row) = tx.query_opt(find, values).await? {
        return row.try_get(0);
    }
    tx.execute(add, values).await?;
    tx.query_one(find, values).await?.try_get(0)
}
