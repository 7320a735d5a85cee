//! A record, as the archive holds it.

use bytes::Bytes;
use vigie_clock::Timestamp;
use vigie_schemas::{Codec, CodecError, RawPost};

use crate::error::ArchiveError;

/// A record of `posts.raw.v1`.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// The partition that it was read from.
    pub partition: i32,
    /// Its place there.
    pub offset: i64,
    /// When the broker took it in.
    pub appended_at: Timestamp,
    /// What it says.
    pub content: Content,
}

/// What a record says.
#[derive(Clone, Debug, PartialEq)]
pub enum Content {
    /// A post, under its own id.
    Post(Box<RawPost>),
    /// The source deleted the post of this id.
    Deleted(String),
    /// Neither: kept byte by byte.
    Undecoded {
        /// The record's key.
        key: Option<Bytes>,
        /// The record's value.
        value: Option<Bytes>,
    },
}

impl Content {
    /// Decodes a record. Whatever is no post under its id, with times of this calendar, is kept as it is.
    ///
    /// # Errors
    /// [`ArchiveError::Registry`].
    pub async fn decode(codec: &Codec, key: Option<Bytes>, value: Option<Bytes>) -> Result<Self, ArchiveError> {
        let id = key.as_deref().and_then(|key| std::str::from_utf8(key).ok());
        match (id, &value) {
            (Some(id), None) => Ok(Self::Deleted(id.to_owned())),
            (Some(id), Some(bytes)) => match codec.decode::<RawPost>(bytes).await {
                Ok(post) if post.post_id == id && has_times(&post) => Ok(Self::Post(Box::new(post))),
                Ok(_) | Err(CodecError::Invalid { .. }) => Ok(Self::Undecoded { key, value }),
                Err(error) => Err(ArchiveError::Registry(error)),
            },
            (None, _) => Ok(Self::Undecoded { key, value }),
        }
    }

    /// The post, if it is one.
    pub fn post(&self) -> Option<&RawPost> {
        match self {
            Self::Post(post) => Some(post),
            Self::Deleted(_) | Self::Undecoded { .. } => None,
        }
    }

    /// Removes what names the author or quotes them, as the history does after an erasure: `false` if there was nothing.
    pub fn erase(&mut self) -> bool {
        let Self::Post(post) = self else { return false };
        let before = post.clone();
        (post.url, post.title, post.author, post.author_sealed, post.quoted) = (None, None, None, None, None);
        post.text.clear();
        *post != before
    }
}

/// Whether readers of Parquet can show its times.
fn has_times(post: &RawPost) -> bool {
    let times = [Some(post.published_at), Some(post.fetched_at), post.edited_at];
    times.into_iter().flatten().all(|time| time.to_jiff().is_some())
}
