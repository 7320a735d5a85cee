//! What turns the tone of its words around: "charges dropped" is good news, "rally fades" is not.
//! `models/sentiment/README.md` explains and measures it, `turns.py` there learns the weights and has
//! the same rules.
//!
//! ```text
//! text ─▶ clauses of words ─▶ their classes (turns.words) ─▶ events and what is said of each
//!                                                               ─▶ features ─▶ shift of the logits
//! ```
//!
//! Features are counts, so they are the same everywhere.

use std::collections::{BTreeMap, HashMap};

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::canonical_combining_class;

/// The weights of one language: what each of [`FEATURES`] adds to the logits.
pub(super) type Weights = BTreeMap<String, [f64; 3]>;

/// Names of the features in the weights; the order is that of [`Feature`].
pub(super) const FEATURES: [&str; 8] = ["relief", "letdown", "worse", "better", "up", "down", "fine", "poor"];

/// What is said in a clause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Feature {
    Relief,
    Letdown,
    Worse,
    Better,
    Up,
    Down,
    Fine,
    Poor,
}

/// Class of a word, or of some that belong together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Events, bad and good.
    Harm,
    Good,
    /// Operators: what they say of an event; `Up` and `Down` say something of a price without one.
    Less,
    Mend,
    More,
    Up,
    Down,
    /// Denies another operator; `No` denies the event itself, too.
    Not,
    No,
    /// Says all of it alone.
    Fine,
    Poor,
    /// The sentence says nothing for sure.
    Maybe,
    /// Joins events, bars an operator from what follows, ends a clause, none of these.
    Of,
    At,
    Stop,
    Skip,
}

const KINDS: [(&str, Kind); 16] = [
    ("harm", Kind::Harm),
    ("good", Kind::Good),
    ("less", Kind::Less),
    ("mend", Kind::Mend),
    ("more", Kind::More),
    ("up", Kind::Up),
    ("down", Kind::Down),
    ("not", Kind::Not),
    ("no", Kind::No),
    ("fine", Kind::Fine),
    ("poor", Kind::Poor),
    ("maybe", Kind::Maybe),
    ("of", Kind::Of),
    ("at", Kind::At),
    ("stop", Kind::Stop),
    ("skip", Kind::Skip),
];

/// How many words before an operator the event may stand, how many behind it, and how far behind a
/// negation what it denies.
const REACH: usize = 6;
const REACH_BEFORE: usize = 4;
const REACH_NOT: usize = 2;

/// How far behind an event another may stand that is joined to it.
const REACH_JOINED: usize = 4;

/// What is left of elided words, as in "s'envole" and "l'inflation".
const ELIDED: [&str; 8] = ["s", "l", "n", "c", "j", "m", "t", "qu"];

/// The words of one language, and what features weigh in it.
#[derive(Debug, Default)]
struct Lexicon {
    words: HashMap<String, Kind>,
    /// By the first word: the others, and the class; the longest first.
    phrases: HashMap<String, Vec<(Vec<String>, Kind)>>,
    stems: HashMap<String, Kind>,
    weights: [[f64; 3]; FEATURES.len()],
}

/// The words and weights of all languages.
#[derive(Debug)]
pub(super) struct Turns {
    languages: HashMap<String, Lexicon>,
}

impl Turns {
    /// Reads the contents of a file of words; languages without weights shift nothing.
    ///
    /// # Errors
    /// What was found, and what was expected.
    pub(super) fn read(bytes: &[u8], weights: &BTreeMap<String, Weights>) -> Result<Self, String> {
        let text = std::str::from_utf8(bytes).map_err(|error| error.to_string())?;
        let mut languages: HashMap<String, Lexicon> = HashMap::new();
        for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let parts: Vec<_> = line.split('\t').collect();
            let [language, kind, words] = parts[..] else {
                return Err(format!("line {line:?}, expected language, class and words"));
            };
            let known = KINDS.iter().find(|(name, _)| *name == kind);
            let (_, kind) = known.ok_or_else(|| format!("class {kind:?}, expected one of {:?}", KINDS.map(|k| k.0)))?;
            let lexicon = languages.entry(language.to_owned()).or_default();
            for word in words.split(' ') {
                if let Some(stem) = word.strip_suffix('*') {
                    lexicon.stems.insert(stem.to_owned(), *kind);
                } else if let Some((first, rest)) = word.split_once('_') {
                    let rest = rest.split('_').map(str::to_owned).collect();
                    lexicon.phrases.entry(first.to_owned()).or_default().push((rest, *kind));
                } else {
                    lexicon.words.insert(word.to_owned(), *kind);
                }
            }
        }
        let phrases = languages.values_mut().flat_map(|lexicon| lexicon.phrases.values_mut());
        phrases.for_each(|phrases| phrases.sort_by_key(|(rest, _)| std::cmp::Reverse(rest.len())));
        languages.retain(|language, _| weights.contains_key(language));
        for (language, given) in weights {
            let lexicon = languages.get_mut(language).ok_or_else(|| format!("no words for language {language}"))?;
            if let Some(name) = given.keys().find(|name| !FEATURES.contains(&name.as_str())) {
                return Err(format!("no feature {name:?} of language {language}"));
            }
            // Learning leaves out the features that turned out not to matter.
            lexicon.weights = FEATURES.map(|name| given.get(name).copied().unwrap_or_default());
        }
        Ok(Self { languages })
    }

    /// What is added to the logits of a text; nothing in a language without weights.
    pub(super) fn shift(&self, text: &str, language: Option<&str>) -> [f64; 3] {
        let Some(lexicon) = language.and_then(|language| self.languages.get(language)) else { return [0.0; 3] };
        let (counts, sentences) = lexicon.features(text, language == Some("fr"));
        let (mut shift, mut weighed) = ([0.0; 3], 0);
        for (count, weights) in counts.iter().zip(&lexicon.weights).filter(|(_, weights)| **weights != [0.0; 3]) {
            weighed += count;
            for (sum, weight) in shift.iter_mut().zip(weights) {
                *sum += f64::from(*count) * weight;
            }
        }
        // A post of many sentences is not turned around by one of them.
        shift.map(|sum| sum / f64::from(sentences.max(weighed).max(1)))
    }
}

impl Lexicon {
    /// How often each feature occurs, and the number of sentences.
    fn features(&self, text: &str, elides: bool) -> ([u32; FEATURES.len()], u32) {
        let (mut counts, mut sentences) = ([0; FEATURES.len()], 0);
        let (mut words, mut sentence, mut is_sure, mut is_empty) = (Vec::new(), Vec::new(), true, true);
        for token in tokens(text) {
            let ends = match token {
                Token::Word(word) => {
                    if !(elides && ELIDED.contains(&word.as_str())) {
                        words.push(word);
                    }
                    continue;
                }
                Token::Clause => None,
                Token::Sentence { asks } => Some(asks),
            };
            for clause in self.kinds(&words).split(|kind| *kind == Some(Kind::Stop)) {
                is_sure &= !clause.contains(&Some(Kind::Maybe));
                is_empty &= clause.is_empty();
                sentence.extend(read(clause));
            }
            words.clear();
            let Some(asks) = ends else { continue };
            if is_sure && !asks {
                sentence.iter().for_each(|feature| counts[*feature as usize] += 1);
            }
            sentences += u32::from(!is_empty);
            sentence.clear();
            (is_sure, is_empty) = (true, true);
        }
        (counts, sentences)
    }

    /// The classes of a run of words; the longest entry wins.
    fn kinds(&self, words: &[String]) -> Vec<Option<Kind>> {
        let (mut kinds, mut from) = (Vec::with_capacity(words.len()), 0);
        while from < words.len() {
            let word = &words[from];
            let phrases = self.phrases.get(word).into_iter().flatten();
            let phrase = phrases.into_iter().find(|(rest, _)| words[from + 1..].starts_with(rest));
            let (kind, size) = match phrase {
                Some((rest, kind)) => (Some(*kind), 1 + rest.len()),
                None => (self.words.get(word).copied().or_else(|| self.stem(word)), 1),
            };
            kinds.push(kind);
            from += size;
        }
        kinds
    }

    /// The class of the longest stem, of three letters at least.
    fn stem(&self, word: &str) -> Option<Kind> {
        let mut ends = (3..=word.len()).rev().filter(|end| word.is_char_boundary(*end));
        ends.find_map(|end| self.stems.get(&word[..end]).copied())
    }
}

enum Token {
    Word(String),
    /// The end of a clause.
    Clause,
    /// The end of a sentence, and whether that is a question.
    Sentence {
        asks: bool,
    },
}

/// Words in lower case without accents, numbers as "0", signs of percentages, and the ends of clauses
/// and sentences.
fn tokens(text: &str) -> Vec<Token> {
    let letters: Vec<char> =
        text.to_lowercase().nfd().filter(|letter| canonical_combining_class(*letter) == 0).collect();
    let (mut tokens, mut at) = (Vec::new(), 0);
    let is_digit = |at: usize| letters.get(at).is_some_and(char::is_ascii_digit);
    // Points and commas inside a number.
    let joins =
        |at: usize| at > 0 && matches!(letters.get(at), Some('.' | ',')) && is_digit(at - 1) && is_digit(at + 1);
    while let Some(letter) = letters.get(at) {
        let start = at;
        at += 1;
        match letter {
            _ if letter.is_alphanumeric() => {
                while letters.get(at).is_some_and(|next| next.is_alphanumeric()) || joins(at) {
                    at += 1;
                }
                tokens.push(Token::Word(with_numbers(&letters[start..at])));
            }
            '.' | '!' | '?' | '\n' => {
                while matches!(letters.get(at), Some('.' | '!' | '?' | '\n')) {
                    at += 1;
                }
                tokens.push(Token::Sentence { asks: letters[start..at].contains(&'?') });
            }
            ',' | ';' | ':' | '(' | ')' | '[' | ']' | '|' | '–' | '—' | '…' | '"' | '«' | '»' => {
                tokens.push(Token::Clause)
            }
            '+' | '-' if (start == 0 || letters[start - 1].is_whitespace()) && is_digit(at) => {
                let rest = letters[at..].iter().skip_while(|next| next.is_ascii_digit() || matches!(next, '.' | ','));
                let mut rest = rest.take(2);
                let sign = match rest.next() {
                    Some(space) if space.is_whitespace() => rest.next(),
                    sign => sign,
                };
                if sign == Some(&'%') {
                    tokens.push(Token::Word(letter.to_string()));
                }
            }
            _ => {}
        }
    }
    tokens.push(Token::Sentence { asks: false });
    tokens
}

/// A word with one zero for each number.
fn with_numbers(letters: &[char]) -> String {
    let (mut word, mut is_number) = (String::new(), false);
    for letter in letters {
        let continues = letter.is_ascii_digit() || matches!(letter, '.' | ',');
        if !(is_number && continues) {
            word.push(if continues { '0' } else { *letter });
        }
        is_number = continues;
    }
    word
}

/// The features of a clause, given the classes of its words.
fn read(kinds: &[Option<Kind>]) -> Vec<Feature> {
    let mut events = events(kinds);
    let moves = |kind: &Option<Kind>| matches!(kind, Some(Kind::Up | Kind::Down));
    let alone: Vec<_> =
        (0..kinds.len()).filter(|at| moves(&kinds[*at]) && nearest(kinds, &events, *at).is_none()).collect();
    events.extend(alone);
    // Of each event what the nearest operator says (how far it is, whether it lowers it), and
    // whether that is denied.
    let mut said: Vec<Option<(usize, bool)>> = vec![None; kinds.len()];
    let mut denied = vec![false; kinds.len()];
    for (at, kind) in kinds.iter().enumerate() {
        let Some(kind) = kind.filter(|kind| operates(*kind) && !events.contains(&at)) else { continue };
        let denies = matches!(kind, Kind::Not | Kind::No);
        let place = if denies {
            // "N'est pas levée", but "ne baisse pas".
            let mut near = (at + 1..kinds.len().min(at + 1 + REACH_NOT)).chain(at.checked_sub(1));
            near.find(|other| events.contains(other) || kinds[*other].is_some_and(operates))
        } else {
            Some(at)
        };
        let Some(about) = place.and_then(|place| nearest(kinds, &events, place)) else { continue };
        if denies {
            denied[about] = !denied[about];
        }
        if kind == Kind::No {
            said[about].get_or_insert((REACH + 1, false));
        } else if !denies {
            let mends = kind == Kind::Mend && kinds[about] == Some(Kind::Harm);
            let here = (about.abs_diff(at), mends || matches!(kind, Kind::Less | Kind::Down));
            said[about] = Some(said[about].map_or(here, |other| other.min(here)));
        }
    }
    let alone = kinds.iter().filter_map(|kind| match kind {
        Some(Kind::Fine) => Some(Feature::Fine),
        Some(Kind::Poor) => Some(Feature::Poor),
        _ => None,
    });
    let of_event = |at: usize| {
        let turns = said[at].is_some_and(|(_, lowers)| lowers != denied[at]);
        Some(match (kinds[at]?, turns, said[at]) {
            (Kind::Good | Kind::Up, true, _) => Feature::Letdown,
            (_, true, _) => Feature::Relief,
            (Kind::Up, ..) => Feature::Up,
            (Kind::Down, ..) => Feature::Down,
            (_, _, None) => return None,
            (Kind::Good, ..) => Feature::Better,
            _ => Feature::Worse,
        })
    };
    alone.chain(events.iter().filter_map(|at| of_event(*at))).collect()
}

/// Where the events are; in "inflation fears", "fears of inflation" and "tax on gains" the head stands
/// for both.
fn events(kinds: &[Option<Kind>]) -> Vec<usize> {
    let mut events: Vec<usize> = Vec::new();
    for at in (0..kinds.len()).filter(|at| matches!(kinds[*at], Some(Kind::Harm | Kind::Good))) {
        match events.last_mut() {
            Some(last) if *last + 1 == at => *last = at,
            Some(last) if at <= *last + REACH_JOINED && is_joined(&kinds[*last + 1..at]) => {}
            _ => events.push(at),
        }
    }
    events
}

fn is_joined(between: &[Option<Kind>]) -> bool {
    let joins = between.iter().any(|kind| matches!(kind, Some(Kind::Of | Kind::At)));
    joins && !between.iter().any(|kind| kind.is_some_and(operates))
}

fn operates(kind: Kind) -> bool {
    matches!(kind, Kind::Less | Kind::Mend | Kind::More | Kind::Up | Kind::Down | Kind::Not | Kind::No)
}

/// The event that the operator there is about: a preposition is in the way of one that follows.
fn nearest(kinds: &[Option<Kind>], events: &[usize], at: usize) -> Option<usize> {
    let is_near = |other: usize| {
        let (before, after) = (other <= at && at - other <= REACH, other > at && other - at <= REACH_BEFORE);
        before || (after && !kinds[at..other].contains(&Some(Kind::At)))
    };
    let near = events.iter().copied().filter(|other| is_near(*other));
    near.min_by_key(|other| (other.abs_diff(at), *other < at))
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORDS: &str = "# words\nen\tharm\tlawsuit* fears loss\nen\tgood\trally support\nen\tless\tdrop* fade* narrow* struck_down\n\
        en\tmend\trecover*\nen\tmore\tfile*\nen\tup\tsoar*\nen\tdown\tfall*\nen\tnot\tnot\nen\tno\tno\nen\tat\ton\nen\tof\tof\n\
        en\tstop\tas\nen\tmaybe\tif\nfr\tno\tpas\nfr\tup\thausse envole\nfr\tdown\tperd_0 -_0\nfr\tless\tcale\n";

    fn features(language: &str, text: &str) -> (Vec<&'static str>, u32) {
        let weights = [("en".to_owned(), Weights::new()), ("fr".to_owned(), Weights::new())].into();
        let turns = Turns::read(WORDS.as_bytes(), &weights).unwrap();
        let (counts, sentences) = turns.languages[language].features(text, language == "fr");
        let names = FEATURES.iter().zip(counts).flat_map(|(name, count)| std::iter::repeat_n(*name, count as usize));
        (names.collect(), sentences)
    }

    #[test]
    fn what_is_said_of_an_event_turns_it_around() {
        for (text, expected) in [
            ("SEC drops the LAWSUIT", &["relief"][..]),
            ("Lawsuit against the old exchange struck down", &["relief"]),
            ("New lawsuit filed", &["worse"]),
            ("The lawsuit is not dropped", &["worse"]),
            ("No loss at all", &["relief"]),
            ("Rally fades", &["letdown"]),
            ("Rally fades on fears", &["letdown"]),
            ("Bitcoin falls on fears", &["down"]),
            ("Fears of a loss fade as shares soar", &["relief", "up"]),
            ("Lawsuit on the rally dropped", &["relief"]),
            ("Rally, fears: nothing is said of them", &[]),
            ("Lawsuit dropped?", &[]),
            ("It matters if the lawsuit is dropped", &[]),
        ] {
            assert_eq!(features("en", text).0, expected, "{text}");
        }
        assert_eq!(
            features("fr", "L’Éther s'envole. La hausse cale ; il perd 1,5 %"),
            (vec!["letdown", "up", "down"], 2)
        );
        assert_eq!(features("fr", "Ether -5 % (de 3-5 %)"), (vec!["down"], 1));
        assert_eq!(features("fr", "La hausse ne cale pas"), (vec!["up"], 1));
    }

    #[test]
    fn a_feature_weighs_less_among_many_sentences() {
        let weights = [("en".to_owned(), [("relief".to_owned(), [-1.0, 0.0, 2.0])].into())].into();
        let turns = Turns::read(WORDS.as_bytes(), &weights).unwrap();
        assert_eq!(turns.shift("Loss narrows", Some("en")), [-1.0, 0.0, 2.0]);
        assert_eq!(turns.shift("Loss narrows. One. Two. Three...", Some("en")), [-0.25, 0.0, 0.5]);
        assert_eq!(turns.shift(" ", Some("en")), [0.0; 3]);
        assert_eq!(turns.shift("Loss narrows", None), [0.0; 3]);
    }

    #[test]
    fn a_file_of_something_else_is_refused() {
        let refused =
            |file: &str| Turns::read(file.as_bytes(), &[("en".to_owned(), Weights::new())].into()).unwrap_err();
        assert!(refused("en\tharm").contains("expected language, class and words"));
        assert!(refused("en\tbad\tlawsuit").contains("class \"bad\""));
        assert!(refused("fr\tharm\tperte").contains("no words for language en"));
        let mistyped = [("en".to_owned(), [("releif".to_owned(), [0.0; 3])].into())].into();
        assert!(Turns::read(WORDS.as_bytes(), &mistyped).is_err_and(|error| error.contains("\"releif\"")));
    }
}
