//! `vigie source test`.

use std::io::{BufWriter, Write};

use url::Url;
use vigie_daemon::{Context, ServiceError};
use vigie_producers::fetcher::FetcherConfig;
use vigie_producers::keys::Key;

use crate::output::{Output, count};

#[derive(clap::Args, Debug)]
pub(crate) struct TestArgs {
    /// Kind of source; found out if it is not given
    #[arg(long, value_enum)]
    kind: Option<vigie_producers::Kind>,
    /// Where a file came from: relative links in it start there
    #[arg(long, value_name = "URL", value_parser = web_address)]
    base: Option<Url>,
    /// Variable of the environment that holds the key of the API (kinds x, coingecko, reddit)
    #[arg(long, value_name = "VAR")]
    key: Option<String>,
    /// What to read
    #[arg(value_name = "URL-or-FILE")]
    target: String,
}

pub(super) async fn run(args: TestArgs, output: Output) -> Result<(), ServiceError> {
    let mut stdout = BufWriter::new(std::io::stdout());
    let clock = Context::system().clock;
    let TestArgs { kind, base, key, target } = args;
    let (kind, target) = match kind {
        Some(kind) => (kind, target),
        None => {
            let found =
                vigie_producers::detect(&target, base.as_ref(), FetcherConfig::default(), clock.clone()).await?;
            output.note(format!("kind {}, {}", found.0.name(), found.1));
            found
        }
    };
    let key = key.as_deref().map(Key::from_env).transpose()?;
    let posts =
        vigie_producers::test_source(kind, &target, base, key, FetcherConfig::default(), clock, &mut stdout).await?;
    stdout.flush().map_err(ServiceError::failed)?;
    output.note(count(posts as u64, "post"));
    Ok(())
}

/// An http or https address.
pub(super) fn web_address(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|e| format!("{e}, expected an http or https address"))?;
    if matches!(url.scheme(), "http" | "https") {
        Ok(url)
    } else {
        Err(format!("scheme {}, expected http or https", url.scheme()))
    }
}
