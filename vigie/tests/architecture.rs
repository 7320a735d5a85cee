//! The direction of dependencies between crates and between the rooms of a crate (its top-level modules), and the layout of files, from
//! `cargo metadata` and the files themselves.
//!
//! `deny.toml` says the same of dependencies for `cargo deny`; this test needs no tool but Cargo.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// A dependency from outside, and the crates of the workspace that may name it.
const ONLY: [(&str, &[&str]); 16] = [
    ("rdkafka", &["vigie-kafka-client", "vigie-kafka-native"]),
    ("ort", &["vigie-processors"]),
    ("tokenizers", &["vigie-processors"]),
    ("scraper", &["vigie-producers"]),
    // The schema registry, the API and issuers of tokens speak HTTP.
    ("reqwest", &["vigie", "vigie-api", "vigie-kafka-client", "vigie-producers", "vigie-schemas"]),
    ("schema_registry_converter", &["vigie-schemas"]),
    // The load run and the chaos run count rows from outside.
    ("tokio-postgres", &["vigie-api", "vigie-benches", "vigie-chaos", "vigie-sinks", "vigie-stores"]),
    ("deadpool-postgres", &["vigie-api"]),
    ("refinery", &["vigie-sinks"]),
    ("fjall", &["vigie-streams"]),
    ("fred", &["vigie-api", "vigie-sinks", "vigie-stores"]),
    ("jsonwebtoken", &["vigie-api"]),
    ("aes-gcm-siv", &["vigie-api", "vigie-authors"]),
    ("anyhow", &["vigie", "vigie-benches"]),
    ("object_store", &["vigie-archive"]),
    ("parquet", &["vigie-archive"]),
];

/// The crates of the workspace that each crate may build on. Tests may use more.
const LAYERS: [(&str, &[&str]); 21] = [
    ("vigie-audit", &["vigie-clock", "vigie-daemon", "vigie-kafka-client", "vigie-schemas"]),
    ("vigie-archive", &["vigie-clock", "vigie-daemon", "vigie-schemas"]),
    ("vigie-authors", &["vigie-daemon"]),
    ("vigie-clock", &[]),
    ("vigie-xtask", &[]),
    ("vigie-daemon", &["vigie-clock"]),
    ("vigie-kafka-client", &["vigie-clock", "vigie-daemon", "vigie-kafka-native"]),
    ("vigie-kafka-native", &[]),
    ("vigie-stack", &["vigie-clock", "vigie-daemon"]),
    ("vigie-stores", &["vigie-daemon"]),
    ("vigie-streams", &["vigie-clock", "vigie-daemon", "vigie-kafka-client"]),
    ("vigie-schemas", &["vigie-clock", "vigie-daemon"]),
    ("vigie-producers", &["vigie-authors", "vigie-clock", "vigie-daemon", "vigie-kafka-client", "vigie-schemas"]),
    (
        "vigie-fuzz",
        &["vigie-api", "vigie-authors", "vigie-clock", "vigie-processors", "vigie-producers", "vigie-schemas"],
    ),
    ("vigie-sample", &["vigie-clock", "vigie-daemon", "vigie-producers"]),
    (
        "vigie-processors",
        &[
            "vigie-archive",
            "vigie-authors",
            "vigie-clock",
            "vigie-daemon",
            "vigie-kafka-client",
            "vigie-schemas",
            "vigie-streams",
        ],
    ),
    (
        "vigie-sinks",
        &["vigie-archive", "vigie-clock", "vigie-daemon", "vigie-kafka-client", "vigie-schemas", "vigie-stores"],
    ),
    ("vigie-api", &["vigie-audit", "vigie-authors", "vigie-clock", "vigie-daemon", "vigie-schemas", "vigie-stores"]),
    (
        "vigie-benches",
        &[
            "vigie-clock",
            "vigie-kafka-client",
            "vigie-processors",
            "vigie-schemas",
            "vigie-stack",
            "vigie-stores",
            "vigie-streams",
        ],
    ),
    ("vigie-chaos", &["vigie-clock", "vigie-kafka-client", "vigie-processors", "vigie-schemas", "vigie-stack"]),
    (
        "vigie",
        &[
            "vigie-api",
            "vigie-archive",
            "vigie-audit",
            "vigie-authors",
            "vigie-clock",
            "vigie-daemon",
            "vigie-kafka-client",
            "vigie-processors",
            "vigie-producers",
            "vigie-sample",
            "vigie-schemas",
            "vigie-sinks",
            "vigie-stack",
            "vigie-stores",
        ],
    ),
];

/// The rooms of a crate that each of its rooms may use. Tests may use more.
type Directions = &'static [(&'static str, &'static [&'static str])];

const PROCESSORS: Directions = &[
    ("service", &[]),
    ("times", &[]),
    ("anomaly", &[]),
    ("fixtures", &[]),
    ("assets", &["service"]),
    ("inference", &["service"]),
    ("forecast", &["anomaly", "inference"]),
    ("text", &["assets", "inference"]),
    ("sentiment", &["assets", "inference", "service", "text", "times"]),
    ("trends", &["anomaly", "assets", "forecast", "inference", "service", "text", "times"]),
    ("recount", &["assets", "inference", "sentiment", "service", "text", "trends"]),
    ("past", &[]),
    ("replay", &["forecast", "inference", "past", "sentiment", "service", "text", "times", "trends"]),
    ("growth", &["sentiment", "service", "trends"]),
];

const CHAOS: Directions = &[
    ("error", &[]),
    ("fault", &[]),
    ("report", &[]),
    ("options", &["fault"]),
    ("evidence", &["error"]),
    ("posts", &["error"]),
    ("wire", &["error"]),
    ("check", &["error", "posts", "wire"]),
    ("replay", &["check", "error", "options", "posts", "report", "wire", "world"]),
    ("world", &["error", "evidence", "fault", "options", "posts", "wire"]),
    ("faults", &["check", "error", "fault", "wire", "world"]),
    ("run", &["check", "error", "evidence", "fault", "faults", "options", "posts", "replay", "report", "world"]),
];

const STACK: Directions = &[
    ("config", &[]),
    ("environment", &[]),
    ("error", &["config"]),
    ("ports", &["config", "error"]),
    ("watchdog", &["environment", "error"]),
    ("data_dir", &["config", "error", "ports"]),
    ("servers", &["config", "data_dir", "environment", "error", "ports", "watchdog"]),
    ("supervisor", &["config", "data_dir", "error", "servers", "watchdog"]),
    ("stack", &["config", "data_dir", "environment", "error", "ports", "servers", "supervisor", "watchdog"]),
    ("testing", &["config", "servers", "stack"]),
];

const PRODUCERS: Directions = &[
    ("content", &[]),
    ("keys", &[]),
    ("lease", &[]),
    ("kinds", &["content", "keys"]),
    ("fetcher", &["content", "keys", "lease"]),
    ("sources", &["fetcher", "keys", "kinds"]),
    ("poll", &["content", "fetcher", "kinds", "sources"]),
    ("publish", &["lease", "poll"]),
    ("config", &["fetcher", "sources"]),
    ("discover", &["content", "fetcher", "kinds", "sources"]),
    ("probe", &["content", "discover", "fetcher", "keys", "kinds", "poll", "sources"]),
    ("backfill", &["config", "fetcher", "keys", "kinds", "poll", "publish", "sources"]),
    ("group", &["config", "fetcher", "lease", "poll", "publish", "sources"]),
];

const MAX_LINES: usize = 500;
/// Nine files in ten are no longer than this.
const USUAL_LINES: usize = 400;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap()
}

fn packages() -> Vec<Value> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let args = ["metadata", "--format-version", "1", "--no-deps", "--locked", "--offline"];
    let output = Command::new(cargo).args(args).current_dir(root()).output().unwrap();
    assert!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    metadata["packages"].as_array().unwrap().clone()
}

/// The folder of each crate of the workspace.
fn folders() -> Vec<(String, PathBuf)> {
    let folder = |package: &Value| Path::new(package["manifest_path"].as_str().unwrap()).parent().unwrap().to_owned();
    packages().iter().map(|package| (package["name"].as_str().unwrap().to_owned(), folder(package))).collect()
}

/// Direct dependencies of each crate of the workspace: (normal and build, development).
fn dependencies() -> BTreeMap<String, (BTreeSet<String>, BTreeSet<String>)> {
    let mut crates = BTreeMap::new();
    for package in packages() {
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
    let files = files_in(&root(), ".rs");
    assert!(files.len() > 50, "found only {} files", files.len());
    files
}

fn files_in(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let mut waiting = vec![folder.to_owned()];
    let mut files = Vec::new();
    while let Some(folder) = waiting.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() && name != "target" && !name.starts_with('.') {
                waiting.push(path);
            } else if name.ends_with(ending) {
                files.push(path);
            }
        }
    }
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

type Rooms = BTreeMap<String, BTreeSet<String>>;

/// The rooms of a crate, or of a module with this path, and which others the files of each name, tests aside.
fn rooms(src: &Path, path: &str) -> Rooms {
    let read = |file: &Path| without_tests_and_comments(&std::fs::read_to_string(file).unwrap());
    let files = files_in(src, ".rs").into_iter().map(|file| (file.strip_prefix(src).unwrap().to_owned(), file));
    let files: Vec<(PathBuf, PathBuf)> =
        files.filter(|(inside, _)| !inside.starts_with("bin") && !inside.ends_with("tests.rs")).collect();
    let room_of = |inside: &Path| inside.iter().next().unwrap().to_str().unwrap().trim_end_matches(".rs").to_owned();
    let is_room = |name: &str| files.iter().any(|(inside, _)| room_of(inside) == name);
    let roots = [src.join("lib.rs"), src.with_extension("rs")];
    let root = roots.iter().find(|root| root.is_file()).map(|root| read(root)).unwrap_or_default();
    // What the root re-exports is in the room that it comes from.
    let home = |name: &str| {
        let mut exports = root.split(';').filter_map(|item| item.split("use ").nth(1)?.split_once("::"));
        let names = |paths: &str| paths.split(|c: char| !is_word(c)).any(|word| word == name);
        exports.find(|(_, paths)| names(paths)).map(|(room, _)| room.to_owned())
    };
    let mut rooms = Rooms::new();
    for (inside, file) in files.iter().filter(|(inside, _)| !matches!(room_of(inside).as_str(), "lib" | "main")) {
        let room = room_of(inside);
        let used = rooms.entry(room.clone()).or_default();
        let up = "super::".repeat(inside.iter().count());
        let named = [names_after(&read(file), path), names_after(&read(file), &up)].concat();
        let homes = named.into_iter().filter_map(|name| if is_room(&name) { Some(name) } else { home(&name) });
        used.extend(homes.filter(|other| *other != room));
    }
    rooms
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn without_tests_and_comments(source: &str) -> String {
    let code = source.split("#[cfg(test)]\nmod tests").next().unwrap();
    code.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

/// The first names of the paths that begin with `start`, of `start{a, b::c}` too.
fn names_after(code: &str, start: &str) -> Vec<String> {
    let mut names = Vec::new();
    for (at, _) in code.match_indices(start).filter(|(at, _)| !code[..*at].ends_with(|c| is_word(c) || c == ':')) {
        let path = &code[at + start.len()..];
        let first = |text: &str| text.trim_start().chars().take_while(|c| is_word(*c)).collect::<String>();
        let Some(group) = path.strip_prefix('{') else {
            names.push(first(path));
            continue;
        };
        let (mut depth, mut begin) = (0, 0);
        for (end, c) in group.char_indices() {
            match c {
                '{' => depth += 1,
                ',' | '}' if depth == 0 => {
                    names.push(first(&group[begin..end]));
                    begin = end + 1;
                }
                '}' => depth -= 1,
                _ => {}
            }
            if c == '}' && end < begin {
                break;
            }
        }
    }
    names.retain(|name| !name.is_empty());
    names
}

/// Everything that a room uses, directly or by others.
fn reach(rooms: &Rooms, from: &str) -> BTreeSet<String> {
    let (mut reached, mut waiting) = (BTreeSet::new(), vec![from.to_owned()]);
    while let Some(room) = waiting.pop() {
        let used = rooms.get(&room).into_iter().flatten();
        waiting.extend(used.filter(|other| reached.insert((*other).clone())).cloned().collect::<Vec<_>>());
    }
    reached
}

/// The rooms that use each other in a circle.
fn cycles(rooms: &Rooms) -> BTreeSet<BTreeSet<String>> {
    let reached: BTreeMap<&String, BTreeSet<String>> = rooms.keys().map(|room| (room, reach(rooms, room))).collect();
    let circle = |room: &String| {
        let back = reached[room].iter().filter(|other| reached.get(other).is_some_and(|far| far.contains(room)));
        back.cloned().collect::<BTreeSet<_>>()
    };
    rooms.keys().map(circle).filter(|circle| !circle.is_empty()).collect()
}

#[test]
fn rooms_of_a_crate_and_files_of_a_room_form_no_circle() {
    let mut found = BTreeSet::new();
    for (name, folder) in folders() {
        let src = folder.join("src");
        let of_crate = rooms(&src, "crate::");
        let of_rooms = of_crate.keys().filter(|room| src.join(room).is_dir());
        let of_rooms =
            of_rooms.map(|room| (format!("{name}::{room}"), rooms(&src.join(room), &format!("crate::{room}::"))));
        let of_rooms: Vec<_> = of_rooms.collect();
        for (name, rooms) in of_rooms.into_iter().chain([(name, of_crate)]) {
            found.extend(cycles(&rooms).into_iter().map(|circle| (name.clone(), circle)));
        }
    }
    assert!(found.is_empty(), "rooms that use each other in a circle: {found:#?}");
}

#[test]
fn a_circle_of_rooms_is_found_however_a_path_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    std::fs::create_dir(folder.path().join("b")).unwrap();
    write("lib.rs", "mod a;\nmod b;\nmod c;\npub use c::{Thing, other};\n");
    write("a.rs", "// crate::c\nuse crate::{b::{x, y}, Nothing};\n#[cfg(test)]\nmod tests { use crate::c; }\n");
    write("b.rs", "mod inner;\nuse self::inner::y;\n");
    write("b/inner.rs", "use super::super::Thing;\n");
    write("c.rs", "fn f() {}\n");
    let used = rooms(folder.path(), "crate::");
    assert_eq!(format!("{used:?}"), r#"{"a": {"b"}, "b": {"c"}, "c": {}}"#);
    assert!(cycles(&used).is_empty());
    write("c.rs", "fn f() { crate::a::g() }\n");
    assert_eq!(format!("{:?}", cycles(&rooms(folder.path(), "crate::"))), r#"{{"a", "b", "c"}}"#);
}

#[test]
fn rooms_use_lower_rooms_only() {
    let mut breaches = Vec::new();
    for (folder, directions) in
        [("producers", PRODUCERS), ("processors", PROCESSORS), ("crates/chaos", CHAOS), ("crates/stack", STACK)]
    {
        let allowed: BTreeMap<&str, BTreeSet<String>> = directions
            .iter()
            .map(|(room, lower)| (*room, lower.iter().map(|lower| (*lower).to_owned()).collect()))
            .collect();
        let found = rooms(&root().join(folder).join("src"), "crate::");
        for (room, used) in &found {
            match allowed.get(room.as_str()) {
                Some(allowed) if allowed == used => {}
                allowed => breaches.push(format!("{folder}: {room} uses {used:?}, expected exactly {allowed:?}")),
            }
        }
        let gone = directions.iter().filter(|(room, _)| !found.contains_key(*room));
        breaches.extend(gone.map(|(room, _)| format!("{folder}: there is no room {room}")));
    }
    assert!(breaches.is_empty(), "{breaches:#?}");
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
    let sources: String = rust_files().iter().map(|file| std::fs::read_to_string(file).unwrap()).collect();
    let mut seen = 0;
    for document in files_in(&root(), ".md") {
        let name = document.display();
        let markdown = std::fs::read_to_string(&document).unwrap();
        // A promise names its test: in lower case, of many words, and no metric.
        let is_test = |name: &&str| {
            name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
                && name.matches('_').count() > 3
                && !name.starts_with("vigie_")
        };
        for test in markdown.split('`').filter(is_test) {
            assert!(sources.contains(test), "{name} names {test}, which does not exist");
            seen += 1;
        }
        for (text, target) in links(&markdown) {
            if target.is_empty() || target.contains("::") || target.contains("://") {
                continue;
            }
            let file = document.parent().unwrap().join(&target);
            assert!(file.exists(), "{name} links to {target}, which does not exist");
            let Some(test) = text.strip_prefix('`').and_then(|text| text.strip_suffix('`')) else { continue };
            if target.ends_with(".rs") && test != target && test.contains('_') {
                let source = std::fs::read_to_string(&file).unwrap();
                assert!(source.contains(&format!("fn {test}(")), "{name}: {target} has no test {test}");
                seen += 1;
            }
        }
    }
    assert!(seen > 20, "found only {seen} tests named in documents");
}
