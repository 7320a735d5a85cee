//! Which characters the bytes of a feed stand for.

use encoding_rs::{Encoding, UTF_8, WINDOWS_1252};

/// Decodes a feed to text: byte order mark, then UTF-8 if the bytes are valid UTF-8 with more than ASCII in them (no other encoding looks like that by
/// chance), then what the XML declaration says, then what HTTP says (RFC 7303 has these the other way round; real servers label every
/// feed alike), then windows-1252. What cannot be decoded becomes U+FFFD.
pub fn decode(bytes: &[u8], http: Option<&str>) -> String {
    if let Some(text) = utf32(bytes) {
        return text;
    }
    if let Some((encoding, bom)) = Encoding::for_bom(bytes) {
        return encoding.decode_without_bom_handling(&bytes[bom..]).0.into_owned();
    }
    let declared = declared(bytes).and_then(|label| Encoding::for_label(label.as_bytes()));
    let http = http.and_then(|label| Encoding::for_label(label.as_bytes()));
    if let Ok(text) = std::str::from_utf8(bytes) {
        let escapes = bytes.contains(&0x1b);
        if !escapes && (!bytes.is_ascii() || declared.or(http).is_none_or(Encoding::is_ascii_compatible)) {
            return text.to_owned();
        }
    }
    if bytes.len() >= 4 && bytes[..4].contains(&0) {
        let utf16 = if bytes[0] == 0 { encoding_rs::UTF_16BE } else { encoding_rs::UTF_16LE };
        return utf16.decode_without_bom_handling(bytes).0.into_owned();
    }
    let declared = declared.filter(|encoding| *encoding != UTF_8);
    let http = http.filter(|encoding| *encoding != UTF_8);
    for encoding in [declared, http].into_iter().flatten() {
        let (text, malformed) = encoding.decode_without_bom_handling(bytes);
        if !malformed {
            return text.into_owned();
        }
    }
    // Mostly UTF-8 with a few broken bytes, as a transfer or a careless generator leaves them.
    let lossy = String::from_utf8_lossy(bytes);
    let broken = lossy.matches('\u{fffd}').count();
    if declared.or(http).is_none()
        && broken * 3 < lossy.chars().filter(|c| !c.is_ascii()).count().max(1) * 2
        && broken < 100
    {
        return lossy.into_owned();
    }
    declared.or(http).unwrap_or(WINDOWS_1252).decode_without_bom_handling(bytes).0.into_owned()
}

/// UTF-32, which the web's own list of encodings leaves out; known by its byte order mark or by the zeros around the first `<`.
fn utf32(bytes: &[u8]) -> Option<String> {
    let read: fn([u8; 4]) -> u32 = match bytes.get(..4)? {
        [0xff, 0xfe, 0, 0] | [b'<', 0, 0, 0] => u32::from_le_bytes,
        [0, 0, 0xfe, 0xff] | [0, 0, 0, b'<'] => u32::from_be_bytes,
        _ => return None,
    };
    let codes = bytes.chunks_exact(4).filter_map(|four| four.try_into().ok()).map(read);
    let text: String = codes.map(|code| char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER)).collect();
    Some(text.trim_start_matches('\u{feff}').to_owned())
}

/// The encoding that the XML declaration names, or a page's meta element.
fn declared(bytes: &[u8]) -> Option<String> {
    let head: String = bytes.iter().take(4096).map(|byte| char::from(*byte)).collect();
    if !head.contains("<?xml") {
        let head = head.to_ascii_lowercase();
        let named = head.split("<meta").skip(1).find_map(|meta| meta.split('>').next()?.split("charset").nth(1))?;
        let named = named.trim_start().strip_prefix('=')?.trim_start().trim_start_matches(['"', '\'']);
        return named.split(['"', '\'', ' ', ';', '/']).next().map(str::to_owned).filter(|label| !label.is_empty());
    }
    let declaration = head.split("<?xml").nth(1)?.split("?>").next()?;
    let value = declaration.split("encoding").nth(1)?.trim_start().strip_prefix('=')?.trim_start();
    let quote = value.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    Some(value[1..].split(quote).next()?.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_declaration_decides_where_bytes_are_not_utf8() {
        assert_eq!(
            decode(b"<?xml version='1.0' encoding='ISO-8859-2'?><a>\xb1</a>", Some("iso-8859-1")).chars().nth(46),
            Some('ą')
        );
        assert_eq!(decode(b"<a>\xe9</a>", Some("iso-8859-1")), "<a>é</a>");
        assert_eq!(decode(b"<a>\x93x\x94</a>", None), "<a>“x”</a>");
    }

    #[test]
    fn valid_utf8_wins_over_a_wrong_label() {
        let text = "<?xml version='1.0' encoding='ISO-8859-1'?><a>é</a>";
        assert_eq!(decode(text.as_bytes(), Some("windows-1252")), text);
    }

    #[test]
    fn byte_order_marks_and_wide_encodings_are_known() {
        let wide: Vec<u8> = "\u{feff}<a>é</a>".encode_utf16().flat_map(u16::to_le_bytes).collect();
        assert_eq!(decode(&wide, None), "<a>é</a>");
        let bare: Vec<u8> = "<a>é</a>".encode_utf16().flat_map(u16::to_be_bytes).collect();
        assert_eq!(decode(&bare, None), "<a>é</a>");
        assert_eq!(decode(b"\xef\xbb\xbf<a/>", Some("latin1")), "<a/>");
        let quads: Vec<u8> = "\u{feff}<a>é😀</a>".chars().flat_map(|c| u32::from(c).to_be_bytes()).collect();
        assert_eq!(decode(&quads, None), "<a>é😀</a>");
        assert_eq!(decode(b"<meta charset=\"iso-8859-2\"><a>\xb1</a>", None), "<meta charset=\"iso-8859-2\"><a>ą</a>");
    }
}
