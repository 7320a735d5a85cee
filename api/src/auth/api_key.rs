//! API keys: `vigie_`, 10 digits that name the key, 32 that are secret, and 6 that check it; so scanners of repositories can find one that
//! was published, and tell it from anything else (`vigie_[0-9A-Za-z]{48}`).

use sha2::{Digest, Sha256};
use vigie_daemon::Secret;

const PREFIX: &str = "vigie_";
const ID_DIGITS: usize = 10;
const SECRET_DIGITS: usize = 32;
const CHECK_DIGITS: usize = 6;
const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// A key that was just made.
pub(crate) struct ApiKey {
    pub(crate) id: String,
    pub(crate) text: Secret,
}

/// What is stored of a key.
pub(crate) type KeyHash = [u8; 32];

impl ApiKey {
    /// A random one: 32 digits of 62 are 190 bits.
    pub(crate) fn random() -> Self {
        let digits = random_digits(ID_DIGITS + SECRET_DIGITS);
        let text = format!("{PREFIX}{digits}{}", check_digits(&digits));
        Self { id: digits[..ID_DIGITS].to_owned(), text: text.into() }
    }
}

/// Whether the text looks like a key, be it a wrong one.
pub(crate) fn is_key(text: &str) -> bool {
    text.starts_with(PREFIX)
}

/// The hash of a key; `None` if it cannot be one, as with a digit changed.
pub(crate) fn hash(text: &str) -> Option<KeyHash> {
    let digits = text.strip_prefix(PREFIX)?;
    if digits.len() != ID_DIGITS + SECRET_DIGITS + CHECK_DIGITS || !digits.bytes().all(|byte| DIGITS.contains(&byte)) {
        return None;
    }
    let (digits, check) = digits.split_at(ID_DIGITS + SECRET_DIGITS);
    (check_digits(digits) == check).then(|| Sha256::digest(text).into())
}

/// Digits of 62 without bias.
pub(crate) fn random_digits(count: usize) -> String {
    let mut digits = String::new();
    while digits.len() < count {
        let mut bytes = [0; 64];
        getrandom::fill(&mut bytes).expect("the system has randomness");
        let fair = bytes.iter().filter(|&&byte| usize::from(byte) < 4 * DIGITS.len());
        digits
            .extend(fair.take(count - digits.len()).map(|&byte| char::from(DIGITS[usize::from(byte) % DIGITS.len()])));
    }
    digits
}

fn check_digits(digits: &str) -> String {
    let mut rest = crc32fast::hash(digits.as_bytes());
    let mut check = [b'0'; CHECK_DIGITS];
    for digit in check.iter_mut().rev() {
        *digit = DIGITS[rest as usize % DIGITS.len()];
        rest /= DIGITS.len() as u32;
    }
    check.iter().map(|&digit| char::from(digit)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_distinguished_from_one_with_a_digit_changed() {
        let key = ApiKey::random();
        let text = key.text.reveal();
        assert!(hash(text).is_some() && text.contains(&key.id));
        assert_eq!(text.len(), 54);
        assert_ne!(hash(text), hash(ApiKey::random().text.reveal()));
        for at in PREFIX.len()..text.len() {
            let other = if text.as_bytes()[at] == b'7' { "8" } else { "7" };
            let changed = format!("{}{other}{}", &text[..at], &text[at + 1..]);
            assert_eq!(hash(&changed), None, "{changed}");
        }
        for wrong in ["", "vigie_", &text[..53], &format!("{text}0"), &text.replace("vigie_", "Vigie_")] {
            assert_eq!(hash(wrong), None, "{wrong}");
        }
    }
}
