//! What a page says of itself in meta elements: OpenGraph, Dublin Core and names of single publishers.

use std::collections::HashMap;
use std::sync::LazyLock;

use scraper::{Html, Selector};

static META: LazyLock<Selector> = LazyLock::new(|| crate::content::web_page::constant("meta[content]"));

/// Meta elements of one page that are looked at.
const MAX_ELEMENTS: usize = 1000;

/// The meta elements of a page by name, in lower case with `:` for `.`; the first of a name counts.
#[derive(Debug)]
pub(super) struct Meta(HashMap<String, String>);

impl Meta {
    pub(super) fn read(html: &Html) -> Self {
        let mut found = HashMap::new();
        // A property is said on purpose, a name often comes from a template.
        for attribute in ["property", "name", "itemprop"] {
            for element in html.select(&META).take(MAX_ELEMENTS) {
                let content = element.attr("content").map(str::trim).filter(|content| !content.is_empty());
                let (Some(names), Some(content)) = (element.attr(attribute), content) else { continue };
                for name in names.split_whitespace() {
                    found.entry(name.to_ascii_lowercase().replace('.', ":")).or_insert_with(|| content.to_owned());
                }
            }
        }
        Self(found)
    }

    /// The first of these that is there.
    pub(super) fn first(&self, names: &[&str]) -> Option<&str> {
        names.iter().find_map(|name| self.0.get(*name)).map(String::as_str)
    }
}
