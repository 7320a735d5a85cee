//! Names of months, weekdays and zones.

use jiff::civil::Weekday;
use jiff::tz::Offset;

/// Months by their first letters in the languages of Europe, in Turkish and in Indonesian. Where one start is part of another, the longer one decides.
pub(super) fn month(word: &str) -> Option<i8> {
    const STARTS: [&[&str]; 12] = [
        &["jan", "ene", "gen", "jän", "jén", "ian", "ιαν", "янв", "січ", "sty", "led", "oca", "tammi"],
        &["feb", "fév", "fev", "φεβ", "фев", "лют", "lut", "úno", "şub", "helmi"],
        &["mar", "mär", "mrz", "mrt", "maa", "μάρ", "μαρ", "μάώ", "μαώ", "már", "мар", "бер", "bře"],
        &["apr", "avr", "abr", "απρ", "ápr", "апр", "кві", "kwi", "dub", "nis", "huhti"],
        &[
            "may", "mai", "mag", "mei", "maj", "maí", "μάι", "μαϊ", "μαι", "μάϊ", "máj", "máu", "май", "мая", "тра",
            "kvě", "touko",
        ],
        &[
            "jun", "juin", "giu", "iun", "ιούν", "ιουν", "ιον", "jún", "июн", "чер", "cze", "červen", "čvn", "haz",
            "kesä",
        ],
        &[
            "jul",
            "juil",
            "lug",
            "iul",
            "ιούλ",
            "ιουλ",
            "ιολ",
            "júl",
            "июл",
            "лип",
            "lip",
            "červenec",
            "červenc",
            "čvc",
            "tem",
            "heinä",
        ],
        &["aug", "aoû", "aou", "ago", "agu", "ágú", "αύγ", "αυγ", "авг", "сер", "sie", "srp", "ağu", "elo"],
        &["sep", "set", "σεπ", "szep", "сен", "вер", "wrz", "zář", "eyl", "syys"],
        &["oct", "okt", "ott", "out", "οκτ", "окт", "жов", "paź", "říj", "eki", "loka"],
        &["nov", "nóv", "noi", "νοέ", "νοε", "ноя", "лис", "lis", "kas", "marras"],
        &["dec", "déc", "dez", "des", "dic", "δεκ", "дек", "гру", "gru", "pro", "ara", "joulu"],
    ];
    if ["mardi", "martes", "martedì", "martedi"].contains(&word) {
        return None;
    }
    let length = |starts: &[&str]| starts.iter().filter(|start| word.starts_with(**start)).map(|s| s.len()).max();
    let found = STARTS
        .iter()
        .enumerate()
        .filter_map(|(n, starts)| Some((length(starts)?, n)))
        .max_by_key(|(length, _)| *length);
    i8::try_from(found?.1 + 1).ok()
}

/// Weekdays by their first letters in English, French, Spanish, Portuguese, Italian and German.
pub(super) fn weekday(word: &str) -> Option<Weekday> {
    const STARTS: [&[&str]; 7] = [
        &["mon", "lun", "seg"],
        &["tue", "mar", "ter", "dienst"],
        &["wed", "mer", "mié", "mie", "qua", "mitt"],
        &["thu", "jeu", "jue", "gio", "qui", "donn"],
        &["fri", "ven", "vie", "sex", "frei"],
        &["sat", "sam", "sáb", "sab"],
        &["sun", "dim", "dom", "sonn"],
    ];
    let found = STARTS.iter().position(|starts| starts.iter().any(|start| word.starts_with(start)))?;
    Weekday::from_monday_zero_offset(i8::try_from(found).ok()?).ok()
}

/// Quarters of an hour east of UTC. Where a name has several meanings, that of North America counts, then that of Europe, as in RFC 5322.
pub(super) fn zone(name: &str) -> Option<i32> {
    let name = name.strip_prefix("etc/").unwrap_or(name);
    Some(match name {
        "z" | "gmt" | "ut" | "utc" | "wet" => 0,
        "cet" | "met" | "mez" | "bst" | "west" | "wat" => 4,
        "cest" | "mest" | "mesz" | "eet" | "cat" | "sast" => 8,
        "eest" | "msk" | "trt" | "eat" => 12,
        "irst" => 14,
        "msd" | "gst" => 16,
        "pkt" => 20,
        "ist" => 22,
        "npt" => 23,
        "ict" | "wib" => 28,
        "sgt" | "hkt" | "awst" | "pht" | "myt" => 32,
        "jst" | "kst" => 36,
        "acst" => 38,
        "aest" => 40,
        "acdt" => 42,
        "aedt" => 44,
        "nzst" => 48,
        "nzdt" => 52,
        "azot" => -4,
        "brst" => -8,
        "ndt" => -10,
        "brt" | "art" | "adt" | "clst" => -12,
        "nst" => -14,
        "ast" | "at" | "edt" | "clt" => -16,
        "est" | "et" | "cdt" | "cot" | "pet" => -20,
        "cst" | "ct" | "mdt" => -24,
        "mst" | "mt" | "pdt" => -28,
        "pst" | "pt" | "akdt" => -32,
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
        (&["오전", "上午", "午前"], " morning "),
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
    let is_korean = ['년', '월', '오'].iter().any(|sign| text.contains(*sign));
    let offset = if is_korean { Offset::from_seconds(9 * 3600).unwrap_or(Offset::UTC) } else { Offset::UTC };
    (out.trim_end_matches([':', ' ']).to_owned(), offset)
}
