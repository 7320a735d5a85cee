//! Tokens to a tree of elements.

use std::collections::HashMap;
use std::ops::Range;

use url::Url;

use super::decode;
use super::entities::Entities;
use super::space::Space;
use super::token::{Token, TokenKind, tokens};
use super::{MAX_DECLARATIONS, MAX_DEPTH};

/// One element.
#[derive(Debug)]
pub(crate) struct Node<'t> {
    qualified: &'t str,
    space: Space,
    /// The local name in lower case.
    local: String,
    attributes: Vec<(&'t str, &'t str)>,
    parent: Option<usize>,
    children: Vec<usize>,
    /// The tokens between its tags.
    inner: Range<usize>,
    /// The text between its tags.
    range: Range<usize>,
    /// Whether its end tag was there.
    is_closed: bool,
}

/// A parsed document.
#[derive(Debug)]
pub(crate) struct Tree<'t> {
    text: &'t str,
    tokens: Vec<Token>,
    nodes: Vec<Node<'t>>,
    /// What the document's own entities stand for.
    entities: Entities,
    /// Whether the text ends inside a tag or a section.
    pub(crate) is_cut: bool,
}

/// An element of a [`Tree`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Element<'a> {
    tree: &'a Tree<'a>,
    at: usize,
}

/// Elements whose content is text or HTML: what is inside them is no part of the tree.
const LEAVES: [&str; 16] = [
    "title",
    "description",
    "summary",
    "content",
    "encoded",
    "subtitle",
    "tagline",
    "abstract",
    "guid",
    "id",
    "pubdate",
    "updated",
    "published",
    "copyright",
    "rights",
    "fullitem",
];

/// Elements that are ended where they cannot go on.
const ITEMS: [&str; 3] = ["item", "entry", "url"];

impl<'t> Tree<'t> {
    /// Reads a document; there is none that cannot be read.
    pub(crate) fn read(text: &'t str) -> Self {
        let (tokens, is_cut) = tokens(text);
        let mut builder = Builder {
            text,
            tokens,
            nodes: Vec::new(),
            open: Vec::new(),
            overflow: 0,
            spaces: Vec::new(),
            closes: HashMap::new(),
        };
        builder.build();
        let entities = Entities::read(text, &builder.tokens);
        Self { text, tokens: builder.tokens, nodes: builder.nodes, entities, is_cut }
    }

    /// The elements in the order of the document.
    pub(crate) fn elements(&self) -> impl Iterator<Item = Element<'_>> {
        (0..self.nodes.len()).map(|at| Element { tree: self, at })
    }
}

struct Builder<'t> {
    text: &'t str,
    tokens: Vec<Token>,
    nodes: Vec<Node<'t>>,
    open: Vec<usize>,
    overflow: usize,
    /// Prefix, meaning, and the depth at which it was declared.
    spaces: Vec<(&'t str, Space, usize)>,
    /// Where the next end tag of a leaf is: name, searched from, found at.
    closes: HashMap<&'t str, (usize, Option<usize>)>,
}

impl<'t> Builder<'t> {
    fn build(&mut self) {
        let mut at = 0;
        while at < self.tokens.len() {
            let token = self.tokens[at];
            match token.kind {
                TokenKind::Open | TokenKind::Empty => at = self.open(at, token),
                TokenKind::Close => self.close(at, token),
                TokenKind::Cdata | TokenKind::Skip => {}
            }
            at += 1;
        }
        let (tokens, length) = (self.tokens.len(), self.text.len());
        for node in self.open.drain(..) {
            self.nodes[node].inner.end = tokens;
            self.nodes[node].range.end = length;
        }
    }

    /// Takes a start tag in; returns the token to go on after.
    fn open(&mut self, at: usize, token: Token) -> usize {
        let qualified = token.name(self.text);
        if self.open.len() >= MAX_DEPTH {
            self.overflow += usize::from(token.kind == TokenKind::Open);
            return at;
        }
        let attributes = token.attributes(self.text);
        let depth = self.open.len();
        for (name, value) in &attributes {
            if let Some(prefix) = name.strip_prefix("xmlns")
                && self.spaces.len() < MAX_DECLARATIONS
                && (prefix.is_empty() || prefix.starts_with(':'))
            {
                self.spaces.push((prefix.trim_start_matches(':'), Space::of_address(value), depth));
            }
        }
        let (prefix, local) = qualified.split_once(':').unwrap_or(("", qualified));
        let declared = self.spaces.iter().rev().find(|(known, _, _)| *known == prefix).map(|(_, space, _)| *space);
        let mut space = declared.unwrap_or_else(|| Space::of_prefix(prefix));
        let local = local.to_ascii_lowercase();
        // An element without a prefix under a strange default namespace means what its name says.
        if prefix.is_empty() && space == Space::Other {
            space = Space::Core;
        }
        if ITEMS.contains(&local.as_str()) && space == Space::Core {
            self.end_open_item(at, token.start, &local);
        }
        let parent = self.open.last().copied();
        let index = self.nodes.len();
        let is_leaf = LEAVES.contains(&local.as_str())
            && !matches!(space, Space::Rdf | Space::Xhtml)
            && !(space == Space::Media && local == "content");
        self.nodes.push(Node {
            qualified,
            space,
            local,
            attributes,
            parent,
            children: Vec::new(),
            inner: at + 1..at + 1,
            range: token.end..token.end,
            is_closed: true,
        });
        if let Some(parent) = parent {
            self.nodes[parent].children.push(index);
        }
        let is_void = matches!(qualified, "br" | "img" | "hr" | "BR" | "IMG" | "HR");
        if token.kind == TokenKind::Empty || is_void {
            self.forget_spaces();
            return at;
        }
        if is_leaf {
            self.forget_spaces();
            return self.leaf(index, at, qualified);
        }
        self.nodes[index].is_closed = false;
        self.open.push(index);
        at
    }

    /// Ends a leaf at its end tag, or before the next tag if its item ends first.
    fn leaf(&mut self, index: usize, at: usize, qualified: &'t str) -> usize {
        let close = self.next_close(qualified, at);
        let stop = self.next_stop(at);
        let end = match (close, stop) {
            (Some(close), Some(stop)) if close > stop => None,
            (close, _) => close,
        };
        match end {
            Some(end) => {
                self.nodes[index].inner = at + 1..end;
                self.nodes[index].range.end = self.tokens[end].start;
                end
            }
            None => {
                let mut end = at + 1;
                while self.tokens.get(end).is_some_and(|t| t.kind == TokenKind::Cdata) {
                    end += 1;
                }
                self.nodes[index].inner = at + 1..end;
                self.nodes[index].range.end = self.tokens.get(end).map_or(self.text.len(), |t| t.start);
                self.nodes[index].is_closed = end < self.tokens.len();
                end - 1
            }
        }
    }

    fn next_close(&mut self, name: &'t str, after: usize) -> Option<usize> {
        if let Some((from, found)) = self.closes.get(name)
            && after >= *from
            && found.is_none_or(|found| found > after)
        {
            return *found;
        }
        let (tokens, text) = (&self.tokens, self.text);
        let found = (after + 1..tokens.len())
            .find(|n| tokens[*n].kind == TokenKind::Close && tokens[*n].name(text).eq_ignore_ascii_case(name));
        self.closes.insert(name, (after, found));
        found
    }

    /// The next end tag of an item.
    fn next_stop(&mut self, after: usize) -> Option<usize> {
        ["item", "entry"].into_iter().filter_map(|name| self.next_close(name, after)).min()
    }

    /// An item inside an item is one whose end tag is missing.
    fn end_open_item(&mut self, at: usize, start: usize, local: &str) {
        let found =
            self.open.iter().rposition(|n| self.nodes[*n].space == Space::Core && self.nodes[*n].local == local);
        if let Some(found) = found {
            self.pop_to(found, at, start, true);
        }
    }

    fn close(&mut self, at: usize, token: Token) {
        let name = token.name(self.text);
        if self.overflow > 0 {
            if !matches!(name, "item" | "entry" | "channel" | "feed" | "rss") {
                self.overflow -= 1;
                return;
            }
            self.overflow = 0;
        }
        let is_it = |node: &usize| self.nodes[*node].qualified.eq_ignore_ascii_case(name);
        if let Some(found) = self.open.iter().rposition(is_it) {
            self.pop_to(found, at, token.start, true);
        }
    }

    fn pop_to(&mut self, depth: usize, token: usize, start: usize, is_closed: bool) {
        for node in self.open.drain(depth..) {
            let node = &mut self.nodes[node];
            node.inner.end = token.max(node.inner.start);
            node.range.end = start.max(node.range.start);
            node.is_closed = is_closed;
        }
        self.forget_spaces();
    }

    fn forget_spaces(&mut self) {
        let depth = self.open.len();
        while self.spaces.last().is_some_and(|(_, _, at)| *at >= depth) {
            self.spaces.pop();
        }
    }
}

impl<'a> Element<'a> {
    fn node(self) -> &'a Node<'a> {
        &self.tree.nodes[self.at]
    }

    /// The vocabulary it belongs to.
    pub(crate) fn space(self) -> Space {
        self.node().space
    }

    /// Its name without prefix, in lower case.
    pub(crate) fn name(self) -> &'a str {
        &self.node().local
    }

    /// Its name as written.
    pub(crate) fn qualified(self) -> &'a str {
        self.node().qualified
    }

    /// Whether its end was there.
    pub(crate) fn is_closed(self) -> bool {
        self.node().is_closed
    }

    pub(crate) fn parent(self) -> Option<Self> {
        self.node().parent.map(|at| Self { tree: self.tree, at })
    }

    pub(crate) fn children(self) -> impl Iterator<Item = Self> {
        self.node().children.iter().map(move |at| Self { tree: self.tree, at: *at })
    }

    /// The first child of this name.
    pub(crate) fn child(self, space: Space, name: &str) -> Option<Self> {
        self.children().find(|child| child.space() == space && child.name() == name)
    }

    /// An attribute, decoded; by local name, whatever its prefix.
    pub(crate) fn attribute(self, name: &str) -> Option<String> {
        let attributes = &self.node().attributes;
        let is = |key: &str| key.eq_ignore_ascii_case(name);
        let found = attributes.iter().find(|(key, _)| is(key)).or_else(|| {
            attributes
                .iter()
                .find(|(key, _)| key.split_once(':').is_some_and(|(prefix, key)| prefix != "xmlns" && is(key)))
        });
        found.map(|(_, value)| self.decode(value))
    }

    /// Whether its tag says anything but its name.
    pub(crate) fn has_attributes(self) -> bool {
        !self.node().attributes.is_empty()
    }

    fn decode(self, text: &str) -> String {
        let entities = &self.tree.entities;
        decode::references_with(text, &|name| entities.value(name))
    }

    /// Whether there are tags between its tags.
    pub(crate) fn has_markup(self) -> bool {
        let is_tag = |token: &Token| matches!(token.kind, TokenKind::Open | TokenKind::Empty | TokenKind::Close);
        self.tree.tokens[self.node().inner.clone()].iter().any(is_tag)
    }

    /// What stands between its tags, character references resolved, CDATA opened, tags and comments left out.
    pub(crate) fn text(self) -> String {
        self.assemble(false, false)
    }

    /// The same with tags kept as they are: what an HTML parser takes. Where the tags are the markup itself (XHTML), references stay, too.
    pub(crate) fn markup(self, is_xhtml: bool) -> String {
        self.assemble(true, is_xhtml)
    }

    fn assemble(self, keeps_tags: bool, keeps_references: bool) -> String {
        let node = self.node();
        let text = self.tree.text;
        let mut out = String::with_capacity(node.range.len());
        let mut at = node.range.start;
        let push = |out: &mut String, piece: &str| {
            if keeps_references { out.push_str(piece) } else { out.push_str(&self.decode(piece)) }
        };
        for token in &self.tree.tokens[node.inner.clone()] {
            push(&mut out, &text[at.min(token.start)..token.start]);
            at = token.end;
            match token.kind {
                TokenKind::Cdata => out.push_str(&text[token.start + 9..token.end - 3]),
                TokenKind::Skip => {}
                _ if keeps_tags => {
                    // "xhtml:p" is a "p".
                    let tag = &text[token.start..token.end];
                    match token.name(text).split_once(':') {
                        Some((prefix, _)) => out.push_str(&tag.replacen(&format!("{prefix}:"), "", 1)),
                        None => out.push_str(tag),
                    }
                }
                _ => {}
            }
        }
        push(&mut out, &text[at.min(node.range.end)..node.range.end]);
        out
    }

    /// The address that relative ones here start from: every `xml:base` from the root down, beginning with `document`.
    pub(crate) fn base(self, document: Option<&Url>) -> Option<Url> {
        let mut chain: Vec<Self> = std::iter::successors(Some(self), |element| element.parent()).collect();
        chain.reverse();
        let mut base = document.cloned();
        for element in chain {
            let Some((_, value)) =
                element.node().attributes.iter().find(|(key, _)| key.eq_ignore_ascii_case("xml:base"))
            else {
                continue;
            };
            let value = element.decode(value);
            base = resolve(base.as_ref(), value.trim()).or(base);
        }
        base
    }

    /// The language in force here (`xml:lang`), or that of one of its children.
    pub(crate) fn language(self) -> Option<String> {
        std::iter::successors(Some(self), |element| element.parent())
            .chain(self.children().filter(|child| matches!(child.name(), "content" | "title" | "summary")))
            .find_map(|element| element.node().attributes.iter().find(|(key, _)| *key == "xml:lang"))
            .map(|(_, value)| (*value).to_owned())
            .filter(|language| !language.is_empty())
    }
}

/// An address, absolute or relative to `base`.
pub(crate) fn resolve(base: Option<&Url>, address: &str) -> Option<Url> {
    match base {
        Some(base) => base.join(address).ok(),
        None => Url::parse(address).ok(),
    }
}
