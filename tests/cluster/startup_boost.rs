//! More CPU while a container starts up: given when its pod is created, and taken back in place, also by a plumb that
//! was not there when it was given. On the real node, under the rights that are shipped.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::{Patch, PatchParams};
use plumb::api::Recommendation;
use serde_json::{Value, json};

use crate::admission::wait_stamped;
use crate::support::recommended::{auto_policy, container, recommend, resources, stamp};
use crate::support::roles::Roles;
use crate::support::{Context, Load, pods, wait_for};
use crate::updater::{SOON, events_tell, pods_of, ready};

/// For how long one of them has more.
const LENT: i64 = 30;

fn boosted(cpu: &str, duration: &str) -> Value {
    let mut container = container("load", "60m", "80Mi", "120Mi");
    container["startupBoost"] = json!({"cpu": cpu, "duration": duration});
    json!([container])
}

cluster_test!(more_cpu_at_the_start_is_taken_back, [Node, Crds]);
async fn more_cpu_at_the_start_is_taken_back(context: Context) -> Result<()> {
    auto_policy(&context, "all").await?;
    recommend(&context, "pod-web", ("v1", "Pod", "web"), "Auto", boosted("180m", "untilReady")).await?;
    let a_while = format!("{LENT}s");
    for (name, duration) in [("timed", &*a_while), ("until", "untilReady"), ("left", &*a_while)] {
        let of = ("apps/v1", "Deployment", name);
        recommend(&context, &format!("deployment-{name}"), of, "Auto", boosted("180m", duration)).await?;
    }
    let mut plumb = Roles::start(&context, &[("webhook", &[]), ("updater", &[])]).await?;
    wait_stamped(&context).await.with_context(|| plumb.log())?;
    for name in ["timed", "until", "left"] {
        let load = Load::named(name).requests("300m", "256Mi").memory_limit("512Mi");
        context.apply(&load.deployment(1)).await?;
    }
    // As it was created: until it is seen to be ready, a slow machine may have passed what it was lent for.
    let created = wait_for("the pod of timed", SOON, || async {
        pods_of(&context, "timed").await?.pop().context("there is none yet")
    })
    .await?;
    ensure!(
        resources(&created, "load")["requests"] == json!({"cpu": "180m", "memory": "80Mi"}),
        "{created:?}"
    );
    let (timed, until) = (ready(&context, "timed", 1).await?, ready(&context, "until", 1).await?);
    let timed = timed.first().context("no pod")?;
    for pod in [timed, until.first().context("no pod")?] {
        let note = stamp(pod).context("no note")?;
        let lent = note.containers.get("load").and_then(|load| load.boost.as_ref()).context("no boost")?;
        ensure!(lent.requests.cpu.as_deref() == Some("180m"), "{note:?}");
    }
    let left = ready(&context, "left", 1).await?;
    ensure!(left.iter().all(|pod| stamp(pod).is_some()), "not stamped: {left:?}");
    // No policy acts on this one any more: what was lent is taken back all the same.
    let advice_only = Patch::Merge(json!({"spec": {"mode": "Recommend"}}));
    let api = context.api::<Recommendation>();
    api.patch("deployment-left", &PatchParams::default(), &advice_only).await?;
    // The process that is replaced has said what it did: killed in between it would not have.
    boosts_ended(&context, &["until"]).await?;
    // Who takes it back may be another one than who gave it.
    plumb.replace(&context, ("updater", &[])).await?;
    // The next one waits for the lease, so that what is lent now is for it to take back, and to tell of.
    let mut lent = Vec::new();
    for name in ["timed", "left"] {
        let pod = pods_of(&context, name).await?.pop().with_context(|| format!("no pod of {name}"))?;
        if resources(&pod, "load")["requests"]["cpu"] == "180m" {
            lent.push(name);
        }
    }
    ensure!(!lent.is_empty(), "nothing is left to take back");
    for name in ["timed", "until", "left"] {
        taken_back(&context, name).await.with_context(|| plumb.log())?;
    }
    let started = started(timed)?;
    let now = k8s_openapi::jiff::Timestamp::now().as_second();
    ensure!(now - started >= LENT, "taken back after {} s", now - started);
    boosts_ended(&context, &lent).await?;
    plumb.stop()?;
    Ok(())
}

/// Each of these workloads has an event that tells of its ended boost.
async fn boosts_ended(context: &Context, names: &[&str]) -> Result<()> {
    for name in names {
        events_tell(context, name, "BoostEnded").await?;
    }
    Ok(())
}

/// In place: the same pod, never restarted, and the kubelet has done it.
async fn taken_back(context: &Context, name: &str) -> Result<()> {
    let what = format!("{name} to give back what it had to start with");
    wait_for(&what, SOON + Duration::from_secs(30), || async {
        let found = pods_of(context, name).await?;
        let pod = found.first().context("no pod")?;
        let status = pods::container(pod)?;
        let given = json!(status.resources.as_ref().and_then(|given| given.requests.as_ref()));
        ensure!(given["cpu"] == "60m" && status.restart_count == 0, "{} has {given}", pod.name_any());
        Ok(())
    })
    .await
}

fn started(pod: &Pod) -> Result<i64> {
    let state = pods::container(pod)?.state.as_ref();
    let running = state.and_then(|state| state.running.as_ref()).context("it does not run")?;
    Ok(running.started_at.as_ref().context("no time")?.0.as_second())
}

cluster_test!(a_note_written_by_hand_grows_nothing, [Node, Crds]);
/// Whoever may patch pods may write the note that admission writes; that must not give them the right to resize.
async fn a_note_written_by_hand_grows_nothing(context: Context) -> Result<()> {
    let note = json!({"recommendation": "deployment-forged", "containers": {"load": {
        "requests": {"cpu": "900m"}, "boost": {"requests": {"cpu": "50m"}, "duration": "untilReady"}}}});
    let load = Load::named("forged").requests("50m", "64Mi");
    let mut deployment = load.deployment(1);
    deployment["spec"]["template"]["metadata"]["annotations"] = json!({"plumb.dev/sized": note.to_string()});
    // No policy and no Recommendation speaks for it; another workload is acted on.
    auto_policy(&context, "all").await?;
    context.apply(&deployment).await?;
    let mut plumb = Roles::start(&context, &[("updater", &[])]).await?;
    let before = ready(&context, "forged", 1).await?;
    plumb.of("updater")?.plans(6).await?;
    is_left_alone(&context, &before).await.with_context(|| plumb.log())?;
    // Where one speaks for it, the note makes nothing grow either: it is within its bounds.
    let inside = json!([container("load", "50m", "64Mi", "128Mi")]);
    recommend(&context, "deployment-forged", ("apps/v1", "Deployment", "forged"), "Auto", inside).await?;
    plumb.replace(&context, ("updater", &[])).await?;
    plumb.of("updater")?.plans(6).await?;
    is_left_alone(&context, &before).await.with_context(|| plumb.log())?;
    plumb.stop()?;
    Ok(())
}

async fn is_left_alone(context: &Context, before: &[Pod]) -> Result<()> {
    for pod in pods_of(context, "forged").await? {
        let found = resources(&pod, "load");
        ensure!(found["requests"]["cpu"] == "50m", "resized by a note to {found}");
        ensure!(before.iter().any(|old| old.metadata.uid == pod.metadata.uid), "a pod was replaced");
    }
    Ok(())
}
