//! Where the entries of a page are, for pages that are no article: CSS selectors in `sources.toml`.

use scraper::Selector;
use serde::Deserialize;

/// Where the parts of an entry are. All but `item` are looked for inside the item.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
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
    /// What is wrong with them, a sentence each.
    pub fn mistakes(&self) -> Vec<String> {
        let all = [
            ("item", Some(&self.item)),
            ("title", self.title.as_ref()),
            ("link", self.link.as_ref()),
            ("text", self.text.as_ref()),
            ("author", self.author.as_ref()),
            ("date", self.date.as_ref()),
        ];
        let bad = |css: &&String| css.len() > 1000 || Selector::parse(css).is_err();
        let named = all.into_iter().filter_map(|(name, css)| Some((name, css.filter(bad)?)));
        named.map(|(name, css)| format!("select.{name} {css:?}, expected a css selector")).collect()
    }
}
