//! Opening what a task has on disk, if it is a beginning of its changelogs.

use std::sync::Arc;

use tracing::info;

use super::{Discard, RestorePoint, StateDir};
use crate::metrics::StreamsMetrics;
use crate::store::database::{Database, Memory, OpenError};
use crate::task::StreamTask;
use crate::task::disk::{Manifest, Place, TaskDisk};
use crate::task::header::Header;

#[cfg(test)]
mod tests;

impl StateDir {
    /// Keeps the stores of `task`, whose changelogs have the given beginnings and ends, on disk. Returns from where on the changelogs complete
    /// what is there; `None` if there is nothing that can be used, and the stores are empty.
    ///
    /// # Errors
    /// Why the disk cannot be used now.
    pub(crate) fn open(
        &self,
        memory: &Arc<Memory>,
        task: &mut StreamTask,
        logs: &[(i64, i64)],
        metrics: &StreamsMetrics,
    ) -> Result<Option<RestorePoint>, String> {
        let partition = task.id().partition;
        let place =
            Place::lock(self.folder(), partition).map_err(|error| format!("{}: {error}", self.folder().display()))?;
        let failed = |reason: String| format!("{}: {reason}", place.path().display());
        let found = match place.found(memory) {
            Ok(found) => found,
            Err(OpenError::Failed(reason)) => return Err(failed(reason)),
            Err(OpenError::Damaged(reason)) => {
                self.discarded(task, &Discard::Damaged(reason), metrics);
                None
            }
        };
        let (database, manifest, point) =
            match found.map(|(database, manifest)| self.fitting(database, manifest, task, logs)) {
                Some(Ok((database, manifest))) => {
                    info!(task = %task.id(), written_at = %manifest.header.written_at, "store on disk opened");
                    metrics.disk_stores_kept.inc();
                    let point = (manifest.header.from.clone(), manifest.header.mark.clone());
                    (database, manifest, Some(point))
                }
                other => {
                    if let Some(Err(discard)) = other {
                        self.discarded(task, &discard, metrics);
                    }
                    (place.emptied(memory).map_err(failed)?, self.manifest(task), None)
                }
            };
        let (clock, max_age) = (Arc::clone(&self.parts().clock), self.parts().max_age);
        task.keep_on(TaskDisk::new(database, place, manifest, clock, max_age));
        Ok(point)
    }

    fn fitting(
        &self,
        database: Database,
        manifest: Manifest,
        task: &StreamTask,
        logs: &[(i64, i64)],
    ) -> Result<(Database, Manifest), Discard> {
        self.fits(&manifest.header, task, logs)?;
        if manifest.stores != task.store_names() || manifest.until.len() != logs.len() {
            return Err(Discard::Foreign("other stores"));
        }
        match manifest.until.iter().zip(logs).all(|(until, (_, end))| until <= end) {
            true => Ok((database, manifest)),
            false => Err(Discard::Ahead),
        }
    }

    /// Of an empty database.
    fn manifest(&self, task: &StreamTask) -> Manifest {
        let parts = self.parts();
        let header = Header {
            application: parts.application.clone(),
            topology: parts.topology.to_string(),
            partition: task.id().partition,
            incarnation: task.incarnation(),
            written_at: parts.clock.now(),
            mark: None,
            from: Vec::new(),
        };
        Manifest { header, stores: task.store_names(), until: Vec::new() }
    }
}
