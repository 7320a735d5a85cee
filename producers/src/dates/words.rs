//! Names of months and zones.

use jiff::tz::Offset;

/// Months by their first letters: English, French, German, Spanish, Italian, Portuguese, Dutch, Greek, Hungarian, Polish, Russian and Turkish.
pub(super) fn month(word: &str) -> Option<i8> {
    const STARTS: [&[&str]; 12] = [
        &["jan", "ene", "gen", "jän", "ιαν", "янв", "sty", "oca"],
        &["feb", "fév", "fev", "φεβ", "фев", "lut", "şub"],
        &["mar", "mär", "mrz", "mrt", "μάρ", "μαρ", "már", "март", "мар"],
        &["apr", "avr", "abr", "απρ", "ápr", "апр", "kwi", "nis"],
        &["may", "mai", "mag", "mei", "maj", "μάι", "μαϊ", "μαι", "máj", "май", "мая"],
        &["jun", "juin", "giu", "ιούν", "ιουν", "ιον", "jún", "июн", "cze", "haz"],
        &["jul", "juil", "lug", "ιούλ", "ιουλ", "ιολ", "júl", "июл", "lip", "tem"],
        &["aug", "aoû", "aou", "ago", "αύγ", "αυγ", "авг", "sie", "ağu"],
        &["sep", "set", "σεπ", "szep", "сен", "wrz", "eyl"],
        &["oct", "okt", "ott", "out", "οκτ", "окт", "paź", "eki"],
        &["nov", "νοέ", "νοε", "ноя", "lis", "kas"],
        &["dec", "déc", "dez", "dic", "δεκ", "дек", "gru", "ara"],
    ];
    let found = STARTS.iter().position(|starts| starts.iter().any(|start| word.starts_with(start)))?;
    i8::try_from(found + 1).ok()
}

/// Quarters of an hour east of UTC.
pub(super) fn zone(name: &str) -> Option<i32> {
    Some(match name {
        "z" | "gmt" | "ut" | "utc" | "wet" => 0,
        "cet" | "mez" | "bst" | "west" => 4,
        "cest" | "mesz" | "eet" | "cat" | "sast" => 8,
        "eest" | "msk" | "trt" | "eat" => 12,
        "ist" => 22,
        "sgt" | "hkt" | "awst" => 32,
        "jst" | "kst" => 36,
        "aest" => 40,
        "aedt" => 44,
        "nzst" => 48,
        "nzdt" => 52,
        "brt" | "art" => -12,
        "ast" | "edt" => -16,
        "est" | "cdt" => -20,
        "cst" | "mdt" => -24,
        "mst" | "pdt" => -28,
        "pst" | "akdt" => -32,
        "akst" => -36,
        "hst" => -40,
        _ => return None,
    })
}

/// The text with the signs for year, month, day, hour and half of the day written as others write them, and the zone that is meant where none is said:
/// Korea's for Korean.
pub(super) fn without_ideographs(text: &str) -> (String, Offset) {
    if text.is_ascii() {
        return (text.to_owned(), Offset::UTC);
    }
    const SIGNS: [(&[&str], &str); 7] = [
        (&["년 ", "월 ", "년", "월", "年", "月"], "-"),
        (&["일", "日"], " "),
        (&["오전", "上午", "午前"], " am "),
        (&["오후", "下午", "午後"], " pm "),
        (&["시 ", "분 ", "시", "時", "时", "點", "点"], ":"),
        (&["분", "分"], ":"),
        (&["초", "秒"], ""),
    ];
    let mut out = text.to_owned();
    for (signs, plain) in SIGNS {
        for sign in signs {
            out = out.replace(sign, plain);
        }
    }
    let offset = if text.contains('년') { Offset::from_seconds(9 * 3600).unwrap_or(Offset::UTC) } else { Offset::UTC };
    (out.trim_end_matches([':', ' ']).to_owned(), offset)
}
