#!/usr/bin/env bash
# Looks for what building and testing needs. What Debian packages is installed where we are root; else it is named.
set -euo pipefail

missing=()
need() { # command, Debian package
  command -v "$1" >/dev/null || missing+=("$2")
}
need cc build-essential
need make make
need git git
need ip iproute2
need awk gawk
need curl curl
[ -e /etc/ssl/certs/ca-certificates.crt ] || missing+=(ca-certificates)
[ -e /usr/lib/x86_64-linux-gnu/libseccomp.so.2 ] || [ -e /usr/lib/aarch64-linux-gnu/libseccomp.so.2 ] || missing+=(libseccomp2)

if [ ${#missing[@]} -gt 0 ]; then
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "installing ${missing[*]}"
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "${missing[@]}" >/dev/null
  else
    echo "missing: ${missing[*]} (Debian's names); install them, or run this as root" >&2
    exit 1
  fi
fi

command -v cargo >/dev/null || { echo "missing: Rust (https://rustup.rs)" >&2; exit 1; }
command -v go >/dev/null || { echo "missing: Go 1.26 or later (https://go.dev/dl)" >&2; exit 1; }
cargo fmt --version >/dev/null 2>&1 || rustup component add rustfmt
cargo clippy --version >/dev/null 2>&1 || rustup component add clippy
