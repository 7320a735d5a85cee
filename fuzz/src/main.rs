//! Mutates recorded answers and hands them to every parser for a while: `./dev fuzz [SECONDS] [TARGET]`. Prints executions; stops at the
//! first input that panics, is slow, or breaks a promise. With `guided` before it, libFuzzer mutates (`libfuzzer.rs`), led by coverage.

#![expect(clippy::unwrap_used, reason = "a tool of developers ends where something it needs is missing")]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use vigie_clock::{Clock, SystemClock};
use vigie_fuzz::targets;

/// An input that takes more processor time than this is a finding.
const SLOW: Duration = Duration::from_secs(3);

/// Longest seed, in bytes.
const MAX_SEED: usize = 256 * 1024;

fn main() {
    let clock = SystemClock::default();
    let mut args = std::env::args().skip(1).peekable();
    let is_guided = args.next_if_eq("guided").is_some();
    let seconds: u64 = args.next().map_or(60, |text| text.parse().unwrap());
    let only = args.next();
    let seed: u64 = std::env::var("VIGIE_FUZZ_SEED")
        .map_or_else(|_| clock.now().as_millis().unsigned_abs(), |text| text.parse().unwrap());
    let chosen: Vec<_> = targets().filter(|name| only.as_deref().is_none_or(|only| only == *name)).collect();
    assert!(!chosen.is_empty(), "no such target, expected one of {:?}", targets().collect::<Vec<_>>());
    let seeds = seeds();
    println!("seed {seed}, {} seed files, {} targets, {seconds} s", seeds.len(), chosen.len());
    let mut random = SmallRng::seed_from_u64(seed);
    let each = Duration::from_secs(seconds) / u32::try_from(chosen.len()).unwrap();
    let mut total = 0_u64;
    for name in chosen {
        let fitting: Vec<&(PathBuf, Vec<u8>)> = seeds.iter().filter(|(path, _)| fits(name, path)).collect();
        if is_guided {
            guide(name, &fitting, each);
            continue;
        }
        let started = clock.monotonic();
        let (mut runs, mut slowest) = (0_u64, Duration::ZERO);
        while clock.monotonic() - started < each {
            let bytes = mutated(&fitting, &mut random);
            let before = busy(&clock);
            run(name, &bytes);
            let took = busy(&clock).saturating_sub(before);
            slowest = slowest.max(took);
            if took > SLOW {
                keep(name, &bytes);
                panic!("{name}: an input took {took:?}");
            }
            runs += 1;
        }
        total += runs;
        println!("{name}: {runs} executions of {} seeds, the slowest {slowest:?}", fitting.len());
    }
    if !is_guided {
        println!("{total} executions, no finding");
    }
}

/// Runs the program beside this one that has libFuzzer in it. What it has learned stays in `target/fuzz/<target>`.
fn guide(name: &str, seeds: &[&(PathBuf, Vec<u8>)], seconds: Duration) {
    let beside = std::env::current_exe().unwrap().with_file_name("parser");
    let folder = Path::new("target/fuzz");
    let (corpus, found) = (folder.join(name), folder.join("found/"));
    [&corpus, &found].into_iter().for_each(|folder| std::fs::create_dir_all(folder).unwrap());
    for (number, (_, bytes)) in seeds.iter().enumerate() {
        std::fs::write(corpus.join(format!("seed-{number}")), bytes).unwrap();
    }
    let mut run = Command::new(beside);
    run.env("VIGIE_FUZZ_TARGET", name).arg(&corpus).arg(format!("-artifact_prefix={}{name}-", found.display()));
    run.arg(format!("-max_total_time={}", seconds.as_secs().max(1)));
    run.args(["-timeout=30", "-rss_limit_mb=2048", "-malloc_limit_mb=600", "-print_final_stats=1"]);
    assert!(run.status().unwrap().success(), "{name}: the input is kept in {}", found.display());
}

/// Time that this thread has run, where the system counts it: a machine that is busy with something else must not make an input slow.
fn busy(clock: &SystemClock) -> Duration {
    let schedule = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
    let nanos = schedule.and_then(|text| text.split_whitespace().next()?.parse().ok());
    nanos.map_or_else(|| clock.monotonic(), Duration::from_nanos)
}

fn run(name: &str, bytes: &[u8]) {
    if catch_unwind(AssertUnwindSafe(|| vigie_fuzz::run(name, bytes))).is_err() {
        keep(name, bytes);
        std::process::exit(1);
    }
}

fn keep(name: &str, bytes: &[u8]) {
    let path = std::env::temp_dir().join(format!("vigie-fuzz-{name}-{}", std::process::id()));
    std::fs::write(&path, bytes).unwrap();
    eprintln!("{name}: the input is kept in {}", path.display());
}

/// The fixtures of the tests, and recorded answers where there are any.
fn seeds() -> Vec<(PathBuf, Vec<u8>)> {
    let producers = Path::new(env!("CARGO_MANIFEST_DIR")).join("../producers");
    let recorded = std::env::var_os("VIGIE_TEST_DATA")
        .map_or_else(|| producers.join("../../shared/data"), PathBuf::from)
        .join("recorded");
    let mut found = Vec::new();
    let own = producers.join("../fuzz/seeds");
    let mut folders = vec![producers.join("tests/fixtures"), producers.join("sources.toml"), own, recorded];
    while let Some(path) = folders.pop() {
        if path.is_dir() {
            folders.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else if let Ok(bytes) = std::fs::read(&path)
            && bytes.len() <= MAX_SEED
            && path.extension().is_none_or(|ending| ending != "md" && ending != "gz")
        {
            found.push((path, bytes));
        }
    }
    found.sort();
    found
}

fn fits(target: &str, path: &Path) -> bool {
    let text = path.to_string_lossy();
    let is_own = path.file_stem().is_some_and(|stem| stem.to_string_lossy().starts_with(target));
    let is_json = text.ends_with(".json") || text.ends_with(".jsonl");
    match target {
        "rss" | "sitemap" | "charset" => ["xml", "rss", "atom"].iter().any(|ending| text.ends_with(ending)),
        "json_feed" => is_json,
        "telegram" => text.contains("telegram") || text.ends_with(".html"),
        "html" | "html_select" | "plain_text" => text.ends_with(".html"),
        "catalogue" => text.ends_with(".toml"),
        "dates" | "robots" => text.ends_with(".toml") || text.ends_with("rss"),
        kind => is_own || is_json && (text.contains(kind) || text.contains("fixtures")),
    }
}

const PIECES: [&[u8]; 24] = [
    b"<![CDATA[",
    b"]]>",
    b"<!--",
    b"-->",
    b"&#x110000;",
    b"&amp;",
    b"<item>",
    b"</item>",
    b"<entry>",
    b"\xf0\x9f",
    b"\xff\xfe",
    b"\0",
    b"{",
    b"}",
    b"[",
    b"]",
    b"\"",
    b"null",
    b"-1",
    b"1e999",
    b"Thu, 31 Feb 2004 25:61:61 +9999",
    b"2004-W53-7T24:00:00Z",
    b"<!DOCTYPE x [<!ENTITY a 'b'>]>",
    b"\xe2\x80\xae",
];

/// One to eight changes to a seed, or to two halves of two, or to nothing.
fn mutated(seeds: &[&(PathBuf, Vec<u8>)], random: &mut SmallRng) -> Vec<u8> {
    let mut bytes = match (seeds.choose(random), seeds.choose(random)) {
        (Some(one), Some(two)) if random.random_ratio(1, 10) => {
            let (head, tail) = (random.random_range(0..=one.1.len()), random.random_range(0..=two.1.len()));
            [&one.1[..head], &two.1[tail..]].concat()
        }
        (Some(one), _) if random.random_ratio(19, 20) => one.1.clone(),
        _ => Vec::new(),
    };
    // Short pieces of long seeds, so that most executions are quick.
    if bytes.len() > 8192 && random.random_ratio(3, 4) {
        let start = random.random_range(0..bytes.len() - 4096);
        bytes = bytes[start..start + 4096].to_vec();
    }
    for _ in 0..random.random_range(1..=8) {
        let at = random.random_range(0..=bytes.len());
        match random.random_range(0..7) {
            0 if at < bytes.len() => bytes[at] = random.random(),
            1 if at < bytes.len() => bytes[at] ^= 1 << random.random_range(0..8),
            2 => bytes.truncate(at),
            3 => drop(bytes.drain(at..(at + random.random_range(0..64)).min(bytes.len()))),
            4 => drop(bytes.splice(at..at, PIECES.choose(random).unwrap().iter().copied())),
            5 => {
                let piece = PIECES.choose(random).unwrap().repeat(random.random_range(1..200));
                drop(bytes.splice(at..at, piece));
            }
            _ => {
                let end = (at + random.random_range(0..256)).min(bytes.len());
                let copy = bytes[at..end].to_vec();
                let to = random.random_range(0..=bytes.len());
                drop(bytes.splice(to..to, copy));
            }
        }
    }
    bytes
}
