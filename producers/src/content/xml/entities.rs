//! Entities that a document declares itself.
//!
//! Only those whose value is plain text or one character reference count: one that names others is how bombs are built, one that names a file
//! or an address is how secrets are stolen. What they add to a document is capped.

use std::cell::Cell;
use std::collections::HashMap;

use super::decode;
use super::token::{Token, TokenKind};

/// Entities of one document that are known.
const MAX_ENTITIES: usize = 256;

/// Longest value, in bytes.
const MAX_VALUE: usize = 1024;

/// What all of them may add to a document, in bytes.
const MAX_EXPANSION: usize = 1024 * 1024;

/// The entities of one document.
#[derive(Debug, Default)]
pub(super) struct Entities {
    values: HashMap<String, String>,
    left: Cell<usize>,
}

impl Entities {
    /// Reads the internal subset of the document type declaration.
    pub(super) fn read(text: &str, tokens: &[Token]) -> Self {
        let mut values = HashMap::new();
        let is_doctype = |token: &&Token| {
            token.kind == TokenKind::Skip
                && text[token.start..].get(..9).is_some_and(|t| t.eq_ignore_ascii_case("<!doctype"))
        };
        let subset = tokens.iter().take(16).find(is_doctype).map(|token| &text[token.start..token.end]);
        for declaration in subset.unwrap_or_default().split("<!ENTITY").skip(1).take(MAX_ENTITIES) {
            if let Some((name, value)) = read(declaration) {
                // The first declaration binds (XML 1.0, 4.2).
                values.entry(name.to_owned()).or_insert(value);
            }
        }
        Self { values, left: Cell::new(MAX_EXPANSION) }
    }

    /// What an entity stands for, as long as there is room for more.
    pub(super) fn value(&self, name: &str) -> Option<String> {
        if self.values.is_empty() {
            return None;
        }
        let value = self.values.get(name)?;
        self.left.set(self.left.get().checked_sub(value.len())?);
        Some(value.clone())
    }
}

fn read(declaration: &str) -> Option<(&str, String)> {
    let declaration = declaration.trim_start();
    let (name, rest) = declaration.split_at(declaration.find(char::is_whitespace)?);
    let rest = rest.trim_start();
    let quote = rest.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    let (value, _) = rest[1..].split_once(quote)?;
    if value.len() > MAX_VALUE || matches!(name, "amp" | "lt" | "gt" | "quot" | "apos" | "%") {
        return None;
    }
    let value = if value.contains('&') { decode::references(value) } else { value.to_owned() };
    (!value.contains('&')).then_some((name, value))
}

#[cfg(test)]
mod tests {
    use super::super::token::tokens;
    use super::*;

    #[test]
    fn plain_values_are_known_and_nothing_else() {
        let text = "<?xml version='1.0'?><!DOCTYPE rss PUBLIC 'x' 'y' [<!ELEMENT a ANY> <!ENTITY hello \"Hello, world\">\n<!ENTITY e.1 '&#233;'>\
                    <!ENTITY hello 'again'><!ENTITY bomb '&hello;&hello;'><!ENTITY file SYSTEM 'file:///etc/passwd'><!ENTITY % p 'q'>]><rss/>";
        let entities = Entities::read(text, &tokens(text).0);
        assert_eq!(entities.value("hello").as_deref(), Some("Hello, world"));
        assert_eq!(entities.value("e.1").as_deref(), Some("é"));
        for name in ["bomb", "file", "p", "%", "other"] {
            assert_eq!(entities.value(name), None, "{name}");
        }
    }

    #[test]
    fn what_they_add_is_capped() {
        let text = format!("<!DOCTYPE a [<!ENTITY x '{}'>]><a/>", "y".repeat(1000));
        let entities = Entities::read(&text, &tokens(&text).0);
        let expanded = (0..1_000_000).filter_map(|_| entities.value("x")).count();
        assert_eq!(expanded, MAX_EXPANSION / 1000);
    }
}
