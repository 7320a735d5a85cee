//! How much a post looks like spam or a bot: rules, each a reason that a reader can check in the text, and a linear model that decides by them and
//! by the wording.
//!
//! | reason | weight | when |
//! |---|---|---|
//! | `promotion` | 0.5 | giveaway, airdrop, referral or sign-up words, and an address to follow |
//! | `promised_gain` | 0.5 | a sure profit, a multiple of one's money, or lost money brought back |
//! | `wallet_begging` | 0.5 | a wallet's address and a request to send something to it |
//! | `bot` | 0.5 | it says that it is a bot, or its author's name does |
//! | `link_only` | 0.5 | nothing but addresses, handles and tags |
//! | `many_cashtags` | 0.5 | more than 5 different cashtags |
//! | `many_hashtags` | 0.5 | more than 8 hashtags |
//! | `price_feed` | 0.5 | two or more amounts with decimals, and at most three words for each |
//! | `offer` | 0.5 | words that sell or lure, the more of them the less it has of an address, tags and brevity |
//! | `market_feed` | 0.5 | a tag, words of a market's figures, and numbers that outweigh the rest |
//! | `lottery` | 0.5 | a few words with thanks, luck or a wallet's address, to handles or tags |
//! | `invitation` | 0.4 | an address of a Telegram, `WhatsApp` or Discord group, or a call to write to one |
//! | `many_handles` | 0.2 | more than 4 handles |
//! | `repetition` | 0.2 | a character 8 times in a row, or 5 emoji in a row |
//! | `capitals` | 0.2 | at least 20 letters, three in four of them capitals |
//! | `wording` | | the weights of the sentiment model's folder say so, by the reasons, words and marks (`models/spam/README.md`) |
//!
//! The score is the weights' share of spam for such a post, moved so that [`SPAM`] is where they decide; `bot` decides by itself. Without weights
//! it is the sum of the rules', 1 at most. From [`SPAM`] on a post counts as spam: it is counted, and left out of the unique volume. No reason looks at
//! what a post thinks, nor at who wrote it, apart from names that end in "bot". `models/spam/evaluate.py` prints precision and recall on
//! posts labelled by hand.

mod phrases;
mod wording;

use std::collections::BTreeSet;

use crate::inference::SpamWeights;
use crate::text::fingerprint::{is_emoji, is_link};
use phrases::Phrases;

/// The score from which on a post is spam.
pub const SPAM: f64 = 0.5;

/// The highest score of a post that is none.
const BELOW: f64 = 0.49;
/// The reason that decides by itself, weights or not.
const BOT: &str = "bot";
/// The weights decided.
const WORDING: &str = "wording";

/// Characters that are looked at.
const MAX_CHARS: usize = 4000;

/// A score and what it is made of.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Spam {
    /// 0 to 1.
    pub score: f64,
    /// Stable words, in the order of the table. With weights a score below [`SPAM`] may have some.
    pub reasons: Vec<&'static str>,
}

impl Spam {
    /// Whether the post counts as spam.
    pub fn is_spam(&self) -> bool {
        self.score >= SPAM
    }
}

/// Judges a text, and the name of its author where it is known, by the reasons, or by `weights` for them and the wording.
pub fn judge(text: &str, author: Option<&str>, weights: Option<&SpamWeights>) -> Spam {
    let (text, facts, spam) = judged_by_rules(text, author);
    let Some(weights) = weights else { return spam };
    let logit = weights.logit(&wording::slots(text, &facts, &spam.reasons, in_tenths(spam.score)));
    let odds = (f64::from(logit) / 32.0).exp();
    // In hundredths, so that no machine's arithmetic moves a post over the threshold.
    let share = (if odds.is_finite() { odds / (1.0 + odds) } else { 1.0 } * 100.0).round() / 100.0;
    let mut reasons = spam.reasons;
    let says_so = reasons.contains(&BOT);
    if logit >= 0 {
        reasons.push(WORDING);
    }
    Spam { score: if logit >= 0 || says_so { share.max(SPAM) } else { share.min(BELOW) }, reasons }
}

/// The slots of a post's features, to learn weights for them (`models/spam/train.py`).
pub fn slots(text: &str, author: Option<&str>) -> Vec<u32> {
    let (text, facts, spam) = judged_by_rules(text, author);
    wording::slots(text, &facts, &spam.reasons, in_tenths(spam.score))
}

fn in_tenths(score: f64) -> usize {
    (score * 10.0).round() as usize
}

fn judged_by_rules<'a>(text: &'a str, author: Option<&str>) -> (&'a str, Facts<'a>, Spam) {
    let text = text.char_indices().nth(MAX_CHARS).map_or(text, |(end, _)| &text[..end]);
    let facts = Facts::of(text);
    let phrases = Phrases::of(text);
    let table = [
        ("promotion", 0.5, facts.links > 0 && phrases.free),
        ("promised_gain", 0.5, phrases.gain),
        ("wallet_begging", 0.5, facts.wallet && phrases.asking),
        (BOT, 0.5, phrases.bot || author.is_some_and(is_bot)),
        ("link_only", 0.5, (facts.links > 0 || facts.handles > 1) && facts.words == 0),
        ("many_cashtags", 0.5, facts.cashtags.len() > 5),
        ("many_hashtags", 0.5, facts.hashtags > 8),
        ("price_feed", 0.5, facts.amounts > 1 && facts.words - facts.amounts <= facts.amounts * 3),
        ("offer", 0.5, facts.is_offer(phrases.offers)),
        ("market_feed", 0.5, facts.is_market_feed(phrases.quotes)),
        ("lottery", 0.5, facts.is_lottery(phrases.entry)),
        ("invitation", 0.4, phrases.groups),
        ("many_handles", 0.2, facts.handles > 4),
        ("repetition", 0.2, facts.longest_run >= 8 || facts.longest_emoji_run >= 5),
        ("capitals", 0.2, facts.letters >= 20 && facts.capitals * 4 >= facts.letters * 3),
    ];
    let found = table.into_iter().filter(|(_, _, holds)| *holds);
    let mut spam = Spam::default();
    // In tenths, so that no rounding moves a post over the threshold.
    let mut tenths = 0.0;
    for (reason, weight, _) in found {
        spam.reasons.push(reason);
        tenths += weight * 10.0;
    }
    spam.score = (f64::round(tenths) / 10.0).min(1.0);
    (text, facts, spam)
}

/// Names of accounts that say so: `AutoModerator`, `tip_bot`, `RemindMeBot`.
fn is_bot(author: &str) -> bool {
    let name = author.trim().trim_start_matches('@');
    let lower = name.to_ascii_lowercase();
    let whole_word = ["_bot", "-bot", ".bot"].iter().any(|end| lower.ends_with(end));
    lower == "automoderator" || lower == "bot" || whole_word || name.ends_with("Bot")
}

/// What can be counted in a text.
#[derive(Debug, Default)]
struct Facts<'a> {
    links: usize,
    handles: usize,
    hashtags: usize,
    cashtags: BTreeSet<&'a str>,
    /// Words that are none of these.
    words: usize,
    /// Of them those that hold a number with decimals, and those that hold any digit.
    amounts: usize,
    numbers: usize,
    wallet: bool,
    letters: usize,
    capitals: usize,
    longest_run: usize,
    longest_emoji_run: usize,
}

impl<'a> Facts<'a> {
    fn of(text: &'a str) -> Self {
        let mut facts = Self::default();
        for token in text.split_whitespace() {
            let bare = token.trim_matches(|c: char| !c.is_alphanumeric());
            facts.wallet |= is_wallet(bare);
            match token.chars().next() {
                _ if is_link(token) => facts.links += 1,
                Some('@') if !bare.is_empty() => facts.handles += 1,
                Some('#') if !bare.is_empty() => facts.hashtags += 1,
                Some('$') if bare.starts_with(|c: char| c.is_ascii_alphabetic()) => {
                    facts.cashtags.insert(bare);
                }
                _ => {
                    facts.words += usize::from(token.chars().any(|c| c.is_alphanumeric() || is_emoji(c)));
                    facts.amounts += usize::from(has_decimals(token));
                    facts.numbers += usize::from(token.bytes().any(|byte| byte.is_ascii_digit()));
                    facts.letters += token.chars().filter(|c| c.is_alphabetic()).count();
                    facts.capitals += token.chars().filter(|c| c.is_uppercase()).count();
                }
            }
        }
        let (mut last, mut run, mut emoji_run) = (None, 0, 0);
        for c in text.chars() {
            run = if last == Some(c) && !matches!(c, '-' | '_' | '=' | '.' | '*' | ' ' | '\n') { run + 1 } else { 1 };
            last = Some(c);
            emoji_run = if is_emoji(c) {
                emoji_run + 1
            } else if matches!(c, '\u{fe0f}' | '\u{200d}' | '\u{1f3fb}'..='\u{1f3ff}' | ' ') {
                emoji_run
            } else {
                0
            };
            facts.longest_run = facts.longest_run.max(run);
            facts.longest_emoji_run = facts.longest_emoji_run.max(emoji_run);
        }
        facts
    }
}

impl Facts<'_> {
    fn tags(&self) -> usize {
        self.hashtags + self.cashtags.len()
    }

    fn is_offer(&self, phrases: usize) -> bool {
        let enough = match (self.links > 0, self.tags(), self.words) {
            (true, 2.., ..=60) => 1,
            (true, 1, ..=60) => 2,
            (_, _, ..=45) => 3,
            (_, _, ..=120) => 4,
            _ => return false,
        };
        phrases >= enough
    }

    fn is_market_feed(&self, phrases: usize) -> bool {
        let numbers = self.numbers;
        let bare = numbers > 2 && self.words * 5 <= numbers * 11;
        let phrased = match phrases {
            0 => false,
            1 => numbers > 1 && self.words <= numbers + 14 || numbers > 0 && self.words <= 10,
            _ => numbers > 2 || numbers > 0 && self.words <= numbers + 14,
        };
        self.tags() > 0 && (bare || phrased)
    }

    fn is_lottery(&self, phrase: bool) -> bool {
        let enters =
            phrase && self.handles > 0 && self.words <= 25 && (self.handles > 2 || self.wallet || self.tags() > 1);
        enters || self.wallet && self.words <= 14 && self.handles + self.tags() > 0
    }
}

/// Whether a word holds a number as 13841.27, with one dot and a digit on either side of it.
fn has_decimals(word: &str) -> bool {
    let number = word.trim_matches(|c: char| !c.is_ascii_digit());
    let parts: Vec<&str> = number.split('.').collect();
    let is_number = |part: &&str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit() || b == b',');
    parts.len() == 2 && parts.iter().all(is_number)
}

/// Whether a word is an address of Bitcoin or Ethereum, by its shape alone.
fn is_wallet(word: &str) -> bool {
    let base58 =
        |word: &str| word.bytes().all(|b| b.is_ascii_alphanumeric() && !matches!(b, b'0' | b'O' | b'I' | b'l'));
    let mixed = |word: &str| word.bytes().any(|b| b.is_ascii_digit()) && word.bytes().any(|b| b.is_ascii_alphabetic());
    match word.len() {
        42 if word.starts_with("0x") => word.bytes().skip(2).all(|b| b.is_ascii_hexdigit()),
        26..=35 if word.starts_with(['1', '3']) => base58(word) && mixed(word),
        40..=62 if word.starts_with("bc1") => word.bytes().all(|b| b.is_ascii_alphanumeric()),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reasons(text: &str) -> Vec<&'static str> {
        judge(text, None, None).reasons
    }

    #[test]
    fn every_reason_has_its_text() {
        let cases = [
            ("promotion", "Huge airdrop of 500 tokens: https://example.com/x"),
            ("promised_gain", "I earn a guaranteed profit every week with this platform"),
            ("wallet_begging", "please send some eth to 0x52908400098527886E0F7030069857D2E4169EE7 thank you"),
            ("bot", "I am a bot, and this action was performed automatically."),
            ("link_only", "https://example.com/a #btc @you"),
            ("invitation", "for daily calls see t.me/somebody"),
            ("many_cashtags", "$BTC $ETH $XRP $LTC $ADA $DOT are what I look at"),
            ("many_hashtags", "look #a #b #c #d #e #f #g #h #i"),
            ("price_feed", "BTC hourly update $13841.27 | +0.0009%"),
            ("offer", "Fast withdrawals, casino and poker https://example.com/x #btc"),
            ("market_feed", "1 BTC = 1194.76 USD #bitcoin"),
            ("lottery", "@them good luck to all of us #eth #btc"),
            ("many_handles", "see @a @b @c @d @e and tell me"),
            ("repetition", "to the mooooooooooon"),
            ("repetition", "up it goes 🚀🚀🚀 🚀🚀"),
            ("capitals", "THIS IS THE LAST TIME THAT YOU SEE SUCH A PRICE"),
        ];
        for (reason, text) in cases {
            assert_eq!(reasons(text), [reason], "{text}");
        }
    }

    #[test]
    fn talk_about_spam_is_no_spam() {
        for text in [
            "Is this airdrop a scam? They want me to send them eth first, I do not trust it",
            "My wallet is 0x52908400098527886E0F7030069857D2E4169EE7 and the transaction is still pending",
            "I bought BTC at $30,000.50 and sold it at $40,000.00, so what do I owe to the tax office now?",
            "BTC and ETH are down, I keep buying. https://example.com/chart",
            "Staking closed at #Coinbase today, what now? https://example.com/news #eth",
            "I sold 2 #BTC at 40000 and bought a house, good luck to those who are still in",
            "@you thanks for the explanation of #bitcoin",
            "GM",
            "",
        ] {
            assert_eq!(judge(text, Some("satoshi"), None), Spam::default(), "{text}");
        }
    }

    #[test]
    fn weights_add_up_to_1_at_most() {
        let spam =
            judge("FREE BITCOIN GIVEAWAY!!!!!!!!! JOIN NOW https://example.com t.me/x GUARANTEED PROFIT", None, None);
        assert_eq!(spam.reasons, ["promotion", "promised_gain", "offer", "invitation", "repetition", "capitals"]);
        assert!((spam.score - 1.0).abs() < 1e-12 && spam.is_spam());
        let odd = judge("UP UP UP UP UP UP UP UP UP UP 🚀🚀🚀🚀🚀🚀", None, None);
        assert!((odd.score - 0.4).abs() < 1e-12 && !odd.is_spam(), "{odd:?}");
    }

    #[test]
    fn weights_decide_in_place_of_the_sum_but_for_bots() {
        let file = |intercept: i32| [&b"VIGW\x01"[..], &intercept.to_le_bytes()[..], &[0; 1 << 17][..]].concat();
        let weights = |intercept: i32| SpamWeights::read(&file(intercept)).unwrap();
        let shill = "Huge airdrop of 500 tokens: https://example.com/x";
        let judged = |author, intercept| judge(shill, author, Some(&weights(intercept)));
        let [no, hardly, just, yes] = [-320, -1, 0, 32_000].map(|intercept| judged(None, intercept));
        assert_eq!([no.score, hardly.score, just.score, yes.score], [0.0, 0.49, 0.5, 1.0]);
        assert_eq!((no.is_spam(), no.reasons), (false, vec!["promotion"]));
        assert_eq!((just.is_spam(), just.reasons), (true, vec!["promotion", "wording"]));
        let bot = judged(Some("coin-bot"), -320);
        assert_eq!((bot.score, bot.reasons), (0.5, vec!["promotion", "bot"]));
    }

    #[test]
    fn bots_are_known_by_their_names() {
        for name in ["AutoModerator", "coin-bot", "RemindMeBot", "@price_bot"] {
            assert_eq!(judge("the price is 30,000", Some(name), None).reasons, ["bot"], "{name}");
        }
        for name in ["talbot", "Abbott", "botanist", "robot9"] {
            assert_eq!(judge("the price is 30,000", Some(name), None), Spam::default(), "{name}");
        }
    }
}
