//! Which versions of Kafka will do.

use std::fs;
use std::path::Path;

use crate::servers::java::sorted_entries;

/// What `./dev` fetches.
const JARS: &str = include_str!("../../../kafka-jars.txt");

/// The metadata version that Kafka 4.3 began with.
const METADATA_OF_4_3: i16 = 30;

/// The version that this build is meant for.
pub(super) fn pinned() -> &'static str {
    JARS.lines().find_map(|line| version_of(line.rsplit_once('/')?.1)).unwrap_or_default()
}

/// The version whose jars are in a folder.
pub(super) fn of_jars(dir: &Path) -> Option<String> {
    sorted_entries(dir).iter().find_map(|path| version_of(path.file_name()?.to_str()?).map(str::to_owned))
}

/// The version that the name of the broker's jar says.
fn version_of(jar: &str) -> Option<&str> {
    jar.strip_prefix("kafka_2.13-")?.strip_suffix(".jar")
}

/// Whether a partition without a leader is left out where a transaction ends (KAFKA-20734).
pub(super) fn forgets_transactions(version: &str) -> bool {
    version.starts_with("4.3.") || version.starts_with("4.4.")
}

/// Whether `data` was made by Kafka 4.3 or later and `version` is older: it would end with a stack trace.
pub(super) fn is_too_old_for(version: &str, data: &Path) -> bool {
    let mut numbers = version.split('.').map_while(|number| number.parse::<u32>().ok());
    let is_older = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) < (4, 3);
    let made_with = fs::read(data.join("bootstrap.checkpoint")).ok().and_then(|bytes| metadata_version(&bytes));
    is_older && made_with.is_some_and(|level| level >= METADATA_OF_4_3)
}

/// The level in the record of the feature `metadata.version`, which follows the name.
fn metadata_version(checkpoint: &[u8]) -> Option<i16> {
    const NAME: &[u8] = b"metadata.version";
    let at = checkpoint.windows(NAME.len()).position(|window| window == NAME)?;
    let (level, _) = checkpoint.get(at + NAME.len()..)?.split_first_chunk()?;
    Some(i16::from_be_bytes(*level))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_that_forget_transactions_are_known_and_the_pinned_one_is_none_of_them() {
        assert!(!pinned().is_empty() && !forgets_transactions(pinned()));
        assert!(forgets_transactions("4.3.1") && !forgets_transactions("4.30.0"));
    }

    #[test]
    fn data_of_a_later_kafka_is_recognised() {
        let data = tempfile::tempdir().unwrap();
        assert!(!is_too_old_for("4.2.2", data.path()), "no data yet");
        // As both format it: what stands between the batch's header and the next record.
        for (level, is_later) in [(29, false), (30, true), (31, true)] {
            let record =
                [&b"\0\0:\0\0\0\x01.\x01\x0c\0\x11metadata.version\0"[..], &[level], b"\0\0Z\0\0\x02"].concat();
            fs::write(data.path().join("bootstrap.checkpoint"), record).unwrap();
            assert_eq!(is_too_old_for("4.2.2", data.path()), is_later, "{level}");
            assert!(!is_too_old_for("4.3.1", data.path()) && !is_too_old_for("10.0.0", data.path()));
        }
    }
}
