//! Telling copies: a number of 64 bits by which near duplicates of a text are found.
//!
//! ```text
//! text ─▶ words (links, handles, case, punctuation gone; emoji stay) ─▶ runs of 3 words ─▶ 4 MinHash values of 16 bits
//! ```
//!
//! The part of equal MinHash values of two texts estimates the part of runs that they share (Broder, "On the resemblance and containment of
//! documents", 1997). Texts of which two or more of the four values are equal are near duplicates: one word changed, a tail added or cut, a name
//! exchanged in a template. A text of fewer than [`MIN_WORDS`] words says too little for that; its fingerprint is a hash of the whole, which
//! only the same words have. Unrelated texts look alike once in some billion pairs.
//!
//! SimHash (Charikar 2002; Manku, Jain and Das Sarma 2007), which was made for long pages, finds few copies of short posts:
//! `models/spam/near_duplicates.py` measures both.

use unicode_normalization::UnicodeNormalization;

/// Texts with fewer words have only exact copies.
pub const MIN_WORDS: usize = 6;
/// Words that are looked at: a post may be as long as its author wants.
const MAX_WORDS: usize = 1000;
/// Words in a run.
const RUN: usize = 3;
/// One for each value: odd numbers without a pattern (digits of the golden ratio, e, pi and the square root of 2).
const SEEDS: [u64; 4] = [0x9e37_79b9_7f4a_7c15, 0xb7e1_5162_8aed_2a6b, 0x2436_3f6a_8885_a309, 0x6a09_e667_f3bc_c909];

/// What near duplicates have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint(u64);

impl Fingerprint {
    /// Of a text; `None` if it has no word and no emoji.
    pub fn of(text: &str) -> Option<Self> {
        let words: Vec<u64> = words(text).iter().map(|word| hash(word)).collect();
        if words.is_empty() {
            return None;
        }
        let whole = |run: &[u64]| run.iter().fold(run.len() as u64, |hash, word| mix(hash.rotate_left(5) ^ word));
        if words.len() < MIN_WORDS {
            return Some(Self(whole(&words)));
        }
        let mut least = [u64::MAX; SEEDS.len()];
        for run in words.windows(RUN).map(whole) {
            for (least, seed) in least.iter_mut().zip(SEEDS) {
                *least = mix(run ^ seed).min(*least);
            }
        }
        // The least of many is a small number: its low bits are the ones that differ.
        Some(Self(least.iter().fold(0, |bits, least| bits << 16 | least & 0xffff)))
    }

    /// How many pairs of values there are.
    pub const PAIRS: usize = 6;

    /// Whether the texts of both are copies of each other, or nearly.
    pub fn is_near(self, other: Self) -> bool {
        self.pairs().iter().zip(other.pairs()).any(|(ours, theirs)| *ours == theirs)
    }

    /// Each two of the four values, as one: near duplicates, and they alone, have one of these in common.
    pub fn pairs(self) -> [u32; Self::PAIRS] {
        let [one, two, three, four] = self.bands().map(u32::from);
        [(one, two), (one, three), (one, four), (two, three), (two, four), (three, four)]
            .map(|(high, low)| high << 16 | low)
    }

    /// The four values.
    pub fn bands(self) -> [u16; 4] {
        [48, 32, 16, 0].map(|shift| (self.0 >> shift & 0xffff) as u16)
    }

    /// As records hold it.
    pub fn to_long(self) -> i64 {
        self.0.cast_signed()
    }

    /// From a record.
    pub fn from_long(bits: i64) -> Self {
        Self(bits.cast_unsigned())
    }
}

/// The words of a text as they count here: NFKC, lower case, without links, handles, punctuation and a leading `RT`. An emoji is a word.
pub fn words(text: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut tokens = text.split_whitespace().peekable();
    if tokens.peek().is_some_and(|first| first.eq_ignore_ascii_case("rt")) {
        tokens.next();
    }
    for token in tokens {
        if words.len() >= MAX_WORDS {
            break;
        }
        if is_link(token) || token.trim_start_matches(['(', '"', '.']).starts_with('@') {
            continue;
        }
        let mut word = String::new();
        for c in token.nfkc().flat_map(char::to_lowercase) {
            if c.is_alphanumeric() {
                word.push(c);
            } else if !is_apostrophe(c) {
                if !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
                if is_emoji(c) {
                    words.push(c.to_string());
                }
            }
        }
        if !word.is_empty() {
            words.push(word);
        }
    }
    words.truncate(MAX_WORDS);
    words
}

/// Whether a word without blanks is, or holds, an address.
pub(crate) fn is_link(token: &str) -> bool {
    token.contains("://") || token.trim_start_matches(['(', '"', '[']).starts_with("www.")
}

/// Whether a character is a picture.
pub(crate) fn is_emoji(c: char) -> bool {
    matches!(c, '\u{2600}'..='\u{27bf}' | '\u{1f300}'..='\u{1faff}')
}

fn is_apostrophe(c: char) -> bool {
    matches!(c, '\'' | '\u{2019}')
}

/// FNV-1a: the same on every machine and in every version, as it is stored.
fn hash(word: &str) -> u64 {
    word.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// Spreads a number over all bits: the finaliser of `SplitMix64`.
fn mix(mut z: u64) -> u64 {
    z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ z >> 31
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEWS: &str = "Bitcoin falls below 30,000 dollars for the first time since July as investors flee from risk, \
                        and other coins fall with it";

    fn near(one: &str, other: &str) -> bool {
        Fingerprint::of(one).zip(Fingerprint::of(other)).is_some_and(|(one, other)| one.is_near(other))
    }

    #[test]
    fn copies_differ_in_what_does_not_count() {
        let same = [
            format!("RT @whale: {NEWS}"),
            format!("{NEWS} https://t.co/abc"),
            NEWS.to_uppercase(),
            format!("  {}!!!", NEWS.replace(' ', "\n")),
            // Letters of full width.
            NEWS.replace("Bitcoin", "Ｂｉｔｃｏｉｎ"),
        ];
        for copy in same {
            assert_eq!(Fingerprint::of(&copy), Fingerprint::of(NEWS), "{copy}");
        }
    }

    #[test]
    fn near_copies_are_found_and_other_texts_are_not() {
        assert!(near(NEWS, &NEWS.replace("first", "second")));
        assert!(near(NEWS, &format!("{NEWS}. Read more here")));
        assert!(!near(NEWS, "Ethereum developers have set a date for the merge, and this time they mean it, they say"));
    }

    #[test]
    fn a_short_text_has_exact_copies_only() {
        assert!(near("to the moon 🚀", "To the MOON! 🚀"));
        assert!(!near("to the moon 🚀", "to the moon"));
        assert!(!near("buy the dip now", "sell the dip now"));
        assert_eq!(Fingerprint::of("https://t.co/abc @you ..."), None);
    }

    #[test]
    fn fingerprints_do_not_change_with_the_version() {
        let of = |text| Fingerprint::of(text).map(Fingerprint::to_long);
        assert_eq!((of("to the moon"), of(NEWS)), (Some(SHORT), Some(LONG)));
        assert_eq!(Fingerprint::from_long(LONG).to_long(), LONG);
    }

    const SHORT: i64 = -4_596_183_599_927_252_516;
    const LONG: i64 = 861_218_739_856_569_939;
}
