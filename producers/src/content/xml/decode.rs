//! Character references, CDATA and base64 to text.

use std::cell::RefCell;
use std::collections::HashMap;

/// Names that are remembered per thread: more than HTML has in use, fewer than a hostile document can invent.
const MAX_NAMED: usize = 1000;

thread_local! {
    /// What names stand for, or that they stand for nothing.
    static NAMED: RefCell<HashMap<String, Option<String>>> = RefCell::default();
}

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
    let plain = match name {
        "amp" => "&",
        "lt" => "<",
        "gt" => ">",
        "quot" => "\"",
        "apos" => "'",
        "nbsp" => "\u{a0}",
        _ => "",
    };
    if !plain.is_empty() {
        return Some(plain.to_owned());
    }
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
    NAMED.with_borrow_mut(|named| {
        if let Some(known) = named.get(name) {
            return known.clone();
        }
        // The HTML parser knows the two thousand names.
        let reference = format!("&{name};");
        let document = scraper::Html::parse_fragment(&reference);
        let resolved: String = document.root_element().text().collect();
        let resolved = (resolved != reference && !resolved.is_empty() && !resolved.contains(';')).then_some(resolved);
        if named.len() < MAX_NAMED {
            named.insert(name.to_owned(), resolved.clone());
        }
        resolved
    })
}

/// The bytes that base64 stands for, as text; `None` if it is no base64.
pub(crate) fn base64(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    let (mut bits, mut held) = (0_u32, 0_u32);
    for byte in text.bytes().filter(|b| !b.is_ascii_whitespace() && *b != b'=') {
        let six = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            _ => return None,
        };
        held = (held << 6) | u32::from(six);
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            bytes.push((held >> bits) as u8);
            held &= (1 << bits) - 1;
        }
    }
    String::from_utf8(bytes).ok()
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
