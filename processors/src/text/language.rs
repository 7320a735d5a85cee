//! The language of a post: ISO 639-1, or none with a reason.
//!
//! Trigram statistics (whatlang) are unsure about posts: short, full of names, tickers, links and handles. Hence:
//!
//! 1. Links, handles, cashtags, hashtags and words in capitals or with digits are left out, for they look alike everywhere.
//! 2. No letter at all: none, [`NO_LETTERS`].
//! 3. Mostly in another script than Latin: whatlang decides (a script narrows the languages to a few).
//! 4. Latin: function words vote. Each of the `FUNCTION_WORDS` lists counts its words in the text; the list with
//!    the most wins. In a short text, words of market news, accents and endings (`titles`) vote with them, and so
//!    does the language that the source declares, with a little more than one word: coins are called the same
//!    everywhere. Where they leave a tie, a reliable whatlang verdict on enough letters decides, and without it
//!    whatlang among those tied, unless English is one of them.
//! 5. Else short plain text in ASCII is taken to be English, as crypto slang is English ("BTC to the moon"), and
//!    longer or accented text is none, [`UNRELIABLE`].
//!
//! Measured figures: `models/sentiment/README.md`, by the ignored test of this file.

mod titles;

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

/// Texts of up to this many telling words are read as titles are.
const SHORT_WORDS: usize = 12;

/// What the language that a source declares adds, in tenths of a word; publishing tools say "en" of themselves.
const DECLARED: i32 = 12;
const DECLARED_ENGLISH: i32 = 6;

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
         nos ils elles dont vers dès malgré votre vos suis es sommes êtes avons avez ont ai était etait étaient va vais vont peut peux veut veux moi toi lui eux \
         sans entre depuis encore toujours jamais aussi alors donc car oui non déjà deja ici là voilà quand quoi rien tout tous \
         toute toutes bien ça ca chez comment pourquoi quel quelle quels merci bonjour svp stp mdr ptdr jpp tkt bcp jsuis hier demain \
         aujourd'hui ans jours mois semaine année même enfin juste vraiment un de",
    ),
    (
        "de",
        "der die das und ist nicht ein eine einen einem einer den dem des mit von zu auf für im sich auch es ich wir sie \
         er aber nach bei aus wie wird werden hat haben noch über vor nur oder zum zur sind gegen mehr bis beim unter durch \
         an in ab am um ihr ihre ihren sein seine uns dass wenn kann ohne vom",
    ),
    (
        "es",
        "el la los las y que es en un una de del por con para se lo no su al como más pero sus este esta ha han muy ya \
         son fue hay sin sobre entre cuando porque está desde tras según yo mi te me nos a ante hasta ni sus este estos",
    ),
    (
        "pt",
        "o a os as e que é em um uma de do da dos das por com para se não na no nas nos ao mais mas como seu sua foi são \
         está pelo pela já muito até após sobre entre você eu isso tem diz à às ou seus suas este esta esse essa ele ela",
    ),
    (
        "it",
        "il lo la gli le e che è di del della dei delle un una in con per si non su al alla da dal nel nella più ma come \
         sono anche questo questa ha hanno i suo sua dopo contro chi cosa ci l'italia dell' \
         a ad da dei degli ai sul sulla sui nei nelle tra fra o se ed",
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

/// Detects the language of a post. `declared` is what its source says, as a BCP 47 tag.
pub fn detect(text: &str, declared: Option<&str>) -> Language {
    let declared = declared.map(|tag| tag.split(['-', '_']).next().unwrap_or_default().to_ascii_lowercase());
    let declared = declared.as_deref();
    let words = telling_words(text);
    let plain = words.join(" ");
    let letters = plain.chars().filter(|c| c.is_alphabetic()).count();
    if letters == 0 {
        // Only tickers and capitals: judge those, so that "BTC TO THE MOON" and "$BTC" differ.
        return detect_capitals(text, declared);
    }
    detect_plain(&words, &plain, letters, declared)
}

fn detect_capitals(text: &str, declared: Option<&str>) -> Language {
    let words: Vec<String> = raw_words(text).map(str::to_lowercase).collect();
    let letters = words.iter().flat_map(|word| word.chars()).filter(|c| c.is_alphabetic()).count();
    if letters == 0 {
        return Language::Unknown(NO_LETTERS);
    }
    detect_plain(&words, &words.join(" "), letters, declared)
}

fn detect_plain(words: &[String], plain: &str, letters: usize, declared: Option<&str>) -> Language {
    let latin = detect_script(plain) == Some(Script::Latin);
    let winners = if latin { vote(words, declared) } else { Vec::new() };
    if let [code] = winners[..] {
        return Language::Known(code);
    }
    // The statistics cost far more than the vote, so they come only where it is silent.
    let info = Detector::new().detect(plain);
    if !latin {
        // A script narrows the languages to a few, which short texts do not separate.
        let of_source = Lang::all().iter().copied().find(|lang| iso_639_1(*lang) == declared);
        let unsure = info.as_ref().is_none_or(|info| !info.is_reliable());
        let said = of_source.filter(|_| unsure).and_then(|lang| Detector::with_allowlist(vec![lang]).detect(plain));
        let lang = said.or(info).and_then(|info| iso_639_1(info.lang()));
        return lang.map_or(Language::Unknown(UNRELIABLE), Language::Known);
    }
    let verdict = info.as_ref().filter(|info| info.is_reliable() && letters >= RELIABLE_LETTERS);
    if let Some(code) = verdict.and_then(|info| iso_639_1(info.lang())) {
        return Language::Known(code);
    }
    // Several languages, and English is none of them: one of these it is.
    if !winners.is_empty() && !winners.contains(&"en") {
        let tied =
            Lang::all().iter().copied().filter(|lang| iso_639_1(*lang).is_some_and(|code| winners.contains(&code)));
        let likely = Detector::with_allowlist(tied.collect()).detect(plain);
        return likely.and_then(|info| iso_639_1(info.lang())).map_or(Language::Unknown(UNRELIABLE), Language::Known);
    }
    let is_declared = |code: &&str| Some(*code) == declared;
    if let Some(code) = info.as_ref().and_then(|info| iso_639_1(info.lang())).filter(is_declared) {
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

/// The languages that have the most votes; none if nothing votes.
fn vote(words: &[String], declared: Option<&str>) -> Vec<&'static str> {
    let is_short = words.len() <= SHORT_WORDS;
    let mut votes: Vec<(&'static str, i32)> = WORD_SETS
        .iter()
        .map(|(code, set)| {
            let says = |word: &&String| set.contains(word.as_str()) || (*code == "fr" && elided(word));
            let prior = if declared != Some(*code) {
                0
            } else if *code == "en" {
                DECLARED_ENGLISH
            } else {
                DECLARED
            };
            (*code, 10 * words.iter().filter(says).count() as i32 + prior)
        })
        .collect();
    for word in words.iter().filter(|_| is_short) {
        for (code, more) in titles::LANGUAGES.iter().zip(titles::points(word)) {
            // What is a function word has voted already.
            let of = votes.iter_mut().zip(WORD_SETS.iter()).find(|((known, _), _)| known == code);
            if let Some(((_, sum), (_, set))) = of
                && !set.contains(word.as_str())
            {
                *sum += more;
            }
        }
    }
    let most = votes.iter().map(|(_, sum)| *sum).max().unwrap_or_default();
    votes.into_iter().filter(|(_, sum)| most > 0 && *sum == most).map(|(code, _)| code).collect()
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
            assert_eq!(detect(text, None), Language::Known("en"), "{text}");
        }
    }

    #[test]
    fn other_languages_are_distinguished() {
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
            assert_eq!(detect(text, None), Language::Known(code), "{text}");
        }
    }

    #[test]
    fn what_has_no_letters_has_a_reason() {
        for text in ["", "123 456", "$BTC", "https://example.org/a", "🚀🚀", "@someone"] {
            assert_eq!(detect(text, None), Language::Unknown(NO_LETTERS), "{text}");
        }
    }

    #[test]
    fn short_titles_are_distinguished_and_the_declared_language_counts() {
        for (text, code) in [
            ("Le Bitcoin recule", "fr"),
            ("Solana dégringole", "fr"),
            ("Ethereum chute de 8 %", "fr"),
            ("Binance condamné en France", "fr"),
            ("Bitcoin fällt weiter", "de"),
            ("Bitcoin cae con fuerza", "es"),
            ("Bitcoin cai novamente após decisão", "pt"),
            ("Bitcoin crolla ancora", "it"),
            ("Bitcoin bounces back", "en"),
        ] {
            assert_eq!(detect(text, None), Language::Known(code), "{text}");
        }
        let detected = |text, declared| detect(text, Some(declared)).code();
        assert_eq!(detected("Ethereum Solana Binance", "fr-FR"), Some("fr"));
        assert_eq!(detected("Bitcoin bounces back above resistance", "fr"), Some("en"));
        assert_eq!(detected("Le cours du bitcoin recule", "en-US"), Some("fr"));
        assert_eq!(detected("Биткоин падает", "ru"), Some("ru"));
        assert_eq!(detected("Биткоин падает", "bg"), Some("bg"));
        assert_ne!(detected("Биткоин падает", "en"), Some("en"));
    }

    /// Prints how many titles of each half of `models/language/titles.tsv` are right, without and with their language declared.
    #[test]
    fn titles_of_one_market_are_distinguished() {
        let set = concat!(env!("CARGO_MANIFEST_DIR"), "/../models/language/titles.tsv");
        let set = std::fs::read_to_string(set).unwrap();
        let mut counts = std::collections::BTreeMap::<(&str, &str), [usize; 3]>::new();
        for line in set.lines().skip(1) {
            let [code, half, title] = line.split('\t').collect::<Vec<_>>()[..] else { panic!("{line}") };
            let right = |declared| detect(title, declared).code() == Some(code);
            if !right(None) && std::env::var_os("VIGIE_LANGUAGE_SHOW").is_some() {
                println!("{half} {code} {:?} {title}", detect(title, None).code());
            }
            for key in [(half, code), (half, "all")] {
                let [all, alone, declared] = counts.entry(key).or_default();
                *all += 1;
                *alone += usize::from(right(None));
                *declared += usize::from(right(Some(code)));
            }
        }
        println!("{counts:?}");
        for half in ["tune", "test"] {
            let [all, alone, declared] = counts[&(half, "all")];
            assert!(all >= 150 && 100 * alone >= 90 * all && 100 * declared >= 98 * all, "{half}: {counts:?}");
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
            let language = detect(line.split_once('\t').map_or(line, |(_, text)| text), None);
            *counts.entry(format!("{language:?}")).or_insert(0) += 1;
            if language.code() != Some("en") && std::env::var_os("VIGIE_LANGUAGE_SHOW").is_some() {
                println!("{language:?}\t{line}");
            }
        }
        println!("{} lines: {counts:?}", text.lines().count());
    }
}
