//! The Vertical Pod Autoscaler's own admission controller, to be measured beside our webhook.

use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use super::certificates::Authority;
use super::cluster::Context;
use super::measured;
use super::process::free_port;

/// One that runs, and answers at `address` by a certificate of `authority`.
pub struct Admission {
    pub name: String,
    pub address: String,
    pub authority: String,
    pub began: Instant,
}

/// The variable that names its program, where one is there; `make bench-webhook` builds it.
pub const PROGRAM: &str = "PLUMB_VPA_ADMISSION";

/// What its project ships with that version, by the Go module that the program is built from.
fn shipped(file: &str) -> Result<PathBuf> {
    let module = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/peers/admission");
    let mut go = Command::new("go");
    go.current_dir(module).args([
        "list",
        "-m",
        "-f",
        "{{.Dir}}",
        "k8s.io/autoscaler/vertical-pod-autoscaler",
    ]);
    let output = go.output().context("failed to run go")?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(PathBuf::from(String::from_utf8(output.stdout)?.trim()).join(file))
}

/// Installs its kinds.
pub async fn install_kinds(context: &Context) -> Result<()> {
    let file = shipped("deploy/vpa-v1-crd-gen.yaml")?;
    let file = file.to_string_lossy();
    context.kubectl(&["apply", "--server-side", "-f", &file]).await?.ok()?;
    context.kubectl(&["wait", "--for=condition=established", "-f", &file]).await?.ok()?;
    Ok(())
}

/// Starts it, and does not wait for it. Registered it is not: only who measures asks it.
pub fn start(context: &Context) -> Result<Admission> {
    let plane = &context.cluster.plane;
    let name = format!("{}-vpa-admission", plane.name);
    let dir = plane.run.subdirectory(&name)?;
    let authority = Authority::new()?;
    authority.server()?.write(&dir, "server")?;
    std::fs::write(dir.join("ca.crt"), authority.certificate())?;
    let (port, pages) = (free_port()?, free_port()?);
    let mut command = measured::on_one_core(&std::env::var_os(PROGRAM).context(PROGRAM)?);
    command.arg("--kubeconfig").arg(plane.kubeconfig("admin"));
    command.args(["--port", &port.to_string(), "--address", &format!("127.0.0.1:{pages}")]);
    command.args(["--register-webhook=false", "--status-lease-namespace", &context.namespace]);
    for (flag, file) in [
        ("--client-ca-file", "ca.crt"),
        ("--tls-cert-file", "server.crt"),
        ("--tls-private-key", "server.key"),
    ] {
        command.arg(flag).arg(dir.join(file));
    }
    let began = Instant::now();
    plane.run.spawn(&name, &mut command)?;
    let address = format!("127.0.0.1:{port}");
    Ok(Admission { name, address, authority: authority.certificate(), began })
}

/// An autoscaler for a workload, and the status that its recommender would have written.
pub fn autoscaler(namespace: &str, name: &str, (api_version, kind): (&str, &str)) -> (Value, Value) {
    let object = json!({
        "apiVersion": "autoscaling.k8s.io/v1", "kind": "VerticalPodAutoscaler",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"targetRef": {"apiVersion": api_version, "kind": kind, "name": name},
                 "updatePolicy": {"updateMode": "Recreate"}}});
    let container = |name: &str, cpu: &str, memory: &str| {
        let size = json!({"cpu": cpu, "memory": memory});
        json!({"containerName": name, "target": size, "lowerBound": size, "upperBound": size, "uncappedTarget": size})
    };
    let status = json!({"status": {
        "conditions": [{"type": "RecommendationProvided", "status": "True",
                        "lastTransitionTime": "2026-11-23T00:00:00Z"}],
        "recommendation": {"containerRecommendations": [
            container("app", "180m", "300Mi"), container("proxy", "20m", "50Mi")]}}});
    (object, status)
}
