//! The keys of a TOML table, taken out one by one, so that every mistake is found and named with its line.

use std::fmt::Display;

use serde::de::DeserializeOwned;
use toml::Spanned;
use toml::de::{DeTable, DeValue, ValueDeserializer};
use vigie_daemon::Mistake;

/// Longest part of a wrong value that is shown.
const SHOWN: usize = 80;

/// A table, and what was found wrong in it so far.
pub(super) struct Fields<'a> {
    text: &'a str,
    name: String,
    /// Where the table begins.
    at: usize,
    left: DeTable<'a>,
    /// The keys that were asked for, each with the place of its value or of the table.
    known: Vec<(&'static str, usize)>,
    mistakes: Vec<(usize, Mistake)>,
}

impl<'a> Fields<'a> {
    /// The keys of `table`, which begins at this byte of `text`.
    pub(super) fn new(text: &'a str, name: String, at: usize, table: DeTable<'a>) -> Self {
        Self { text, name, at, left: table, known: Vec::new(), mistakes: Vec::new() }
    }

    /// The value of a key; `None` if it is not there, or of another type.
    pub(super) fn take<T: DeserializeOwned>(&mut self, key: &'static str, expected: &str) -> Option<T> {
        let value = self.remove(key)?;
        let raw = self.text.get(value.span()).unwrap_or_default();
        let raw: String = raw.lines().next().unwrap_or_default().chars().take(SHOWN).collect();
        let found = match key {
            // Who wrote the secret itself there does not want to see it in a log.
            "key" => "another value, not shown here".to_owned(),
            "url" => without_secrets(&raw),
            _ => raw,
        };
        T::deserialize(ValueDeserializer::from(value)).map_err(|_| self.wrong(key, found, expected)).ok()
    }

    /// As [`Fields::take`], for a key that must be there.
    pub(super) fn require<T: DeserializeOwned>(&mut self, key: &'static str, expected: &str) -> Option<T> {
        if !self.left.contains_key(key) {
            self.wrong(key, "missing", expected);
        }
        self.take(key, expected)
    }

    /// A switch, which is off unless it is there.
    pub(super) fn flag(&mut self, key: &'static str) -> bool {
        self.take(key, "true or false").unwrap_or_default()
    }

    /// A table in the table.
    pub(super) fn table(&mut self, key: &'static str) -> Option<Fields<'a>> {
        let value = self.remove(key)?;
        let (at, name) = (value.span().start, format!("{}: {key}", self.name));
        match value.into_inner() {
            DeValue::Table(table) => Some(Fields::new(self.text, name, at, table)),
            _ => {
                self.wrong(key, "no table", "a table");
                None
            }
        }
    }

    /// The value of a key is not what it should be.
    pub(super) fn wrong(&mut self, key: &str, found: impl Display, expected: &str) {
        self.report(key, Mistake::new(key, found, expected));
    }

    /// A mistake that has to do with the value of a key.
    pub(super) fn report(&mut self, key: &str, mistake: Mistake) {
        let at = self.known.iter().find(|(known, _)| *known == key).map_or(self.at, |(_, at)| *at);
        self.report_at(at, mistake);
    }

    fn report_at(&mut self, at: usize, mistake: Mistake) {
        let mistake = if self.name.is_empty() { mistake } else { mistake.within(&self.name) };
        self.mistakes.push((at, mistake.within(line(self.text, at))));
    }

    fn remove(&mut self, key: &'static str) -> Option<Spanned<DeValue<'a>>> {
        let value = self.left.remove(key);
        self.known.push((key, value.as_ref().map_or(self.at, |value| value.span().start)));
        value
    }

    /// Every mistake, those of a table within and keys that nobody asked for included, in the order of the lines.
    pub(super) fn finish(mut self, within: Option<Fields<'a>>) -> Vec<Mistake> {
        self.close();
        if let Some(mut within) = within {
            within.close();
            self.mistakes.append(&mut within.mistakes);
        }
        self.mistakes.sort_by_key(|(at, _)| *at);
        self.mistakes.into_iter().map(|(_, mistake)| mistake).collect()
    }

    fn close(&mut self) {
        let names: Vec<String> = self.known.iter().map(|(key, _)| format!("`{key}`")).collect();
        let expected = if names.is_empty() { "[[source]]".to_owned() } else { format!("one of {}", names.join(", ")) };
        for (key, _) in std::mem::take(&mut self.left) {
            self.report_at(key.span().start, Mistake::new(key.get_ref().as_ref(), "unknown key", &expected));
        }
    }
}

/// The number of the line with this byte, in words.
pub(super) fn line(text: &str, at: usize) -> String {
    let before = text.as_bytes().get(..at).unwrap_or_default();
    format!("line {}", before.iter().filter(|byte| **byte == b'\n').count() + 1)
}

/// An address without what may be secret in it: user, password, query.
pub(super) fn without_secrets(address: &str) -> String {
    let plain = address.split(['?', '#']).next().unwrap_or_default();
    match plain.split_once("://") {
        Some((scheme, rest)) => format!("{scheme}://{}", rest.rsplit_once('@').map_or(rest, |(_, rest)| rest)),
        None => plain.to_owned(),
    }
}
