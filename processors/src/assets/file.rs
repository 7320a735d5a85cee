//! A file of assets, and what it changes in the table below it.

use std::path::PathBuf;

use serde::Deserialize;
use thiserror::Error;
use toml::Spanned;

use super::asset::{Asset, Context};
use super::check::Lines;

/// Why a table was refused.
#[derive(Debug, Error)]
pub enum AssetTableError {
    /// The file cannot be read.
    #[error("cannot read asset table {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// The file is not TOML of the right shape.
    #[error("asset table is malformed: {0}")]
    Malformed(String),
    /// The entries contradict the rules; every mistake is listed.
    #[error("asset table has {} mistakes: {}", .0.len(), .0.join("; "))]
    Invalid(Vec<String>),
}

/// As written. Of an asset that is there already, lists are added to; names and flags are set.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    version: Option<String>,
    #[serde(default)]
    replace: bool,
    #[serde(default)]
    context: Context,
    #[serde(rename = "asset", default)]
    assets: Vec<Spanned<Entry>>,
}

/// An entry: an asset, or a change of one.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    id: String,
    name: Option<String>,
    #[serde(default)]
    tickers: Vec<String>,
    #[serde(default)]
    ambiguous: Vec<String>,
    #[serde(default)]
    beside: Vec<String>,
    #[serde(default)]
    cashtags: Vec<String>,
    #[serde(default)]
    lower: Vec<String>,
    #[serde(default)]
    names: Vec<String>,
    #[serde(default)]
    typos: Vec<String>,
    #[serde(default)]
    proper: Vec<String>,
    #[serde(default)]
    common: Vec<String>,
    #[serde(default)]
    words: Vec<String>,
    #[serde(default)]
    ens: Vec<String>,
    #[serde(default)]
    contracts: Vec<String>,
    #[serde(default)]
    companies: Vec<String>,
    stablecoin: Option<bool>,
    /// Takes the asset out of the table.
    #[serde(default)]
    remove: bool,
    /// Strings that no longer count for it.
    #[serde(default)]
    without: Vec<String>,
}

/// A parsed file.
pub(super) struct File {
    document: Document,
    /// Where each line of the text ends.
    line_ends: Vec<usize>,
}

impl File {
    /// Parses a text; the error names the line.
    pub(super) fn parse(text: &str) -> Result<Self, AssetTableError> {
        let document = toml::from_str(text).map_err(|error| AssetTableError::Malformed(error.to_string()))?;
        let line_ends = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at).collect();
        Ok(Self { document, line_ends })
    }

    pub(super) fn version(&self) -> Option<&str> {
        self.document.version.as_deref()
    }

    /// Whether nothing of the bundled assets is to stay.
    pub(super) fn replaces(&self) -> bool {
        self.document.replace
    }

    /// The assets and words below with those of this file over them, and the lines of the entries by asset.
    pub(super) fn over(
        self,
        mut assets: Vec<Asset>,
        mut context: Context,
    ) -> Result<(Vec<Asset>, Context, Lines), AssetTableError> {
        let (mut lines, mut mistakes) = (Lines::default(), Vec::new());
        for spanned in self.document.assets {
            let line = self.line_ends.partition_point(|end| *end < spanned.span().start) + 1;
            let entry = spanned.into_inner();
            let place = assets.iter().position(|asset| asset.id == entry.id);
            let known = place.filter(|_| !lines.has(&entry.id));
            lines.set(&entry.id, line);
            match known {
                Some(at) if entry.remove => drop(assets.remove(at)),
                Some(at) => {
                    if let Some(asset) = assets.get_mut(at) {
                        change(asset, entry, line, &mut mistakes);
                    }
                }
                None if entry.remove || !entry.without.is_empty() => {
                    mistakes.push(format!("line {line}: there is no asset {} to take from", entry.id));
                }
                None if entry.name.is_none() => {
                    mistakes.push(format!("line {line}: asset {} is new, expected a name", entry.id));
                }
                None => {
                    let mut asset = Asset { id: entry.id.clone(), ..Asset::default() };
                    change(&mut asset, entry, line, &mut mistakes);
                    assets.push(asset);
                }
            }
        }
        let more = self.document.context;
        for (list, more) in [
            (&mut context.words, more.words),
            (&mut context.after, more.after),
            (&mut context.moves, more.moves),
            (&mut context.before, more.before),
            (&mut context.between, more.between),
            (&mut context.on, more.on),
            (&mut context.joins, more.joins),
            (&mut context.auxiliary, more.auxiliary),
            (&mut context.never, more.never),
        ] {
            list.extend(more);
        }
        if mistakes.is_empty() { Ok((assets, context, lines)) } else { Err(AssetTableError::Invalid(mistakes)) }
    }
}

fn change(asset: &mut Asset, entry: Entry, line: usize, mistakes: &mut Vec<String>) {
    for string in &entry.without {
        let mut found = false;
        for (_, list) in asset.lists() {
            let before = list.len();
            list.retain(|known| known != string);
            found |= list.len() < before;
        }
        if !found {
            mistakes.push(format!("line {line}: asset {} has no string {string:?} to take away", asset.id));
        }
    }
    let more = [
        entry.tickers,
        entry.ambiguous,
        entry.beside,
        entry.cashtags,
        entry.lower,
        entry.names,
        entry.typos,
        entry.proper,
        entry.common,
        entry.words,
        entry.ens,
        entry.contracts,
        entry.companies,
    ];
    for ((_, list), more) in asset.lists().into_iter().zip(more) {
        list.extend(more);
    }
    asset.name = entry.name.unwrap_or_else(|| std::mem::take(&mut asset.name));
    asset.stablecoin = entry.stablecoin.unwrap_or(asset.stablecoin);
}
