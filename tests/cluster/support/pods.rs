//! Pods of the test workload, and reading what became of them.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use kube::{Api, ResourceExt};
use plumb::testing;
use serde_json::{Value, json};

use super::{node, wait_for};

/// How long a pod may take to run. The node is slow when all tests start at once.
const START: Duration = Duration::from_secs(90);

/// A pod with one container, `load`, that uses what it is told to.
#[derive(Clone, Debug)]
pub struct Load {
    name: String,
    arguments: Vec<String>,
    requests: Value,
    limits: Value,
}

impl Load {
    /// A pod that uses next to nothing, and asks for next to nothing.
    pub fn named(name: &str) -> Self {
        let requests = json!({"cpu": "20m", "memory": "32Mi"});
        let arguments = vec!["--http=:8080".to_owned()];
        Self { name: name.to_owned(), arguments, requests, limits: json!({}) }
    }

    /// What it uses: `uses("cpu", "200m")`, `uses("memory", "100Mi")`, `uses("grow", "8Mi/s")`,
    /// `uses("startup-cpu", "1:20s")`, `uses("bursts", "1:10s:60s")`.
    pub fn uses(mut self, what: &str, amount: &str) -> Self {
        self.arguments.push(format!("--{what}={amount}"));
        self
    }

    /// What it asks for.
    pub fn requests(mut self, cpu: &str, memory: &str) -> Self {
        self.requests = json!({"cpu": cpu, "memory": memory});
        self
    }

    /// What it may not pass.
    pub fn limits(mut self, cpu: &str, memory: &str) -> Self {
        self.limits = json!({"cpu": cpu, "memory": memory});
        self
    }

    /// What its memory may not pass; its CPU is not limited.
    pub fn memory_limit(mut self, memory: &str) -> Self {
        self.limits = json!({"memory": memory});
        self
    }

    /// The pod's metadata and spec, as JSON; also what a Deployment has as template.
    pub fn template(&self) -> Value {
        json!({
            "metadata": {"labels": {"app": self.name}},
            "spec": {
                // No service account is needed, so the pod need not wait for one to be made.
                "automountServiceAccountToken": false,
                "enableServiceLinks": false,
                // There is no DNS in the cluster.
                "dnsPolicy": "Default",
                "terminationGracePeriodSeconds": 1,
                "containers": [{
                    "name": "load",
                    "image": node::IMAGE,
                    "imagePullPolicy": "Never",
                    "args": self.arguments,
                    "resources": {"requests": self.requests, "limits": self.limits},
                    // A machine that is busy with other things answers late, which is not what is tested.
                    "readinessProbe": {"httpGet": {"path": "/readyz", "port": 8080},
                                       "periodSeconds": 1, "timeoutSeconds": 5},
                }],
            },
        })
    }

    /// The pod itself, as JSON.
    pub fn json(&self) -> Value {
        let mut pod = self.template();
        pod["apiVersion"] = json!("v1");
        pod["kind"] = json!("Pod");
        pod["metadata"]["name"] = json!(self.name);
        pod
    }

    /// A Deployment of such pods, as JSON.
    pub fn deployment(&self, replicas: u32) -> Value {
        testing::deployment(&self.name).replicas(replicas).template(self.template()).json()
    }
}

/// Waits until a pod is ready, and returns it.
pub async fn wait_ready(pods: &Api<Pod>, name: &str) -> Result<Pod> {
    wait_for(&format!("pod {name} to be ready"), START, || async {
        let pod = pods.get(name).await?;
        ensure!(is_ready(&pod), "{}", describe(&pod));
        Ok(pod)
    })
    .await
}

/// True where the pod's condition Ready holds.
pub fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
    conditions.into_iter().flatten().any(|c| c.type_ == "Ready" && c.status == "True")
}

/// The status of a pod's first container.
pub fn container(pod: &Pod) -> Result<&ContainerStatus> {
    let statuses = pod.status.as_ref().and_then(|status| status.container_statuses.as_deref());
    match statuses {
        Some([first, ..]) => Ok(first),
        _ => bail!("{} has no container status yet", describe(pod)),
    }
}

/// The id of a pod's first container, as its control group is named.
pub fn container_id(pod: &Pod) -> Result<String> {
    let id = container(pod)?.container_id.as_deref().context("the container has no id yet")?;
    Ok(id.rsplit('/').next().unwrap_or(id).to_owned())
}

/// Why the pod's first container ended the last time, such as `OOMKilled`.
pub fn last_end(pod: &Pod) -> Option<String> {
    let status = container(pod).ok()?;
    let now = status.state.as_ref().and_then(|state| state.terminated.as_ref());
    let before = status.last_state.as_ref().and_then(|state| state.terminated.as_ref());
    now.or(before)?.reason.clone()
}

/// Why the pod's first container waits, such as `CrashLoopBackOff`.
pub fn waiting(pod: &Pod) -> Option<String> {
    container(pod).ok()?.state.as_ref()?.waiting.as_ref()?.reason.clone()
}

/// A pod's state in one line, for failures.
pub fn describe(pod: &Pod) -> String {
    let status = pod.status.clone().unwrap_or_default();
    let phase = status.phase.unwrap_or_else(|| "without a phase".to_owned());
    let conditions = status.conditions.iter().flatten().filter(|c| c.status != "True");
    let conditions: Vec<_> =
        conditions.map(|c| format!("{}: {}", c.type_, c.message.as_deref().unwrap_or("false"))).collect();
    let states = status.container_statuses.iter().flatten();
    let states: Vec<_> = states
        .map(|c| {
            let state = serde_json::to_string(&c.state).unwrap_or_default();
            format!("{} restarted {} times, now {state}", c.name, c.restart_count)
        })
        .collect();
    format!("pod {} is {phase} ({}; {})", pod.name_any(), conditions.join(", "), states.join(", "))
}
