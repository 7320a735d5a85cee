//! Which characters the bytes of a feed stand for.

mod code_pages;
mod label;

use chardetng::EncodingDetector;
use encoding_rs::{Encoding, UTF_8};

use label::Charset;

/// Decodes a feed to text: byte order mark, then UTF-8 if the bytes are valid UTF-8 with more than ASCII in them (no other encoding looks like that by
/// chance), then what the XML declaration says, then what HTTP says (RFC 7303 has these the other way round; real servers label every
/// feed alike), then what the bytes look like. What cannot be decoded becomes U+FFFD.
pub fn decode(bytes: &[u8], http: Option<&str>) -> String {
    if let Some((encoding, bom)) = Encoding::for_bom(bytes) {
        return encoding.decode_without_bom_handling(&bytes[bom..]).0.into_owned();
    }
    // Two characters of ASCII without a mark.
    match bytes {
        [0, (1..), 0, (1..), ..] => return encoding_rs::UTF_16BE.decode_without_bom_handling(bytes).0.into_owned(),
        [(1..), 0, (1..), 0, ..] => return encoding_rs::UTF_16LE.decode_without_bom_handling(bytes).0.into_owned(),
        _ => {}
    }
    // A document of bytes is not UTF-16, whatever it says.
    let is_usable =
        |charset: &Charset| !matches!(charset, Charset::Web(e) if *e == UTF_8 || e.name().starts_with("UTF-16"));
    let labels = [declared(bytes), http.map(str::to_owned)];
    let named: Vec<Charset> =
        labels.iter().flatten().filter_map(|label| label::find(label)).filter(is_usable).collect();
    // ISO-2022-JP has ASCII bytes for more than ASCII.
    if !bytes.contains(&0x1b)
        && let Ok(text) = std::str::from_utf8(bytes)
    {
        return text.to_owned();
    }
    for charset in &named {
        let (text, malformed) = charset.decode(bytes);
        if !malformed {
            return text;
        }
    }
    if let Some(charset) = named.first() {
        return charset.decode(bytes).0;
    }
    // Mostly UTF-8 with a few broken bytes, as a transfer or a careless generator leaves them.
    let lossy = String::from_utf8_lossy(bytes);
    let broken = lossy.matches('\u{fffd}').count();
    if broken * 3 < lossy.chars().filter(|c| !c.is_ascii()).count() && broken < 100 {
        return lossy.into_owned();
    }
    let mut detector = EncodingDetector::new();
    detector.feed(bytes, true);
    detector.guess(None, false).decode_without_bom_handling(bytes).0.into_owned()
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
        let not_wide = b"<?xml version='1.0' encoding='utf-16'?><a>plain</a>";
        assert_eq!(decode(not_wide, Some("utf-16")).as_bytes(), not_wide);
        assert_eq!(decode(b"<meta charset=\"iso-8859-2\"><a>\xb1</a>", None), "<meta charset=\"iso-8859-2\"><a>ą</a>");
    }

    #[test]
    fn code_pages_of_old_machines_are_read() {
        let xml = |label: &str, bytes: &[u8]| {
            let text =
                decode(&[format!("<?xml version='1.0' encoding='{label}'?><a>").as_bytes(), bytes].concat(), None);
            text.split_once("<a>").unwrap().1.to_owned()
        };
        for (label, bytes, text) in [
            ("cp437", &b"\x80\x9b\xe1"[..], "Ç¢ß"),
            ("IBM852", b"\xa5\xe3", "ąŃ"),
            ("csPC850Multilingual", b"\x82", "é"),
            ("cp_869", b"\xa2", "ό"),
            ("mac_turkish", b"\xdd", "ı"),
            ("cp949", b"\xb0\xa1", "가"),
            ("Shift_JIS_2004", b"\x82\xa0", "あ"),
            ("big5hkscs", b"\xa4\xa4", "中"),
            ("latin_1", b"\xe9", "é"),
            ("iso8859_15", b"\xa4", "€"),
        ] {
            assert_eq!(xml(label, bytes), text, "{label}");
        }
    }

    #[test]
    fn bytes_without_a_label_are_what_they_look_like() {
        let text = "<rss><channel><item><title>Курс биткоина вырос на десять процентов за неделю</title></item></channel></rss>";
        for encoding in [encoding_rs::KOI8_R, encoding_rs::WINDOWS_1251] {
            assert_eq!(decode(&encoding.encode(text).0, None), text);
        }
        let text = "<rss><channel><item><title>ビットコインの価格が一週間で上昇しました</title></item></channel></rss>";
        for encoding in [encoding_rs::SHIFT_JIS, encoding_rs::EUC_JP] {
            assert_eq!(decode(&encoding.encode(text).0, None), text);
        }
    }
}
