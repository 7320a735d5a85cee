//! The asset table: a TOML file in the program, and one of the user's over it.

use std::fs;
use std::path::Path;

use sha2::{Digest, Sha256};

use super::asset::{Asset, Context};
use super::check;
use super::context;
use super::file::{AssetTableError, File};

/// The table that is built into the program.
pub(super) const BUNDLED: &str = include_str!("../../assets/assets.toml");

/// All assets, in the order in which they are reported.
#[derive(Clone, Debug)]
pub struct AssetTable {
    version: String,
    assets: Vec<Asset>,
    context: Context,
}

impl AssetTable {
    /// The table that is built into the program.
    pub fn bundled() -> Result<Self, AssetTableError> {
        Self::from_toml(BUNDLED)
    }

    /// The bundled table, with the user's file over it if one is given.
    pub fn load(path: Option<&Path>) -> Result<Self, AssetTableError> {
        let Some(path) = path else { return Self::bundled() };
        let text =
            fs::read_to_string(path).map_err(|source| AssetTableError::Read { path: path.to_owned(), source })?;
        Self::extended(&text)
    }

    /// The bundled table with the entries of `text` over it: see `docs/assets.md` for what they may say.
    pub fn extended(text: &str) -> Result<Self, AssetTableError> {
        let bundled = Self::bundled()?;
        let file = File::parse(text)?;
        let base = if file.replaces() { Self { assets: Vec::new(), ..bundled } } else { bundled };
        let number = base.version.split('+').next().unwrap_or_default().to_owned();
        let (assets, context, lines) = file.over(base.assets, base.context)?;
        Self::checked(format!("{number}+{}", digest(&[BUNDLED, text])), assets, context, &lines)
    }

    /// Parses and checks a table that stands by itself.
    pub fn from_toml(text: &str) -> Result<Self, AssetTableError> {
        let file = File::parse(text)?;
        let number = file.version().ok_or_else(|| AssetTableError::Malformed("missing field `version`".to_owned()))?;
        let version = format!("{number}+{}", digest(&[text]));
        let (assets, context, lines) = file.over(Vec::new(), Context::default())?;
        Self::checked(version, assets, context, &lines)
    }

    fn checked(
        version: String,
        assets: Vec<Asset>,
        context: Context,
        lines: &check::Lines,
    ) -> Result<Self, AssetTableError> {
        let mistakes = check::mistakes(&assets, &context, lines);
        if mistakes.is_empty() {
            Ok(Self { version, assets, context })
        } else {
            Err(AssetTableError::Invalid(mistakes))
        }
    }

    /// The bundled table's version, `+sha256:`, and the first 12 hex digits of the SHA-256 of the texts that it is made of and of the weights of the
    /// scorer, so that what was recognised otherwise cannot pass for the original.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// All assets, in table order.
    pub fn assets(&self) -> &[Asset] {
        &self.assets
    }

    /// Words around assets.
    pub fn context(&self) -> &Context {
        &self.context
    }

    /// The asset of an id.
    pub fn get(&self, id: &str) -> Option<&Asset> {
        self.assets.iter().find(|asset| asset.id == id)
    }
}

fn digest(texts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for text in texts {
        hash.update(text);
        hash.update([0]);
    }
    hash.update(context::BUNDLED);
    let hex: String = hash.finalize().iter().take(6).map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

#[cfg(test)]
mod tests;
