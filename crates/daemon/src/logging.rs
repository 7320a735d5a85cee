use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};

/// Libraries say at these levels what an operator can use.
const DEFAULT: &str = "info,refinery=warn,fjall=warn,lsm_tree=warn,fred=error";

/// The target of lines about who did, or was refused, what is not for everybody. They are logged whatever the filter says.
pub const AUDIT: &str = "audit";

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object per line.
    Json,
}

/// What to log, and how.
#[derive(Clone, Debug, clap::Args)]
pub struct LogConfig {
    /// Shape of the log lines on stderr
    #[arg(long, env = "VIGIE_LOG_FORMAT", value_enum, default_value_t, global = true)]
    pub log_format: LogFormat,
    /// What to log, as tracing directives, for example `info,vigie_streams=debug`
    #[arg(long, env = "VIGIE_LOG", default_value = DEFAULT, global = true)]
    pub log: String,
}

impl LogConfig {
    /// Calls [`init_logging`].
    pub fn init(&self) {
        init_logging(self.log_format, &self.log);
    }
}

/// Sends the process's log to stderr; stdout belongs to the command's output.
///
/// A directive that does not parse is left out with a warning. Only the first call in a process has an effect.
pub fn init_logging(format: LogFormat, filter: &str) {
    let (filter, mistake) = match EnvFilter::try_new(filter) {
        Ok(filter) => (filter, None),
        Err(error) => (EnvFilter::new("info"), Some(error)),
    };
    if install(format, audited(filter)).is_ok()
        && let Some(error) = mistake
    {
        tracing::warn!(%error, "log filter not understood, logging at info");
    }
}

fn audited(filter: EnvFilter) -> EnvFilter {
    filter.add_directive(format!("{AUDIT}=info").parse().expect("a target and a level"))
}

fn install(format: LogFormat, filter: EnvFilter) -> Result<(), TryInitError> {
    let registry = tracing_subscriber::registry().with(filter);
    let layer = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    match format {
        LogFormat::Text => registry.with(layer.with_ansi(std::io::stderr().is_terminal())).try_init(),
        LogFormat::Json => registry.with(layer.json().flatten_event(true)).try_init(),
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Result, Write};
    use std::sync::Arc;

    use parking_lot::Mutex;

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> Result<usize> {
            self.0.lock().write(bytes)
        }

        fn flush(&mut self) -> Result<()> {
            Ok(())
        }
    }

    #[test]
    fn what_is_audited_is_logged_whatever_the_filter_says() {
        for filter in ["off", "error", "audit=off", "warn,audit=error"] {
            let lines = Lines::default();
            let writer = lines.clone();
            let layer = tracing_subscriber::fmt::layer().with_writer(move || writer.clone());
            let subscriber = tracing_subscriber::registry().with(audited(EnvFilter::new(filter))).with(layer);
            tracing::subscriber::with_default(subscriber, || {
                tracing::info!(target: AUDIT, "opened");
                tracing::info!("passed by");
            });
            let text = String::from_utf8(lines.0.lock().clone()).unwrap();
            assert!(text.contains("opened") && !text.contains("passed by"), "{filter}: {text}");
        }
    }
}
