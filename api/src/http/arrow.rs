//! Lists as a stream of Arrow's IPC format, with a type for each column. The types are those of the
//! description of the API, so that both agree: times are timestamps of microseconds in UTC, words
//! of a fixed set a dictionary, lists lists. Every column may be null.
//!
//! Columns are called and chosen as in CSV: a column is the way to a value, with dots between the
//! names.

use std::sync::Arc;

use arrow_array::types::Int32Type;
use arrow_array::{
    ArrayRef, BooleanArray, DictionaryArray, Float64Array, Int64Array, ListArray, RecordBatch, StringArray,
    StructArray, TimestampMicrosecondArray,
};
use arrow_buffer::{NullBuffer, OffsetBuffer};
use arrow_ipc::writer::StreamWriter;
use arrow_schema::{ArrowError, DataType, Field, Fields, Schema, SchemaRef, TimeUnit};
use axum::body::Bytes;
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::http::answer;
use crate::http::problem::Problem;

/// Those of `columns`, which are separated by commas, of rows `T`.
pub(crate) fn fields<T: ToSchema>(columns: &str) -> Result<Vec<Field>, Problem> {
    let mut named = Vec::new();
    T::schemas(&mut named);
    let named: Map<String, Value> = named
        .iter()
        .map(|(name, schema)| Ok((name.clone(), answer::to_value(schema)?)))
        .collect::<Result<_, Problem>>()?;
    let row = answer::to_value(&T::schema())?;
    let typed = columns.split(',').map(|column| {
        let schema = column.split('.').try_fold(&row, |schema, name| property(schema, name, &named));
        Field::new(column, schema.map_or(DataType::Utf8, |schema| kind(schema, &named)), true)
    });
    Ok(typed.collect())
}

/// What is described: behind references, and beside null.
fn described<'a>(schema: &'a Value, named: &'a Map<String, Value>) -> &'a Value {
    if let Some(name) = schema["$ref"].as_str().and_then(|place| place.rsplit('/').next()) {
        return named.get(name).map_or(schema, |schema| described(schema, named));
    }
    let choices = schema["oneOf"].as_array().into_iter().flatten();
    let mut choices = choices.filter(|choice| choice["type"] != "null");
    choices.next().map_or(schema, |choice| described(choice, named))
}

fn property<'a>(schema: &'a Value, name: &str, named: &'a Map<String, Value>) -> Option<&'a Value> {
    let schema = described(schema, named);
    let flattened = || schema["allOf"].as_array().into_iter().flatten();
    schema["properties"].get(name).or_else(|| flattened().find_map(|part| property(part, name, named)))
}

fn kind(schema: &Value, named: &Map<String, Value>) -> DataType {
    let schema = described(schema, named);
    let is =
        |name: &str| schema["type"] == name || schema["type"].as_array().is_some_and(|all| all.contains(&name.into()));
    if is("boolean") {
        DataType::Boolean
    } else if is("integer") {
        DataType::Int64
    } else if is("number") {
        DataType::Float64
    } else if is("array") {
        DataType::List(Arc::new(Field::new_list_field(kind(&schema["items"], named), true)))
    } else if let Some(properties) = schema["properties"].as_object() {
        let fields = properties.iter().map(|(name, schema)| Field::new(name, kind(schema, named), true));
        DataType::Struct(fields.collect())
    } else if schema["format"] == "date-time" {
        DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
    } else if schema["enum"].is_array() {
        DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8))
    } else {
        DataType::Utf8
    }
}

/// A stream of batches, of which each part is taken as soon as it is written.
pub(crate) struct Batches {
    schema: SchemaRef,
    writer: StreamWriter<Vec<u8>>,
}

impl Batches {
    pub(crate) fn new(fields: Vec<Field>) -> Result<Self, Problem> {
        let schema = SchemaRef::new(Schema::new(fields));
        let writer = StreamWriter::try_new(Vec::new(), &schema).map_err(broken)?;
        Ok(Self { schema, writer })
    }

    /// The bytes of these rows, after those of the schema if they are the first.
    pub(crate) fn add<T: Serialize>(&mut self, rows: &[T]) -> Result<Bytes, Problem> {
        let rows = rows.iter().map(answer::to_value).collect::<Result<Vec<_>, _>>()?;
        let columns = self.schema.fields().iter().map(|field| {
            let at = |row| field.name().split('.').try_fold(row, |value: &Value, name| value.get(name));
            array(field.data_type(), &rows.iter().map(at).collect::<Vec<_>>())
        });
        let columns = columns.collect::<Result<Vec<_>, _>>().map_err(broken)?;
        let batch = RecordBatch::try_new(self.schema.clone(), columns).map_err(broken)?;
        self.writer.write(&batch).map_err(broken)?;
        Ok(std::mem::take(self.writer.get_mut()).into())
    }

    /// The bytes that end the stream.
    pub(crate) fn finish(self) -> Result<Bytes, Problem> {
        self.writer.into_inner().map(Bytes::from).map_err(broken)
    }
}

/// `rows` as a whole stream.
pub(crate) fn stream<T: Serialize>(fields: Vec<Field>, rows: &[T]) -> Result<Bytes, Problem> {
    let mut batches = Batches::new(fields)?;
    let mut bytes = batches.add(rows)?.to_vec();
    bytes.extend_from_slice(&batches.finish()?);
    Ok(bytes.into())
}

fn broken(error: ArrowError) -> Problem {
    tracing::error!(%error, "answer not put");
    Problem::internal()
}

fn array(kind: &DataType, values: &[Option<&Value>]) -> Result<ArrayRef, ArrowError> {
    let values = || values.iter().map(|value| value.filter(|value| !value.is_null()));
    let texts = || values().map(|value| value.and_then(Value::as_str));
    let nulls = || Some(NullBuffer::from_iter(values().map(|value| value.is_some())));
    Ok(match kind {
        DataType::Boolean => Arc::new(BooleanArray::from_iter(values().map(|value| value?.as_bool()))),
        DataType::Int64 => Arc::new(Int64Array::from_iter(values().map(|value| value?.as_i64()))),
        DataType::Float64 => Arc::new(Float64Array::from_iter(values().map(|value| value?.as_f64()))),
        DataType::Timestamp(..) => {
            let micros = |text: Option<&str>| Some(text?.parse::<jiff::Timestamp>().ok()?.as_microsecond());
            Arc::new(TimestampMicrosecondArray::from_iter(texts().map(micros)).with_timezone("UTC"))
        }
        DataType::Dictionary(..) => Arc::new(texts().collect::<DictionaryArray<Int32Type>>()),
        DataType::List(item) => {
            let lists = || values().map(|value| value.and_then(Value::as_array));
            let offsets = OffsetBuffer::from_lengths(lists().map(|list| list.map_or(0, Vec::len)));
            let items: Vec<Option<&Value>> = lists().flatten().flatten().map(Some).collect();
            Arc::new(ListArray::try_new(item.clone(), offsets, array(item.data_type(), &items)?, nulls())?)
        }
        DataType::Struct(fields) => {
            let of = |field: &Arc<Field>| {
                let values: Vec<_> = values().map(|value| value?.get(field.name())).collect();
                array(field.data_type(), &values)
            };
            let columns = fields.iter().map(of).collect::<Result<Vec<_>, _>>()?;
            Arc::new(StructArray::try_new(Fields::clone(fields), columns, nulls())?)
        }
        _ => Arc::new(StringArray::from_iter(texts())),
    })
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use arrow_array::Array;
    use arrow_array::cast::AsArray;
    use arrow_array::types::TimestampMicrosecondType;
    use arrow_ipc::reader::StreamReader;
    use serde_json::json;

    use super::*;
    use crate::insights::leaderboard::Trend;
    use crate::store::posts::Post;

    #[test]
    fn columns_have_the_types_of_the_description() {
        let kinds =
            |fields: Vec<Field>| fields.into_iter().map(|field| field.data_type().to_string()).collect::<Vec<_>>();
        let of_posts = fields::<Post>(
            "published_at,score,probabilities.negative,assets,copies,spam_reasons,sample,lineage.model.name,url",
        );
        let moods = r#"List(Struct("asset": Utf8, "label": Utf8, "score": Float64))"#;
        let expected =
            ["Timestamp(µs, \"UTC\")", "Float64", "Float64", moods, "Int64", "List(Utf8)", "Boolean", "Utf8", "Utf8"];
        assert_eq!(kinds(of_posts.unwrap()), expected);
        let of_trends = fields::<Trend>("asset,posts,previous.mean_score,next_hour.p50,next_hour.from,history");
        let expected = ["Utf8", "Int64", "Float64", "Float64", "Timestamp(µs, \"UTC\")", "List(Int64)"];
        assert_eq!(kinds(of_trends.unwrap()), expected);
    }

    #[test]
    fn what_is_written_is_read_in_batches_with_null_where_nothing_is() {
        let moods = DataType::List(Arc::new(Field::new_list_field(
            DataType::Struct(Fields::from(vec![Field::new("asset", DataType::Utf8, true)])),
            true,
        )));
        let word = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
        let time = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
        let named = [("word", word), ("a.time", time), ("moods", moods), ("n", DataType::Int64)];
        let mut batches = Batches::new(named.map(|(name, kind)| Field::new(name, kind, true)).to_vec()).unwrap();
        let full = json!({"word": "up", "a": {"time": "2022-05-09T12:00:00.000001Z"}, "moods": [{"asset": "BTC"}, {}], "n": 7});
        let mut bytes = Vec::new();
        for rows in [vec![full, json!({"word": null, "a": null})], vec![json!({"word": "down", "moods": []})], vec![]] {
            bytes.extend_from_slice(&batches.add(&rows).unwrap());
        }
        bytes.extend_from_slice(&batches.finish().unwrap());
        let read: Vec<RecordBatch> =
            StreamReader::try_new(Cursor::new(bytes), None).unwrap().map(Result::unwrap).collect();
        assert_eq!(read.iter().map(RecordBatch::num_rows).collect::<Vec<_>>(), [2, 1, 0]);
        let words =
            |at: usize| read[at].column(0).as_dictionary::<Int32Type>().values().as_string::<i32>().value(0).to_owned();
        assert_eq!((words(0), words(1)), ("up".to_owned(), "down".to_owned()));
        let times = read[0].column(1).as_primitive::<TimestampMicrosecondType>();
        assert_eq!((times.value(0), times.is_null(1)), (1_652_097_600_000_001, true));
        let moods = read[0].column(2).as_list::<i32>();
        assert_eq!((moods.value_length(0), moods.is_null(1)), (2, true));
        assert_eq!(read[1].column(2).as_list::<i32>().value_length(0), 0);
        assert_eq!(read[0].column(3).null_count(), 1);
    }
}
