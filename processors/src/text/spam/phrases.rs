//! Words that betray spam, in lower case. They are found at the borders of words only.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use aho_corasick::AhoCorasick;

/// Something is given away, or asks for a sign-up.
const FREE: [&str; 25] = [
    "airdrop",
    "airdrops",
    "giveaway",
    "giveaways",
    "giving away",
    "free bitcoin",
    "free btc",
    "free eth",
    "free crypto",
    "free tokens",
    "free usdt",
    "referral",
    "ref link",
    "referral code",
    "promo code",
    "invite code",
    "use my code",
    "use my link",
    "sign up bonus",
    "welcome bonus",
    "deposit bonus",
    "join presale",
    "presale is live",
    "presale live",
    "whitelist spots",
];

/// A gain is promised, or a loss undone.
const GAIN: [&str; 26] = [
    "guaranteed profit",
    "guaranteed profits",
    "guaranteed return",
    "guaranteed returns",
    "guaranteed income",
    "risk free profit",
    "double your bitcoin",
    "double your btc",
    "double your crypto",
    "double your money",
    "earn daily",
    "daily profit",
    "daily profits",
    "daily roi",
    "next 100x",
    "100x gem",
    "10x gains",
    "100x gains",
    "1000x gem",
    "recover your lost",
    "recovered my lost",
    "recovery expert",
    "account manager",
    "binary options",
    "investment platform",
    "trading signals",
];

/// Something is to be sent.
const ASKING: [&str; 13] = [
    "send",
    "donate",
    "donation",
    "donations",
    "drop your",
    "tip me",
    "help me",
    "please help",
    "tips welcome",
    "deposit",
    "spare some",
    "anything helps",
    "giveaway",
];

/// An account says that nobody writes here.
const BOT: [&str; 8] = [
    "i am a bot",
    "i'm a bot",
    "this is an automated",
    "bot performed",
    "beep boop",
    "performed automatically",
    "posted by a bot",
    "automated message",
];

/// Groups elsewhere.
const GROUPS: [&str; 12] = [
    "t.me/",
    "telegram.me/",
    "wa.me/",
    "chat.whatsapp.com/",
    "discord.gg/",
    "discord.com/invite/",
    "join our telegram",
    "join my telegram",
    "join our discord",
    "whatsapp me",
    "text me on whatsapp",
    "dm me on telegram",
];

/// Something is sold, or won by joining.
const OFFERS: [&str; 106] = [
    "join us",
    "join now",
    "join here",
    "join today",
    "join me on",
    "join the",
    "check us out",
    "click here",
    "click below",
    "click on",
    "register now",
    "registration",
    "start earning",
    "earn extra",
    "earn free",
    "earn up to",
    "earn bitcoin",
    "earn bitcoins",
    "free bitcoins",
    "free bitcoin",
    "free tokens",
    "faucet",
    "passive income",
    "presale",
    "pre-sale",
    "pre-ico",
    "token sale",
    "crowdsale",
    "whitelist",
    "fairlaunch",
    "fair launch",
    "fair-launch",
    "private sale",
    "limited offer",
    "limited time",
    "order your",
    "buy now",
    "buy your",
    "flash sale",
    "affiliate",
    "commission",
    "hyip",
    "hyips",
    "invest now",
    "daily profit",
    "pinksale",
    "promo",
    "coupon",
    "discount",
    "free money",
    "mining bitcoin",
    "bitcoin mining",
    "sign up",
    "signup",
    "free signals",
    "telegram",
    "whatsapp",
    "dm me",
    "referral",
    "dividends",
    "free spins",
    "bonus",
    "buy it here",
    "secure your future",
    "100% guarantee",
    "low cap",
    "don't miss",
    "do not miss",
    "get free",
    "for free",
    "follow me",
    "like & retweet",
    "like and retweet",
    "retweet and",
    "winners will",
    "winner will",
    "lucky winners",
    "liquidity locked",
    "auto burn",
    "redistribution",
    "play now",
    "play the",
    "launching",
    "launched",
    "airdrop",
    "airdrops",
    "giveaway",
    "raffle",
    "sportsbook",
    "casino",
    "betting",
    "gambling",
    "poker",
    "lottery",
    "jackpot",
    "jackpots",
    "antminer",
    "first batch",
    "for sale",
    "my website",
    "invest your",
    "your investments",
    "gem",
    "soft cap",
    "total cap",
    "total supply",
];

/// A machine quotes a market.
const QUOTES: [&str; 45] = [
    "current price",
    "price now",
    "price of bitcoin",
    "precio actual",
    "bitcoin price",
    "btc price",
    "price change",
    "1 btc",
    "1btc",
    "1 bitcoin",
    "1 eth",
    "1 hour",
    "last hour",
    "24h",
    "24 hours",
    "24hr",
    "24-hour",
    "since midnight",
    "market cap",
    "longed",
    "shorted",
    "pump alert",
    "price increase",
    "buy signal",
    "sell signal",
    "buying pressure",
    "long alert",
    "signal result",
    "unknown wallet",
    "will be transfered",
    "hashrate",
    "unconfirmed",
    "volume",
    "galaxy score",
    "all targets",
    "targets achieved",
    "targets reached",
    "profit",
    "price forecast",
    "seller alert",
    "buyer alert",
    "ath of",
    "satoshi",
    "hourly",
    "avg last",
];

/// Somebody enters a lottery, or thanks for a token.
const ENTRY: [&str; 21] = [
    "good luck",
    "hope i win",
    "i hope to win",
    "thanks for the opportunity",
    "thanks for this opportunity",
    "thank you for the opportunity",
    "great project",
    "good project",
    "nice project",
    "amazing project",
    "done",
    "gl",
    "all rules",
    "giveaway",
    "airdrop",
    "airdrops",
    "tagging",
    "bounty",
    "my address",
    "btc address",
    "wallet",
];

/// In the order of the fields of [`Phrases`].
const KINDS: [&[&str]; 8] = [&FREE, &GAIN, &ASKING, &BOT, &GROUPS, &OFFERS, &QUOTES, &ENTRY];

/// Which kinds of phrases stand in a text, between borders of words.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Phrases {
    pub(super) free: bool,
    pub(super) gain: bool,
    pub(super) asking: bool,
    pub(super) bot: bool,
    pub(super) groups: bool,
    /// How many different ones.
    pub(super) offers: usize,
    pub(super) quotes: usize,
    pub(super) entry: bool,
}

static FINDER: LazyLock<AhoCorasick> = LazyLock::new(|| {
    AhoCorasick::builder()
        .ascii_case_insensitive(true)
        .build(KINDS.into_iter().flatten())
        .expect("a few hundred short phrases make a small automaton")
});

impl Phrases {
    /// All phrases are looked for in one go, in any case.
    pub(super) fn of(text: &str) -> Self {
        let mut found = BTreeSet::new();
        for hit in FINDER.find_overlapping_iter(text) {
            let before = text[..hit.start()].chars().next_back();
            let after = text[hit.end()..].chars().next();
            let is_open = text[hit.range()].ends_with('/');
            if before.is_some_and(char::is_alphanumeric) || (!is_open && after.is_some_and(char::is_alphanumeric)) {
                continue;
            }
            found.insert(hit.pattern().as_usize());
        }
        let mut first = 0;
        let [free, gain, asking, bot, groups, offers, quotes, entry] = KINDS.map(|kind| {
            let patterns = first..first + kind.len();
            first = patterns.end;
            found.range(patterns).count()
        });
        Self {
            free: free > 0,
            gain: gain > 0,
            asking: asking > 0,
            bot: bot > 0,
            groups: groups > 0,
            offers,
            quotes,
            entry: entry > 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phrases_stand_between_borders_of_words() {
        let free = Phrases { free: true, offers: 1, entry: true, ..Phrases::default() };
        assert_eq!(Phrases::of("an #Airdrop!"), free);
        assert_eq!(Phrases::of("airdrop, airdrop: join us"), Phrases { offers: 2, ..free });
        assert_eq!(Phrases::of("see https://T.me/x"), Phrases { groups: true, ..Phrases::default() });
        assert_eq!(Phrases::of("internet.me/x sending"), Phrases::default());
        assert_eq!(Phrases::of("Send it. I AM A BOT"), Phrases { asking: true, bot: true, ..Phrases::default() });
        assert_eq!(Phrases::of("trading signals é"), Phrases { gain: true, ..Phrases::default() });
        assert_eq!(Phrases::of("BTC price, 24h"), Phrases { quotes: 2, ..Phrases::default() });
    }
}
