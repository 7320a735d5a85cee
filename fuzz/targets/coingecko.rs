//! libFuzzer on the `coingecko` entry of `vigie_producers::fuzz`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| vigie_producers::fuzz::run("coingecko", bytes));
