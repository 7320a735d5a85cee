//! How a task leaves a commit out of which the brokers kept only parts: see [`mark`](crate::task::mark).

use super::StreamTask;
use super::mark::{Change, Mark, Rollback};
use crate::processor::watermark::Watermark;

impl StreamTask {
    /// Leaves out the last commit, which is torn. `held` is what it wrote to each store's changelog.
    pub(crate) fn roll_back(&mut self, rollback: Rollback, held: Vec<Vec<Change>>) {
        for (store, changes) in held.into_iter().enumerate() {
            for (key, value) in changes {
                match rollback.drop[store] {
                    true => self.repairs.push((store, key)),
                    false => self.restore_record(store, key, value),
                }
            }
        }
        if let Some(disk) = &self.disk {
            disk.write();
        }
        let mut watermark = Watermark::new(self.inputs.len(), self.idle_after, self.core.clock.monotonic());
        for (index, input) in self.inputs.iter_mut().enumerate() {
            let Some(found) = rollback.to.inputs.iter().find(|position| *position.topic == *input.topic) else {
                continue;
            };
            (input.position, input.committed) = (found.offset, found.offset);
            watermark.restore(index, &found.times);
        }
        self.core.watermark = watermark.clone();
        self.committed_watermark = watermark;
        self.core.account = rollback.to.account;
        self.mark = Mark { commit: rollback.highest, ..rollback.to };
        self.rolled_back = true;
        self.stage_repairs();
    }

    /// Stages what takes the torn commit back; an abort drops it, so it is staged again then.
    pub(super) fn stage_repairs(&mut self) {
        for (store, key) in &self.repairs {
            self.core.stores[*store].1.rewrite(key);
        }
    }
}
