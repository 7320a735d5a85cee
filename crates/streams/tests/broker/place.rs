//! A place of a test's own on the shared broker, and a word count to run there.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use bytes::Bytes;
use vigie_clock::SystemClock;
use vigie_kafka_client::{
    Admin, KafkaConfig, OutgoingRecord, PartitionReader, ProducerOptions, Record, Start, TopicSpec,
    TransactionalProducer, read_to_end,
};
use vigie_streams::{
    AppState, PlainDeadLetters, Processor, ProcessorContext, ProcessorError, StoreSpec, StreamsApp, StreamsConfig,
    StreamsError, StreamsOptions, Topology,
};

pub(crate) const PARTITIONS: i32 = 3;
pub(crate) const WORDS: [&str; 6] = ["btc", "eth", "luna", "ust", "sol", "doge"];
/// How often a wait looks at the topic before it gives up: a minute in all.
const LOOKS: usize = 600;

/// `count` words, the same ones over and over.
pub(crate) fn words(count: usize) -> impl Iterator<Item = &'static str> {
    WORDS.into_iter().cycle().take(count)
}

pub(crate) struct Place {
    pub(crate) kafka: KafkaConfig,
    producer: TransactionalProducer,
}

impl Place {
    /// With topics `words` and `counts`.
    pub(crate) fn new() -> Self {
        let stack = vigie_stack::testing::shared();
        let kafka = KafkaConfig::new(stack.brokers, stack.prefix);
        Self::on(kafka)
    }

    pub(crate) fn on(kafka: KafkaConfig) -> Self {
        // Shown of a test that fails; the first test has set it for all.
        let _ = tracing_subscriber::fmt().with_test_writer().try_init();
        let spec = |name: &str| TopicSpec {
            name: name.to_owned(),
            partitions: PARTITIONS,
            replication: 1,
            config: BTreeMap::new(),
        };
        Admin::new(&kafka).unwrap().create_topics(&[spec("words"), spec("counts")]).unwrap();
        let producer = Self::producer(&kafka);
        Self { kafka, producer }
    }

    fn producer(kafka: &KafkaConfig) -> TransactionalProducer {
        let options =
            ProducerOptions { transactional_id: "test-input".to_owned(), transaction_timeout: Duration::from_secs(30) };
        TransactionalProducer::new(kafka, &options).unwrap()
    }

    /// Starts the writer of `words` again: a client goes on with the partitions that it found first.
    pub(crate) fn restart_writer(&mut self) {
        self.producer = Self::producer(&self.kafka);
    }

    /// Writes words to `words`, each to the partition of its hash.
    pub(crate) fn write<'a>(&mut self, words: impl IntoIterator<Item = &'a str>) {
        self.producer.begin().unwrap();
        for word in words {
            let word = Bytes::copy_from_slice(word.as_bytes());
            self.producer.send(&OutgoingRecord::new("words", word.clone(), word)).unwrap();
        }
        self.producer.commit().unwrap();
    }

    /// Writes words and counts until `expected` counts are there; the application ends cleanly.
    pub(crate) fn count<'a>(
        &mut self,
        config: StreamsConfig,
        words: impl IntoIterator<Item = &'a str>,
        expected: usize,
    ) {
        self.write(words);
        let app = Running::start(config);
        self.wait_for("counts", expected);
        app.stop();
    }

    /// Settings that make tests quick.
    pub(crate) fn config(&self) -> StreamsConfig {
        let options =
            StreamsOptions { commit_interval_ms: 50, instance_id: Some("one".to_owned()), ..StreamsOptions::default() };
        StreamsConfig::new(self.kafka.clone(), "word-count", &options)
    }

    /// The records of `topic` by now.
    pub(crate) fn read(&self, topic: &str) -> Vec<Record> {
        read_to_end(&self.kafka, topic, &Start::Beginning).unwrap().collect::<Result<_, _>>().unwrap()
    }

    /// Waits until `topic` has `count` records.
    pub(crate) fn wait_for(&self, topic: &str, count: usize) -> Vec<Record> {
        let mut reader = PartitionReader::new(&self.kafka, topic, &Start::Beginning).unwrap();
        let mut records = Vec::new();
        for _ in 0..LOOKS {
            records.extend(reader.poll(Duration::from_millis(100), count).unwrap());
            if records.len() >= count {
                return records;
            }
        }
        panic!("{topic} has {} records, expected {count}", records.len());
    }

    /// Checks that the counts of each word are 1, 2, 3 ..., each once and in order, and `expected` in all.
    pub(crate) fn assert_exact(&self, expected: usize) {
        let mut counts: BTreeMap<String, u64> = BTreeMap::new();
        let records = self.read("counts");
        for record in &records {
            let word = text(record.key.as_ref());
            let count: u64 = text(record.value.as_ref()).parse().unwrap();
            let last = counts.entry(word.clone()).or_default();
            assert_eq!(count, *last + 1, "{word} at {}-{}", record.partition, record.offset);
            *last = count;
        }
        assert_eq!(records.len(), expected);
    }
}

pub(crate) fn text(bytes: Option<&Bytes>) -> String {
    String::from_utf8(bytes.cloned().unwrap_or_default().to_vec()).unwrap()
}

/// Counts the word in each value; `poison` is not a word.
pub(crate) struct WordCount;

impl Processor for WordCount {
    fn process(&mut self, batch: &[Record], ctx: &mut ProcessorContext<'_>) -> Result<(), ProcessorError> {
        for record in batch {
            let Some(word) = record.value.clone() else { continue };
            if &word[..] == b"poison" {
                ctx.dead_letter(record, "poison", "expected a word");
                continue;
            }
            let counts = ctx.store("counts");
            let count = counts.get(&word).map_or(0, |value| text(Some(&value)).parse().unwrap()) + 1;
            let count = Bytes::from(u64::to_string(&count));
            counts.put(word.clone(), count.clone());
            ctx.forward("counts", Some(word), Some(count), record.timestamp);
        }
        Ok(())
    }
}

pub(crate) fn word_count() -> Topology {
    word_count_of_version(1)
}

/// As if the counts were kept in another format.
pub(crate) fn word_count_of_version(version: u32) -> Topology {
    Topology::builder("word-count")
        .source("words")
        .store(StoreSpec::key_value("counts").version(version))
        .sink("counts")
        .processor(|_| Box::new(WordCount))
        .build()
        .unwrap()
}

/// An application running on a thread of its own.
pub(crate) struct Running {
    stop: Arc<AtomicBool>,
    ended: JoinHandle<Result<(), StreamsError>>,
    states: mpsc::Receiver<AppState>,
    registry: prometheus::Registry,
}

impl Running {
    pub(crate) fn start(config: StreamsConfig) -> Self {
        Self::start_with(config, word_count())
    }

    pub(crate) fn start_with(config: StreamsConfig, topology: Topology) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (sender, states) = mpsc::channel();
        let registry = prometheus::Registry::new();
        let clock = Arc::new(SystemClock::default());
        let app = StreamsApp::new(config, topology, Arc::new(PlainDeadLetters), clock, &registry)
            .on_state(move |state| drop(sender.send(state.clone())));
        let asked = Arc::clone(&stop);
        let ended = thread::spawn(move || app.run(move || asked.load(Ordering::SeqCst)));
        Self { stop, ended, states, registry }
    }

    /// The sum of a metric over all labels.
    pub(crate) fn metric(&self, name: &str) -> f64 {
        let families = self.registry.gather();
        let found = families.iter().filter(|family| family.name() == format!("vigie_streams_{name}"));
        found
            .flat_map(|family| family.get_metric())
            .map(|m| m.get_counter().get_value() + m.get_gauge().get_value())
            .sum()
    }

    /// Waits until a metric is at least `least`.
    pub(crate) fn wait_for_metric(&self, name: &str, least: f64) {
        for _ in 0..LOOKS {
            if self.metric(name) >= least {
                return;
            }
            thread::park_timeout(Duration::from_millis(100));
        }
        panic!("{name} is {}, expected {least}", self.metric(name));
    }

    /// Waits until the application says that it is in a state.
    pub(crate) fn wait_until(&self, wanted: fn(&AppState) -> bool) -> AppState {
        let mut seen = Vec::new();
        for _ in 0..20 {
            match self.states.recv_timeout(Duration::from_secs(60)) {
                Ok(state) if wanted(&state) => return state,
                Ok(state) => seen.push(state),
                Err(error) => panic!("the state did not come within a minute of {seen:?}: {error}"),
            }
        }
        panic!("the state is not among {seen:?}");
    }

    pub(crate) fn ask_to_stop(&self) {
        self.stop.store(true, Ordering::SeqCst);
    }

    pub(crate) fn stop(self) {
        self.ask_to_stop();
        self.ended().unwrap();
    }

    /// Waits for its end.
    pub(crate) fn ended(self) -> Result<(), StreamsError> {
        self.ended.join().unwrap()
    }
}
