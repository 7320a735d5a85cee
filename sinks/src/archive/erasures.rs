//! Which authors have been erased: what the topic of their keys says.

use std::collections::BTreeMap;

use tokio::runtime::Handle;
use vigie_archive::{ArchiveError, Archived, Content};
use vigie_clock::Timestamp;
use vigie_kafka_client::{KafkaConfig, KafkaError, TopicPartition, read_partition_to_end};
use vigie_schemas::{AuthorKeyRecord, Codec, CodecError, Topic};

use super::error::RoundError;

/// The erasures so far. The topic keeps them for good.
#[derive(Default)]
pub(crate) struct Erasures {
    by_author: BTreeMap<String, Erasure>,
    /// Below this, the topic has been read.
    pub(crate) next_offset: i64,
}

#[derive(Clone, Copy)]
struct Erasure {
    /// Posts that were fetched until then are meant.
    at: Timestamp,
    offset: i64,
}

impl Erasures {
    /// Takes in what is new.
    pub(crate) fn update(&mut self, kafka: &KafkaConfig, codec: &Codec, handle: &Handle) -> Result<(), RoundError> {
        // One partition: see the catalogue.
        let records =
            read_partition_to_end(kafka, &TopicPartition::new(Topic::AuthorsKeys.name(), 0), Some(self.next_offset))?;
        let end = records.ends().values().next().copied();
        let records: Vec<_> = records.collect::<Result<_, KafkaError>>()?;
        for record in records {
            let key = record.key.as_deref().and_then(AuthorKeyRecord::parse_key);
            let (Some((author_id, None)), Some(value)) = (key, &record.value) else { continue };
            match handle.block_on(codec.decode::<AuthorKeyRecord>(value)) {
                Ok(erasure) => {
                    let erasure = Erasure { at: erasure.at, offset: record.offset };
                    self.by_author.insert(author_id.to_owned(), erasure);
                }
                // The PostgreSQL sink has put it aside as a dead letter.
                Err(CodecError::Invalid { .. }) => {}
                Err(error) => return Err(ArchiveError::Registry(error).into()),
            }
        }
        self.next_offset = end.unwrap_or(self.next_offset).max(self.next_offset);
        Ok(())
    }

    /// Whether there are any from this offset of the topic on.
    pub(crate) fn any_since(&self, offset: i64) -> bool {
        self.by_author.values().any(|erasure| erasure.offset >= offset)
    }

    /// Removes the texts of a post of an author who was erased: `false` if there was nothing to remove.
    pub(crate) fn apply<R: Archived>(&self, content: &mut Content<R>) -> bool {
        let erasure = |post: &R| self.by_author.get(post.author_id()?);
        content.post().is_some_and(|post| erasure(post).is_some_and(|erasure| post.fetched_at() <= erasure.at))
            && content.erase()
    }
}
