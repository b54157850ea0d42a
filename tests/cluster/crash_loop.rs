//! The trap of Kubernetes 1.36 (kubernetes#138760): a container that waits in CrashLoopBackOff after an OOM kill is
//! resized in place, the server and the status say that it has more memory, and yet it is killed for ever, since the
//! *pod's* control group keeps the old limit. 1.37 gives it the new limit at the next restart.
//!
//! Whoever resizes such a pod must replace it instead, or see that nothing has changed.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::DeleteParams;
use plumb::cluster::pods::LeanPod;
use plumb::cluster::resize::resize;

use crate::resize::to;
use crate::support::{Context, Load, cgroups, paths, pods, wait_for};

const OLD_LIMIT: u64 = 64 << 20;
/// Restarts after the resize that must all end by a kill; each comes within the kubelet's back-off.
const MORE_KILLS: i32 = 3;

cluster_test!(crash_loop_resize_is_lost_before_1_37, [Node], only || paths::kubernetes_minor() < 37);
async fn crash_loop_resize_is_lost_before_1_37(context: Context) -> Result<()> {
    // A resize that the kubelet sees only when the back-off ends takes effect. On a busy machine that happens: then
    // another pod is tried, whose resize comes in time.
    let mut last = None;
    for name in ["leak-1", "leak-2", "leak-3", "leak-4"] {
        let (uid, resized_at) = resized_in_back_off(&context, name).await?;
        match killed_on(&context, name, resized_at).await {
            Ok(pod) => return looks_well_and_is_not(&pod, &uid),
            Err(error) => last = Some(error),
        }
        context.api::<Pod>().delete(name, &DeleteParams::default().grace_period(0)).await?;
    }
    Err(last.context("no pod was tried")?)
}

/// Waits until the container was killed again and again since it was resized.
async fn killed_on(context: &Context, name: &str, resized_at: i32) -> Result<Pod> {
    let pods = context.api::<Pod>();
    wait_for("more restarts after the resize", Duration::from_secs(50), || async {
        let pod = pods.get(name).await?;
        let count = pods::container(&pod)?.restart_count;
        ensure!(count >= resized_at + MORE_KILLS, "{count} restarts, {resized_at} when it was resized");
        ensure!(pods::last_end(&pod).is_some(), "it runs");
        Ok(pod)
    })
    .await
}

fn looks_well_and_is_not(pod: &Pod, uid: &str) -> Result<()> {
    ensure!(pods::last_end(pod).as_deref() == Some("OOMKilled"), "{}", pods::describe(pod));
    // What everybody looks at says that all is well.
    let limits =
        pod.spec.as_ref().and_then(|spec| spec.containers.first()?.resources.as_ref()?.limits.clone());
    let memory = limits.as_ref().and_then(|limits| limits.get("memory"));
    ensure!(memory.is_some_and(|memory| memory.0 == "256Mi"), "spec: {limits:?}");
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.clone()).unwrap_or_default();
    let resizing: Vec<_> = conditions.iter().filter(|c| c.type_.starts_with("PodResize")).collect();
    ensure!(resizing.is_empty(), "{resizing:?}");
    // What the kernel enforces does not.
    let whole = cgroups::of_pod(uid)?;
    ensure!(whole.memory == Some(OLD_LIMIT), "the pod's control group: {whole:?}");
    Ok(())
}

cluster_test!(crash_loop_resize_holds_since_1_37, [Node], only || paths::kubernetes_minor() >= 37);
async fn crash_loop_resize_holds_since_1_37(context: Context) -> Result<()> {
    let (uid, resized_at) = resized_in_back_off(&context, "leak").await?;
    let pod = pods::wait_ready(&context.api(), "leak").await?;
    let whole = cgroups::of_pod(&uid)?;
    ensure!(whole.memory == Some(256 << 20), "the pod's control group: {whole:?}");
    let count = pods::container(&pod)?.restart_count;
    ensure!(count <= resized_at + 2, "{count} restarts, {resized_at} when it was resized");
    Ok(())
}

/// A pod that needs 120 MiB, with a limit of 64 MiB at first and of 256 MiB after its container was killed and waits.
/// Returns the pod's uid, and how often it had been restarted by then.
async fn resized_in_back_off(context: &Context, name: &str) -> Result<(String, i32)> {
    let load = Load::named(name).uses("memory", "120Mi").requests("20m", "32Mi").limits("200m", "64Mi");
    context.create_pod(&load).await?;
    let pods = context.api::<Pod>();
    let pod = wait_for("the container to wait after a kill", Duration::from_secs(120), || async {
        let pod = pods.get(name).await?;
        let waits = pods::waiting(&pod).as_deref() == Some("CrashLoopBackOff");
        ensure!(waits && pods::last_end(&pod).as_deref() == Some("OOMKilled"), "{}", pods::describe(&pod));
        Ok(pod)
    })
    .await?;
    let uid = pod.uid().context("no uid")?;
    resize(&context.api::<LeanPod>(), name, &uid, &[to(200, 256)]).await?;
    Ok((uid, pods::container(&pod)?.restart_count))
}
