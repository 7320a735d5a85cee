//! Rows to a Parquet file and back.
//!
//! A row group is written column by column through the crate's lowest layer: without Arrow, which nothing here needs.

use std::sync::Arc;

use bytes::Bytes;
use parquet::basic::{Compression, ZstdLevel};
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, DataType, DoubleType, Int32Type, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::metadata::SortingColumn;
use parquet::file::properties::WriterProperties;
use parquet::file::serialized_reader::SerializedFileReader;
use parquet::file::writer::{SerializedColumnWriter, SerializedFileWriter, SerializedRowGroupWriter};
use parquet::record::Field;
use parquet::record::reader::RowIter;
use parquet::schema::types::{ColumnPath, SchemaDescriptor};
use vigie_clock::Timestamp;

use crate::cells::Cells;
use crate::columns::schema;
use crate::error::ArchiveError;
use crate::row::{Archived, Content, Row};

/// Rows of a row group at most: what is read at once.
const GROUP_ROWS: usize = 50_000;
/// Bytes of text in a row group at most, but for one row.
const GROUP_BYTES: usize = 32 << 20;
/// Bytes of a file after which no more row groups are added, so that a writer's memory is bounded.
const FILE_BYTES: usize = 128 << 20;

/// Makes a file of rows, which must come in the order of their offsets.
pub struct FileWriter<R> {
    writer: SerializedFileWriter<Vec<u8>>,
    group: Vec<Row<R>>,
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

impl<R: Archived> FileWriter<R> {
    /// An empty file.
    ///
    /// # Errors
    /// [`ArchiveError::Parquet`].
    pub fn new() -> Result<Self, ArchiveError> {
        let schema = schema::<R>()?;
        let mut properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            .set_created_by(format!("vigie {}", env!("CARGO_PKG_VERSION")))
            .set_sorting_columns(Some(vec![SortingColumn { column_idx: 1, descending: false, nulls_first: false }]));
        let first = Row::<R>::FIRST.iter().map(|(_, cells)| cells.repeat());
        let last = Row::<R>::LAST.iter().map(|(_, cells)| cells.repeat());
        let repeat = first.chain(R::COLUMNS.iter().map(|(_, cells)| cells.repeat())).chain(last);
        for (column, repeat) in SchemaDescriptor::new(Arc::clone(&schema)).columns().iter().zip(repeat) {
            properties = properties.set_column_dictionary_enabled(column.path().clone(), repeat);
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
    pub fn push(&mut self, row: Row<R>) -> Result<(), ArchiveError> {
        self.records += 1;
        let first = self.appended.map_or(row.appended_at, |(first, _)| first);
        self.appended = Some((first, row.appended_at));
        let place = Row::FIRST.iter().chain(&Row::LAST).map(|(_, cells)| cells.size(&row));
        let post = row.content.post().into_iter();
        let post = post.flat_map(|post| R::COLUMNS.iter().map(|(_, cells)| cells.size(post)));
        self.group_bytes += place.chain(post).sum::<usize>();
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
        for (_, cells) in &Row::FIRST {
            write_column(&mut group, cells, self.group.iter().map(Some))?;
        }
        for (_, cells) in R::COLUMNS {
            write_column(&mut group, cells, self.group.iter().map(|row| row.content.post()))?;
        }
        for (_, cells) in &Row::LAST {
            write_column(&mut group, cells, self.group.iter().map(Some))?;
        }
        group.close()?;
        self.group.clear();
        self.group_bytes = 0;
        Ok(())
    }
}

/// A column of cells of the items; those of an item that is not there are null.
fn write_column<'a, W: std::io::Write + Send, T: 'a>(
    group: &mut SerializedRowGroupWriter<'_, W>,
    cells: &Cells<T>,
    items: impl Iterator<Item = Option<&'a T>>,
) -> Result<(), ParquetError> {
    let mut column = group.next_column()?.ok_or_else(|| ParquetError::General("a column is missing".to_owned()))?;
    let bytes = |bytes: &[u8]| ByteArray::from(bytes);
    match cells {
        Cells::Int(of) => write_cells::<Int32Type>(&mut column, items.map(|item| of(item?))),
        Cells::Long(of) => write_cells::<Int64Type>(&mut column, items.map(|item| of(item?))),
        Cells::Time(of) => write_cells::<Int64Type>(&mut column, items.map(|item| Some(of(item?)?.as_millis()))),
        Cells::Flag(of) => write_cells::<BoolType>(&mut column, items.map(|item| of(item?))),
        Cells::Double(of) => write_cells::<DoubleType>(&mut column, items.map(|item| of(item?))),
        Cells::Word(of) | Cells::Text(of) => {
            write_cells::<ByteArrayType>(&mut column, items.map(|item| of(item?).map(bytes)))
        }
        Cells::Words(of) => {
            let list = |item| of(item).into_iter().map(|word| word.map(bytes)).collect();
            write_lists::<ByteArrayType>(&mut column, items.map(|item| item.map(list)))
        }
        Cells::Doubles(of) => write_lists::<DoubleType>(&mut column, items.map(|item| item.map(of))),
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

/// Definition level 0 is no list, 1 an empty one, the highest an element, and the one before that an element that is null.
/// The repetition level distinguishes the first element of a list from the others.
fn write_lists<T: DataType>(
    column: &mut SerializedColumnWriter<'_>,
    lists: impl Iterator<Item = Option<Vec<Option<T::T>>>>,
) -> Result<(), ParquetError> {
    let column = column.typed::<T>();
    let highest = column.get_descriptor().max_def_level();
    let (mut values, mut defined, mut repeated) = (Vec::new(), Vec::new(), Vec::new());
    for list in lists {
        let elements = list.as_ref().map_or(0, Vec::len);
        if elements == 0 {
            defined.push(i16::from(list.is_some()));
            repeated.push(0);
        }
        for (n, cell) in list.into_iter().flatten().enumerate() {
            defined.push(highest - i16::from(cell.is_none()));
            repeated.push(i16::from(n > 0));
            values.extend(cell);
        }
    }
    column.write_batch(&values, Some(&defined), Some(&repeated)).map(drop)
}

/// The rows of a file of posts of this kind, in its order; `path` names it in errors.
///
/// # Errors
/// [`ArchiveError::Corrupt`], here and for each row.
pub fn read_rows<R: Archived>(
    path: &str,
    bytes: Bytes,
) -> Result<impl Iterator<Item = Result<Row<R>, ArchiveError>> + use<R>, ArchiveError> {
    let reader = SerializedFileReader::new(bytes).map_err(|error| ArchiveError::corrupt(path, error))?;
    let path = path.to_owned();
    Ok(RowIter::from_file_into(Box::new(reader)).map(move |row| {
        let columns = row.map_err(|error| ArchiveError::corrupt(&path, error))?.into_columns();
        row_of(columns).map_err(|detail| ArchiveError::corrupt(&path, detail))
    }))
}

/// Columns that it does not know are passed over, those that are missing are null.
fn row_of<R: Archived>(columns: Vec<(String, Field)>) -> Result<Row<R>, String> {
    let (mut partition, mut offset, mut appended_at) = (None, None, None);
    let (mut id, mut deleted, mut key, mut value) = (None, false, None, None);
    let mut post = R::default();
    let bytes = |bytes: ByteArray| Bytes::copy_from_slice(bytes.data());
    for (name, field) in columns {
        match (name.as_str(), field) {
            (_, Field::Null) => {}
            ("partition", Field::Int(number)) => partition = Some(number),
            ("offset", Field::Long(number)) => offset = Some(number),
            ("appended_at", Field::TimestampMillis(millis)) => appended_at = Some(Timestamp::from_millis(millis)),
            ("deleted", Field::Bool(is)) => deleted = is,
            ("post_id", Field::Str(text)) => id = Some(text),
            ("raw_key", Field::Bytes(raw)) => key = Some(bytes(raw)),
            ("raw_value", Field::Bytes(raw)) => value = Some(bytes(raw)),
            (name, field) => post.set(name, field),
        }
    }
    let content = match id {
        None => Content::Undecoded { key, value },
        Some(id) if deleted => Content::Deleted(id),
        Some(id) => {
            post.set("post_id", Field::Str(id));
            Content::Post(Box::new(post))
        }
    };
    match (partition, offset, appended_at) {
        (Some(partition), Some(offset), Some(appended_at)) => Ok(Row { partition, offset, appended_at, content }),
        _ => Err("a row without partition, offset or appended_at".to_owned()),
    }
}
