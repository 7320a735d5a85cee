//! What an archive holds of a partition.

use serde::{Deserialize, Serialize};
use vigie_clock::Timestamp;

/// The version of layout and columns that this program writes; it reads those up to it.
pub(crate) const FORMAT: u32 = 1;

/// Files and next offset of one partition, as one step makes them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Of layout and columns.
    pub format: u32,
    /// The topic, without prefix.
    pub topic: String,
    /// Its partition.
    pub partition: i32,
    /// Where the archive began.
    pub first_offset: i64,
    /// Where it goes on.
    pub next_offset: i64,
    /// The next offset of `authors.keys.v1`: erasures before it are done in all files.
    pub erasures_offset: i64,
    /// In the order of their offsets.
    pub files: Vec<ArchivedFile>,
    /// What Kafka had removed before it was archived.
    #[serde(default)]
    pub expired: Vec<Span>,
}

/// A file that counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArchivedFile {
    /// Below the archive's root.
    pub path: String,
    /// The offsets that it covers: offsets without a record in it hold nothing that readers of the topic see.
    #[serde(flatten)]
    pub span: Span,
    /// Records in it.
    pub records: u64,
    /// Its size.
    pub bytes: u64,
    /// Its SHA-256, in hexadecimal.
    pub sha256: String,
    /// When the broker took in its first record.
    pub first_appended_at: Timestamp,
    /// When the broker took in its last record.
    pub last_appended_at: Timestamp,
}

/// Offsets from the first to before the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    /// The first.
    pub first_offset: i64,
    /// After the last.
    pub next_offset: i64,
}

impl Manifest {
    /// An archive without files that goes on at `offset`.
    pub fn starting_at(topic: &str, partition: i32, offset: i64) -> Self {
        Self {
            format: FORMAT,
            topic: topic.to_owned(),
            partition,
            first_offset: offset,
            next_offset: offset,
            erasures_offset: 0,
            files: Vec::new(),
            expired: Vec::new(),
        }
    }

    /// Takes in a file that goes on where the archive ends.
    pub fn add(&mut self, file: ArchivedFile) {
        self.next_offset = file.span.next_offset;
        self.files.push(file);
    }

    /// Goes on at `next`, over offsets that hold no record.
    pub fn skip_to(&mut self, next: i64) {
        let spans = self.files.last_mut().map(|file| &mut file.span).into_iter().chain(self.expired.last_mut());
        match { spans }.find(|span| span.next_offset == self.next_offset) {
            Some(span) => span.next_offset = next,
            None => self.first_offset = next,
        }
        self.next_offset = next;
    }

    /// Goes on at `oldest`: what is before it was removed from Kafka unread.
    pub fn expire_to(&mut self, oldest: i64) {
        match self.expired.last_mut().filter(|span| span.next_offset == self.next_offset) {
            Some(span) => span.next_offset = oldest,
            None => self.expired.push(Span { first_offset: self.next_offset, next_offset: oldest }),
        }
        self.next_offset = oldest;
    }

    /// What is wrong with the offsets of the files: each must go on where the one before ends, but for what had expired.
    pub fn flaws(&self) -> Vec<String> {
        let mut flaws = Vec::new();
        let mut next = self.first_offset;
        for file in &self.files {
            let Span { first_offset, next_offset } = file.span;
            let gap = Span { first_offset: next, next_offset: first_offset };
            if first_offset != next && !self.expired.contains(&gap) {
                flaws.push(format!("{} begins at offset {first_offset}, expected {next}", file.path));
            }
            if next_offset <= first_offset {
                flaws.push(format!("{} ends at offset {next_offset}, before its beginning", file.path));
            }
            next = next_offset;
        }
        let rest = Span { first_offset: next, next_offset: self.next_offset };
        if next != self.next_offset && !self.expired.contains(&rest) {
            flaws.push(format!("the files end at offset {next}, the manifest at {}", self.next_offset));
        }
        flaws
    }

    /// Records in all files.
    pub fn records(&self) -> u64 {
        self.files.iter().map(|file| file.records).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(first_offset: i64, next_offset: i64) -> ArchivedFile {
        ArchivedFile {
            path: format!("f{first_offset}"),
            span: Span { first_offset, next_offset },
            records: 1,
            bytes: 1,
            sha256: String::new(),
            first_appended_at: Timestamp::from_millis(0),
            last_appended_at: Timestamp::from_millis(0),
        }
    }

    #[test]
    fn files_follow_one_another_but_for_what_had_expired() {
        let mut manifest = Manifest::starting_at("t", 0, 5);
        manifest.skip_to(7);
        manifest.add(file(7, 9));
        manifest.skip_to(11);
        manifest.add(file(11, 12));
        manifest.expire_to(20);
        manifest.skip_to(22);
        manifest.expire_to(30);
        manifest.add(file(30, 31));
        assert_eq!(manifest.flaws(), Vec::<String>::new());
        assert_eq!(manifest.expired, [Span { first_offset: 12, next_offset: 30 }]);
        let mut manifest = Manifest::starting_at("t", 0, 5);
        manifest.add(file(5, 9));
        manifest.add(file(10, 12));
        assert_eq!(manifest.flaws(), ["f10 begins at offset 10, expected 9"]);
    }
}
