//! A post in the making: what a parser found, before it is cleaned and capped.

use serde_json::Value;
use url::Url;
use vigie_clock::Timestamp;
use vigie_schemas::RawPost;

use crate::content::quotes::{self, Prose};
use crate::content::{json, plain_text};
use crate::kinds::source::{Origin, Page};

/// Longest text of a post, in bytes: a record has to fit a Kafka message.
pub const MAX_TEXT: usize = 128 * 1024;

/// Longest text that a post quotes, in bytes.
pub const MAX_QUOTED: usize = 32 * 1024;

/// Longest title, in bytes.
pub const MAX_TITLE: usize = 2 * 1024;

/// Longest name of an author, in bytes.
pub const MAX_AUTHOR: usize = 512;

/// Longest address, in bytes; a longer one is left out, since a cut one leads nowhere.
pub const MAX_URL: usize = 8 * 1024;

/// Posts of one answer at most.
pub const MAX_POSTS: usize = 50_000;

/// What a source says of a post. Texts are plain already; control and bidirectional characters and excess length go when the post is made.
#[derive(Clone, Debug, Default)]
pub(crate) struct Draft {
    /// The whole post id.
    pub(crate) id: String,
    pub(crate) url: Option<String>,
    pub(crate) author: Option<String>,
    pub(crate) title: Option<String>,
    pub(crate) text: String,
    /// What others wrote and the post shows.
    pub(crate) quoted: String,
    /// The whole post id of what it answers.
    pub(crate) parent: Option<String>,
    pub(crate) language: Option<String>,
    pub(crate) published: Option<Timestamp>,
    pub(crate) edited: Option<Timestamp>,
}

/// Begins a line that is the title of a linked page.
const LINK: &str = "\u{1f517} ";

/// Begins a line that describes a picture.
const PICTURE: &str = "\u{1f5bc} ";

impl Draft {
    /// A text and what it quotes.
    pub(crate) fn prose(self, prose: Prose) -> Self {
        Self { text: prose.text, quoted: prose.quoted, ..self }
    }

    /// Adds what a poll lets choose.
    pub(crate) fn add_choices<'v>(&mut self, choices: impl IntoIterator<Item = &'v str>) {
        choices.into_iter().for_each(|choice| self.add_line("- ", choice));
    }

    /// Adds the description of a picture.
    pub(crate) fn add_picture(&mut self, description: &str) {
        self.add_line(PICTURE, description);
    }

    /// Adds the page that the post links to: its title, unless the post says it itself, and as quoted its summary.
    pub(crate) fn add_link(&mut self, page: &Value, [title, summary]: [&str; 2]) {
        if let Some(title) = json::text(page, title).map(plain_text::tidy)
            && !self.text.contains(&title)
            && self.title.as_deref() != Some(title.as_str())
        {
            self.add_line(LINK, &title);
        }
        self.add_quoted(json::text(page, summary).unwrap_or_default());
    }

    /// Adds what others wrote.
    pub(crate) fn add_quoted(&mut self, text: &str) {
        add_line(&mut self.quoted, "", text);
    }

    /// Adds a line, unless it is empty.
    pub(crate) fn add_line(&mut self, mark: &str, text: &str) {
        add_line(&mut self.text, mark, text);
    }

    /// Cleans the draft and adds the post to a page.
    pub(crate) fn add_to(self, page: &mut Page, kind: &str, origin: Origin<'_>) {
        if page.posts.len() >= MAX_POSTS {
            page.left_out += 1;
            return;
        }
        let (published_at, published_at_estimated) = event_time(self.published, origin.fetched_at);
        if let Some(edited) = self.edited
            && edited > published_at
            && !published_at_estimated
            && edited <= origin.fetched_at
        {
            page.edited.insert(self.id.clone(), edited);
        }
        let language =
            self.language.map(|language| language.trim().to_ascii_lowercase()).filter(|language| is_language(language));
        let own = |text: &String| !quotes::is_removal_notice(text);
        let quoted = plain_text::tidy(&self.quoted);
        page.posts.push(RawPost {
            post_id: self.id,
            source: origin.source.to_owned(),
            kind: kind.to_owned(),
            url: self.url.and_then(web),
            author: line(self.author, MAX_AUTHOR),
            title: line(self.title.filter(own), MAX_TITLE),
            text: Some(plain_text::cut(&plain_text::tidy(&self.text), MAX_TEXT).to_owned())
                .filter(own)
                .unwrap_or_default(),
            parent_id: self.parent,
            declared_language: language.or_else(|| origin.language.map(str::to_owned)),
            published_at,
            published_at_estimated,
            fetched_at: origin.fetched_at,
            sample: origin.sample,
            edited_at: None,
            author_id: None,
            author_sealed: None,
            quoted: Some(plain_text::cut(&quoted, MAX_QUOTED).to_owned()).filter(|quoted| !quoted.is_empty()),
        });
    }
}

fn add_line(lines: &mut String, mark: &str, text: &str) {
    let text = text.trim();
    if text.is_empty() {
        return;
    }
    if !lines.is_empty() {
        lines.push('\n');
    }
    lines.push_str(mark);
    lines.push_str(text);
}

/// The event time of a post: what the source says, or the time of the fetch if it says nothing usable (nothing, a time before 1970, or one
/// after the fetch). The flag says that it is an estimate.
pub(crate) fn event_time(published: Option<Timestamp>, fetched_at: Timestamp) -> (Timestamp, bool) {
    match published {
        Some(time) if time.as_millis() > 0 && time <= fetched_at => (time, false),
        _ => (fetched_at, true),
    }
}

/// One line of at most `max` bytes; `None` if nothing is left.
fn line(text: Option<String>, max: usize) -> Option<String> {
    let tidy = plain_text::tidy(&text?);
    let line = tidy.split_whitespace().collect::<Vec<_>>().join(" ");
    let line = plain_text::cut(&line, max).trim_end();
    (!line.is_empty()).then(|| line.to_owned())
}

/// An address of the web: as it was written, unless it was written so that it needs mending.
fn web(url: String) -> Option<String> {
    let parsed = Url::parse(&url).ok().filter(|parsed| matches!(parsed.scheme(), "http" | "https"))?;
    let is_plain = (url.starts_with("http://") || url.starts_with("https://"))
        && !url.contains(char::is_whitespace)
        && plain_text::tidy(&url) == url;
    let url = if is_plain { url } else { parsed.into() };
    (url.len() <= MAX_URL).then_some(url)
}

/// Whether it looks like a language tag (BCP 47).
fn is_language(language: &str) -> bool {
    (2..=35).contains(&language.len())
        && language.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_cleaned_and_capped() {
        let mut page = Page::default();
        let now = Timestamp::from_millis(10_000);
        let origin = Origin { source: "s", language: Some("en"), sample: false, select: None, fetched_at: now };
        Draft {
            id: "x:1".into(),
            url: Some("javascript:alert(1)".into()),
            author: Some(" \u{202e}a\u{0}b\n c".into()),
            title: Some("é".repeat(5000)),
            text: format!("\u{2066}x\r\n{}", "y".repeat(MAX_TEXT)),
            language: Some("<b>".into()),
            published: Some(Timestamp::from_millis(5000)),
            edited: Some(Timestamp::from_millis(6000)),
            ..Draft::default()
        }
        .add_to(&mut page, "rss", origin);
        let post = &page.posts[0];
        assert_eq!((post.url.as_deref(), post.author.as_deref()), (None, Some("ab c")));
        assert_eq!(post.title.as_deref().map(str::len), Some(MAX_TITLE));
        assert!(post.text.starts_with("x\ny") && post.text.len() == MAX_TEXT);
        assert_eq!(post.declared_language.as_deref(), Some("en"));
        assert_eq!(page.edited.get("x:1"), Some(&Timestamp::from_millis(6000)));
    }

    #[test]
    fn addresses_are_kept_or_mended() {
        for (written, kept) in [
            ("https://a.example", Some("https://a.example")),
            ("https://a.example/ü", Some("https://a.example/ü")),
            ("Https://A.example/x", Some("https://a.example/x")),
            (" https://a.example/\u{202e}x\ny ", Some("https://a.example/%E2%80%AExy")),
            ("ftp://a.example/", None),
            ("", None),
        ] {
            assert_eq!(web(written.to_owned()).as_deref(), kept, "{written}");
        }
    }

    #[test]
    fn a_missing_or_future_date_becomes_the_time_of_the_fetch() {
        let now = Timestamp::from_millis(1_000_000);
        let past = Timestamp::from_millis(999_999);
        assert_eq!(event_time(Some(past), now), (past, false));
        assert_eq!(event_time(Some(now.saturating_add(std::time::Duration::from_millis(1))), now), (now, true));
        assert_eq!(event_time(Some(Timestamp::from_millis(-62_135_596_800_000)), now), (now, true));
        assert_eq!(event_time(None, now), (now, true));
    }
}
