//! What an application reads, keeps and writes: sources, stores, one processor, sinks.

mod describe;

use std::fmt;
use std::sync::Arc;

use crate::error::TopologyError;
use crate::processor::Processor;
use crate::processor::core::TaskId;
use crate::processor::dead_letter::dead_letter_topic;
use crate::processor::per_record::ErrorPolicy;
use crate::store::StoreSpec;

pub use describe::TopologyDescription;
pub(crate) use describe::difference;

/// The most bytes of a fingerprint: brokers take 4096 bytes of metadata by default.
const MAX_FINGERPRINT: usize = 2048;

type Factory = dyn Fn(TaskId) -> Box<dyn Processor> + Send + Sync;

/// A checked description of an application. Clones share the processor factory.
#[derive(Clone)]
pub struct Topology {
    pub(crate) name: Arc<str>,
    pub(crate) sources: Vec<Arc<str>>,
    /// Declared sinks, then the dead-letter topics of the sources.
    pub(crate) sinks: Vec<Arc<str>>,
    pub(crate) stores: Vec<StoreSpec>,
    pub(crate) max_batch: usize,
    pub(crate) policy: ErrorPolicy,
    /// Whether the processor says of each record what became of it.
    pub(crate) accounted: bool,
    factory: Arc<Factory>,
}

impl Topology {
    /// Begins the description of the topology `name`.
    pub fn builder(name: &str) -> TopologyBuilder {
        TopologyBuilder {
            name: name.to_owned(),
            sources: Vec::new(),
            sinks: Vec::new(),
            stores: Vec::new(),
            max_batch: 500,
            policy: ErrorPolicy::default(),
            accounted: false,
            factory: None,
        }
    }

    /// The topology's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The topics that it reads.
    pub fn sources(&self) -> impl Iterator<Item = &str> {
        self.sources.iter().map(|topic| &**topic)
    }

    /// The topics that it writes, without dead letters and changelogs.
    pub fn sinks(&self) -> impl Iterator<Item = &str> {
        let declared = self.sinks.len() - self.sources.len();
        self.sinks[..declared].iter().map(|topic| &**topic)
    }

    /// Where what cannot be processed goes: a topic per source.
    pub(crate) fn dead_letters(&self) -> impl Iterator<Item = &str> {
        let declared = self.sinks.len() - self.sources.len();
        self.sinks[declared..].iter().map(|topic| &**topic)
    }

    /// The changelogs of all stores, in the stores' order.
    pub(crate) fn changelogs(&self, application_id: &str) -> Vec<String> {
        self.stores.iter().map(|store| changelog_topic(application_id, &store.name)).collect()
    }

    pub(crate) fn task_id(&self, partition: i32) -> TaskId {
        TaskId { topology: Arc::clone(&self.name), partition }
    }

    pub(crate) fn processor(&self, task: TaskId) -> Box<dyn Processor> {
        (self.factory)(task)
    }
}

impl fmt::Debug for Topology {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Topology")
            .field("name", &self.name)
            .field("sources", &self.sources)
            .field("sinks", &self.sinks)
            .field("stores", &self.stores)
            .finish_non_exhaustive()
    }
}

/// Collects the parts of a [`Topology`].
pub struct TopologyBuilder {
    name: String,
    sources: Vec<Arc<str>>,
    sinks: Vec<Arc<str>>,
    stores: Vec<StoreSpec>,
    max_batch: usize,
    policy: ErrorPolicy,
    accounted: bool,
    factory: Option<Arc<Factory>>,
}

impl TopologyBuilder {
    /// Reads `topic`. All sources must have the same number of partitions: task *n* gets partition *n* of each.
    #[must_use]
    pub fn source(mut self, topic: &str) -> Self {
        self.sources.push(topic.into());
        self
    }

    /// May write to `topic`.
    #[must_use]
    pub fn sink(mut self, topic: &str) -> Self {
        self.sinks.push(topic.into());
        self
    }

    /// Keeps state in a store.
    #[must_use]
    pub fn store(mut self, store: StoreSpec) -> Self {
        self.stores.push(store);
        self
    }

    /// The most records given to the processor in one call. Default 500.
    #[must_use]
    pub fn max_batch(mut self, records: usize) -> Self {
        self.max_batch = records;
        self
    }

    /// What happens to a record that the processor [rejects](crate::ProcessorContext::reject). Default: a dead letter.
    #[must_use]
    pub fn on_record_error(mut self, policy: ErrorPolicy) -> Self {
        self.policy = policy;
        self
    }

    /// The processor says of each record what became of it ([`settle`](crate::ProcessorContext::settle)), and the records of which it does not are
    /// reported: as an error, in the metric `vigie_streams_unaccounted_records`, and as [`AppState::Degraded`](crate::AppState::Degraded).
    #[must_use]
    pub fn accounted(mut self) -> Self {
        self.accounted = true;
        self
    }

    /// Makes the processor of each task.
    #[must_use]
    pub fn processor(mut self, factory: impl Fn(TaskId) -> Box<dyn Processor> + Send + Sync + 'static) -> Self {
        self.factory = Some(Arc::new(factory));
        self
    }

    /// Checks the parts.
    ///
    /// # Errors
    /// If there is no source or no processor, or a name is given twice.
    pub fn build(self) -> Result<Topology, TopologyError> {
        let name = self.name;
        let invalid = |problem: String| TopologyError { name: name.clone(), problem };
        if self.sources.is_empty() {
            return Err(invalid("no source, expected at least one".to_owned()));
        }
        if self.max_batch == 0 {
            return Err(invalid("a batch of 0 records, expected at least 1".to_owned()));
        }
        let mut sinks = self.sinks;
        sinks.extend(self.sources.iter().map(|topic| dead_letter_topic(topic).into()));
        let store_names: Vec<Arc<str>> = self.stores.iter().map(|store| store.name.as_str().into()).collect();
        for (kind, names) in [("source", &self.sources), ("sink", &sinks), ("store", &store_names)] {
            if let Some(twice) = first_duplicate(names) {
                return Err(invalid(format!("{kind} {twice} is given twice, expected once")));
            }
        }
        let factory = self.factory.ok_or_else(|| invalid("no processor, expected one".to_owned()))?;
        let topology = Topology {
            name: name.as_str().into(),
            sources: self.sources,
            sinks,
            stores: self.stores,
            max_batch: self.max_batch,
            policy: self.policy,
            accounted: self.accounted,
            factory,
        };
        let fingerprint = topology.fingerprint().len();
        if fingerprint > MAX_FINGERPRINT {
            return Err(invalid(format!(
                "names of {fingerprint} bytes in all, expected at most {MAX_FINGERPRINT}: they go beside each committed offset"
            )));
        }
        Ok(topology)
    }
}

/// The changelog of a store.
pub fn changelog_topic(application_id: &str, store: &str) -> String {
    format!("{application_id}-{store}-changelog")
}

fn first_duplicate(names: &[Arc<str>]) -> Option<&str> {
    names.iter().enumerate().find(|(i, name)| names[..*i].contains(name)).map(|(_, name)| &**name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ProcessorContext, ProcessorError, Record};

    struct Nothing;
    impl Processor for Nothing {
        fn process(&mut self, _: &[Record], _: &mut ProcessorContext<'_>) -> Result<(), ProcessorError> {
            Ok(())
        }
    }

    #[test]
    fn mistakes_are_named() {
        let problem = |builder: TopologyBuilder| builder.build().unwrap_err().to_string();
        let with = |builder: TopologyBuilder| builder.processor(|_| Box::new(Nothing));
        assert_eq!(problem(with(Topology::builder("t"))), "topology t is invalid: no source, expected at least one");
        assert_eq!(problem(Topology::builder("t").source("in")), "topology t is invalid: no processor, expected one");
        assert_eq!(
            problem(with(Topology::builder("t").source("in").sink("in.dlq"))),
            "topology t is invalid: sink in.dlq is given twice, expected once"
        );
    }

    #[test]
    fn sinks_leave_dead_letters_out() {
        let topology =
            Topology::builder("t").source("in").sink("out").processor(|_| Box::new(Nothing)).build().unwrap();
        assert_eq!(topology.sinks().collect::<Vec<_>>(), ["out"]);
        assert_eq!(topology.task_id(3).to_string(), "t-3");
    }
}
