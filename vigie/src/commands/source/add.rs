//! `vigie source add`.

use std::path::PathBuf;

use serde_json::json;
use url::Url;
use vigie_daemon::{Context, ServiceError};
use vigie_producers::discover::{self, DiscoverError};
use vigie_producers::fetcher::{Fetcher, FetcherConfig, guard};

use super::test::web_address;
use crate::output::{Output, count};

#[derive(clap::Args, Debug)]
pub(crate) struct AddArgs {
    /// The site, its page, or its feed
    #[arg(value_parser = web_address)]
    url: Url,
    /// The file to add to; it is made where there is none
    #[arg(long, value_name = "FILE", default_value = "sources.toml")]
    file: PathBuf,
    /// What to call the source [default: from its address]
    #[arg(long)]
    id: Option<String>,
    /// Only print what would be added
    #[arg(long)]
    dry_run: bool,
    /// Who runs this instance, an address or mail, sent to sites in the User-Agent
    #[arg(long, env = "VIGIE_CONTACT")]
    contact: Option<String>,
}

pub(super) async fn run(args: AddArgs, output: Output) -> Result<(), ServiceError> {
    let clock = Context::system().clock;
    let config = FetcherConfig { contact: args.contact, ..FetcherConfig::default() };
    let fetcher = Fetcher::new(config, clock.clone()).map_err(ServiceError::failed)?;
    // Who types a private address means it.
    let local = guard::check(&args.url).is_err();
    let host = args.url.host_str().unwrap_or_default().to_owned();
    let mut found = discover::discover(&args.url, local, &fetcher, &clock).await.map_err(|error| match error {
        DiscoverError::Unreachable(error) => ServiceError::unavailable(host, error),
        other => ServiceError::failed(other),
    })?;
    if let Some(id) = args.id {
        found.id = id;
    }
    let newest = found.newest.map(|newest| newest.to_string());
    output.note(format!(
        "found by: {}; {}, the newest {}",
        found.found_by,
        count(found.posts as u64, "post"),
        newest.as_deref().unwrap_or("without a date")
    ));
    if !args.dry_run {
        discover::append(&args.file, &found).map_err(ServiceError::Config)?;
        output.note(format!("added to {}", args.file.display()));
    }
    let value = json!({
        "id": found.id, "kind": found.kind, "url": found.url, "every_seconds": found.every_seconds, "local": found.local,
        "posts": found.posts, "newest": newest, "found_by": found.found_by, "added": !args.dry_run,
    });
    output.result(&value, || found.to_toml().trim_end().to_owned())
}
