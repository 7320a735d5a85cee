//! Which source belongs to which partition of `sources.cursors.v1`, and so to which replica.

use std::collections::HashMap;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::fetcher::name_of;
use crate::sources::SourceConfig;

/// All sources, spread over the partitions by host: a host's sources stay together, so that one replica keeps its rate.
#[derive(Debug)]
pub(crate) struct Plan {
    sources: HashMap<String, Planned>,
    partitions: i32,
}

/// A source and its place.
#[derive(Clone, Debug)]
pub(crate) struct Planned {
    pub(crate) source: Arc<SourceConfig>,
    pub(crate) partition: i32,
}

impl Plan {
    pub(crate) fn new(sources: Vec<SourceConfig>, partitions: i32) -> Self {
        let planned = |source: SourceConfig| {
            let partition = partition_of(&name_of(&source.url, false), partitions);
            (source.id.clone(), Planned { source: Arc::new(source), partition })
        };
        Self { sources: sources.into_iter().map(planned).collect(), partitions }
    }

    /// The same sources over another number of partitions.
    pub(crate) fn over(&self, partitions: i32) -> Self {
        Self::new(self.sources.values().map(|planned| (*planned.source).clone()).collect(), partitions)
    }

    pub(crate) fn partitions(&self) -> i32 {
        self.partitions
    }

    pub(crate) fn len(&self) -> usize {
        self.sources.len()
    }

    pub(crate) fn get(&self, id: &str) -> Option<&Planned> {
        self.sources.get(id)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Planned> {
        self.sources.values()
    }
}

/// The partition of a host: the same in every replica and every build.
fn partition_of(host: &str, partitions: i32) -> i32 {
    let digest = Sha256::digest(host.to_ascii_lowercase());
    let number = digest.iter().take(8).fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
    let count = u64::try_from(partitions).unwrap_or(1).max(1);
    i32::try_from(number % count).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sources::catalogue;

    #[test]
    fn sources_of_one_host_stay_together_and_hosts_are_spread() {
        let sources = catalogue::bundled().unwrap();
        let plan = Plan::new(sources.clone(), 6);
        let mut hosts: HashMap<String, i32> = HashMap::new();
        for source in &sources {
            let partition = plan.get(&source.id).unwrap().partition;
            let host = source.url.host_str().unwrap().to_owned();
            assert_eq!(*hosts.entry(host).or_insert(partition), partition);
        }
        let used: std::collections::BTreeSet<&i32> = hosts.values().collect();
        assert_eq!(used.len(), 6, "{hosts:?}");
        assert!(plan.over(1).iter().all(|planned| planned.partition == 0));
    }

    #[test]
    fn the_partition_of_a_host_is_the_same_in_every_build() {
        assert_eq!(partition_of("www.reddit.com", 6), partition_of("WWW.Reddit.com", 6));
        assert_eq!(
            ["www.reddit.com", "hn.algolia.com", "127.0.0.1"].map(|host| partition_of(host, 1000)),
            [259, 859, 852]
        );
    }
}
