//! `sources.toml`: which sources there are. All mistakes of a file are reported at once.

mod fields;

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue};
use url::Url;
use vigie_daemon::Mistake;

use self::fields::{Fields, line, without_secrets};
use crate::fetcher::guard;
use crate::keys::Key;
use crate::kinds::Kind;
use crate::kinds::source::selectors::Selectors;
use crate::sources::SourceConfig;
use crate::sources::key;

/// The sources that come with the binary.
const BUNDLED: &str = include_str!("../../sources.toml");

/// The JSON Schema (draft 2020-12) of `sources.toml`, for editors: a test shows that it has every field, and every kind.
pub const SCHEMA: &str = include_str!("../../sources.schema.json");

/// The shortest interval between two polls of a source on the public web, in seconds.
const SHORTEST: u64 = 30;
/// The longest, of any source.
const LONGEST: u64 = 7 * 86_400;

const ID: &str = "1 to 64 of a-z 0-9 - _ .";
const ADDRESS: &str = "an address as https://example.com/feed";
const PAGES: &str = "1 to 1000";
const WORDS: &str = "1000 at most, each of 1 to 100 bytes";

/// The bundled sources.
///
/// # Errors
/// With every mistake; a test shows that there is none.
pub fn bundled() -> Result<Vec<SourceConfig>, Vec<Mistake>> {
    parse(BUNDLED)
}

/// The sources of a file.
///
/// # Errors
/// With every mistake in it.
pub fn load(path: &Path) -> Result<Vec<SourceConfig>, Vec<Mistake>> {
    let name = path.display();
    let text = std::fs::read_to_string(path)
        .map_err(|error| vec![Mistake::new(name.to_string(), error, "a readable file of sources")])?;
    parse(&text).map_err(|mistakes| mistakes.into_iter().map(|mistake| mistake.within(&name)).collect())
}

/// The sources of a TOML document.
///
/// # Errors
/// With every mistake in it.
pub fn parse(text: &str) -> Result<Vec<SourceConfig>, Vec<Mistake>> {
    let (document, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        return Err(errors.iter().map(|error| syntax(text, error)).collect());
    }
    let (span, mut document) = (document.span(), document.into_inner());
    let tables = match document.remove("source").map(Spanned::into_inner) {
        Some(DeValue::Array(tables)) => tables,
        _ => DeArray::new(),
    };
    let mut mistakes = Fields::new(text, String::new(), span.start, document).finish(None);
    if tables.is_empty() {
        mistakes.push(Mistake::new("sources", "none", "at least one [[source]]"));
    }
    let (mut sources, mut ids) = (Vec::new(), BTreeSet::new());
    for (n, table) in tables.into_iter().enumerate() {
        let at = table.span().start;
        let DeValue::Table(table) = table.into_inner() else {
            mistakes.push(Mistake::new(line(text, at), format!("source #{} is no table", n + 1), "[[source]]"));
            continue;
        };
        let id = table.get("id").and_then(|id| id.get_ref().as_str());
        let name = id.map_or_else(|| format!("source #{}", n + 1), |id| format!("source {id:?}"));
        let mut fields = Fields::new(text, name, at, table);
        let mut select = fields.table("select");
        sources.extend(source(&mut fields, select.as_mut(), &mut ids));
        mistakes.extend(fields.finish(select));
    }
    if mistakes.is_empty() { Ok(sources) } else { Err(mistakes) }
}

fn syntax(text: &str, error: &toml::de::Error) -> Mistake {
    let place = line(text, error.span().map_or(0, |span| span.start));
    let (found, expected) = error.message().split_once(", expected ").unwrap_or((error.message(), "TOML"));
    Mistake::new(place, found, expected)
}

/// A source from its fields; `None` if one that it needs has no usable value.
fn source(
    fields: &mut Fields<'_>,
    select: Option<&mut Fields<'_>>,
    ids: &mut BTreeSet<String>,
) -> Option<SourceConfig> {
    let kinds = Kind::all().iter().map(|kind| kind.name()).collect::<Vec<_>>().join(", ");
    let id: Option<String> = fields.require("id", ID);
    let kind: Option<Kind> = fields.require("kind", &format!("one of {kinds}"));
    let url: Option<Url> = fields.require("url", ADDRESS);
    let every: Option<u64> = fields.require("every_seconds", "a whole number of seconds");
    let language = fields.take("language", "a language tag as \"en\"");
    let local = fields.flag("local");
    let sample = fields.flag("sample");
    let backlog = fields.flag("backlog");
    let max_pages: Option<u32> = fields.take("max_pages", PAGES);
    let select = select.map(selectors);
    let keywords: Vec<String> = fields.take("keywords", WORDS).unwrap_or_default();
    let render = fields.flag("render");
    let variable: Option<String> = fields.take("key", "the name of a variable of the environment");

    if let Some(id) = &id {
        check_id(fields, id, ids);
    }
    if let Some(url) = &url {
        check_url(fields, url, kind, local);
    }
    let is_stream = url.as_ref().is_some_and(is_stream);
    // A stream is one connection, however often it is listened to.
    let shortest = if local || is_stream { 1 } else { SHORTEST };
    if let Some(every) = every.filter(|every| !(shortest..=LONGEST).contains(every)) {
        fields.wrong("every_seconds", every, &format!("{shortest} to {LONGEST}"));
    }
    if let Some(pages) = max_pages.filter(|pages| !(1..=1000).contains(pages)) {
        fields.wrong("max_pages", pages, PAGES);
    }
    if let Some(kind) = kind.filter(|kind| *kind != Kind::Html) {
        for (key, given) in [("select", select.is_some()), ("render", render)] {
            if given {
                fields.wrong(key, format!("given with kind {kind}"), "kind html");
            }
        }
    }
    if let (Some(kind), Some(url)) = (kind, &url)
        && let Some(mistake) = key::mistake(kind, url, local, variable.as_deref())
    {
        fields.report("key", mistake);
    }
    let key = variable.as_deref().map(Key::from_env).transpose();
    let key = key.map_err(|mistake| fields.report("key", mistake)).ok();
    if !keywords.is_empty() && url.is_some() && !is_stream {
        fields.wrong("keywords", "given without a stream", "a url that begins with wss://");
    }
    let is_word = |word: &String| !word.trim().is_empty() && word.len() <= 100;
    if keywords.len() > 1000 || !keywords.iter().all(is_word) {
        fields.wrong("keywords", format!("{} of them", keywords.len()), WORDS);
    }
    let source = SourceConfig::new(id?, kind?, url?);
    Some(SourceConfig {
        every: Duration::from_secs(every?),
        language,
        local,
        sample,
        backlog,
        max_pages: max_pages.unwrap_or(source.max_pages),
        select,
        keywords,
        render,
        key: key?,
        ..source
    })
}

fn check_id(fields: &mut Fields<'_>, id: &str, ids: &mut BTreeSet<String>) {
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_' | '.');
    if id.is_empty() || id.len() > 64 || !id.chars().all(is_plain) {
        fields.wrong("id", format!("{id:?}"), ID);
    }
    if !ids.insert(id.to_owned()) {
        fields.wrong("id", format!("{id:?} is used twice"), "unique ids");
    }
}

fn check_url(fields: &mut Fields<'_>, url: &Url, kind: Option<Kind>, local: bool) {
    let (is_stream, shown) = (is_stream(url), without_secrets(url.as_str()));
    if is_stream && kind.is_some_and(|kind| kind != Kind::Bluesky) {
        fields.wrong("url", shown, "http or https: only kind bluesky has a stream");
    } else if !(is_stream || matches!(url.scheme(), "http" | "https")) || url.host().is_none() {
        fields.wrong("url", shown, "http or https with a host");
    } else if !local && let Err(reason) = guard::check(&as_web(url)) {
        fields.wrong("url", format!("{shown}: {reason}"), "a public address or local = true");
    }
}

fn is_stream(url: &Url) -> bool {
    matches!(url.scheme(), "ws" | "wss")
}

fn selectors(fields: &mut Fields<'_>) -> Selectors {
    const SELECTOR: &str = "a css selector";
    let mut part = |key| {
        let css: Option<String> =
            if key == "item" { fields.require(key, SELECTOR) } else { fields.take(key, SELECTOR) };
        if let Some(css) = css.as_ref().filter(|css| !Selectors::is_selector(css)) {
            fields.wrong(key, format!("{css:?}"), SELECTOR);
        }
        css
    };
    let (item, title, link) = (part("item"), part("title"), part("link"));
    let (text, author, date) = (part("text"), part("author"), part("date"));
    Selectors { item: item.unwrap_or_default(), title, link, text, author, date }
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
            ("bluesky", "https://a.example/", words, "given without a stream"),
            ("bluesky", "wss://a.example/", r#"keywords = [" "]"#, "each of 1 to 100"),
            ("rss", "https://a.example/", "render = true", "expected kind html"),
            ("x", "https://api.x.com/2/tweets/search/recent?query=btc", "", "without a key"),
            ("x", "https://a.example/", r#"key = "VIGIE_X_BEARER""#, "api.x.com"),
            ("rss", "https://a.example/", r#"key = "VIGIE_X_BEARER""#, "expected kind reddit"),
        ] {
            let mistakes = parse(&entry(kind, url, more)).unwrap_err();
            assert!(mistakes.len() == 1 && mistakes[0].to_string().contains(part), "{part} in {mistakes:?}");
        }
    }

    #[test]
    fn the_schema_has_every_field_and_every_kind() {
        let schema: serde_json::Value = serde_json::from_str(SCHEMA).unwrap();
        let names = |value: &serde_json::Value| value.as_object().unwrap().keys().cloned().collect::<BTreeSet<_>>();
        let entry = &schema["$defs"]["source"];
        // The parser says which fields it knows.
        let known = |text: &str| {
            let mistakes = parse(text).unwrap_err();
            let unknown =
                mistakes.iter().map(Mistake::to_string).find(|mistake| mistake.contains("unknown key")).unwrap();
            unknown.split('`').skip(1).step_by(2).map(str::to_owned).collect::<BTreeSet<_>>()
        };
        assert_eq!(names(&entry["properties"]), known("[[source]]\nnothing = 1"));
        let select = known("[[source]]\n[source.select]\nnothing = 1");
        assert_eq!(names(&entry["properties"]["select"]["properties"]), select);
        let kinds: BTreeSet<&str> =
            entry["properties"]["kind"]["enum"].as_array().unwrap().iter().filter_map(|kind| kind.as_str()).collect();
        assert_eq!(kinds, Kind::all().iter().map(|kind| kind.name()).collect());
        for name in ["id", "kind", "url", "every_seconds"] {
            assert!(entry["required"].as_array().unwrap().contains(&name.into()), "{name}");
        }
        assert!(BUNDLED.starts_with("#:schema "), "editors find the schema by the first line");
    }

    #[test]
    fn every_mistake_is_reported_at_once_with_its_line() {
        let text = r#"colour = "blue"
[[source]]
id = "A b"
kind = "rss"
url = "ftp://user:hunter2@example.org/?token=hunter2"
every_seconds = 0
colour = "blue"
local = "yes"
[[source]]
kind = "gopher"
url = "not a url?token=hunter2"
every_seconds = 60.5
[[source]]
id = "three"
kind = "rss"
url = "http://127.0.0.1/feed"
every_seconds = 60
[[source]]
id = "four"
kind = "html"
url = "https://example.org/"
every_seconds = 60
key = "hunter2"
[source.select]
title = "::"
text = 7
size = 1
[[source]]
id = "four"
kind = "rss"
url = "http://127.0.0.1/feed"
local = true
every_seconds = 1
max_pages = 0
render = true
"#;
        let mistakes: Vec<String> = parse(text).unwrap_err().iter().map(Mistake::to_string).collect();
        let expected = [
            "line 1: colour: unknown key, expected [[source]]",
            "line 3: source \"A b\": id: \"A b\", expected 1 to 64 of a-z 0-9 - _ .",
            "line 5: source \"A b\": url: ftp://example.org/, expected http or https with a host",
            "line 6: source \"A b\": every_seconds: 0, expected 30 to 604800",
            "line 7: source \"A b\": colour: unknown key, expected one of `select`, `id`, `kind`, ",
            "line 8: source \"A b\": local: \"yes\", expected true or false",
            "line 9: source #2: id: missing, expected 1 to 64 of a-z 0-9 - _ .",
            "line 10: source #2: kind: \"gopher\", expected one of rss, hackernews, ",
            "line 11: source #2: url: \"not a url, expected an address as https://example.com/feed",
            "line 12: source #2: every_seconds: 60.5, expected a whole number of seconds",
            "line 16: source \"three\": url: http://127.0.0.1/feed: ",
            "line 23: source \"four\": key: another text, not shown here, expected the name of a variable",
            "line 24: source \"four\": select: item: missing, expected a css selector",
            "line 25: source \"four\": select: title: \"::\", expected a css selector",
            "line 26: source \"four\": select: text: 7, expected a css selector",
            "line 27: source \"four\": select: size: unknown key, expected one of `item`, ",
            "line 29: source \"four\": id: \"four\" is used twice, expected unique ids",
            "line 34: source \"four\": max_pages: 0, expected 1 to 1000",
            "line 35: source \"four\": render: given with kind rss, expected kind html",
        ];
        assert_eq!(mistakes.len(), expected.len(), "{mistakes:#?}");
        for (mistake, expected) in mistakes.iter().zip(expected) {
            assert!(mistake.starts_with(expected) && !mistake.contains("hunter2"), "{mistake}\n{expected}");
        }
    }

    #[test]
    fn mistakes_in_the_syntax_are_reported_with_their_lines() {
        let mistakes = parse("x\n[[source]]\ny\n").unwrap_err();
        let lines: Vec<String> = mistakes.iter().map(Mistake::to_string).collect();
        assert!(lines.len() == 2 && lines[0].starts_with("line 1: ") && lines[1].starts_with("line 3: "), "{lines:?}");
        let empty = Mistake::new("sources", "none", "at least one [[source]]");
        assert_eq!(parse("").unwrap_err(), [empty]);
    }
}
