//! The columns of a file, in the words of Parquet's schemas: those of a record's place here, those of each kind of post below.

mod raw_post;
mod scored_post;

use std::sync::Arc;

use parquet::errors::ParquetError;
use parquet::schema::parser::parse_message_type;
use parquet::schema::types::Type;
use vigie_schemas::{RawPost, ScoredPost, Topic};

use crate::cells::Cells::{Flag, Int, Long, Text, Time};
use crate::cells::Column;
use crate::row::{Archived, Content, Row};

/// The topics that are archived.
pub const TOPICS: [Topic; 2] = [RawPost::TOPIC, ScoredPost::TOPIC];

/// The file's columns are these, those of the post, and [`Row::LAST`].
impl<R: Archived> Row<R> {
    pub(crate) const FIRST: [Column<Self>; 5] = [
        ("REQUIRED INT32 partition;", Int(|row| Some(row.partition))),
        ("REQUIRED INT64 offset;", Long(|row| Some(row.offset))),
        ("REQUIRED INT64 appended_at (TIMESTAMP(MILLIS,true));", Time(|row| Some(row.appended_at))),
        ("OPTIONAL BYTE_ARRAY post_id (STRING);", Text(post_id)),
        ("REQUIRED BOOLEAN deleted;", Flag(|row| Some(matches!(row.content, Content::Deleted(_))))),
    ];
    pub(crate) const LAST: [Column<Self>; 2] =
        [("OPTIONAL BYTE_ARRAY raw_key;", Text(raw_key)), ("OPTIONAL BYTE_ARRAY raw_value;", Text(raw_value))];
}

/// The schema of a file.
pub(crate) fn schema<R: Archived>() -> Result<Arc<Type>, ParquetError> {
    let first = Row::<R>::FIRST.iter().map(|(column, _)| *column);
    let last = Row::<R>::LAST.iter().map(|(column, _)| *column);
    let columns: Vec<_> = first.chain(R::COLUMNS.iter().map(|(column, _)| *column)).chain(last).collect();
    parse_message_type(&format!("message post {{ {} }}", columns.join(" "))).map(Arc::new)
}

fn post_id<R: Archived>(row: &Row<R>) -> Option<&[u8]> {
    match &row.content {
        Content::Post(post) => Some(post.post_id().as_bytes()),
        Content::Deleted(id) => Some(id.as_bytes()),
        Content::Undecoded { .. } => None,
    }
}

fn raw_key<R>(row: &Row<R>) -> Option<&[u8]> {
    match &row.content {
        Content::Undecoded { key, .. } => key.as_deref(),
        Content::Post(_) | Content::Deleted(_) => None,
    }
}

fn raw_value<R>(row: &Row<R>) -> Option<&[u8]> {
    match &row.content {
        Content::Undecoded { value, .. } => value.as_deref(),
        Content::Post(_) | Content::Deleted(_) => None,
    }
}

fn text(text: &Option<String>) -> Option<&[u8]> {
    text.as_ref().map(String::as_bytes)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::*;

    /// The names of fields, those of records within as `outer.inner`.
    fn of_avro(record: &Value, before: &str, names: &mut BTreeSet<String>) {
        match record {
            Value::Array(branches) => branches.iter().for_each(|branch| of_avro(branch, before, names)),
            Value::Object(parts) => {
                parts.get("items").into_iter().for_each(|items| of_avro(items, before, names));
                for field in parts.get("fields").and_then(Value::as_array).into_iter().flatten() {
                    let name = format!("{before}{}", field["name"].as_str().unwrap());
                    of_avro(&field["type"], &format!("{name}."), names);
                    names.insert(name);
                }
            }
            _ => {}
        }
    }

    /// The same of a file. A list is a group `list` of an `element`.
    fn of_parquet(group: &Type, before: &str, names: &mut BTreeSet<String>) {
        for field in group.get_fields() {
            let (name, is_part) = (format!("{before}{}", field.name()), ["list", "element"].contains(&field.name()));
            if field.is_group() {
                of_parquet(field, &if is_part { before.to_owned() } else { format!("{name}.") }, names);
            }
            names.extend((!is_part).then_some(name));
        }
    }

    fn has_every_field<R: Archived>() {
        let (mut expected, mut found) = (BTreeSet::new(), BTreeSet::new());
        of_avro(&serde_json::from_str(R::SCHEMA).unwrap(), "", &mut expected);
        of_parquet(&schema::<R>().unwrap(), "", &mut found);
        for place in ["partition", "offset", "appended_at", "deleted", "raw_key", "raw_value"] {
            assert!(found.remove(place), "{place}");
        }
        assert_eq!(found, expected);
    }

    #[test]
    fn every_field_of_the_avro_schemas_has_a_column() {
        has_every_field::<RawPost>();
        has_every_field::<ScoredPost>();
    }
}
