use std::io;
use std::path::PathBuf;

use vigie_daemon::Mistake;

use crate::ServerKind;

/// Why a stack cannot run.
#[derive(Debug, thiserror::Error)]
pub enum StackError {
    /// Another stack holds the data dir.
    #[error("data dir {} is in use by process {holder}, expected a folder of its own for each stack (stop it: ./dev down)", .dir.display())]
    DataDirInUse {
        /// The data dir.
        dir: PathBuf,
        /// Process id of the holder, or `unknown`.
        holder: String,
    },
    /// A port that was asked for is taken.
    #[error(
        "port {port} of {server} is in use on 127.0.0.1, expected a free one (leave the option away to have one chosen)"
    )]
    PortInUse {
        /// Whose port.
        server: ServerKind,
        /// The port.
        port: u16,
    },
    /// No usable Java.
    #[error(
        "java 17 or newer not found{found}: install {}, or set JAVA_HOME",
        package("openjdk-17-jre-headless", "openjdk")
    )]
    NoJava {
        /// What was found in its place: empty, or ` (...)`.
        found: String,
    },
    /// No Kafka jars.
    #[error(
        "no Kafka in {searched}, expected kafka_2.13-*.jar: run ./dev, which fetches the jars, or set VIGIE_KAFKA_JARS or KAFKA_HOME"
    )]
    NoKafka {
        /// Where it was looked for.
        searched: String,
    },
    /// No PostgreSQL.
    #[error(
        "PostgreSQL's initdb and postgres not found: install {}, or put them in PATH",
        package("postgresql", "postgresql@17")
    )]
    NoPostgres,
    /// No Redis.
    #[error("redis-server not found: install {}, or put it in PATH", package("redis-server", "redis"))]
    NoRedis,
    /// PostgreSQL refuses to run as root, and there is nobody else to run it as.
    #[error("PostgreSQL does not run as root and there is no user postgres or nobody to run it as")]
    NoPostgresUser,
    /// The configuration has mistakes.
    #[error("invalid configuration: {}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Config(Vec<Mistake>),
    /// A server's files cannot be prepared.
    #[error("cannot prepare {server}: {detail}")]
    Prepare {
        /// Which server.
        server: ServerKind,
        /// What went wrong.
        detail: String,
    },
    /// A server did not come up.
    #[error("{server} did not start: {detail}")]
    NotStarted {
        /// Which server.
        server: ServerKind,
        /// What went wrong, with the end of its log.
        detail: String,
    },
    /// The stack has been stopped.
    #[error("{0} is stopped")]
    Stopped(ServerKind),
    /// The operating system refused something.
    #[error("cannot {action}: {source}")]
    Io {
        /// What was tried.
        action: String,
        /// Why it failed.
        source: io::Error,
    },
}

impl StackError {
    pub(crate) fn io(action: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let action = action.into();
        move |source| Self::Io { action, source }
    }

    pub(crate) fn prepare(server: ServerKind, detail: impl ToString) -> Self {
        Self::Prepare { server, detail: detail.to_string() }
    }

    /// Whether the machine lacks something that the user must install or free, as against a failure of a server.
    pub fn is_missing_prerequisite(&self) -> bool {
        matches!(
            self,
            Self::DataDirInUse { .. }
                | Self::PortInUse { .. }
                | Self::NoJava { .. }
                | Self::NoKafka { .. }
                | Self::NoPostgres
                | Self::NoRedis
                | Self::NoPostgresUser
        )
    }
}

fn package(debian: &str, homebrew: &str) -> String {
    if cfg!(target_os = "macos") {
        format!("it with `brew install {homebrew}`")
    } else {
        format!("{debian} (Debian, Ubuntu: `apt-get install {debian}`)")
    }
}
