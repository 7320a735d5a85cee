//! Where the servers of a running `vigie up` are, and its secrets of authors, so that other commands find them by themselves.
//!
//! Its data dir is the one that `--data-dir` or `VIGIE_DATA_DIR` names, or else the nearest `.vigie` in this folder or one above it, as git looks for
//! `.git`.

use std::ffi::OsString;
use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Command};
use serde::{Deserialize, Serialize};
use vigie_stack::Endpoints;

const FILE: &str = "endpoints.json";
/// The lock that a running stack holds in its data dir.
const LOCK: &str = "lock";
const DATA_DIR: &str = ".vigie";
/// The key of the authors' pseudonyms, in the data dir.
pub(crate) const AUTHOR_KEY: &str = "author.key";

/// The keys that wrap the authors' data keys, in the data dir.
pub(crate) const AUTHOR_KEYRING: &str = "author.keyring";

/// Options that name a server of a running `up`.
const SERVERS: [&str; 5] = ["kafka-brokers", "schema-registry-url", "postgres-url", "redis-url", "api-url"];

/// What is written in the data dir as long as `up` runs.
#[derive(Serialize, Deserialize)]
struct Running {
    #[serde(flatten)]
    servers: Endpoints,
    api_url: String,
}

/// Tells other commands.
pub(crate) fn write(data_dir: &Path, servers: &Endpoints, api_url: &str) -> io::Result<()> {
    let running = Running { servers: servers.clone(), api_url: api_url.to_owned() };
    std::fs::write(data_dir.join(FILE), serde_json::to_vec_pretty(&running)?)
}

/// The servers are going.
pub(crate) fn remove(data_dir: &Path) {
    let _ = std::fs::remove_file(data_dir.join(FILE));
}

/// A running `vigie up`, as other commands find it.
pub(crate) struct Found {
    data_dir: PathBuf,
    /// Options with the values that they have for it.
    defaults: Vec<(&'static str, String)>,
}

impl Found {
    /// Looks for one. `args` is the command line, which may name its data dir.
    pub(crate) fn find(args: impl Iterator<Item = OsString>) -> Option<Self> {
        let named = data_dir_option(args)
            .or_else(|| std::env::var_os("VIGIE_DATA_DIR").filter(|dir| !dir.is_empty()).map(PathBuf::from));
        let data_dir = match named {
            Some(dir) => dir,
            None => nearest(&std::env::current_dir().ok()?)?,
        };
        Self::in_dir(data_dir)
    }

    fn in_dir(data_dir: PathBuf) -> Option<Self> {
        let text = std::fs::read_to_string(data_dir.join(FILE)).ok()?;
        let Running { servers, api_url } = serde_json::from_str(&text).ok()?;
        if !is_held(&data_dir) {
            return None;
        }
        let mut defaults = vec![
            ("kafka-brokers", servers.kafka_brokers),
            ("schema-registry-url", servers.registry_url),
            ("postgres-url", servers.postgres_url),
            ("redis-url", servers.redis_url),
            ("api-url", api_url),
        ];
        for (option, name) in [("author-key-file", AUTHOR_KEY), ("author-keyring-file", AUTHOR_KEYRING)] {
            let file = data_dir.join(name);
            if file.is_file() {
                defaults.push((option, file.display().to_string()));
            }
        }
        Some(Self { data_dir, defaults })
    }
}

/// What to say of it, if the command that was asked for talks to one of its servers because nothing else was given; and if none was found, what
/// to say when there is nobody at the usual addresses.
pub(crate) fn note(found: Option<&Found>, command: &Command, matches: &ArgMatches) -> Option<String> {
    let (mut command, mut matches) = (command, matches);
    while let Some((name, sub)) = matches.subcommand() {
        (command, matches) = (command.find_subcommand(name)?, sub);
    }
    let is_used = command.get_arguments().any(|arg| {
        arg.get_long().is_some_and(|long| SERVERS.contains(&long))
            && matches.value_source(arg.get_id().as_str()) == Some(ValueSource::DefaultValue)
    });
    is_used.then(|| match found {
        Some(Found { data_dir, .. }) => {
            let dir = data_dir.canonicalize().unwrap_or_else(|_| data_dir.clone());
            format!("using the running vigie up in {}", dir.display())
        }
        None => "no running vigie up in this folder or above: go to one, or name its --data-dir".to_owned(),
    })
}

/// The command line with the servers of a running `vigie up` as defaults, and `--data-dir` with every command that takes a server.
pub(crate) fn prepare(command: Command, found: Option<&Found>) -> Command {
    let mut defaults = found.map(|found| found.defaults.clone()).unwrap_or_default();
    defaults.extend(model_beside_program().map(|dir| ("model", dir)));
    with_defaults(command, &defaults)
}

/// The sentiment model where `vigie install` puts it, or in the repository that the program was built in; `None` if the present folder has one.
fn model_beside_program() -> Option<String> {
    let model = Path::new("models/sentiment");
    let is_model = |dir: &Path| dir.join("model.json").is_file();
    let program = std::env::current_exe().ok()?;
    let bin = program.parent().filter(|_| !is_model(model))?;
    let places = [bin.join("../lib/vigie").join(model), bin.join("../..").join(model)];
    places.into_iter().find(|dir| is_model(dir)).map(|dir| dir.canonicalize().unwrap_or(dir).display().to_string())
}

fn with_defaults(command: Command, defaults: &[(&'static str, String)]) -> Command {
    let has =
        |options: &[&str]| command.get_arguments().any(|arg| arg.get_long().is_some_and(|l| options.contains(&l)));
    let takes_servers = has(&SERVERS) && !has(&["data-dir"]);
    let command = command
        .mut_args(|arg| match defaults.iter().find(|(long, _)| arg.get_long() == Some(long)) {
            Some((_, value)) => arg.default_value(value.clone()).required(false),
            None => arg,
        })
        .mut_subcommands(|subcommand| with_defaults(subcommand, defaults));
    if !takes_servers {
        return command;
    }
    let help =
        "Data dir of the running `vigie up` to talk to [default: VIGIE_DATA_DIR, or the nearest .vigie here or above]";
    command.arg(Arg::new("found_data_dir").long("data-dir").value_name("DIR").help(help).help_heading("Global options"))
}

/// `--data-dir DIR` or `--data-dir=DIR`.
fn data_dir_option(args: impl Iterator<Item = OsString>) -> Option<PathBuf> {
    let mut args = args;
    while let Some(arg) = args.next() {
        if arg == "--data-dir" {
            return args.next().map(PathBuf::from);
        }
        if let Some(dir) = arg.to_str().and_then(|arg| arg.strip_prefix("--data-dir=")) {
            return Some(PathBuf::from(dir));
        }
    }
    None
}

/// The nearest data dir in `folder` or one above it.
fn nearest(folder: &Path) -> Option<PathBuf> {
    folder.ancestors().map(|folder| folder.join(DATA_DIR)).find(|dir| dir.join(LOCK).is_file())
}

/// Whether a stack runs there: what it wrote outlives it if it is killed, its lock does not.
fn is_held(data_dir: &Path) -> bool {
    File::open(data_dir.join(LOCK)).is_ok_and(|lock| matches!(lock.try_lock_shared(), Err(TryLockError::WouldBlock)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn running(data_dir: &Path) -> File {
        std::fs::create_dir_all(data_dir).unwrap();
        let servers = Endpoints {
            kafka_brokers: "127.0.0.1:4711".to_owned(),
            postgres_url: "postgres://p".to_owned(),
            redis_url: "redis://r".to_owned(),
            registry_url: "http://r".to_owned(),
        };
        write(data_dir, &servers, "http://a/").unwrap();
        let lock = File::create(data_dir.join(LOCK)).unwrap();
        lock.lock().unwrap();
        lock
    }

    fn command() -> Command {
        let brokers = Arg::new("brokers").long("kafka-brokers").default_value("127.0.0.1:9092");
        Command::new("vigie").subcommand(Command::new("tail").arg(brokers)).subcommand(Command::new("plain"))
    }

    #[test]
    fn a_running_stack_becomes_the_default_options_still_win_and_it_says_which_one_is_used() {
        let folder = tempfile::tempdir().unwrap();
        let lock = running(folder.path());
        let found = Found::in_dir(folder.path().to_owned()).unwrap();
        let ask = |args: &[&str]| {
            let mut command = prepare(command(), Some(&found));
            let matches = command.try_get_matches_from_mut(args).unwrap();
            let note = note(Some(&found), &command, &matches);
            let brokers = matches.subcommand().unwrap().1.try_get_one::<String>("brokers").ok().flatten().cloned();
            (brokers, note)
        };
        let (brokers, note) = ask(&["vigie", "tail"]);
        assert_eq!(brokers.as_deref(), Some("127.0.0.1:4711"));
        assert!(note.unwrap().contains(folder.path().file_name().unwrap().to_str().unwrap()));
        assert_eq!(ask(&["vigie", "tail", "--kafka-brokers", "k:1"]), (Some("k:1".to_owned()), None));
        assert_eq!(ask(&["vigie", "tail", "--data-dir", "x"]).0.as_deref(), Some("127.0.0.1:4711"));
        assert_eq!(ask(&["vigie", "plain"]), (None, None));
        drop(lock);
        assert!(Found::in_dir(folder.path().to_owned()).is_none(), "what a killed stack left is not used");
    }

    #[test]
    fn the_data_dir_is_named_or_the_nearest_above() {
        let args = |text: &str| data_dir_option(text.split(' ').map(OsString::from));
        assert_eq!(args("vigie tail x --data-dir /d"), Some(PathBuf::from("/d")));
        assert_eq!(args("vigie --data-dir=/d tail x"), Some(PathBuf::from("/d")));
        assert_eq!(args("vigie tail x"), None);
        let folder = tempfile::tempdir().unwrap();
        let deep = folder.path().join("a/b");
        std::fs::create_dir_all(&deep).unwrap();
        assert_eq!(nearest(&deep), None);
        let _lock = running(&folder.path().join(DATA_DIR));
        assert_eq!(nearest(&deep), Some(folder.path().join(DATA_DIR)));
    }
}
