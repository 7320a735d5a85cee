//! A task's share of the whole market: what it counts of it, and to whom it sends that.
//!
//! ```text
//! mentions of `*`, spread by author ─▶ trends task n: counts, authors ─┬─ posts, by each of 3 values of their fingerprint ─▶ market tasks: copies
//!                                                                      ├─ counts, how far it has come ─────────────────▶ market task 0: adds up
//!                                                                      └─ how far it has come ─▶ every market task
//! ```
//!
//! All of it goes to `trends.market.v1`, in the transaction that counted it. Before a task says how far it has come it sends all that it counted, so
//! that who reads that it has closed a window has read its last counts.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use vigie_schemas::{MARKET_SHARE, MarketPost, Mention, Topic};

use super::counted::Counted;
use crate::text::fingerprint::Fingerprint;

/// Under this asset id a task counts its share.
pub(crate) const OWN: &str = MARKET_SHARE;

/// Under these a market task keeps the posts among which it looks for copies. Near duplicates have two of four values in common, so one of the
/// first three: each of these finds those that have it and another one behind it in common.
pub(crate) const BANDS: [&str; 3] = ["*1", "*2", "*3"];

/// The market task that adds up.
pub(crate) const MERGE: i32 = 0;

/// The topic of what tasks send. Until the whole market is shared nothing is sent, and the topic need not exist.
#[derive(Clone, Debug)]
pub struct MarketTopic {
    /// Its name.
    pub(crate) name: &'static str,
    /// Its partitions: as many as the topic of mentions has; 0 if it does not exist.
    pub(crate) partitions: i32,
    shared: Arc<AtomicBool>,
}

impl MarketTopic {
    /// The topic, with its partitions, to which nothing was sent yet; 0 if it does not exist.
    pub fn new(partitions: i32) -> Self {
        Self { name: Topic::TrendsMarket.name(), partitions, shared: Arc::default() }
    }

    /// Whether the whole market is shared, or ever was.
    pub fn is_shared(&self) -> bool {
        self.shared.load(Ordering::Relaxed)
    }

    /// From now on all tasks of this process send.
    pub(crate) fn share(&self) {
        self.shared.store(true, Ordering::Relaxed);
    }

    /// The partition where a band of the fingerprint is looked at.
    fn of_band(&self, fingerprint: Fingerprint, band: i32) -> i32 {
        let value = fingerprint.bands().into_iter().nth(band as usize).map_or(0, i32::from);
        (value + band) % self.partitions
    }

    /// What is to be sent where of a post that was counted or, if `gone`, taken away.
    pub(crate) fn posts(&self, post_id: &str, counted: &Counted, gone: bool) -> Vec<(i32, MarketPost)> {
        let Some(fingerprint) = counted.fingerprint else { return Vec::new() };
        let post = |band| MarketPost {
            post_id: post_id.to_owned(),
            revision: counted.revision,
            published_at: counted.published_at,
            fingerprint,
            band,
            spam: counted.spam,
            gone,
        };
        let near = Fingerprint::from_long(fingerprint);
        (0..BANDS.len() as i32).map(|band| (self.of_band(near, band), post(band))).collect()
    }
}

/// Whether a record's key is that of a mention: its asset, or of the whole market its place among the tasks.
pub(crate) fn is_key(key: &[u8], mention: &Mention) -> bool {
    key == mention.asset.as_bytes() || is_spread(key) && mention.asset == vigie_schemas::WHOLE_MARKET
}

/// Whether this is the key of a mention of the whole market that is spread.
pub(crate) fn is_spread(key: &[u8]) -> bool {
    key.starts_with(MARKET_SHARE.as_bytes())
}
