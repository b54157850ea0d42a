//! VerticalScalingPolicies and ClusterVerticalScalingPolicies.

use serde_json::{Value, json};

use super::builder::{Builder, api_version, kind};

/// A VerticalScalingPolicy with an empty spec: it recommends for all workloads of its namespace.
#[must_use]
pub fn policy(name: &str) -> Builder<kind::Policy> {
    Builder::<kind::Policy>::stored("VerticalScalingPolicy", name).spec(json!({}))
}

/// A ClusterVerticalScalingPolicy with an empty spec: it recommends for all workloads of the cluster.
#[must_use]
pub fn cluster_policy(name: &str) -> Builder<kind::Policy> {
    Builder::<kind::Policy>::stored("ClusterVerticalScalingPolicy", name).spec(json!({}))
}

impl Builder<kind::Policy> {
    /// Sets mode Auto.
    #[must_use]
    pub fn auto(self) -> Self {
        self.with("/spec/mode", "Auto")
    }

    /// Targets one Deployment.
    #[must_use]
    pub fn for_deployment(self, name: &str) -> Self {
        self.for_workload("Deployment", name)
    }

    /// Targets one workload of one of Kubernetes' kinds.
    #[must_use]
    pub fn for_workload(self, kind: &str, name: &str) -> Self {
        let reference = json!({"apiVersion": api_version(kind), "kind": kind, "name": name});
        self.with("/spec/target/workloadRef", reference)
    }

    /// Sets how running pods are changed.
    #[must_use]
    pub fn actuation(self, actuation: impl Into<Value>) -> Self {
        self.with("/spec/actuation", actuation)
    }

    /// Sets the rules of all containers.
    #[must_use]
    pub fn all_containers(self, rules: impl Into<Value>) -> Self {
        let rules = Builder::<kind::Container>::part(rules.into()).with("/name", "*");
        self.containers(json!([rules.json()]))
    }

    /// Sets the rules of each container.
    #[must_use]
    pub fn containers(self, rules: impl Into<Value>) -> Self {
        self.with("/spec/containers", rules)
    }

    /// Replaces the whole spec.
    #[must_use]
    pub fn spec(self, spec: impl Into<Value>) -> Self {
        self.with("/spec", spec)
    }
}
