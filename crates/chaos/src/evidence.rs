//! What a run wrote: it goes when the run was good, and stays, with the brokers' logs made readable, when it was not.

pub(crate) mod dump;

use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::error::ChaosError;

/// The name of the program under test in the folder of a run.
pub(crate) const PROGRAM: &str = "vigie";

/// The folder of a run: `servers`, `logs` of the services, their `state`. It goes when this is dropped, unless it is kept.
pub(crate) struct Evidence(TempDir);

impl Evidence {
    pub(crate) fn new() -> Result<Self, ChaosError> {
        let dir = tempfile::Builder::new().prefix("vigie-chaos-").tempdir().map_err(ChaosError::io("make a folder"))?;
        open_to_others(dir.path())?;
        Ok(Self(dir))
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    /// Keeps the folder, and adds a dump of the brokers' logs to it. The servers must have ended.
    pub(crate) async fn keep(self) -> (PathBuf, Result<(), ChaosError>) {
        let dir = self.0.keep();
        // A link to the program under test.
        let _ = std::fs::remove_file(dir.join(PROGRAM));
        let dumped = dump::brokers(&dir.join("servers/kafka"), &dir.join("dump")).await;
        (dir, dumped)
    }
}

/// PostgreSQL may run as another user.
fn open_to_others(dir: &Path) -> Result<(), ChaosError> {
    use std::os::unix::fs::PermissionsExt as _;
    let permissions = std::fs::Permissions::from_mode(0o711);
    std::fs::set_permissions(dir, permissions).map_err(ChaosError::io("open the folder"))
}
