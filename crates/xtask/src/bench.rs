//! `./dev bench`: micro-benchmarks and a load run, or a comparison with a peer.

use crate::RELEASE;
use crate::fetch::Fetch;
use crate::run::{Result, cargo, exec, program, run};
use crate::test::{Held, hold};

/// A source that never answers: the load run is the pipeline's only input.
const NO_SOURCE: &str =
    "[[source]]\nid = \"none\"\nkind = \"rss\"\nurl = \"http://127.0.0.1:9/\"\nevery_seconds = 3600\nlocal = true\n";

pub(crate) fn run_one(fetch: &Fetch, arguments: &[String]) -> Result {
    let (what, rest) = arguments.split_first().map_or(("", arguments), |(what, rest)| (&**what, rest));
    match what {
        // Takes some minutes, so it is not part of a plain `bench`.
        "peers" => {
            run(cargo(["build", "--release", "--package", "vigie-benches", "--bin", "vigie-peers"]))?;
            exec(program("target/release/vigie-peers").args(rest).envs(fetch.servers()?).envs(fetch.kafka_streams()?))
        }
        "replay" => {
            crate::build_vigie()?;
            run(cargo(["build", "--release", "--package", "vigie-benches", "--bin", "vigie-replay"]))?;
            exec(program("target/release/vigie-replay").args(rest).envs(fetch.servers()?))
        }
        // Downloads torch, so it is not part of a plain `bench` either.
        "python" => {
            crate::build_vigie()?;
            let python = fetch.python("python-peer", "benches/peers/python/requirements.txt")?;
            let script = ["-B", "benches/peers/python/sentiment.py", "--vigie", RELEASE, "--model", "models/sentiment"];
            exec(program(python).args(script).args(rest).envs(fetch.servers()?))
        }
        "extraction" => {
            run(cargo(["build", "--release", "--package", "vigie-producers", "--example", "throughput"]))?;
            let python = fetch.python("python-extraction", "benches/peers/python/extraction.txt")?;
            let script = ["-B", "benches/peers/python/extraction.py", "--ours", "target/release/examples/throughput"];
            exec(program(python).args(script).args(rest))
        }
        "api" | "attack" | "tls" => {
            run(cargo(["build", "--release", "--package", "vigie-api", "--examples"]))?;
            run(cargo(["build", "--package", "vigie-stack", "--example", "hold"]))?;
            let examples = "target/release/examples";
            let ours = if what == "api" {
                vec![format!("--ours={examples}/serve")]
            } else {
                crate::build_vigie()?;
                let (api, token) = (format!("--ours={RELEASE} api"), format!("--token={RELEASE} token issue --json"));
                vec![api, token, format!("--attack={examples}/attack")]
            };
            let python = fetch.python("python-api", "benches/peers/python/api.txt")?;
            if what == "tls" {
                run(cargo(["build", "--release", "--package", "vigie-benches", "--bin", "vigie-tls"]))?;
                run(program("target/release/vigie-tls").envs(fetch.servers()?))?;
            }
            let scratch = fetch.scratch("bench-api")?;
            let stack = hold(fetch, &scratch)?;
            let given =
                ["--fill=100,1".to_owned(), format!("--load={examples}/load"), format!("--stack={}", stack.said)];
            let script: &[&str] = match what {
                "api" => &["-B", "benches/peers/python/api.py"],
                "attack" => &["-B", "benches/peers/python/attack.py"],
                _ => &["-B", "benches/peers/python/attack.py", "--only=tls"],
            };
            run(program(python).args(script).args(ours).args(given).args(rest))
        }
        "sources" => {
            run(cargo(["build", "--release", "--package", "vigie-producers", "--example", "many_sources"]))?;
            exec(program("target/release/examples/many_sources").args(rest).envs(fetch.servers()?))
        }
        _ => all(fetch, arguments),
    }
}

fn all(fetch: &Fetch, options: &[String]) -> Result {
    let servers = fetch.servers()?;
    run(cargo(["bench", "--package", "vigie-benches", "--benches"]).envs(servers.clone()))?;
    run(cargo(["build", "--release", "--package", "vigie", "--package", "vigie-benches", "--bins"]))?;
    let scratch = fetch.scratch("load")?;
    let (data, sources) = (scratch.path().join("data"), scratch.path().join("sources.toml"));
    std::fs::write(&sources, NO_SOURCE)
        .map_err(|error| crate::run::Failed::because(format!("{}: {error}", sources.display())))?;
    let mut up = program(RELEASE);
    up.args(["--json", "up", "--api-listen", "127.0.0.1:0", "--data-dir"]).arg(&data).arg("--sources").arg(&sources);
    let _pipeline = Held::start(up.envs(servers))?;
    run(program("target/release/vigie-load").arg("--data-dir").arg(&data).args(options))
}
