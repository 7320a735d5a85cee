//! The letters of a text as they are read, for matching and scoring; what was published stays as it is.
//!
//! Letters in other clothes (fullwidth, mathematical, circled, small capitals) are the letters of ASCII, by the compatibility decompositions of Unicode
//! where these exist; what cannot be seen between them goes; accents are composed (NFC). Signs of currencies name their coins, as cashtags do, and
//! `:names:` of emoji are the emoji. Signs with a meaning of their own (`²`, `™`, `½`) stay.

use std::borrow::Cow;

use unicode_normalization::UnicodeNormalization;

/// Signs and the coins that they name.
const SIGNS: [(char, &str); 10] = [
    ('\u{20bf}', "$BTC"),
    ('\u{243}', "$BTC"),
    ('\u{39e}', "$ETH"),
    ('\u{141}', "$LTC"),
    ('\u{d0}', "$DOGE"),
    ('\u{20b3}', "$ADA"),
    ('\u{a729}', "$XTZ"),
    ('\u{271}', "$XMR"),
    ('\u{24e9}', "$ZEC"),
    ('\u{25ce}', "$SOL"),
];

/// Signs that stand for a letter inside a word: `₿itcoin`, `ΞTH`.
const LETTERS: [(char, char); 4] = [('\u{20bf}', 'B'), ('\u{243}', 'B'), ('\u{39e}', 'E'), ('\u{d0}', 'D')];

/// Small capitals, which have no decomposition.
const SMALL_CAPITALS: [(char, char); 23] = [
    ('ᴀ', 'A'),
    ('ʙ', 'B'),
    ('ᴄ', 'C'),
    ('ᴅ', 'D'),
    ('ᴇ', 'E'),
    ('ꜰ', 'F'),
    ('ɢ', 'G'),
    ('ʜ', 'H'),
    ('ɪ', 'I'),
    ('ᴊ', 'J'),
    ('ᴋ', 'K'),
    ('ʟ', 'L'),
    ('ᴍ', 'M'),
    ('ɴ', 'N'),
    ('ᴏ', 'O'),
    ('ᴘ', 'P'),
    ('ʀ', 'R'),
    ('ꜱ', 'S'),
    ('ᴛ', 'T'),
    ('ᴜ', 'U'),
    ('ᴠ', 'V'),
    ('ᴡ', 'W'),
    ('ʏ', 'Y'),
];

/// Names of the emoji that people of these parts use most, as Discourse, Mastodon and chats have them.
const EMOJI: [(&str, &str); 56] = [
    ("+1", "👍"),
    ("-1", "👎"),
    ("100", "💯"),
    ("angry", "😠"),
    ("bear", "🐻"),
    ("boom", "💥"),
    ("broken_heart", "💔"),
    ("chart_with_downwards_trend", "📉"),
    ("chart_with_upwards_trend", "📈"),
    ("clap", "👏"),
    ("clown", "🤡"),
    ("clown_face", "🤡"),
    ("cry", "😢"),
    ("disappointed", "😞"),
    ("exploding_head", "🤯"),
    ("eyes", "👀"),
    ("face_vomiting", "🤮"),
    ("facepalm", "🤦"),
    ("fire", "🔥"),
    ("full_moon", "🌕"),
    ("gem", "💎"),
    ("grin", "😁"),
    ("grinning", "😀"),
    ("heart", "❤️"),
    ("heart_eyes", "😍"),
    ("hugs", "🤗"),
    ("joy", "😂"),
    ("laughing", "😆"),
    ("money_mouth", "🤑"),
    ("money_mouth_face", "🤑"),
    ("money_with_wings", "💸"),
    ("moneybag", "💰"),
    ("moon", "🌔"),
    ("muscle", "💪"),
    ("ok_hand", "👌"),
    ("partying_face", "🥳"),
    ("poop", "💩"),
    ("pray", "🙏"),
    ("rage", "😡"),
    ("raised_hands", "🙌"),
    ("rocket", "🚀"),
    ("rofl", "🤣"),
    ("scream", "😱"),
    ("shrug", "🤷"),
    ("skull", "💀"),
    ("slight_frown", "🙁"),
    ("slight_smile", "🙂"),
    ("smile", "😄"),
    ("smiley", "😃"),
    ("sob", "😭"),
    ("sunglasses", "😎"),
    ("tada", "🎉"),
    ("thinking", "🤔"),
    ("thumbsdown", "👎"),
    ("thumbsup", "👍"),
    ("wink", "😉"),
];

/// A text with its letters, signs and emoji as they are read.
pub fn fold(text: &str) -> Cow<'_, str> {
    let text = emoji(text);
    if text.is_ascii() { text } else { Cow::Owned(letters(&text)) }
}

/// Names between colons as the emoji that they name.
fn emoji(text: &str) -> Cow<'_, str> {
    let mut out = String::new();
    let (mut done, mut from) = (0, 0);
    while let Some(open) = text[from..].find(':').map(|at| from + at) {
        let rest = &text[open + 1..];
        let end =
            rest.find(|c: char| !c.is_ascii_alphanumeric() && !matches!(c, '_' | '+' | '-')).unwrap_or(rest.len());
        from = open + 1;
        // "10:100:20" is a time.
        if rest[end..].starts_with(':')
            && !text[..open].ends_with(|c: char| c.is_ascii_digit())
            && let Ok(at) = EMOJI.binary_search_by_key(&&rest[..end], |(name, _)| *name)
        {
            out.push_str(&text[done..open]);
            out.push_str(EMOJI[at].1);
            from = open + 1 + end + 1;
            done = from;
        }
    }
    if done == 0 {
        return Cow::Borrowed(text);
    }
    out.push_str(&text[done..]);
    Cow::Owned(out)
}

fn letters(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut before = None;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        let after = chars.peek().copied();
        let beside = |is: fn(char) -> bool| before.is_some_and(is) || after.is_some_and(is);
        match c {
            _ if c.is_ascii() => out.push(c),
            // Joiners make emoji and words of some scripts.
            '\u{200c}' | '\u{200d}' if beside(|c| c.is_ascii_alphanumeric()) => {}
            '\u{ad}' | '\u{34f}' | '\u{180e}' | '\u{200b}' | '\u{2060}'..='\u{2064}' | '\u{feff}' => {}
            // What producers mark linked pages and pictures with.
            '\u{1f517}' | '\u{1f5bc}' => {}
            _ if coin(c).is_some() => sign(c, before, &mut chars, &mut out),
            '\u{1f130}'..='\u{1f189}' if !beside(is_boxed) => out.push(c),
            _ => push(c, &mut out),
        }
        before = Some(c);
    }
    if out.chars().any(|c| matches!(c, '\u{300}'..='\u{36f}')) { out.nfc().collect() } else { out }
}

fn coin(c: char) -> Option<&'static str> {
    SIGNS.iter().find(|(sign, _)| *sign == c).map(|(_, coin)| *coin)
}

/// Letters that stand in a row: one alone may be an emoji, as the sign for parking.
fn is_boxed(c: char) -> bool {
    c.is_ascii_alphabetic() || matches!(c, '\u{1f130}'..='\u{1f189}')
}

/// A sign is a coin beside an amount or alone, and a letter in a word.
fn sign(c: char, before: Option<char>, chars: &mut std::iter::Peekable<std::str::Chars<'_>>, out: &mut String) {
    let after = chars.peek().copied();
    let is_letter = |other: Option<char>| other.is_some_and(char::is_alphabetic);
    let stands_for = LETTERS.iter().find(|(sign, _)| *sign == c).map(|(_, letter)| *letter);
    if is_letter(after) || is_letter(before) {
        let is_in_word = after.is_some_and(|c| c.is_ascii_alphabetic())
            && !before.is_some_and(|c| c.is_alphabetic() && !c.is_ascii());
        // Iceland writes with an eth, but hardly before "og".
        let is_word = is_in_word && (c != '\u{d0}' || chars.clone().take(2).eq("og".chars()));
        out.push(stands_for.filter(|_| is_word).unwrap_or(c));
        return;
    }
    let is_amount = |other: Option<char>| other.is_some_and(|c| c.is_ascii_digit() || c == '.');
    let amounts = is_amount(before) || is_amount(after) || {
        let mut next = chars.clone();
        next.next() == Some(' ') && next.next().is_some_and(|c| c.is_ascii_digit())
    };
    let spaced = before == Some(' ') && out.trim_end().ends_with(|c: char| c.is_ascii_digit());
    // Two of them are bullets and circled letters elsewhere.
    if !amounts && !spaced && matches!(c, '\u{24e9}' | '\u{25ce}') {
        return push(c, out);
    }
    if out.ends_with(|c: char| c.is_alphanumeric()) {
        out.push(' ');
    }
    out.push_str(coin(c).unwrap_or_default());
    if after.is_some_and(|c| c.is_alphanumeric() || c == '.') {
        out.push(' ');
    }
}

/// Adds a character as the letters or digits of ASCII that it is a form of.
fn push(c: char, out: &mut String) {
    if let Some((_, capital)) = SMALL_CAPITALS.iter().find(|(small, _)| *small == c) {
        out.push(*capital);
        return;
    }
    // Negative circles and squares, which have no decomposition either.
    if let '\u{1f150}'..='\u{1f169}' | '\u{1f170}'..='\u{1f189}' = c {
        out.extend(char::from_u32('A' as u32 + (c as u32 - 0x1f150) % 0x20));
        return;
    }
    let has_meaning = matches!(c, 'ª' | '²' | '³' | '¹' | 'º' | '¼'..='¾' | '\u{2070}'..='\u{209c}' | '\u{2100}'..='\u{2101}'
        | '\u{2105}'..='\u{2106}' | '\u{2116}' | '\u{2120}'..='\u{2122}' | '\u{2150}'..='\u{215f}' | '\u{2189}');
    let is_form = matches!(c, '\u{b2}'..='\u{be}' | '\u{17f}' | '\u{1d2c}'..='\u{1d6a}' | '\u{2100}'..='\u{24ff}' | '\u{fb00}'..='\u{fb06}'
        | '\u{ff01}'..='\u{ff5e}' | '\u{1d400}'..='\u{1d7ff}' | '\u{1f100}'..='\u{1f149}');
    if is_form && !has_meaning {
        out.extend(std::iter::once(c).nfkc());
    } else if c == '\u{3000}' {
        out.push(' ');
    } else {
        out.push(c);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_in_other_clothes_are_letters() {
        for (written, read) in [
            ("plain $BTC :-) 10:30:00", "plain $BTC :-) 10:30:00"),
            ("ＢＴＣ　＄ＥＴＨ", "BTC $ETH"),
            ("𝐁𝐢𝐭𝐜𝐨𝐢𝐧 𝓼𝓸𝓵𝓪𝓷𝓪 𝔼𝕋ℍ 𝙱𝚃𝙲 𝟙𝟘𝟘", "Bitcoin solana ETH BTC 100"),
            ("Bit\u{200b}co\u{200d}in E\u{ad}TH S\u{2060}OL", "Bitcoin ETH SOL"),
            ("ⓑⓣⓒ 🅱🆃🅲 🄱🅃🄲 ʙᴛᴄ", "btc BTC BTC BTC"),
            ("caf\u{65}\u{301} recule\u{301}", "café reculé"),
            ("10 m² ™ ½ № …", "10 m² ™ ½ № …"),
            ("🅿 👨\u{200d}👩\u{200d}👧 ❤\u{fe0f}", "🅿 👨\u{200d}👩\u{200d}👧 ❤\u{fe0f}"),
            ("🔗 BTC falls", " BTC falls"),
            ("می\u{200c}خواهم", "می\u{200c}خواهم"),
            ("to the :moon: :rocket::rocket: :unknown: 12:30:15", "to the 🌔 🚀🚀 :unknown: 12:30:15"),
        ] {
            assert_eq!(fold(written), read, "{written}");
            assert_eq!(fold(read), read, "once is enough: {written}");
        }
        assert!(EMOJI.is_sorted_by_key(|(name, _)| name), "looked up by halves");
    }

    #[test]
    fn signs_name_their_coins() {
        for (written, read) in [
            ("₿0.5 and 2₿", "$BTC 0.5 and 2 $BTC"),
            ("₿ is up", "$BTC is up"),
            ("I hold Ξ10", "I hold $ETH 10"),
            ("10 Ξ for rent", "10 $ETH for rent"),
            ("Ð100 Ł5 ₳7 ꜩ3 ɱ2 ◎9", "$DOGE 100 $LTC 5 $ADA 7 $XTZ 3 $XMR 2 $SOL 9"),
            ("₿itcoin ₿TC ΞTH Ðogecoin", "Bitcoin BTC ETH Dogecoin"),
            ("◎ first ⓩ", "◎ first z"),
            ("Łódź Ðað Ξένος", "Łódź Ðað Ξένος"),
        ] {
            assert_eq!(fold(written), read, "{written}");
        }
    }
}
