//! Holds a stack for other processes: prints its endpoints as one line of JSON, runs until SIGTERM or the end of standard input.
//!
//! `./dev test` uses it as `hold --ephemeral DIR`; without that option the data in DIR stays.

use std::process::ExitCode;

use vigie_stack::{StackConfig, hold};

#[tokio::main]
async fn main() -> ExitCode {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    let ephemeral = arguments.first().is_some_and(|first| first == "--ephemeral");
    if ephemeral {
        arguments.remove(0);
    }
    let [dir] = arguments.as_slice() else {
        eprintln!("usage: hold [--ephemeral] DATA_DIR");
        return ExitCode::from(64);
    };
    let config = StackConfig { ephemeral, ..StackConfig::new(dir) };
    let held = hold(config, |endpoints| {
        println!("{}", serde_json::to_string(endpoints).expect("endpoints are plain strings"));
    });
    match held.await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(69)
        }
    }
}
