//! Records to bytes and back. Schemas are fetched once, before the measurement.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use tokio::runtime::Runtime;
use vigie_benches::posts::{PostMaker, lineage};
use vigie_benches::registry;
use vigie_clock::Timestamp;
use vigie_schemas::{AssetMention, RawPost, ScoredPost, Topic};

fn scored(raw: &RawPost) -> ScoredPost {
    ScoredPost {
        post_id: raw.post_id.clone(),
        source: raw.source.clone(),
        kind: raw.kind.clone(),
        author_id: Some("0123456789abcdef0123456789abcdef".to_owned()),
        excerpt: raw.text.chars().take(280).collect(),
        published_at: raw.published_at,
        fetched_at: raw.fetched_at,
        scored_at: raw.fetched_at,
        language: Some("en".to_owned()),
        label: Some("negative".to_owned()),
        score: Some(-0.5),
        p_negative: Some(0.6),
        p_neutral: Some(0.3),
        p_positive: Some(0.1),
        assets: vec![AssetMention {
            asset: "BTC".to_owned(),
            evidence: "ticker".to_owned(),
            ..AssetMention::default()
        }],
        sample: true,
        lineage: lineage(1),
        revision: 1,
        ..ScoredPost::default()
    }
}

fn codec(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let codec = runtime.block_on(registry::codec(folder.path())).expect("a registry");
    let raw = PostMaker::new("codec", 1).post(Timestamp::from_millis(1_652_000_000_000));
    let scored = scored(&raw);
    let raw_bytes = runtime.block_on(codec.encode(Topic::PostsRaw.name(), &raw)).expect("a raw post");
    let scored_bytes = runtime.block_on(codec.encode(Topic::InsightsSentiment.name(), &scored)).expect("a scored post");

    let mut group = criterion.benchmark_group("codec");
    group.throughput(Throughput::Elements(1));
    group.bench_function("encode RawPost", |b| {
        b.iter(|| runtime.block_on(codec.encode(Topic::PostsRaw.name(), black_box(&raw))));
    });
    group.bench_function("decode RawPost", |b| {
        b.iter(|| runtime.block_on(codec.decode::<RawPost>(black_box(&raw_bytes))));
    });
    group.bench_function("encode ScoredPost", |b| {
        b.iter(|| runtime.block_on(codec.encode(Topic::InsightsSentiment.name(), black_box(&scored))));
    });
    group.bench_function("decode ScoredPost", |b| {
        b.iter(|| runtime.block_on(codec.decode::<ScoredPost>(black_box(&scored_bytes))));
    });
    group.finish();
}

criterion_group!(benches, codec);
criterion_main!(benches);
