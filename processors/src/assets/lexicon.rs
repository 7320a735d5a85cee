//! The strings of a table, each with what it may stand for, and the automaton that finds them.

use std::collections::HashMap;

use aho_corasick::automaton::{Automaton, StateID};
use aho_corasick::dfa::DFA;
use aho_corasick::{Anchored, MatchKind, StartKind};

use super::asset::Asset;
use super::file::AssetTableError;
use super::table::AssetTable;
use super::text::{FOLD, glued};

/// What a string may stand for, of one asset or of none.
#[derive(Clone, Debug, Default)]
pub(super) struct Entry {
    /// Index of the asset in the table.
    pub(super) asset: Option<u32>,
    /// Spellings that count by themselves.
    pub(super) tickers: Vec<String>,
    /// Spellings that need context.
    pub(super) ambiguous: Vec<String>,
    /// Spellings that need evidence beside them.
    pub(super) beside: Vec<String>,
    /// It is a ticker, of whatever strength.
    pub(super) ticker: bool,
    /// It is written small too.
    pub(super) lower: bool,
    pub(super) name: bool,
    pub(super) proper: bool,
    pub(super) common: bool,
    pub(super) word: bool,
    pub(super) ens: bool,
    /// A word that gives a text context.
    pub(super) context: bool,
    /// Assets whose tickers are those of this company's shares.
    pub(super) companies: Vec<u32>,
}

/// A name that counts with a wrong letter too.
#[derive(Clone, Debug)]
struct Misspelt {
    name: String,
    asset: u32,
}

/// The asset of a name with a wrong letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Slip {
    pub(super) asset: u32,
    /// The name is so long that it can hardly be another word.
    pub(super) long: bool,
}

/// An address, and the asset that it gives away.
#[derive(Clone, Debug)]
struct Contract {
    exact: String,
    asset: u32,
}

/// Everything that is looked for.
#[derive(Clone, Debug)]
pub(super) struct Lexicon {
    /// Strings that begin with an ASCII character, and the others: apart, the first has fewer kinds of bytes and half the size.
    tries: [Trie; 2],
    entries: Vec<Entry>,
    contracts: HashMap<String, Contract>,
    /// By first letter.
    typos: [Vec<Misspelt>; 26],
    /// Whether each asset shares its ticker with a company.
    listed: Vec<bool>,
    /// Which classes the first three bytes of a string may have, a bit for each triple: it separates most words, in
    /// a table that stays in the first cache.
    beginnings: Vec<u64>,
}

/// Finds strings that begin at a place.
#[derive(Clone, Debug)]
struct Trie {
    dfa: DFA,
    start: StateID,
    /// The entry of each of its patterns.
    entries: Vec<u32>,
}

impl Trie {
    fn new(strings: &[String], ascii: bool) -> Result<Self, AssetTableError> {
        let malformed = |error: &dyn std::error::Error| AssetTableError::Malformed(error.to_string());
        let chosen =
            || strings.iter().zip(0_u32..).filter(|(string, _)| string.starts_with(|c: char| c.is_ascii()) == ascii);
        let dfa = DFA::builder()
            .match_kind(MatchKind::LeftmostLongest)
            .start_kind(StartKind::Anchored)
            .build(chosen().map(|(string, _)| string))
            .map_err(|error| malformed(&error))?;
        let start = dfa.start_state(Anchored::Yes).map_err(|error| malformed(&error))?;
        Ok(Self { dfa, start, entries: chosen().map(|(_, entry)| entry).collect() })
    }
}

/// Names up to this many letters need context where a letter is wrong.
const SHORT_NAME: usize = 6;

/// The place of a letter in the alphabet.
fn letter(byte: u8) -> Option<usize> {
    byte.is_ascii_alphabetic().then(|| usize::from(byte.to_ascii_lowercase() - b'a'))
}

/// Whether one letter inside `name` is missing, wrong or too much in `word`, or two are swapped.
fn one_letter_off(word: &[u8], name: &[u8]) -> bool {
    let same = |(one, other): &(&u8, &u8)| one.eq_ignore_ascii_case(other);
    if word.len().abs_diff(name.len()) > 1 || !word.last().zip(name.last()).is_some_and(|pair| same(&pair)) {
        return false;
    }
    let ahead = word.iter().zip(name).take_while(same).count();
    let room = word.len().min(name.len()).saturating_sub(ahead);
    let behind = word.iter().rev().zip(name.iter().rev()).take(room).take_while(same).count();
    match (&word[ahead..word.len() - behind], &name[ahead..name.len() - behind]) {
        ([_], [] | [_]) | ([], [_]) => ahead > 0,
        ([one, two], [first, second]) => ahead > 0 && same(&(one, second)) && same(&(two, first)),
        _ => false,
    }
}

/// Shortest and longest address.
pub(super) const CONTRACT_BYTES: std::ops::RangeInclusive<usize> = 32..=64;

impl Lexicon {
    pub(super) fn new(table: &AssetTable) -> Result<Self, AssetTableError> {
        let mut strings = Strings::default();
        let mut contracts = HashMap::new();
        let mut typos = <[Vec<Misspelt>; 26]>::default();
        for (asset, index) in table.assets().iter().zip(0_u32..) {
            strings.add_asset(asset, index);
            for name in &asset.typos {
                if let Some(of_letter) = name.bytes().next().and_then(letter).and_then(|first| typos.get_mut(first)) {
                    of_letter.push(Misspelt { name: name.clone(), asset: index });
                }
            }
            for exact in &asset.contracts {
                contracts.insert(exact.to_ascii_lowercase(), Contract { exact: exact.clone(), asset: index });
            }
        }
        for word in &table.context().words {
            strings.at(word).context = true;
        }
        for phrase in &table.context().never {
            strings.at(phrase);
        }
        let tries = [Trie::new(&strings.texts, true)?, Trie::new(&strings.texts, false)?];
        let beginnings = beginnings(&strings.texts);
        let listed = table.assets().iter().map(|asset| !asset.companies.is_empty()).collect();
        Ok(Self { tries, entries: strings.entries, contracts, typos, listed, beginnings })
    }

    /// Whether a string may begin at `at`.
    #[inline]
    pub(super) fn may_begin(&self, bytes: &[u8], at: usize) -> bool {
        let class = |offset: usize| bytes.get(at + offset).map_or(0, |byte| CLASS[usize::from(*byte)]);
        let triple = place(class(0), class(1), class(2));
        self.beginnings[triple / 64] & (1 << (triple % 64)) != 0
    }

    /// Calls `found` with the end and the entry of every string that begins at `at`, shorter ones first.
    #[inline]
    pub(super) fn walk(&self, bytes: &[u8], at: usize, mut found: impl FnMut(usize, u32)) {
        let Some(first) = bytes.get(at) else { return };
        let Trie { dfa, start, entries } = &self.tries[usize::from(*first >= 0x80)];
        let mut state = *start;
        for (byte, end) in bytes[at..].iter().zip(at + 1..) {
            state = dfa.next_state(Anchored::Yes, state, FOLD[usize::from(*byte)]);
            if !dfa.is_special(state) {
                continue;
            }
            if dfa.is_dead(state) {
                return;
            }
            if dfa.is_match(state) {
                for index in 0..dfa.match_len(state) {
                    let pattern = dfa.match_pattern(state, index);
                    // The automaton also lists strings that end here and begin later.
                    if dfa.pattern_len(pattern) == end - at {
                        found(end, entries[pattern.as_usize()]);
                    }
                }
            }
        }
    }

    pub(super) fn entry(&self, index: u32) -> &Entry {
        &self.entries[index as usize]
    }

    /// Whether a company's shares have the ticker of an asset.
    pub(super) fn is_listed(&self, asset: u32) -> bool {
        self.listed.get(asset as usize).is_some_and(|listed| *listed)
    }

    /// The asset of a name in which a letter is missing, wrong or too much, or two are swapped; the first and the last are right.
    pub(super) fn misspelt(&self, word: &[u8]) -> Option<Slip> {
        let of_letter = self.typos.get(word.first().copied().and_then(letter)?)?;
        let slip = of_letter.iter().find(|one| one_letter_off(word, one.name.as_bytes()))?;
        Some(Slip { asset: slip.asset, long: slip.name.len() > SHORT_NAME })
    }

    /// The asset of an address.
    pub(super) fn contract(&self, word: &[u8]) -> Option<u32> {
        if !CONTRACT_BYTES.contains(&word.len()) {
            return None;
        }
        let word = std::str::from_utf8(word).ok()?;
        let known = self.contracts.get(&word.to_ascii_lowercase())?;
        (known.exact == word || known.exact.starts_with("0x")).then_some(known.asset)
    }
}

/// Letters and digits have a class each, all other bytes one together.
const CLASSES: usize = 37;
const CLASS: [u8; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = match FOLD[byte] {
            letter @ b'a'..=b'z' => letter - b'a' + 1,
            digit @ b'0'..=b'9' => digit - b'0' + 27,
            _ => 0,
        };
        byte += 1;
    }
    table
};

fn place(first: u8, second: u8, third: u8) -> usize {
    (usize::from(first) * CLASSES + usize::from(second)) * CLASSES + usize::from(third)
}

fn beginnings(texts: &[String]) -> Vec<u64> {
    let mut bits = vec![0_u64; (CLASSES * CLASSES * CLASSES).div_ceil(64)];
    for text in texts {
        let classes: Vec<u8> = text.bytes().take(3).map(|byte| CLASS[usize::from(byte)]).collect();
        // What follows a string of one letter is no letter; what follows one of two may be (`OPUSDT`).
        let (second, third) = match classes[..] {
            [] => continue,
            [_] => (0..=0, 0..=CLASSES as u8 - 1),
            [_, second] => (second..=second, 0..=CLASSES as u8 - 1),
            [_, second, third, ..] => (second..=second, third..=third),
        };
        for (second, third) in second.flat_map(|second| third.clone().map(move |third| (second, third))) {
            let triple = place(classes[0], second, third);
            bits[triple / 64] |= 1 << (triple % 64);
        }
    }
    bits
}

#[derive(Default)]
struct Strings {
    texts: Vec<String>,
    entries: Vec<Entry>,
    index: HashMap<String, usize>,
}

impl Strings {
    /// The entry of a string, made if it is new.
    fn at(&mut self, string: &str) -> &mut Entry {
        let text = string.to_ascii_lowercase().replace('-', " ");
        let at = *self.index.entry(text).or_insert_with_key(|text| {
            self.texts.push(text.clone());
            self.entries.push(Entry::default());
            self.entries.len() - 1
        });
        &mut self.entries[at]
    }

    fn of(&mut self, string: &str, asset: u32) -> &mut Entry {
        let entry = self.at(string);
        entry.asset = Some(asset);
        entry
    }

    fn add_asset(&mut self, asset: &Asset, index: u32) {
        for ticker in asset.all_tickers() {
            self.of(ticker, index).ticker = true;
        }
        for ticker in &asset.tickers {
            self.of(ticker, index).tickers.push(ticker.clone());
        }
        for ticker in &asset.ambiguous {
            self.of(ticker, index).ambiguous.push(ticker.clone());
        }
        for ticker in &asset.beside {
            self.of(ticker, index).beside.push(ticker.clone());
        }
        for small in &asset.lower {
            self.of(small, index).lower = true;
        }
        for (list, set) in [
            (&asset.names, (|entry| entry.name = true) as fn(&mut Entry)),
            (&asset.proper, |entry| entry.proper = true),
            (&asset.common, |entry| entry.common = true),
            (&asset.words, |entry| entry.word = true),
        ] {
            for name in list {
                set(self.of(name, index));
                if name.contains([' ', '-']) {
                    set(self.of(&glued(name), index));
                }
            }
        }
        for name in &asset.ens {
            self.of(name, index).ens = true;
        }
        for company in &asset.companies {
            self.at(company).companies.push(index);
        }
    }
}
