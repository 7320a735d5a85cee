//! What telling copies and spam costs for a post: short posts as on social media, and longer ones as on forums.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use vigie_benches::posts::PostMaker;
use vigie_processors::text::fingerprint::Fingerprint;
use vigie_processors::text::spam;

fn identity(criterion: &mut Criterion) {
    let mut maker = PostMaker::new("identity", 1);
    for sentences in [1, 6] {
        let texts: Vec<String> = (0..500).map(|_| maker.text(sentences)).collect();
        let bytes = texts.iter().map(String::len).sum::<usize>() / texts.len();
        let mut group = criterion.benchmark_group("identity");
        group.throughput(Throughput::Elements(texts.len() as u64));
        group.bench_function(format!("fingerprint, {bytes} bytes a post"), |b| {
            b.iter(|| texts.iter().filter_map(|text| Fingerprint::of(black_box(text))).count());
        });
        group.bench_function(format!("spam, {bytes} bytes a post"), |b| {
            b.iter(|| texts.iter().map(|text| spam::judge(black_box(text), None, None).score).sum::<f64>());
        });
        group.finish();
    }
}

criterion_group!(benches, identity);
criterion_main!(benches);
