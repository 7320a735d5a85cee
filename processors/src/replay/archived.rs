//! What of a selection is in the archive.

use vigie_daemon::ServiceError;
use vigie_schemas::{SyncCodec, Topic};

use super::Config;
use super::scope::{Bound, Selection};
use crate::past::{Part, Past};

/// Where the posts of a selection are, by partition; `None` if no archive is named, or has a say.
pub(super) fn parts<'a>(
    config: &'a Config,
    selection: &Selection,
    bounds: &[Bound],
    codec: &'a SyncCodec,
) -> Result<Option<(Past<'a>, Vec<Part>)>, ServiceError> {
    let (Some(location), Some(since)) = (config.archive.archive_url.as_ref(), selection.reads_from()) else {
        return Ok(None);
    };
    if !selection.offsets.is_empty() {
        return Ok(None);
    }
    let past = Past::open(location, codec, since)?;
    let part = |bound: &Bound| past.part(&bound.at(Topic::PostsRaw.name()), bound.start, bound.low);
    let parts = bounds.iter().map(part).collect::<Result<_, _>>()?;
    Ok(Some((past, parts)))
}
