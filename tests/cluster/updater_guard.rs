//! What is harm to a changed pod and what is not, and that neither is forgotten with the process: on the real node, by an
//! updater that runs alone, as the chart installs it.

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::events::v1::Event;
use kube::ResourceExt;
use kube::api::ListParams;
use plumb::api::Recommendation;
use serde_json::{Value, json};

use crate::support::plumb::{Plumb, account_with};
use crate::support::recommended::{container, resources};
use crate::support::{Context, Load, cgroups, pods, wait_for};
use crate::updater::{SOON, advise, events_tell, pods_of, policy, ready, said, start, wait_blocked, well};

fn cpu(pod: &Pod) -> String {
    resources(pod, "load")["requests"]["cpu"].as_str().unwrap_or_default().to_owned()
}

cluster_test!(a_restart_by_the_resize_itself_is_no_harm, [Node, Crds]);
/// Its policy says that a resize of CPU restarts the container: both pods are resized, each is restarted once, and the
/// first one's restart stops nothing.
async fn a_restart_by_the_resize_itself_is_no_harm(context: Context) -> Result<()> {
    let mut deployment = Load::named("web").requests("60m", "32Mi").memory_limit("64Mi").deployment(2);
    deployment["spec"]["template"]["spec"]["containers"][0]["resizePolicy"] =
        json!([{"resourceName": "cpu", "restartPolicy": "RestartContainer"}]);
    context.apply(&deployment).await?;
    let before = ready(&context, "web", 2).await?;
    let quick = json!({"method": "InPlace", "guard": {"observe": "10s"}, "maxUnavailable": 2});
    policy(&context, "web", "Deployment", quick).await?;
    advise(&context, "web", container("load", "90m", "32Mi", "64Mi")).await?;
    let plumb = start(&context).await?;
    let done = async {
        let after = wait_for("both pods to be resized and up again", SOON + SOON, || async {
            let state = said(&context, "web", "Degraded").await?;
            ensure!(state.0 != "Degraded", "{state:?}");
            let found = ready(&context, "web", 2).await?;
            ensure!(found.iter().all(|pod| cpu(pod) == "90m"), "not yet: {state:?}");
            ensure!(state.0 == "Applied", "{state:?}");
            Ok(found)
        })
        .await?;
        for pod in &after {
            ensure!(before.iter().any(|old| old.uid() == pod.uid()), "a pod was replaced");
            let restarts = pods::container(pod)?.restart_count;
            ensure!(restarts == 1, "{} was restarted {restarts} times", pod.name_any());
        }
        Ok(())
    };
    let done: Result<()> = done.await;
    done.with_context(|| plumb.log())?;
    plumb.stop()?;
    Ok(())
}

/// What is kept of the first pod.
async fn canary(context: &Context) -> Result<Value> {
    let found = context.api::<Recommendation>().get("deployment-web").await?;
    Ok(json!(found.status.and_then(|status| status.canary)))
}

cluster_test!(harm_and_what_is_watched_outlive_the_process, [Node, Crds]);
/// The updater is killed while it watches the first pod, which comes to harm meanwhile: the next one puts that back. It is
/// killed too: the third one does not try it again.
async fn harm_and_what_is_watched_outlive_the_process(context: Context) -> Result<()> {
    let mut deployment = Load::named("web").requests("60m", "32Mi").memory_limit("64Mi").deployment(2);
    deployment["spec"]["template"]["spec"]["readinessGates"] = json!([{"conditionType": "example.dev/well"}]);
    context.apply(&deployment).await?;
    let found = wait_for("two pods", SOON, || async {
        let found = pods_of(&context, "web").await?;
        ensure!(found.len() == 2, "{} pods", found.len());
        Ok(found)
    })
    .await?;
    for pod in &found {
        well(&context, &pod.name_any(), true).await?;
    }
    let before = ready(&context, "web", 2).await?;
    policy(&context, "web", "Deployment", json!({"guard": {"observe": "10m"}})).await?;
    advise(&context, "web", container("load", "45m", "32Mi", "64Mi")).await?;
    let plumb = start(&context).await?;
    let first = wait_for("the first pod to be watched", SOON, || async {
        let watched = canary(&context).await?["watched"].clone();
        let uid = watched["uid"].as_str().context("none is")?.to_owned();
        ensure!(watched["by"] == "Resize" && watched["ready"] == true, "{watched}");
        let pod = pods_of(&context, "web").await?.into_iter().find(|pod| pod.uid() == Some(uid.clone()));
        Ok(pod.context("no such pod")?.name_any())
    })
    .await
    .with_context(|| plumb.log())?;
    plumb.kill()?;
    well(&context, &first, false).await?;
    let plumb = start(&context).await?;
    let told = wait_for("the next one to put it back and say so", SOON, || async {
        let pod = context.api::<Pod>().get(&first).await?;
        ensure!(cpu(&pod) == "60m", "it has {}", cpu(&pod));
        ensure!(said(&context, "web", "Degraded").await?.0 == "Degraded", "not told");
        let harm = canary(&context).await?["harm"].clone();
        ensure!(harm["times"] == 1, "{harm}");
        Ok(harm)
    })
    .await
    .with_context(|| plumb.log())?;
    plumb.kill()?;
    well(&context, &first, true).await?;
    let plumb = start(&context).await?;
    let done = async {
        plumb.plans(4).await?;
        wait_for("the next one to hold it back", SOON, || async {
            let blocked = said(&context, "web", "Blocked").await?.1;
            ensure!(blocked["reason"] == "RolledBack", "{blocked}");
            Ok(())
        })
        .await?;
        for pod in ready(&context, "web", 2).await? {
            let old = before.iter().find(|old| old.uid() == pod.uid()).context("a pod was replaced")?;
            let changes = pod.metadata.generation.unwrap_or(0) - old.metadata.generation.unwrap_or(0);
            let expected = if pod.name_any() == first { 2 } else { 0 };
            ensure!(changes == expected, "{} was changed {changes} times", pod.name_any());
        }
        ensure!(canary(&context).await?["harm"] == told, "it is another harm: {told}");
        Ok(())
    };
    let done: Result<()> = done.await;
    done.with_context(|| plumb.log())?;
    plumb.stop()?;
    Ok(())
}

cluster_test!(a_limit_below_what_is_used_is_taken_back, [Node, Crds]);
/// A limit below what is in use: the kubelet refuses, nothing is harmed, and it is taken back and told.
async fn a_limit_below_what_is_used_is_taken_back(context: Context) -> Result<()> {
    let load = Load::named("web").uses("memory", "60Mi").requests("20m", "32Mi").memory_limit("256Mi");
    context.apply(&load.deployment(1)).await?;
    let before = ready(&context, "web", 1).await?;
    let whole = json!({"guard": {"observe": "5s"}, "maxStepPercent": {"shrink": 90}});
    policy(&context, "web", "Deployment", whole).await?;
    advise(&context, "web", container("load", "20m", "32Mi", "40Mi")).await?;
    let plumb = start(&context).await?;
    let limit = |pod: &Pod| resources(pod, "load")["limits"]["memory"].clone();
    let done = async {
        // It is there for half a minute only: its event stays.
        wait_for("the smaller limit to be tried", SOON, || async {
            let events = context.api::<Event>().list(&ListParams::default()).await?.items;
            let tried = |event: &&Event| event.reason.as_deref() == Some("Resized");
            let notes: Vec<_> =
                events.iter().filter(tried).filter_map(|event| event.note.as_deref()).collect();
            ensure!(notes.iter().any(|note| note.contains("memory limit 256Mi → 44Mi")), "{notes:?}");
            Ok(())
        })
        .await?;
        wait_blocked(&context, "web", "BelowUsage").await?;
        wait_for("the old limit to be back", SOON, || async {
            let now = pods_of(&context, "web").await?;
            ensure!(now.iter().all(|pod| limit(pod) == "256Mi"), "not yet");
            Ok(())
        })
        .await?;
        let now = ready(&context, "web", 1).await?;
        ensure!(now[0].uid() == before[0].uid(), "the pod was replaced");
        ensure!(pods::container(&now[0])?.restart_count == 0, "restarted");
        let enforced = cgroups::of_container(&pods::container_id(&now[0])?)?;
        ensure!(enforced.memory == Some(256 << 20), "{enforced:?}");
        Ok(())
    };
    let done: Result<()> = done.await;
    done.with_context(|| plumb.log())?;
    plumb.stop()?;
    Ok(())
}

cluster_test!(an_updater_alone_sees_that_a_changed_pod_waits_for_cpu, [Node, Prometheus, Crds]);
/// CPU is cut below what a container uses: nothing but throttling shows it, and no recommender is there to tell.
async fn an_updater_alone_sees_that_a_changed_pod_waits_for_cpu(context: Context) -> Result<()> {
    let load = Load::named("web").uses("cpu", "150m").requests("160m", "32Mi").limits("500m", "64Mi");
    context.apply(&load.deployment(2)).await?;
    ready(&context, "web", 2).await?;
    let prometheus = context.cluster.prometheus().await?;
    wait_for("Prometheus to know how its pods are", SOON, || async {
        let of = format!("{{namespace=\"{}\",container=\"load\"}}", context.namespace);
        let known =
            prometheus.query(&format!("rate(container_cpu_cfs_periods_total{of}[1m]) > 0")).await?.len();
        ensure!(known == 2, "{known} of 2");
        Ok(())
    })
    .await?;
    let whole = json!({"guard": {"observe": "10m"}, "maxStepPercent": {"shrink": 90}});
    policy(&context, "web", "Deployment", whole).await?;
    let mut less = container("load", "100m", "32Mi", "64Mi");
    less["target"]["limits"]["cpu"] = json!("100m");
    less["limitRules"] = json!({"cpu": "Equal"});
    advise(&context, "web", less).await?;
    let account = account_with(&context, "plumb", &["updater"], None).await?;
    let flags = ["--roles", "updater", "--prometheus", &prometheus.url];
    let plumb = Plumb::start(&context.cluster.plane, &account.kubeconfig, &context.namespace, &flags)?;
    plumb.wait_ready().await?;
    let done = async {
        // It may be put back before it is seen here.
        events_tell(&context, "web", "Resized").await?;
        let degraded = wait_for("that to be seen and put back", SOON + SOON, || async {
            let (state, degraded) = said(&context, "web", "Degraded").await?;
            ensure!(state == "Degraded", "{state}");
            let now = pods_of(&context, "web").await?;
            ensure!(now.iter().all(|pod| cpu(pod) == "160m"), "not put back");
            Ok(degraded)
        })
        .await?;
        let message = degraded["message"].as_str().unwrap_or_default();
        println!("{message}");
        ensure!(message.contains("waits for CPU in"), "{message}");
        Ok(())
    };
    let done: Result<()> = done.await;
    done.with_context(|| plumb.log())?;
    plumb.stop()?;
    Ok(())
}
