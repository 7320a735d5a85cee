//! What a mention costs a window, without the store around it.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use vigie_benches::posts::lineage;
use vigie_clock::Timestamp;
use vigie_processors::trends::window::{InsightHeader, WindowState};
use vigie_schemas::{LIVE_RUN, Mention, Topic};

fn mention() -> Mention {
    Mention {
        asset: "BTC".to_owned(),
        post_id: "bench:1".to_owned(),
        source: "bench".to_owned(),
        author_id: Some("0123456789abcdef0123456789abcdef".to_owned()),
        published_at: Timestamp::from_millis(1_652_000_000_000),
        label: Some("negative".to_owned()),
        score: Some(-0.5),
        sample: true,
        lineage: lineage(1),
        revision: 1,
        ..Mention::default()
    }
}

fn window(criterion: &mut Criterion) {
    let mention = mention();
    let mut group = criterion.benchmark_group("window");
    group.throughput(Throughput::Elements(1));

    let mut state = WindowState::default();
    let mut offset = 0;
    group.bench_function("add a mention", |b| {
        b.iter(|| {
            offset += 1;
            state.add(black_box(&mention), true, false, offset);
        });
    });
    group.bench_function("write and read the state", |b| {
        b.iter(|| {
            let bytes = serde_json::to_vec(black_box(&state)).expect("a window is JSON");
            serde_json::from_slice::<WindowState>(&bytes)
        });
    });
    let header = InsightHeader {
        asset: "BTC",
        start: Timestamp::from_millis(1_652_000_000_000),
        end: Timestamp::from_millis(1_652_000_300_000),
        last: false,
        emitted_at: Timestamp::from_millis(1_652_000_400_000),
        run_id: LIVE_RUN,
        input_topic: Topic::PostsMentions.name(),
        input_partition: 0,
    };
    group.bench_function("make a revision", |b| b.iter(|| black_box(&mut state).insight(&header)));
    group.finish();
}

criterion_group!(benches, window);
criterion_main!(benches);
