//! `plumb explain`: why a workload is recommended what it is, and what would change it.
//!
//! From the Recommendation, which anybody may read, and from plumb's checkpoint, where it may be read.

use std::io::Write;

use anyhow::{bail, ensure};
use kube::api::{Api, ListParams};

use super::Output;
use crate::api::{Recommendation, WorkloadReference};
use crate::cluster::error::Request;
use crate::cluster::{Connection, ConnectionOptions};
use crate::control::checkpoint::Place;
use crate::control::explain::explain;

/// One workload of a cluster.
#[derive(Debug, clap::Args)]
pub(super) struct Named {
    /// The workload, as kubectl names it: deploy/web, statefulset/db, or the name of its Recommendation
    #[arg(value_name = "WORKLOAD")]
    pub(super) workload: String,
    #[command(flatten)]
    connection: ConnectionOptions,
    /// Its namespace [default: the kubeconfig's]
    #[arg(short, long, value_name = "NAME")]
    namespace: Option<String>,
}

impl Named {
    /// The connection, and what is recommended for the workload.
    pub(super) async fn find(&self) -> anyhow::Result<(Connection, Recommendation)> {
        let connection = Connection::open(&self.connection).await?;
        let namespace = self.namespace.as_ref().unwrap_or(&connection.default_namespace);
        let found = find(&connection, namespace, &self.workload).await?;
        Ok((connection, found))
    }
}

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    workload: Named,
    /// Where plumb keeps what it has learned: configmaps:NAMESPACE, file:FOLDER, or none
    #[arg(long, value_name = "PLACE", default_value = "configmaps:plumb", env = "PLUMB_CHECKPOINT")]
    checkpoint: Place,
    /// Format
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    let (connection, recommendation) = args.workload.find().await?;
    let explanation = explain(&connection, &args.checkpoint, recommendation).await;
    let mut stdout = std::io::stdout().lock();
    match args.output {
        Output::Table => write!(stdout, "{}", explanation.text())?,
        Output::Yaml => write!(stdout, "{}", serde_saphyr::to_string(&explanation)?)?,
        Output::Json => {
            serde_json::to_writer_pretty(&mut stdout, &explanation)?;
            writeln!(stdout)?;
        }
    }
    Ok(())
}

/// The kind that kubectl's short and plural names mean; any other is taken as it is written.
fn kind(written: &str) -> &str {
    match written.to_ascii_lowercase().as_str() {
        "deploy" | "deployment" | "deployments" => "Deployment",
        "sts" | "statefulset" | "statefulsets" => "StatefulSet",
        "ds" | "daemonset" | "daemonsets" => "DaemonSet",
        "rs" | "replicaset" | "replicasets" => "ReplicaSet",
        "job" | "jobs" => "Job",
        "cj" | "cronjob" | "cronjobs" => "CronJob",
        "po" | "pod" | "pods" => "Pod",
        _ => written,
    }
}

/// Whether a person means this workload.
fn is_meant(wanted: &str, object: &str, workload: &WorkloadReference) -> bool {
    match wanted.split_once('/') {
        Some((of, name)) => workload.name == name && workload.kind.eq_ignore_ascii_case(kind(of)),
        None => wanted == object || wanted == workload.name,
    }
}

async fn find(connection: &Connection, namespace: &str, wanted: &str) -> anyhow::Result<Recommendation> {
    let api: Api<Recommendation> = Api::namespaced(connection.client.clone(), namespace);
    let asked = Request {
        verb: "list",
        resource: "recommendations.plumb.dev",
        namespace: Some(namespace.to_owned()),
    };
    let all = connection.ask(asked, api.list(&ListParams::default())).await?;
    let mut found: Vec<_> = all
        .items
        .into_iter()
        .filter(|one| {
            is_meant(wanted, one.metadata.name.as_deref().unwrap_or_default(), &one.spec.workload_ref)
        })
        .collect();
    ensure!(
        found.len() < 2,
        "{wanted} can be several in namespace {namespace}: {}; say which",
        found
            .iter()
            .map(|one| format!(
                "{}/{}",
                one.spec.workload_ref.kind.to_lowercase(),
                one.spec.workload_ref.name
            ))
            .collect::<Vec<_>>()
            .join(", ")
    );
    match found.pop() {
        Some(found) => Ok(found),
        None => bail!(
            "nothing is recommended for {wanted} in namespace {namespace}; \
             a policy must select it: `kubectl get recommendations,verticalscalingpolicies -n {namespace}`"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::workload;

    #[test]
    fn workloads_are_named_as_kubectl_does() {
        let web = workload("web").reference();
        for name in ["deploy/web", "deployment/web", "Deployment/web", "web", "deployment-web"] {
            assert!(is_meant(name, "deployment-web", &web), "{name}");
        }
        for name in ["sts/web", "deploy/webs", "webs", "deploy/", "/web"] {
            assert!(!is_meant(name, "deployment-web", &web), "{name}");
        }
        assert_eq!(kind("Rollout"), "Rollout");
    }
}
