//! The direction of dependencies and the layout of files, from `cargo metadata` and the files themselves.
//!
//! `deny.toml` says the same of dependencies for `cargo deny`; this test needs no tool but Cargo.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// A dependency from outside, and the crates of the workspace that may name it.
const ONLY: [(&str, &[&str]); 13] = [
    ("rdkafka", &["vigie-kafka-client"]),
    ("ort", &["vigie-processors"]),
    ("tokenizers", &["vigie-processors"]),
    ("scraper", &["vigie-producers"]),
    // The schema registry and the API speak HTTP.
    ("reqwest", &["vigie", "vigie-producers", "vigie-schemas"]),
    ("schema_registry_converter", &["vigie-schemas"]),
    // The load run and the chaos run count rows from outside.
    ("tokio-postgres", &["vigie-api", "vigie-benches", "vigie-chaos", "vigie-sinks"]),
    ("deadpool-postgres", &["vigie-api"]),
    ("refinery", &["vigie-sinks"]),
    ("fred", &["vigie-api", "vigie-sinks"]),
    ("jsonwebtoken", &["vigie-api"]),
    ("aes-gcm-siv", &["vigie-authors"]),
    ("anyhow", &["vigie", "vigie-benches"]),
];

/// The crates of the workspace that each crate may build on. Tests may use more.
const LAYERS: [(&str, &[&str]); 14] = [
    ("vigie-authors", &["vigie-daemon"]),
    ("vigie-clock", &[]),
    ("vigie-daemon", &["vigie-clock"]),
    ("vigie-kafka-client", &["vigie-clock"]),
    ("vigie-stack", &["vigie-clock", "vigie-daemon"]),
    ("vigie-streams", &["vigie-clock", "vigie-kafka-client"]),
    ("vigie-schemas", &["vigie-clock", "vigie-kafka-client"]),
    ("vigie-producers", &["vigie-authors", "vigie-clock", "vigie-daemon", "vigie-kafka-client", "vigie-schemas"]),
    (
        "vigie-processors",
        &["vigie-authors", "vigie-clock", "vigie-daemon", "vigie-kafka-client", "vigie-schemas", "vigie-streams"],
    ),
    ("vigie-sinks", &["vigie-clock", "vigie-daemon", "vigie-kafka-client", "vigie-schemas"]),
    ("vigie-api", &["vigie-authors", "vigie-clock", "vigie-daemon"]),
    (
        "vigie-benches",
        &["vigie-clock", "vigie-kafka-client", "vigie-processors", "vigie-schemas", "vigie-stack", "vigie-streams"],
    ),
    ("vigie-chaos", &["vigie-clock", "vigie-kafka-client", "vigie-processors", "vigie-schemas", "vigie-stack"]),
    (
        "vigie",
        &[
            "vigie-api",
            "vigie-authors",
            "vigie-clock",
            "vigie-daemon",
            "vigie-kafka-client",
            "vigie-processors",
            "vigie-producers",
            "vigie-schemas",
            "vigie-sinks",
            "vigie-stack",
        ],
    ),
];

const MAX_LINES: usize = 500;
/// Nine files in ten are no longer than this.
const USUAL_LINES: usize = 400;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap()
}

/// Direct dependencies of each crate of the workspace: (normal and build, development).
fn dependencies() -> BTreeMap<String, (BTreeSet<String>, BTreeSet<String>)> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let args = ["metadata", "--format-version", "1", "--no-deps", "--locked", "--offline"];
    let output = Command::new(cargo).args(args).current_dir(root()).output().unwrap();
    assert!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let mut crates = BTreeMap::new();
    for package in metadata["packages"].as_array().unwrap() {
        let (mut normal, mut dev) = (BTreeSet::new(), BTreeSet::new());
        for dependency in package["dependencies"].as_array().unwrap() {
            let kind = if dependency["kind"] == "dev" { &mut dev } else { &mut normal };
            kind.insert(dependency["name"].as_str().unwrap().to_owned());
        }
        crates.insert(package["name"].as_str().unwrap().to_owned(), (normal, dev));
    }
    crates
}

/// Rust files of the workspace that git would keep.
fn rust_files() -> Vec<PathBuf> {
    let mut waiting = vec![root()];
    let mut files = Vec::new();
    while let Some(folder) = waiting.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() && name != "target" && !name.starts_with('.') {
                waiting.push(path);
            } else if name.ends_with(".rs") {
                files.push(path);
            }
        }
    }
    assert!(files.len() > 50, "found only {} files", files.len());
    files
}

#[test]
fn outside_libraries_stay_behind_their_one_door() {
    let mut breaches = Vec::new();
    for (name, (normal, dev)) in dependencies() {
        for (library, doors) in ONLY {
            if normal.contains(library) && !doors.contains(&name.as_str()) {
                breaches.push(format!("{name} depends on {library}, which is for {doors:?}"));
            }
            // A test may look at a store from outside, but the broker has one door for tests too.
            if library == "rdkafka" && dev.contains(library) && !doors.contains(&name.as_str()) {
                breaches.push(format!("tests of {name} depend on {library}, which is for {doors:?}"));
            }
        }
    }
    assert!(breaches.is_empty(), "{breaches:#?}");
}

#[test]
fn crates_build_on_lower_layers_only() {
    let layers: BTreeMap<&str, &[&str]> = LAYERS.into_iter().collect();
    let mut breaches = Vec::new();
    for (name, (normal, _)) in dependencies() {
        let Some(allowed) = layers.get(name.as_str()) else {
            breaches.push(format!("{name} has no place in LAYERS"));
            continue;
        };
        let ours = normal.iter().filter(|dependency| dependency.starts_with("vigie"));
        for dependency in ours.filter(|dependency| !allowed.contains(&dependency.as_str())) {
            breaches.push(format!("{name} builds on {dependency}, expected one of {allowed:?}"));
        }
    }
    assert!(breaches.is_empty(), "{breaches:#?}");
}

#[test]
fn the_doors_and_layers_name_what_exists() {
    let crates = dependencies();
    for (name, lower) in LAYERS {
        assert!(crates.contains_key(name), "LAYERS: no crate {name}");
        lower.iter().for_each(|lower| assert!(crates.contains_key(*lower), "LAYERS: no crate {lower}"));
    }
    for (library, doors) in ONLY {
        let used = |door: &&str| crates.get(*door).is_some_and(|(normal, _)| normal.contains(library));
        assert!(doors.iter().any(used), "ONLY: none of {doors:?} depends on {library}");
    }
}

#[test]
fn no_module_is_a_mod_rs() {
    let found: Vec<_> = rust_files().into_iter().filter(|file| file.ends_with("mod.rs")).collect();
    assert!(found.is_empty(), "expected name.rs beside name/: {found:?}");
}

#[test]
fn files_are_short() {
    let lengths: Vec<(usize, PathBuf)> =
        rust_files().into_iter().map(|file| (std::fs::read_to_string(&file).unwrap().lines().count(), file)).collect();
    let too_long: Vec<_> = lengths.iter().filter(|(lines, _)| *lines > MAX_LINES).collect();
    assert!(too_long.is_empty(), "longer than {MAX_LINES} lines: {too_long:?}");
    let unusual: Vec<_> = lengths.iter().filter(|(lines, _)| *lines > USUAL_LINES).collect();
    assert!(
        unusual.len() * 10 <= lengths.len(),
        "over {USUAL_LINES} lines, {} of {}: {unusual:?}",
        unusual.len(),
        lengths.len()
    );
}

/// Links of a Markdown file: (text, target).
fn links(markdown: &str) -> Vec<(String, String)> {
    let starts = markdown.match_indices("](");
    let link = |(at, _): (usize, &str)| {
        let text = markdown[..at].rsplit('[').next()?;
        let target = markdown[at + 2..].split(')').next()?;
        Some((text.to_owned(), target.split('#').next()?.to_owned()))
    };
    starts.filter_map(link).collect()
}

#[test]
fn documents_link_to_files_and_tests_that_exist() {
    let mut documents = vec![root().join("README.md"), root().join("CONTRIBUTING.md"), root().join("k8s/README.md")];
    for folder in ["docs", "docs/adr"] {
        let files = std::fs::read_dir(root().join(folder)).unwrap().map(|entry| entry.unwrap().path());
        documents.extend(files.filter(|file| file.extension().is_some_and(|extension| extension == "md")));
    }
    let mut seen = 0;
    for document in documents {
        let name = document.display();
        for (text, target) in links(&std::fs::read_to_string(&document).unwrap()) {
            if target.is_empty() || target.contains("://") {
                continue;
            }
            let file = document.parent().unwrap().join(&target);
            assert!(file.exists(), "{name} links to {target}, which does not exist");
            let Some(test) = text.strip_prefix('`').and_then(|text| text.strip_suffix('`')) else { continue };
            if target.ends_with(".rs") && test != target {
                let source = std::fs::read_to_string(&file).unwrap();
                assert!(source.contains(&format!("fn {test}(")), "{name}: {target} has no test {test}");
                seen += 1;
            }
        }
    }
    assert!(seen > 20, "found only {seen} tests named in documents");
}
