#!/usr/bin/env bash
# Does what README.md says, as a new user would: a clean checkout of what is committed, with a target folder of its own,
# and the blocks marked <!-- run --> one after the other. Nothing else is done, so that what is missing in the page fails
# here.
set -euo pipefail
here=$(cd "$(dirname "$0")/.." && pwd)

# The checkout and what was built in it stay: a file that did not change keeps its time, so that only what changed is
# built again. Without target/ all of it is built, as for a new user.
mkdir -p "${CARGO_TARGET_DIR:-$here/target}/readme"
home=$(cd "${CARGO_TARGET_DIR:-$here/target}/readme" && pwd -P)
exec 9> "$home/lock"
command -v flock > /dev/null && flock 9
work=$(mktemp -d "${TMPDIR:-/tmp}/plumb-readme.XXXXXX")
trap 'rm -rf "$work"' EXIT
# A hook's variables, or a folder that is no checkout, must not lead git to the checkout that this stands in.
for variable in $(git rev-parse --local-env-vars); do unset "$variable"; done
export GIT_CEILING_DIRECTORIES=$home
git -C "$home/plumb" rev-parse --quiet --verify HEAD > /dev/null 2>&1 || {
    rm -rf "$home/plumb"
    git clone --quiet --no-local --no-checkout "$here" "$home/plumb"
}
cd "$home/plumb"
git fetch --quiet --force --update-shallow "$here" HEAD
git checkout --quiet --force --detach FETCH_HEAD
# Nothing is there but what is committed, and what was built.
git clean --quiet -ffdx --exclude=/target
rm -f target/*/plumb
# A new user has no settings, and what they build lands in target/.
unset CARGO_TARGET_DIR RUSTFLAGS CARGO_BUILD_TARGET

blocks=$(awk '/^<!-- run -->$/ {marked = 1; next}
              /^```/ && inside {inside = 0; print ""; next}
              /^```/ && marked {marked = 0; inside = 1; next}
              inside {print}' README.md)
[ -n "$blocks" ] || { echo "README.md has no block that is marked <!-- run -->" >&2; exit 1; }
while IFS= read -r command; do
    [ -n "$command" ] || continue
    echo "README: $command" >&2
    # The page that the demo writes goes where this ends.
    TMPDIR=$work bash -euo pipefail -c "$command" > "$work/said" < /dev/null 9>&- || { cat "$work/said"; exit 1; }
    [ -s "$work/said" ] || { echo "README: it said nothing" >&2; exit 1; }
done <<< "$blocks"

# What the page promises of the demo.
for promised in "NAME  *CPU" "OOM KILLS" "saves" "Report: $work/"; do
    grep -q "$promised" "$work/said" || { echo "README: the demo does not show: $promised" >&2; cat "$work/said"; exit 1; }
done
# And every file that it names is there (deploy/web is a workload).
missing=0
for name in $(grep -oE '\b(docs|deploy|tests)/[A-Za-z0-9_./-]+|\b[A-Z]+\.md\b' README.md | sed 's/[.]$//' | grep -vx deploy/web | sort -u); do
    [ -e "$name" ] || { echo "README: names $name, which is not there" >&2; missing=1; }
done
exit $missing
