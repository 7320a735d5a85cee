//! `vigie author rewrap`: every data key under the current key of the keyring.
//!
//! ```text
//!   claim ─▶ read the topic ─▶ old keys, 100,000 at most ─▶ re-wrap, 1,000 in a transaction ─▶ any written? read again : done
//! ```
//!
//! What is left to do is what the topic says, so a command that was interrupted is simply started again. It shares its transactional id
//! with erasures: one that begins meanwhile fences it, and no destroyed key comes back. Handles are not touched.

use std::collections::{BTreeMap, HashMap};

use serde_json::json;
use vigie_authors::{KeyEncryption, Keyring, WrappedKey};
use vigie_clock::Timestamp;
use vigie_daemon::ServiceError;
use vigie_kafka_client::{KafkaConfig, KafkaError, OutgoingRecord, Publisher, Record, Start, read_to_end};
use vigie_schemas::{AuthorKeyRecord, Codec, RegistryConfig, Topic};

use super::WRITER;
use crate::commands::topics::{blocking, codec_error, kafka_error};
use crate::output::{Output, count};

/// Keys of a transaction.
const BATCH: usize = 1000;
/// Keys that are held at once.
const HELD: usize = 100_000;

pub(super) async fn run(
    keyring: &Keyring,
    kafka: &KafkaConfig,
    registry: &RegistryConfig,
    output: Output,
) -> Result<(), ServiceError> {
    let codec = Codec::connect(registry, &kafka.topic_prefix).await.map_err(codec_error)?;
    let publisher = Publisher::exclusive(kafka, WRITER);
    publisher.claim().await.map_err(kafka_error)?;
    let (mut rewrapped, mut destroyed) = (0, 0);
    let failures = loop {
        let mut pass = read(keyring, kafka, &codec).await?;
        let mut written = 0;
        for batch in pass.work(keyring).chunks(BATCH) {
            let mut records = Vec::with_capacity(batch.len());
            for (key, record) in batch {
                let value = match record {
                    Some(record) => {
                        Some(codec.encode(Topic::AuthorsKeys.name(), record).await.map_err(codec_error)?.into())
                    }
                    None => None,
                };
                let topic = Topic::AuthorsKeys.name().to_owned();
                records.push(OutgoingRecord {
                    topic,
                    key: Some(key.clone().into()),
                    value,
                    ..OutgoingRecord::default()
                });
            }
            publisher.publish(records).await.map_err(interrupted)?;
            let gone = batch.iter().filter(|(_, record)| record.is_none()).count();
            (rewrapped, destroyed, written) = (rewrapped + batch.len() - gone, destroyed + gone, written + batch.len());
            output.note(format!("{} re-wrapped", count(rewrapped as u64, "key")));
        }
        if written == 0 {
            break pass.failures;
        }
    };
    let failed: usize = failures.values().sum();
    let value =
        json!({"kek_id": keyring.current(), "rewrapped": rewrapped, "destroyed": destroyed, "failed": failures});
    output.result(&value, || {
        let gone = if destroyed > 0 { format!(", {destroyed} of erased authors destroyed") } else { String::new() };
        format!("all keys are under {:?}: {rewrapped} re-wrapped{gone}", keyring.current())
    })?;
    if failed == 0 {
        return Ok(());
    }
    let why: Vec<_> = failures.iter().map(|(why, keys)| format!("{} ({why})", count(*keys as u64, "key"))).collect();
    Err(ServiceError::failed(format!("not re-wrapped: {}", why.join(", "))))
}

fn interrupted(error: KafkaError) -> ServiceError {
    match error {
        KafkaError::Fenced { .. } => ServiceError::unavailable(
            "authors.keys.v1",
            "an erasure or another rewrap has begun, start again when it is done",
        ),
        error => kafka_error(error),
    }
}

/// What one reading of the topic leaves to do.
#[derive(Default)]
struct Pass {
    /// The last word on keys that are under another than the current key, by the record's key.
    old: BTreeMap<Vec<u8>, AuthorKeyRecord>,
    erased: HashMap<String, Timestamp>,
    /// Keys that stay as they are, by the reason.
    failures: BTreeMap<String, usize>,
}

impl Pass {
    fn add(&mut self, key: Vec<u8>, record: Option<AuthorKeyRecord>, current: &str, most: usize) {
        match record {
            Some(record) if record.dek_id.is_none() => {
                let latest = self.erased.entry(record.author_id).or_insert(record.at);
                *latest = record.at.max(*latest);
            }
            Some(record) if record.kek_id.as_deref() != Some(current) => {
                if self.old.len() < most || self.old.contains_key(&key) {
                    self.old.insert(key, record);
                }
            }
            _ => drop(self.old.remove(&key)),
        }
    }

    /// Keys re-wrapped, and tombstones for those that outlived their author's erasure.
    fn work(&mut self, keyring: &Keyring) -> Vec<(Vec<u8>, Option<AuthorKeyRecord>)> {
        let mut work = Vec::with_capacity(self.old.len());
        for (key, record) in std::mem::take(&mut self.old) {
            if self.erased.get(&record.author_id).is_some_and(|erased| record.at <= *erased) {
                work.push((key, None));
                continue;
            }
            match rewrapped(&record, keyring) {
                Ok(record) => work.push((key, Some(record))),
                Err(why) => *self.failures.entry(why).or_default() += 1,
            }
        }
        work
    }
}

fn rewrapped(record: &AuthorKeyRecord, keyring: &Keyring) -> Result<AuthorKeyRecord, String> {
    let (Some(id), Some(keyring_key), Some(bytes)) = (&record.dek_id, &record.kek_id, &record.wrapped_key) else {
        return Err("a record without its key".to_owned());
    };
    let said = |error: vigie_authors::OpenError| error.to_string();
    let wrapped = WrappedKey { id: id.parse().map_err(said)?, keyring_key: keyring_key.clone(), bytes: bytes.clone() };
    let wrapped = wrapped.rewrap(&record.author_id, keyring).map_err(said)?;
    Ok(AuthorKeyRecord { kek_id: Some(wrapped.keyring_key), wrapped_key: Some(wrapped.bytes), ..record.clone() })
}

async fn read(keyring: &Keyring, kafka: &KafkaConfig, codec: &Codec) -> Result<Pass, ServiceError> {
    let kafka = kafka.clone();
    let (sender, mut records) = tokio::sync::mpsc::channel::<Record>(1024);
    let reading = blocking(move || {
        for record in read_to_end(&kafka, Topic::AuthorsKeys.name(), &Start::Beginning).map_err(kafka_error)? {
            if sender.blocking_send(record.map_err(kafka_error)?).is_err() {
                break;
            }
        }
        Ok(())
    });
    let sorting = async move {
        let mut pass = Pass::default();
        while let Some(Record { key, value, .. }) = records.recv().await {
            let Some(key) = key else { continue };
            let record = match value {
                Some(value) => Some(codec.decode(&value).await.map_err(codec_error)?),
                None => None,
            };
            pass.add(key.to_vec(), record, keyring.current(), HELD);
        }
        Ok(pass)
    };
    let (read, pass) = tokio::join!(reading, sorting);
    read.and(pass)
}

#[cfg(test)]
mod tests {
    use vigie_authors::DataKey;

    use super::*;

    const OLD: &str = "1 0101010101010101010101010101010101010101010101010101010101010101";
    const NEW: &str = "2 0202020202020202020202020202020202020202020202020202020202020202";

    fn ring(text: &str) -> Keyring {
        text.parse().unwrap()
    }

    fn key(author: &str, under: &str, at: i64) -> AuthorKeyRecord {
        let wrapped = DataKey::new().wrap(author, &ring(under)).unwrap();
        AuthorKeyRecord {
            author_id: author.to_owned(),
            dek_id: Some(wrapped.id.to_string()),
            kek_id: Some(wrapped.keyring_key),
            wrapped_key: Some(wrapped.bytes),
            at: Timestamp::from_millis(at),
        }
    }

    fn pass(records: &[(&AuthorKeyRecord, bool)], most: usize) -> Pass {
        let mut pass = Pass::default();
        for (record, is_there) in records {
            pass.add(record.key().into_bytes(), is_there.then(|| (*record).clone()), "2", most);
        }
        pass
    }

    #[test]
    fn what_is_old_and_not_destroyed_is_wrapped_anew_and_nothing_else_of_it_changes() {
        let both = ring(&format!("{NEW},{OLD}"));
        let (old, destroyed, new) = (key("a", OLD, 1), key("a", OLD, 2), key("b", NEW, 3));
        let work = pass(&[(&old, true), (&destroyed, true), (&new, true), (&destroyed, false)], HELD).work(&both);
        let [(of, Some(record))] = &work[..] else { panic!("{work:?}") };
        let expected =
            AuthorKeyRecord { kek_id: Some("2".into()), wrapped_key: record.wrapped_key.clone(), ..old.clone() };
        assert_eq!((of.as_slice(), record), (old.key().as_bytes(), &expected));
        assert_ne!(record.wrapped_key, old.wrapped_key);
        let again = pass(&[(&old, true), (record, true)], HELD).work(&both);
        assert!(again.is_empty(), "the last word counts: there is nothing left to do");
    }

    #[test]
    fn a_key_that_outlived_its_authors_erasure_is_destroyed_and_a_later_one_is_not() {
        let (before, after) = (key("a", OLD, 1), key("a", OLD, 3));
        let erasure = AuthorKeyRecord::erasure("a".to_owned(), Timestamp::from_millis(2));
        let mut work =
            pass(&[(&before, true), (&after, true), (&erasure, true)], HELD).work(&ring(&format!("{NEW},{OLD}")));
        work.sort_by_key(|(_, record)| record.is_some());
        assert_eq!(work[0], (before.key().into_bytes(), None));
        assert!(work.len() == 2 && work[1].0 == after.key().into_bytes());
    }

    #[test]
    fn what_does_not_open_is_told_and_the_rest_goes_on_in_parts() {
        let other = key("a", "3 0303030303030303030303030303030303030303030303030303030303030303", 1);
        let changed = AuthorKeyRecord { author_id: "c".to_owned(), ..key("b", OLD, 1) };
        let mut keys: Vec<_> = (0..3).map(|n| key(&format!("d{n}"), OLD, 1)).collect();
        keys.extend([other, changed]);
        let records: Vec<_> = keys.iter().map(|key| (key, true)).collect();
        let mut all = pass(&records, HELD);
        assert_eq!(all.work(&ring(&format!("{NEW},{OLD}"))).len(), 3);
        let failures: Vec<_> = all.failures.iter().map(|(why, keys)| (why.as_str(), *keys)).collect();
        assert_eq!(failures, [("the keyring has no key \"3\"", 1), ("the wrapped key does not open with this key", 1)]);
        assert_eq!(pass(&records, 2).work(&ring(&format!("{NEW},{OLD}"))).len(), 2, "the rest in the next pass");
    }
}
