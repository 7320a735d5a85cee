//! Encodings that write everything in ASCII bytes and that browsers have given up: HZ, ISO-2022-KR, UTF-7.

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SevenBit {
    /// RFC 1843.
    Hz,
    /// RFC 1557.
    Korean,
    /// RFC 2152.
    Utf7,
}

/// The one of this name, given in lower case and without anything but letters and digits.
pub(super) fn named(name: &str) -> Option<SevenBit> {
    match name {
        "hz" | "hzgb" | "hzgb2312" => Some(SevenBit::Hz),
        "iso2022kr" | "csiso2022kr" => Some(SevenBit::Korean),
        "utf7" | "u7" | "unicode11utf7" | "csunicode11utf7" => Some(SevenBit::Utf7),
        _ => None,
    }
}

impl SevenBit {
    /// The text, and whether some bytes stand for nothing.
    pub(super) fn decode(self, bytes: &[u8]) -> (String, bool) {
        let text = match self {
            Self::Hz => {
                let shifted = shift(bytes, b"~{", b"~}");
                encoding_rs::GBK.decode_without_bom_handling(&shifted).0.replace("~~", "~").replace("~\n", "")
            }
            Self::Korean => {
                let shifted = shift(bytes, b"\x0e", b"\x0f");
                encoding_rs::EUC_KR.decode_without_bom_handling(&shifted).0.replace("\x1b$)C", "")
            }
            Self::Utf7 => utf7(bytes),
        };
        let malformed = text.contains(char::REPLACEMENT_CHARACTER);
        (text, malformed)
    }
}

/// The bytes between two marks with their high bit set, the marks left out.
fn shift(bytes: &[u8], on: &[u8], off: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut is_on = false;
    let mut at = 0;
    while at < bytes.len() {
        let mark = if is_on { off } else { on };
        if bytes[at..].starts_with(mark) {
            is_on = !is_on;
            at += mark.len();
            continue;
        }
        out.push(if is_on && bytes[at] > b' ' { bytes[at] | 0x80 } else { bytes[at] });
        at += 1;
    }
    out
}

fn utf7(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        if *byte != b'+' {
            out.push(char::from(*byte));
            continue;
        }
        let end =
            after.iter().position(|b| !b.is_ascii_alphanumeric() && !matches!(b, b'+' | b'/')).unwrap_or(after.len());
        let (coded, left) = after.split_at(end);
        rest = left.strip_prefix(b"-").unwrap_or(left);
        if coded.is_empty() {
            out.push('+');
        } else {
            out.push_str(&units(coded));
        }
    }
    out
}

/// Base64 of UTF-16.
fn units(coded: &[u8]) -> String {
    let (mut held, mut bits) = (0_u32, 0_u32);
    let mut units = Vec::new();
    for byte in coded {
        let six = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            _ => 63,
        };
        held = ((held << 6) | u32::from(six)) & 0x3f_ffff;
        bits += 6;
        if bits >= 16 {
            bits -= 16;
            units.push((held >> bits) as u16);
        }
    }
    String::from_utf16_lossy(&units)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_read_back() {
        for (encoding, bytes, text) in [
            (SevenBit::Hz, &b"a ~{VPND2bJT~} ~~ b"[..], "a 中文测试 ~ b"),
            (SevenBit::Korean, b"\x1b$)Ca \x0eGQ19>n\x0f b", "a 한국어 b"),
            (SevenBit::Utf7, b"Gr+APwA3w-e 1 +- 1 +2D3eAA", "Grüße 1 + 1 😀"),
            (SevenBit::Utf7, b"+ZeVnLIqe", "日本語"),
        ] {
            assert_eq!(encoding.decode(bytes), (text.to_owned(), false), "{encoding:?}");
        }
        assert_eq!(named("utf7"), Some(SevenBit::Utf7));
    }
}
