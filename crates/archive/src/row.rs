//! A record, as the archive holds it.

use bytes::Bytes;
use parquet::record::Field;
use vigie_clock::Timestamp;
use vigie_schemas::{AvroRecord, Codec, CodecError, Topic};

use crate::cells::{Cells, Column};
use crate::error::ArchiveError;

/// A kind of post that is archived: its columns, and what an erasure takes from it.
pub trait Archived: AvroRecord + Clone + Default + PartialEq + 'static {
    /// Whose values they are.
    const TOPIC: Topic;
    /// The columns but for `post_id`, in their order. A post has at least one that is required of posts.
    const COLUMNS: &'static [Column<Self>];

    /// The key of its record.
    fn post_id(&self) -> &str;
    /// Pseudonym of its author.
    fn author_id(&self) -> Option<&str>;
    /// An erasure after this means it.
    fn fetched_at(&self) -> Timestamp;
    /// Takes in the field of a column, `post_id` too. Passes over what it does not know.
    fn set(&mut self, column: &str, field: Field);
    /// Removes what names the author or quotes them, as the history does after an erasure: `false` if there was nothing.
    fn erase(&mut self) -> bool;
}

/// A record of the topic of `R`.
#[derive(Clone, Debug, PartialEq)]
pub struct Row<R> {
    /// The partition that it was read from.
    pub partition: i32,
    /// Its place there.
    pub offset: i64,
    /// When the broker took it in.
    pub appended_at: Timestamp,
    /// What it says.
    pub content: Content<R>,
}

/// What a record says.
#[derive(Clone, Debug, PartialEq)]
pub enum Content<R> {
    /// A post, under its own id.
    Post(Box<R>),
    /// There is no value: the post of this id was deleted.
    Deleted(String),
    /// Neither: kept byte by byte.
    Undecoded {
        /// The record's key.
        key: Option<Bytes>,
        /// The record's value.
        value: Option<Bytes>,
    },
}

impl<R: Archived> Content<R> {
    /// Decodes a record. Whatever is no post under its id, with times of this calendar, is kept as it is.
    ///
    /// # Errors
    /// [`ArchiveError::Registry`].
    pub async fn decode(codec: &Codec, key: Option<Bytes>, value: Option<Bytes>) -> Result<Self, ArchiveError> {
        let id = key.as_deref().and_then(|key| std::str::from_utf8(key).ok());
        match (id, &value) {
            (Some(id), None) => Ok(Self::Deleted(id.to_owned())),
            (Some(id), Some(bytes)) => match codec.decode::<R>(bytes).await {
                Ok(post) if post.post_id() == id && has_times(&post) => Ok(Self::Post(Box::new(post))),
                Ok(_) | Err(CodecError::Invalid { .. }) => Ok(Self::Undecoded { key, value }),
                Err(error) => Err(ArchiveError::Registry(error)),
            },
            (None, _) => Ok(Self::Undecoded { key, value }),
        }
    }

    /// The post, if it is one.
    pub fn post(&self) -> Option<&R> {
        match self {
            Self::Post(post) => Some(post),
            Self::Deleted(_) | Self::Undecoded { .. } => None,
        }
    }

    /// [`Archived::erase`], if it is a post.
    pub fn erase(&mut self) -> bool {
        match self {
            Self::Post(post) => post.erase(),
            Self::Deleted(_) | Self::Undecoded { .. } => false,
        }
    }
}

/// Whether readers of Parquet can show its times.
fn has_times<R: Archived>(post: &R) -> bool {
    R::COLUMNS.iter().all(|(_, cells)| match cells {
        Cells::Time(of) => of(post).is_none_or(|time| time.to_jiff().is_some()),
        _ => true,
    })
}
