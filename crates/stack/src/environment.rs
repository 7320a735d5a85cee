//! What the programs that we start see of our environment: an environment can be read in `/proc` as
//! long as the process lives, also by the user that it runs as, and ours may have secrets, under
//! any name.

use std::ffi::OsString;

const KEPT: [&str; 12] = [
    "DYLD_FALLBACK_LIBRARY_PATH",
    "DYLD_LIBRARY_PATH",
    "HOME",
    "JAVA_HOME",
    "JAVA_TOOL_OPTIONS",
    "JDK_JAVA_OPTIONS",
    "LANG",
    "LD_LIBRARY_PATH",
    "PATH",
    "TMPDIR",
    "TZ",
    "USER",
];

/// The variables that they keep.
pub(crate) fn kept() -> impl Iterator<Item = (&'static str, OsString)> {
    KEPT.into_iter().filter_map(|name| Some((name, std::env::var_os(name)?)))
}
