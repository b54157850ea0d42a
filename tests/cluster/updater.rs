//! What is recommended becomes what runs: in place and without a restart where that can be, by a new pod where nothing
//! else helps, and otherwise not at all, with the reason.
//!
//! On the real node, under the rights that are shipped. Targets are written by the test, but for the OOM loop, in which
//! plumb learns them itself.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::events::v1::Event;
use kube::api::{ListParams, Patch, PatchParams};
use kube::{Api, ResourceExt};
use plumb::api::Recommendation;
use plumb::testing;
use serde_json::{Value, json};

use crate::support::plumb::{Plumb, account_with};
use crate::support::recommended::{container, new_pods, recommend_by, resources};
use crate::support::roles::Roles;
use crate::support::{Context, Load, cgroups, later_second, pods, wait_for};

pub(crate) const SOON: Duration = Duration::from_secs(120);

/// A policy of that name in mode Auto for the Deployment of that name.
pub(crate) async fn policy(context: &Context, name: &str, kind: &str, actuation: Value) -> Result<()> {
    let policy = testing::policy(name).auto().for_workload(kind, name).actuation(actuation);
    context.apply(&policy.json()).await
}

/// What a Deployment's container should have; its policy has the same name.
pub(crate) async fn advise(context: &Context, name: &str, target: Value) -> Result<()> {
    let workload = ("apps/v1", "Deployment", name);
    recommend_by(context, name, &format!("deployment-{name}"), workload, "Auto", json!([target])).await
}

pub(crate) async fn start(context: &Context) -> Result<Plumb<'_>> {
    let account = account_with(context, "plumb", &["updater"], None).await?;
    let plumb = Plumb::start(
        &context.cluster.plane,
        &account.kubeconfig,
        &context.namespace,
        &["--roles", "updater"],
    )?;
    plumb.wait_ready().await?;
    Ok(plumb)
}

pub(crate) async fn pods_of(context: &Context, name: &str) -> Result<Vec<Pod>> {
    let all = context.api::<Pod>().list(&ListParams::default().labels(&format!("app={name}"))).await?.items;
    Ok(all.into_iter().filter(|pod| pod.metadata.deletion_timestamp.is_none()).collect())
}

pub(crate) async fn ready(context: &Context, name: &str, count: usize) -> Result<Vec<Pod>> {
    wait_for(&format!("{count} ready pods of {name}"), SOON, || async {
        let found = pods_of(context, name).await?;
        ensure!(found.len() == count && found.iter().all(pods::is_ready), "{} pods", found.len());
        Ok(found)
    })
    .await
}

/// State and the condition of that type of a recommendation.
pub(crate) async fn said(context: &Context, name: &str, condition: &str) -> Result<(String, Value)> {
    let found = context.api::<Recommendation>().get(&format!("deployment-{name}")).await?;
    let status = serde_json::to_value(found.status.context("no status")?)?;
    let conditions = status["conditions"].as_array().cloned().unwrap_or_default();
    let found = conditions.into_iter().find(|c| c["type"] == condition).unwrap_or_default();
    Ok((status["summary"]["state"].as_str().unwrap_or_default().to_owned(), found))
}

pub(crate) async fn wait_blocked(context: &Context, name: &str, reason: &str) -> Result<()> {
    wait_for(&format!("{name} to be held by {reason}"), SOON, || async {
        let (state, blocked) = said(context, name, "Blocked").await?;
        ensure!(state == "Blocked" && blocked["reason"] == reason, "{state}: {blocked}");
        Ok(())
    })
    .await
}

cluster_test!(pods_are_resized_in_place, [Node, Crds]);
async fn pods_are_resized_in_place(context: Context) -> Result<()> {
    let load = Load::named("web").uses("memory", "20Mi").requests("100m", "48Mi").memory_limit("128Mi");
    context.apply(&load.deployment(2)).await?;
    let mut same = Load::named("same").requests("60m", "48Mi").limits("60m", "48Mi").deployment(1);
    same["spec"]["template"]["metadata"]["labels"]["class"] = json!("guaranteed");
    context.apply(&same).await?;
    let before = ready(&context, "web", 2).await?;
    ready(&context, "same", 1).await?;
    for name in ["web", "same"] {
        policy(&context, name, "Deployment", json!({"guard": {"observe": "3s"}, "maxUnavailable": 1}))
            .await?;
    }
    // CPU shrinks by less than a step, memory grows.
    advise(&context, "web", container("load", "75m", "90Mi", "150Mi")).await?;
    let mut equal = container("load", "80m", "72Mi", "72Mi");
    equal["target"]["limits"]["cpu"] = json!("80m");
    advise(&context, "same", equal).await?;
    let plumb = start(&context).await?;
    let done = async {
        let after = wait_for("both pods to be resized", SOON, || async {
            let found = pods_of(&context, "web").await?;
            for pod in &found {
                let has = resources(pod, "load");
                ensure!(has["requests"] == json!({"cpu": "75m", "memory": "90Mi"}), "{has}");
            }
            ensure!(said(&context, "web", "Applied").await?.0 == "Applied", "not yet said");
            Ok(found)
        })
        .await?;
        for pod in &after {
            let status = pods::container(pod)?;
            ensure!(
                status.restart_count == 0 && before.iter().any(|old| old.uid() == pod.uid()),
                "restarted"
            );
            let limits = cgroups::of_container(&pods::container_id(pod)?)?;
            // With some headroom, in whole mebibytes.
            ensure!(limits.memory == Some(165 << 20), "{limits:?}");
        }
        wait_for("the Guaranteed pod to be resized", SOON, || async {
            let found = pods_of(&context, "same").await?;
            let pod = found.first().context("no pod")?;
            let has = resources(pod, "load");
            ensure!(has["requests"] == has["limits"] && has["requests"]["cpu"] == "80m", "{has}");
            let class = pod.status.as_ref().and_then(|status| status.qos_class.as_deref());
            ensure!(class == Some("Guaranteed"), "{class:?}");
            // What has been said has been counted: an action is counted after it can be seen.
            ensure!(said(&context, "same", "Applied").await?.0 == "Applied", "not yet said");
            Ok(())
        })
        .await?;
        events_tell(&context, "web", "Resized").await?;
        a_steady_cluster_costs_no_write(&context, &plumb).await
    };
    done.await.with_context(|| plumb.log())?;
    plumb.stop()?;
    Ok(())
}

pub(crate) async fn events_tell(context: &Context, workload: &str, reason: &str) -> Result<()> {
    wait_for("an event", SOON, || async {
        let all = context.api::<Event>().list(&ListParams::default()).await?.items;
        let found = all.iter().any(|event| {
            let regarding = event.regarding.as_ref().and_then(|regarding| regarding.name.as_deref());
            event.reason.as_deref() == Some(reason) && regarding == Some(workload)
        });
        ensure!(found, "{} events, none {reason}", all.len());
        Ok(())
    })
    .await
}

/// What stands is not written again, whoever looks.
async fn a_steady_cluster_costs_no_write(context: &Context, plumb: &Plumb<'_>) -> Result<()> {
    let version = || async {
        let found = context.api::<Recommendation>().get("deployment-web").await?;
        Ok::<_, anyhow::Error>((found.resource_version(), plumb.metric("plumb_updater_actions_total").await?))
    };
    let before = version().await?;
    plumb.plans(2).await?;
    let after = version().await?;
    ensure!(before == after, "{before:?}, then {after:?}");
    Ok(())
}

cluster_test!(what_keeps_a_pod_as_it_is_is_named, [Node, Crds]);
async fn what_keeps_a_pod_as_it_is_is_named(context: Context) -> Result<()> {
    let small = |name: &str| Load::named(name).requests("10m", "24Mi").memory_limit("64Mi");
    let never = json!({"windows": [{"schedule": "0 0 1 1 *", "duration": "1m"}]});
    let evict = json!({"method": "Evict", "minReplicas": 1});
    let cases: [(&str, &str, Value, &str); 8] = [
        ("paused", "Paused", json!({}), "20m"),
        ("closed", "WindowClosed", never, "20m"),
        ("created", "OnCreateOnly", json!({"method": "OnCreate"}), "20m"),
        ("huge", "NodeTooSmall", json!({"method": "InPlace"}), "900"),
        ("alone", "MinReplicas", json!({"method": "Evict"}), "20m"),
        ("budget", "DisruptionBudget", evict.clone(), "20m"),
        ("silent", "AdmissionSilent", evict, "20m"),
        ("bare", "BestEffort", json!({"method": "InPlace"}), "20m"),
    ];
    for (name, _, actuation, cpu) in &cases {
        policy(&context, name, "Deployment", actuation.clone()).await?;
        advise(&context, name, container("load", cpu, "40Mi", "64Mi")).await?;
        // By a process before this one.
        new_pods(&context, &format!("deployment-{name}"), "Target", json!([])).await?;
    }
    // Admission is judged by pods that are younger than what is recommended for them.
    later_second().await;
    for (name, ..) in &cases {
        let mut deployment = small(name).deployment(1);
        match *name {
            "bare" => deployment["spec"]["template"]["spec"]["containers"][0]["resources"] = json!({}),
            "paused" => deployment["metadata"]["annotations"] = json!({"plumb.dev/pause": "true"}),
            "budget" | "alone" => {
                let note = json!({"plumb.dev/sized": "{}"});
                deployment["spec"]["template"]["metadata"]["annotations"] = note;
            }
            _ => {}
        }
        context.apply(&deployment).await?;
    }
    context
        .apply(
            &json!({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "budget"},
            "spec": {"maxUnavailable": 0, "selector": {"matchLabels": {"app": "budget"}}}}),
        )
        .await?;
    let mut before = Vec::new();
    for (name, ..) in &cases {
        before.extend(ready(&context, name, 1).await?);
    }
    let plumb = start(&context).await?;
    let done = async {
        for (name, reason, ..) in &cases {
            wait_blocked(&context, name, reason).await?;
        }
        for pod in &before {
            let now = context.api::<Pod>().get(&pod.name_any()).await.context("a pod is gone")?;
            ensure!(resources(&now, "load") == resources(pod, "load"), "{} was changed", pod.name_any());
        }
        events_tell(&context, "budget", "DisruptionBudget").await?;
        the_kill_switch_stops_everything(&context).await
    };
    done.await.with_context(|| plumb.log())?;
    plumb.stop()?;
    Ok(())
}

async fn the_kill_switch_stops_everything(context: &Context) -> Result<()> {
    let namespace = ["--lease-namespace", &context.namespace];
    context.plumb(&[&["pause"], &namespace[..]].concat()).await?.ok()?;
    policy(context, "switch", "Deployment", json!({})).await?;
    context.apply(&Load::named("switch").requests("10m", "24Mi").memory_limit("64Mi").deployment(1)).await?;
    advise(context, "switch", container("load", "30m", "40Mi", "64Mi")).await?;
    ready(context, "switch", 1).await?;
    wait_blocked(context, "switch", "AllPaused").await?;
    context.plumb(&[&["resume"], &namespace[..]].concat()).await?.ok()?;
    wait_for("it to go on", SOON, || async {
        let found = pods_of(context, "switch").await?;
        let has = resources(found.first().context("no pod")?, "load");
        ensure!(has["requests"]["cpu"] == "30m", "{has}");
        Ok(())
    })
    .await
}

cluster_test!(harm_is_put_back, [Node, Crds]);
/// The first pod stops being ready after its change: it alone was changed, and gets back what it had.
async fn harm_is_put_back(context: Context) -> Result<()> {
    let mut deployment = Load::named("web").requests("60m", "32Mi").memory_limit("64Mi").deployment(3);
    deployment["spec"]["template"]["spec"]["readinessGates"] = json!([{"conditionType": "example.dev/well"}]);
    context.apply(&deployment).await?;
    let found = wait_for("three pods", SOON, || async {
        let found = pods_of(&context, "web").await?;
        ensure!(found.len() == 3, "{} pods", found.len());
        Ok(found)
    })
    .await?;
    for pod in &found {
        well(&context, &pod.name_any(), true).await?;
    }
    let before = ready(&context, "web", 3).await?;
    policy(&context, "web", "Deployment", json!({"guard": {"observe": "10m"}})).await?;
    advise(&context, "web", container("load", "45m", "32Mi", "64Mi")).await?;
    let plumb = start(&context).await?;
    let cpu = |pod: &Pod| resources(pod, "load")["requests"]["cpu"].as_str().unwrap_or_default().to_owned();
    let done = async {
        let first = wait_for("the first pod to be changed", SOON, || async {
            let found = pods_of(&context, "web").await?;
            let changed = found.iter().find(|pod| cpu(pod) == "45m").context("none is")?;
            Ok(changed.name_any())
        })
        .await?;
        well(&context, &first, false).await?;
        wait_for("it to be put back", SOON, || async {
            let pod = context.api::<Pod>().get(&first).await?;
            ensure!(cpu(&pod) == "60m", "it has {}", cpu(&pod));
            Ok(())
        })
        .await?;
        wait_for("the harm to be told", SOON, || async {
            let (state, degraded) = said(&context, "web", "Degraded").await?;
            ensure!(state == "Degraded" && degraded["status"] == "True", "{state}: {degraded}");
            Ok(())
        })
        .await?;
        events_tell(&context, "web", "RolledBack").await?;
        for pod in pods_of(&context, "web").await? {
            let old = before.iter().find(|old| old.uid() == pod.uid()).context("a pod was replaced")?;
            // A change of a pod's spec is a generation: the first was changed and put back, the others never.
            let changes = pod.metadata.generation.unwrap_or(0) - old.metadata.generation.unwrap_or(0);
            let expected = if pod.name_any() == first { 2 } else { 0 };
            ensure!(changes == expected, "{} was changed {changes} times", pod.name_any());
        }
        Ok(())
    };
    let done: Result<()> = done.await;
    done.with_context(|| plumb.log())?;
    plumb.stop()?;
    Ok(())
}

/// Sets the gate that a pod's readiness hangs on.
pub(crate) async fn well(context: &Context, pod: &str, well: bool) -> Result<()> {
    let status = if well { "True" } else { "False" };
    let patch = json!({"status": {"conditions": [{"type": "example.dev/well", "status": status}]}});
    let api: Api<Pod> = context.api();
    api.patch_status(pod, &PatchParams::default(), &Patch::Strategic(patch)).await?;
    Ok(())
}

cluster_test!(an_oom_loop_is_healed, [Node, MetricsServer, Crds]);
/// Two pods that need 110 MiB under a limit of 64 MiB: killed at once, and again at every start. plumb learns that from
/// their status alone, gives new ones what they need, and stops there.
async fn an_oom_loop_is_healed(context: Context) -> Result<()> {
    policy(&context, "loop", "Deployment", json!({})).await?;
    let roles = [("recommender", &["--interval", "2s"][..]), ("updater", &[]), ("webhook", &[])];
    let plumb = Roles::start(&context, &roles).await?;
    let load = Load::named("loop").uses("memory", "110Mi").requests("20m", "64Mi").memory_limit("64Mi");
    context.apply(&load.deployment(2)).await?;
    let done = async {
        wait_for("the first kill", SOON, || async {
            let found = pods_of(&context, "loop").await?;
            ensure!(found.iter().any(|pod| pods::last_end(pod).as_deref() == Some("OOMKilled")), "none yet");
            Ok(())
        })
        .await?;
        let begin = Instant::now();
        // A pod too small is ready for a moment at each start, and says its new limit before it has it: healed are
        // those that then stay as they are.
        let (since, limits) = wait_for("both pods to stay up with what they need", SOON, || async {
            let first = up_with(&context, 110).await?;
            let since = Instant::now();
            while since.elapsed() < Duration::from_secs(15) {
                tokio::time::sleep(Duration::from_millis(200)).await;
                ensure!(up_with(&context, 110).await? == first, "killed again");
            }
            Ok((since, first.into_values().map(|(mib, _)| mib).collect::<Vec<_>>()))
        })
        .await?;
        let took = since.duration_since(begin);
        println!("healed {took:?} after the first kill, with limits of {limits:?} MiB");
        // Two evictions and two starts on a busy machine; what is not urgent waits for minutes (canary, pace, cooldown).
        ensure!(took < Duration::from_secs(60), "it took {took:?}");
        let last = known_limit(&context).await?;
        println!("the final limit is {last} MiB");
        ensure!(last < 200 && limits.iter().all(|mib| *mib < 200), "limits of {limits:?}, then {last} MiB");
        Ok(())
    };
    let done: Result<()> = done.await;
    done.with_context(|| plumb.log())?;
    plumb.stop()?;
    Ok(())
}

/// The limit in MiB that is recommended when more than the kills is known: what the pods use.
async fn known_limit(context: &Context) -> Result<u64> {
    let recommendations = context.api::<Recommendation>();
    wait_for("a limit that follows from what they use", SOON, || async {
        let status = recommendations.get("deployment-loop").await?.status.context("no status")?;
        let container = status.containers.first().context("no container")?;
        ensure!(container.reasons.iter().any(|reason| reason.contains("above the peak of")), "no usage yet");
        let limit = container.target.limits.memory.as_ref().context("no limit")?;
        Ok(limit.value().as_bytes().context("negative")?.0 >> 20)
    })
    .await
}

/// Memory limit in MiB and restarts of the two pods of `loop`, by uid, if both are ready with more than that limit.
async fn up_with(context: &Context, least: u64) -> Result<BTreeMap<String, (u64, i32)>> {
    let mut up = BTreeMap::new();
    for pod in pods_of(context, "loop").await? {
        let limit = memory_limit(&pod)?;
        ensure!(pods::is_ready(&pod) && limit > least, "not ready, or {limit} MiB");
        up.insert(pod.uid().context("no uid")?, (limit, pods::container(&pod)?.restart_count));
    }
    ensure!(up.len() == 2, "{} pods", up.len());
    Ok(up)
}

/// A pod's memory limit, in MiB.
pub(crate) fn memory_limit(pod: &Pod) -> Result<u64> {
    let limit: plumb::units::Quantity =
        resources(pod, "load")["limits"]["memory"].as_str().context("none")?.parse()?;
    Ok(limit.as_bytes().context("negative")?.0 >> 20)
}
