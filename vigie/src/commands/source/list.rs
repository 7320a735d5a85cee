//! `vigie source list`.

use std::path::Path;

use serde_json::json;
use vigie_daemon::ServiceError;

use crate::output::Output;

pub(super) fn run(sources: Option<&Path>, output: Output) -> Result<(), ServiceError> {
    let found = match sources {
        Some(path) => vigie_producers::catalogue::load(path),
        None => vigie_producers::catalogue::bundled(),
    };
    for source in found.map_err(ServiceError::Config)? {
        let value =
            json!({"id": source.id, "kind": source.kind, "url": source.url, "every_seconds": source.every.as_secs()});
        output.result(&value, || format!("{:<28} {:<12} {}", source.id, source.kind, source.url))?;
    }
    Ok(())
}
