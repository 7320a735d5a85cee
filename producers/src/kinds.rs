//! The kinds of source, one file or folder each: from an answer to posts, all pure.

pub mod bluesky;
pub mod coingecko;
pub mod discourse;
pub mod draft;
pub mod hackernews;
pub mod html;
pub mod jetstream;
pub mod lemmy;
pub mod mastodon;
pub mod reddit;
pub mod rss;
pub mod sitemap;
pub mod snapshot;
pub mod source;
pub mod telegram;
pub mod x;
