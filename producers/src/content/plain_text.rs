//! HTML to plain text.
//!
//! The text of a post feeds a model and an excerpt, so that what matters is words in order and paragraph breaks. Block elements end a line, scripts
//! and styles go, entities are decoded by the HTML parser. Nothing here recurses: a document nested a million deep costs memory, not the stack.

use ego_tree::NodeRef;
use ego_tree::iter::Edge;
use scraper::node::Element;
use scraper::{Html, Node};

use crate::content::emoji;
use crate::content::quotes::{self, Prose};

/// HTML longer than this (bytes) is cut before it is parsed.
pub const MAX_HTML: usize = 512 * 1024;

/// Elements that begin a line.
const BLOCKS: &str = "address article aside blockquote center dd details div dl dt fieldset figcaption figure footer \
    form h1 h2 h3 h4 h5 h6 header hr li main nav ol p pre section summary table tbody tfoot thead tr ul";
/// Elements that hold no text.
const SKIPPED: &str = "script style noscript template iframe object svg math head select textarea button";
/// Elements that need no end tag.
const VOID: &str =
    "br img hr input meta link wbr source p li td th tr dt dd thead tbody option area col embed param track";

/// The words of an HTML fragment: one line per block, runs of white space as one space, no markup. Pictures of emoji and smilies are what they show;
/// what others wrote (see [`quotes`]), sizes of pictures and counts of votes are left out.
pub fn from_html(html: &str) -> String {
    read_html(html, false).text
}

/// The same with what others wrote beside it; `blockquote` elements are that, too, if `are_quotes`.
pub fn read_html(html: &str, are_quotes: bool) -> Prose {
    let html = cut(html, MAX_HTML);
    if !html.contains(['<', '&']) {
        return Prose { text: tidy(html), quoted: String::new() };
    }
    let flattened = is_extravagant(html).then(|| without_tags(html));
    let document = Html::parse_fragment(flattened.as_deref().unwrap_or(html));
    let (mut own, mut foreign) = (Lines::default(), Lines::default());
    let (mut skipped, mut preformatted, mut quoted) = (0_usize, 0_usize, 0_usize);
    for edge in document.tree.root().traverse() {
        let out = if quoted > 0 { &mut foreign } else { &mut own };
        match edge {
            Edge::Open(node) => match node.value() {
                Node::Element(element) => {
                    let name = element.name();
                    skipped += usize::from(is_skipped(element, node.parent()));
                    preformatted += usize::from(name == "pre");
                    quoted += usize::from(is_quoted(element, are_quotes));
                    if name == "br" || is_one_of(name, BLOCKS) {
                        out.end_line();
                    } else if name == "td" || name == "th" {
                        out.push(" ");
                    } else if name == "img" && skipped == 0 {
                        out.push(emoji::of_image(element).unwrap_or_default());
                    }
                }
                Node::Text(text) if skipped == 0 && preformatted > 0 => {
                    for (n, line) in text.split('\n').enumerate() {
                        if n > 0 {
                            out.end_line();
                        }
                        out.push(line);
                    }
                }
                Node::Text(text) if skipped == 0 => out.push(text.as_ref()),
                _ => {}
            },
            Edge::Close(node) => {
                if let Node::Element(element) = node.value() {
                    let name = element.name();
                    skipped = skipped.saturating_sub(usize::from(is_skipped(element, node.parent())));
                    preformatted = preformatted.saturating_sub(usize::from(name == "pre"));
                    let ends_quote = is_quoted(element, are_quotes);
                    quoted = quoted.saturating_sub(usize::from(ends_quote));
                    if is_one_of(name, BLOCKS) || ends_quote {
                        out.end_line();
                    }
                }
            }
        }
    }
    Prose { text: own.finish(), quoted: foreign.finish() }
}

fn is_quoted(element: &Element, are_quotes: bool) -> bool {
    quotes::is_foreign(element) || (are_quotes && element.name() == "blockquote")
}

/// A title: one line, with markup and entities resolved where there are any.
pub fn title(text: &str) -> String {
    let looks_like_html = text.contains("</") || text.contains("/>") || has_entity(text);
    let plain = if looks_like_html { from_html(text) } else { tidy(text) };
    plain.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Plain text as published: control and bidirectional override characters go, line ends become `\n`, outer white space goes.
pub fn tidy(text: &str) -> String {
    // Many readers of lines take U+2028 and U+2029 for line ends, which they are.
    let lines = text.replace("\r\n", "\n").replace('\u{a0}', " ").replace(['\u{2028}', '\u{2029}'], "\n");
    let kept: String = lines.chars().filter(|c| !is_unwanted(*c)).collect();
    kept.trim().to_owned()
}

/// A text without the three escapes that APIs put into plain texts (`&amp;`, `&lt;`, `&gt;`), once.
pub(crate) fn unescape(text: &str) -> String {
    if text.contains('&') {
        text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
    } else {
        text.to_owned()
    }
}

/// At most `max` bytes of `text`, cut at a character.
pub fn cut(text: &str, max: usize) -> &str {
    if text.len() <= max {
        return text;
    }
    let mut end = max;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// Open elements or attributes of one element that no person writes.
const EXTRAVAGANT: usize = 1000;

/// Whether the tree builder would walk thousands of elements or attributes for each further one. Void elements and closed ones do not count.
pub(crate) fn is_extravagant(html: &str) -> bool {
    let (mut open, mut scripted) = (Open::default(), Open::default());
    // Comparisons in scripts look like tags. They count apart: not at all would be a way around this check.
    let mut is_script = false;
    for piece in html.split('<').skip(1) {
        let tag = piece.split('>').next().unwrap_or_default();
        let count = if is_script { &mut scripted } else { &mut open };
        if let Some(end) = tag.strip_prefix('/') {
            count.close(end);
            is_script &= !is_named(end, "script");
        } else if tag.starts_with(|c: char| c.is_ascii_alphabetic()) && !tag.ends_with('/') && !is_void(tag) {
            count.open(tag);
            is_script |= is_named(tag, "script");
        }
        let spaces = tag.bytes().filter(|byte| byte.is_ascii_whitespace() || matches!(byte, b'/' | b'=')).count();
        if open.total > EXTRAVAGANT || scripted.total > 5 * EXTRAVAGANT || (spaces > EXTRAVAGANT && !is_script) {
            return true;
        }
    }
    false
}

/// How many elements are open, by name: an end tag ends none of another name.
#[derive(Default)]
struct Open<'t> {
    names: Vec<(&'t str, usize)>,
    total: usize,
}

impl<'t> Open<'t> {
    /// Names that are kept apart; elements of further ones count as never closed.
    const NAMES: usize = 128;

    fn open(&mut self, tag: &'t str) {
        self.total += 1;
        let name = tag_name(tag);
        let known = self.names.iter().position(|(known, _)| known.eq_ignore_ascii_case(name));
        match known {
            Some(at) => self.names[at].1 += 1,
            None if self.names.len() < Self::NAMES => self.names.push((name, 1)),
            None => {}
        }
    }

    fn close(&mut self, tag: &str) {
        let name = tag_name(tag);
        if let Some((_, count)) = self.names.iter_mut().find(|(known, n)| *n > 0 && known.eq_ignore_ascii_case(name)) {
            *count -= 1;
            self.total -= 1;
        }
    }
}

fn tag_name(tag: &str) -> &str {
    let end = tag.find(|c: char| c.is_whitespace() || c == '/').unwrap_or(tag.len());
    &tag[..end]
}

fn is_named(tag: &str, name: &str) -> bool {
    tag.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name))
        && tag[name.len()..].chars().next().is_none_or(|c| c.is_whitespace() || c == '/')
}

fn is_void(tag: &str) -> bool {
    let name: String = tag.chars().take_while(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase();
    is_one_of(&name, VOID)
}

/// The text between tags, each tag as a line end.
fn without_tags(html: &str) -> String {
    let mut out = String::with_capacity(html.len());
    let mut pieces = html.split('<');
    out.push_str(pieces.next().unwrap_or_default());
    for piece in pieces {
        out.push_str("<br>");
        out.push_str(piece.split_once('>').map_or("", |(_, text)| text));
    }
    out
}

/// Collects words into lines.
#[derive(Default)]
struct Lines {
    out: String,
    pending_space: bool,
}

impl Lines {
    fn push(&mut self, text: &str) {
        for c in text.chars() {
            if c.is_whitespace() {
                self.pending_space = true;
            } else if !is_unwanted(c) {
                if self.pending_space && !self.out.is_empty() && !self.out.ends_with('\n') {
                    self.out.push(' ');
                }
                self.pending_space = false;
                self.out.push(c);
            }
        }
    }

    fn end_line(&mut self) {
        self.pending_space = false;
        if !self.out.is_empty() && !self.out.ends_with('\n') {
            self.out.push('\n');
        }
    }

    fn finish(mut self) -> String {
        self.out.truncate(self.out.trim_end().len());
        self.out
    }
}

fn is_unwanted(c: char) -> bool {
    (c.is_control() && c != '\n' && c != '\t')
        || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}' | '\u{200e}' | '\u{200f}' | '\u{061c}')
}

fn has_entity(text: &str) -> bool {
    text.split('&').skip(1).any(|rest| {
        let name = rest.split(';').next().unwrap_or_default();
        rest.len() > name.len()
            && (2..=10).contains(&name.len())
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '#')
    })
}

/// Whether what is in an element is no text, or a text that software wrote: the name and size of a picture, the counts of a poll.
fn is_skipped(element: &Element, parent: Option<NodeRef<'_, Node>>) -> bool {
    let has = |element: &Element, name: &str| element.classes().any(|class| class == name);
    let is_in_lightbox = || parent.and_then(|parent| parent.value().as_element()).is_some_and(|e| has(e, "lightbox"));
    is_one_of(element.name(), SKIPPED) || has(element, "poll-info") || (has(element, "meta") && is_in_lightbox())
}

/// Whether `name` is one of the words of `list`.
fn is_one_of(name: &str, list: &str) -> bool {
    list.split(' ').any(|word| word == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_become_lines_and_scripts_go() {
        let html =
            "<p>Bitcoin &amp; ether <b>up</b>.</p><script>x()</script><style>p{}</style><ul><li>one<li>two</ul>a<br>b";
        assert_eq!(from_html(html), "Bitcoin & ether up.\none\ntwo\na\nb");
    }

    #[test]
    fn entities_are_decoded_once() {
        assert_eq!(from_html("https:&#x2F;&#x2F;a.example&#x2F;x &amp;lt;b&amp;gt;"), "https://a.example/x &lt;b&gt;");
        assert_eq!(tidy("one\u{2028}two\u{2029}three"), "one\ntwo\nthree");
        assert_eq!(from_html("no markup,   but \u{202e}tricks\u{0000}"), "no markup,   but tricks");
    }

    #[test]
    fn preformatted_text_keeps_its_lines() {
        assert_eq!(from_html("<pre>a\nb</pre>c\nd"), "a\nb\nc d");
    }

    #[test]
    fn titles_are_one_line_and_keep_comparisons() {
        assert_eq!(title("  Fees <b>fall</b>\n&quot;fast&quot; "), "Fees fall \"fast\"");
        assert_eq!(title("Is a < b & c?"), "Is a < b & c?");
    }

    #[test]
    fn a_very_deep_document_neither_hangs_nor_overflows() {
        for piece in ["<div>", "<b>", "<b></i>", "<table><tr><td>", "<a href=x>"] {
            let deep = piece.repeat(500_000 / piece.len()) + "x &amp; y";
            assert_eq!(from_html(&deep), "x & y", "{piece}");
        }
        let wide = format!("<p {}>x</p>", (0..60_000).map(|n| format!("a{n} ")).collect::<String>());
        assert_eq!(from_html(&wide), "x");
    }
}
