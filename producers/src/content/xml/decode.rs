//! Character references, CDATA and base64 to text.

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use markup5ever::data::NAMED_ENTITIES;

/// Base64 as it comes: with or without padding, and cut anywhere.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Resolves character references once. The five of XML, numbers (those of windows-1252 as HTML reads them) and the names of HTML; unknown ones stay as they are.
pub(crate) fn references(text: &str) -> String {
    references_with(text, &|_| None)
}

/// The same, with names that the document itself explains.
pub(crate) fn references_with(text: &str, own: &dyn Fn(&str) -> Option<String>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let end = rest.bytes().take(34).position(|b| b == b';');
        let name = end.map(|end| &rest[1..end]).unwrap_or_default();
        let well_named = name.bytes().enumerate().all(|(n, b)| b.is_ascii_alphanumeric() || (n == 0 && b == b'#'));
        let resolved = || own(name).or_else(|| resolve(name).filter(|_| well_named));
        match end.filter(|_| !name.is_empty()).and_then(|end| Some((resolved()?, end))) {
            Some((resolved, end)) => {
                out.push_str(&resolved);
                rest = &rest[end + 1..];
            }
            None => {
                out.push('&');
                rest = &rest[1..];
            }
        }
    }
    out.push_str(rest);
    out
}

fn resolve(name: &str) -> Option<String> {
    if let Some(number) = name.strip_prefix('#') {
        let code = match number.strip_prefix(['x', 'X']) {
            Some(hex) => u32::from_str_radix(hex, 16),
            None => number.parse(),
        };
        let code = code.ok()?;
        if let Ok(byte) = u8::try_from(code)
            && (128..160).contains(&byte)
        {
            return Some(encoding_rs::WINDOWS_1252.decode_without_bom_handling(&[byte]).0.into_owned());
        }
        return Some(char::from_u32(code).unwrap_or('\u{fffd}').to_string());
    }
    let (first, second) = NAMED_ENTITIES.get(&format!("{name};"))?;
    [*first, *second].into_iter().filter(|code| *code != 0).map(char::from_u32).collect()
}

/// The bytes that base64 stands for, as text; `None` if it is no base64.
pub(crate) fn base64(text: &str) -> Option<String> {
    let letters = text.chars().filter(|c| !c.is_ascii_whitespace() && *c != '=');
    // The alphabet of addresses is read, too.
    let mut plain: String = letters
        .map(|c| {
            if c == '-' {
                '+'
            } else if c == '_' {
                '/'
            } else {
                c
            }
        })
        .collect();
    if plain.len() % 4 == 1 {
        plain.pop();
    }
    String::from_utf8(BASE64.decode(plain).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_resolved_once_and_unknown_ones_stay() {
        let text = "a &amp;lt; b &#65;&#x1F600;&#147;&eacute;&nbsp;&bogus; &; & &#xFFFFFFFF; &unfinished";
        assert_eq!(references(text), "a &lt; b A😀“é\u{a0}&bogus; &; & \u{fffd} &unfinished");
        assert_eq!(references("a&zwnj;b&ensp;c&#x2060;d&thinsp;"), "a\u{200c}b\u{2002}c\u{2060}d\u{2009}");
    }

    #[test]
    fn base64_is_read_with_and_without_padding() {
        assert_eq!(base64("PHA+SGVsbG88L3A+").as_deref(), Some("<p>Hello</p>"));
        assert_eq!(base64("SG\nk=").as_deref(), Some("Hi"));
        assert_eq!(base64("not base64!"), None);
    }
}
