//! What `plumb scan` prints: per workload and container, requests against usage.

use std::collections::{BTreeMap, HashMap};

use kube::ResourceExt;
use serde::Serialize;

use super::Table;
use crate::cluster::owners::Owners;
use crate::cluster::pods::{self, LeanContainer, LeanPod};
use crate::sources::metrics_server::{ContainerUsage, PodUsage};
use crate::units::{Bytes, Cores};

/// One container of one workload, over all its pods.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Row {
    /// Namespace of the workload.
    pub namespace: String,
    /// Kind of the workload, such as Deployment.
    pub kind: String,
    /// Name of the workload.
    pub workload: String,
    /// Name of the container.
    pub container: String,
    /// How many pods run it.
    pub pods: usize,
    /// How many of them have usage figures; a pod has none in its first minute.
    pub measured_pods: usize,
    /// CPU.
    pub cpu: Amounts,
    /// Memory.
    pub memory: Amounts,
}

/// Request and usage of one resource, per pod: in cores for CPU, in bytes for memory.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Amounts {
    /// Mean request of the pods that state one; `None` where none does.
    pub request: Option<f64>,
    /// Mean usage of the pods that have figures; `None` where none has.
    pub usage: Option<f64>,
    /// Largest usage of a pod.
    pub max_usage: Option<f64>,
    /// Usage / request of the pods that have both.
    pub ratio: Option<f64>,
    /// Request minus usage, over all pods that have both; below zero where more is used than reserved.
    pub unused: f64,
}

impl Row {
    /// Cores that the pods together reserve and do not use.
    #[must_use]
    pub fn unused_cpu(&self) -> f64 {
        self.cpu.unused
    }

    /// Bytes that the pods together reserve and do not use.
    #[must_use]
    pub fn unused_memory(&self) -> f64 {
        self.memory.unused
    }
}

/// Sums that make [`Amounts`].
#[derive(Default)]
struct Sums {
    request: (f64, usize),
    usage: (f64, usize),
    max_usage: Option<f64>,
    /// Request and usage of the pods that have both.
    both: (f64, f64),
}

impl Sums {
    fn add(&mut self, request: Option<f64>, usage: Option<f64>) {
        if let Some(request) = request {
            self.request = (self.request.0 + request, self.request.1 + 1);
        }
        if let Some(usage) = usage {
            self.usage = (self.usage.0 + usage, self.usage.1 + 1);
            self.max_usage = Some(self.max_usage.map_or(usage, |max| max.max(usage)));
        }
        if let (Some(request), Some(usage)) = (request, usage) {
            self.both = (self.both.0 + request, self.both.1 + usage);
        }
    }

    fn amounts(&self) -> Amounts {
        let mean = |(sum, count): (f64, usize)| (count > 0).then(|| sum / count as f64);
        Amounts {
            request: mean(self.request),
            usage: mean(self.usage),
            max_usage: self.max_usage,
            ratio: (self.both.0 > 0.0).then(|| self.both.1 / self.both.0),
            unused: self.both.0 - self.both.1,
        }
    }
}

#[derive(Default)]
struct Group {
    pods: usize,
    measured: usize,
    cpu: Sums,
    memory: Sums,
}

/// One row per workload and container, sorted by namespace, workload and container.
#[must_use]
pub fn rows(pods: &[LeanPod], owners: &Owners, usage: &[PodUsage]) -> Vec<Row> {
    let usage: HashMap<(&str, &str), &[ContainerUsage]> = usage
        .iter()
        .map(|pod| ((pod.metadata.namespace.as_str(), pod.metadata.name.as_str()), pod.containers.as_slice()))
        .collect();
    let mut groups: BTreeMap<(String, String, String, String), Group> = BTreeMap::new();
    for pod in pods {
        let namespace = pod.namespace().unwrap_or_default();
        let workload = owners.workload(pod);
        let used = usage.get(&(namespace.as_str(), pod.name_any().as_str())).copied().unwrap_or_default();
        for container in pod.lasting_containers() {
            let key =
                (namespace.clone(), workload.name.clone(), workload.kind.clone(), container.name.clone());
            groups.entry(key).or_default().add(container, used.iter().find(|u| u.name == container.name));
        }
    }
    groups
        .into_iter()
        .map(|((namespace, workload, kind, container), group)| Row {
            namespace,
            kind,
            workload,
            container,
            pods: group.pods,
            measured_pods: group.measured,
            cpu: group.cpu.amounts(),
            memory: group.memory.amounts(),
        })
        .collect()
}

impl Group {
    fn add(&mut self, container: &LeanContainer, usage: Option<&ContainerUsage>) {
        let requests = &container.resources.requests;
        self.pods += 1;
        self.measured += usize::from(usage.is_some());
        self.cpu.add(pods::cpu(requests).map(|c| c.0), usage.and_then(ContainerUsage::cpu).map(|c| c.0));
        self.memory.add(
            pods::memory(requests).map(Bytes::as_f64),
            usage.and_then(ContainerUsage::memory).map(Bytes::as_f64),
        );
    }
}

/// The rows as a table for a person. What is not known is a dash.
#[must_use]
pub fn table(rows: &[Row]) -> String {
    if rows.is_empty() {
        return "No pods found.\n".to_owned();
    }
    let mut table = Table::new(&[
        "NAMESPACE",
        "WORKLOAD",
        "CONTAINER",
        ">PODS",
        ">CPU",
        ">USED",
        ">%",
        ">MEMORY",
        ">USED",
        ">%",
    ]);
    for row in rows {
        let cores = |value: Option<f64>| dash(value.map(|v| Cores(v).to_string()));
        let bytes = |value: Option<f64>| dash(value.map(|v| Bytes::from_f64(v).to_string()));
        let ratio = |value: Option<f64>| dash(value.map(|v| format!("{:.0}", v * 100.0)));
        table.row([
            row.namespace.clone(),
            format!("{}/{}", short_kind(&row.kind), row.workload),
            row.container.clone(),
            row.pods.to_string(),
            cores(row.cpu.request),
            cores(row.cpu.usage),
            ratio(row.cpu.ratio),
            bytes(row.memory.request),
            bytes(row.memory.usage),
            ratio(row.memory.ratio),
        ]);
    }
    table.render()
}

fn dash(text: Option<String>) -> String {
    text.unwrap_or_else(|| "-".to_owned())
}

/// kubectl's short names where it has them.
fn short_kind(kind: &str) -> String {
    match kind {
        "Deployment" => "deploy".to_owned(),
        "StatefulSet" => "sts".to_owned(),
        "DaemonSet" => "ds".to_owned(),
        "ReplicaSet" => "rs".to_owned(),
        "CronJob" => "cj".to_owned(),
        other => other.to_lowercase(),
    }
}

#[cfg(test)]
mod tests;
