//! Which crypto assets a text mentions, by a table and three plain rules.
//!
//! The text is `title + "\n" + text`, or the text alone when there is no title ([`post_text`]). A *word character* is
//! one of `[0-9A-Za-z_]` or U+00C0 to U+024F (accented Latin letters); other scripts need no space around a ticker
//! (`买BTC吧` mentions BTC). In the text, left to right, the longest candidate wins and candidates do not overlap
//! (`bitcoin cash` is BCH only); a candidate counts only if no word character is directly before or after it:
//!
//! | evidence  | candidate | letter case |
//! |-----------|-----------|-------------|
//! | `cashtag` | `$` and one of the asset's tickers or ambiguous tickers | any |
//! | `ticker`  | one of its tickers, not its ambiguous ones | as in the table (upper case) |
//! | `name`    | one of its names | any (ASCII) |
//!
//! So the whole matcher is one regular expression: the alternation of all candidates, longest first, between
//! `(?<![0-9A-Za-z_À-ɏ])` and `(?![0-9A-Za-z_À-ɏ])`. `matcher.rs` runs it as one Aho-Corasick pass, and a test
//! compares the two readings. Each asset is reported once, in table order, with its strongest evidence (cashtag, then
//! ticker, then name).

mod matcher;
mod table;

use std::fmt;

pub use matcher::{AssetHit, AssetMatcher};
use serde::{Deserialize, Serialize};
pub use table::{Asset, AssetTable, AssetTableError};

/// What gave an asset away; the strongest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Evidence {
    /// `$TICKER`.
    Cashtag,
    /// A bare ticker in upper case.
    Ticker,
    /// A name or alias.
    Name,
}

impl Evidence {
    /// As written to topics and printed by the CLI.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cashtag => "cashtag",
            Self::Ticker => "ticker",
            Self::Name => "name",
        }
    }
}

impl fmt::Display for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The text of a post that is searched and scored: the title, a line feed, and the text.
pub fn post_text(title: Option<&str>, text: &str) -> String {
    match title {
        Some(title) => format!("{title}\n{text}"),
        None => text.to_owned(),
    }
}
