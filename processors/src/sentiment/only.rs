//! A part of the posts, by where they come from and what they are about.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};
use vigie_schemas::RawPost;

/// Posts of any of these sources, and about any of these assets; of all where there are none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Only {
    /// Ids of sources.
    pub sources: BTreeSet<String>,
    /// Ids of assets, as in the asset table.
    pub assets: BTreeSet<String>,
}

impl Only {
    /// Whether it takes every post.
    pub fn is_all(&self) -> bool {
        self.sources.is_empty() && self.assets.is_empty()
    }

    /// Whether it takes this post. `mentions_any` is asked only where assets are asked for.
    pub(crate) fn takes(&self, post: &RawPost, mentions_any: impl FnOnce(&BTreeSet<String>) -> bool) -> bool {
        (self.sources.is_empty() || self.sources.contains(&post.source))
            && (self.assets.is_empty() || mentions_any(&self.assets))
    }
}

impl fmt::Display for Only {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (what, ids) in [(" of ", &self.sources), (" about ", &self.assets)] {
            let mut separator = what;
            for id in ids {
                write!(f, "{separator}{id}")?;
                separator = ",";
            }
        }
        Ok(())
    }
}
