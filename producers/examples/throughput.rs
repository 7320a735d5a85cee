//! How fast documents are read: `throughput rss|html ROUNDS FILE...` reads every file ROUNDS times on one thread and prints one line of JSON. The peers
//! in Python do the same (`./dev bench extraction`).

#![expect(clippy::unwrap_used, reason = "a benchmark ends where something it needs is missing")]

use url::Url;
use vigie_clock::{Clock, SystemClock};
use vigie_producers::Kind;
use vigie_producers::content::document::Document;
use vigie_producers::kinds::source::Origin;

fn main() {
    let mut args = std::env::args().skip(1);
    let kind = match args.next().as_deref() {
        Some("rss") => Kind::Rss,
        Some("html") => Kind::Html,
        other => panic!("kind {other:?}, expected rss or html"),
    };
    let rounds: usize = args.next().unwrap().parse().unwrap();
    let documents: Vec<Vec<u8>> = args.map(|path| std::fs::read(path).unwrap()).collect();
    let base = Url::parse("https://base.example/dir/page").unwrap();
    let clock = SystemClock::default();
    let origin = Origin { source: "bench", language: None, sample: false, select: None, fetched_at: clock.now() };
    let read = || -> usize {
        let posts = documents.iter().map(|bytes| {
            let document = Document { bytes, charset: None, base: Some(&base) };
            kind.source().parse(document, origin).map_or(0, |page| page.posts.len())
        });
        posts.sum()
    };
    let posts = read();
    let bytes: usize = documents.iter().map(Vec::len).sum();
    let started = clock.monotonic();
    for _ in 0..rounds {
        assert_eq!(read(), posts, "every round reads the same");
    }
    let seconds = (clock.monotonic() - started).as_secs_f64();
    let pace = bytes as f64 * rounds as f64 / 1e6 / seconds;
    println!(
        "{{\"files\":{},\"bytes\":{bytes},\"posts\":{posts},\"rounds\":{rounds},\"seconds\":{seconds:.3},\"megabytes_per_second\":{pace:.2}}}",
        documents.len()
    );
}
