//! Entries that share an id, as some publishing tools make them: within one document link, else title, distinguishes them.

use std::collections::{BTreeMap, HashSet};

use url::Url;

use super::NAME;
use crate::content::identity;
use crate::kinds::source::draft::Draft;
use crate::kinds::source::{Namesake, Origin, Page};

/// Adds the entries of a document to a page. An id that is that of one entry stays as it is; one that others have, too, becomes that of its link,
/// or of its link and title where they share the link. What is there twice is added once.
pub(super) fn add(entries: Vec<Draft>, origin: Origin<'_>, page: &mut Page) {
    let mut groups: BTreeMap<String, Vec<(Draft, Key)>> = BTreeMap::new();
    let mut order = Vec::new();
    for entry in entries {
        let key = Key::of(&entry);
        let group = groups.entry(entry.id.clone()).or_default();
        if !group.iter().any(|(known, _)| is_same(known, &entry)) {
            order.push((entry.id.clone(), group.len()));
            group.push((entry, key));
        }
    }
    for (id, at) in order {
        let Some(group) = groups.get(&id) else { continue };
        let (mut entry, key) = group[at].clone();
        let keys: HashSet<&Key> = group.iter().map(|(_, key)| key).collect();
        let is_link_shared = keys.iter().filter(|other| other.link == key.link).count() > 1;
        let by_link = identity::beside(NAME, &id, &key.name(false));
        let namesake = if keys.len() > 1 {
            entry.id = identity::beside(NAME, &id, &key.name(is_link_shared));
            Namesake::Alone { id, by_link }
        } else {
            Namesake::Beside(by_link)
        };
        page.namesakes.insert(entry.id.clone(), namesake);
        entry.add_to(page, NAME, origin);
    }
}

/// What distinguishes an entry from others of its id.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    link: Option<String>,
    /// The title, or the text if there is neither title nor link.
    title: Option<String>,
}

impl Key {
    fn of(entry: &Draft) -> Self {
        let link = entry.url.as_deref().and_then(|url| Url::parse(url).ok()).map(|url| identity::canonical(&url));
        let text = || Some(entry.text.clone()).filter(|text| link.is_none() && !text.is_empty());
        let title = entry.title.clone().filter(|title| !title.is_empty()).or_else(text);
        Self { link, title }
    }

    fn name(&self, is_link_shared: bool) -> String {
        let title = self.title.as_deref().unwrap_or_default();
        match self.link.as_deref() {
            Some(link) if is_link_shared => format!("{link}\n{title}"),
            Some(link) => link.to_owned(),
            None => title.to_owned(),
        }
    }
}

fn is_same(one: &Draft, other: &Draft) -> bool {
    (&one.url, &one.title, &one.text) == (&other.url, &other.title, &other.text)
}
