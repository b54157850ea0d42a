# The commands of this project. `make test` is what CI runs.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

KUBERNETES ?= 1.36.3
export KUBERNETES
TOOLS := $(CURDIR)/target/tools
# The feature holds the builders that all tests share; one for all, so that the library is compiled once.
CLUSTER_TESTS := cargo test --locked --features testing --test cluster
CARGO_DENY_VERSION := 0.20.2
CARGO_CYCLONEDX_VERSION := 0.5.9
TARGET ?= $(shell rustc -vV | sed -n "s/^host: //p")

.PHONY: help
help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: quick
quick: deps check unit ## format, lints, unit tests: while you work

.PHONY: test
test: deps check docs unit seeds licences cluster-test readme ## everything that CI runs: also docs, licences, cluster tests, the README

# Each part by itself; SOAK_SECONDS for each target of the fuzzer, SOAK_CONTAINERS for the scale tests.
SOAK_SECONDS ?= 600
SOAK_CONTAINERS ?= 10000
SOAK_SEEDS ?= 2000
.PHONY: soak
soak: cluster-parts ## run the long tests, for hours: fuzzing (needs a nightly Rust), properties, long forms of the cluster tests, scale
	FUZZ_SECONDS=$(SOAK_SECONDS) fuzz/run.sh
	PROPTEST_CASES=10000 cargo test --locked --features testing --release
	$(SIMULATE) all 0 $(SOAK_SEEDS)
	PLUMB_SOAK=1 PLUMB_TEST_LIMIT=3600 $(CLUSTER_TESTS)
	$(MAKE) scale SCALE=$(SOAK_CONTAINERS)
	$(MAKE) scale-updates

.PHONY: deps
deps: ## install what is missing (as root, by apt), or name it
	@tests/deps.sh

.PHONY: check
check: deps ## format and lints
	cargo fmt --check
	cargo clippy --locked --all-targets --test cluster --features testing -- -D warnings
	cargo clippy --locked -- -D warnings

.PHONY: docs
docs: deps ## the documentation builds without a warning
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps --document-private-items

.PHONY: unit
unit: deps ## unit, property and documentation tests, and those of the command line
	cargo test --locked --features testing

.PHONY: readme
readme: deps ## run README.md's commands in a clean checkout
	tests/readme.sh

.PHONY: cluster-parts
cluster-parts: deps ## build what the test cluster is made of, once, into target/cluster
	tests/cluster/parts/build.sh

.PHONY: cluster-test
cluster-test: cluster-parts ## the tests against a real Kubernetes on this machine (KUBERNETES=1.37.2 for that version)
	$(CLUSTER_TESTS)

.PHONY: cluster
cluster: cluster-parts ## leave a whole cluster running; the last line says how to reach it
	@$(CLUSTER_TESTS) --quiet -- up

.PHONY: cluster-down
cluster-down: ## stop it
	@$(CLUSTER_TESTS) --quiet -- down

# SEEDS of each theme, from FIRST on. make seeds plays the OLD_SEEDS first ones, in which only invariants of KNOWN break, and for
# SEED_SECONDS new ones, in which others may break in RARE percent of the seeds of a theme: docs/simulator.md.
FIRST ?= 0
SEEDS ?= 60
OLD_SEEDS ?= 60
SEED_SECONDS ?= 90
KNOWN ?= lowered-while-young,useless-eviction,endless,eviction-without-admission,restarts-itself,heal-budget
RARE ?= 3
SIMULATE := cargo run --locked --release -p plumb-core --example simulate --
.PHONY: simulate
simulate: deps ## play random clusters with faults, and print which invariants broke
	$(SIMULATE) all $(FIRST) $(SEEDS)

.PHONY: seeds
seeds: deps ## play random clusters for two minutes, most of them never seen before; fails where an invariant breaks
	$(SIMULATE) all 0 $(OLD_SEEDS) --allow $(KNOWN)
	$(SIMULATE) all $$(date +%s) --seconds $(SEED_SECONDS) --allow $(KNOWN) --rare $(RARE)

.PHONY: bench
bench: deps ## our own benchmarks
	cargo bench --locked

.PHONY: bench-peers
bench-peers: deps ## ours beside VPA's own Go code, on the same samples, in one run
	benches/peers/compare.sh

# An optimised build, under the tests' own cluster. SCALE containers, SCALE_PER_POD of them in a pod.
SCALE ?= 10000
SCALE_PER_POD ?= 1
.PHONY: scale
scale: cluster-parts ## memory and CPU of one process for SCALE=10000 containers, on fake nodes
	cargo build --locked --release
	PLUMB_BIN=$(CURDIR)/target/release/plumb PLUMB_SCALE=$(SCALE) PLUMB_SCALE_PER_POD=$(SCALE_PER_POD) \
	    PLUMB_TEST_LIMIT=7200 $(CLUSTER_TESTS) -- a_large_fleet

.PHONY: scale-updates
scale-updates: cluster-parts ## how long the updater takes for 1,000 policies with two pods each, on fake nodes
	cargo build --locked --release
	PLUMB_BIN=$(CURDIR)/target/release/plumb PLUMB_SCALE_POLICIES=1000 PLUMB_TEST_LIMIT=7200 \
	    $(CLUSTER_TESTS) -- --nocapture many_resizes_take

.PHONY: bench-scan
bench-scan: cluster-parts ## time, queries and Prometheus's memory of a scan of 14 days of 1,000 pods
	cargo build --locked --release
	PLUMB_BIN=$(CURDIR)/target/release/plumb PLUMB_SCAN_PODS=1000 PLUMB_SCAN_DAYS=14 PLUMB_TEST_LIMIT=7200 \
	    $(CLUSTER_TESTS) -- a_scan_of_days

# Each answers on core 1 alone; who asks, and the API server, run where there is room.
VPA_ADMISSION := $(CURDIR)/target/cluster/bin/shared/vpa-admission-controller
.PHONY: bench-webhook
bench-webhook: cluster-parts ## our webhook beside VPA's admission controller, among 10,000 workloads: first answer, memory, reviews/s, latency
	cd benches/peers/admission && CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags "-s -w" -o $(VPA_ADMISSION) \
	    k8s.io/autoscaler/vertical-pod-autoscaler/pkg/admission-controller
	$(CLUSTER_TESTS) --release --no-run
	PLUMB_VPA_ADMISSION=$(VPA_ADMISSION) PLUMB_BENCH_CORE=1 PLUMB_TEST_LIMIT=3600 \
	    $(CLUSTER_TESTS) --release -- --nocapture the_webhook_answers_fast

.PHONY: fuzz
fuzz: deps ## what reads reviews, snapshots and traces, fuzzed for FUZZ_SECONDS=10 each (needs a nightly Rust)
	fuzz/run.sh

.PHONY: golden
golden: deps ## write tests/golden/vpa.jsonl anew, with VPA's own Go code
	cd benches/peers && go run . golden > $(CURDIR)/tests/golden/vpa.jsonl

.PHONY: crds
crds: ## write crds/ anew from src/api
	cargo run --locked --quiet -- crds --out crds

HELM := $(CURDIR)/target/cluster/bin/shared/helm
.PHONY: manifests
manifests: deps ## write deploy/plumb.yaml anew from the chart, deploy/helm/plumb
	tests/cluster/parts/build.sh helm
	deploy/manifests.sh $(HELM) > deploy/plumb.yaml.new
	mv deploy/plumb.yaml.new deploy/plumb.yaml

VERSION := $(shell sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml)
IMAGE ?= localhost/plumb:$(VERSION)
.PHONY: image
image: deps ## the container image as target/image/plumb.tar, without docker (IMAGE=registry/plumb:tag names it)
	cargo build --locked --release
	deploy/image.sh --user 65532 --certificates target/release/plumb $(IMAGE) target/image/plumb.tar

# A list of all that is in the program, in CycloneDX's format. cargo-cyclonedx writes beside each Cargo.toml only.
.PHONY: sbom
sbom: $(TOOLS)/bin/cargo-cyclonedx-$(CARGO_CYCLONEDX_VERSION) ## the bill of materials, target/sbom/plumb.cdx.json
	mkdir -p target/sbom
	$< cyclonedx --quiet --format json --spec-version 1.5 --target $(TARGET) --override-filename plumb.cdx
	mv plumb.cdx.json target/sbom/
	rm src/core/plumb.cdx.json

.PHONY: worked-example
worked-example: cluster-parts ## write docs/worked-example.md anew, from a real cluster
	PLUMB_WRITE_EXAMPLE=docs/worked-example.md $(CLUSTER_TESTS) -- installed_by_the_chart

.PHONY: reference
reference: ## write docs/policy.md and docs/metrics.md anew from the program
	cargo run --locked --quiet -- reference docs

# cargo-deny is built once, into target/.
$(TOOLS)/bin/cargo-deny-$(CARGO_DENY_VERSION): | deps
	cargo install --quiet --locked --root $(TOOLS) cargo-deny@$(CARGO_DENY_VERSION)
	mv $(TOOLS)/bin/cargo-deny $@

$(TOOLS)/bin/cargo-cyclonedx-$(CARGO_CYCLONEDX_VERSION): | deps
	cargo install --quiet --locked --root $(TOOLS) cargo-cyclonedx@$(CARGO_CYCLONEDX_VERSION)
	mv $(TOOLS)/bin/cargo-cyclonedx $@

.PHONY: licences
licences: $(TOOLS)/bin/cargo-deny-$(CARGO_DENY_VERSION) ## licences, sources and bans of all dependencies
	$< --log-level error check bans licenses sources

.PHONY: advisories
advisories: $(TOOLS)/bin/cargo-deny-$(CARGO_DENY_VERSION) ## known weaknesses of dependencies (needs the RustSec database)
	$< check advisories
