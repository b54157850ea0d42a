//! A crash at any step of a change does nothing twice, and of two updaters one acts.

use std::collections::BTreeMap;
use std::sync::Mutex;

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::{Patch, PatchParams};
use plumb::api::Recommendation;
use serde_json::json;

use crate::admission;
use crate::support::plumb::{Plumb, account_with};
use crate::support::recommended::{container, resources};
use crate::support::{Context, Load, pods, soak, wait_for};
use crate::updater::{SOON, advise, pods_of, policy, ready, start};

fn cpu(pod: &Pod) -> String {
    resources(pod, "load")["requests"]["cpu"].as_str().unwrap_or_default().to_owned()
}

cluster_test!(a_crash_before_a_resize_does_nothing_twice, [Node, Crds]);
async fn a_crash_before_a_resize_does_nothing_twice(context: Context) -> Result<()> {
    crashes(context, &["before-resize"], Way::Resize).await
}

cluster_test!(a_crash_after_a_resize_does_nothing_twice, [Node, Crds]);
async fn a_crash_after_a_resize_does_nothing_twice(context: Context) -> Result<()> {
    crashes(context, &["after-resize"], Way::Resize).await
}

cluster_test!(a_crash_before_the_status_does_nothing_twice, [Node, Crds]);
async fn a_crash_before_the_status_does_nothing_twice(context: Context) -> Result<()> {
    crashes(context, &["before-status"], Way::Resize).await
}

cluster_test!(a_crash_after_the_status_does_nothing_twice, [Node, Crds]);
async fn a_crash_after_the_status_does_nothing_twice(context: Context) -> Result<()> {
    crashes(context, &["after-status"], Way::Resize).await
}

cluster_test!(a_crash_before_an_eviction_does_nothing_twice, [Node, Crds]);
async fn a_crash_before_an_eviction_does_nothing_twice(context: Context) -> Result<()> {
    crashes(context, &["before-evict"], Way::Evict { within_a_minute: true }).await
}

cluster_test!(a_crash_after_an_eviction_does_nothing_twice, [Node, Crds]);
async fn a_crash_after_an_eviction_does_nothing_twice(context: Context) -> Result<()> {
    crashes(context, &["after-evict"], Way::Evict { within_a_minute: false }).await
}

cluster_test!(crashes_at_each_step_of_a_resize_do_nothing_twice, [Node, Crds], only soak);
/// A process ends at each step, one after another, with a workload of its own waiting at each.
async fn crashes_at_each_step_of_a_resize_do_nothing_twice(context: Context) -> Result<()> {
    crashes(context, &["before-resize", "after-resize", "before-status", "after-status"], Way::Resize).await
}

cluster_test!(crashes_at_each_step_of_an_eviction_do_nothing_twice, [Node, Crds], only soak);
async fn crashes_at_each_step_of_an_eviction_do_nothing_twice(context: Context) -> Result<()> {
    crashes(context, &["before-evict", "after-evict"], Way::Evict { within_a_minute: false }).await
}

/// Actuation method under test.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Resize,
    /// One pod a minute. Within the first minute one of two is replaced, and the other one stays as it is.
    Evict {
        within_a_minute: bool,
    },
}

/// One workload a step. Each process ends at its step and the next one begins, with a step and a workload of its own;
/// the last one ends at none and has to finish them all.
async fn crashes(context: Context, steps: &'static [&'static str], way: Way) -> Result<()> {
    let evicts = way != Way::Resize;
    let name = |step: &str| format!("at-{step}");
    for step in steps {
        let method = if evicts { "Evict" } else { "InPlace" };
        let at_once = if evicts { 1 } else { 2 };
        let actuation = json!({"method": method, "minReplicas": 1, "maxUnavailable": at_once, "guard": {"observe": "1s"}});
        policy(&context, &name(step), "Deployment", actuation).await?;
        let load = Load::named(&name(step)).requests("10m", "24Mi").memory_limit("64Mi");
        context.apply(&load.deployment(2)).await?;
    }
    let mut before = BTreeMap::new();
    for step in steps {
        before.insert(*step, ready(&context, &name(step), 2).await?);
    }
    // What gives new pods their sizes has a process of its own, which goes on.
    let account = account_with(&context, "webhook", &["webhook"], None).await?;
    // Nothing is registered before there is a policy that acts.
    let webhook = admission::start(&context, &account.kubeconfig, &[]).await?;
    let rights = account_with(&context, "plumb", &["updater"], None).await?;
    let updater = |fault: Option<&'static str>| {
        let plane = &context.cluster.plane;
        let environment: Vec<_> = fault.map(|fault| ("PLUMB_FAULT", fault)).into_iter().collect();
        let flags = ["--roles", "updater"];
        Plumb::start_in(plane, &rights.kubeconfig, &context.namespace, &flags, &environment)
    };
    let missing = Mutex::new(Vec::new());
    let note = |seen: Option<String>| missing.lock().expect("nobody panics with it").extend(seen);
    for step in steps {
        advise(&context, &name(step), container("load", "30m", "24Mi", "64Mi")).await?;
        let plumb = updater(Some(step))?;
        wait_for(&format!("it to end {step}"), SOON, || async {
            note(too_many_missing(&context, &name(step), evicts).await?);
            ensure!(plumb.check_running().is_err(), "it still runs");
            Ok(())
        })
        .await
        .with_context(|| plumb.log())?;
        drop(plumb.stop());
    }
    let last = updater(None)?;
    let done = async {
        let mut all = Vec::new();
        for step in steps {
            let expected = if way == (Way::Evict { within_a_minute: true }) { 1 } else { 2 };
            let found = wait_for(&format!("{expected} pods {step} to be changed"), SOON, || async {
                note(too_many_missing(&context, &name(step), evicts).await?);
                let found = ready(&context, &name(step), 2).await?;
                let changed = found.iter().filter(|pod| cpu(pod) == "30m").count();
                ensure!(changed == expected, "{changed} are");
                Ok(found)
            })
            .await?;
            for pod in &found {
                let old = before.get(step).into_iter().flatten().find(|old| old.uid() == pod.uid());
                match old {
                    Some(old) => {
                        ensure!(!evicts || expected == 1, "{} was to be replaced", pod.name_any());
                        let changes =
                            pod.metadata.generation.unwrap_or(0) - old.metadata.generation.unwrap_or(0);
                        ensure!(
                            changes == i64::from(!evicts),
                            "{step}: {} was changed {changes} times",
                            pod.name_any()
                        );
                        ensure!(pods::container(pod)?.restart_count == 0, "{step}: restarted");
                    }
                    None => ensure!(evicts, "{step}: {} was replaced", pod.name_any()),
                }
            }
            all.extend(found);
        }
        // Nothing is done for a second time: who is there now stays.
        last.plans(2).await?;
        for pod in all.iter().filter(|pod| !may_follow(way, pod, &all)) {
            let stays =
                context.api::<Pod>().get(&pod.name_any()).await.context("a pod was replaced again")?;
            ensure!(
                stays.metadata.generation == pod.metadata.generation,
                "{} was changed again",
                pod.name_any()
            );
        }
        let missing = missing.lock().expect("nobody panics with it");
        ensure!(missing.is_empty(), "{missing:?}");
        Ok(())
    };
    let done: Result<()> = done.await;
    done.with_context(|| last.log())?;
    last.stop()?;
    webhook.stop()?;
    Ok(())
}

/// Whether a pod may be replaced by now, as the next one: it is an old one, and the minute of the first one is nearly over.
/// That a slow machine gets that far is no fault.
fn may_follow(way: Way, pod: &Pod, all: &[Pod]) -> bool {
    const NEARLY: i64 = 50;
    let newest = all.iter().filter_map(|pod| pod.metadata.creation_timestamp.as_ref()).max();
    let age = newest.map_or(0, |newest| plumb::clock::now().0 - newest.0.as_second());
    way == (Way::Evict { within_a_minute: true }) && cpu(pod) != "30m" && age >= NEARLY
}

/// What is wrong where more than one pod of two is not there or not ready.
async fn too_many_missing(context: &Context, name: &str, evicts: bool) -> Result<Option<String>> {
    if !evicts {
        return Ok(None);
    }
    let ready = pods_of(context, name).await?.iter().filter(|pod| pods::is_ready(pod)).count();
    Ok((ready == 0).then(|| format!("no pod of {name} was ready")))
}

cluster_test!(two_updaters_do_nothing_twice, [Node, Crds]);
/// Both see the same; by the lease one of them acts, and when it dies the other goes on.
async fn two_updaters_do_nothing_twice(context: Context) -> Result<()> {
    let load = |name: &str| Load::named(name).requests("10m", "24Mi").memory_limit("64Mi").deployment(2);
    let quick = json!({"method": "InPlace", "guard": {"observe": "1s"}, "maxUnavailable": 2});
    for name in ["first", "second"] {
        policy(&context, name, "Deployment", quick.clone()).await?;
        context.apply(&load(name)).await?;
    }
    let mut before = ready(&context, "first", 2).await?;
    before.extend(ready(&context, "second", 2).await?);
    let (one, other) = (start(&context).await?, start(&context).await?);
    let accepted = "plumb_updater_actions_total{action=\"resize\",outcome=\"accepted\"}";
    let changed = |name: &'static str| {
        let context = context.clone();
        async move {
            wait_for("all pods to be changed", SOON, || async {
                let found = ready(&context, name, 2).await?;
                ensure!(found.iter().all(|pod| cpu(pod) == "30m"), "not yet");
                Ok(found)
            })
            .await
        }
    };
    advise(&context, "first", container("load", "30m", "24Mi", "64Mi")).await?;
    let mut after = changed("first").await?;
    // A change can be seen before it is counted.
    let counts = wait_for("both resizes to be counted", SOON, || async {
        let counts = [one.metric(accepted).await?, other.metric(accepted).await?];
        ensure!(counts.iter().sum::<f64>() >= 2.0, "{counts:?} resizes");
        Ok(counts)
    })
    .await?;
    ensure!(counts.contains(&2.0) && counts.contains(&0.0), "{counts:?} resizes");
    let (leads, stands_by) = if counts[0] > 0.0 { (one, other) } else { (other, one) };
    leads.kill()?;
    advise(&context, "second", container("load", "30m", "24Mi", "64Mi")).await?;
    after.extend(changed("second").await.with_context(|| stands_by.log())?);
    for pod in &after {
        let old = before.iter().find(|old| old.uid() == pod.uid()).context("a pod was replaced")?;
        let changes = pod.metadata.generation.unwrap_or(0) - old.metadata.generation.unwrap_or(0);
        ensure!(changes == 1, "{} was changed {changes} times", pod.name_any());
    }
    stands_by.stop()?;
    Ok(())
}

cluster_test!(a_cooldown_outlives_the_process, [Node, Crds]);
/// What one process has changed, the next one leaves alone for as long: the API server knows when that was.
async fn a_cooldown_outlives_the_process(context: Context) -> Result<()> {
    let actuation = json!({"method": "InPlace", "cooldown": "10m", "guard": {"observe": "1s"}});
    policy(&context, "web", "Deployment", actuation).await?;
    context.apply(&Load::named("web").requests("10m", "24Mi").memory_limit("64Mi").deployment(1)).await?;
    ready(&context, "web", 1).await?;
    advise(&context, "web", container("load", "30m", "24Mi", "64Mi")).await?;
    let has = |expected: &'static str| {
        let context = context.clone();
        async move {
            let found = pods_of(&context, "web").await?;
            let cpu = cpu(found.first().context("no pod")?);
            ensure!(cpu == expected, "it has {cpu}");
            Ok(())
        }
    };
    let first = start(&context).await?;
    wait_for("it to be changed", SOON, || has("30m")).await.with_context(|| first.log())?;
    first.kill()?;
    let status = Patch::Merge(json!({"status": {"containers": [container("load", "60m", "24Mi", "64Mi")]}}));
    let recommendations = context.api::<Recommendation>();
    recommendations.patch_status("deployment-web", &PatchParams::default(), &status).await?;
    let next = start(&context).await?;
    let done = async {
        wait_for("the cooldown to be kept", SOON, || async {
            let held = next.metric("plumb_updater_held_pods{reason=\"Cooldown\"}").await?;
            ensure!(held > 0.5, "nothing is held by it");
            Ok(())
        })
        .await?;
        next.plans(2).await?;
        has("30m").await
    };
    let done: Result<()> = done.await;
    done.with_context(|| next.log())?;
    next.stop()?;
    Ok(())
}
