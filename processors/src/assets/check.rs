//! What a table must not say.

use std::collections::{HashMap, HashSet};

use super::asset::{Asset, Context};
use super::text::glued;

/// Where each asset of a file is, for messages.
#[derive(Debug, Default)]
pub(super) struct Lines(HashMap<String, usize>);

impl Lines {
    pub(super) fn has(&self, id: &str) -> bool {
        self.0.contains_key(id)
    }

    pub(super) fn set(&mut self, id: &str, line: usize) {
        self.0.insert(id.to_owned(), line);
    }

    fn of(&self, id: &str) -> String {
        self.0.get(id).map_or_else(String::new, |line| format!("line {line}: "))
    }
}

/// Every mistake, with the line of the asset if it comes from the file that `lines` is of.
pub(super) fn mistakes(assets: &[Asset], context: &Context, lines: &Lines) -> Vec<String> {
    let mut found = Vec::new();
    let mut owners: HashMap<String, &str> = HashMap::new();
    let mut ids: HashSet<&str> = HashSet::new();
    if assets.is_empty() {
        found.push("no asset".to_owned());
    }
    for asset in assets {
        let (id, at) = (asset.id.as_str(), lines.of(&asset.id));
        if !ids.insert(id) {
            found.push(format!("{at}asset {id} is listed twice"));
        }
        if !asset.id.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit()) || id.is_empty() {
            found.push(format!("{at}asset id {id:?} is not upper-case ASCII letters and digits"));
        }
        of_strings(asset, &at, &mut found);
        if asset.all_tickers().next().is_none() && asset.all_names().next().is_none() {
            found.push(format!("{at}asset {id} has neither a ticker nor a name"));
        }
        let glued = asset.all_names().filter(|name| name.contains([' ', '-'])).map(|name| glued(name));
        let folded = asset.all_tickers().chain(&asset.contracts).map(|string| string.to_ascii_lowercase());
        for string in folded.chain(asset.all_names().cloned()).chain(glued).chain(asset.ens.iter().cloned()) {
            match owners.get(string.as_str()) {
                Some(other) if *other != id => found.push(format!("{at}{string:?} belongs to both {other} and {id}")),
                _ => drop(owners.insert(string, id)),
            }
        }
    }
    let words = context.words.iter().chain(&context.after).chain(&context.moves).chain(&context.before);
    for word in words
        .chain(&context.between)
        .chain(&context.on)
        .chain(&context.joins)
        .chain(&context.auxiliary)
        .chain(&context.never)
    {
        if !is_name(word) {
            found
                .push(format!("context: {word:?} is not lower case, or does not begin and end with a letter or digit"));
        }
    }
    found
}

fn of_strings(asset: &Asset, at: &str, found: &mut Vec<String>) {
    let id = &asset.id;
    for ticker in asset.all_tickers() {
        let plain = !ticker.is_empty() && ticker.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if !plain || !ticker.bytes().any(|byte| byte.is_ascii_uppercase()) {
            found.push(format!("{at}asset {id}: ticker {ticker:?} is not ASCII letters and digits with a capital"));
        }
    }
    for name in asset.all_names().chain(&asset.companies) {
        if !is_name(name) {
            found.push(format!(
                "{at}asset {id}: name {name:?} is not lower case, or does not begin and end with a letter or digit"
            ));
        }
    }
    for typo in &asset.typos {
        if !asset.names.contains(typo) || typo.len() < 6 || !typo.bytes().all(|byte| byte.is_ascii_lowercase()) {
            found.push(format!("{at}asset {id}: typos {typo:?} is none of its names of six letters a to z or more"));
        }
    }
    for small in &asset.lower {
        if !asset.all_tickers().any(|ticker| ticker.to_ascii_lowercase() == *small) {
            found.push(format!("{at}asset {id}: lower {small:?} is none of its tickers in lower case"));
        }
    }
    for name in &asset.ens {
        if !is_name(name) || !name.ends_with(".eth") {
            found.push(format!("{at}asset {id}: {name:?} is not a lower-case name that ends in .eth"));
        }
    }
    for contract in &asset.contracts {
        let hex = contract
            .strip_prefix("0x")
            .is_some_and(|rest| rest.len() == 40 && rest.bytes().all(|byte| byte.is_ascii_hexdigit()));
        let base58 = (32..=64).contains(&contract.len()) && contract.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if !hex && (!base58 || contract.starts_with("0x")) {
            found.push(format!(
                "{at}asset {id}: contract {contract:?} is neither 0x and 40 hex digits nor 32 to 64 letters and digits"
            ));
        }
    }
}

fn is_name(name: &str) -> bool {
    let edges = [name.chars().next(), name.chars().next_back()];
    name.bytes().all(|byte| !byte.is_ascii_uppercase() && byte != b'\n')
        && edges.iter().all(|edge| edge.is_some_and(char::is_alphanumeric))
}
