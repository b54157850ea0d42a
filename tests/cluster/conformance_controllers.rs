//! Conformance of the simulator: scheduling, evictions and what controllers make of them, asked of the real control plane.
//! Nodes and kubelets are KWOK's; a finalizer stands for a pod that takes its time to end.

mod scheduler;

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::ResourceExt;
use kube::api::{DeleteParams, EvictParams, ListParams, Patch, PatchParams, PostParams};
use plumb::replay::simulate::rules;
use serde_json::{Value, json};

use crate::support::conform::{container, create, pod, refused, sizes, step, wait_pod};
use crate::support::{Context, kwok, pods, wait_for};

const FINALIZER: &str = "plumb.test/ends-slowly";
/// Time in which a controller would have done what it must not do.
const QUIET: Duration = Duration::from_secs(4);

cluster_test!(conformance_of_scheduler_and_controllers, [Fresh, Kwok]);
async fn conformance_of_scheduler_and_controllers(context: Context) -> Result<()> {
    kwok::add_nodes(&context.cluster.plane, "fake", 1).await?;
    step("the scheduler", scheduler::rules(&context)).await?;
    kwok::add_nodes(&context.cluster.plane, "other", 1).await?;
    tokio::try_join!(
        step("disruption budgets", budgets(&context)),
        step("a Deployment's pod is replaced before it is gone", replaced(&context, "Deployment", true)),
        step("a StatefulSet's pod is replaced once it is gone", replaced(&context, "StatefulSet", false)),
        step(
            "a DaemonSet's pod is evicted, and replaced once it is gone",
            replaced(&context, "DaemonSet", false)
        ),
        step("a StatefulSet's partition", partition(&context)),
        step("a StatefulSet's OnDelete", on_delete(&context, "StatefulSet")),
        step("a DaemonSet's OnDelete", on_delete(&context, "DaemonSet")),
    )?;
    Ok(())
}

/// A workload of two replicas, whose pods say of which version they are.
fn workload(kind: &str, name: &str, version: &str, update: Value) -> Value {
    let mut template = pod(name, json!([container("load", sizes(("10m", "16Mi"), ("", "")))]), json!([]));
    kwok::on_fake_nodes(&mut template);
    template["metadata"] = json!({"labels": {"app": name, "version": version}});
    template["spec"]["terminationGracePeriodSeconds"] = json!(30);
    let spec = json!({"selector": {"matchLabels": {"app": name}}, "template": {"metadata": template["metadata"],
                      "spec": template["spec"]}});
    let mut made = json!({"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": name}, "spec": spec});
    if kind != "DaemonSet" {
        made["spec"]["replicas"] = json!(2);
    }
    if kind == "StatefulSet" {
        made["spec"]["serviceName"] = json!(name);
    }
    if !update.is_null() {
        made["spec"]["updateStrategy"] = update;
    }
    made
}

async fn of(context: &Context, name: &str) -> Result<Vec<Pod>> {
    let all = context.api::<Pod>().list(&ListParams::default().labels(&format!("app={name}"))).await?.items;
    Ok(all)
}

fn leaves(pod: &Pod) -> bool {
    pod.metadata.deletion_timestamp.is_some()
}

/// Waits until so many pods are ready, and returns them by name.
async fn wait_all(context: &Context, name: &str, count: usize) -> Result<Vec<Pod>> {
    wait_for(&format!("{count} pods of {name}"), Duration::from_secs(40), || async {
        let mut all = of(context, name).await?;
        all.sort_by_key(ResourceExt::name_any);
        let ready = all.iter().filter(|pod| pods::is_ready(pod) && !leaves(pod)).count();
        ensure!(ready == count && all.len() == count, "{ready} of {} are ready", all.len());
        Ok(all)
    })
    .await
}

async fn evict(context: &Context, pod: &str, dry: bool) -> kube::Result<()> {
    let post_options = PostParams { dry_run: dry, ..PostParams::default() };
    let params = EvictParams { post_options, ..EvictParams::default() };
    context.api::<Pod>().evict(pod, &params).await.map(drop)
}

async fn budgets(context: &Context) -> Result<()> {
    let mut web = workload("Deployment", "web", "1", Value::Null);
    web["spec"]["replicas"] = json!(3);
    context.apply(&web).await?;
    let all: Vec<String> = wait_all(context, "web", 3).await?.iter().map(ResourceExt::name_any).collect();
    budget(context, 3, 3, 0).await?;
    let says = "Cannot evict pod as it would violate the pod's disruption budget";
    step("none may be missing", async { refused(would_evict(context, &all[0], 3).await?, 429, says) })
        .await?;
    budget(context, 2, 3, 1).await?;
    step("one may be missing", async { Ok(would_evict(context, &all[0], 2).await??) }).await?;
    unready(context, &all[0]).await?;
    budget(context, 2, 2, 0).await?;
    step("one is missing", async {
        refused(would_evict(context, &all[1], 2).await?, 429, says)?;
        would_evict(context, &all[0], 2).await?.context("the one that is not ready")
    })
    .await?;
    unready(context, &all[1]).await?;
    budget(context, 2, 1, 0).await?;
    step("too many are missing", async {
        refused(would_evict(context, &all[2], 2).await?, 429, says)?;
        refused(would_evict(context, &all[0], 2).await?, 429, says)
    })
    .await?;
    step("a pod that has not started is not counted", async {
        let mut pending = pod("pending", json!([container("load", json!({}))]), json!([]));
        pending["metadata"]["labels"] = json!({"app": "web"});
        pending["spec"]["schedulingGates"] = json!([{"name": "plumb.test/gate"}]);
        create(context, &pending).await?;
        budget(context, 2, 1, 0).await?;
        Ok(would_evict(context, "pending", 2).await??)
    })
    .await?;
    budget(context, 1, 1, 0).await?;
    // Allowed now, and done: it is gone soon, and another is made.
    unready_is_evicted(context, &all[0]).await
}

async fn unready_is_evicted(context: &Context, name: &str) -> Result<()> {
    evict(context, name, false).await?;
    wait_for("the pod to be gone", Duration::from_secs(20), || async {
        ensure!(context.api::<Pod>().get_opt(name).await?.is_none(), "it is there");
        Ok(())
    })
    .await
}

/// Asks whether a pod of the Deployment could be evicted, and the simulator too.
async fn would_evict(context: &Context, pod: &str, least: u64) -> Result<kube::Result<()>> {
    let healthy = of(context, "web").await?.iter().filter(|pod| pods::is_ready(pod) && !leaves(pod)).count();
    let one = context.api::<Pod>().get(pod).await?;
    let started = one.status.as_ref().and_then(|status| status.phase.as_deref()) != Some("Pending");
    let model = rules::may_evict(healthy as u64, least, started, pods::is_ready(&one));
    let answer = evict(context, pod, true).await;
    ensure!(model == answer.is_ok(), "{pod}: the simulator says {model}, the API server {answer:?}");
    Ok(answer)
}

/// Sets a budget, and waits until it is counted: how many pods are healthy, how many may be disrupted.
async fn budget(context: &Context, least: u32, healthy: i32, allowed: i32) -> Result<()> {
    let made = json!({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "web"},
                      "spec": {"minAvailable": least, "selector": {"matchLabels": {"app": "web"}}}});
    context.apply(&made).await?;
    wait_for("the budget to be counted", Duration::from_secs(20), || async {
        let found = context.api::<PodDisruptionBudget>().get("web").await?;
        let generation = found.metadata.generation;
        let status = found.status.context("no status")?;
        let seen = (status.observed_generation, status.current_healthy, status.disruptions_allowed);
        ensure!(
            seen == (generation, Some(healthy), Some(allowed)),
            "{seen:?}, not {healthy} healthy, {allowed} allowed"
        );
        Ok(())
    })
    .await
}

/// As the kubelet does when its probe fails.
async fn unready(context: &Context, name: &str) -> Result<()> {
    let status = Patch::Strategic(json!({"status": {"conditions": [{"type": "Ready", "status": "False"}]}}));
    context.api::<Pod>().patch_status(name, &PatchParams::default(), &status).await?;
    Ok(())
}

/// Evicts a pod that takes its time to end, and sees whether another is made meanwhile.
async fn replaced(context: &Context, kind: &str, before: bool) -> Result<()> {
    let name = format!("slow-{}", kind.to_lowercase());
    let mut made = workload(kind, &name, "1", Value::Null);
    made["spec"]["template"]["metadata"]["finalizers"] = json!([FINALIZER]);
    context.apply(&made).await?;
    let all = wait_all(context, &name, 2).await?;
    let (old, uid) = (all[0].name_any(), all[0].uid());
    evict(context, &old, false).await?;
    let leaving = wait_pod(context, &old, "the pod to leave", 20, |pod| {
        ensure!(pod.uid() == uid && leaves(pod), "it does not leave");
        Ok(())
    })
    .await?;
    let why = leaving.status.and_then(|status| status.conditions).unwrap_or_default();
    let evicted = why
        .iter()
        .any(|c| c.type_ == "DisruptionTarget" && c.reason.as_deref() == Some("EvictionByEvictionAPI"));
    ensure!(evicted, "{why:?}");
    let staying = || async {
        Ok::<_, anyhow::Error>(of(context, &name).await?.iter().filter(|pod| !leaves(pod)).count())
    };
    if before {
        wait_for("its successor", Duration::from_secs(20), || async {
            let found = staying().await?;
            ensure!(found == 2, "{found} pods stay");
            Ok(())
        })
        .await?;
    } else {
        tokio::time::sleep(QUIET).await;
        ensure!(staying().await? == 1, "its successor was made while it was there");
    }
    let gone = Patch::Merge(json!({"metadata": {"finalizers": null}}));
    context.api::<Pod>().patch(&old, &PatchParams::default(), &gone).await?;
    let now = wait_all(context, &name, 2).await?;
    ensure!(now.iter().all(|pod| pod.uid() != uid), "it is still there");
    ensure!(kind != "StatefulSet" || now[0].name_any() == old, "a StatefulSet's pod has another name");
    Ok(())
}

/// The versions of a workload's pods, by name.
async fn versions(context: &Context, name: &str, count: usize) -> Result<Vec<String>> {
    let all = wait_all(context, name, count).await?;
    Ok(all.iter().map(|pod| pod.labels().get("version").cloned().unwrap_or_default()).collect())
}

async fn wait_versions(context: &Context, name: &str, expected: &[&str]) -> Result<()> {
    wait_for(&format!("versions {expected:?} of {name}"), Duration::from_secs(40), || async {
        let found = versions(context, name, expected.len()).await?;
        ensure!(found == expected, "{found:?}");
        Ok(())
    })
    .await
}

/// Deletes a pod of a StatefulSet, and waits for the one of that name that comes after it.
async fn delete_again(context: &Context, pod: &Pod) -> Result<()> {
    let (name, uid) = (pod.name_any(), pod.uid());
    context.api::<Pod>().delete(&name, &DeleteParams::default()).await?;
    wait_for(&format!("another {name}"), Duration::from_secs(20), || async {
        let now = context.api::<Pod>().get(&name).await?;
        ensure!(now.uid() != uid, "it is the same");
        Ok(())
    })
    .await
}

async fn partition(context: &Context) -> Result<()> {
    let update = |partition: u32| json!({"type": "RollingUpdate", "rollingUpdate": {"partition": partition}});
    let made = |version: &str, partition: u32| {
        let mut made = workload("StatefulSet", "parts", version, update(partition));
        made["spec"]["replicas"] = json!(3);
        made
    };
    context.apply(&made("1", 2)).await?;
    wait_all(context, "parts", 3).await?;
    context.apply(&made("2", 2)).await?;
    step("pods from the partition on are replaced", wait_versions(context, "parts", &["1", "1", "2"]))
        .await?;
    step("a pod below it is made again as it was", async {
        let all = wait_all(context, "parts", 3).await?;
        delete_again(context, &all[0]).await?;
        wait_versions(context, "parts", &["1", "1", "2"]).await
    })
    .await?;
    step("at 0 all follow", async {
        context.apply(&made("2", 0)).await?;
        wait_versions(context, "parts", &["2", "2", "2"]).await
    })
    .await
}

async fn on_delete(context: &Context, kind: &str) -> Result<()> {
    let name = format!("ondelete-{}", kind.to_lowercase());
    let made = |version: &str| workload(kind, &name, version, json!({"type": "OnDelete"}));
    context.apply(&made("1")).await?;
    let all = wait_all(context, &name, 2).await?;
    context.apply(&made("2")).await?;
    tokio::time::sleep(QUIET).await;
    wait_versions(context, &name, &["1", "1"]).await.context("without a deletion")?;
    context.api::<Pod>().delete(&all[0].name_any(), &DeleteParams::default()).await?;
    wait_for("a pod of the new version", Duration::from_secs(30), || async {
        let mut found = versions(context, &name, 2).await?;
        found.sort();
        ensure!(found == ["1", "2"], "{found:?}");
        Ok(())
    })
    .await
}
