//! The one pass over a text: candidates, and whether it has context.

use super::Evidence;
use super::lexicon::{CONTRACT_BYTES, Entry, Lexicon};
use super::text::{ascii_word, camel_border, char_len, word_at, word_before, word_end};

/// What a candidate still needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Need {
    /// Nothing.
    Nothing,
    /// Nothing, unless the words around it speak against it.
    NoDoubt,
    /// A text with context, or evidence beside it.
    Context,
    /// A text with context.
    ContextOnly,
    /// Evidence beside it.
    Beside,
    /// Another string of the same asset beside it, one of both in parentheses.
    Parentheses,
}

/// What the rules know about a candidate; the strongest last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Known {
    /// Nothing.
    Nothing,
    /// Its text has context, or its name hardly means anything else.
    Context,
    /// Something beside it.
    Beside,
    /// It needs no more.
    Sure,
}

/// A candidate at a place.
#[derive(Clone, Copy, Debug)]
pub(super) struct Candidate {
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) asset: u32,
    pub(super) evidence: Evidence,
    pub(super) need: Need,
    /// As a name; tickers have more kinds of evidence beside them.
    pub(super) named: bool,
    pub(super) known: Known,
    pub(super) counts: bool,
}

impl Candidate {
    fn new(start: usize, end: usize, asset: u32, evidence: Evidence, need: Need) -> Self {
        let known = match need {
            Need::Nothing => Known::Sure,
            Need::NoDoubt => Known::Context,
            _ => Known::Nothing,
        };
        let (named, counts) = (evidence == Evidence::Name, known != Known::Nothing);
        Self { start, end, asset, evidence, need, named, known, counts }
    }

    /// Adds what the rules know; the strongest stays.
    pub(super) fn know(&mut self, known: Known) {
        self.known = self.known.max(known);
        self.counts = self.known != Known::Nothing;
    }
}

/// What stands right ahead of a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sign {
    None,
    Dollar,
    Hash,
    At,
    /// A number without a space.
    Amount,
}

/// Quotes of pairs that are written without a separator in any case.
const QUOTES: [&str; 7] = ["usdt", "usdc", "usd", "busd", "fdusd", "tusd", "perp"];
/// Those that must be in capitals there.
const CAPITAL_QUOTES: [&str; 8] = ["btc", "eth", "bnb", "eur", "gbp", "try", "krw", "jpy"];
/// Those that are assets of their own beside the base.
const ASSET_QUOTES: [&str; 4] = ["btc", "eth", "bnb", "xbt"];
/// Further ones after a separator.
const FURTHER_QUOTES: [&str; 6] = ["dai", "inr", "aud", "brl", "cad", "chf"];
/// A name of this many letters may begin a longer hashtag in one case.
const LONG_NAME: usize = 7;

/// A scan of one text.
pub(super) struct Scan<'a> {
    lexicon: &'a Lexicon,
    bytes: &'a [u8],
    candidates: &'a mut Vec<Candidate>,
    companies: &'a mut Vec<u32>,
    context: bool,
}

/// Fills `candidates` with those of `text`, in order and without overlaps, and `companies` with the assets whose tickers belong to a company that it
/// names; true if the text has context.
pub(super) fn scan(lexicon: &Lexicon, text: &str, candidates: &mut Vec<Candidate>, companies: &mut Vec<u32>) -> bool {
    candidates.clear();
    companies.clear();
    let mut scan = Scan { lexicon, bytes: text.as_bytes(), candidates, companies, context: false };
    scan.run();
    scan.context
}

/// The best reading of what begins at a place.
#[derive(Clone, Copy, Default)]
struct Best {
    end: usize,
    candidate: Option<Candidate>,
    /// A string of the table begins there, whether it counts or not.
    touched: bool,
}

impl Scan<'_> {
    fn run(&mut self) {
        let mut at = 0;
        while let Some(byte) = self.bytes.get(at) {
            if word_at(self.bytes, at) {
                at = self.word(at);
            } else if *byte < 0x80 {
                at += 1;
            } else {
                // Scripts without spaces: a name may begin at any character.
                let best = self.best(at, Sign::None, None);
                at = if best.end > at { self.take(best) } else { at + char_len(*byte) };
            }
        }
    }

    /// Reads the word at `at`; returns where to go on.
    fn word(&mut self, at: usize) -> usize {
        let sign = self.sign(at);
        let mut touched = true;
        if sign == Sign::None {
            // Most words end here: nothing begins with them, or it ends where they do.
            let best = self.best(at, Sign::None, None);
            if best.end > at {
                return self.take(best);
            }
            touched = best.touched;
        }
        let end = word_end(self.bytes, at);
        if self.bytes[end..].starts_with(b"://") && is_one_of(&self.bytes[at..end], &["http", "https"]) {
            return self.url(end);
        }
        if CONTRACT_BYTES.contains(&(end - at)) {
            self.contract(at, end);
        }
        if touched {
            let best = self.best(at, sign, Some(end));
            if best.end > at {
                return self.take(best);
            }
        }
        if sign == Sign::Hash {
            return self.hashtag(at, end);
        }
        let digits = self.bytes[at..end].iter().take_while(|byte| byte.is_ascii_digit()).count();
        if digits > 0 && digits < end - at {
            let best = self.best(at + digits, Sign::Amount, Some(end));
            if best.end == end {
                return self.take(best);
            }
        }
        if sign == Sign::None {
            self.misspelt(at, end);
        }
        end
    }

    /// A name with one wrong letter; short ones need context.
    fn misspelt(&mut self, start: usize, end: usize) {
        let Some(slip) = self.lexicon.misspelt(&self.bytes[start..end]) else { return };
        let need = if slip.long { Need::Nothing } else { Need::Context };
        self.candidates.push(Candidate::new(start, end, slip.asset, Evidence::Name, need));
    }

    /// What may begin inside a hashtag.
    fn hashtag(&mut self, at: usize, end: usize) -> usize {
        let mut from = at;
        while from < end {
            let best = if from == at || camel_border(self.bytes, from) {
                self.best(from, Sign::Hash, Some(end))
            } else {
                Best::default()
            };
            from = if best.end > from { self.take(best) } else { from + 1 };
        }
        end
    }

    /// In a URL only addresses count; returns its end.
    fn url(&mut self, at: usize) -> usize {
        let stop = |byte: &u8| byte.is_ascii_whitespace() || b"()[]<>\"".contains(byte);
        let end = self.bytes[at..].iter().position(stop).map_or(self.bytes.len(), |length| at + length);
        let mut from = at;
        while from < end {
            if !ascii_word(self.bytes, from) {
                from += 1;
                continue;
            }
            let stop = word_end(self.bytes, from).min(end);
            self.contract(from, stop);
            from = stop.max(from + 1);
        }
        end
    }

    fn contract(&mut self, start: usize, end: usize) {
        if let Some(asset) = self.lexicon.contract(&self.bytes[start..end]) {
            self.candidates.push(Candidate::new(start, end, asset, Evidence::Contract, Need::Nothing));
        }
    }

    fn sign(&self, at: usize) -> Sign {
        let Some(last) = at.checked_sub(1) else { return Sign::None };
        match self.bytes.get(last) {
            Some(b'$') if !word_before(self.bytes, last) => Sign::Dollar,
            Some(b'#') => Sign::Hash,
            Some(b'@') => Sign::At,
            _ => Sign::None,
        }
    }

    fn take(&mut self, best: Best) -> usize {
        self.candidates.extend(best.candidate);
        best.end
    }

    /// The longest reading at `at`. `word` is the end of the word that begins there, if it may end earlier than its letters.
    #[inline]
    fn best(&mut self, at: usize, sign: Sign, word: Option<usize>) -> Best {
        if self.lexicon.may_begin(self.bytes, at) { self.read(at, sign, word) } else { Best::default() }
    }

    /// As [`Scan::best`], without a look ahead; by itself, as it is needed for few words.
    #[inline(never)]
    fn read(&mut self, at: usize, sign: Sign, word: Option<usize>) -> Best {
        let (lexicon, bytes, companies) = (self.lexicon, self.bytes, &mut *self.companies);
        let (mut best, mut context, touched) = (Best::default(), false, true);
        lexicon.walk(bytes, at, |end, index| {
            best.touched = touched;
            let entry = lexicon.entry(index);
            match border(bytes, at, end, sign, word, entry) {
                Some(Border::Pair(stop)) => {
                    if let Some(asset) = entry.asset.filter(|_| stop > best.end) {
                        let candidate = Candidate::new(at, stop, asset, Evidence::Pair, Need::Nothing);
                        best = Best { end: stop, candidate: Some(candidate), touched };
                    }
                }
                Some(Border::Word(stop)) if stop > best.end => {
                    context |= entry.context;
                    for company in &entry.companies {
                        if !companies.contains(company) {
                            companies.push(*company);
                        }
                    }
                    let Some(asset) = entry.asset else {
                        // A phrase that is none, a word of context, or a company.
                        if !entry.context {
                            best = Best { end: stop, candidate: None, touched };
                        }
                        return;
                    };
                    if ens(bytes, at, stop, entry) || quotes_another(bytes, at, end) {
                        best = Best { end: stop, candidate: None, touched };
                        return;
                    }
                    if let Some((need, evidence)) = need(&bytes[at..end], sign, entry) {
                        let candidate = Candidate::new(at, stop, asset, evidence, need);
                        best = Best { end: stop, candidate: Some(candidate), touched };
                    }
                }
                _ => {}
            }
        });
        self.context |= context;
        best
    }
}

enum Border {
    /// The word ends here, its plural or possessive included.
    Word(usize),
    /// It is the base of a pair, which ends here.
    Pair(usize),
}

/// How a string that ends at `end` stands in the text; none if inside a word.
#[inline]
fn border(bytes: &[u8], at: usize, end: usize, sign: Sign, word: Option<usize>, entry: &Entry) -> Option<Border> {
    let separator = bytes.get(end).copied();
    if entry.ticker && matches!(separator, Some(b'/' | b'-' | b'_')) && sign != Sign::At {
        let stop = word_end(bytes, end + 1);
        let quote = &bytes[end + 1..stop];
        if is_quote(quote) && base_is_written_out(&bytes[at..end], quote, entry) {
            // The quote is read again where it is an asset too.
            return Some(Border::Pair(if is_one_of(quote, &ASSET_QUOTES) { end } else { stop }));
        }
    }
    if !word_at(bytes, end) {
        return Some(Border::Word(end));
    }
    if bytes.get(end) == Some(&b's')
        && !word_at(bytes, end + 1)
        && (entry.name || spelled(&bytes[at..end], &entry.tickers) || spelled(&bytes[at..end], &entry.ambiguous))
    {
        return Some(Border::Word(end + 1));
    }
    if sign == Sign::Hash && (camel_border(bytes, end) || (entry.name && end - at >= LONG_NAME)) {
        let counts = entry.name || entry.proper || entry.common || spelled(&bytes[at..end], &entry.tickers);
        return counts.then_some(Border::Word(end));
    }
    let stop = word.filter(|stop| *stop > end && entry.ticker && end - at >= 2)?;
    let (base, quote) = (&bytes[at..end], &bytes[end..stop]);
    let capitals = bytes[at..stop].iter().all(|byte| !byte.is_ascii_lowercase());
    let glued = is_one_of(quote, &QUOTES) || (capitals && is_one_of(quote, &CAPITAL_QUOTES));
    (glued && base_is_written_out(base, quote, entry)).then_some(Border::Pair(if is_one_of(quote, &ASSET_QUOTES) {
        end
    } else {
        stop
    }))
}

/// Whether both sides of a pair are in capitals, or the base is a ticker that may be small in a pair.
fn base_is_written_out(base: &[u8], quote: &[u8], entry: &Entry) -> bool {
    let capitals = |part: &[u8]| part.iter().all(|byte| !byte.is_ascii_lowercase());
    let only_cashtag = entry.tickers.is_empty() && entry.ambiguous.is_empty() && entry.beside.is_empty();
    (capitals(base) && capitals(quote)) || (!only_cashtag && !capitals(base) && !capitals(quote))
}

/// Whether a pair whose base is not in the table is quoted in this: `XYZ/USDT`, `#Exchange-USDT`, `#XYZ/#USDT`.
fn quotes_another(bytes: &[u8], start: usize, end: usize) -> bool {
    if !is_one_of(&bytes[start..end], &QUOTES) {
        return false;
    }
    let sign = start.checked_sub(1).filter(|at| matches!(bytes[*at], b'#' | b'$')).unwrap_or(start);
    sign.checked_sub(1).is_some_and(|at| matches!(bytes[at], b'/' | b'-' | b'_') && word_before(bytes, at))
}

fn is_quote(word: &[u8]) -> bool {
    is_one_of(word, &QUOTES)
        || is_one_of(word, &CAPITAL_QUOTES)
        || is_one_of(word, &ASSET_QUOTES)
        || is_one_of(word, &FURTHER_QUOTES)
}

fn is_one_of(word: &[u8], list: &[&str]) -> bool {
    list.iter().any(|one| one.as_bytes().eq_ignore_ascii_case(word))
}

/// Whether this is part of an ENS name that the table does not list.
fn ens(bytes: &[u8], start: usize, end: usize, entry: &Entry) -> bool {
    if entry.ens && bytes[start..end].ends_with(b"eth") {
        return false;
    }
    let ahead = bytes[start..end].eq_ignore_ascii_case(b"eth")
        && start > 0
        && bytes[start - 1] == b'.'
        && word_before(bytes, start - 1);
    let behind =
        bytes.get(end..end + 4).is_some_and(|rest| rest.eq_ignore_ascii_case(b".eth")) && !word_at(bytes, end + 4);
    ahead || behind
}

fn spelled(piece: &[u8], spellings: &[String]) -> bool {
    spellings.iter().any(|spelling| spelling.as_bytes() == piece)
}

/// What a string of an asset needs to count, by how it is written; none if it cannot.
fn need(piece: &[u8], sign: Sign, entry: &Entry) -> Option<(Need, Evidence)> {
    let capital = piece.first().is_some_and(|byte| !byte.is_ascii_lowercase());
    let certain = spelled(piece, &entry.tickers);
    let ambiguous = spelled(piece, &entry.ambiguous);
    let beside = spelled(piece, &entry.beside);
    // `mETH` is a ticker, `meth` is not.
    let any_case = entry.tickers.iter().any(|ticker| !ticker.bytes().any(|byte| byte.is_ascii_lowercase()));
    Some(match sign {
        Sign::Dollar if entry.ticker => (Need::Nothing, Evidence::Cashtag),
        Sign::At if !entry.name => return None,
        Sign::Amount if certain || ambiguous || beside || any_case || entry.lower => (Need::Nothing, Evidence::Ticker),
        Sign::Amount => return None,
        _ if certain && sign != Sign::At => (Need::Nothing, Evidence::Ticker),
        _ if entry.ens => (Need::Nothing, Evidence::Ens),
        _ if entry.name => (Need::Nothing, Evidence::Name),
        _ if entry.proper && capital => (Need::NoDoubt, Evidence::Name),
        _ if ambiguous => (Need::Context, Evidence::Ticker),
        Sign::Hash if !entry.ambiguous.is_empty() || any_case => (Need::ContextOnly, Evidence::Ticker),
        _ if entry.common && (capital || sign == Sign::Hash) => (Need::Context, Evidence::Name),
        _ if entry.word && (capital || sign == Sign::Hash) => (Need::Beside, Evidence::Name),
        _ if beside || entry.lower || any_case => (Need::Beside, Evidence::Ticker),
        _ if entry.common || entry.proper => (Need::Beside, Evidence::Name),
        _ if entry.ticker && !entry.context && !piece.iter().any(u8::is_ascii_lowercase) => {
            (Need::Parentheses, Evidence::Ticker)
        }
        _ => return None,
    })
}
