//! Which assets a post mentions: short posts as on social media, and longer ones as on forums.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use vigie_benches::posts::PostMaker;
use vigie_processors::assets::{AssetMatcher, AssetTable, Scratch};

/// The labelled posts of the evaluation: two thirds name assets, in every way there is.
const LABELLED: [&str; 2] =
    [include_str!("../../models/assets/tune.tsv"), include_str!("../../models/assets/held_out.tsv")];

fn assets(criterion: &mut Criterion) {
    let table = AssetTable::bundled().expect("the bundled table is valid");
    let matcher = AssetMatcher::new(table).expect("the bundled table compiles");
    let labelled: Vec<String> = LABELLED
        .iter()
        .flat_map(|file| file.lines())
        .filter_map(|line| line.splitn(3, '\t').nth(2))
        .map(str::to_owned)
        .collect();
    let mut maker = PostMaker::new("assets", 1);
    let mut made = |sentences: usize| -> Vec<String> { (0..500).map(|_| maker.text(sentences)).collect() };
    let sets = [("labelled", labelled), ("1 sentence", made(1)), ("6 sentences", made(6))];
    let mut scratch = Scratch::default();
    for (name, texts) in sets {
        let bytes: usize = texts.iter().map(String::len).sum();
        let mut group = criterion.benchmark_group("assets");
        group.throughput(Throughput::Elements(texts.len() as u64));
        group.bench_function(format!("{name}, {} bytes a post", bytes / texts.len()), |b| {
            b.iter(|| texts.iter().map(|text| matcher.find_with(&mut scratch, black_box(text)).count()).sum::<usize>());
        });
        group.finish();
    }
}

criterion_group!(benches, assets);
criterion_main!(benches);
