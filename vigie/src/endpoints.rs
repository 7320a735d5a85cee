//! Where the servers of a running `vigie up` are, and its secrets of authors, so that commands in the same folder find them by themselves.

use std::io;
use std::path::{Path, PathBuf};

use clap::Command;
use vigie_stack::Endpoints;

const FILE: &str = "endpoints.json";
/// The key of the authors' pseudonyms, in the data dir.
pub(crate) const AUTHOR_KEY: &str = "author.key";

/// The keys that wrap the authors' data keys, in the data dir.
pub(crate) const AUTHOR_KEYRING: &str = "author.keyring";

/// Tells other commands.
pub(crate) fn write(data_dir: &Path, endpoints: &Endpoints) -> io::Result<()> {
    std::fs::write(data_dir.join(FILE), serde_json::to_vec_pretty(endpoints)?)
}

/// The servers are going.
pub(crate) fn remove(data_dir: &Path) {
    let _ = std::fs::remove_file(data_dir.join(FILE));
}

/// Makes the servers of a running `vigie up` the defaults of all options that name a server.
pub(crate) fn as_defaults(command: Command) -> Command {
    let data_dir = std::env::var_os("VIGIE_DATA_DIR").map_or_else(|| PathBuf::from(".vigie"), PathBuf::from);
    let Ok(text) = std::fs::read_to_string(data_dir.join(FILE)) else { return command };
    let Ok(servers) = serde_json::from_str::<Endpoints>(&text) else { return command };
    let mut defaults = vec![
        ("kafka-brokers", servers.kafka_brokers),
        ("schema-registry-url", servers.registry_url),
        ("postgres-url", servers.postgres_url),
        ("redis-url", servers.redis_url),
    ];
    for (option, name) in [("author-key-file", AUTHOR_KEY), ("author-keyring-file", AUTHOR_KEYRING)] {
        let file = data_dir.join(name);
        if file.is_file() {
            defaults.push((option, file.display().to_string()));
        }
    }
    with_defaults(command, &defaults)
}

fn with_defaults(command: Command, defaults: &[(&str, String)]) -> Command {
    command
        .mut_args(|arg| match defaults.iter().find(|(long, _)| arg.get_long() == Some(long)) {
            Some((_, value)) => arg.default_value(value.clone()).required(false),
            None => arg,
        })
        .mut_subcommands(|subcommand| with_defaults(subcommand, defaults))
}

#[cfg(test)]
mod tests {
    use clap::Arg;

    use super::*;

    #[test]
    fn a_running_stack_becomes_the_default_and_options_still_win() {
        let command = || {
            let sub =
                Command::new("tail").arg(Arg::new("brokers").long("kafka-brokers").default_value("127.0.0.1:9092"));
            with_defaults(Command::new("vigie").subcommand(sub), &[("kafka-brokers", "127.0.0.1:4711".to_owned())])
        };
        let brokers = |args: &[&str]| {
            let matches = command().get_matches_from(args);
            matches.subcommand().unwrap().1.get_one::<String>("brokers").unwrap().clone()
        };
        assert_eq!(brokers(&["vigie", "tail"]), "127.0.0.1:4711");
        assert_eq!(brokers(&["vigie", "tail", "--kafka-brokers", "k:1"]), "k:1");
    }
}
