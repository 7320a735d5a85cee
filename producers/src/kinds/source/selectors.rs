//! Where the entries of a page are, for pages that are no article: CSS selectors in `sources.toml`.

use scraper::Selector;

/// Where the parts of an entry are. All but `item` are looked for inside the item.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selectors {
    /// One entry.
    pub item: String,
    /// Its title.
    pub title: Option<String>,
    /// What links to it; without it, the first link of the item.
    pub link: Option<String>,
    /// Its text; without it, the text of the item.
    pub text: Option<String>,
    /// Who wrote it.
    pub author: Option<String>,
    /// When: a `datetime` attribute, or text.
    pub date: Option<String>,
}

impl Selectors {
    /// Whether this is a selector.
    pub fn is_selector(css: &str) -> bool {
        css.len() <= 1000 && Selector::parse(css).is_ok()
    }
}
