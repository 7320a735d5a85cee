//! Pages that are built by JavaScript, rendered by headless Chromium: optional, off by default, and kept apart.
//!
//! ```text
//!   page ─▶ Chromium, a process group of its own, with an empty profile ─▶ DOM, capped ─▶ the parsers, as any page
//!              │ every request
//!              ▼
//!           our proxy on the loopback ─▶ address guard ─▶ web
//! ```
//!
//! Guarantees: whatever a page asks for goes through the address guard, checked where the connection is made; a page that takes too long, too much
//! memory or too many bytes ends with all of its processes; nothing of one page is there for the next. What is *not* promised: the sub-requests of a page
//! are not spaced, and robots.txt is asked for the page only, as a browser would.

#[cfg(feature = "render")]
mod chromium;
#[cfg(feature = "render")]
mod devtools;
#[cfg(feature = "render")]
mod filter;
#[cfg(feature = "render")]
pub(super) mod renderer;
#[cfg(feature = "render")]
mod traffic;

use std::path::{Path, PathBuf};
use std::time::Duration;

/// How to render.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RenderConfig {
    /// The program.
    pub chromium: PathBuf,
    /// From the start of the program to the DOM.
    pub timeout: Duration,
    /// Memory of all of its processes at most, in bytes, without what they share.
    pub memory: u64,
    /// Bytes that one page may load, with all that it asks for.
    pub traffic: u64,
}

impl RenderConfig {
    /// The usual bounds.
    pub fn new(chromium: PathBuf) -> Self {
        Self { chromium, timeout: Duration::from_secs(30), memory: 1 << 30, traffic: 64 << 20 }
    }
}

/// The Chromium of this machine: the given path, or what is found by its usual names.
pub fn find(given: Option<&Path>) -> Option<PathBuf> {
    if let Some(path) = given {
        return path.is_file().then(|| path.to_owned());
    }
    let folders = std::env::var_os("PATH").unwrap_or_default();
    ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"]
        .iter()
        .flat_map(|name| std::env::split_paths(&folders).map(move |folder| folder.join(name)))
        .find(|path| path.is_file())
}
