//! What the handlers serve from.

use std::sync::Arc;

use url::Url;
use vigie_clock::SharedClock;

use crate::archive::Archive;
use crate::generator::{Generator, SamplePost};
use crate::release::Release;

#[derive(Clone, Debug)]
pub(crate) struct State {
    pub(crate) base: Url,
    pub(crate) clock: SharedClock,
    pub(crate) generator: Arc<Generator>,
    pub(crate) release: Arc<Release>,
    pub(crate) archive: Option<Arc<Archive>>,
}

impl State {
    /// The posts that are shown by now, newest first. `listing` is set if the first page of a listing is asked for.
    pub(crate) fn posts(&self, listing: Option<&str>) -> Vec<Arc<SamplePost>> {
        self.generator.newest_first(self.release.until(listing, self.clock.now(), self.clock.monotonic()))
    }
}
