//! Running other programs.

use std::ffi::OsStr;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

/// sysexits(3): something that is needed is not there.
const UNAVAILABLE: u8 = 69;

/// Why a task failed, and the exit code that says so. Without words if a program that it ran has said it.
pub(crate) struct Failed {
    pub(crate) code: u8,
    pub(crate) why: String,
}

pub(crate) type Result<T = ()> = std::result::Result<T, Failed>;

impl Failed {
    pub(crate) fn because(why: impl Into<String>) -> Self {
        Self { code: UNAVAILABLE, why: why.into() }
    }
}

pub(crate) fn program(name: impl AsRef<OsStr>) -> Command {
    Command::new(name)
}

/// Cargo, with the lock file as it is. Without what `cargo xtask` says of its own crate: build
/// scripts look at it, so that crates would be built again whenever one calls cargo oneself.
pub(crate) fn cargo<const N: usize>(arguments: [&str; N]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(|name| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_")) {
            command.env_remove(name);
        }
    }
    let (subcommand, rest) = arguments.split_first().expect("a subcommand");
    // `cargo deny` takes it before its own subcommand; `cargo fmt` resolves nothing.
    command.arg(subcommand).args((*subcommand != "fmt").then_some("--locked")).args(rest);
    command
}

/// Waits for a program; its exit code is the task's if it fails.
pub(crate) fn run(command: impl std::borrow::BorrowMut<Command>) -> Result {
    let mut command = command;
    let command = command.borrow_mut();
    let status = command.status().map_err(|error| cannot_run(command, &error))?;
    match status.code() {
        Some(0) => Ok(()),
        code => Err(Failed { code: code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1), why: String::new() }),
    }
}

/// Becomes another program: signals and its exit code need nobody between.
pub(crate) fn exec(command: &mut Command) -> Result {
    let error = command.exec();
    Err(cannot_run(command, &error))
}

/// Whether a program could be run and succeeded, without a word of its own.
pub(crate) fn succeeds(command: &mut Command) -> bool {
    command.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}

pub(crate) fn is_installed(name: &str) -> bool {
    succeeds(program(name).arg("--version"))
}

/// What a program prints.
pub(crate) fn output_of(command: &mut Command) -> Result<String> {
    let output = command.stderr(Stdio::inherit()).output().map_err(|error| cannot_run(command, &error))?;
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        false => Err(Failed::because(format!("{} failed", command.get_program().to_string_lossy()))),
    }
}

fn cannot_run(command: &Command, error: &std::io::Error) -> Failed {
    Failed::because(format!("cannot run {}: {error}", command.get_program().to_string_lossy()))
}
