//! Conformance of the simulator: OOM kills by a container's limit and of a full node, the back-off after them, and the
//! trap of kubernetes#138760, asked of a real kubelet that has its own back-off.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use chrono::{DateTime, Utc};
use k8s_openapi::api::core::v1::{ContainerStateTerminated, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;
use kube::api::DeleteParams;
use plumb::replay::simulate::rules;
use serde_json::json;

use crate::conformance_resize;
use crate::support::conform::{resize, sizes, step, wait_pod};
use crate::support::{Context, Load, cgroups, paths, pods, wait_for};

cluster_test!(conformance_of_kills_and_infeasible_resizes, [Fresh, Node]);
async fn conformance_of_kills_and_infeasible_resizes(context: Context) -> Result<()> {
    // The kubelet's own back-off, in place of the short one that other tests want, and CPUs that it gives away whole.
    let settings =
        json!({"crashLoopBackOff": null, "cpuManagerPolicy": "static", "systemReserved": {"cpu": "100m"}});
    context.cluster.node().await?.reconfigure(&context.cluster.plane, &settings).await?;
    tokio::try_join!(
        step("a resize that the node can never do", conformance_resize::infeasible(&context)),
        step("restarts after kills, and the time between them", back_off(&context)),
        step("a limit that is raised while the container is down", trap(&context)),
    )?;
    step("a full node", full_node(&context)).await
}

/// A container from its start to its kill.
#[derive(Clone, Debug, PartialEq)]
struct Life {
    started: DateTime<Utc>,
    ended: Option<DateTime<Utc>>,
}

fn time(time: &Time) -> Result<DateTime<Utc>> {
    Ok(serde_json::from_value(json!(time))?)
}

fn ended(state: &ContainerStateTerminated) -> Result<Life> {
    ensure!(state.reason.as_deref() == Some("OOMKilled") && state.exit_code == 137, "{state:?}");
    let (started, ended) = (state.started_at.as_ref(), state.finished_at.as_ref());
    Ok(Life { started: time(started.context("no start")?)?, ended: Some(time(ended.context("no end")?)?) })
}

/// Adds what a pod's status tells of its container's lives, by the id that each has.
fn note(lives: &mut HashMap<String, Life>, pod: &Pod) -> Result<()> {
    let status = pods::container(pod)?;
    for state in [&status.last_state, &status.state].into_iter().flatten() {
        if let Some(terminated) = &state.terminated {
            lives.insert(terminated.container_id.clone().context("no id")?, ended(terminated)?);
        }
        if let Some(running) = &state.running {
            let started = time(running.started_at.as_ref().context("no start")?)?;
            let id = status.container_id.clone().context("no id")?;
            lives.entry(id).or_insert(Life { started, ended: None });
        }
    }
    Ok(())
}

fn too_large(name: &str) -> Load {
    Load::named(name).uses("memory", "120Mi").requests("20m", "32Mi").limits("200m", "64Mi")
}

async fn back_off(context: &Context) -> Result<()> {
    let made = context.create_pod(&too_large("loop")).await?;
    let pods = context.api::<Pod>();
    let mut lives = HashMap::new();
    let mut waited = false;
    let begin = std::time::Instant::now();
    while lives.len() < 4 {
        ensure!(begin.elapsed() < Duration::from_secs(75), "{lives:?}");
        let pod = pods.get("loop").await?;
        if pods::container(&pod).is_ok() {
            note(&mut lives, &pod)?;
            waited |= pods::waiting(&pod).as_deref() == Some("CrashLoopBackOff");
            ensure!(pod.uid() == made.uid(), "it is another pod");
        }
        tokio::time::sleep(Duration::from_millis(150)).await;
    }
    let mut lives: Vec<Life> = lives.into_values().collect();
    lives.sort_by_key(|life| life.started);
    let (mut due, mut gaps, mut waits) = (0, Vec::new(), Vec::new());
    for pair in lives.windows(2) {
        let ended = pair[0].ended.context("an end was not seen")?;
        let (wait, next) = rules::back_off(due, (ended - pair[0].started).num_seconds());
        waits.push(wait);
        gaps.push((pair[1].started - ended).num_seconds());
        due = next;
    }
    println!("seconds from a kill to the next start: {gaps:?}, simulated {waits:?}");
    // Times are whole seconds, and the kubelet looks at a pod some seconds after its back-off has ended.
    let near = gaps.iter().zip(&waits).all(|(gap, wait)| (wait - 1..=wait + 6 + wait / 2).contains(gap));
    ensure!(near && waits.len() == 3, "{gaps:?}; the simulator says {waits:?}");
    ensure!(waited, "it was never in CrashLoopBackOff");
    Ok(())
}

/// Up to Kubernetes 1.36 the pod's control group keeps the old limit, whatever its status says; later ones give it.
async fn trap(context: &Context) -> Result<()> {
    // A resize that the kubelet sees only when the back-off ends takes effect. On a busy machine that happens: then
    // another pod is tried, whose resize comes in time.
    let mut last = Ok(());
    for name in ["trap-1", "trap-2", "trap-3"] {
        last = trapped(context, name).await;
        context.api::<Pod>().delete(name, &DeleteParams::default().grace_period(0)).await?;
        if last.is_ok() {
            break;
        }
    }
    last
}

async fn trapped(context: &Context, name: &str) -> Result<()> {
    let uid = context.create_pod(&too_large(name)).await?.uid().context("no uid")?;
    let down = |pod: &Pod, restarts: i32| -> Result<()> {
        let status = pods::container(pod)?;
        let running = status.state.as_ref().and_then(|state| state.running.as_ref()).is_some();
        ensure!(status.restart_count >= restarts && !running, "{}", pods::describe(pod));
        Ok(())
    };
    // The first restart is at once, and leaves no time.
    wait_pod(context, name, "the second kill", 60, |pod| down(pod, 1)).await?;
    resize(context, name, "load", sizes(("", ""), ("", "256Mi"))).await?;
    let status = wait_pod(context, name, "the status to have the limit", 20, |pod| {
        let resources = pods::container(pod)?.resources.clone().context("no resources")?;
        let limit = resources.limits.as_ref().and_then(|limits| limits.get("memory").cloned());
        ensure!(limit.as_ref().is_some_and(|limit| limit.0 == "256Mi"), "{limit:?}");
        Ok(())
    })
    .await?;
    if paths::kubernetes_minor() >= 37 {
        pods::wait_ready(&context.api(), name).await?;
        ensure!(cgroups::of_pod(&uid)?.memory == Some(256 << 20), "{:?}", cgroups::of_pod(&uid)?);
        return Ok(());
    }
    let restarts = pods::container(&status)?.restart_count;
    let again = wait_pod(context, name, "the next kill", 30, |pod| down(pod, restarts + 1)).await?;
    ensure!(pods::last_end(&again).as_deref() == Some("OOMKilled"), "{}", pods::describe(&again));
    let whole = cgroups::of_pod(&uid)?;
    ensure!(whole.memory == Some(64 << 20), "the pod's control group has {whole:?}");
    Ok(())
}

/// The node's pods together may use less than they want. The kernel kills the one that is furthest above its request, not
/// the largest; its status tells no difference to a kill at its limit.
async fn full_node(context: &Context) -> Result<()> {
    context.api::<Pod>().delete("loop", &DeleteParams::default().grace_period(0)).await?;
    let within =
        Load::named("within").uses("memory", "120Mi").requests("150m", "160Mi").limits("150m", "160Mi");
    let above = Load::named("above").uses("memory", "20Mi").uses("grow", "12Mi/s").requests("20m", "16Mi");
    let little = Load::named("little").uses("memory", "30Mi").requests("20m", "16Mi").memory_limit("400Mi");
    context.run_pod(&within).await?;
    context.run_pod(&little).await?;
    let group = context.cluster.plane.number.control_group();
    cgroups::limit_node(&group, 240 << 20)?;
    context.create_pod(&above).await?;
    let pods = context.api::<Pod>();
    let killed = wait_for("a kill", Duration::from_secs(60), || async {
        let pod = pods.get("above").await?;
        ensure!(pods::last_end(&pod).is_some(), "{}", pods::describe(&pod));
        Ok(pod)
    })
    .await;
    cgroups::limit_node(&group, 1 << 40)?;
    let killed = killed?;
    ensure!(pods::last_end(&killed).as_deref() == Some("OOMKilled"), "{}", pods::describe(&killed));
    for name in ["within", "little"] {
        let other = pods.get(name).await?;
        ensure!(pods::container(&other)?.restart_count == 0, "{}", pods::describe(&other));
        ensure!(pods::last_end(&other).is_none(), "{}", pods::describe(&other));
    }
    Ok(())
}
