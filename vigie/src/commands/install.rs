//! `vigie install`: this program and what it needs, below a prefix, so that it works from any folder.
//!
//! ```text
//! PREFIX/bin/vigie                 this program
//! PREFIX/lib/vigie/                ONNX Runtime, models/sentiment: found from the program's own place
//! PREFIX/share/                    shell completions, man pages
//! ```
//!
//! Kafka's jars stay where `./dev` keeps what it has fetched; `up` finds them there.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use clap::Command;
use clap_complete::Shell;
use serde_json::json;
use vigie_daemon::{Mistake, ServiceError};
use vigie_processors::inference::find_library;

use crate::output::Output;

/// Where the completions of a shell lie below a prefix, by the habits of each.
const COMPLETIONS: [(Shell, &str); 3] = [
    (Shell::Bash, "share/bash-completion/completions"),
    (Shell::Zsh, "share/zsh/site-functions"),
    (Shell::Fish, "share/fish/vendor_completions.d"),
];

#[derive(clap::Args, Debug)]
pub(crate) struct InstallArgs {
    /// Where to: the program goes to DIR/bin [default: ~/.local]
    #[arg(long, value_name = "DIR")]
    prefix: Option<PathBuf>,
    #[command(flatten)]
    model: vigie_processors::inference::ModelConfig,
}

/// `command` is the whole command line, for completions and pages.
pub(crate) fn run(args: &InstallArgs, command: Command, output: Output) -> Result<(), ServiceError> {
    let home =
        || std::env::var_os("HOME").filter(|home| !home.is_empty()).map(|home| PathBuf::from(home).join(".local"));
    let prefix = args.prefix.clone().or_else(home);
    let prefix = prefix.ok_or_else(|| Mistake::new("HOME", "not set", "--prefix"))?;
    let library =
        find_library(args.model.library.as_deref()).map_err(|e| ServiceError::unavailable("ONNX Runtime", e))?;
    // What cannot be loaded here cannot be loaded there.
    args.model
        .load()
        .map_err(|e| Mistake::new("--model", ServiceError::failed(e).chain(), "a model that can be loaded"))?;
    let program = install(&prefix, &library, &args.model.dir, command)
        .map_err(|error| ServiceError::failed(format!("cannot install below {}: {error}", prefix.display())))?;
    let bin = program.parent().map(Path::to_owned).unwrap_or_default();
    let path = std::env::var_os("PATH").unwrap_or_default();
    if !std::env::split_paths(&path).any(|folder| folder == bin) {
        output.note(format!("{0} is not on the PATH: export PATH=\"{0}:$PATH\"", bin.display()));
    }
    output.result(&json!({"program": program}), || format!("installed {}", program.display()))
}

fn install(prefix: &Path, library: &Path, model: &Path, command: Command) -> io::Result<PathBuf> {
    let program = prefix.join("bin/vigie");
    replace(&std::env::current_exe()?, &program)?;
    let lib = prefix.join("lib/vigie");
    if let Some(name) = library.file_name() {
        replace(library, &lib.join(name))?;
    }
    for entry in fs::read_dir(model)? {
        let file = entry?.path();
        let is_needed = file
            .extension()
            .is_some_and(|ending| ["json", "onnx", "bin", "words"].iter().any(|needed| ending == *needed));
        if let Some(name) = file.file_name().filter(|_| is_needed) {
            replace(&file, &lib.join("models/sentiment").join(name))?;
        }
    }
    let mut command = command.disable_help_subcommand(true);
    for (shell, folder) in COMPLETIONS {
        let folder = prefix.join(folder);
        fs::create_dir_all(&folder)?;
        clap_complete::generate_to(shell, &mut command, "vigie", folder)?;
    }
    let pages = prefix.join("share/man/man1");
    fs::create_dir_all(&pages)?;
    clap_mangen::generate_to(command, pages)?;
    Ok(program)
}

/// Copies a file, also over a program that runs.
fn replace(from: &Path, to: &Path) -> io::Result<()> {
    let folder = to.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    if to.exists() && from.canonicalize()? == to.canonicalize()? {
        return Ok(());
    }
    let fresh = to.with_extension("new");
    fs::copy(from, &fresh)?;
    fs::rename(fresh, to)
}
