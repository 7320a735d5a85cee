//! The command line and the environment, read to the end: clap stops at the first value that an option does not take.

use std::error::Error as _;
use std::ffi::{OsStr, OsString};

use clap::error::{ContextKind, ContextValue, Error};
use clap::{Arg, ArgMatches, Command, FromArgMatches};
use vigie_daemon::Mistake;

use crate::cli::Cli;

const HELP: &str = "a value as --help describes it";

/// The command, a mistake for each value that its option does not take, and what `note` makes of the matches. Such an option is left at its
/// default.
///
/// # Errors
/// Any other mistake, and requests for help.
pub(crate) fn parse(
    command: &Command,
    note: impl Fn(&Command, &ArgMatches) -> Option<String>,
) -> Result<(Cli, Vec<Mistake>, Option<String>), Error> {
    let (mut command, mut args) = (command.clone(), std::env::args_os().collect::<Vec<_>>());
    let (mut unread, mut first) = (Vec::new(), None);
    loop {
        let error = match command.clone().try_get_matches_from(&args) {
            Ok(mut matches) => {
                let note = note(&command, &matches);
                return Ok((Cli::from_arg_matches_mut(&mut matches)?, unread, note));
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
        if !remove(&mut args, name) {
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
    use super::*;

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
