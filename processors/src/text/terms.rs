//! The terms of a text: words, phrases of two words, and cashtags, for what is counted by [`trends::terms`](crate::trends).
//!
//! ```text
//! "$UST lost its peg. LUNA holders panic" ─▶ "$ust lost its peg\nluna holders panic" ─▶ $ust, lost, its, peg, lost its, ..., luna holders, holders panic
//! ```
//!
//! A word is a run of letters and digits in lower case ([`letters`](super::letters)), of 3 letters or more (2 in scripts that write more in one), at least one
//! of them no digit. Links and handles are none, apostrophes go. A phrase are two words with nothing but blanks or hyphens between them. There is no list of
//! stop words: what everybody always writes is never significant.

use std::collections::BTreeSet;

use vigie_schemas::TermKind;

use super::fingerprint::is_link;
use super::letters::fold;

/// Longer ones are addresses, hashes, or sentences of scripts without blanks.
const MAX_CHARS: usize = 24;
/// Words of a post that are looked at. An excerpt has fewer.
const MAX_WORDS: usize = 120;

/// The words of a text that may be terms: a run of neighbours a line.
pub fn runs(text: &str) -> String {
    let mut runs = Runs::default();
    for line in fold(text).lines() {
        for token in line.split_whitespace() {
            if is_link(token) || token.trim_start_matches(['(', '"', '.']).starts_with('@') {
                runs.end();
                continue;
            }
            let mut word = String::new();
            for c in token.chars().flat_map(char::to_lowercase) {
                match c {
                    '\'' | '’' => {}
                    _ if c.is_alphanumeric() => word.push(c),
                    '$' if word.is_empty() => word.push(c),
                    _ => {
                        runs.push(&std::mem::take(&mut word));
                        if c != '-' {
                            runs.end();
                        }
                    }
                }
            }
            runs.push(&word);
        }
        runs.end();
    }
    runs.text.truncate(runs.text.trim_end().len());
    runs.text
}

#[derive(Default)]
struct Runs {
    text: String,
    words: usize,
}

impl Runs {
    fn push(&mut self, word: &str) {
        if word.is_empty() || word == "$" {
            return;
        }
        if self.words == MAX_WORDS || !is_term(word) {
            return self.end();
        }
        if !self.text.is_empty() && !self.text.ends_with('\n') {
            self.text.push(' ');
        }
        self.text.push_str(word);
        self.words += 1;
    }

    fn end(&mut self) {
        if !self.text.is_empty() && !self.text.ends_with('\n') {
            self.text.push('\n');
        }
    }
}

fn is_term(word: &str) -> bool {
    if let Some(ticker) = word.strip_prefix('$') {
        return ticker.len() <= 12 && ticker.starts_with(char::is_alphabetic);
    }
    let chars = word.chars().count();
    let least = if word.is_ascii() { 3 } else { 2 };
    (least..=MAX_CHARS).contains(&chars) && word.chars().any(char::is_alphabetic)
}

/// The terms in the [`runs`] of a text, each once.
pub fn terms(runs: &str) -> BTreeSet<&str> {
    let mut terms = BTreeSet::new();
    for run in runs.lines() {
        let mut before = None;
        let mut start = 0;
        for word in run.split(' ') {
            terms.insert(word);
            if let Some(before) = before.replace(start) {
                terms.insert(&run[before..start + word.len()]);
            }
            start += word.len() + 1;
        }
    }
    terms
}

/// What a term is.
pub fn kind(term: &str) -> TermKind {
    match term {
        _ if term.contains(' ') => TermKind::Phrase,
        _ if term.starts_with('$') => TermKind::Cashtag,
        _ => TermKind::Word,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_end_where_a_sentence_a_link_or_a_number_does() {
        let text = "$UST lost its peg. LUNA-holders panic: https://t.co/x 2022 @do_kwon don’t ＬＵＮＡ $5 a1 买BTC吧";
        assert_eq!(runs(text), "$ust lost its peg\nluna holders panic\ndont luna\n买btc吧");
        assert_eq!(runs("... 1 2 $"), "");
    }

    #[test]
    fn terms_are_words_and_neighbours_each_once() {
        let found: Vec<_> = terms("the fall of luna\nthe fall\n$xyz").into_iter().collect();
        assert_eq!(found, ["$xyz", "fall", "fall of", "luna", "of", "of luna", "the", "the fall"]);
        assert_eq!(terms("").into_iter().collect::<Vec<_>>(), Vec::<&str>::new());
        let kinds = ["the fall", "$xyz", "fall"].map(|term| kind(term).as_str());
        assert_eq!(kinds, ["phrase", "cashtag", "word"]);
    }
}
