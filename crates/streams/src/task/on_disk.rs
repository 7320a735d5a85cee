//! What a task does where its stores are on [disk](super::disk).

use vigie_clock::Timestamp;

use super::disk::TaskDisk;
use super::mark::Mark;
use super::{State, StreamTask};
use crate::store::StoreSpec;

impl StreamTask {
    /// The stores in the topology's order, as a manifest lists them: name, and version of the index.
    pub(crate) fn store_names(&self) -> Vec<String> {
        let name = |spec: &StoreSpec| match spec.index {
            Some((version, _)) => format!("{}/{version}", spec.name),
            None => spec.name.clone(),
        };
        self.topology.stores.iter().map(name).collect()
    }

    /// Keeps the stores on disk; their changelogs follow.
    pub(crate) fn keep_on(&mut self, disk: TaskDisk) {
        debug_assert_eq!(self.state, State::Restoring, "task {}", self.core.id);
        for ((_, store), (table, index)) in self.core.stores.iter_mut().zip(disk.tables()) {
            store.keep_in(table, index);
        }
        self.disk = Some(disk);
    }

    /// What follows comes from changelogs that end at `ends`.
    pub(crate) fn restoring(&mut self, ends: Vec<i64>) {
        if let Some(disk) = &mut self.disk {
            disk.restoring(ends);
        }
    }

    /// What follows is below `until`; it is written with that, and not at once.
    pub(crate) fn following(&mut self, until: Vec<i64>) {
        if let Some(disk) = &mut self.disk {
            disk.following(until);
        }
    }

    /// Writes what was committed, or restored, to disk, if that is where the stores are.
    ///
    /// # Errors
    /// Why the task cannot go on: its stores have to be restored.
    pub(crate) fn save(&mut self) -> Result<(), String> {
        let logged = self.logged();
        let Some(disk) = &mut self.disk else { return Ok(()) };
        match logged {
            Some(logged) => disk.save(&self.mark, &logged),
            None => disk.write(),
        }
        self.disk_failure().map_or(Ok(()), Err)
    }

    /// See [`TaskDisk::checkpoint`].
    pub(crate) fn checkpoint(&mut self, mark: Mark, from: Vec<i64>, until: Vec<i64>, as_of: Timestamp) {
        if let Some(disk) = &mut self.disk {
            disk.checkpoint(mark, from, until, as_of);
        }
    }

    /// Takes the stores of `copy`, another of this task; their changelogs follow.
    pub(crate) fn adopt(&mut self, copy: Self) {
        debug_assert_eq!(self.state, State::Restoring, "task {}", self.core.id);
        (self.core.stores, self.disk) = (copy.core.stores, copy.disk);
    }

    #[cfg(test)]
    pub(crate) fn flush_disk(&mut self) {
        self.disk.iter().for_each(TaskDisk::write);
    }

    /// Why the stores cannot be used any more, and what was read from them not be believed.
    pub(crate) fn disk_failure(&self) -> Option<String> {
        self.disk.as_ref()?.failure()
    }

    /// The bytes of the stores' files.
    pub(crate) fn disk_bytes(&self) -> Option<u64> {
        self.disk.as_ref().map(TaskDisk::disk_bytes)
    }
}
