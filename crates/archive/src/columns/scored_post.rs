//! Posts with language, assets and sentiment.

use parquet::record::{Field, Row as Group};
use vigie_clock::Timestamp;
use vigie_schemas::{AssetMention, Lineage, ScoredPost, Topic};

use super::text;
use crate::cells::Cells::{Double, Doubles, Flag, Int, Long, Text, Time, Word, Words};
use crate::cells::Column;
use crate::row::Archived;

impl Archived for ScoredPost {
    const TOPIC: Topic = Topic::InsightsSentiment;
    const COLUMNS: &'static [Column<Self>] = &[
        ("OPTIONAL BYTE_ARRAY source (STRING);", Word(|post| Some(post.source.as_bytes()))),
        ("OPTIONAL BYTE_ARRAY kind (STRING);", Word(|post| Some(post.kind.as_bytes()))),
        ("OPTIONAL BYTE_ARRAY url (STRING);", Text(|post| text(&post.url))),
        ("OPTIONAL BYTE_ARRAY author_id (STRING);", Word(|post| text(&post.author_id))),
        ("OPTIONAL BYTE_ARRAY title (STRING);", Text(|post| text(&post.title))),
        ("OPTIONAL BYTE_ARRAY excerpt (STRING);", Text(|post| Some(post.excerpt.as_bytes()))),
        ("OPTIONAL INT64 published_at (TIMESTAMP(MILLIS,true));", Time(|post| Some(post.published_at))),
        ("OPTIONAL INT64 fetched_at (TIMESTAMP(MILLIS,true));", Time(|post| Some(post.fetched_at))),
        ("OPTIONAL INT64 scored_at (TIMESTAMP(MILLIS,true));", Time(|post| Some(post.scored_at))),
        ("OPTIONAL BYTE_ARRAY language (STRING);", Word(|post| text(&post.language))),
        ("OPTIONAL BYTE_ARRAY label (STRING);", Word(|post| text(&post.label))),
        ("OPTIONAL DOUBLE score;", Double(|post| post.score)),
        ("OPTIONAL DOUBLE p_negative;", Double(|post| post.p_negative)),
        ("OPTIONAL DOUBLE p_neutral;", Double(|post| post.p_neutral)),
        ("OPTIONAL DOUBLE p_positive;", Double(|post| post.p_positive)),
        ("OPTIONAL BYTE_ARRAY unscored_reason (STRING);", Word(|post| text(&post.unscored_reason))),
        (
            "OPTIONAL GROUP assets (LIST) { REPEATED GROUP list { REQUIRED GROUP element { REQUIRED BYTE_ARRAY asset (STRING);",
            Words(|post| post.assets.iter().map(|mention| Some(mention.asset.as_bytes())).collect()),
        ),
        (
            "REQUIRED BYTE_ARRAY evidence (STRING);",
            Words(|post| post.assets.iter().map(|mention| Some(mention.evidence.as_bytes())).collect()),
        ),
        (
            "OPTIONAL BYTE_ARRAY label (STRING);",
            Words(|post| post.assets.iter().map(|mention| text(&mention.label)).collect()),
        ),
        ("OPTIONAL DOUBLE score; } } }", Doubles(|post| post.assets.iter().map(|mention| mention.score).collect())),
        ("OPTIONAL BOOLEAN sample;", Flag(|post| Some(post.sample))),
        (
            "OPTIONAL GROUP lineage { REQUIRED BYTE_ARRAY run_id (STRING);",
            Word(|post| Some(post.lineage.run_id.as_bytes())),
        ),
        ("REQUIRED BYTE_ARRAY model_name (STRING);", Word(|post| Some(post.lineage.model_name.as_bytes()))),
        ("REQUIRED BYTE_ARRAY model_version (STRING);", Word(|post| Some(post.lineage.model_version.as_bytes()))),
        ("REQUIRED BYTE_ARRAY model_sha256 (STRING);", Word(|post| Some(post.lineage.model_sha256.as_bytes()))),
        ("REQUIRED BYTE_ARRAY assets_version (STRING);", Word(|post| Some(post.lineage.assets_version.as_bytes()))),
        ("REQUIRED BYTE_ARRAY input_topic (STRING);", Word(|post| Some(post.lineage.input_topic.as_bytes()))),
        ("REQUIRED INT32 input_partition;", Int(|post| Some(post.lineage.input_partition))),
        ("REQUIRED INT64 first_offset;", Long(|post| Some(post.lineage.first_offset))),
        ("REQUIRED INT64 last_offset; }", Long(|post| Some(post.lineage.last_offset))),
        ("OPTIONAL INT32 revision;", Int(|post| Some(post.revision))),
        ("OPTIONAL INT64 fingerprint;", Long(|post| post.fingerprint)),
        ("OPTIONAL DOUBLE spam_score;", Double(|post| post.spam_score)),
        (
            "OPTIONAL GROUP spam_reasons (LIST) { REPEATED GROUP list { REQUIRED BYTE_ARRAY element (STRING); } }",
            Words(|post| post.spam_reasons.iter().map(|reason| Some(reason.as_bytes())).collect()),
        ),
        ("OPTIONAL INT64 deleted_at (TIMESTAMP(MILLIS,true));", Time(|post| post.deleted_at)),
        ("OPTIONAL BYTE_ARRAY author_sealed;", Text(|post| post.author_sealed.as_deref())),
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
            ("author_id", Field::Str(text)) => self.author_id = Some(text),
            ("title", Field::Str(text)) => self.title = Some(text),
            ("excerpt", Field::Str(text)) => self.excerpt = text,
            ("published_at", Field::TimestampMillis(millis)) => self.published_at = time(millis),
            ("fetched_at", Field::TimestampMillis(millis)) => self.fetched_at = time(millis),
            ("scored_at", Field::TimestampMillis(millis)) => self.scored_at = time(millis),
            ("language", Field::Str(text)) => self.language = Some(text),
            ("label", Field::Str(text)) => self.label = Some(text),
            ("score", Field::Double(number)) => self.score = Some(number),
            ("p_negative", Field::Double(number)) => self.p_negative = Some(number),
            ("p_neutral", Field::Double(number)) => self.p_neutral = Some(number),
            ("p_positive", Field::Double(number)) => self.p_positive = Some(number),
            ("unscored_reason", Field::Str(text)) => self.unscored_reason = Some(text),
            ("assets", Field::ListInternal(list)) => self.assets = list.elements().iter().filter_map(mention).collect(),
            ("sample", Field::Bool(is)) => self.sample = is,
            ("lineage", Field::Group(group)) => self.lineage = lineage(group),
            ("revision", Field::Int(number)) => self.revision = number,
            ("fingerprint", Field::Long(number)) => self.fingerprint = Some(number),
            ("spam_score", Field::Double(number)) => self.spam_score = Some(number),
            ("spam_reasons", Field::ListInternal(list)) => {
                self.spam_reasons = list.elements().iter().filter_map(word).collect();
            }
            ("deleted_at", Field::TimestampMillis(millis)) => self.deleted_at = Some(time(millis)),
            ("author_sealed", Field::Bytes(sealed)) => self.author_sealed = Some(sealed.data().to_vec()),
            (_, _) => {}
        }
    }

    fn erase(&mut self) -> bool {
        let Self { url, title, excerpt, author_sealed, .. } = self;
        (url.take(), title.take(), std::mem::take(excerpt), author_sealed.take()) != Default::default()
    }
}

fn word(field: &Field) -> Option<String> {
    match field {
        Field::Str(text) => Some(text.clone()),
        _ => None,
    }
}

fn mention(field: &Field) -> Option<AssetMention> {
    let Field::Group(group) = field else { return None };
    let mut mention = AssetMention::default();
    for (column, field) in group.get_column_iter() {
        match (column.as_str(), field) {
            ("asset", Field::Str(text)) => mention.asset.clone_from(text),
            ("evidence", Field::Str(text)) => mention.evidence.clone_from(text),
            ("label", Field::Str(text)) => mention.label = Some(text.clone()),
            ("score", Field::Double(number)) => mention.score = Some(*number),
            (_, _) => {}
        }
    }
    Some(mention)
}

fn lineage(group: Group) -> Lineage {
    let mut lineage = Lineage::default();
    for (column, field) in group.into_columns() {
        match (column.as_str(), field) {
            ("run_id", Field::Str(text)) => lineage.run_id = text,
            ("model_name", Field::Str(text)) => lineage.model_name = text,
            ("model_version", Field::Str(text)) => lineage.model_version = text,
            ("model_sha256", Field::Str(text)) => lineage.model_sha256 = text,
            ("assets_version", Field::Str(text)) => lineage.assets_version = text,
            ("input_topic", Field::Str(text)) => lineage.input_topic = text,
            ("input_partition", Field::Int(number)) => lineage.input_partition = number,
            ("first_offset", Field::Long(number)) => lineage.first_offset = number,
            ("last_offset", Field::Long(number)) => lineage.last_offset = number,
            (_, _) => {}
        }
    }
    lineage
}
