# The real cluster: its parts, its tests, and one that stays.

.PHONY: cluster-parts
cluster-parts: ## build the programs that the cluster tests run on, where they are not there yet
	tests/cluster/parts/build.sh

.PHONY: cluster-test
cluster-test: cluster-parts ## the cluster tests (KUBERNETES=1.37.2 for another version)
	cargo test --locked --test cluster

# The last line that it prints can be evaluated: eval "$(make cluster | tail -1)"
.PHONY: cluster
cluster: ## leave a cluster running, with a node and metrics (PROMETHEUS=1: and Prometheus)
	@cargo test --locked --quiet --test cluster -- up $(if $(PROMETHEUS),--prometheus)

.PHONY: cluster-down
cluster-down: ## stop the cluster that `make cluster` has left running
	@cargo test --locked --quiet --test cluster -- down
