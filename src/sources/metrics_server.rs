//! Usage from the resource metrics API (metrics.k8s.io), which metrics-server and its like serve.

use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

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
    /// The window, as Go writes a duration.
    #[serde(default)]
    window: Option<String>,
    /// Per container, native sidecars included.
    #[serde(default, deserialize_with = "or_none")]
    pub containers: Vec<ContainerUsage>,
}

impl PodUsage {
    /// Length of the window in seconds, at least 1; `None` where it is not said, or cannot be read.
    #[must_use]
    pub fn window(&self) -> Option<i64> {
        seconds(self.window.as_deref()?)
    }
}

/// A list that may be null: Go writes one that was never filled so.
fn or_none<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<ContainerUsage>, D::Error> {
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}

/// Seconds of a duration as Go writes it ("1m0.5s"), rounded, at least 1.
fn seconds(text: &str) -> Option<i64> {
    let (mut total, mut rest) = (0.0, text.trim());
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, unit) = rest.split_at_checked(digits)?;
        let end = unit.find(|c: char| c.is_ascii_digit()).unwrap_or(unit.len());
        let (unit, after) = unit.split_at_checked(end)?;
        let unit = match unit {
            "h" => 3600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 1e-3,
            "us" | "µs" => 1e-6,
            "ns" => 1e-9,
            _ => return None,
        };
        total += number.parse::<f64>().ok()? * unit;
        rest = after;
    }
    #[expect(clippy::cast_possible_truncation, reason = "the cast saturates")]
    (total > 0.0).then(|| (total.round() as i64).max(1))
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

/// A list of which each item is read by itself.
#[derive(Deserialize)]
struct PodUsageList {
    #[serde(default)]
    items: Option<Vec<Box<RawValue>>>,
}

/// One reading of the metrics API.
#[derive(Clone, Debug, Default)]
pub struct Reading {
    /// Usage of each pod that could be read.
    pub pods: Vec<PodUsage>,
    /// Items that could not: without a name or a time, or of another form.
    pub unreadable: u64,
}

impl From<PodUsageList> for Reading {
    fn from(list: PodUsageList) -> Self {
        let mut reading = Self::default();
        for item in list.items.unwrap_or_default() {
            match serde_json::from_str(item.get()) {
                Ok(usage) => reading.pods.push(usage),
                Err(_) => reading.unreadable += 1,
            }
        }
        reading
    }
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

/// Versions of the API, newest first: v1 is served from Kubernetes 1.37 on.
const VERSIONS: [&str; 2] = ["v1", "v1beta1"];

/// Usage of all pods of one namespace or of all, in one request: the API knows no pages. A server that does not serve
/// the newest version is asked for the one before.
///
/// # Errors
/// When the API server cannot be asked or refuses, or nothing serves the metrics API.
pub async fn read(
    connection: &Connection,
    namespace: Option<&str>,
    label_selector: Option<&str>,
) -> Result<Reading, ClusterError> {
    let mut answer = read_version(connection, VERSIONS[0], namespace, label_selector).await;
    for version in VERSIONS.iter().skip(1) {
        if !matches!(&answer, Err(ClusterError::Status { code: 404, .. })) {
            break;
        }
        answer = read_version(connection, version, namespace, label_selector).await;
    }
    answer.map(Reading::from).map_err(explain_absence)
}

async fn read_version(
    connection: &Connection,
    version: &str,
    namespace: Option<&str>,
    label_selector: Option<&str>,
) -> Result<PodUsageList, ClusterError> {
    let path = match namespace {
        Some(namespace) => format!("/apis/metrics.k8s.io/{version}/namespaces/{namespace}/pods"),
        None => format!("/apis/metrics.k8s.io/{version}/pods"),
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
    connection.ask(asked, connection.client.request::<PodUsageList>(request)).await
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_odd_item_does_not_spoil_the_list() {
        let list = serde_json::json!({"kind": "PodMetricsList", "items": [
            {"metadata": {"namespace": "shop", "name": "web-1"}, "timestamp": "2027-01-15T08:00:00Z", "window": "15.07s",
             "containers": [{"name": "app", "usage": {"cpu": "120m", "memory": "64Mi"}}]},
            {"metadata": {"namespace": "shop", "name": "web-2"}, "timestamp": "2027-01-15T08:00:00Z", "containers": null},
            {"metadata": {"namespace": "shop", "name": "web-3"}, "timestamp": null, "containers": []},
            {"metadata": {"namespace": "shop", "name": "web-4"}, "containers": []},
            7,
        ]});
        let list: PodUsageList = serde_json::from_str(&list.to_string()).unwrap();
        let reading = Reading::from(list);
        let names: Vec<_> = reading.pods.iter().map(|pod| pod.metadata.name.as_str()).collect();
        assert_eq!((names.as_slice(), reading.unreadable), (&["web-1", "web-2"][..], 3));
        assert_eq!((reading.pods[0].window(), reading.pods[1].window()), (Some(15), None));
        let none: PodUsageList = serde_json::from_str(r#"{"items": null}"#).unwrap();
        assert_eq!(Reading::from(none).pods.len(), 0);
    }

    #[test]
    fn windows_as_go_writes_them() {
        for (text, expected) in [
            ("30s", Some(30)),
            ("1m0.5s", Some(61)),
            ("5m0s", Some(300)),
            ("200ms", Some(1)),
            ("1h", Some(3600)),
            ("0s", None),
            ("", None),
            ("15", None),
            ("s", None),
            ("-5s", None),
            ("1x", None),
        ] {
            assert_eq!(seconds(text), expected, "{text}");
        }
    }
}
