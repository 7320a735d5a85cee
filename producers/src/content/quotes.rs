//! What a text quotes, apart from what its author wrote.

use scraper::node::Element;

/// A text in two parts, each in the order of the original.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Prose {
    /// What the author wrote.
    pub text: String,
    /// What others wrote: quotes, previews of linked pages.
    pub quoted: String,
}

/// How a plain text marks its quotes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Marks {
    /// `>` begins a quote, but for spoilers (`>!`) and in code.
    Markdown,
    /// `>` begins a quote, but for a comparison (`>50%`).
    Lines,
}

/// Classes of elements that show a part of another page: previews of Discourse, WordPress, Ghost, Medium and Substack, embedded posts, quotes of forums.
const FOREIGN: [&str; 19] = [
    "onebox",
    "inline-onebox",
    "wp-embedded-content",
    "kg-bookmark-card",
    "graf--mixtapeEmbed",
    "embedded-post-wrap",
    "digest-post-embed",
    "twitter-tweet",
    "instagram-media",
    "tiktok-embed",
    "reddit-embed-bq",
    "reddit-card",
    "bluesky-embed",
    "mastodon-embed",
    "quote-inline",
    "bbCodeBlock--quote",
    "bbcode_quote",
    "xfBb-quote",
    "gmail_quote",
];

/// Whether what is in an element was written by others.
pub(crate) fn is_foreign(element: &Element) -> bool {
    (element.name() == "aside" && element.has_class("quote", scraper::CaseSensitivity::CaseSensitive))
        || element.classes().any(|class| FOREIGN.contains(&class))
}

/// Splits a plain text by its marks.
pub(crate) fn split(text: &str, marks: Marks) -> Prose {
    if !text.contains('>') {
        return Prose { text: text.to_owned(), quoted: String::new() };
    }
    let (mut own, mut quoted) = (Vec::new(), Vec::new());
    let mut is_code = false;
    for line in text.lines() {
        let bare = line.trim_start_matches(' ');
        let is_fence = marks == Marks::Markdown && (bare.starts_with("```") || bare.starts_with("~~~"));
        is_code ^= is_fence;
        // Four blanks make a line of code.
        let can_quote = !is_code && line.len() - bare.len() < 4;
        match bare.strip_prefix('>').filter(|rest| can_quote && is_quote(rest, marks)) {
            Some(rest) => quoted.push(rest.trim_start_matches(['>', ' '])),
            None => own.push(line),
        }
    }
    let tidy = |lines: Vec<&str>| lines.join("\n").trim().to_owned();
    Prose { text: tidy(own), quoted: tidy(quoted) }
}

/// Whether what follows a `>` at the beginning of a line is quoted.
fn is_quote(rest: &str, marks: Marks) -> bool {
    match marks {
        Marks::Markdown => !rest.starts_with('!'),
        Marks::Lines => !rest.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '$' | '=' | '.' | '€' | '£')),
    }
}

/// Whether this is what a platform shows in place of what was taken away.
pub(crate) fn is_removal_notice(text: &str) -> bool {
    let text = text.trim().trim_matches('*').to_lowercase();
    if text.len() > 200 {
        return false;
    }
    let inner = text.strip_prefix(['[', '(']).and_then(|text| text.strip_suffix([']', ')'])).map(str::trim);
    let Some(inner) = inner else {
        return matches!(text.as_str(), "permanently deleted" | "removed by moderator" | "deleted by creator");
    };
    let inner = ["post ", "topic ", "comment "].iter().find_map(|what| inner.strip_prefix(what)).unwrap_or(inner);
    matches!(inner, "deleted" | "removed" | "unavailable" | "withdrawn" | "flagged" | "dead")
        || ["deleted by ", "removed by ", "withdrawn by ", "removed due to ", "removed in response "]
            .iter()
            .any(|start| inner.starts_with(start))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoted_lines_are_separated_from_own_ones() {
        for (marks, text, own, quoted) in [
            (Marks::Markdown, "> BTC is dead\n\nNo.", "No.", "BTC is dead"),
            (Marks::Markdown, ">BTC is dead\n>> no\nYes", "Yes", "BTC is dead\nno"),
            (Marks::Markdown, "a\n   > b\nc", "a\nc", "b"),
            (Marks::Markdown, ">!it dips!< 3 > 2\n\\> not", ">!it dips!< 3 > 2\n\\> not", ""),
            (Marks::Markdown, "```\n> x\n```\n    > y", "```\n> x\n```\n    > y", ""),
            (Marks::Markdown, "> all of it", "", "all of it"),
            (Marks::Lines, "> one\n>two\n>50% fell\n>$100k", ">50% fell\n>$100k", "one\ntwo"),
        ] {
            assert_eq!(split(text, marks), Prose { text: own.into(), quoted: quoted.into() }, "{text}");
        }
    }

    #[test]
    fn notices_of_removal_are_not_the_authors_words() {
        for notice in [
            "[deleted]",
            "[removed]",
            "[deleted by user]",
            "[removed by reddit]",
            "[ Removed by Reddit ]",
            "[ Removed by moderator ]",
            "[ Removed by Reddit on account of violating the [content policy](/help/contentpolicy). ]",
            "[ Removed by reddit in response to a copyright notice. ]",
            "[unavailable]",
            "(post deleted by author)",
            "(topic withdrawn by author, will be automatically deleted in 24 hours unless flagged)",
            "*Permanently Deleted*",
            "[flagged]",
        ] {
            assert!(is_removal_notice(notice), "{notice}");
        }
        for text in ["", "deleted", "[removed] my coins", "[Deleted scenes of FTX]", "removed by force", "[BTC]"] {
            assert!(!is_removal_notice(text), "{text}");
        }
    }
}
