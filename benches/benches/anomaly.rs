//! What a count costs its series' detector, with two weeks remembered.

use std::hint::black_box;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use vigie_processors::anomaly::OnlineAnomaly;

/// Counts that look like a quiet series: below 60, in no order.
fn counts() -> impl Iterator<Item = f64> {
    let next =
        |state: &u64| Some(state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407));
    std::iter::successors(Some(1), next).map(|state| ((state >> 33) % 60) as f64)
}

fn anomaly(criterion: &mut Criterion) {
    let mut counts = counts();
    let mut detector = OnlineAnomaly::new();
    for count in counts.by_ref().take(5000) {
        detector.update(count, 0.5).expect("counts are counts");
    }
    let stored = serde_json::to_vec(&detector).expect("counts are numbers");
    println!("stored: {} bytes", stored.len());
    let mut group = criterion.benchmark_group("anomaly");
    group.throughput(Throughput::Elements(1));
    group.bench_function("update", |bencher| {
        bencher.iter(|| black_box(detector.update(counts.next().unwrap_or_default(), 0.5)));
    });
    group.bench_function("judge with two open windows", |bencher| {
        bencher.iter(|| black_box(detector.judge(&[30.0, 20.0], counts.next().unwrap_or_default(), 0.5)));
    });
    group.bench_function("restore", |bencher| {
        bencher.iter_batched(
            || stored.clone(),
            |stored| black_box(serde_json::from_slice::<OnlineAnomaly>(&stored)),
            BatchSize::SmallInput,
        );
    });
    group.finish();
}

criterion_group!(benches, anomaly);
criterion_main!(benches);
