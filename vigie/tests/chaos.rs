//! A small run of `./dev chaos`: the services as processes on three brokers, some of them killed, on a machine that is kept busy, and every
//! number checked; and the same with a commit that is broken on purpose, which the checks must find.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use vigie_chaos::{FaultKind, Options, run};
use vigie_processors::inference::ModelConfig;

fn options(seed: u64) -> Options {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    Options {
        posts: 300,
        kills: 0,
        seed,
        faults: Vec::new(),
        rate: Some(20),
        busy: 2,
        kafka_nodes: 3,
        vigie: Some(PathBuf::from(env!("CARGO_BIN_EXE_vigie"))),
        model: ModelConfig {
            dir: root.join("models/sentiment"),
            library: std::env::var_os("ORT_DYLIB_PATH").map(PathBuf::from),
            threads: 1,
            no_early_exit: false,
        },
        logs: None,
        sabotage: false,
        spread_market: false,
        state_backend: "disk".to_owned(),
        max_memory_mib: 1024,
        replay: None,
    }
}

/// One test, so that the two pipelines do not run beside each other.
#[tokio::test(flavor = "multi_thread")]
async fn every_number_is_right_over_crashes_and_a_commit_without_outputs_is_found_out() {
    let progress: vigie_chaos::Progress = Arc::new(|line| eprintln!("chaos: {line}"));
    // Two stacks that start at once may choose the same free port: the shared one is there first.
    let _ = tokio::task::spawn_blocking(vigie_stack::testing::shared).await;

    let faults = [
        FaultKind::CrashOffsets,
        FaultKind::EndTxnAnswerCut,
        FaultKind::CoordinatorKillUnreplicated,
        FaultKind::PostgresKill,
    ];
    let report = run(Options { faults: faults.to_vec(), ..options(11) }, Arc::clone(&progress)).await;
    let report = report.unwrap_or_else(|error| panic!("{error}"));
    assert!(report.passed(), "{report}");
    assert!(report.posts > 300 && report.late_mentions > 0 && report.dead_letters > 0, "{report}");
    assert!(report.faults.iter().all(|fault| fault.fired > 0), "{report}");

    let faults = vec![FaultKind::RegistryWarm];
    let broken = Options { faults, kills: 1, sabotage: true, busy: 0, kafka_nodes: 1, ..options(12) };
    let report = run(broken, progress).await.unwrap_or_else(|error| panic!("{error}"));
    let window = |violation: &String| violation.starts_with("window (") && violation.contains("follows on");
    assert!(report.violations.iter().any(window), "a commit without outputs was not found out: {report}");
}
