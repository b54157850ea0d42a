//! metrics-server: metrics.k8s.io, answered from the kubelet's figures.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use k8s_openapi::kube_aggregator::pkg::apis::apiregistration::v1::APIService;
use kube::Api;
use serde_json::json;

use super::control_plane::ControlPlane;
use super::process::free_port;
use super::{paths, wait_for};

const START: Duration = Duration::from_secs(60);

/// Starts it beside the cluster, not in it: an ExternalName service leads the API server to this machine.
///
/// Returns when the API is served; a pod's first figures come after two readings, 10 s apart.
pub async fn start(plane: &ControlPlane) -> Result<()> {
    tokio::task::block_in_place(|| paths::build(&["metrics-server"]))?;
    let (name, port) = (format!("{}-metrics-server", plane.name), free_port()?);
    let mut server = Command::new(paths::shared_program("metrics-server"));
    let kubeconfig = plane.kubeconfig("metrics-server");
    for flag in ["--kubeconfig", "--authentication-kubeconfig", "--authorization-kubeconfig"] {
        server.arg(flag).arg(&kubeconfig);
    }
    server.arg("--cert-dir").arg(plane.run.subdirectory(&name)?);
    server.args(["--secure-port", &port.to_string(), "--bind-address", "127.0.0.1"]);
    server.args(["--kubelet-insecure-tls", "--kubelet-use-node-status-port"]);
    server.args(["--kubelet-preferred-address-types", "Hostname"]);
    // The resolution must exceed the timeout, and may not be shorter than this.
    server.args(["--metric-resolution", "10s", "--kubelet-request-timeout", "5s"]);
    plane.apply(&rights_and_service(port)).await?;
    plane.run.spawn(&name, &mut server)?;
    wait_served(plane, || plane.run.check_running(&name)).await.with_context(|| plane.run.log_tail(&name))
}

/// Makes what listens at a port of this machine the metrics API of a cluster.
pub async fn register(plane: &ControlPlane, port: u16) -> Result<()> {
    plane.apply(&rights_and_service(port)).await?;
    wait_served(plane, || Ok(())).await
}

async fn wait_served(plane: &ControlPlane, check: impl Fn() -> Result<()>) -> Result<()> {
    let services: Api<APIService> = Api::all(plane.client());
    wait_for("metrics.k8s.io to be served", START, || async {
        check()?;
        let status = services.get_status("v1beta1.metrics.k8s.io").await?.status.context("no status yet")?;
        let available = status.conditions.iter().flatten().find(|c| c.type_ == "Available");
        let available = available.context("no condition yet")?;
        ensure!(available.status == "True", "{}", available.message.as_deref().unwrap_or_default());
        Ok(())
    })
    .await
}

fn rights_and_service(port: u16) -> serde_json::Value {
    let subject =
        json!([{"kind": "User", "name": "metrics-server", "apiGroup": "rbac.authorization.k8s.io"}]);
    let role =
        |kind: &str, name: &str| json!({"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": name});
    let rbac = "rbac.authorization.k8s.io/v1";
    json!({"apiVersion": "v1", "kind": "List", "items": [
        {"apiVersion": rbac, "kind": "ClusterRole", "metadata": {"name": "metrics-server"}, "rules": [
            {"apiGroups": [""], "resources": ["nodes/metrics"], "verbs": ["get"]},
            {"apiGroups": [""], "resources": ["pods", "nodes"], "verbs": ["get", "list", "watch"]},
        ]},
        {"apiVersion": rbac, "kind": "ClusterRoleBinding", "metadata": {"name": "metrics-server"},
         "roleRef": role("ClusterRole", "metrics-server"), "subjects": subject},
        {"apiVersion": rbac, "kind": "ClusterRoleBinding", "metadata": {"name": "metrics-server-delegates"},
         "roleRef": role("ClusterRole", "system:auth-delegator"), "subjects": subject},
        {"apiVersion": rbac, "kind": "RoleBinding",
         "metadata": {"name": "metrics-server", "namespace": "kube-system"},
         "roleRef": role("Role", "extension-apiserver-authentication-reader"), "subjects": subject},
        {"apiVersion": "v1", "kind": "Service",
         "metadata": {"name": "metrics-server", "namespace": "kube-system"},
         "spec": {"type": "ExternalName", "externalName": "localhost"}},
        {"apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService",
         "metadata": {"name": "v1beta1.metrics.k8s.io"},
         "spec": {"group": "metrics.k8s.io", "version": "v1beta1", "groupPriorityMinimum": 100,
                  "versionPriority": 100, "insecureSkipTLSVerify": true,
                  "service": {"name": "metrics-server", "namespace": "kube-system", "port": port}}},
    ]})
}
