//! The tasks of `./dev`, which installs what they need first. No dependencies, so that they are built in a moment.

mod bench;
mod fetch;
mod run;
mod test;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use fetch::Fetch;
use run::{Failed, Result, cargo, exec, program, run};

/// sysexits(3): the command was used wrongly.
const USAGE: u8 = 64;

const RELEASE: &str = "target/release/vigie";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (task, rest) = arguments.split_first().map_or(("", &[][..]), |(task, rest)| (task, rest));
    match dispatch(task, rest) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failed) => {
            if !failed.why.is_empty() {
                eprintln!("dev: {}", failed.why);
            }
            ExitCode::from(failed.code)
        }
    }
}

fn dispatch(task: &str, rest: &[String]) -> Result {
    let fetch = Fetch::new()?;
    match task {
        "up" => {
            let library = fetch.onnxruntime()?;
            build_vigie()?;
            link_beside(RELEASE, &library)?;
            exec(program(RELEASE).arg("up").args(rest).envs(fetch.kafka()?))
        }
        "install" => {
            let library = fetch.onnxruntime()?;
            build_vigie()?;
            exec(program(RELEASE).arg("install").args(rest).env("ORT_DYLIB_PATH", library))
        }
        "test" => test::run_all(&fetch, rest),
        "lint" => lint(&fetch, rest.first().is_some_and(|what| what == "code")),
        "bench" => bench::run_one(&fetch, rest),
        // A debug build: the program under test fails on purpose if it is asked to, and must not lie where `up` finds it.
        "chaos" => {
            run(cargo(["build", "--package", "vigie", "--package", "vigie-chaos", "--features", "vigie/failpoints"]))?;
            exec(program("target/debug/vigie-chaos").args(rest).envs(fetch.servers()?))
        }
        "fuzz" => {
            run(cargo(["build", "--package", "vigie-fuzz", "--bin", "vigie-fuzz"]))?;
            if rest.first().is_some_and(|how| how == "guided") {
                let mut guided =
                    cargo(["build", "--package", "vigie-fuzz", "--bin", "parser", "--features", "libfuzzer"]);
                let wrapper =
                    Path::new("fuzz/rustc.sh").canonicalize().map_err(|error| Failed::because(error.to_string()))?;
                run(guided.env("RUSTC_WORKSPACE_WRAPPER", wrapper))?;
            }
            exec(program("target/debug/vigie-fuzz").args(rest))
        }
        "sbom" => {
            let python = fetch.python("python-sbom", "tests/python/sbom.txt")?;
            exec(program(python).args(["-B", "tests/python/sbom.py", "--validate"]).args(rest))
        }
        "eval" => {
            build_vigie()?;
            run(cargo(["build", "--release", "--package", "vigie-processors", "--example", "alerts"]))?;
            let python = fetch.python("python-eval", "models/requirements.txt")?;
            let script = ["-B", "models/evaluate.py", "--vigie", RELEASE];
            exec(program(python).args(script).args(rest).envs(fetch.servers()?))
        }
        _ => Err(Failed { code: USAGE, why: format!("unknown command {task:?}, see ./dev help") }),
    }
}

fn build_vigie() -> Result {
    run(cargo(["build", "--release", "--package", "vigie"]))
}

/// Puts a link to ONNX Runtime beside the program, so that it is found without `./dev`.
fn link_beside(program: &str, library: &Path) -> Result {
    let name = library.file_name().unwrap_or_default();
    let link: PathBuf = Path::new(program).with_file_name(name);
    let _ = std::fs::remove_file(&link);
    std::os::unix::fs::symlink(library, &link).map_err(|error| Failed::because(format!("{}: {error}", link.display())))
}

fn lint(fetch: &Fetch, code_only: bool) -> Result {
    if !["fmt", "clippy"].iter().all(|tool| run::succeeds(program("cargo").args([tool, "--version"]))) {
        eprintln!(
            "dev: rustfmt and clippy are not installed, so the code is not linted (rustup component add rustfmt clippy)"
        );
        return Ok(());
    }
    run(cargo(["fmt", "--all", "--check"]))?;
    run(cargo(["clippy", "--workspace", "--all-targets", "--", "--deny", "warnings"]))?;
    run(cargo(["doc", "--workspace", "--no-deps", "--quiet"]).env("RUSTDOCFLAGS", "--deny warnings"))?;
    if code_only {
        return Ok(());
    }
    if run::is_installed("cargo-deny") {
        run(cargo(["deny", "check"]))?;
    } else {
        eprintln!(
            "dev: cargo-deny is not installed, so advisories and licences are not checked (the tests check the direction of dependencies)"
        );
    }
    exec(program("tests/deploy-lint.sh").env("VIGIE_CACHE_DIR", fetch.cache()))
}
