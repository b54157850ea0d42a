#!/usr/bin/env bash
# Fuzzes each target for so many seconds, led by what of the program its inputs reach (libFuzzer).
#
#   fuzz/run.sh [TARGET...]     review, snapshot and trace where none is named
#
# FUZZ_SECONDS=600         how long each is fuzzed; 10 where it says nothing
#
# Does what cargo-fuzz would, and needs only a nightly Rust and a C++ compiler. What is found is kept in
# target/fuzz/TARGET, and the inputs that led somewhere new in target/fuzz/corpus/TARGET.
set -euo pipefail
cd "$(dirname "$0")/.."
[ $# -gt 0 ] || set -- review snapshot trace
out=$PWD/target/fuzz
target=$(rustc -vV | sed -n 's/^host: //p')
coverage="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table
    -Cllvm-args=-sanitizer-coverage-trace-compares --cfg fuzzing"
# A sum that overflows is a finding.
export CARGO_PROFILE_RELEASE_DEBUG_ASSERTIONS=true CARGO_PROFILE_RELEASE_OVERFLOW_CHECKS=true
export CARGO_PROFILE_RELEASE_OPT_LEVEL=2 CARGO_PROFILE_RELEASE_DEBUG=line-tables-only
# The same versions as the program has.
[ -e fuzz/Cargo.lock ] || cp Cargo.lock fuzz/
# Only what runs on the target is measured, not what builds it.
RUSTFLAGS=$(echo $coverage) CARGO_TARGET_DIR=$out/build \
    cargo +nightly build --quiet --release --manifest-path fuzz/Cargo.toml --target "$target" --bins
for name in "$@"; do
    mkdir -p "$out/$name" "$out/corpus/$name"
    seeds=()
    [ ! -d "fuzz/seeds/$name" ] || seeds=("fuzz/seeds/$name")
    echo "fuzzing $name for ${FUZZ_SECONDS:-10} s" >&2
    # A reader that hangs or takes a gigabyte for a kilobyte is a finding too.
    "$out/build/$target/release/$name" -max_total_time="${FUZZ_SECONDS:-10}" -timeout=10 -rss_limit_mb=1024 \
        -print_final_stats=1 -artifact_prefix="$out/$name/" "$out/corpus/$name" "${seeds[@]}"
done
