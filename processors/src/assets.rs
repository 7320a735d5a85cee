//! Which crypto assets a text mentions: a table of strings, for each string the evidence that it needs, and a scorer for what the rules leave open.
//!
//! The text is `title + "\n" + text`, or the text alone when there is no title ([`post_text`]). A *word character* is one of `[0-9A-Za-z_]` or
//! U+00C0 to U+024F (accented Latin letters); other scripts need no space around a ticker (`买BTC吧` mentions BTC). The text is read once, from left
//! to right. Where a word begins, the longest string of the table that ends where a word ends, and that could count there, is the candidate;
//! candidates do not overlap (`bitcoin cash` is BCH only). Space, line feed and hyphen are one in names, and names of several words are known
//! without them too (`#ShibaInu`). Letter case is that of ASCII.
//!
//! | field of the table | counts |
//! |---|---|
//! | `tickers`   | spelled as in the table; in other letters only *beside* evidence, if it is all upper case in the table |
//! | `ambiguous` | spelled as in the table, in a text with *context*, or *beside* evidence |
//! | `beside`    | spelled as in the table, *beside* evidence |
//! | `cashtags`  | only as a cashtag, in a pair, in parentheses, or where the scorer accepts it |
//! | `lower`     | a ticker of the above that is written small too: in any case, *beside* evidence |
//! | `names`     | in any case, also in the plural (`bitcoins`) |
//! | `typos`     | those of the above with one wrong letter inside; up to six letters in a text with *context* |
//! | `proper`    | with a capital, unless the scorer refuses it; small *beside* evidence |
//! | `common`    | with a capital, in a text with *context*; in any case *beside* evidence |
//! | `words`     | with a capital, *beside* evidence |
//! | `ens`       | as it is |
//! | `contracts` | the whole address; in any case if it begins with `0x` |
//!
//! Any ticker counts as **cashtag** (`$one`) and as base of a **pair** with a currency, a stablecoin, BTC, ETH or BNB (`ONE/USDT`, `link-usd`,
//! `BTCUSDT`, `SOL-PERP`). The quote of a pair counts only if it is BTC, ETH or BNB, whether the table has the base or not (`#XYZ/#USDT`).
//!
//! **Context** is any candidate that counts by itself, one of the table's `context.words` (`crypto`, `token`), or `ambiguous` tickers of two
//! assets, spelled as in the table, in a text that is not in capitals. In a text in capitals, and right before a colon, context alone is not
//! enough. **Beside** evidence touches the candidate: an amount before it (`500 NEAR`, `0.1BTC`), a noun of `context.after` behind it (`SOL
//! holders`), a verb of `context.before` ahead of it (`bought ADA`; up to two of `context.between` may come between), or an enumeration with an
//! asset that counts (`BTC, ETH and dot`). Two `ambiguous` tickers of an enumeration, spelled as in the table, vouch for each other, and any three
//! of its members. For tickers also a verb of `context.moves` behind it (`context.auxiliary` may come between), and for `ambiguous` ones and
//! `common` names a price or per cent; for `common` and `words` also a preposition of `context.on` ahead (`on Curve`) in a text with context. A
//! hashtag makes any case of a ticker of `tickers` in capitals or of `ambiguous` count in a text with context, and stands for the capital of `common`
//! and `words`. Tickers of `cashtags` are left to the scorer, which asks for less in an enumeration. Two strings of one asset count where one
//! stands in parentheses behind the other (`Harmony (ONE)`). Inside a hashtag, a word also begins and ends where capitals say so
//! (`#BitcoinHalving`), and a `names` string of seven letters or more may be followed by anything (`#bitcoinnews`).
//!
//! **The scorer** (`context.rs`) reads the words around every candidate that does not count by itself, and its logit must reach a threshold: the lower, the
//! more the rules have found (see `least` in `matcher.rs`). So it vetoes what only has context, and accepts what has nothing, also tickers of
//! `cashtags` in capitals. Tickers of assets with `companies` are scored as coin against share wherever they stand but in pairs, and do not count in a
//! text that names one of the companies.
//!
//! What is never evidence: the inside of a URL, but for contract addresses; an ENS name that the table does not list (`vitalik.eth`); tickers
//! behind `@`; strings of `context.never` (`ripple effect`), which swallow what they contain.
//!
//! Each asset is reported once, in table order, with its strongest evidence (see [`Evidence`]). `tests/python/asset_rules.py` and `asset_context.py`
//! read these rules a second time, without this code; a test compares the two.

mod asset;
mod check;
mod config;
mod context;
mod file;
mod lexicon;
mod matcher;
mod scan;
mod surroundings;
mod table;
mod text;

use std::fmt;

pub use asset::{Asset, Context};
pub use config::AssetsConfig;
pub use file::AssetTableError;
pub use matcher::{AssetHit, AssetMatcher, Scratch};
use serde::{Deserialize, Serialize};
pub use table::AssetTable;

/// What gave an asset away; the strongest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Evidence {
    /// The address of its contract or mint.
    Contract,
    /// `$TICKER`.
    Cashtag,
    /// A trading pair, as `SOL/USDT`.
    Pair,
    /// A bare ticker.
    Ticker,
    /// A name or alias.
    Name,
    /// The ENS name of its project.
    Ens,
}

impl Evidence {
    /// As written to topics and printed by the CLI.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Contract => "contract",
            Self::Cashtag => "cashtag",
            Self::Pair => "pair",
            Self::Ticker => "ticker",
            Self::Name => "name",
            Self::Ens => "ens",
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
