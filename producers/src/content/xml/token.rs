//! Text to tokens, in one pass.

use super::{MAX_ATTRIBUTES, MAX_TOKENS};

/// A quoted attribute value longer than this is taken for one whose quote is missing.
const MAX_VALUE: usize = 64 * 1024;

/// What stands between two pieces of text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TokenKind {
    /// A start tag.
    Open,
    /// A start tag that is its own end.
    Empty,
    /// An end tag.
    Close,
    /// A CDATA section.
    Cdata,
    /// A comment, a declaration, a processing instruction.
    Skip,
}

/// A piece of markup: `text[start..end]`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Token {
    pub(crate) kind: TokenKind,
    pub(crate) start: usize,
    pub(crate) end: usize,
}

impl Token {
    /// The qualified name of a tag.
    pub(crate) fn name<'t>(&self, text: &'t str) -> &'t str {
        let inner = text[self.start..self.end].trim_start_matches(['<', '/']);
        let end = inner.find(|c: char| c.is_whitespace() || matches!(c, '>' | '/')).unwrap_or(inner.len());
        &inner[..end]
    }

    /// Its attributes, values not decoded.
    pub(crate) fn attributes<'t>(&self, text: &'t str) -> Vec<(&'t str, &'t str)> {
        let inner = text[self.start..self.end].trim_start_matches('<').trim_end_matches('>').trim_end_matches('/');
        let mut rest = inner[self.name(text).len().min(inner.len())..].trim_start();
        let mut found = Vec::new();
        while !rest.is_empty() && found.len() < MAX_ATTRIBUTES {
            let end = rest.find(|c: char| c.is_whitespace() || c == '=').unwrap_or(rest.len());
            let name = &rest[..end];
            rest = rest[end..].trim_start();
            let mut value = "";
            if let Some(after) = rest.strip_prefix('=') {
                let after = after.trim_start();
                let quote = after.chars().next().filter(|c| matches!(c, '"' | '\''));
                let (taken, left) = match quote {
                    Some(quote) => after[1..].split_once(quote).unwrap_or((&after[1..], "")),
                    None => after.split_at(after.find(char::is_whitespace).unwrap_or(after.len())),
                };
                value = taken;
                rest = left.trim_start();
            }
            if !name.is_empty() {
                found.push((name, value));
            } else if end == 0 && value.is_empty() {
                rest = rest.get(rest.chars().next().map_or(0, char::len_utf8)..).unwrap_or_default();
            }
        }
        found
    }
}

/// All tokens of a text, and whether it ends inside one (or has more than are looked at).
pub(crate) fn tokens(text: &str) -> (Vec<Token>, bool) {
    let mut tokens = Vec::new();
    let mut at = 0;
    // Where an end is missing once, it is missing from there on: no need to look again.
    let (mut has_section_end, mut has_comment_end, mut has_instruction_end) = (true, true, true);
    let is_whole = ends_regularly(text);
    while let Some(found) = text[at..].find('<') {
        let start = at + found;
        let rest = &text[start..];
        if tokens.len() == MAX_TOKENS {
            return (tokens, true);
        }
        let until =
            |mark: &str, from: usize| rest.get(from..).and_then(|r| r.find(mark)).map(|n| from + n + mark.len());
        let (kind, length) = if rest.starts_with("<![CDATA[") {
            let length = if has_section_end { until("]]>", 9) } else { None };
            has_section_end = length.is_some();
            // Without an end, but in a document that has one: the mark is passed over.
            if length.is_none() && is_whole { (TokenKind::Skip, Some(9)) } else { (TokenKind::Cdata, length) }
        } else if rest.starts_with("<!--") {
            let length = if has_comment_end { until("-->", 4) } else { None };
            has_comment_end = length.is_some();
            (TokenKind::Skip, length.or_else(|| is_whole.then_some(4)))
        } else if rest.starts_with("<?") {
            let length = if has_instruction_end { until("?>", 2) } else { None };
            has_instruction_end = length.is_some();
            (TokenKind::Skip, length.or_else(|| until(">", 2)))
        } else if rest.starts_with("<!") {
            (TokenKind::Skip, declaration(rest))
        } else if rest[1..].starts_with('/') {
            (TokenKind::Close, until(">", 2))
        } else if rest[1..].starts_with(|c: char| c.is_alphabetic() || matches!(c, '_' | ':')) {
            let length = tag(rest);
            let is_empty = length.is_some_and(|n| rest[..n].ends_with("/>"));
            (if is_empty { TokenKind::Empty } else { TokenKind::Open }, length)
        } else {
            at = start + 1;
            continue;
        };
        match length {
            Some(length) => {
                at = start + length;
                tokens.push(Token { kind, start, end: at });
            }
            // What never ends takes in the rest. A CDATA section that is cut off still shows that its element is.
            None => {
                tokens.push(Token { kind: TokenKind::Skip, start, end: text.len() });
                return (tokens, true);
            }
        }
    }
    (tokens, false)
}

/// Whether a text ends as documents do.
fn ends_regularly(text: &str) -> bool {
    let text = text.trim_end();
    ["</rss>", "</feed>", "</rdf:rdf>", "</urlset>"].iter().any(|end| {
        text.len() >= end.len() && text.as_bytes()[text.len() - end.len()..].eq_ignore_ascii_case(end.as_bytes())
    })
}

/// The length of a start tag: `>` inside quotes does not end it, unless the quote itself has no end.
fn tag(rest: &str) -> Option<usize> {
    let bytes = rest.as_bytes();
    let mut at = 1;
    while at < bytes.len() {
        match bytes[at] {
            b'>' => return Some(at + 1),
            // The next tag begins: this one lacks its end.
            b'<' => return Some(at),
            quote @ (b'"' | b'\'') if bytes[..at].iter().rev().find(|b| !b.is_ascii_whitespace()) == Some(&b'=') => {
                let reach = &bytes[at + 1..bytes.len().min(at + 1 + MAX_VALUE)];
                at += reach.iter().position(|b| *b == quote).map_or(1, |n| n + 2);
            }
            _ => at += 1,
        }
    }
    None
}

/// The length of a declaration with or without an internal subset in brackets.
fn declaration(rest: &str) -> Option<usize> {
    let end = rest.find('>')?;
    match rest[..end].find('[') {
        Some(open) => {
            let close = open + rest[open..].find(']')?;
            Some(close + rest[close..].find('>')? + 1)
        }
        None => Some(end + 1),
    }
}
