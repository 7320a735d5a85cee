//! Writes the sample posts by the grammar of `phrases.txt`.

use std::collections::HashMap;
use std::sync::LazyLock;

use rand::Rng;
use rand::rngs::SmallRng;

use crate::assets::{ASSETS, pick_asset};

/// The alternatives of each section.
static GRAMMAR: LazyLock<HashMap<&str, Vec<&str>>> = LazyLock::new(|| parse(include_str!("phrases.txt")));

/// What a post thinks of its asset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tone {
    Good,
    Plain,
    Bad,
}

/// Writes one post.
pub(crate) struct Writer<'a> {
    pub(crate) tone: Tone,
    pub(crate) french: bool,
    pub(crate) asset: usize,
    pub(crate) random: &'a mut SmallRng,
}

impl Writer<'_> {
    pub(crate) fn title(&mut self) -> String {
        capital(&self.section("title"))
    }

    /// What happened and why it matters, a paragraph each.
    pub(crate) fn story(&mut self, sentences: usize) -> String {
        let sentences =
            (0..sentences).map(|n| if n % 2 == 0 { self.event() } else { capital(&self.section("reason")) });
        sentences.collect::<Vec<_>>().join("\n")
    }

    /// An answer to somebody, often with a personal opening or close.
    pub(crate) fn comment(&mut self) -> String {
        if self.french {
            return if self.random.random_bool(0.5) { self.story(1) } else { self.story(2) };
        }
        let remark = if self.random.random_bool(0.6) { self.section("comment") + "." } else { self.event() };
        let mut parts = vec![capital(&remark)];
        if self.random.random_bool(0.5) {
            parts.insert(0, self.expand("{open}"));
        }
        if self.random.random_bool(0.4) {
            parts.push(capital(&self.section("reason")));
        }
        if self.random.random_bool(0.4) {
            parts.push(self.expand("{close}"));
        }
        parts.join(" ")
    }

    fn event(&mut self) -> String {
        let event = self.section("event");
        let asks = ["can ", "does ", "quelqu'un "].iter().any(|word| event.starts_with(word));
        capital(&event) + if asks { "?" } else { "." }
    }

    /// A section of this mood and language.
    fn section(&mut self, part: &str) -> String {
        let tone = match self.tone {
            Tone::Good => "good",
            Tone::Plain => "plain",
            Tone::Bad => "bad",
        };
        self.expand(&format!("{{{}{tone} {part}}}", if self.french { "fr " } else { "" }))
    }

    fn expand(&mut self, template: &str) -> String {
        let mut text = String::new();
        let mut rest = template;
        while let Some((before, (name, after))) =
            rest.split_once('{').and_then(|(before, slot)| Some((before, slot.split_once('}')?)))
        {
            text.push_str(before);
            let filled = self.fill(name);
            text.push_str(&filled);
            rest = after;
        }
        text + rest
    }

    fn fill(&mut self, name: &str) -> String {
        if let Some((low, high)) = range(name) {
            return self.random.random_range(low..=high).to_string();
        }
        match name {
            "A" => ASSETS[self.asset].0.to_owned(),
            "T" => ASSETS[self.asset].1.to_owned(),
            "B" => {
                let other = pick_asset(self.random);
                ASSETS[if other == self.asset { (other + 1) % ASSETS.len() } else { other }].0.to_owned()
            }
            _ => {
                let alternatives = GRAMMAR.get(name).map(Vec::as_slice).unwrap_or_default();
                let Some(last) = alternatives.len().checked_sub(1) else { return String::new() };
                let template = alternatives[self.random.random_range(0..=last)];
                self.expand(template)
            }
        }
    }
}

/// Some write often, most seldom.
pub(crate) fn author(random: &mut SmallRng) -> String {
    let skew = random.random::<f64>().powi(2);
    let n = (skew * (FIRST.len() * LAST.len()) as f64) as usize;
    format!("{}_{}", FIRST[n % FIRST.len()], LAST[(n / FIRST.len()) % LAST.len()])
}

/// `2-40`
fn range(name: &str) -> Option<(u32, u32)> {
    let (low, high) = name.split_once('-')?;
    Some((low.parse().ok()?, high.parse().ok()?))
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

fn parse(text: &'static str) -> HashMap<&'static str, Vec<&'static str>> {
    let mut sections: HashMap<&str, Vec<&str>> = HashMap::new();
    let mut current = "";
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        match line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            Some(name) => current = name,
            None => sections.entry(current).or_default().extend(line.split(" | ").map(str::trim)),
        }
    }
    sections
}

const FIRST: [&str; 24] = [
    "amber", "basalt", "cedar", "delta", "ember", "fjord", "garnet", "hazel", "indigo", "juniper", "kelp", "lunar",
    "maple", "nimbus", "ochre", "pepper", "quartz", "raven", "saffron", "tundra", "umber", "velvet", "willow",
    "zephyr",
];

const LAST: [&str; 20] = [
    "anchor", "badger", "compass", "drifter", "falcon", "gale", "harbor", "island", "keeper", "lantern", "mariner",
    "north", "otter", "pilot", "quill", "reef", "sailor", "tide", "voyager", "wren",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_slot_of_the_grammar_has_something_to_fill_it() {
        for (section, alternatives) in GRAMMAR.iter() {
            assert!(!section.is_empty() && !alternatives.is_empty());
            for slot in alternatives.iter().flat_map(|text| text.split('{').skip(1)) {
                let name = slot.split_once('}').unwrap_or_else(|| panic!("[{section}] {slot}: no end")).0;
                let known = ["A", "T", "B"].contains(&name) || GRAMMAR.contains_key(name);
                assert!(known || range(name).is_some_and(|(low, high)| low < high), "[{section}] {{{name}}}");
            }
        }
        for tone in ["good", "plain", "bad", "fr good", "fr plain", "fr bad"] {
            assert!(["title", "event", "reason"].iter().all(|part| GRAMMAR.contains_key(&*format!("{tone} {part}"))));
        }
    }
}
