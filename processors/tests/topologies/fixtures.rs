//! A codec without a registry, a scorer without a model, and records.

use std::io::Cursor;

use apache_avro::Schema;
use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::writer::datum::GenericDatumWriter;
use bytes::Bytes;
use vigie_clock::Timestamp;
use vigie_processors::RecordCodec;
use vigie_processors::assets::{AssetMatcher, AssetTable};
use vigie_processors::inference::{ModelError, ModelInfo, Passage, Probabilities, Scorer, Sentiment};
use vigie_processors::text::analysis::Analyser;
use vigie_schemas::{AvroRecord, CodecError, LIVE_RUN, Lineage, Mention, RawPost};
use vigie_streams::OutgoingRecord;

/// Avro without a registry: both sides have the schemas.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LocalCodec;

fn schema<T: AvroRecord>() -> Schema {
    Schema::parse_str(T::SCHEMA).expect("the catalogue's schemas are valid")
}

impl RecordCodec for LocalCodec {
    fn encode<T: AvroRecord>(&self, _: &str, record: &T) -> Result<Vec<u8>, CodecError> {
        let value = apache_avro::to_value(record).and_then(|value| value.resolve(&schema::<T>()));
        let schema = schema::<T>();
        let writer = GenericDatumWriter::builder(&schema).build();
        let bytes = value.and_then(|value| writer?.write_value_to_vec(value));
        bytes.map_err(|error| CodecError::Invalid { expected: "Avro", detail: error.to_string() })
    }

    fn decode<T: AvroRecord>(&self, bytes: &[u8]) -> Result<T, CodecError> {
        if bytes == b"the registry is away" {
            return Err(CodecError::Registry { url: "http://registry".into(), detail: "connection refused".into() });
        }
        if bytes == b"the options are wrong" {
            return Err(CodecError::Config(Vec::new()));
        }
        let schema = schema::<T>();
        let reader = GenericDatumReader::builder(&schema).build();
        let value = reader.and_then(|reader| reader.read_value(&mut Cursor::new(bytes)));
        let record = value.and_then(|value| apache_avro::from_value(&value));
        record.map_err(|error| CodecError::Invalid { expected: "Avro", detail: error.to_string() })
    }
}

pub(crate) fn encode<T: AvroRecord>(record: &T) -> Option<Bytes> {
    Some(LocalCodec.encode("", record).expect("records of the tests can be encoded").into())
}

pub(crate) fn decode<T: AvroRecord>(records: &[OutgoingRecord]) -> Vec<T> {
    let value = |record: &OutgoingRecord| record.value.clone().expect("the topologies write no tombstones");
    records.iter().map(|record| LocalCodec.decode(&value(record)).expect("what was written can be read")).collect()
}

pub(crate) fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

/// Counts good and bad words. Fails on texts with `kryptonite`.
pub(crate) struct Lexicon(ModelInfo);

impl Lexicon {
    pub(crate) fn analyser() -> Analyser {
        let info = ModelInfo {
            name: "lexicon".into(),
            version: "1".into(),
            sha256: "00".repeat(32),
            languages: vec!["en".into()],
        };
        Analyser::new(Box::new(Self(info)), Self::matcher())
    }

    pub(crate) fn matcher() -> AssetMatcher {
        let matcher = AssetMatcher::new(AssetTable::bundled().expect("the bundled table is valid"));
        matcher.expect("the bundled table compiles")
    }
}

impl Scorer for Lexicon {
    fn info(&self) -> &ModelInfo {
        &self.0
    }

    fn score(&mut self, passages: &[Passage<'_>]) -> Result<Vec<Sentiment>, ModelError> {
        if passages.iter().any(|passage| passage.text.contains("kryptonite")) {
            return Err(ModelError::Runtime { action: "run the model", detail: "out of power".into() });
        }
        let count = |text: &str, words: [&str; 2]| words.iter().filter(|word| text.contains(**word)).count() as f64;
        let one = |passage: &Passage<'_>| {
            let (good, bad) = (count(passage.text, ["good", "great"]), count(passage.text, ["bad", "terrible"]));
            let sum = good + bad + 0.25;
            let probabilities = Probabilities { negative: bad / sum, neutral: 0.25 / sum, positive: good / sum };
            Sentiment::from_probabilities(probabilities, false)
        };
        Ok(passages.iter().map(one).collect())
    }
}

pub(crate) fn raw_post(post_id: &str, text: &str, published_at: Timestamp) -> RawPost {
    RawPost {
        post_id: post_id.into(),
        source: "r-bitcoin".into(),
        kind: "reddit".into(),
        url: Some(format!("https://example.com/{post_id}")),
        author: Some("satoshi".into()),
        text: text.into(),
        published_at,
        fetched_at: published_at,
        ..RawPost::default()
    }
}

/// The first three are near duplicates in a row: the first and the third of them are not. The fourth and fifth are the same to one value.
pub(crate) const FINGERPRINTS: [i64; 6] = [
    0x0001_0002_0003_0004,
    0x0001_0002_0005_0006,
    0x0007_0008_0005_0006,
    0x0011_0012_0013_0014,
    0x0011_0012_0013_0099,
    0x0101_0102_0103_0104,
];

pub(crate) fn mention(asset: &str, post: usize, upstream: i32, published_at: Timestamp) -> Mention {
    let score = [Some(-0.5), None, Some(0.0), Some(0.123_456_7)][post % 4];
    let label = score.map(|score: f64| {
        if score < 0.0 {
            "negative"
        } else if score > 0.0 {
            "positive"
        } else {
            "neutral"
        }
    });
    Mention {
        asset: asset.into(),
        post_id: format!("p{post}"),
        source: format!("source-{}", post % 3),
        author_id: (!post.is_multiple_of(5)).then(|| format!("author-{}", post % 7)),
        published_at,
        label: label.map(Into::into),
        score,
        sample: false,
        lineage: Lineage {
            run_id: LIVE_RUN.into(),
            model_name: "lexicon".into(),
            model_version: "1".into(),
            model_sha256: "00".into(),
            assets_version: "1".into(),
            input_topic: "posts.raw.v1".into(),
            input_partition: upstream,
            first_offset: post as i64,
            last_offset: post as i64,
        },
        revision: 1,
        retracted: false,
        fingerprint: (!post.is_multiple_of(4)).then_some(FINGERPRINTS[post % 9 % 6]),
        spam: post.is_multiple_of(11),
    }
}
