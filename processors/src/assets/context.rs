//! What the words around a candidate say: a linear model over hashed features.
//!
//! Features are the three words or signs on either side, three pairs of them, the words within [`REACH`], how candidate and neighbours are written,
//! the string itself, how many other assets are sure, and whether the text is in capitals. Each hashes to one of 2^bits weights, which are whole
//! 32nds of a logit: sums are exact, so the answer is the same everywhere. Strings that the model has not seen stand on their context alone. What it
//! learned from: `models/assets/train.py`, which shares its features with `tests/python/asset_context.py`.

use super::file::AssetTableError;
use super::text::{Form, is_space, word_at, word_end};

/// The weights that are built into the program.
pub(super) const BUNDLED: &[u8] = include_bytes!("../../assets/context.bin");

const MAGIC: &[u8] = b"VIGC\x01";
/// How many words on either side count without their place.
const REACH: usize = 12;
/// Slots of a kind.
const SLOTS: u32 = 16;
const STRING: u32 = 14;
const AROUND: u32 = 15;
/// Stands for a word beyond the text, and for its looks.
const NOTHING: u32 = 1;
const BEYOND: u32 = 5;

/// What is asked about a candidate.
#[derive(Clone, Copy, Debug)]
pub(super) enum Question {
    /// Whether this is the ticker of an asset.
    Ticker,
    /// Whether this is the name of an asset.
    Name,
    /// Whether this is the ticker of an asset, and not of a share.
    Share,
}

/// A word or sign of a text.
#[derive(Clone, Copy, Debug)]
pub(super) struct Token {
    start: usize,
    end: usize,
    hash: u32,
    looks: u32,
}

/// The weights.
#[derive(Clone, Copy, Debug)]
pub(super) struct Weights {
    mask: u32,
    weights: &'static [u8],
}

impl Weights {
    /// Those of the program.
    pub(super) fn bundled() -> Result<Self, AssetTableError> {
        match BUNDLED.strip_prefix(MAGIC) {
            Some([bits @ 0..=24, weights @ ..]) if weights.len() == 1 << bits => {
                Ok(Self { mask: (1 << bits) - 1, weights })
            }
            _ => Err(AssetTableError::Malformed("context.bin does not hold the weights of a scorer".to_owned())),
        }
    }

    fn of(&self, slot: u32, value: u32) -> i32 {
        let mut place = value.wrapping_add(slot.wrapping_mul(0x9e37_79b1));
        place ^= place >> 16;
        place = place.wrapping_mul(0x85eb_ca6b);
        place ^= place >> 13;
        place = place.wrapping_mul(0xc2b2_ae35);
        place ^= place >> 16;
        self.weights.get((place & self.mask) as usize).map_or(0, |weight| i32::from(weight.cast_signed()))
    }

    /// The logit of `question` for `text[start..end]`, in 32nds. `tokens` are those of the text; `others` is how many other assets are sure.
    pub(super) fn score(
        &self,
        question: Question,
        text: &str,
        tokens: &[Token],
        (start, end): (usize, usize),
        (others, shouted): (u32, bool),
    ) -> i32 {
        let before = tokens.partition_point(|token| token.end <= start);
        let after = before + tokens[before..].partition_point(|token| token.start < end);
        let (ahead, behind) = (&tokens[..before], &tokens[after..]);
        let last = |back: usize| before.checked_sub(back).and_then(|at| tokens.get(at));
        let hash = |token: Option<&Token>| token.map_or(NOTHING, |token| token.hash);
        let looks = |token: Option<&Token>| token.map_or(BEYOND, |token| token.looks);
        let [one, two, three] = [1, 2, 3].map(|back| hash(last(back)));
        let [next, second, third] = [0, 1, 2].map(|at| hash(behind.get(at)));
        let piece = &text.as_bytes()[start..end];
        let form = Form::of(piece) as u32;
        let values = [
            0,
            one,
            two,
            three,
            next,
            second,
            third,
            pair(two, one),
            pair(next, second),
            pair(one, next),
            form * 36 + looks(last(1)) * 6 + looks(behind.first()),
            others,
            u32::from(shouted),
        ];
        let first = question as u32 * SLOTS;
        let placed: i32 = values.iter().zip(first..).map(|(value, slot)| self.of(slot, *value)).sum();
        let string = self.of(first + STRING, pair(fnv(FNV, piece.iter().map(u8::to_ascii_lowercase)), form));
        let around = ahead.iter().rev().take(REACH).chain(behind.iter().take(REACH));
        placed + string + around.map(|token| self.of(first + AROUND, token.hash)).sum::<i32>()
    }
}

/// Fills `tokens` with the words and signs of a text. Digits are one, handles too, and addresses; signs that repeat are one.
pub(super) fn tokenise(text: &str, tokens: &mut Vec<Token>) {
    tokens.clear();
    let bytes = text.as_bytes();
    let (mut at, mut last) = (0, "");
    while let Some(here) = text.get(at..).and_then(|rest| rest.chars().next()) {
        if is_space(bytes[at]) {
            (at, last) = (at + 1, "");
            continue;
        }
        if word_at(bytes, at) {
            let word = &bytes[at..word_end(bytes, at)];
            let mut end = at + word.len();
            let address = bytes[end..].starts_with(b"://")
                && (word.eq_ignore_ascii_case(b"http") || word.eq_ignore_ascii_case(b"https"));
            let token = if address {
                end += bytes[end..].iter().take_while(|byte| !is_space(**byte)).count();
                Token { start: at, end, hash: fnv(FNV, *b"http"), looks: 1 }
            } else {
                Token { start: at, end, hash: word_hash(FNV, word), looks: looks(word) }
            };
            tokens.push(token);
            (at, last) = (end, "");
            continue;
        }
        let behind = at + here.len_utf8();
        let word = if matches!(here, '$' | '@' | '#') { word_end(bytes, behind) } else { behind };
        let (end, hash, looks) = match here {
            '#' if word > behind => {
                (at, last) = (behind, "");
                continue;
            }
            '@' if word > behind => (word, fnv(FNV, *b"@user"), 1),
            '$' if bytes.get(behind).is_some_and(u8::is_ascii_alphabetic) => {
                (word, word_hash(fnv(FNV, *b"$"), &bytes[behind..word]), 0)
            }
            _ => (behind, fnv(FNV, text[at..behind].bytes()), 0),
        };
        let sign = end == behind;
        if !(sign && last == &text[at..behind]) {
            tokens.push(Token { start: at, end, hash, looks });
        }
        last = if sign { &text[at..behind] } else { "" };
        at = end;
    }
}

/// FNV-1a, 32 bits.
const FNV: u32 = 0x811c_9dc5;

fn fnv(hash: u32, bytes: impl IntoIterator<Item = u8>) -> u32 {
    bytes.into_iter().fold(hash, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

/// In lower case, with one zero for each run of digits.
fn word_hash(hash: u32, word: &[u8]) -> u32 {
    let mut digits = false;
    let letters = word.iter().filter_map(|byte| {
        let again = digits && byte.is_ascii_digit();
        digits = byte.is_ascii_digit();
        (!again).then(|| if digits { b'0' } else { byte.to_ascii_lowercase() })
    });
    fnv(hash, letters)
}

fn pair(first: u32, second: u32) -> u32 {
    first.wrapping_mul(0x0100_0193) ^ second
}

/// 1 small, 2 with a capital, 3 in capitals, 4 with a digit ahead.
fn looks(word: &[u8]) -> u32 {
    match word.first() {
        Some(first) if first.is_ascii_digit() => 4,
        Some(first) if !first.is_ascii_uppercase() => 1,
        _ if word.len() > 1 && !word.iter().any(u8::is_ascii_lowercase) => 3,
        _ => 2,
    }
}
