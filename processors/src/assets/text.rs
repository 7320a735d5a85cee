//! Bytes, words and their borders.

/// Bytes of ASCII words.
const WORD: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 128 {
        table[byte] = (byte as u8).is_ascii_alphanumeric() || byte as u8 == b'_';
        byte += 1;
    }
    table
};

/// Lower case, and one byte for all that may be between the words of a name.
pub(super) const FOLD: [u8; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = match byte as u8 {
            b'\n' | b'-' => b' ',
            other => other.to_ascii_lowercase(),
        };
        byte += 1;
    }
    table
};

/// Whether an ASCII word character is at `at`.
pub(super) fn ascii_word(bytes: &[u8], at: usize) -> bool {
    bytes.get(at).is_some_and(|byte| WORD[usize::from(*byte)])
}

/// Whether a word character begins at `at`: `[0-9A-Za-z_À-ɏ]`.
pub(super) fn word_at(bytes: &[u8], at: usize) -> bool {
    match bytes.get(at) {
        Some(byte) if *byte < 0x80 => WORD[usize::from(*byte)],
        Some(0xc3..=0xc8) => true,
        Some(0xc9) => bytes.get(at + 1).is_some_and(|next| *next <= 0x8f),
        _ => false,
    }
}

/// Whether a word character ends at `at`.
pub(super) fn word_before(bytes: &[u8], at: usize) -> bool {
    let Some(last) = at.checked_sub(1) else { return false };
    match bytes.get(last) {
        Some(byte) if *byte < 0x80 => WORD[usize::from(*byte)],
        Some(_) => {
            last.checked_sub(1).is_some_and(|lead| bytes.get(lead).is_some_and(|b| *b >= 0xc0) && word_at(bytes, lead))
        }
        None => false,
    }
}

/// Whether a byte is ASCII white space, the vertical tab included.
pub(super) fn is_space(byte: u8) -> bool {
    byte == b' ' || (b'\t'..=b'\r').contains(&byte)
}

/// Bytes of the character that begins at `at`.
pub(super) fn char_len(lead: u8) -> usize {
    match lead {
        0..0xc0 => 1,
        0xc0..0xe0 => 2,
        0xe0..0xf0 => 3,
        _ => 4,
    }
}

/// Where the word that goes on at `at` ends.
pub(super) fn word_end(bytes: &[u8], mut at: usize) -> usize {
    loop {
        if ascii_word(bytes, at) {
            at += 1;
        } else if word_at(bytes, at) {
            at += 2;
        } else {
            return at;
        }
    }
}

/// Whether capitals separate two words at `at`, inside a hashtag: `Bitcoin|Halving`, `XRP|Army`, `Bitcoin|2024`.
pub(super) fn camel_border(bytes: &[u8], at: usize) -> bool {
    let (Some(before), Some(here)) = (at.checked_sub(1).and_then(|b| bytes.get(b)), bytes.get(at)) else {
        return false;
    };
    let lower_next = bytes.get(at + 1).is_some_and(u8::is_ascii_lowercase);
    let digits = before.is_ascii_alphabetic() && here.is_ascii_digit();
    digits || (here.is_ascii_uppercase() && (!before.is_ascii_uppercase() || lower_next))
}

/// A name of several words as one word.
pub(super) fn glued(name: &str) -> String {
    name.chars().filter(|c| ![' ', '-'].contains(c)).collect()
}

/// Whether most letters of a text of some length are capitals.
pub(super) fn in_capitals(text: &str) -> bool {
    let (mut upper, mut lower) = (0_usize, 0_usize);
    for byte in text.bytes() {
        upper += usize::from(byte.is_ascii_uppercase());
        lower += usize::from(byte.is_ascii_lowercase());
    }
    upper + lower >= 16 && upper >= 4 * lower
}

/// How a string is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// Without a capital.
    Small,
    /// With one capital, ahead.
    Capital,
    /// With capitals only.
    Capitals,
    /// In any other way.
    Mixed,
}

impl Form {
    pub(super) fn of(piece: &[u8]) -> Self {
        let upper = piece.iter().filter(|byte| byte.is_ascii_uppercase()).count();
        match (upper, piece.iter().any(u8::is_ascii_lowercase)) {
            (0, _) => Self::Small,
            (_, false) => Self::Capitals,
            (1, true) if piece.first().is_some_and(u8::is_ascii_uppercase) => Self::Capital,
            _ => Self::Mixed,
        }
    }
}
