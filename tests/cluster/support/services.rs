//! Services for the node: without kube-proxy a Service's address leads nowhere. Here this program listens on it, on the
//! bridge that pods are on, and passes connections on. The addresses go when the bridge does.

use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::{Pod, Service};
use kube::Api;
use kube::api::ListParams;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::control_plane::ControlPlane;
use super::pods;

/// A Service that leads somewhere, until this is dropped.
pub struct Led(JoinHandle<()>);

impl Drop for Led {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Leads the Service `kubernetes` to the API server. A pod must have run on the node: that makes the bridge.
pub async fn lead_to_api_server(plane: &ControlPlane) -> Result<Led> {
    let server = plane.server.trim_start_matches("https://").to_owned();
    let listener = listen(plane, "default", "kubernetes").await?;
    Ok(lead(listener, move || {
        let server = server.clone();
        async move { Ok(server) }
    }))
}

/// Leads a Service to that port of its pods that are ready.
pub async fn lead_to_pods(plane: &ControlPlane, namespace: &str, name: &str, port: u16) -> Result<Led> {
    let listener = listen(plane, namespace, name).await?;
    let service: Service = Api::namespaced(plane.client(), namespace).get(name).await?;
    let selector = service.spec.and_then(|spec| spec.selector).unwrap_or_default();
    let selector: Vec<String> = selector.into_iter().map(|(key, value)| format!("{key}={value}")).collect();
    let params = ListParams::default().labels(&selector.join(","));
    let all: Api<Pod> = Api::namespaced(plane.client(), namespace);
    Ok(lead(listener, move || {
        let (all, params) = (all.clone(), params.clone());
        async move {
            let found = all.list(&params).await?.items.into_iter().find(pods::is_ready);
            let address = found.and_then(|pod| pod.status?.pod_ip).context("no pod is ready")?;
            Ok(format!("{address}:{port}"))
        }
    }))
}

/// Takes the address of a Service and listens there.
async fn listen(plane: &ControlPlane, namespace: &str, name: &str) -> Result<TcpListener> {
    let service: Service = Api::namespaced(plane.client(), namespace).get(name).await?;
    let address = service.spec.and_then(|spec| spec.cluster_ip).context("a Service without an address")?;
    let given = format!("{address}/32");
    let output =
        Command::new("ip").args(["address", "replace", &given, "dev", &plane.number.bridge()]).output()?;
    ensure!(output.status.success(), "ip address: {}", String::from_utf8_lossy(&output.stderr));
    TcpListener::bind((address.as_str(), 443)).await.with_context(|| format!("{address}:443"))
}

fn lead<F, Fut>(listener: TcpListener, target: F) -> Led
where
    F: Fn() -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<String>> + Send + 'static,
{
    Led(tokio::spawn(async move {
        while let Ok((mut from, _)) = listener.accept().await {
            let target = target();
            // Where there is nobody to connect to, the connection ends.
            tokio::spawn(async move {
                let mut to = TcpStream::connect(target.await?).await?;
                copy_bidirectional(&mut from, &mut to).await?;
                Ok::<_, anyhow::Error>(())
            });
        }
    }))
}
