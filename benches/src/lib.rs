#![doc = include_str!("../README.md")]

pub mod http;
pub mod latency;
pub mod peers;
pub mod posts;
pub mod registry;

use std::path::{Path, PathBuf};

/// The folder of the sentiment model: `VIGIE_MODEL`, else the committed one.
pub fn model_folder() -> PathBuf {
    std::env::var_os("VIGIE_MODEL")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/sentiment"), PathBuf::from)
}
