//! What an OOM loop of each part of a pod is answered by: a resize in place where the kubelet restarts it by itself, a new
//! pod where only that helps, and nothing else.
//!
//! plumb learns the need itself, from the status of the pods.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use kube::ResourceExt;
use serde_json::{Value, json};

use super::updater::{SOON, pods_of, policy, ready};
use crate::support::roles::Roles;
use crate::support::{Context, Load, node, pods, wait_for};

/// Time for which what was healed stays as it is.
const STAYS: Duration = Duration::from_secs(15);

async fn start(context: &Context) -> Result<Roles<'_>> {
    let roles = [("recommender", &["--interval", "2s"][..]), ("updater", &[]), ("webhook", &[])];
    Roles::start(context, &roles).await
}

/// An init container of the test workload that uses so much memory and is limited to 64 MiB. It does not end.
fn init(name: &str, arguments: &Value, sidecar: bool) -> Value {
    json!({
        "name": name,
        "image": node::IMAGE,
        "imagePullPolicy": "Never",
        "args": arguments,
        "restartPolicy": sidecar.then_some("Always"),
        "resources": {"requests": {"cpu": "20m", "memory": "32Mi"}, "limits": {"memory": "64Mi"}},
    })
}

fn with_init(load: &Load, replicas: u32, init: Value) -> Value {
    let mut deployment = load.deployment(replicas);
    deployment["spec"]["template"]["spec"]["initContainers"] = json!([init]);
    deployment
}

fn init_status(pod: &Pod) -> Option<&ContainerStatus> {
    pod.status.as_ref()?.init_container_statuses.as_ref()?.first()
}

/// Waits until `healed` holds, and checks that it still does a while later.
async fn stays<F>(what: &str, healed: impl Fn() -> F) -> Result<()>
where
    F: Future<Output = Result<()>>,
{
    wait_for(what, SOON, || async {
        healed().await?;
        let since = Instant::now();
        while since.elapsed() < STAYS {
            tokio::time::sleep(Duration::from_millis(500)).await;
            healed().await?;
        }
        Ok(())
    })
    .await
}

cluster_test!(an_init_containers_loop_is_healed, [Node, MetricsServer, Crds]);
async fn an_init_containers_loop_is_healed(context: Context) -> Result<()> {
    policy(&context, "web", "Deployment", json!({})).await?;
    let plumb = start(&context).await?;
    let done = async {
        let init = init("setup", &json!(["--memory=110Mi"]), false);
        context.apply(&with_init(&Load::named("web"), 1, init)).await?;
        stays("the init container to run with what it needs", || async {
            let found = pods_of(&context, "web").await?;
            let pod = found.first().filter(|_| found.len() == 1).context("not one pod")?;
            let status = init_status(pod).context("no status yet")?;
            let runs = status.state.as_ref().is_some_and(|state| state.running.is_some());
            ensure!(runs && status.restart_count == 0, "{} restarts", status.restart_count);
            Ok(())
        })
        .await
    };
    let done: Result<()> = done.await;
    done.with_context(|| plumb.log())?;
    plumb.stop()
}

cluster_test!(a_sidecars_first_kill_restarts_nothing_else, [Node, MetricsServer, Crds]);
async fn a_sidecars_first_kill_restarts_nothing_else(context: Context) -> Result<()> {
    policy(&context, "web", "Deployment", json!({"maxUnavailable": 1})).await?;
    let plumb = start(&context).await?;
    let done = async {
        // It grows for ten seconds before its first kill, and would as long before each further one.
        let log = init("log", &json!(["--memory=20Mi", "--grow=4Mi/s"]), true);
        context.apply(&with_init(&Load::named("web"), 3, log)).await?;
        let uids = |found: &[Pod]| -> BTreeSet<_> { found.iter().filter_map(ResourceExt::uid).collect() };
        let before = uids(&ready(&context, "web", 3).await?);
        wait_for("all sidecars to be killed and raised", SOON, || async {
            let found = pods_of(&context, "web").await?;
            for pod in &found {
                let status = init_status(pod).context("no status yet")?;
                let limits = status.resources.as_ref().and_then(|resources| resources.limits.as_ref());
                let limit = limits.and_then(|limits| limits.get("memory")).context("no limit")?;
                ensure!(status.restart_count > 0 && limit.0 != "64Mi", "{} has {}", pod.name_any(), limit.0);
            }
            ensure!(uids(&found) == before, "pods were replaced");
            Ok(())
        })
        .await?;
        for pod in pods_of(&context, "web").await? {
            let restarts = pods::container(&pod)?.restart_count;
            ensure!(restarts == 0, "{}: the other container was started {restarts} times", pod.name_any());
        }
        Ok(())
    };
    let done: Result<()> = done.await;
    done.with_context(|| plumb.log())?;
    plumb.stop()
}

cluster_test!(a_jobs_loop_of_pods_that_die_within_seconds_is_healed, [Node, MetricsServer, Crds]);
async fn a_jobs_loop_of_pods_that_die_within_seconds_is_healed(context: Context) -> Result<()> {
    policy(&context, "often", "CronJob", json!({})).await?;
    let plumb = start(&context).await?;
    let done = async {
        let mut template = Load::named("often").uses("memory", "110Mi").memory_limit("64Mi").template();
        template["spec"]["restartPolicy"] = json!("Never");
        let job = json!({"spec": {"backoffLimit": 10, "template": template}});
        let spec = json!({"schedule": "* * * * *", "concurrencyPolicy": "Forbid", "jobTemplate": job});
        let often =
            json!({"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "often"}, "spec": spec});
        context.apply(&often).await?;
        // Up to a minute until the first run, and ten seconds, then twenty, between its pods.
        let long = Duration::from_secs(210);
        wait_for("a pod of the CronJob to run with what it needs", long, || async {
            let found = pods_of(&context, "often").await?;
            ensure!(found.iter().any(pods::is_ready), "{} pods, none of them ready", found.len());
            Ok(())
        })
        .await
    };
    let done: Result<()> = done.await;
    done.with_context(|| plumb.log())?;
    plumb.stop()
}
