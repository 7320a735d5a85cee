//! Parsers of what does not come from the web: records, requests, credentials, tables that users write, and what a post's text is searched for.

use std::sync::LazyLock;

use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::types::Value;
use apache_avro::{Schema, from_value};
use vigie_api::hostile;
use vigie_authors::{DataKeyId, Keyring, Sealed};
use vigie_processors::assets::{AssetMatcher, AssetTable};
use vigie_processors::text::fingerprint::Fingerprint;
use vigie_processors::text::{language, letters, spam, terms};
use vigie_schemas::{
    Alert, AuthorKeyRecord, AvroRecord, Cursor, DeadLetter, FetchRecord, MarketPart, Mention, RawPost, ScoredPost,
    TermInsight, TermPost, TrendInsight,
};

use crate::Parser;

pub(crate) const TARGETS: [(&str, Parser); 9] = [
    ("avro", avro),
    ("avro_schema", |bytes| drop(Schema::parse_str(&String::from_utf8_lossy(bytes)))),
    ("asset_table", asset_table),
    ("post_text", post_text),
    ("cursor", |bytes| hostile::read_cursor(&String::from_utf8_lossy(bytes))),
    ("query", |bytes| hostile::read_query(&String::from_utf8_lossy(bytes))),
    ("token", hostile::read_token),
    ("jwk", hostile::read_key),
    ("sealed", sealed),
];

/// A schema, and the record type that is made of its values.
type Reader = (Schema, fn(&Value) -> bool);

static READERS: LazyLock<[Reader; 12]> = LazyLock::new(|| {
    [
        reader::<RawPost>(),
        reader::<ScoredPost>(),
        reader::<Mention>(),
        reader::<MarketPart>(),
        reader::<TrendInsight>(),
        reader::<Alert>(),
        reader::<TermPost>(),
        reader::<TermInsight>(),
        reader::<FetchRecord>(),
        reader::<Cursor>(),
        reader::<AuthorKeyRecord>(),
        reader::<DeadLetter>(),
    ]
});

fn reader<T: AvroRecord>() -> Reader {
    (Schema::parse_str(T::SCHEMA).expect("a schema of ours"), |value| from_value::<T>(value).is_ok())
}

/// The first byte chooses the type. All of them are read as a topic's value after its header is.
fn avro(bytes: &[u8]) {
    let Some((first, mut rest)) = bytes.split_first() else { return };
    let (schema, read) = &READERS[usize::from(*first) % READERS.len()];
    let reader = GenericDatumReader::builder(schema).build().expect("a schema of ours");
    if let Ok(value) = reader.read_value(&mut rest) {
        read(&value);
    }
}

fn asset_table(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    if let Ok(matcher) = AssetTable::from_toml(&text).and_then(AssetMatcher::new) {
        matcher.find("I sold all BTC, $eth and Bitcoin Cash: #luna is dead");
        matcher.find(&text);
    }
}

fn post_text(bytes: &[u8]) {
    static BUNDLED: LazyLock<AssetMatcher> =
        LazyLock::new(|| AssetTable::bundled().and_then(AssetMatcher::new).expect("the bundled table is sound"));
    let text = String::from_utf8_lossy(bytes);
    let text = letters::fold(&text);
    assert_eq!(letters::fold(&text), text, "folded twice is not as folded once");
    BUNDLED.find(&text);
    language::detect(&text, None);
    let spam = spam::judge(&text, Some(&text), None);
    assert!((0.0..=1.0).contains(&spam.score), "a score of {}", spam.score);
    assert!(Fingerprint::of(&text).is_none_or(|print| print.is_near(print)), "no copy of itself");
    for term in terms::terms(&terms::runs(&text)) {
        assert!(!term.is_empty(), "an empty term");
        terms::kind(term);
    }
}

fn sealed(bytes: &[u8]) {
    let _ = Sealed::parse(bytes).map(|sealed| sealed.data_key());
    let text = String::from_utf8_lossy(bytes);
    let _ = text.parse::<DataKeyId>();
    let _ = text.parse::<Keyring>();
}
