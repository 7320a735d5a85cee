use std::collections::BTreeMap;

use serde::Serialize;
use tokio_postgres::Row;
use utoipa::ToSchema;
use vigie_schemas::SERVED_RUN;

use crate::store::runs::served::Served;
use crate::store::windows::BUCKET;
use crate::store::windows::series::{ByAsset, SeriesQuery};
use crate::store::{Snapshot, StoreError};
use crate::time::UtcTime;

/// What the numbers of an answer stand on.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Lineage {
    /// `live`, or the id of a replay; `served` where several runs have a part.
    pub run_id: String,
    /// Every run that answers for some of the time, in the order of time.
    pub runs: Vec<String>,
    /// The models that scored the posts, with the table of assets in use.
    pub models: Vec<Model>,
    /// The models that made the forecasts.
    pub forecasters: Vec<Forecaster>,
    /// The input records, as ranges of offsets.
    pub inputs: Vec<InputRange>,
}

/// A model, and the table of assets that was in use with it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema)]
pub(crate) struct Model {
    /// Name of the model.
    pub name: String,
    /// Its version.
    pub version: String,
    /// SHA-256 of its file, hexadecimal.
    pub sha256: String,
    /// Version of the table that finds assets in texts.
    pub assets_version: String,
}

/// A model that makes forecasts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema)]
pub(crate) struct Forecaster {
    /// Name of the model.
    pub name: String,
    /// Its version.
    pub version: String,
    /// SHA-256 of its file, hexadecimal.
    pub sha256: String,
}

/// Input records of one partition: `first_offset` to `last_offset`, inclusive.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema)]
pub(crate) struct InputRange {
    /// Kafka topic.
    pub topic: String,
    /// Partition of the topic.
    pub partition: i32,
    /// Lowest offset.
    pub first_offset: i64,
    /// Highest offset.
    pub last_offset: i64,
}

/// Columns that [`Lineage::add`] reads, in the order in which lineages are listed.
const COLUMNS: &str = "model_name, model_version, model_sha256, assets_version, input_topic, input_partition, forecast_model, forecast_version, forecast_sha256";

/// By id, so that no texts are compared.
const OFFSETS: &str = "lineage_id, min(first_offset) AS first_offset, max(last_offset) AS last_offset";

/// What [`Lineage::add`] reads, of a row `l` of `lineages`.
const NAMES: &str = "l.model_name, l.model_version, l.model_sha256, l.assets_version, l.input_topic, l.input_partition, \
    nullif(l.forecast_model, '') AS forecast_model, nullif(l.forecast_version, '') AS forecast_version, \
    nullif(l.forecast_sha256, '') AS forecast_sha256";

/// With [`NAMES`] what [`Lineage::add_joined`] reads, of rows `of` with [`OFFSETS`].
const JOINED: &str = "of.first_offset, of.last_offset FROM of JOIN lineages l ON l.id = of.lineage_id";

/// First and last offset by the id of the lineage.
pub(super) type Offsets = BTreeMap<i32, (i64, i64)>;

pub(super) fn widen(offsets: &mut Offsets, id: i32, (first, last): (i64, i64)) {
    let known = offsets.entry(id).or_insert((first, last));
    *known = (known.0.min(first), known.1.max(last));
}

impl Model {
    pub(crate) fn read(row: &Row) -> Result<Self, StoreError> {
        Ok(Self {
            name: row.try_get("model_name")?,
            version: row.try_get("model_version")?,
            sha256: row.try_get("model_sha256")?,
            assets_version: row.try_get("assets_version")?,
        })
    }
}

impl Lineage {
    /// That of a range, without a row yet.
    pub(crate) fn new(served: &Served, range: (UtcTime, UtcTime)) -> Self {
        let runs = served.runs(range);
        let run_id = if let [run] = &runs[..] { run.clone() } else { SERVED_RUN.to_owned() };
        Self { run_id, runs, models: Vec::new(), forecasters: Vec::new(), inputs: Vec::new() }
    }

    pub(crate) fn add_joined(&mut self, row: &Row) -> Result<(), StoreError> {
        self.add(row, (row.try_get("first_offset")?, row.try_get("last_offset")?))
    }

    pub(crate) fn add(&mut self, row: &Row, (first_offset, last_offset): (i64, i64)) -> Result<(), StoreError> {
        self.add_model(Model::read(row)?);
        let forecaster =
            (row.try_get("forecast_model")?, row.try_get("forecast_version")?, row.try_get("forecast_sha256")?);
        if let (Some(name), Some(version), Some(sha256)) = forecaster {
            self.add_forecaster(Forecaster { name, version, sha256 });
        }
        let range = InputRange {
            topic: row.try_get("input_topic")?,
            partition: row.try_get("input_partition")?,
            first_offset,
            last_offset,
        };
        self.add_input(range);
        Ok(())
    }

    /// Both together.
    pub(crate) fn union(mut self, other: &Self) -> Self {
        other.models.iter().for_each(|model| self.add_model(model.clone()));
        other.forecasters.iter().for_each(|forecaster| self.add_forecaster(forecaster.clone()));
        other.inputs.iter().for_each(|range| self.add_input(range.clone()));
        self
    }

    fn add_model(&mut self, model: Model) {
        if !self.models.contains(&model) {
            self.models.push(model);
        }
    }

    fn add_forecaster(&mut self, forecaster: Forecaster) {
        if !self.forecasters.contains(&forecaster) {
            self.forecasters.push(forecaster);
        }
    }

    fn add_input(&mut self, range: InputRange) {
        match self.inputs.iter_mut().find(|r| r.topic == range.topic && r.partition == range.partition) {
            Some(known) => {
                known.first_offset = known.first_offset.min(range.first_offset);
                known.last_offset = known.last_offset.max(range.last_offset);
            }
            None => self.inputs.push(range),
        }
    }
}

impl Snapshot {
    /// Each with what its offsets belong to.
    pub(super) async fn lineages_of(&self, mut all: Vec<(Lineage, Offsets)>) -> Result<Vec<Lineage>, StoreError> {
        let mut ids: Vec<i32> = all.iter().flat_map(|(_, offsets)| offsets.keys()).copied().collect();
        ids.sort_unstable();
        ids.dedup();
        let sql = format!("SELECT l.id, {NAMES} FROM lineages l WHERE l.id = ANY($1) ORDER BY {COLUMNS}");
        for row in &self.rows(&sql, &[&ids]).await? {
            let id: i32 = row.try_get("id")?;
            for (lineage, offsets) in &mut all {
                if let Some(offsets) = offsets.get(&id) {
                    lineage.add(row, *offsets)?;
                }
            }
        }
        Ok(all.into_iter().map(|(lineage, _)| lineage).collect())
    }

    /// The lineage of series: of each of their buckets, by start; or of all together, at the start of the range.
    pub(crate) async fn series_lineage(
        &self,
        query: &SeriesQuery,
        by_bucket: bool,
    ) -> Result<ByAsset<Lineage>, StoreError> {
        let bucket = if by_bucket { BUCKET } else { "CASE WHEN $5::text <> '' THEN $3::timestamptz END" };
        let sql = format!(
            "WITH w AS ({}), of AS (SELECT asset, {bucket} AS bucket, {OFFSETS} FROM w GROUP BY 1, 2, lineage_id) \
             SELECT of.asset, of.bucket, {NAMES}, {JOINED} ORDER BY 1, 2, {COLUMNS}",
            query.rows()
        );
        let mut buckets: ByAsset<Lineage> = BTreeMap::new();
        for row in self.series_rows(&sql, query, &query.names()).await? {
            let of_asset = buckets.entry(row.try_get("asset")?).or_default();
            let bucket: UtcTime = row.try_get("bucket")?;
            let range = if by_bucket { (bucket, bucket.plus(query.interval)) } else { (query.from, query.to) };
            of_asset.entry(bucket).or_insert_with(|| Lineage::new(&query.served, range)).add_joined(&row)?;
        }
        Ok(buckets)
    }
}
