//! What is wrong with a configuration, and the list of it that a check makes.

use std::fmt;
use std::marker::PhantomData;

use clap::{Arg, Args, Command};

/// One thing that is wrong: where, what is there (never a secret), and what was expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    place: String,
    found: String,
    expected: String,
}

impl Mistake {
    /// A mistake in any place: an argument, or a line of a file.
    pub fn new(place: impl Into<String>, found: impl fmt::Display, expected: impl Into<String>) -> Self {
        Self { place: place.into(), found: found.to_string(), expected: expected.into() }
    }

    /// A mistake in the option `--{long}` of `A`. Names its environment variable too.
    pub fn of<A: Args>(long: &str, found: impl fmt::Display, expected: impl Into<String>) -> Self {
        let command = A::augment_args(Command::new(""));
        let option = command.get_arguments().find(|arg| arg.get_long() == Some(long)).cloned();
        debug_assert!(option.is_some(), "there is no option --{long}");
        Self::in_option(&option.unwrap_or_else(|| Arg::new(long.to_owned()).long(long.to_owned())), found, expected)
    }

    /// A mistake in this option. Names its environment variable too.
    pub fn in_option(option: &Arg, found: impl fmt::Display, expected: impl Into<String>) -> Self {
        let long = option.get_long().unwrap_or_default();
        let place = match option.get_env() {
            Some(variable) => format!("--{long} ({})", variable.display()),
            None => format!("--{long}"),
        };
        Self::new(place, found, expected)
    }

    /// The same mistake, in a part of `whole`.
    #[must_use]
    pub fn within(self, whole: impl fmt::Display) -> Self {
        Self { place: format!("{whole}: {}", self.place), ..self }
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}, expected {}", self.place, self.found, self.expected)
    }
}

/// Collects every mistake in the options of `A`, so that they are reported at once.
#[derive(Debug)]
pub struct Check<A> {
    mistakes: Vec<Mistake>,
    options: PhantomData<fn() -> A>,
}

impl<A: Args> Default for Check<A> {
    fn default() -> Self {
        Self { mistakes: Vec::new(), options: PhantomData }
    }
}

impl<A: Args> Check<A> {
    /// `found` in the option `--{long}` is a mistake unless `right`.
    pub fn option(&mut self, long: &str, right: bool, found: impl fmt::Display, expected: impl Into<String>) {
        if !right {
            self.mistakes.push(Mistake::of::<A>(long, found, expected));
        }
    }

    /// What a check of a part has found; `None` if it has mistakes. One that parts share is listed once.
    pub fn part<T>(&mut self, part: Result<T, Vec<Mistake>>) -> Option<T> {
        let mistakes = match part {
            Ok(checked) => return Some(checked),
            Err(mistakes) => mistakes,
        };
        for mistake in mistakes {
            if !self.mistakes.contains(&mistake) {
                self.mistakes.push(mistake);
            }
        }
        None
    }

    /// The outcome; `checked` is `None` only if a part had mistakes.
    ///
    /// # Errors
    /// With every mistake, if there is one.
    pub fn finish<T>(self, checked: Option<T>) -> Result<T, Vec<Mistake>> {
        checked.filter(|_| self.mistakes.is_empty()).ok_or(self.mistakes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Args)]
    struct Options {
        #[arg(long, env = "VIGIE_TEST_RATE")]
        _rate: Option<u32>,
        #[arg(long)]
        _level: Option<u32>,
    }

    #[test]
    fn a_mistake_names_option_variable_value_and_what_was_expected() {
        let mut check = Check::<Options>::default();
        check.option("rate", false, 0, "1 to 9");
        check.option("level", false, 7, "less");
        check.option("level", true, 7, "nothing else");
        for _ in 0..2 {
            check.part::<()>(Err(vec![Mistake::new("url", "ftp:", "http").within("line 3")]));
        }
        let lines: Vec<String> = check.finish(Some(())).unwrap_err().iter().map(Mistake::to_string).collect();
        let expected = [
            "--rate (VIGIE_TEST_RATE): 0, expected 1 to 9",
            "--level: 7, expected less",
            "line 3: url: ftp:, expected http",
        ];
        assert_eq!(lines, expected);
        assert_eq!(Check::<Options>::default().finish(Some(1)), Ok(1));
    }
}
