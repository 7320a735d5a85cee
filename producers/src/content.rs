//! From an answer to text, times and names: pure functions that know no kind of source and no network.

pub mod charset;
pub mod dates;
pub mod document;
pub(crate) mod emoji;
pub mod identity;
pub(crate) mod json;
pub(crate) mod packed;
pub mod plain_text;
pub mod quotes;
pub(crate) mod web_page;
pub(crate) mod xml;
