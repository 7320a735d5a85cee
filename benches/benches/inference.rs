//! Tokenise and infer, one text a time as the topology does it.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use vigie_benches::model_folder;
use vigie_benches::posts::PostMaker;
use vigie_processors::inference::SentimentModel;

fn inference(criterion: &mut Criterion) {
    let folder = model_folder();
    let mut model = match SentimentModel::load(&folder) {
        Ok(model) => model,
        Err(error) => {
            eprintln!("inference is not measured: {error}");
            return;
        }
    };
    let mut posts = PostMaker::new("inference", 1);
    let mut group = criterion.benchmark_group(format!("inference {}", model.info().name));
    group.throughput(Throughput::Elements(1)).sample_size(20);
    for sentences in [1, 3, 6, 20] {
        let text = posts.text(sentences);
        let words = text.split_whitespace().count();
        group.bench_function(format!("{words} words"), |b| b.iter(|| model.score(black_box(&[text.as_str()]))));
    }
    group.finish();
}

criterion_group!(benches, inference);
criterion_main!(benches);
