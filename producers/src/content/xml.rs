//! Reads XML as the web sends it: well formed or not, never failing, in time and memory bounded by the length of the text.
//!
//! ```text
//!   text ─▶ tokens (tags, CDATA, what to skip) ─▶ tree of elements, each with the range of text that it holds
//! ```
//!
//! End tags that match nothing are passed over, missing ones are supplied, `&` and `<` that begin nothing are text, prefixes without a declaration mean what
//! they mean by custom. Entities of the document are expanded where they stand for plain text, up to a cap: there is no bomb to build from them. Deep nesting, many attributes and many
//! tags are cut off at the limits below.

pub(crate) mod decode;
mod entities;
mod space;
mod token;
mod tree;

pub(crate) use space::Space;
pub(crate) use tree::{Element, Tree, resolve};

/// Tags of one document that are looked at; the rest counts as cut off.
const MAX_TOKENS: usize = 1_000_000;

/// The deepest nesting of elements that is kept.
const MAX_DEPTH: usize = 128;

/// Attributes of one tag that are kept.
const MAX_ATTRIBUTES: usize = 48;

/// Namespace declarations in force at once.
const MAX_DECLARATIONS: usize = 64;
