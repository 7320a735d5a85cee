//! Posts as published.

use parquet::record::Field;
use vigie_clock::Timestamp;
use vigie_schemas::{RawPost, Topic};

use super::text;
use crate::cells::Cells::{Flag, Text, Time, Word};
use crate::cells::Column;
use crate::row::Archived;

impl Archived for RawPost {
    const TOPIC: Topic = Topic::PostsRaw;
    const COLUMNS: &'static [Column<Self>] = &[
        ("OPTIONAL BYTE_ARRAY source (STRING);", Word(|post| Some(post.source.as_bytes()))),
        ("OPTIONAL BYTE_ARRAY kind (STRING);", Word(|post| Some(post.kind.as_bytes()))),
        ("OPTIONAL BYTE_ARRAY url (STRING);", Text(|post| text(&post.url))),
        ("OPTIONAL BYTE_ARRAY author (STRING);", Word(|post| text(&post.author))),
        ("OPTIONAL BYTE_ARRAY title (STRING);", Text(|post| text(&post.title))),
        ("OPTIONAL BYTE_ARRAY text (STRING);", Text(|post| Some(post.text.as_bytes()))),
        ("OPTIONAL BYTE_ARRAY parent_id (STRING);", Word(|post| text(&post.parent_id))),
        ("OPTIONAL BYTE_ARRAY declared_language (STRING);", Word(|post| text(&post.declared_language))),
        ("OPTIONAL INT64 published_at (TIMESTAMP(MILLIS,true));", Time(|post| Some(post.published_at))),
        ("OPTIONAL BOOLEAN published_at_estimated;", Flag(|post| Some(post.published_at_estimated))),
        ("OPTIONAL INT64 fetched_at (TIMESTAMP(MILLIS,true));", Time(|post| Some(post.fetched_at))),
        ("OPTIONAL BOOLEAN sample;", Flag(|post| Some(post.sample))),
        ("OPTIONAL INT64 edited_at (TIMESTAMP(MILLIS,true));", Time(|post| post.edited_at)),
        ("OPTIONAL BYTE_ARRAY author_id (STRING);", Word(|post| text(&post.author_id))),
        ("OPTIONAL BYTE_ARRAY author_sealed;", Text(|post| post.author_sealed.as_deref())),
        ("OPTIONAL BYTE_ARRAY quoted (STRING);", Text(|post| text(&post.quoted))),
    ];

    fn post_id(&self) -> &str {
        &self.post_id
    }

    fn author_id(&self) -> Option<&str> {
        self.author_id.as_deref()
    }

    fn fetched_at(&self) -> Timestamp {
        self.fetched_at
    }

    fn set(&mut self, column: &str, field: Field) {
        let time = Timestamp::from_millis;
        match (column, field) {
            ("post_id", Field::Str(text)) => self.post_id = text,
            ("source", Field::Str(text)) => self.source = text,
            ("kind", Field::Str(text)) => self.kind = text,
            ("url", Field::Str(text)) => self.url = Some(text),
            ("author", Field::Str(text)) => self.author = Some(text),
            ("title", Field::Str(text)) => self.title = Some(text),
            ("text", Field::Str(text)) => self.text = text,
            ("parent_id", Field::Str(text)) => self.parent_id = Some(text),
            ("declared_language", Field::Str(text)) => self.declared_language = Some(text),
            ("published_at", Field::TimestampMillis(millis)) => self.published_at = time(millis),
            ("published_at_estimated", Field::Bool(is)) => self.published_at_estimated = is,
            ("fetched_at", Field::TimestampMillis(millis)) => self.fetched_at = time(millis),
            ("sample", Field::Bool(is)) => self.sample = is,
            ("edited_at", Field::TimestampMillis(millis)) => self.edited_at = Some(time(millis)),
            ("author_id", Field::Str(text)) => self.author_id = Some(text),
            ("author_sealed", Field::Bytes(sealed)) => self.author_sealed = Some(sealed.data().to_vec()),
            ("quoted", Field::Str(text)) => self.quoted = Some(text),
            (_, _) => {}
        }
    }

    fn erase(&mut self) -> bool {
        let Self { url, author, title, text, author_sealed, quoted, .. } = self;
        let gone = (url.take(), author.take(), title.take(), std::mem::take(text), author_sealed.take(), quoted.take());
        gone != Default::default()
    }
}
