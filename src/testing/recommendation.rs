//! Recommendations.

use serde_json::{Value, json};

use super::builder::{Builder, api_version, kind, list};

/// A Recommendation for the Deployment of that name, in mode Recommend by the policy `all`, without a status.
#[must_use]
pub fn recommendation(workload: &str) -> Builder<kind::Recommendation> {
    Builder::<kind::Recommendation>::stored("Recommendation", &format!("deployment-{workload}"))
        .for_workload("Deployment", workload)
        .by_policy("all")
        .mode("Recommend")
}

/// A container of a Recommendation's status, without a target.
#[must_use]
pub fn recommended(name: &str) -> Builder<kind::Recommended> {
    Builder::<kind::Recommended>::part(json!({"name": name, "target": {}}))
}

/// Requests, and a limit of memory, as Kubernetes writes them.
#[must_use]
pub fn resources(cpu: &str, memory: &str, memory_limit: &str) -> Value {
    json!({"requests": {"cpu": cpu, "memory": memory}, "limits": {"memory": memory_limit}})
}

impl Builder<kind::Recommendation> {
    /// Sets the workload, of one of Kubernetes' kinds; the name of the Recommendation stays.
    #[must_use]
    pub fn for_workload(self, kind: &str, name: &str) -> Self {
        self.for_custom_workload(api_version(kind), kind, name)
    }

    /// Sets the workload, of any API; the name of the Recommendation stays.
    #[must_use]
    pub fn for_custom_workload(self, api_version: &str, kind: &str, name: &str) -> Self {
        let reference = json!({"apiVersion": api_version, "kind": kind, "name": name});
        self.with("/spec/workloadRef", reference)
    }

    /// Sets the VerticalScalingPolicy that it follows.
    #[must_use]
    pub fn by_policy(self, name: &str) -> Self {
        self.with("/spec/policyRef", json!({"kind": "VerticalScalingPolicy", "name": name}))
    }

    /// Sets mode Auto.
    #[must_use]
    pub fn auto(self) -> Self {
        self.mode("Auto")
    }

    /// Sets the mode.
    #[must_use]
    pub fn mode(self, mode: &str) -> Self {
        self.with("/spec/mode", mode)
    }

    /// Sets the containers of the status.
    #[must_use]
    pub fn containers(self, containers: impl IntoIterator<Item = Builder<kind::Recommended>>) -> Self {
        self.with("/status/containers", list(containers))
    }

    /// Sets the one condition of the status, which is true.
    #[must_use]
    pub fn condition(self, kind: &str, reason: &str, message: &str) -> Self {
        let condition = json!({"type": kind, "status": "True", "reason": reason, "message": message,
                               "lastTransitionTime": "2026-11-23T00:00:00Z"});
        self.with("/status/conditions", json!([condition]))
    }
}

impl Builder<kind::Recommended> {
    /// Sets the target: both requests, and the limit of memory.
    #[must_use]
    pub fn target(self, cpu: &str, memory: &str, memory_limit: &str) -> Self {
        self.with("/target", resources(cpu, memory, memory_limit))
    }

    /// Sets the sizes that the container runs with.
    #[must_use]
    pub fn current(self, resources: impl Into<Value>) -> Self {
        self.with("/current", resources)
    }

    /// Sets the requests below which the container is too small.
    #[must_use]
    pub fn lower(self, cpu: &str, memory: &str) -> Self {
        self.with("/lower", json!({"cpu": cpu, "memory": memory}))
    }

    /// Sets the requests above which the container is too large.
    #[must_use]
    pub fn upper(self, cpu: &str, memory: &str) -> Self {
        self.with("/upper", json!({"cpu": cpu, "memory": memory}))
    }

    /// Sets a startup boost and its duration.
    #[must_use]
    pub fn startup_boost(self, cpu: &str, duration: &str) -> Self {
        self.with("/startupBoost", json!({"cpu": cpu, "duration": duration}))
    }
}
