//! How far a consumer has come, by librdkafka's statistics.

use std::collections::HashMap;

use parking_lot::Mutex;
use rdkafka::statistics::Statistics;

/// One partition at the last statistics.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Progress {
    /// The next offset that will be fetched: past transaction markers, unlike the application's position.
    pub(crate) next_fetch: i64,
    /// Records fetched and not yet polled.
    pub(crate) queued: i64,
    /// The end of what a read_committed reader may see.
    pub(crate) end: i64,
}

impl Progress {
    /// How many offsets whoever has taken all records before `position` is behind the end. Transaction markers take offsets too but never
    /// reach the application: the fetcher's position steps over them.
    pub(crate) fn behind(&self, position: i64) -> i64 {
        let seen = if self.queued == 0 { position.max(self.next_fetch) } else { position };
        (self.end - seen).max(0)
    }
}

/// All partitions, by topic (its name on the wire) and number.
#[derive(Default)]
pub(crate) struct ProgressBoard {
    partitions: Mutex<HashMap<(String, i32), Progress>>,
}

impl ProgressBoard {
    pub(crate) fn update(&self, statistics: Statistics) {
        let mut partitions = self.partitions.lock();
        for (name, topic) in statistics.topics {
            for (number, partition) in topic.partitions {
                if number >= 0 && partition.desired && partition.ls_offset >= 0 {
                    let seen = Progress {
                        next_fetch: partition.next_offset,
                        queued: partition.fetchq_cnt,
                        end: partition.ls_offset,
                    };
                    partitions.insert((name.clone(), number), seen);
                }
            }
        }
    }

    /// `None` before the first fetch.
    pub(crate) fn of(&self, wire_topic: &str, partition: i32) -> Option<Progress> {
        self.partitions.lock().get(&(wire_topic.to_owned(), partition)).copied()
    }

    pub(crate) fn forget(&self) {
        self.partitions.lock().clear();
    }
}
