//! The language of a post: ISO 639-1, or none with a reason.
//!
//! Trigram statistics (whatlang) are unsure about posts: short, full of names, tickers, links and handles. Hence:
//!
//! 1. Links, handles, cashtags, hashtags and words in capitals or with digits are left out, for they look alike everywhere.
//! 2. No letter at all: none, [`NO_LETTERS`].
//! 3. Mostly in another script than Latin: whatlang decides (a script narrows the languages to a few).
//! 4. Latin: function words vote. Each of the `FUNCTION_WORDS` lists counts its words in the text; the list with
//!    clearly the most wins. Where they leave a tie, a reliable whatlang verdict on enough letters decides.
//! 5. Else short plain text in ASCII is taken to be English, as crypto slang is English ("BTC to the moon"), and
//!    longer or accented text is none, [`UNRELIABLE`].
//!
//! Measured figures: `models/sentiment/README.md`, by the ignored test of this file.

use std::collections::HashSet;
use std::sync::LazyLock;

use whatlang::{Detector, Lang, Script, detect_script};

/// The text has no letter outside links, handles and tickers.
pub const NO_LETTERS: &str = "no letters";
/// The text could be in any of several languages.
pub const UNRELIABLE: &str = "language unclear";

/// What was detected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    /// ISO 639-1 code (two letters).
    Known(&'static str),
    /// None, and why.
    Unknown(&'static str),
}

impl Language {
    /// The code, if known.
    pub const fn code(self) -> Option<&'static str> {
        match self {
            Self::Known(code) => Some(code),
            Self::Unknown(_) => None,
        }
    }
}

/// Most characters that are looked at; the language of a long text shows in its beginning.
const MAX_CHARS: usize = 1000;

/// Up to this many letters, plain ASCII without any other sign is taken to be English.
const SHORT_LETTERS: usize = 60;

/// Fewest letters on which a whatlang verdict about a Latin text is believed.
const RELIABLE_LETTERS: usize = 40;

/// Function words by language, and for English the verbs of headlines. A word may be in several lists: it then decides
/// nothing between them.
const FUNCTION_WORDS: [(&str, &str); 9] = [
    (
        "en",
        "the and to of is are was were it i you my we they this that for with on have has had be been not will would can \
         could should just from what when who how why your his her their our if but or as at by an about out up down so \
         than then there here all more most some any very too don't i'm it's can't didn't isn't i've we're you're that's \
         he she them us its get got go going gonna im dont cant after before into over now again still back new off in \
         a do did does no me us may also only under below above amid says said sees plans reveals launches calls hits falls \
         rises surges plunges drops gains first years year day week today tomorrow tonight price market buy sell",
    ),
    (
        "fr",
        "le la les des du une et est sont dans pour sur avec que qui pas plus ce cette ces au aux ne se il elle nous vous \
         je tu mon ma ses leur leurs mais ou où par en été être après selon contre très tres trop comme fait faut son sa cet notre \
         nos votre vos suis es sommes êtes avons avez ont ai était etait étaient va vais vont peut peux veut veux moi toi lui eux \
         sans entre depuis encore toujours jamais aussi alors donc car oui non déjà deja ici là voilà quand quoi rien tout tous \
         toute toutes bien ça ca chez comment pourquoi quel quelle quels merci bonjour svp stp mdr ptdr jpp tkt bcp jsuis hier demain \
         aujourd'hui ans jours mois semaine année même enfin juste vraiment un de",
    ),
    (
        "de",
        "der die das und ist nicht ein eine einen einem einer den dem des mit von zu auf für im sich auch es ich wir sie \
         er aber nach bei aus wie wird werden hat haben noch über vor nur oder zum zur sind gegen mehr bis beim unter durch",
    ),
    (
        "es",
        "el la los las y que es en un una de del por con para se lo no su al como más pero sus este esta ha han muy ya \
         son fue hay sin sobre entre cuando porque está desde tras según yo mi te me nos",
    ),
    (
        "pt",
        "o a os as e que é em um uma de do da dos das por com para se não na no nas nos ao mais mas como seu sua foi são \
         está pelo pela já muito até após sobre entre você eu isso tem diz",
    ),
    (
        "it",
        "il lo la gli le e che è di del della dei delle un una in con per si non su al alla da dal nel nella più ma come \
         sono anche questo questa ha hanno i suo sua dopo contro chi cosa ci l'italia dell'",
    ),
    (
        "nl",
        "de het een en van ik is dat die niet in te voor met op zijn er maar om hij ze we aan ook als bij nog naar dan \
         wat door over uit heeft hebben wordt worden deze wel geen je jij mijn",
    ),
    (
        "tr",
        "ve bir bu da de için ile çok ne daha gibi ama en mi mu var yok olan olarak kadar sonra ben sen o biz şu ki her",
    ),
    (
        "id",
        "yang dan di ini itu untuk dengan dari tidak ada akan ke saya aku kamu bisa juga pada adalah sudah karena atau \
         lebih jadi kita mau tapi banyak gak nggak",
    ),
];

static WORD_SETS: LazyLock<Vec<(&'static str, HashSet<&'static str>)>> = LazyLock::new(|| {
    FUNCTION_WORDS.iter().map(|(code, words)| (*code, words.split_ascii_whitespace().collect())).collect()
});

/// Detects the language of a post.
pub fn detect(text: &str) -> Language {
    let words = telling_words(text);
    let plain = words.join(" ");
    let letters = plain.chars().filter(|c| c.is_alphabetic()).count();
    if letters == 0 {
        // Only tickers and capitals: judge those, so that "BTC TO THE MOON" and "$BTC" differ.
        return detect_capitals(text);
    }
    detect_plain(&words, &plain, letters)
}

fn detect_capitals(text: &str) -> Language {
    let words: Vec<String> = raw_words(text).map(str::to_lowercase).collect();
    let letters = words.iter().flat_map(|word| word.chars()).filter(|c| c.is_alphabetic()).count();
    if letters == 0 {
        return Language::Unknown(NO_LETTERS);
    }
    detect_plain(&words, &words.join(" "), letters)
}

fn detect_plain(words: &[String], plain: &str, letters: usize) -> Language {
    let latin = detect_script(plain) == Some(Script::Latin);
    if let Some(code) = vote(words).filter(|_| latin) {
        return Language::Known(code);
    }
    // The statistics cost far more than the vote, so they come only where it is silent.
    let info = Detector::new().detect(plain);
    if let Some(info) = info.as_ref().filter(|_| !latin) {
        return iso_639_1(info.lang()).map_or(Language::Unknown(UNRELIABLE), Language::Known);
    }
    let verdict = info.as_ref().filter(|info| info.is_reliable() && letters >= RELIABLE_LETTERS);
    if let Some(code) = verdict.and_then(|info| iso_639_1(info.lang())) {
        return Language::Known(code);
    }
    if plain.is_ascii() && letters <= SHORT_LETTERS {
        return Language::Known("en");
    }
    match info.map(|info| info.lang()) {
        Some(Lang::Eng) => Language::Known("en"),
        _ => Language::Unknown(UNRELIABLE),
    }
}

/// The language whose function words are clearly the most: more than any other's.
fn vote(words: &[String]) -> Option<&'static str> {
    let counts = WORD_SETS.iter().map(|(code, set)| {
        let says = |word: &&String| set.contains(word.as_str()) || (*code == "fr" && elided(word));
        (*code, words.iter().filter(says).count())
    });
    let mut best: (&str, usize) = ("", 0);
    let mut second = 0;
    for (code, hits) in counts {
        if hits > best.1 {
            second = best.1;
            best = (code, hits);
        } else {
            second = second.max(hits);
        }
    }
    (best.1 > second).then_some(best.0)
}

/// Whether a word begins with a French elision: `j'ai`, `qu'on`.
fn elided(word: &str) -> bool {
    ["j'", "c'", "n'", "qu'", "d'", "l'", "m'", "t'", "s'"].iter().any(|start| word.starts_with(start))
}

/// Whether a text has an emoji: a pictograph or a dingbat.
pub(crate) fn has_emoji(text: &str) -> bool {
    text.chars().any(|c| matches!(c, '\u{2600}'..='\u{27bf}' | '\u{1f300}'..='\u{1faff}'))
}

/// Words without links, handles, cashtags and hashtags, trimmed of punctuation.
fn raw_words(text: &str) -> impl Iterator<Item = &str> {
    let head = text.char_indices().nth(MAX_CHARS).map_or(text, |(end, _)| &text[..end]);
    head.split_whitespace()
        .filter(|word| !word.starts_with(['@', '#', '$']) && !word.contains("://") && !word.starts_with("www."))
        .map(|word| word.trim_matches(|c: char| !c.is_alphanumeric()))
        .filter(|word| !word.is_empty())
}

/// [`raw_words`] in lower case, without those with digits or in capitals (except `I`).
fn telling_words(text: &str) -> Vec<String> {
    let capitals = |word: &str| word.chars().count() > 1 && word.chars().all(char::is_uppercase);
    raw_words(text)
        .filter(|word| !capitals(word) && !word.contains(|c: char| c.is_ascii_digit()))
        .map(|word| word.replace('\u{2019}', "'").to_lowercase())
        .collect()
}

/// ISO 639-1 code of a whatlang language; none where there is no two-letter code.
fn iso_639_1(lang: Lang) -> Option<&'static str> {
    Some(match lang {
        Lang::Epo => "eo",
        Lang::Eng => "en",
        Lang::Rus => "ru",
        Lang::Cmn => "zh",
        Lang::Spa => "es",
        Lang::Por => "pt",
        Lang::Ita => "it",
        Lang::Ben => "bn",
        Lang::Fra => "fr",
        Lang::Deu => "de",
        Lang::Ukr => "uk",
        Lang::Kat => "ka",
        Lang::Ara => "ar",
        Lang::Hin => "hi",
        Lang::Jpn => "ja",
        Lang::Heb => "he",
        Lang::Yid => "yi",
        Lang::Pol => "pl",
        Lang::Amh => "am",
        Lang::Jav => "jv",
        Lang::Kor => "ko",
        Lang::Nob => "nb",
        Lang::Dan => "da",
        Lang::Swe => "sv",
        Lang::Fin => "fi",
        Lang::Tur => "tr",
        Lang::Nld => "nl",
        Lang::Hun => "hu",
        Lang::Ces => "cs",
        Lang::Ell => "el",
        Lang::Bul => "bg",
        Lang::Bel => "be",
        Lang::Mar => "mr",
        Lang::Kan => "kn",
        Lang::Ron => "ro",
        Lang::Slv => "sl",
        Lang::Hrv => "hr",
        Lang::Srp => "sr",
        Lang::Mkd => "mk",
        Lang::Lit => "lt",
        Lang::Lav => "lv",
        Lang::Est => "et",
        Lang::Tam => "ta",
        Lang::Vie => "vi",
        Lang::Urd => "ur",
        Lang::Tha => "th",
        Lang::Guj => "gu",
        Lang::Uzb => "uz",
        Lang::Pan => "pa",
        Lang::Aze => "az",
        Lang::Ind => "id",
        Lang::Tel => "te",
        Lang::Pes => "fa",
        Lang::Mal => "ml",
        Lang::Ori => "or",
        Lang::Mya => "my",
        Lang::Nep => "ne",
        Lang::Sin => "si",
        Lang::Khm => "km",
        Lang::Tuk => "tk",
        Lang::Aka => "ak",
        Lang::Zul => "zu",
        Lang::Sna => "sn",
        Lang::Afr => "af",
        Lang::Lat => "la",
        Lang::Slk => "sk",
        Lang::Cat => "ca",
        Lang::Tgl => "tl",
        Lang::Hye => "hy",
        Lang::Cym => "cy",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_english_posts_are_english() {
        for text in
            ["BTC to the moon", "gm", "wagmi", "got rekt", "rug pull", "BTC TO THE MOON", "LUNA is dead", "hodl!"]
        {
            assert_eq!(detect(text), Language::Known("en"), "{text}");
        }
    }

    #[test]
    fn other_languages_are_told_apart() {
        let cases = [
            ("de", "Der Bitcoin-Kurs fällt unter 30.000 Dollar und die Anleger sind nervös"),
            ("fr", "Le cours du bitcoin chute sous les 30 000 dollars après la décision de la banque centrale"),
            ("es", "El precio de bitcoin cae por debajo de los 30.000 dólares"),
            ("pt", "O preço do bitcoin não para de subir e os investidores estão felizes"),
            ("it", "Il prezzo di bitcoin scende sotto i 30.000 dollari, che cosa succede"),
            ("ru", "Цена биткоина упала ниже тридцати тысяч долларов"),
            ("zh", "比特币价格跌破三万美元"),
            ("ja", "ビットコインの価格が下がりました"),
            ("ko", "비트코인 가격이 하락했습니다"),
            ("tr", "Bitcoin çok güzel bir yatırım ve daha yükselecek"),
        ];
        for (code, text) in cases {
            assert_eq!(detect(text), Language::Known(code), "{text}");
        }
    }

    #[test]
    fn what_has_no_letters_has_a_reason() {
        for text in ["", "123 456", "$BTC", "https://example.org/a", "🚀🚀", "@someone"] {
            assert_eq!(detect(text), Language::Unknown(NO_LETTERS), "{text}");
        }
    }

    /// Prints the share of lines of a file per detected language:
    /// `VIGIE_LANGUAGE_FILE=FILE cargo test -p vigie-processors --lib language_shares -- --ignored --nocapture`
    #[test]
    #[ignore = "a measurement over a file named by VIGIE_LANGUAGE_FILE"]
    fn language_shares_of_a_file() {
        let path = std::env::var("VIGIE_LANGUAGE_FILE").expect("VIGIE_LANGUAGE_FILE names a text file");
        let text = std::fs::read_to_string(path).unwrap();
        let mut counts = std::collections::BTreeMap::new();
        for line in text.lines() {
            let language = detect(line.split_once('\t').map_or(line, |(_, text)| text));
            *counts.entry(format!("{language:?}")).or_insert(0) += 1;
            if language.code() != Some("en") && std::env::var_os("VIGIE_LANGUAGE_SHOW").is_some() {
                println!("{language:?}\t{line}");
            }
        }
        println!("{} lines: {counts:?}", text.lines().count());
    }
}
