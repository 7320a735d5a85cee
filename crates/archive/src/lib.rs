#![doc = include_str!("../README.md")]

mod archive;
mod cells;
mod columns;
mod error;
mod file;
mod location;
mod manifest;
mod row;

pub use archive::{Archive, Stored};
pub use columns::TOPICS;
pub use error::ArchiveError;
pub use file::{FileWriter, Finished, read_rows};
pub use location::{ArchiveOptions, Location};
pub use manifest::{ArchivedFile, Manifest, Span};
pub use row::{Archived, Content, Row};
