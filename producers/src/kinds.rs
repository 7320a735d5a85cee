//! The kinds of source, one file or folder each, all pure; this is the registry, the only place that names them all.
//!
//! [`Source`] is what each of them has, [`source::draft`] turns what a parser found into a post.

mod bluesky;
mod coingecko;
mod discourse;
mod hackernews;
mod html;
pub mod jetstream;
mod lemmy;
mod mastodon;
mod reddit;
mod rss;
mod sitemap;
mod snapshot;
pub mod source;
mod telegram;
mod x;

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::content::document::{Document, ParseError};
use crate::content::packed;
use source::{Origin, Page, Source};

/// The kinds of source, one file each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// RSS 0.9x, 1.0, 2.0, Atom or JSON Feed: news sites, Medium, YouTube, Reddit's `.rss`, GitHub releases.
    Rss,
    /// Hacker News: Algolia's search API; Firebase items are read too.
    #[value(name = "hackernews")]
    HackerNews,
    /// Reddit's JSON listings.
    Reddit,
    /// Mastodon: tag and public timelines of an instance's API.
    Mastodon,
    /// Discourse forums: posts.json, latest.json, t/ID.json.
    Discourse,
    /// Public previews of Telegram channels, t.me/s/CHANNEL.
    Telegram,
    /// Bluesky: Jetstream (wss://HOST/subscribe), search and author feeds as JSON; recorded lines of Jetstream.
    Bluesky,
    /// Lemmy: posts and comments of an instance's API.
    Lemmy,
    /// Proposals of Snapshot governance: hub.snapshot.org/graphql?space=NAME.
    Snapshot,
    /// Any web page: JSON-LD, OpenGraph and its prose, or entries by CSS selectors.
    Html,
    /// Sitemaps, with the news extension, and indexes of sitemaps.
    Sitemap,
    /// X: recent search of API v2; needs a key.
    X,
    /// News of CoinGecko's API; needs a key.
    #[value(name = "coingecko")]
    CoinGecko,
}

impl Kind {
    /// Every kind.
    pub fn all() -> &'static [Self] {
        <Self as clap::ValueEnum>::value_variants()
    }

    /// The name in `sources.toml`, in post ids and on the command line.
    pub const fn name(self) -> &'static str {
        self.registered().0
    }

    /// Reads one answer, which may be a gzip file.
    ///
    /// # Errors
    /// If the answer is not what this kind of source sends.
    pub fn read(self, document: Document<'_>, origin: Origin<'_>) -> Result<Page, ParseError> {
        let bytes = packed::unpacked(document.bytes)?;
        self.source().parse(Document { bytes: &bytes, ..document }, origin)
    }

    /// How sources of this kind are read.
    pub const fn source(self) -> &'static dyn Source {
        self.registered().1
    }

    /// The name of a kind, as post ids have it, too, and its source.
    const fn registered(self) -> (&'static str, &'static dyn Source) {
        match self {
            Self::Rss => (rss::NAME, &rss::Rss),
            Self::HackerNews => (hackernews::NAME, &hackernews::HackerNews),
            Self::Reddit => (reddit::NAME, &reddit::Reddit),
            Self::Mastodon => (mastodon::NAME, &mastodon::Mastodon),
            Self::Discourse => (discourse::NAME, &discourse::Discourse),
            Self::Telegram => (telegram::NAME, &telegram::Telegram),
            Self::Bluesky => (bluesky::NAME, &bluesky::Bluesky),
            Self::Lemmy => (lemmy::NAME, &lemmy::Lemmy),
            Self::Snapshot => (snapshot::NAME, &snapshot::Snapshot),
            Self::Html => (html::NAME, &html::WebPage),
            Self::Sitemap => (sitemap::NAME, &sitemap::Sitemap),
            Self::X => (x::NAME, &x::X),
            Self::CoinGecko => (coingecko::NAME, &coingecko::CoinGecko),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum as _;

    use super::*;

    #[test]
    fn a_kind_has_one_name() {
        for kind in Kind::all() {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.name());
            assert_eq!(kind.to_possible_value().unwrap().get_name(), kind.name());
        }
    }
}
