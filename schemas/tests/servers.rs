//! The catalogue and the codec against a real broker and a real registry.

use vigie_clock::Timestamp;
use vigie_schemas::{
    Codec, CodecError, DeadLetter, FetchRecord, RegistryConfig, SyncCodec, Topic, check_schemas, register_schemas,
};
use vigie_stack::testing::{TestStack, shared};

fn registry(stack: &TestStack) -> RegistryConfig {
    RegistryConfig::at(stack.registry_url.clone())
}

fn fetch() -> FetchRecord {
    FetchRecord {
        source: "a".to_owned(),
        kind: "rss".to_owned(),
        url: "https://example.org/feed".to_owned(),
        at: Timestamp::from_millis(1_652_100_000_123),
        decision: "fetched".to_owned(),
        status: Some(200),
        bytes: 5,
        posts_seen: 2,
        posts_new: 1,
        duration_ms: 7,
        next_at: Timestamp::from_millis(1_652_100_060_000),
        reason: None,
        sample: true,
    }
}

#[tokio::test]
async fn records_travel_in_the_registrys_wire_format() {
    let stack = shared();
    let codec = Codec::connect(&registry(&stack), &stack.prefix).await.unwrap();
    let topic = Topic::SourcesFetches.name();
    let bytes = codec.encode(topic, &fetch()).await.unwrap();
    assert_eq!(bytes[0], 0, "magic byte");
    assert_eq!(codec.decode::<FetchRecord>(&bytes).await.unwrap(), fetch());
    let json = codec.decode_json(&bytes).await.unwrap();
    assert_eq!((&json["source"], &json["bytes"]), (&"a".into(), &5.into()));

    // The subject is the topic's, so others find the schema where they expect it.
    let checks = check_schemas(&registry(&stack), &stack.prefix).await.unwrap();
    let subject = format!("{}{topic}-value", stack.prefix);
    assert!(
        checks.iter().any(|check| check.subject == subject && check.compatible && check.reason.is_none()),
        "{checks:?}"
    );
}

#[tokio::test]
async fn registering_twice_gives_the_same_ids() {
    let stack = shared();
    let first = register_schemas(&registry(&stack), &stack.prefix).await.unwrap();
    assert!(first.iter().all(|check| check.compatible && check.id.is_some()), "{first:?}");
    assert_eq!(register_schemas(&registry(&stack), &stack.prefix).await.unwrap(), first);
}

#[tokio::test]
async fn foreign_bytes_are_invalid_and_an_absent_registry_is_not() {
    let stack = shared();
    let codec = Codec::connect(&registry(&stack), &stack.prefix).await.unwrap();
    for foreign in [&b""[..], b"{}", b"\0\0\0", b"plain text, no header", &[0, 0, 0, 0, 1]] {
        let error = codec.decode::<FetchRecord>(foreign).await.unwrap_err();
        assert!(!error.is_retriable(), "{foreign:?}: {error}");
    }
    // Another record's bytes do not pass for this one's.
    let bytes = codec.encode(Topic::SourcesFetches.name(), &fetch()).await.unwrap();
    assert!(matches!(codec.decode::<DeadLetter>(&bytes).await, Err(CodecError::Invalid { .. })));

    let nowhere = RegistryConfig::at("http://127.0.0.1:1".to_owned());
    assert!(Codec::connect(&nowhere, "").await.unwrap_err().is_retriable());
}

#[test]
fn threads_without_a_runtime_encode_too() {
    let stack = shared();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let codec: SyncCodec =
        runtime.block_on(Codec::connect(&registry(&stack), &stack.prefix)).unwrap().sync(runtime.handle().clone());
    let bytes = codec.encode(Topic::SourcesFetches.name(), &fetch()).unwrap();
    assert_eq!(codec.decode::<FetchRecord>(&bytes).unwrap(), fetch());
}
