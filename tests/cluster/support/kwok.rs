//! Nodes and pods that only exist in the API server: a cluster of thousands on one machine.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::Node;
use kube::Api;
use kube::api::{ListParams, PostParams};
use serde_json::{Value, json};

use super::control_plane::ControlPlane;
use super::process::free_port;
use super::{paths, wait_for};

/// The label and taint of a fake node. A pod that shall run on one selects and tolerates it.
pub const KEY: &str = "plumb.test/fake";

/// Starts kwok on a control plane. It leaves real nodes alone.
pub async fn start(plane: &ControlPlane) -> Result<()> {
    tokio::task::block_in_place(|| paths::build(&["kwok"]))?;
    let name = format!("{}-kwok", plane.name);
    let stages = plane.run.subdirectory(&name)?.join("stages.yaml");
    std::fs::write(&stages, include_str!("kwok-stages.yaml"))?;
    let address = format!("127.0.0.1:{}", free_port()?);
    let mut kwok = Command::new(paths::shared_program("kwok"));
    kwok.arg("--config").arg(&stages).arg("--kubeconfig").arg(plane.kubeconfig("admin"));
    kwok.args(["--manage-nodes-with-label-selector", &format!("{KEY}=true"), "--server-address", &address]);
    kwok.args(["--node-lease-duration-seconds", "40", "--cidr", "10.200.0.0/16"]);
    kwok.args(["--v", "WARN"]).env("HOME", &plane.dir);
    plane.run.spawn(&name, &mut kwok)?;
    wait_for("kwok to be healthy", Duration::from_secs(60), || async {
        plane.run.check_running(&name)?;
        reqwest::get(format!("http://{address}/healthz")).await?.error_for_status()?;
        Ok(())
    })
    .await
    .with_context(|| plane.run.log_tail(&name))
}

/// Adds fake nodes of 32 cores and 128 GiB, named `PREFIX-0` and so on, and waits until they are ready.
pub async fn add_nodes(plane: &ControlPlane, prefix: &str, count: usize) -> Result<()> {
    let nodes: Api<Node> = Api::all(plane.client());
    for number in 0..count {
        let node = json!({
            "apiVersion": "v1", "kind": "Node",
            "metadata": {"name": format!("{prefix}-{number}"), "labels": {KEY: "true", "plumb.test/set": prefix}},
            "spec": {"taints": [{"key": KEY, "value": "true", "effect": "NoSchedule"}]},
        });
        nodes.create(&PostParams::default(), &serde_json::from_value(node)?).await?;
    }
    let ours = ListParams::default().labels(&format!("plumb.test/set={prefix}"));
    wait_for("the fake nodes to be ready", Duration::from_secs(120), || async {
        let list = nodes.list(&ours).await?;
        let ready = list.iter().filter(|node| is_ready(node)).count();
        ensure!(ready == count, "{ready} of {count} are ready");
        Ok(())
    })
    .await
    .with_context(|| plane.run.log_tail(&format!("{}-kwok", plane.name)))
}

fn is_ready(node: &Node) -> bool {
    let conditions = node.status.as_ref().and_then(|status| status.conditions.as_ref());
    conditions.into_iter().flatten().any(|c| c.type_ == "Ready" && c.status == "True")
}

/// Makes a pod, or a workload's pod template, one for fake nodes.
pub fn on_fake_nodes(pod: &mut Value) {
    pod["spec"]["nodeSelector"] = json!({KEY: "true"});
    pod["spec"]["tolerations"] = json!([{"key": KEY, "operator": "Exists"}]);
}
