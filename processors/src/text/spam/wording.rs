//! The features of a post for the weights of [`SpamWeights`](crate::inference::SpamWeights): words, pairs of neighbours, hashtags as words, how
//! much there is of what, and the reasons that hold. Links, handles and cashtags are one word each, digits are one, so that no account, site or
//! coin is learnt by name. `models/spam/train.py` gets them from here, by `examples/judge.rs`.

use super::Facts;
use crate::inference::SLOTS;
use crate::text::fingerprint::{is_emoji, is_link};

/// Words that are looked at.
const MOST: usize = 160;

// Kinds of features, and words that stand for others.
const WORD: u32 = 1;
const PAIR: u32 = 2;
const SHAPE: u32 = 3;
const REASON: u32 = 4;
const EDGE: u32 = 5;
const LINK: u32 = 6;
const HANDLE: u32 = 7;
const CASHTAG: u32 = 8;
const TAG: u32 = 9;

/// The slots of a post's features, each once, in ascending order.
pub(super) fn slots(text: &str, facts: &Facts<'_>, reasons: &[&str], tenths: usize) -> Vec<u32> {
    let mut words = Words::default();
    for token in text.split_whitespace() {
        if words.found.len() > MOST {
            break;
        }
        words.take(token);
    }
    let mut slots: Vec<u32> = words.found.iter().chain(&words.tags).map(|word| slot(WORD, *word, 0)).collect();
    let edged = [&[EDGE], words.found.as_slice(), &[EDGE]].concat();
    slots.extend(edged.windows(2).map(|pair| slot(PAIR, pair[0], pair[1])));
    slots.extend(reasons.iter().map(|reason| slot(REASON, hash(reason.chars()), 0)));
    slots.extend((0..).zip(shape(text, facts, tenths)).map(|(number, value)| slot(SHAPE, number, value)));
    slots.sort_unstable();
    slots.dedup();
    slots
}

fn shape(text: &str, facts: &Facts<'_>, tenths: usize) -> [u32; 19] {
    let count = |wanted: fn(&char) -> bool| text.chars().filter(wanted).count();
    let [links, few] = [facts.links.min(3), facts.links.min(2)];
    let [handles, hashtags, cashtags] = [facts.handles, facts.hashtags, facts.cashtags.len()].map(step);
    let [words, numbers] = [facts.words, facts.numbers].map(step);
    let all = facts.links + facts.handles + facts.tags() + facts.words;
    [
        links,
        handles,
        hashtags,
        cashtags,
        words,
        numbers,
        10 * facts.numbers / facts.words.max(1),
        5 * facts.capitals / facts.letters.max(1),
        step(count(|c| is_emoji(*c))),
        step(count(|c| *c == '!')),
        step(count(|c| *c == '\n')),
        6 * facts.tags() / all.max(1),
        few * 16 + hashtags,
        few * 16 + words,
        few * 16 + handles,
        hashtags * 16 + words,
        cashtags * 16 + words,
        handles * 16 + words,
        tenths.min(10),
    ]
    .map(|value| value as u32)
}

/// Which of some ranges a count is in.
fn step(count: usize) -> usize {
    [0, 1, 2, 3, 5, 8, 12, 20, 40, 80, 160].iter().take_while(|most| count > **most).count()
}

/// The words of a post, by their hashes.
#[derive(Default)]
struct Words {
    found: Vec<u32>,
    /// Hashtags once more, as words.
    tags: Vec<u32>,
}

impl Words {
    fn take(&mut self, token: &str) {
        let rest = token.get(1..).filter(|rest| rest.contains(char::is_alphanumeric));
        match (token.chars().next(), rest) {
            _ if is_link(token) => self.found.push(LINK),
            (Some('@'), Some(_)) => {
                if self.found.last() != Some(&HANDLE) {
                    self.found.push(HANDLE);
                }
            }
            (Some('$'), Some(rest)) if rest.starts_with(|c: char| c.is_ascii_alphabetic()) => self.found.push(CASHTAG),
            (Some('#'), Some(rest)) => {
                let word = hash(plain(rest.trim_matches(|c: char| !c.is_alphanumeric())));
                self.tags.push(word);
                self.found.push(mix(TAG, word));
            }
            _ => self.pieces(token),
        }
    }

    /// Runs of letters and digits, and the signs between them; a sign that repeats is one.
    fn pieces(&mut self, token: &str) {
        let mut word = String::new();
        let mut last = None;
        for c in token.chars() {
            let is_own = !c.is_alphanumeric() || ('\u{2e80}'..'\u{fb00}').contains(&c);
            if !is_own {
                word.push(c);
            } else if !matches!(c, '\'' | '\u{2019}') {
                self.flush(&mut word);
                if last != Some(c) {
                    self.found.push(hash([c]));
                }
            }
            last = Some(c);
        }
        self.flush(&mut word);
    }

    fn flush(&mut self, word: &mut String) {
        if !word.is_empty() {
            self.found.push(hash(plain(word)));
            word.clear();
        }
    }
}

/// In lower case, with one zero for each run of digits.
fn plain(word: &str) -> impl Iterator<Item = char> {
    let mut was_digit = false;
    word.chars().flat_map(char::to_lowercase).filter_map(move |c| {
        let again = was_digit && c.is_numeric();
        was_digit = c.is_numeric();
        (!again).then_some(if was_digit { '0' } else { c })
    })
}

/// FNV-1a, 32 bits, of characters.
fn hash(chars: impl IntoIterator<Item = char>) -> u32 {
    chars.into_iter().fold(0x811c_9dc5, |hash, c| mix(hash, u32::from(c)))
}

fn mix(hash: u32, value: u32) -> u32 {
    (hash ^ value).wrapping_mul(0x0100_0193)
}

fn slot(kind: u32, first: u32, second: u32) -> u32 {
    let mut place = mix(mix(mix(0x811c_9dc5, kind), first), second.rotate_left(7));
    place ^= place >> 16;
    place = place.wrapping_mul(0x85eb_ca6b);
    place ^= place >> 13;
    place % SLOTS
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Vec<u32> {
        slots(text, &Facts::of(text), &[], 0)
    }

    #[test]
    fn names_sites_coins_and_figures_are_no_features() {
        assert_eq!(of("@one sells 12 $ABC at https://a.example/x"), of("@two sells 7 $XYZ at https://b.example"));
        assert_ne!(of("sells"), of("buys"));
        assert_ne!(of("one two"), of("two one"));
    }

    #[test]
    fn a_hashtag_is_a_word_too() {
        let (tag, word) = (of("#Giveaway"), slot(WORD, hash("giveaway".chars()), 0));
        assert!(tag.contains(&word) && of("a giveaway").contains(&word) && !of("a gift").contains(&word));
    }

    #[test]
    fn letters_without_blanks_are_words_of_their_own() {
        assert!(of("\u{8cb7}\u{3046}").contains(&slot(WORD, hash(['\u{3046}']), 0)));
    }
}
