//! How a server's process is started.

use std::ffi::OsString;
use std::path::PathBuf;

use crate::watchdog::Ending;

/// A process to start.
#[derive(Debug)]
pub(crate) struct LaunchSpec {
    pub(crate) program: PathBuf,
    pub(crate) args: Vec<OsString>,
    pub(crate) current_dir: PathBuf,
    /// User and group id to run as, if not the parent's.
    pub(crate) user: Option<(u32, u32)>,
    pub(crate) log: PathBuf,
    pub(crate) ending: Ending,
}
