//! Rows to a Parquet file and back.
//!
//! A row group is written column by column through the crate's lowest layer: without Arrow, which nothing here needs.

use std::sync::Arc;

use bytes::Bytes;
use parquet::basic::{Compression, ZstdLevel};
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, DataType, Int32Type, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::metadata::SortingColumn;
use parquet::file::properties::WriterProperties;
use parquet::file::serialized_reader::SerializedFileReader;
use parquet::file::writer::{SerializedColumnWriter, SerializedFileWriter, SerializedRowGroupWriter};
use parquet::record::Field;
use parquet::record::reader::RowIter;
use parquet::schema::parser::parse_message_type;
use parquet::schema::types::ColumnPath;
use vigie_clock::Timestamp;
use vigie_schemas::RawPost;

use crate::error::ArchiveError;
use crate::row::{Content, Row};

/// Rows of a row group at most: what is read at once.
const GROUP_ROWS: usize = 50_000;
/// Bytes of text in a row group at most, but for one row.
const GROUP_BYTES: usize = 32 << 20;
/// Bytes of a file after which no more row groups are added, so that a writer's memory is bounded.
const FILE_BYTES: usize = 128 << 20;

/// What a cell of a column holds; `None` is null.
enum Cells {
    Int(fn(&Row) -> Option<i32>),
    Long(fn(&Row) -> Option<i64>),
    Flag(fn(&Row) -> Option<bool>),
    Bytes(fn(&Row) -> Option<&[u8]>),
}

use Cells::{Bytes as Binary, Flag, Int, Long};

/// The columns, in the words of Parquet's schemas.
const COLUMNS: [(&str, Cells); 23] = [
    ("REQUIRED INT32 partition", Int(|row| Some(row.partition))),
    ("REQUIRED INT64 offset", Long(|row| Some(row.offset))),
    ("REQUIRED INT64 appended_at (TIMESTAMP(MILLIS,true))", Long(|row| Some(row.appended_at.as_millis()))),
    ("OPTIONAL BYTE_ARRAY post_id (STRING)", Binary(post_id)),
    ("REQUIRED BOOLEAN deleted", Flag(|row| Some(matches!(row.content, Content::Deleted(_))))),
    ("OPTIONAL BYTE_ARRAY source (STRING)", Binary(|row| Some(of(row)?.source.as_bytes()))),
    ("OPTIONAL BYTE_ARRAY kind (STRING)", Binary(|row| Some(of(row)?.kind.as_bytes()))),
    ("OPTIONAL BYTE_ARRAY url (STRING)", Binary(|row| text(&of(row)?.url))),
    ("OPTIONAL BYTE_ARRAY author (STRING)", Binary(|row| text(&of(row)?.author))),
    ("OPTIONAL BYTE_ARRAY title (STRING)", Binary(|row| text(&of(row)?.title))),
    ("OPTIONAL BYTE_ARRAY text (STRING)", Binary(|row| Some(of(row)?.text.as_bytes()))),
    ("OPTIONAL BYTE_ARRAY parent_id (STRING)", Binary(|row| text(&of(row)?.parent_id))),
    ("OPTIONAL BYTE_ARRAY declared_language (STRING)", Binary(|row| text(&of(row)?.declared_language))),
    ("OPTIONAL INT64 published_at (TIMESTAMP(MILLIS,true))", Long(|row| Some(of(row)?.published_at.as_millis()))),
    ("OPTIONAL BOOLEAN published_at_estimated", Flag(|row| Some(of(row)?.published_at_estimated))),
    ("OPTIONAL INT64 fetched_at (TIMESTAMP(MILLIS,true))", Long(|row| Some(of(row)?.fetched_at.as_millis()))),
    ("OPTIONAL BOOLEAN sample", Flag(|row| Some(of(row)?.sample))),
    ("OPTIONAL INT64 edited_at (TIMESTAMP(MILLIS,true))", Long(|row| Some(of(row)?.edited_at?.as_millis()))),
    ("OPTIONAL BYTE_ARRAY author_id (STRING)", Binary(|row| text(&of(row)?.author_id))),
    ("OPTIONAL BYTE_ARRAY author_sealed", Binary(|row| of(row)?.author_sealed.as_deref())),
    ("OPTIONAL BYTE_ARRAY quoted (STRING)", Binary(|row| text(&of(row)?.quoted))),
    ("OPTIONAL BYTE_ARRAY raw_key", Binary(raw_key)),
    ("OPTIONAL BYTE_ARRAY raw_value", Binary(raw_value)),
];

fn of(row: &Row) -> Option<&RawPost> {
    row.content.post()
}

fn text(text: &Option<String>) -> Option<&[u8]> {
    text.as_ref().map(String::as_bytes)
}

fn post_id(row: &Row) -> Option<&[u8]> {
    match &row.content {
        Content::Post(post) => Some(post.post_id.as_bytes()),
        Content::Deleted(id) => Some(id.as_bytes()),
        Content::Undecoded { .. } => None,
    }
}

fn raw_key(row: &Row) -> Option<&[u8]> {
    match &row.content {
        Content::Undecoded { key, .. } => key.as_deref(),
        Content::Post(_) | Content::Deleted(_) => None,
    }
}

fn raw_value(row: &Row) -> Option<&[u8]> {
    match &row.content {
        Content::Undecoded { value, .. } => value.as_deref(),
        Content::Post(_) | Content::Deleted(_) => None,
    }
}

/// Makes a file of rows, which must come in the order of their offsets.
pub struct FileWriter {
    writer: SerializedFileWriter<Vec<u8>>,
    group: Vec<Row>,
    group_bytes: usize,
    records: u64,
    appended: Option<(Timestamp, Timestamp)>,
}

/// A whole file.
pub struct Finished {
    /// What is in it.
    pub bytes: Bytes,
    /// Its rows.
    pub records: u64,
    /// When the broker took in the first and the last of them.
    pub appended: (Timestamp, Timestamp),
}

impl FileWriter {
    /// An empty file.
    ///
    /// # Errors
    /// [`ArchiveError::Parquet`].
    pub fn new() -> Result<Self, ArchiveError> {
        let columns: Vec<String> = COLUMNS.iter().map(|(column, _)| format!("{column};")).collect();
        let schema = Arc::new(parse_message_type(&format!("message post {{ {} }}", columns.join(" ")))?);
        let mut properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            .set_created_by(format!("vigie {}", env!("CARGO_PKG_VERSION")))
            .set_sorting_columns(Some(vec![SortingColumn { column_idx: 1, descending: false, nulls_first: false }]));
        // Values of high cardinality: a dictionary would be made and given up in each row group.
        for column in ["post_id", "url", "title", "text", "author_sealed", "quoted", "raw_key", "raw_value"] {
            properties = properties.set_column_dictionary_enabled(ColumnPath::from(column), false);
        }
        for column in ["post_id", "author_id"] {
            properties = properties.set_column_bloom_filter_max_ndv(ColumnPath::from(column), GROUP_ROWS as u64);
        }
        let writer = SerializedFileWriter::new(Vec::new(), schema, Arc::new(properties.build()))?;
        Ok(Self { writer, group: Vec::new(), group_bytes: 0, records: 0, appended: None })
    }

    /// Adds a row.
    ///
    /// # Errors
    /// [`ArchiveError::Parquet`].
    pub fn push(&mut self, row: Row) -> Result<(), ArchiveError> {
        self.records += 1;
        let first = self.appended.map_or(row.appended_at, |(first, _)| first);
        self.appended = Some((first, row.appended_at));
        self.group_bytes += COLUMNS.iter().map(|(_, cells)| size(cells, &row)).sum::<usize>();
        self.group.push(row);
        if self.group.len() >= GROUP_ROWS || self.group_bytes >= GROUP_BYTES {
            self.flush()?;
        }
        Ok(())
    }

    /// Whether it is large enough: the next row should go to another one.
    pub fn is_full(&self) -> bool {
        self.writer.bytes_written() >= FILE_BYTES
    }

    /// The file; `None` if it has no rows.
    ///
    /// # Errors
    /// [`ArchiveError::Parquet`].
    pub fn finish(mut self) -> Result<Option<Finished>, ArchiveError> {
        self.flush()?;
        let Some(appended) = self.appended else { return Ok(None) };
        let bytes = Bytes::from(self.writer.into_inner()?);
        Ok(Some(Finished { bytes, records: self.records, appended }))
    }

    fn flush(&mut self) -> Result<(), ArchiveError> {
        if self.group.is_empty() {
            return Ok(());
        }
        let mut group = self.writer.next_row_group()?;
        for (_, cells) in &COLUMNS {
            write_column(&mut group, cells, &self.group)?;
        }
        group.close()?;
        self.group.clear();
        self.group_bytes = 0;
        Ok(())
    }
}

fn size(cells: &Cells, row: &Row) -> usize {
    match cells {
        Binary(of) => of(row).map_or(0, <[u8]>::len),
        Int(_) | Long(_) | Flag(_) => 0,
    }
}

fn write_column<W: std::io::Write + Send>(
    group: &mut SerializedRowGroupWriter<'_, W>,
    cells: &Cells,
    rows: &[Row],
) -> Result<(), ParquetError> {
    let mut column = group.next_column()?.ok_or_else(|| ParquetError::General("a column is missing".to_owned()))?;
    match cells {
        Int(of) => write_cells::<Int32Type>(&mut column, rows.iter().map(of)),
        Long(of) => write_cells::<Int64Type>(&mut column, rows.iter().map(of)),
        Flag(of) => write_cells::<BoolType>(&mut column, rows.iter().map(of)),
        Binary(of) => write_cells::<ByteArrayType>(&mut column, rows.iter().map(|row| of(row).map(ByteArray::from))),
    }?;
    column.close()
}

/// Nulls have definition level 0 and no value; a required column takes no notice of the levels.
fn write_cells<T: DataType>(
    column: &mut SerializedColumnWriter<'_>,
    cells: impl Iterator<Item = Option<T::T>>,
) -> Result<(), ParquetError> {
    let cells: Vec<Option<T::T>> = cells.collect();
    let levels: Vec<i16> = cells.iter().map(|cell| i16::from(cell.is_some())).collect();
    let values: Vec<T::T> = cells.into_iter().flatten().collect();
    column.typed::<T>().write_batch(&values, Some(&levels), None).map(drop)
}

/// The rows of a file, in its order; `path` names it in errors.
///
/// # Errors
/// [`ArchiveError::Corrupt`], here and for each row.
pub fn read_rows(
    path: &str,
    bytes: Bytes,
) -> Result<impl Iterator<Item = Result<Row, ArchiveError>> + use<>, ArchiveError> {
    let reader = SerializedFileReader::new(bytes).map_err(|error| ArchiveError::corrupt(path, error))?;
    let path = path.to_owned();
    Ok(RowIter::from_file_into(Box::new(reader)).map(move |row| {
        let columns = row.map_err(|error| ArchiveError::corrupt(&path, error))?.into_columns();
        row_of(columns).map_err(|detail| ArchiveError::corrupt(&path, detail))
    }))
}

/// Columns that it does not know are passed over, those that are missing are null.
fn row_of(columns: Vec<(String, Field)>) -> Result<Row, String> {
    let (mut partition, mut offset, mut appended_at) = (None, None, None);
    let (mut id, mut deleted, mut key, mut value) = (None, false, None, None);
    let mut post = RawPost::default();
    let bytes = |bytes: ByteArray| Bytes::copy_from_slice(bytes.data());
    let time = Timestamp::from_millis;
    for (name, field) in columns {
        match (name.as_str(), field) {
            (_, Field::Null) => {}
            ("partition", Field::Int(number)) => partition = Some(number),
            ("offset", Field::Long(number)) => offset = Some(number),
            ("appended_at", Field::TimestampMillis(millis)) => appended_at = Some(time(millis)),
            ("deleted", Field::Bool(is)) => deleted = is,
            ("post_id", Field::Str(text)) => id = Some(text),
            ("raw_key", Field::Bytes(raw)) => key = Some(bytes(raw)),
            ("raw_value", Field::Bytes(raw)) => value = Some(bytes(raw)),
            ("source", Field::Str(text)) => post.source = text,
            ("kind", Field::Str(text)) => post.kind = text,
            ("url", Field::Str(text)) => post.url = Some(text),
            ("author", Field::Str(text)) => post.author = Some(text),
            ("title", Field::Str(text)) => post.title = Some(text),
            ("text", Field::Str(text)) => post.text = text,
            ("parent_id", Field::Str(text)) => post.parent_id = Some(text),
            ("declared_language", Field::Str(text)) => post.declared_language = Some(text),
            ("published_at", Field::TimestampMillis(millis)) => post.published_at = time(millis),
            ("published_at_estimated", Field::Bool(is)) => post.published_at_estimated = is,
            ("fetched_at", Field::TimestampMillis(millis)) => post.fetched_at = time(millis),
            ("sample", Field::Bool(is)) => post.sample = is,
            ("edited_at", Field::TimestampMillis(millis)) => post.edited_at = Some(time(millis)),
            ("author_id", Field::Str(text)) => post.author_id = Some(text),
            ("author_sealed", Field::Bytes(sealed)) => post.author_sealed = Some(sealed.data().to_vec()),
            ("quoted", Field::Str(text)) => post.quoted = Some(text),
            (_, _) => {}
        }
    }
    let content = match id {
        None => Content::Undecoded { key, value },
        Some(id) if deleted => Content::Deleted(id),
        Some(id) => Content::Post(Box::new(RawPost { post_id: id, ..post })),
    };
    match (partition, offset, appended_at) {
        (Some(partition), Some(offset), Some(appended_at)) => Ok(Row { partition, offset, appended_at, content }),
        _ => Err("a row without partition, offset or appended_at".to_owned()),
    }
}
