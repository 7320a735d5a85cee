//! Secrets: never printed, and given by an option, by an environment variable, or by a file.

use std::convert::Infallible;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::marker::PhantomData;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Args, Command, FromArgMatches, value_parser};
use zeroize::Zeroizing;

use crate::Mistake;

/// A text that is never printed, and wiped when it is dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// The text itself.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(Zeroizing::new(text))
    }
}

impl FromStr for Secret {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(text.to_owned().into())
    }
}

impl Hash for Secret {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.reveal().hash(state);
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[hidden]")
    }
}

/// What is given as a secret.
pub trait FromSecret: Sized {
    /// The option, without its dashes. `--{LONG}-file` names a file that holds the secret.
    const LONG: &'static str;
    /// The option's former name, which still works.
    const FORMER: Option<&'static str> = None;
    /// The option's environment variable. `{VARIABLE}_FILE` names a file that holds the secret.
    const VARIABLE: &'static str;
    /// The option's help.
    const HELP: &'static str;
    /// What the secret should be.
    const EXPECTED: &'static str;

    /// Reads the secret.
    ///
    /// # Errors
    /// What is wrong with it, without quoting it.
    fn from_secret(text: &str) -> Result<Self, String>;
}

/// The option of a secret and the one of its file. An explicit one goes before a default; both are a mistake.
pub struct SecretArg<T> {
    given: Given,
    kind: PhantomData<fn() -> T>,
}

#[derive(Clone, Debug)]
enum Given {
    Nothing,
    Text(Secret),
    File(PathBuf),
    Both,
}

impl<T> Clone for SecretArg<T> {
    fn clone(&self) -> Self {
        Self::new(self.given.clone())
    }
}

impl<T> fmt::Debug for SecretArg<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.given.fmt(f)
    }
}

impl<T> Default for SecretArg<T> {
    fn default() -> Self {
        Self::new(Given::Nothing)
    }
}

impl<T> SecretArg<T> {
    fn new(given: Given) -> Self {
        Self { given, kind: PhantomData }
    }

    /// The secret itself.
    pub fn text(text: impl Into<String>) -> Self {
        Self::new(Given::Text(text.into().into()))
    }

    /// A file that holds the secret.
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self::new(Given::File(path.into()))
    }

    /// Whether neither was given.
    pub fn is_absent(&self) -> bool {
        matches!(self.given, Given::Nothing)
    }
}

impl<T: FromSecret> SecretArg<T> {
    /// The secret; `None` if none was given. White space at the end of a file is not part of it.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(&self) -> Result<Option<T>, Vec<Mistake>> {
        let text = match &self.given {
            Given::Nothing => return Ok(None),
            Given::Text(text) => text.clone(),
            Given::File(path) => {
                let text = std::fs::read_to_string(path).map_err(|error| Self::in_file(path, &error))?;
                Zeroizing::new(text).trim_end().to_owned().into()
            }
            Given::Both => {
                let found = format!("--{}-file ({}_FILE) is given too", T::LONG, T::VARIABLE);
                return Err(vec![Mistake::new(place::<T>(), found, "one of them")]);
            }
        };
        T::from_secret(text.reveal()).map(Some).map_err(|found| match &self.given {
            Given::File(path) => Self::in_file(path, &found),
            _ => vec![Mistake::new(place::<T>(), found, T::EXPECTED)],
        })
    }

    /// As [`SecretArg::read`], for a secret that cannot be done without.
    ///
    /// # Errors
    /// What is wrong with it, or that there is none.
    pub fn require(&self) -> Result<T, Vec<Mistake>> {
        self.read()?.ok_or_else(|| vec![Mistake::new(place::<T>(), "not given", T::EXPECTED)])
    }

    fn in_file(path: &Path, found: &dyn fmt::Display) -> Vec<Mistake> {
        let place = format!("--{}-file ({}_FILE)", T::LONG, T::VARIABLE);
        vec![Mistake::new(place, format!("{}: {found}", path.display()), T::EXPECTED)]
    }
}

fn place<T: FromSecret>() -> String {
    format!("--{} ({})", T::LONG, T::VARIABLE)
}

fn file_id<T: FromSecret>() -> String {
    format!("{}-file", T::LONG)
}

impl<T: FromSecret> Args for SecretArg<T> {
    fn augment_args(command: Command) -> Command {
        let text =
            Arg::new(T::LONG).long(T::LONG).aliases(T::FORMER).env(T::VARIABLE).value_name("SECRET").help(T::HELP);
        let text = text.hide_env_values(true).hide_default_value(true).value_parser(value_parser!(Secret));
        let file = Arg::new(file_id::<T>()).long(file_id::<T>()).env(format!("{}_FILE", T::VARIABLE));
        let file = file.aliases(T::FORMER.map(|former| format!("{former}-file")));
        let file = file.value_name("FILE").help(format!("File that holds --{}", T::LONG));
        command.arg(text).arg(file.value_parser(value_parser!(PathBuf)))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl<T: FromSecret> FromArgMatches for SecretArg<T> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let file_id = file_id::<T>();
        let text = matches.get_one::<Secret>(T::LONG).cloned().map(Given::Text);
        let file = matches.get_one::<PathBuf>(&file_id).cloned().map(Given::File);
        let is_explicit = |id: &str| matches.value_source(id).is_some_and(|source| source != ValueSource::DefaultValue);
        Ok(Self::new(match (is_explicit(T::LONG), is_explicit(&file_id)) {
            (true, true) => Given::Both,
            (true, false) => text.unwrap_or(Given::Nothing),
            (false, true) => file.unwrap_or(Given::Nothing),
            (false, false) => text.or(file).unwrap_or(Given::Nothing),
        }))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug)]
    struct Password(String);

    impl FromSecret for Password {
        const LONG: &'static str = "test-password";
        const VARIABLE: &'static str = "VIGIE_TEST_PASSWORD";
        const HELP: &'static str = "What opens the door";
        const EXPECTED: &'static str = "8 bytes or more";

        fn from_secret(text: &str) -> Result<Self, String> {
            if text.len() < 8 { Err(format!("{} bytes", text.len())) } else { Ok(Self(text.to_owned())) }
        }
    }

    #[derive(Debug, Parser)]
    struct Cli {
        #[command(flatten)]
        password: SecretArg<Password>,
    }

    fn read(args: &[&str]) -> Result<Option<String>, String> {
        let cli = Cli::parse_from([&["test"], args].concat());
        assert!(!format!("{cli:?}").contains("hunter"));
        let password = cli.password.read().map(|password| password.map(|Password(text)| text));
        password.map_err(|mistakes| mistakes.iter().map(Mistake::to_string).collect::<String>())
    }

    #[test]
    fn a_secret_comes_by_value_or_by_file_and_not_by_both() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("password");
        std::fs::write(&path, "hunter2hunter2\r\n").unwrap();
        let file = format!("--test-password-file={}", path.display());
        assert_eq!(read(&[]), Ok(None));
        assert_eq!(read(&["--test-password", "hunter2hunter2"]), Ok(Some("hunter2hunter2".into())));
        assert_eq!(read(&[&file]), Ok(Some("hunter2hunter2".into())));
        let both = "--test-password (VIGIE_TEST_PASSWORD): --test-password-file (VIGIE_TEST_PASSWORD_FILE) is given too, expected one of them";
        assert_eq!(read(&[&file, "--test-password=hunter2hunter2"]), Err(both.into()));
        let short = "--test-password (VIGIE_TEST_PASSWORD): 7 bytes, expected 8 bytes or more";
        assert_eq!(read(&["--test-password", "hunter2"]), Err(short.into()));
        std::fs::write(&path, "hunter2").unwrap();
        assert!(read(&[&file]).unwrap_err().ends_with("/password: 7 bytes, expected 8 bytes or more"));
        let absent = read(&["--test-password-file=/no/such/file"]).unwrap_err();
        assert!(
            absent.starts_with("--test-password-file (VIGIE_TEST_PASSWORD_FILE): /no/such/file: No such"),
            "{absent}"
        );
    }

    #[test]
    fn an_explicit_secret_goes_before_a_default_of_the_other_option() {
        let parse = |id: &'static str, default: &'static str, args: &[&str]| {
            let command = Cli::augment_args(Command::new("test")).mut_arg(id, |arg| arg.default_value(default));
            SecretArg::<Password>::from_arg_matches(&command.get_matches_from([&["test"], args].concat()))
                .unwrap()
                .given
        };
        let given = parse("test-password", "default", &["--test-password-file=f"]);
        assert!(matches!(given, Given::File(_)), "{given:?}");
        let given = parse("test-password-file", "default", &["--test-password=explicit"]);
        assert!(matches!(given, Given::Text(_)), "{given:?}");
        let given = parse("test-password-file", "default", &[]);
        assert!(matches!(given, Given::File(_)), "{given:?}");
    }

    #[test]
    fn help_names_both_variables_and_no_default_secret() {
        let command = Cli::augment_args(Command::new("test"));
        let mut command = command.mut_arg("test-password", |arg| arg.default_value("hunter2"));
        let help = command.render_long_help().to_string();
        assert!(help.contains("VIGIE_TEST_PASSWORD]") && help.contains("VIGIE_TEST_PASSWORD_FILE"), "{help}");
        assert!(!help.contains("hunter2"), "{help}");
    }
}
