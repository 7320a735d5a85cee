#!/bin/sh
# What Cargo runs for the crates of the workspace (RUSTC_WORKSPACE_WRAPPER), so that libFuzzer sees which branches an input reaches.
# A stable compiler knows these options; dependencies stay as they are.
exec "$@" -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
  -Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1
