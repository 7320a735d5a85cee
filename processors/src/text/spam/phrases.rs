//! Words by which spam is told, in lower case. They are found at the borders of words only.

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

/// Which kinds of phrases stand in a text, between borders of words.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Phrases {
    pub(super) free: bool,
    pub(super) gain: bool,
    pub(super) asking: bool,
    pub(super) bot: bool,
    pub(super) groups: bool,
}

static FINDER: LazyLock<AhoCorasick> = LazyLock::new(|| {
    let all = FREE.iter().chain(&GAIN).chain(&ASKING).chain(&BOT).chain(&GROUPS);
    AhoCorasick::builder()
        .ascii_case_insensitive(true)
        .build(all)
        .expect("a hundred short phrases make a small automaton")
});

impl Phrases {
    /// All phrases are looked for in one go, in any case.
    pub(super) fn of(text: &str) -> Self {
        let mut found = Self::default();
        for hit in FINDER.find_overlapping_iter(text) {
            let before = text[..hit.start()].chars().next_back();
            let after = text[hit.end()..].chars().next();
            let is_open = text[hit.range()].ends_with('/');
            if before.is_some_and(char::is_alphanumeric) || (!is_open && after.is_some_and(char::is_alphanumeric)) {
                continue;
            }
            let mut number = hit.pattern().as_usize();
            let kinds = [
                (FREE.len(), &mut found.free),
                (GAIN.len(), &mut found.gain),
                (ASKING.len(), &mut found.asking),
                (BOT.len(), &mut found.bot),
                (GROUPS.len(), &mut found.groups),
            ];
            for (phrases, kind) in kinds {
                if number < phrases {
                    *kind = true;
                    break;
                }
                number -= phrases;
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phrases_stand_between_borders_of_words() {
        let free = Phrases { free: true, ..Phrases::default() };
        assert_eq!(Phrases::of("an #Airdrop!"), free);
        assert_eq!(Phrases::of("see https://T.me/x"), Phrases { groups: true, ..Phrases::default() });
        assert_eq!(Phrases::of("internet.me/x sending"), Phrases::default());
        assert_eq!(Phrases::of("Send it. I AM A BOT"), Phrases { asking: true, bot: true, ..Phrases::default() });
        assert_eq!(Phrases::of("trading signals é"), Phrases { gain: true, ..Phrases::default() });
    }
}
