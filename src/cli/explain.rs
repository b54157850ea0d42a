//! `plumb explain`: why a workload is recommended what it is, and what would change it.
//!
//! From the Recommendation, which anybody may read, and from plumb's checkpoint, where it may be read.

use std::io::Write;

use anyhow::{Context, bail, ensure};
use kube::api::{Api, ListParams};

use super::Output;
use crate::api::{
    ClusterVerticalScalingPolicy, ContainerPolicy, ContainerRecommendation, Objective, Recommendation,
    VerticalScalingPolicy, WorkloadReference,
};
use crate::cluster::error::Request;
use crate::cluster::index::WorkloadKey;
use crate::cluster::{Connection, ConnectionOptions};
use crate::control::checkpoint::{Checkpoints, Place, Shard};
use crate::control::keeper::saved_series;
use crate::control::rules;
use crate::model::{Model, Series};
use crate::policy::{self, ContainerSize};
use crate::report::explain::{Explanation, Learned, WhatIf};
use crate::units::Timestamp;

/// The id of an OOM kill that never happened.
const SUPPOSED: u64 = u64::MAX;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The workload, as kubectl names it: deploy/web, statefulset/db, or the name of its Recommendation
    #[arg(value_name = "WORKLOAD")]
    workload: String,
    #[command(flatten)]
    connection: ConnectionOptions,
    /// Its namespace [default: the kubeconfig's]
    #[arg(short, long, value_name = "NAME")]
    namespace: Option<String>,
    /// Where plumb keeps what it has learned: configmaps:NAMESPACE, file:FOLDER, or none
    #[arg(long, value_name = "PLACE", default_value = "configmaps:plumb", env = "PLUMB_CHECKPOINT")]
    checkpoint: Place,
    /// Format
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    let connection = Connection::open(&args.connection).await?;
    let namespace = args.namespace.clone().unwrap_or_else(|| connection.default_namespace.clone());
    let recommendation = find(&connection, &namespace, &args.workload).await?;
    let (learned, not_learned) = match learned(&args, &connection, &namespace, &recommendation).await {
        Ok(learned) if learned.is_empty() => (
            learned,
            Some("the checkpoint holds nothing of it yet; plumb saves one every ten minutes".to_owned()),
        ),
        Ok(learned) => (learned, None),
        Err(error) => (Vec::new(), Some(super::one_line(&error))),
    };
    let explanation = Explanation { recommendation, learned, not_learned };
    let mut stdout = std::io::stdout().lock();
    match args.output {
        Output::Table => write!(stdout, "{}", explanation.text())?,
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

async fn learned(
    args: &Args,
    connection: &Connection,
    namespace: &str,
    recommendation: &Recommendation,
) -> anyhow::Result<Vec<Learned>> {
    let workload = &recommendation.spec.workload_ref;
    let key = WorkloadKey {
        namespace: namespace.into(),
        kind: workload.kind.as_str().into(),
        name: workload.name.as_str().into(),
        api_version: workload.api_version.as_str().into(),
    };
    let checkpoints = Checkpoints::open(&args.checkpoint, connection, Shard::default());
    let saved = saved_series(&checkpoints, &key).await.context("cannot read plumb's checkpoint")?;
    let (objective, stated) = policy(connection, namespace, recommendation).await?;
    let containers = recommendation.status.iter().flat_map(|status| &status.containers);
    let learned = containers.filter_map(|container| {
        let (_, series, at) = saved.iter().find(|(key, ..)| *key.container == *container.name)?;
        let named = |name: &str| stated.iter().find(|stated| stated.name == name);
        let rules = named(&container.name).or_else(|| named("*"));
        let what_if = alternatives(container, series, objective, rules, *at);
        let (cpu, memory) = (series.cpu().histogram(), series.memory().histogram());
        Some(Learned::of(&container.name, cpu, memory, what_if))
    });
    Ok(learned.collect())
}

/// The objective and the containers' rules of the policy that speaks for the workload.
async fn policy(
    connection: &Connection,
    namespace: &str,
    recommendation: &Recommendation,
) -> anyhow::Result<(Objective, Vec<ContainerPolicy>)> {
    let reference = &recommendation.spec.policy_ref;
    let client = connection.client.clone();
    if reference.kind == "ClusterVerticalScalingPolicy" {
        let api: Api<ClusterVerticalScalingPolicy> = Api::all(client);
        let asked =
            Request { verb: "get", resource: "clusterverticalscalingpolicies.plumb.dev", namespace: None };
        let found = connection.ask(asked, api.get(&reference.name)).await?;
        return Ok((found.spec.objective, found.spec.containers));
    }
    let api: Api<VerticalScalingPolicy> = Api::namespaced(client, namespace);
    let asked = Request {
        verb: "get",
        resource: "verticalscalingpolicies.plumb.dev",
        namespace: Some(namespace.to_owned()),
    };
    let found = connection.ask(asked, api.get(&reference.name)).await?;
    Ok((found.spec.objective, found.spec.containers))
}

/// What would be recommended with another objective, and after an OOM kill at the limit. By the policy's rules alone:
/// what LimitRanges, quotas and nodes bind is not asked for.
fn alternatives(
    container: &ContainerRecommendation,
    series: &Series,
    objective: Objective,
    stated: Option<&ContainerPolicy>,
    at: Timestamp,
) -> Vec<WhatIf> {
    let model = Model::default();
    let current = size(container);
    let answer = |change: String, other: Option<Objective>, mut series: Series| {
        let stated = stated.cloned().map(|mut stated| {
            // What is set per resource would hide what the objective changes.
            if other.is_some() {
                (stated.cpu.objective, stated.memory.objective) = (None, None);
            }
            stated
        });
        let rules = rules::of_container(other.unwrap_or(objective), stated.as_ref()).rules;
        let target = policy::recommend(&series.estimate(&rules.prices(), &model), &rules, &current).target;
        WhatIf {
            change,
            cpu_request: target.cpu_request,
            memory_request: target.memory_request,
            memory_limit: target.memory_limit,
        }
    };
    let others = [Objective::Economy, Objective::Balanced, Objective::Critical].into_iter();
    let mut all: Vec<_> = others
        .filter(|other| *other != objective)
        .map(|other| answer(format!("objective {other:?}"), Some(other), series.clone()))
        .collect();
    let limit = container.target.limits.memory.as_ref().or(container.current.limits.memory.as_ref());
    if let Some(limit) = limit.and_then(|limit| limit.value().as_bytes()) {
        let mut killed = series.clone();
        if killed.add_oom(at, limit, SUPPOSED, &model) {
            all.push(answer(format!("an OOM kill at {limit}"), None, killed));
        }
    }
    all
}

fn size(container: &ContainerRecommendation) -> ContainerSize {
    let (requests, limits) = (&container.current.requests, &container.current.limits);
    ContainerSize {
        cpu_request: requests.cpu.as_ref().map(|cpu| cpu.value().as_cores()),
        cpu_limit: limits.cpu.as_ref().map(|cpu| cpu.value().as_cores()),
        memory_request: requests.memory.as_ref().and_then(|memory| memory.value().as_bytes()),
        memory_limit: limits.memory.as_ref().and_then(|memory| memory.value().as_bytes()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::{Bytes, Cores};

    #[test]
    fn workloads_are_named_as_kubectl_does() {
        let web = WorkloadReference {
            api_version: "apps/v1".to_owned(),
            kind: "Deployment".to_owned(),
            name: "web".to_owned(),
        };
        for name in ["deploy/web", "deployment/web", "Deployment/web", "web", "deployment-web"] {
            assert!(is_meant(name, "deployment-web", &web), "{name}");
        }
        for name in ["sts/web", "deploy/webs", "webs", "deploy/", "/web"] {
            assert!(!is_meant(name, "deployment-web", &web), "{name}");
        }
        assert_eq!(kind("Rollout"), "Rollout");
    }

    #[test]
    fn alternatives_come_from_the_model_itself() {
        let (mut series, model) = (Series::default(), Model::default());
        for minute in 0..3 * 1440_i64 {
            let at = Timestamp(1_700_000_000 + minute * 60);
            let noise = (minute * 7919 % 97) as f64 / 97.0;
            series.add_cpu(at, Cores(0.2 + 0.2 * noise), 0.0, None, &model).unwrap();
            series.add_memory(at, Bytes::from_f64(1e8 * (1.0 + 0.3 * noise)), None, &model).unwrap();
        }
        let at = Timestamp(1_700_000_000 + 3 * 86_400);
        let container: ContainerRecommendation = serde_json::from_value(serde_json::json!({
            "name": "app", "current": {"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"memory": "1Gi"}},
            "target": {"limits": {"memory": "200Mi"}}}))
        .unwrap();
        let all = alternatives(&container, &series, Objective::Balanced, None, at);
        let names: Vec<_> = all.iter().map(|what| what.change.as_str()).collect();
        assert_eq!(names, ["objective Economy", "objective Critical", "an OOM kill at 200Mi"]);
        assert!(all[0].cpu_request <= all[1].cpu_request && all[0].memory_limit <= all[1].memory_limit);
        assert!(all[2].memory_limit.unwrap() > Bytes::from_mib(200));
    }
}
