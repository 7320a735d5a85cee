//! A topology as text: for people, and as a fingerprint by which old state knows whether it is still understood.

use std::fmt;

use super::Topology;

/// What a topology reads, keeps and writes, as text. Made by [`Topology::describe`].
#[derive(Clone, Copy, Debug)]
pub struct TopologyDescription<'a> {
    topology: &'a Topology,
    application_id: &'a str,
}

impl Topology {
    /// Describes the topology as the application `application_id` runs it.
    pub fn describe<'a>(&'a self, application_id: &'a str) -> TopologyDescription<'a> {
        TopologyDescription { topology: self, application_id }
    }

    /// What must not change if state is to be kept: the name, the sources, and each store with its kind and version, in one line.
    pub(crate) fn fingerprint(&self) -> String {
        let mut sources: Vec<&str> = self.sources().collect();
        sources.sort_unstable();
        let mut stores: Vec<String> =
            self.stores.iter().map(|store| format!("{}:{}:{}", store.name, store.kind, store.version)).collect();
        stores.sort_unstable();
        format!("{}|{}|{}", self.name, sources.join(","), stores.join(","))
    }
}

/// What differs between two fingerprints, for the operator.
pub(crate) fn difference(stored: &str, now: &str) -> String {
    let parts = |text: &str| text.rsplitn(3, '|').map(str::to_owned).collect::<Vec<_>>();
    let (stored, now) = (parts(stored), parts(now));
    let names = ["stores were", "sources were", "name was"];
    let mut changes: Vec<String> = Vec::new();
    for (part, name) in names.iter().enumerate().rev() {
        let (old, new) = (stored.get(part).map_or("", |old| old), now.get(part).map_or("", |new| new));
        if old != new {
            changes.push(format!("{name} [{old}], now [{new}]"));
        }
    }
    changes.join("; ")
}

impl fmt::Display for TopologyDescription<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let topology = self.topology;
        let list = |names: &mut dyn Iterator<Item = &str>| format!("[{}]", names.collect::<Vec<_>>().join(", "));
        let stores = list(&mut topology.stores.iter().map(|store| &*store.name));
        let sinks = list(&mut topology.sinks());
        writeln!(f, "Topology: {}", topology.name)?;
        for source in topology.sources() {
            writeln!(f, "  Source: {source} --> {}", topology.name)?;
        }
        writeln!(
            f,
            "  Processor: {} (stores: {stores}, batch: {}, errors: {}) --> {sinks}",
            topology.name, topology.max_batch, topology.policy
        )?;
        for store in &topology.stores {
            let changelog = super::changelog_topic(self.application_id, &store.name);
            writeln!(f, "  Store: {} ({}, version {}) --> {changelog}", store.name, store.kind, store.version)?;
        }
        for sink in topology.sinks() {
            writeln!(f, "  Sink: {sink} <-- {}", topology.name)?;
        }
        for letters in topology.dead_letters() {
            writeln!(f, "  Dead letters: {letters} <-- {}", topology.name)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{Processor, ProcessorContext, ProcessorError, Record, StoreSpec};

    struct Nothing;
    impl Processor for Nothing {
        fn process(&mut self, _: &[Record], _: &mut ProcessorContext<'_>) -> Result<(), ProcessorError> {
            Ok(())
        }
    }

    fn topology(version: u32) -> Topology {
        let builder =
            Topology::builder("trends").source("mentions").source("corrections").sink("insights").max_batch(7);
        let builder = builder.store(StoreSpec::window("windows", Duration::from_secs(3600)));
        let builder = builder.store(StoreSpec::key_value("history").version(version));
        builder.processor(|_| Box::new(Nothing)).build().unwrap()
    }

    #[test]
    fn description_lists_all_that_is_read_kept_and_written() {
        let expected = "\
Topology: trends
  Source: mentions --> trends
  Source: corrections --> trends
  Processor: trends (stores: [windows, history], batch: 7, errors: dead letter) --> [insights]
  Store: windows (window, version 1) --> app-windows-changelog
  Store: history (key-value, version 2) --> app-history-changelog
  Sink: insights <-- trends
  Dead letters: mentions.dlq <-- trends
  Dead letters: corrections.dlq <-- trends
";
        assert_eq!(topology(2).describe("app").to_string(), expected);
    }

    #[test]
    fn fingerprint_tells_what_changed() {
        let (old, new) = (topology(1).fingerprint(), topology(2).fingerprint());
        assert_eq!(old, "trends|corrections,mentions|history:key-value:1,windows:window:1");
        assert_eq!(
            difference(&old, &new),
            "stores were [history:key-value:1,windows:window:1], now [history:key-value:2,windows:window:1]"
        );
        assert_eq!(difference("a|b|", "c|b|"), "name was [a], now [c]");
    }
}
