//! Names of encodings: those of the web (encoding.spec.whatwg.org) and those that generators use besides.

use encoding_rs::Encoding;

use super::code_pages::{self, CodePage};

/// How bytes are read.
#[derive(Clone, Copy, Debug)]
pub(super) enum Charset {
    /// An encoding of the web.
    Web(&'static Encoding),
    /// A code page that the web does without.
    Page(CodePage),
}

impl Charset {
    /// The text, and whether some bytes stand for nothing.
    pub(super) fn decode(&self, bytes: &[u8]) -> (String, bool) {
        match self {
            Self::Web(encoding) => {
                let (text, malformed) = encoding.decode_without_bom_handling(bytes);
                (text.into_owned(), malformed)
            }
            Self::Page(page) => page.decode(bytes),
        }
    }
}

/// What a name stands for, whatever its hyphens and case.
pub(super) fn find(label: &str) -> Option<Charset> {
    let label = label.trim();
    if label.len() > 64 {
        return None;
    }
    let replacement = encoding_rs::REPLACEMENT;
    if let Some(encoding) = Encoding::for_label(label.as_bytes()).filter(|encoding| *encoding != replacement) {
        return Some(Charset::Web(encoding));
    }
    let bare: String = label.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase();
    if let Some(page) = code_pages::named(&bare) {
        return Some(Charset::Page(page));
    }
    let usual = match bare.as_str() {
        "cp949" | "ms949" | "uhc" | "ksc5601" | "ksx1001" | "euckr" => "euc-kr",
        "cp932" | "ms932" | "mskanji" | "sjis" | "shiftjis" | "shiftjis2004" | "sjis2004" | "shiftjisx0213"
        | "sjisx0213" => "shift_jis",
        "cp936" | "ms936" | "gb2312" | "euccn" | "eucgb2312cn" | "gbk" => "gbk",
        "gb18030" | "gb180302000" => "gb18030",
        "cp950" | "ms950" | "big5" | "big5tw" | "big5hkscs" | "hkscs" => "big5",
        "eucjp" | "ujis" | "eucjis2004" | "eucjisx0213" | "jisx0213" => "euc-jp",
        "iso2022jp" | "iso2022jp1" | "iso2022jp2" | "iso2022jp3" | "iso2022jpext" | "iso2022jp2004" => "iso-2022-jp",
        "ascii" | "usascii" | "us" | "646" | "iso646us" | "8859" | "cp819" | "latin" | "latin1" | "l1" => {
            "windows-1252"
        }
        "maccyrillic" | "maccyrilic" => "x-mac-cyrillic",
        "macroman" | "mac" | "macintosh" => "macintosh",
        "koi8r" => "koi8-r",
        "koi8u" => "koi8-u",
        "tis620" | "tis6200" | "cp874" | "thai" => "windows-874",
        "cp866" | "866" | "ibm866" => "ibm866",
        "utf8" | "u8" | "utf" | "utf8ucs2" | "unicode" => "utf-8",
        "latin2" => "iso-8859-2",
        "latin5" => "windows-1254",
        "latin9" => "iso-8859-15",
        "greek8" => "iso-8859-7",
        other => return numbered(other).map(Charset::Web),
    };
    Encoding::for_label(usual.as_bytes()).map(Charset::Web)
}

/// "iso8859n" and "cp125n", "win125n" and the like.
fn numbered(bare: &str) -> Option<&'static Encoding> {
    let split = bare.find(|c: char| c.is_ascii_digit())?;
    let (name, number) = bare.split_at(split);
    let label = match (name, number) {
        ("iso" | "isolatin" | "", _) if number.starts_with("8859") && number.len() > 4 => {
            format!("iso-8859-{}", &number[4..].trim_start_matches('0'))
        }
        ("cp" | "win" | "windows" | "ansi" | "mswin" | "microsoftcp" | "xcp" | "", _) if number.starts_with("125") => {
            format!("windows-{number}")
        }
        _ => return None,
    };
    Encoding::for_label(label.as_bytes())
}
