//! Evidence that touches a candidate.

use std::collections::HashSet;

use super::asset::Context;
use super::scan::{Candidate, Known, Need};
use super::text::{word_at, word_before, word_end};

/// Most bytes between two members of an enumeration.
const GAP: usize = 24;
/// How far a price or per cent may be behind a ticker.
const PRICE_DISTANCE: usize = 16;

/// The words of the table that tell something about their neighbour.
#[derive(Clone, Debug)]
pub(super) struct Surroundings {
    after: HashSet<String>,
    moves: HashSet<String>,
    before: HashSet<String>,
    between: HashSet<String>,
    on: HashSet<String>,
    joins: HashSet<String>,
    auxiliary: HashSet<String>,
}

impl Surroundings {
    pub(super) fn new(context: &Context) -> Self {
        let set = |words: &[String]| words.iter().cloned().collect();
        Self {
            after: set(&context.after),
            moves: set(&context.moves),
            before: set(&context.before),
            between: set(&context.between),
            on: set(&context.on),
            joins: set(&context.joins),
            auxiliary: set(&context.auxiliary),
        }
    }

    /// Decides which candidates count by the rules; true if the text has context. `capitals` says whether it is in capitals, `context` whether it
    /// has a word of context.
    pub(super) fn settle(&self, text: &str, capitals: bool, context: bool, candidates: &mut [Candidate]) -> bool {
        if candidates.iter().all(|one| one.known == Known::Sure) {
            return true;
        }
        in_parentheses(text, candidates);
        let context = context || candidates.iter().any(|one| one.counts) || (!capitals && several_tickers(candidates));
        let mut word = String::new();
        for index in 0..candidates.len() {
            let (earlier, rest) = candidates.split_at_mut(index);
            let Some(one) = rest.first_mut().filter(|one| !one.counts) else { continue };
            let in_context = context && !capitals && text.as_bytes().get(one.end) != Some(&b':');
            one.know(match one.need {
                Need::Nothing | Need::NoDoubt => one.known,
                Need::ContextOnly if context => Known::Context,
                Need::Parentheses if earlier.last().is_some_and(|last| self.joined(text, last, one)) => Known::Context,
                Need::ContextOnly | Need::Parentheses => Known::Nothing,
                Need::Context | Need::Beside
                    if self.touches(text, one, context, &mut word)
                        || earlier.last().is_some_and(|last| self.joined(text, last, one)) =>
                {
                    Known::Beside
                }
                Need::Context if in_context => Known::Context,
                Need::Context | Need::Beside => Known::Nothing,
            });
        }
        self.vouch(text, candidates);
        for index in (1..candidates.len()).rev() {
            let (earlier, rest) = candidates.split_at_mut(index);
            let (Some(one), Some(next)) = (earlier.last_mut(), rest.first()) else { continue };
            if !one.counts && one.need != Need::ContextOnly && self.joined(text, next, one) {
                one.know(if one.need == Need::Parentheses { Known::Context } else { Known::Beside });
            }
        }
        context
    }

    /// Lets enumerations count that have two ambiguous tickers, or three members of any kind.
    fn vouch(&self, text: &str, candidates: &mut [Candidate]) {
        let mut start = 0;
        while start < candidates.len() {
            let mut end = start + 1;
            while end < candidates.len()
                && candidates[start].need != Need::Parentheses
                && candidates[end].need != Need::Parentheses
                && self.enumerates(text, &candidates[end - 1], &candidates[end])
            {
                end += 1;
            }
            let run = &mut candidates[start..end];
            let tickers = run.iter().filter(|one| one.need == Need::Context && !one.named).count();
            if tickers >= 2 || run.len() >= 3 {
                run.iter_mut().for_each(|one| one.know(Known::Beside));
            }
            start = end;
        }
    }

    fn touches(&self, text: &str, one: &Candidate, context: bool, word: &mut String) -> bool {
        let bytes = text.as_bytes();
        if let Some((start, end)) = next_word(bytes, one.end) {
            let next = lower(text, start, end, word);
            if self.after.contains(next) || (!one.named && self.moves.contains(next)) {
                return true;
            }
            let further = next_word(bytes, end).filter(|_| !one.named && self.auxiliary.contains(next));
            if further.is_some_and(|(start, end)| self.moves.contains(lower(text, start, end, word))) {
                return true;
            }
        }
        if one.need == Need::Context && price(bytes, one.end) {
            return true;
        }
        if amount(bytes, one.start) {
            return true;
        }
        let Some((start, end)) = last_word(bytes, one.start) else { return false };
        let last = lower(text, start, end, word);
        if self.before.contains(last) || (one.named && context && self.on.contains(last)) {
            return true;
        }
        // At most two words between: `sold all my DOT`.
        let mut at = start;
        for _ in 0..2 {
            if !self.between.contains(word.as_str()) {
                return false;
            }
            let Some((start, end)) = last_word(bytes, at) else { return false };
            if self.before.contains(lower(text, start, end, word)) {
                return true;
            }
            at = start;
        }
        false
    }

    /// Whether `one` is a neighbour of `other`, which counts, in an enumeration.
    fn joined(&self, text: &str, other: &Candidate, one: &Candidate) -> bool {
        let (first, second) = if other.start < one.start { (other, one) } else { (one, other) };
        other.counts && self.enumerates(text, first, second)
    }

    /// Whether only what joins an enumeration is between two candidates.
    fn enumerates(&self, text: &str, first: &Candidate, second: &Candidate) -> bool {
        let (from, to) = (first.end, second.start);
        if to < from || to - from > GAP {
            return false;
        }
        let Some(gap) = text.get(from..to) else { return false };
        let mut joins = false;
        for part in gap.split(|c: char| c.is_ascii_whitespace() || "()$#@".contains(c)) {
            let mark = part.trim_matches(|c: char| c.is_ascii_digit() || ".%-:".contains(c));
            joins |= part.contains([',', '/', '&', '+', '|', ';']) || self.joins.contains(mark);
            if !(mark.chars().all(|c| ",/&+|;".contains(c)) || self.joins.contains(mark)) {
                return false;
            }
        }
        joins
    }
}

/// Lets two strings of one asset count that stand as `Harmony (ONE)`.
fn in_parentheses(text: &str, candidates: &mut [Candidate]) {
    for index in 1..candidates.len() {
        let [.., one, other] = &mut candidates[..=index] else { continue };
        let inside = text.get(one.end..other.start).is_some_and(|gap| [" (", " ($"].contains(&gap));
        if inside && one.asset == other.asset && text.as_bytes().get(other.end) == Some(&b')') {
            one.know(Known::Sure);
            other.know(Known::Sure);
        }
    }
}

/// Whether there are ambiguous tickers of two assets: one may be a word, hardly both.
fn several_tickers(candidates: &[Candidate]) -> bool {
    let mut assets = candidates.iter().filter(|one| one.need == Need::Context && !one.named).map(|one| one.asset);
    assets.next().is_some_and(|first| assets.any(|asset| asset != first))
}

/// The next word, over one space, hyphen or possessive.
fn next_word(bytes: &[u8], end: usize) -> Option<(usize, usize)> {
    let mut start = end;
    for possessive in ["'s", "\u{2019}s"] {
        if bytes[start..].starts_with(possessive.as_bytes()) {
            start += possessive.len();
        }
    }
    if !matches!(bytes.get(start), Some(b' ' | b'-')) || !word_at(bytes, start + 1) {
        return None;
    }
    Some((start + 1, word_end(bytes, start + 1)))
}

/// The word before, over one space and a sign.
fn last_word(bytes: &[u8], start: usize) -> Option<(usize, usize)> {
    let sign = start.checked_sub(1).filter(|at| matches!(bytes.get(*at), Some(b'#' | b'$' | b'@'))).unwrap_or(start);
    let end = sign.checked_sub(1).filter(|at| bytes.get(*at) == Some(&b' '))?;
    let mut begin = end;
    while word_before(bytes, begin) {
        begin -= if bytes[begin - 1] < 0x80 { 1 } else { 2 };
    }
    (begin < end).then_some((begin, end))
}

/// Whether an amount is right before `start`: `500 `, `1.2k `, `3 million `.
fn amount(bytes: &[u8], start: usize) -> bool {
    let Some((mut begin, mut end)) = last_word(bytes, start) else { return false };
    if ["million", "billion", "millions"].iter().any(|unit| unit.as_bytes().eq_ignore_ascii_case(&bytes[begin..end])) {
        let Some(number) = last_word(bytes, begin) else { return false };
        (begin, end) = number;
    }
    let number =
        bytes[begin..end].strip_suffix(b"k").or(bytes[begin..end].strip_suffix(b"M")).unwrap_or(&bytes[begin..end]);
    let sign = begin.checked_sub(1).and_then(|at| bytes.get(at));
    // `$500 LINK` is a price, `21:00 GMT` a time; `2023 NEAR` may be a year.
    !number.is_empty() && number.iter().all(u8::is_ascii_digit) && !matches!(sign, Some(b'$' | b':'))
}

/// Whether a price or per cent follows soon: `at $5`, `+4 %`.
fn price(bytes: &[u8], end: usize) -> bool {
    let stop = bytes.len().min(end + PRICE_DISTANCE);
    let behind = bytes.get(end..stop).unwrap_or_default();
    let sentence = behind.iter().position(|byte| b".!?\n,;".contains(byte)).unwrap_or(behind.len());
    let behind = &behind[..sentence];
    let dollar = behind.windows(2).any(|pair| matches!(pair, [b'$', digit] if digit.is_ascii_digit()));
    let per_cent = behind.contains(&b'%') && behind.iter().any(u8::is_ascii_digit);
    dollar || per_cent
}

/// A piece of a text in lower case, in a string that is used again and again.
fn lower<'a>(text: &str, start: usize, end: usize, word: &'a mut String) -> &'a str {
    word.clear();
    word.push_str(text.get(start..end).unwrap_or_default());
    word.make_ascii_lowercase();
    word
}
