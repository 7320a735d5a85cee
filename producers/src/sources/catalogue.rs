//! `sources.toml`: which sources there are. All mistakes of a file are reported at once.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use serde::Deserialize;
use url::Url;

use crate::fetcher::guard;
use crate::keys::Key;
use crate::kinds::Kind;
use crate::kinds::selectors::Selectors;
use crate::sources::SourceConfig;
use crate::sources::key;

/// The sources that come with the binary.
const BUNDLED: &str = include_str!("../../sources.toml");

/// The JSON Schema (draft 2020-12) of `sources.toml`, for editors: a test shows that it has every field, and every kind.
pub const SCHEMA: &str = include_str!("../../sources.schema.json");

/// The shortest interval between two polls of a source on the public web, in seconds.
const SHORTEST: u64 = 30;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    id: String,
    kind: Kind,
    url: Url,
    /// Seconds between two polls.
    every_seconds: u64,
    language: Option<String>,
    #[serde(default)]
    local: bool,
    #[serde(default)]
    sample: bool,
    #[serde(default)]
    backlog: bool,
    max_pages: Option<u32>,
    select: Option<Selectors>,
    #[serde(default)]
    keywords: Vec<String>,
    #[serde(default)]
    render: bool,
    /// The variable of the environment that holds the key of its API.
    key: Option<String>,
}

/// The bundled sources.
///
/// # Errors
/// With every mistake; a test shows that there is none.
pub fn bundled() -> Result<Vec<SourceConfig>, Vec<String>> {
    parse(BUNDLED)
}

/// The sources of a file.
///
/// # Errors
/// With every mistake in it.
pub fn load(path: &Path) -> Result<Vec<SourceConfig>, Vec<String>> {
    let text = std::fs::read_to_string(path).map_err(|e| vec![format!("cannot read {}: {e}", path.display())])?;
    parse(&text).map_err(|mistakes| mistakes.into_iter().map(|m| format!("{}: {m}", path.display())).collect())
}

/// The sources of a TOML document.
///
/// # Errors
/// With every mistake in it.
pub fn parse(text: &str) -> Result<Vec<SourceConfig>, Vec<String>> {
    let document: toml::Table =
        text.parse().map_err(|e: toml::de::Error| vec![e.to_string().trim().replace('\n', " ")])?;
    let mut mistakes: Vec<String> = document
        .keys()
        .filter(|key| *key != "source")
        .map(|key| format!("unknown key {key:?}, expected [[source]]"))
        .collect();
    let tables = match document.get("source") {
        Some(toml::Value::Array(tables)) if !tables.is_empty() => tables.as_slice(),
        _ => {
            mistakes.push("no sources, expected at least one [[source]]".into());
            &[]
        }
    };
    let mut sources: Vec<SourceConfig> = Vec::new();
    let mut ids = BTreeSet::new();
    for (n, table) in tables.iter().enumerate() {
        let id = table.get("id").and_then(toml::Value::as_str);
        let name = id.map_or_else(|| format!("source #{}", n + 1), |id| format!("source {id:?}"));
        match table.clone().try_into::<Entry>() {
            Ok(entry) => {
                mistakes.extend(check(&entry).into_iter().map(|m| format!("{name}: {m}")));
                if !ids.insert(entry.id.clone()) {
                    mistakes.push(format!("{name}: the id is used twice, expected unique ids"));
                }
                sources.push(config(entry));
            }
            Err(error) => mistakes.push(format!("{name}: {}", error.to_string().trim().replace('\n', " "))),
        }
    }
    if mistakes.is_empty() { Ok(sources) } else { Err(mistakes) }
}

fn check(entry: &Entry) -> Vec<String> {
    let mut mistakes = Vec::new();
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_' | '.');
    if entry.id.is_empty() || entry.id.len() > 64 || !entry.id.chars().all(is_plain) {
        mistakes.push(format!("id {:?}, expected 1 to 64 of a-z 0-9 - _ .", entry.id));
    }
    let is_stream = matches!(entry.url.scheme(), "ws" | "wss");
    if is_stream && entry.kind != Kind::Bluesky {
        mistakes.push(format!("url {}, expected http or https: only kind bluesky has a stream", entry.url));
    } else if !(is_stream || matches!(entry.url.scheme(), "http" | "https")) || entry.url.host().is_none() {
        mistakes.push(format!("url {}, expected http or https with a host", entry.url));
    } else if !entry.local
        && let Err(reason) = guard::check(&as_web(&entry.url))
    {
        mistakes.push(format!("url {}: {reason}, expected a public address or local = true", entry.url));
    }
    // A stream is one connection, however often it is listened to.
    let shortest = if entry.local || is_stream { 1 } else { SHORTEST };
    if !(shortest..=7 * 86_400).contains(&entry.every_seconds) {
        mistakes.push(format!("every_seconds {}, expected {shortest} to 604800", entry.every_seconds));
    }
    if entry.max_pages.is_some_and(|pages| !(1..=1000).contains(&pages)) {
        mistakes.push(format!("max_pages {}, expected 1 to 1000", entry.max_pages.unwrap_or_default()));
    }
    match &entry.select {
        Some(_) if entry.kind != Kind::Html => {
            mistakes.push(format!("select with kind {}, expected kind html", entry.kind));
        }
        Some(select) => mistakes.extend(select.mistakes()),
        None => {}
    }
    if entry.render && entry.kind != Kind::Html {
        mistakes.push(format!("render with kind {}, expected kind html", entry.kind));
    }
    mistakes.extend(key::mistake(entry.kind, &entry.url, entry.local, entry.key.as_deref()));
    if !entry.keywords.is_empty() && !is_stream {
        mistakes.push("keywords without a stream, expected a url that begins with wss://".into());
    }
    let is_word = |word: &String| !word.trim().is_empty() && word.len() <= 100;
    if entry.keywords.len() > 1000 || !entry.keywords.iter().all(is_word) {
        mistakes.push("keywords, expected 1000 at most, each of 1 to 100 bytes".into());
    }
    mistakes
}

/// The address of a stream as the address guard knows it; any other as it is.
pub(crate) fn as_web(url: &Url) -> Url {
    let mut web = url.clone();
    let scheme = match url.scheme() {
        "wss" => "https",
        "ws" => "http",
        other => other,
    };
    // Between special schemes this never fails.
    let _ = web.set_scheme(scheme);
    web
}

fn config(entry: Entry) -> SourceConfig {
    SourceConfig {
        id: entry.id,
        kind: entry.kind,
        url: entry.url,
        every: Duration::from_secs(entry.every_seconds),
        language: entry.language,
        local: entry.local,
        sample: entry.sample,
        backlog: entry.backlog,
        max_pages: entry.max_pages.unwrap_or(5),
        select: entry.select,
        keywords: entry.keywords,
        render: entry.render,
        key: entry.key.as_deref().map(Key::from_env),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bundled_sources_have_no_mistake() {
        let sources = bundled().unwrap();
        assert!(sources.len() >= 30, "{}", sources.len());
        // Pages and sitemaps are examples in comments there: which are worth reading is the reader's matter. So is what needs a key.
        let is_example = |kind: &Kind| matches!(kind, Kind::Html | Kind::Sitemap | Kind::X | Kind::CoinGecko);
        assert!(Kind::all().iter().all(|kind| is_example(kind) || sources.iter().any(|source| source.kind == *kind)));
        assert!(sources.iter().all(|source| !source.local && !source.sample));
    }

    #[test]
    fn streams_words_and_rendering_belong_to_kinds_that_have_them() {
        let entry = |kind: &str, url: &str, more: &str| {
            format!("[[source]]\nid = \"a\"\nkind = \"{kind}\"\nurl = \"{url}\"\nevery_seconds = 30\n{more}\n")
        };
        let words = r#"keywords = ["btc", "eth"]"#;
        let sources = parse(&entry("bluesky", "wss://jet.example/subscribe", words)).unwrap();
        assert!(sources[0].is_stream() && sources[0].keywords == ["btc", "eth"]);
        assert!(parse(&entry("html", "https://a.example/", "render = true")).unwrap()[0].render);
        for (kind, url, more, part) in [
            ("rss", "wss://a.example/", "", "only kind bluesky"),
            ("bluesky", "wss://127.0.0.1/subscribe", "", "not on the public web"),
            ("bluesky", "https://a.example/", words, "keywords without a stream"),
            ("bluesky", "wss://a.example/", r#"keywords = [" "]"#, "each of 1 to 100"),
            ("rss", "https://a.example/", "render = true", "expected kind html"),
            ("x", "https://api.x.com/2/tweets/search/recent?query=btc", "", "without a key"),
            ("x", "https://a.example/", r#"key = "VIGIE_X_BEARER""#, "api.x.com"),
            ("rss", "https://a.example/", r#"key = "VIGIE_X_BEARER""#, "expected kind reddit"),
        ] {
            let mistakes = parse(&entry(kind, url, more)).unwrap_err();
            assert!(mistakes.len() == 1 && mistakes[0].contains(part), "{part} in {mistakes:?}");
        }
    }

    #[test]
    fn the_schema_has_every_field_and_every_kind() {
        let schema: serde_json::Value = serde_json::from_str(SCHEMA).unwrap();
        let names = |value: &serde_json::Value| value.as_object().unwrap().keys().cloned().collect::<BTreeSet<_>>();
        let entry = &schema["$defs"]["source"];
        // The parser says which fields it knows.
        let known = |error: String| {
            let list = error.split_once("expected one of").unwrap().1.to_owned();
            list.split('`').skip(1).step_by(2).map(str::to_owned).collect::<BTreeSet<_>>()
        };
        let error = toml::from_str::<Entry>("nothing = 1").err().unwrap().to_string();
        assert_eq!(names(&entry["properties"]), known(error));
        let error = toml::from_str::<Selectors>("nothing = 1").err().unwrap().to_string();
        assert_eq!(names(&entry["properties"]["select"]["properties"]), known(error));
        let kinds: BTreeSet<&str> =
            entry["properties"]["kind"]["enum"].as_array().unwrap().iter().filter_map(|kind| kind.as_str()).collect();
        assert_eq!(kinds, Kind::all().iter().map(|kind| kind.name()).collect());
        for name in ["id", "kind", "url", "every_seconds"] {
            assert!(entry["required"].as_array().unwrap().contains(&name.into()), "{name}");
        }
        assert!(BUNDLED.starts_with("#:schema "), "editors find the schema by the first line");
    }

    #[test]
    fn every_mistake_is_reported_at_once() {
        let text = r#"
            colour = "blue"
            [[source]]
            id = "A b"
            kind = "rss"
            url = "ftp://example.org/"
            every_seconds = 1
            [[source]]
            id = "two"
            kind = "gopher"
            url = "https://example.org/"
            every_seconds = 60
            [[source]]
            id = "three"
            kind = "rss"
            url = "http://127.0.0.1/feed"
            every_seconds = 60
            every = 3
            [[source]]
            id = "four"
            kind = "rss"
            url = "http://[::1]/feed"
            every_seconds = 60
            [[source]]
            id = "four"
            kind = "rss"
            url = "http://127.0.0.1/feed"
            local = true
            every_seconds = 1
        "#;
        let mistakes = parse(text).unwrap_err();
        for part in
            ["colour", "\"A b\"", "ftp:", "every_seconds 1,", "gopher", "every", "not on the public web", "used twice"]
        {
            assert!(mistakes.iter().any(|m| m.contains(part)), "{part} in {mistakes:#?}");
        }
        assert_eq!(mistakes.len(), 8, "{mistakes:#?}");
        assert!(parse("x").unwrap_err()[0].contains("expected"));
        assert_eq!(parse("").unwrap_err(), ["no sources, expected at least one [[source]]"]);
    }
}
