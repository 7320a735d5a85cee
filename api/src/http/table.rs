//! Lists as tables: as CSV (RFC 4180), a head and a line for each row, in which null is the empty
//! field; or typed, for [Arrow](arrow).

use axum::body::Bytes;
use axum::http::HeaderMap;
use axum::response::Response;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::http::problem::Problem;
use crate::http::{answer, arrow};

/// What a question is answered with: as JSON whole, as a table its list.
pub(crate) trait Table: Serialize + Sync {
    /// The list as a table.
    fn list(&self, form: Form) -> Result<Bytes, Problem>;

    /// The answer, or 304 if the client has it.
    fn respond(&self, headers: &HeaderMap, media: &'static str) -> Result<Response, Problem> {
        Ok(answer::conditional(headers, media, self.body(media)?))
    }

    /// The answer in a media type that was negotiated.
    fn body(&self, media: &str) -> Result<Bytes, Problem> {
        match media {
            answer::CSV => self.list(Form::Csv),
            answer::ARROW => self.list(Form::Arrow),
            _ => answer::to_json(self),
        }
    }
}

/// How a table is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Csv,
    Arrow,
}

impl Form {
    /// `columns` are separated by commas; a column is the way to a value, with dots between the
    /// names.
    pub(crate) fn rows<T: Serialize + ToSchema>(self, columns: &str, rows: &[T]) -> Result<Bytes, Problem> {
        match self {
            Self::Csv => csv(columns, rows),
            Self::Arrow => arrow::stream(arrow::fields::<T>(columns)?, rows),
        }
    }

    /// A page, whose last column is the cursor of the next page, in the last row.
    pub(crate) fn page<T: Serialize + ToSchema>(
        self,
        columns: &str,
        rows: &[T],
        next: Option<&str>,
    ) -> Result<Bytes, Problem> {
        let mut values = rows.iter().map(answer::to_value).collect::<Result<Vec<_>, _>>()?;
        if let (Some(Value::Object(last)), Some(next)) = (values.last_mut(), next) {
            last.insert("next".to_owned(), Value::from(next));
        }
        let columns = format!("{columns},next");
        match self {
            Self::Csv => csv(&columns, &values),
            Self::Arrow => arrow::stream(arrow::fields::<T>(&columns)?, &values),
        }
    }
}

fn csv<T: Serialize>(columns: &str, rows: &[T]) -> Result<Bytes, Problem> {
    let mut text = format!("{columns}\r\n");
    for row in rows {
        let row = answer::to_value(row)?;
        let cells = columns.split(',').map(|column| {
            let value = column.split('.').try_fold(&row, |value, name| value.get(name));
            field(value.unwrap_or(&Value::Null))
        });
        text.push_str(&cells.collect::<Vec<_>>().join(","));
        text.push_str("\r\n");
    }
    Ok(Bytes::from(text))
}

/// A value as a field; of a list, its items with spaces between.
pub(crate) fn field(value: &Value) -> String {
    let text = match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(item).collect::<Vec<_>>().join(" "),
        other => other.to_string(),
    };
    if text.contains([',', '"', '\r', '\n']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text }
}

fn item(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn fields_are_quoted_where_they_must_be() {
        let rows = [
            json!({"a": {"b": 1.5}, "text": "x, \"y\"\nz", "list": ["p", "q"]}),
            json!({"a": {"b": null}, "text": "", "list": []}),
        ];
        let text = Form::Csv.page("a.b,text,list", &rows, Some("c")).unwrap();
        assert_eq!(text, "a.b,text,list,next\r\n1.5,\"x, \"\"y\"\"\nz\",p q,\r\n,,,c\r\n");
        assert_eq!(csv::<Value>("a", &[]).unwrap(), "a\r\n");
    }
}
