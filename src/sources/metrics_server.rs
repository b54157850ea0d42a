//! Usage from the resource metrics API (metrics.k8s.io), which metrics-server and its like serve.

use serde::Deserialize;

use crate::cluster::error::Request;
use crate::cluster::{ClusterError, Connection};
use crate::units::{Bytes, Cores, Quantity};

/// Usage of one pod's containers, over a window that ends at a time.
#[derive(Clone, Debug, Deserialize)]
pub struct PodUsage {
    /// Name and namespace of the pod.
    pub metadata: PodName,
    /// End of the window, RFC 3339.
    pub timestamp: chrono::DateTime<chrono::Utc>,
    /// Per container, native sidecars included.
    #[serde(default)]
    pub containers: Vec<ContainerUsage>,
}

/// Name and namespace of a pod.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize)]
pub struct PodName {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
}

/// Usage of one container.
#[derive(Clone, Debug, Deserialize)]
pub struct ContainerUsage {
    /// Name of the container.
    pub name: String,
    usage: RawUsage,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct RawUsage {
    cpu: Option<String>,
    memory: Option<String>,
}

#[derive(Deserialize)]
struct PodUsageList {
    items: Vec<PodUsage>,
}

impl ContainerUsage {
    /// CPU, averaged over the window; `None` where it is absent or no sensible quantity.
    #[must_use]
    pub fn cpu(&self) -> Option<Cores> {
        quantity(self.usage.cpu.as_deref()).map(Quantity::as_cores)
    }

    /// Working set; `None` where it is absent or no sensible quantity.
    #[must_use]
    pub fn memory(&self) -> Option<Bytes> {
        quantity(self.usage.memory.as_deref()).and_then(Quantity::as_bytes)
    }
}

fn quantity(text: Option<&str>) -> Option<Quantity> {
    text?.parse().ok().filter(|q: &Quantity| !q.is_negative())
}

/// Usage of all pods of one namespace or of all, in one request: the API knows no pages.
///
/// # Errors
/// When the API server cannot be asked or refuses, or nothing serves the metrics API.
pub async fn read(
    connection: &Connection,
    namespace: Option<&str>,
    label_selector: Option<&str>,
) -> Result<Vec<PodUsage>, ClusterError> {
    let path = match namespace {
        Some(namespace) => format!("/apis/metrics.k8s.io/v1beta1/namespaces/{namespace}/pods"),
        None => "/apis/metrics.k8s.io/v1beta1/pods".to_owned(),
    };
    let asked =
        Request { verb: "list", resource: "pods.metrics.k8s.io", namespace: namespace.map(str::to_owned) };
    let mut params = kube::api::ListParams::default();
    if let Some(selector) = label_selector {
        params = params.labels(selector);
    }
    let request = kube::core::Request::new(path)
        .list(&params)
        .map_err(|error| ClusterError::Other { request: asked.clone(), detail: error.to_string() })?;
    let answer = connection.ask(asked, connection.client.request::<PodUsageList>(request)).await;
    answer.map(|list| list.items).map_err(explain_absence)
}

/// The server answers 404 where nobody registered the API, and 503 where nobody stands behind it.
fn explain_absence(error: ClusterError) -> ClusterError {
    let hint = match &error {
        ClusterError::Status { code: 404, .. } => "install metrics-server",
        ClusterError::Status { code: 503, .. } => {
            "it is registered, but nothing answers for it: check that metrics-server runs \
             (`kubectl get apiservice v1beta1.metrics.k8s.io` says why)"
        }
        _ => return error,
    };
    ClusterError::NotServed { what: "the metrics API (metrics.k8s.io)", hint }
}
