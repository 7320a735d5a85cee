//! libFuzzer on the parser that `VIGIE_FUZZ_TARGET` names.
#![no_main]

use std::sync::LazyLock;

static TARGET: LazyLock<String> =
    LazyLock::new(|| std::env::var("VIGIE_FUZZ_TARGET").expect("VIGIE_FUZZ_TARGET names a parser"));

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| vigie_fuzz::run(&TARGET, bytes));
