#!/usr/bin/env bash
# VPA's own Go code and ours on the same samples, in one run on this machine: prints both and their ratios.
set -euo pipefail
cd "$(dirname "$0")/../.."
theirs=$(mktemp)
trap 'rm -f "$theirs"' EXIT
(cd benches/peers && go run . bench) > "$theirs"
cargo bench --locked --quiet --bench peers -- "$theirs"
