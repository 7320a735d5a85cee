//! What software adds to the text of an entry: where it appeared, who submitted it, how many answered.

use crate::content::quotes::Prose;

/// Whether the HTML of an entry is from a forum (Reddit, Discourse), whose `blockquote` elements quote other members.
pub(super) fn is_of_forum(html: &str) -> bool {
    html.contains("class=\"md\"") || html.contains(">Read full topic</a>")
}

/// A text without the last lines that software wrote.
pub(super) fn without(mut prose: Prose) -> Prose {
    let text = &mut prose.text;
    while let Some(last) = text.lines().next_back().filter(|line| is_imprint(line.trim())) {
        let end = text.len() - last.len();
        text.truncate(text[..end].trim_end().len());
    }
    prose
}

fn is_imprint(line: &str) -> bool {
    let between = |start: &str, middle: &str| line.strip_prefix(start).is_some_and(|rest| rest.contains(middle));
    let is_count = |words: [&str; 2]| {
        let mut parts = line.split(" - ").map(|part| part.split_once(' ').unwrap_or_default());
        let mut is = |word: &str| {
            parts
                .next()
                .is_some_and(|(n, unit)| n.parse::<u32>().is_ok() && unit.strip_suffix('s').unwrap_or(unit) == word)
        };
        is(words[0]) && is(words[1])
    };
    // WordPress
    between("The post ", " appeared first on ")
        || between("The post ", " first appeared on ")
        || between("L\u{2019}article ", " est apparu en premier sur ")
        || between("L'article ", " est apparu en premier sur ")
        || between("Cet article ", " est apparu en premier sur ")
        || between("Der Beitrag ", " erschien zuerst auf ")
        || between("La entrada ", " se publicó primero en ")
        || between("O post ", " apareceu primeiro em ")
        || between("L\u{2019}articolo ", " proviene da ")
        || between("L'articolo ", " proviene da ")
        // Reddit
        || (line.starts_with("submitted by /u/") && !line.contains(". "))
        || matches!(line, "[link]" | "[comments]" | "[link] [comments]")
        // Discourse
        || line == "Read full topic"
        || is_count(["post", "participant"])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_of_software_go() {
        for (text, kept) in [
            ("Fees fall.\nThe post Fees fall appeared first on Bitcoin Magazine.", "Fees fall."),
            (
                "Le cours monte.\nL\u{2019}article Le cours monte est apparu en premier sur Cryptoast.",
                "Le cours monte.",
            ),
            ("I sold.\nsubmitted by /u/ada to r/Bitcoin\n[link] [comments]", "I sold."),
            ("Hello\n5 posts - 3 participants\nRead full topic", "Hello"),
            ("1 post - 1 participant", ""),
            ("The post office buys bitcoin", "The post office buys bitcoin"),
            ("Read full topic\nmy words", "Read full topic\nmy words"),
        ] {
            let prose = Prose { text: text.into(), quoted: "q".into() };
            assert_eq!(without(prose), Prose { text: kept.into(), quoted: "q".into() }, "{text}");
        }
    }
}
