//! The command line and the environment, read to the end: clap stops at the first value that an option does not take.

use std::error::Error as _;
use std::ffi::{OsStr, OsString};

use clap::error::{ContextKind, ContextValue, Error};
use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Command, FromArgMatches};
use vigie_daemon::Mistake;

use crate::cli::Cli;

const HELP: &str = "a value as --help describes it";

/// Former names of variables, by option. Of other options it is `VIGIE_` and the option's former name.
const FORMER: [(&str, &str); 3] = [
    ("chromium", "CHROMIUM"),
    ("producers-session-timeout", "VIGIE_PRODUCERS_SESSION_MS"),
    ("sources-reload", "VIGIE_SOURCES_RELOAD_SECONDS"),
];

/// Variables that others own, by option, with their owner. All others are `VIGIE_` and the option's name.
const OF_OTHERS: [(&str, &str, &str); 1] = [("onnxruntime", "ORT_DYLIB_PATH", "the library ort reads it")];

/// What was read.
pub(crate) struct Parsed {
    pub(crate) cli: Cli,
    /// A mistake for each value that its option does not take. Such an option is left at its default.
    pub(crate) unread: Vec<Mistake>,
    /// What `note` made of the matches.
    pub(crate) note: Option<String>,
    /// Variables that were read by their former names, with their options.
    pub(crate) former: Vec<(String, String)>,
}

/// Reads the arguments, and the variables by their former names where only these are set.
///
/// # Errors
/// Any other mistake, and requests for help.
pub(crate) fn parse(
    command: &Command,
    note: impl Fn(&Command, &ArgMatches) -> Option<String>,
) -> Result<Parsed, Error> {
    let mut command = with_former_variables(command.clone(), &|name| std::env::var_os(name).is_some());
    let mut args = std::env::args_os().collect::<Vec<_>>();
    let (mut unread, mut first) = (Vec::new(), None);
    loop {
        let error = match command.clone().try_get_matches_from(&args) {
            Ok(mut matches) => {
                let (note, former) = (note(&command, &matches), former_variables(&command, &matches));
                return Ok(Parsed { cli: Cli::from_arg_matches_mut(&mut matches)?, unread, note, former });
            }
            Err(error) => error,
        };
        let option = context(&error, ContextKind::InvalidArg).and_then(|name| find(&command, long(name)?).cloned());
        let (Some(option), Some(value)) = (option, context(&error, ContextKind::InvalidValue)) else {
            // What is missing now may be what was left out.
            return Err(first.unwrap_or(error));
        };
        unread.push(mistake(&option, value, &error));
        let name = option.get_long().unwrap_or_default();
        let former = option.get_all_aliases().unwrap_or_default();
        if !former.into_iter().chain([name]).any(|name| remove(&mut args, name)) {
            if option.get_env().and_then(std::env::var_os).is_none() {
                return Err(error);
            }
            command = without_variable(command, name);
        }
        // clap's own message shows the value.
        if first.is_none() && !option.is_hide_env_values_set() {
            first = Some(error);
        }
    }
}

fn mistake(option: &Arg, value: &str, error: &Error) -> Mistake {
    if option.is_hide_env_values_set() {
        return Mistake::in_option(option, "not shown here", HELP);
    }
    if let Some(ContextValue::Strings(valid)) = error.get(ContextKind::ValidValue) {
        return Mistake::in_option(option, format!("{value:?}"), format!("one of {}", valid.join(", ")));
    }
    let reason = error.source().map(ToString::to_string).unwrap_or_default();
    match reason.split_once("expected ") {
        Some((_, expected)) => Mistake::in_option(option, format!("{value:?}"), expected),
        None => Mistake::in_option(option, format!("{value:?}: {reason}"), HELP),
    }
}

/// `VIGIE_LOG` for the option `log`.
fn variable(option: &str) -> String {
    format!("VIGIE_{}", option.to_uppercase().replace('-', "_"))
}

fn with_former_variables(command: Command, is_set: &dyn Fn(&str) -> bool) -> Command {
    let former = |arg: &Arg| {
        let (long, present) = (arg.get_long()?, arg.get_env()?.to_str()?);
        let aliases = arg.get_all_aliases().unwrap_or_default().into_iter().map(variable);
        let listed = FORMER.iter().filter(|(option, _)| *option == long).map(|(_, name)| (*name).to_owned());
        aliases.chain(listed).find(|name| is_set(name) && !is_set(present))
    };
    command
        .mut_args(|arg| match former(&arg) {
            Some(name) => arg.env(name),
            None => arg,
        })
        .mut_subcommands(|subcommand| with_former_variables(subcommand, is_set))
}

/// Variables of former names that the command was given a value by, with their options.
fn former_variables(command: &Command, matches: &ArgMatches) -> Vec<(String, String)> {
    if let Some((name, matches)) = matches.subcommand() {
        return command.find_subcommand(name).map_or_else(Vec::new, |command| former_variables(command, matches));
    }
    let given = command.get_arguments().filter(|arg| {
        let source = matches.try_contains_id(arg.get_id().as_str()).is_ok_and(|is| is);
        source && matches.value_source(arg.get_id().as_str()) == Some(ValueSource::EnvVariable)
    });
    let named = given.filter_map(|arg| Some((arg.get_env()?.to_str()?.to_owned(), arg.get_long()?.to_owned())));
    named.filter(|(name, long)| is_former(name, long)).collect()
}

fn is_former(name: &str, long: &str) -> bool {
    name != variable(long) && !OF_OTHERS.iter().any(|(option, ..)| *option == long)
}

fn context(error: &Error, kind: ContextKind) -> Option<&str> {
    match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text),
        _ => None,
    }
}

/// `grace` of `--grace <DURATION>`; `None` for an argument without a name.
fn long(name: &str) -> Option<&str> {
    name.strip_prefix("--")?.split(|c: char| !c.is_ascii_alphanumeric() && c != '-').next()
}

fn find<'a>(command: &'a Command, name: &str) -> Option<&'a Arg> {
    let own = command.get_arguments().find(|arg| arg.get_long() == Some(name));
    own.or_else(|| command.get_subcommands().find_map(|subcommand| find(subcommand, name)))
}

/// Takes `--name value` or `--name=value` out of the arguments; whether it was there.
fn remove(args: &mut Vec<OsString>, name: &str) -> bool {
    let (flag, before) = (format!("--{name}"), args.len());
    if let Some(at) = args.iter().position(|arg| *arg == OsStr::new(&flag)) {
        args.drain(at..args.len().min(at + 2));
    }
    let prefix = format!("{flag}=");
    args.retain(|arg| !arg.to_string_lossy().starts_with(&prefix));
    args.len() < before
}

fn without_variable(command: Command, name: &str) -> Command {
    let is_it = |arg: &Arg| arg.get_long() == Some(name);
    command
        .mut_args(|arg| if is_it(&arg) { arg.env(None::<&'static str>) } else { arg })
        .mut_subcommands(|subcommand| without_variable(subcommand, name))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    /// Every option of every subcommand, with the subcommand's name.
    fn options(command: &Command) -> Vec<(String, Arg)> {
        let own = command.get_arguments().filter(|arg| arg.get_long().is_some());
        let own = own.map(|arg| (command.get_name().to_owned(), arg.clone()));
        own.chain(command.get_subcommands().flat_map(options)).collect()
    }

    #[test]
    fn variables_are_named_after_their_options_and_values_have_units() {
        let options = options(&Cli::command());
        for (command, arg) in &options {
            let long = arg.get_long().unwrap();
            let owned = OF_OTHERS.iter().find(|(option, ..)| *option == long).map(|(_, name, _)| (*name).to_owned());
            if let Some(name) = arg.get_env() {
                assert_eq!(name.to_str(), Some(owned.unwrap_or_else(|| variable(long)).as_str()), "{command} --{long}");
            }
            let last = long.rsplit('-').next().unwrap();
            let units = ["ms", "seconds", "minutes", "hours", "days", "bytes", "kib", "mb", "mib", "gib"];
            assert!(!units.contains(&last), "{command} --{long} has its unit in its name");
            let kind = arg.get_value_names().and_then(|names| names.first()).map_or("", |name| name.as_str());
            assert!(!units.contains(&kind.to_lowercase().as_str()) && kind != "MILLISECONDS", "{command} --{long}");
            for value in arg.get_default_values().iter().filter(|_| ["DURATION", "SIZE"].contains(&kind)) {
                assert!(value.to_str().unwrap().ends_with(char::is_alphabetic), "{command} --{long}: {value:?}");
            }
        }
        let has = |long| options.iter().any(|(_, arg)| arg.get_long() == Some(long));
        assert!(OF_OTHERS.iter().all(|(option, ..)| has(option)) && FORMER.iter().all(|(option, _)| has(option)));
    }

    #[test]
    fn former_names_of_variables_are_read_where_the_present_one_is_not_set() {
        let read = |set: &[&str], option| {
            let command = with_former_variables(Cli::command(), &|name| set.contains(&name));
            find(&command, option).and_then(|arg| arg.get_env()?.to_str().map(str::to_owned)).unwrap()
        };
        assert_eq!(read(&["VIGIE_COMMIT_INTERVAL_MS"], "commit-interval"), "VIGIE_COMMIT_INTERVAL_MS");
        let both = ["VIGIE_COMMIT_INTERVAL_MS", "VIGIE_COMMIT_INTERVAL"];
        assert_eq!(read(&both, "commit-interval"), "VIGIE_COMMIT_INTERVAL");
        assert_eq!(read(&["CHROMIUM"], "chromium"), "CHROMIUM");
        assert_eq!(read(&["VIGIE_PRODUCERS_SESSION_MS"], "producers-session-timeout"), "VIGIE_PRODUCERS_SESSION_MS");
        assert!(is_former("VIGIE_LISTEN_MS", "listen-time") && !is_former("ORT_DYLIB_PATH", "onnxruntime"));
    }

    #[test]
    fn a_value_is_taken_out_in_either_form() {
        let mut args = ["up", "--grace", "long", "--sample", "--settle=never"].map(OsString::from).to_vec();
        assert!(remove(&mut args, "grace") && remove(&mut args, "settle") && !remove(&mut args, "rate"));
        assert_eq!(args, ["up", "--sample"]);
        assert_eq!(
            (long("--render[=<on|off>]"), long("--grace <TIME>"), long("<URL>")),
            (Some("render"), Some("grace"), None)
        );
    }
}
