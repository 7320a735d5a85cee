//! Where a user's own assets come from.

use std::path::PathBuf;

use vigie_daemon::Mistake;

use super::{AssetMatcher, AssetTable, AssetTableError};
use crate::service;

/// Which assets are looked for.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct AssetsConfig {
    /// Assets (TOML) to lay over the bundled table: new ones, more names, removals; docs/assets.md has the format
    #[arg(long = "assets", id = "assets_file", value_name = "FILE", env = "VIGIE_ASSETS")]
    pub file: Option<PathBuf>,
}

impl AssetsConfig {
    /// The matcher of the bundled table with the file over it.
    ///
    /// # Errors
    /// What is wrong with the file.
    pub fn load(&self) -> Result<AssetMatcher, Vec<Mistake>> {
        AssetMatcher::new(self.table()?).map_err(mistake)
    }

    /// The bundled table with the file over it.
    ///
    /// # Errors
    /// What is wrong with the file.
    pub fn table(&self) -> Result<AssetTable, Vec<Mistake>> {
        AssetTable::load(self.file.as_deref()).map_err(mistake)
    }
}

fn mistake(error: AssetTableError) -> Vec<Mistake> {
    vec![Mistake::of::<AssetsConfig>("assets", service::chain(&error), "a file as docs/assets.md describes it")]
}
