//! Conformance of the simulator: what API server and kubelet make of a resize, asked of the real ones.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::{LimitRange, Node, Pod, ResourceQuota};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as Amount;
use kube::Api;
use kube::api::DeleteParams;
use plumb::replay::simulate::rules;
use plumb::replay::simulate::scene::Namespace;
use plumb::units::Quantity;
use serde_json::{Value, json};

use crate::support::conform::{
    all_sizes, amounts, condition, container, create, init, pod, refused, resize, resized, sizes, step, used,
    wait_pod, wait_unschedulable, wait_used, would_resize, would_resize_init,
};
use crate::support::{Context, Load, node, pods, wait_for};

cluster_test!(conformance_of_resizes, [Node]);
async fn conformance_of_resizes(context: Context) -> Result<()> {
    let web = Load::named("web").uses("memory", "20Mi").requests("50m", "32Mi").limits("100m", "64Mi");
    let hog = Load::named("hog").uses("memory", "60Mi").requests("10m", "32Mi").memory_limit("128Mi");
    for load in [web, hog, Load::named("plain").requests("50m", "32Mi")] {
        context.create_pod(&load).await?;
    }
    let ended = json!([{"name": "load", "image": node::IMAGE, "imagePullPolicy": "Never", "args": ["--none"],
                        "resources": sizes(("10m", "16Mi"), ("", ""))}]);
    let mut ended = pod("ended", ended, json!([]));
    ended["spec"]["restartPolicy"] = json!("Never");
    create(&context, &ended).await?;
    let best_effort = json!([container("load", json!({}))]);
    create(&context, &pod("besteffort", best_effort, json!([]))).await?;
    for name in ["web", "hog", "plain"] {
        pods::wait_ready(&context.api(), name).await?;
    }
    step("what the API server refuses", refusals(&context)).await?;
    step("LimitRanges hold for resizes, before the node's size and the quota", limit_ranges(&context))
        .await?;
    step("a resize that is granted", granted(&context)).await?;
    let (deferred, below) = tokio::join!(
        step("a resize that the node has no room for now", deferred(&context)),
        step("a memory limit below what is used", below_usage(&context)),
    );
    deferred.and(below)
}

async fn refusals(context: &Context) -> Result<()> {
    let ask = |pod: &'static str, to: Value| would_resize(context, pod, "load", to);
    let (more, class) = (sizes(("60m", "40Mi"), ("", "")), "Pod QOS Class may not change");
    step("a resize to Guaranteed", async {
        refused(ask("web", sizes(("100m", "64Mi"), ("100m", "64Mi"))).await?, 422, class)
    })
    .await?;
    step("requests for a BestEffort pod", async {
        refused(ask("besteffort", more.clone()).await?, 422, class)
    })
    .await?;
    step("a limit removed", async {
        let without = json!({"limits": {"memory": null}});
        refused(ask("web", without).await?, 422, "resource limits cannot be removed")
    })
    .await?;
    step("a request removed", async {
        let without = json!({"requests": {"cpu": null}});
        refused(ask("plain", without).await?, 422, "resource requests cannot be removed")
    })
    .await?;
    step("a limit added", async {
        let added = ask("plain", json!({"limits": {"memory": "64Mi"}})).await??;
        ensure!(limits_of(&added).contains_key("memory"), "{:?}", limits_of(&added));
        Ok(())
    })
    .await?;
    step("a request above its limit", async {
        let above = json!({"requests": {"memory": "80Mi"}});
        refused(ask("web", above).await?, 422, "must be less than or equal to memory limit")
    })
    .await?;
    step("a pod that has ended", async {
        wait_pod(context, "ended", "the pod to end", 60, |pod| {
            let phase = pod.status.as_ref().and_then(|status| status.phase.clone());
            ensure!(phase.as_deref() == Some("Failed"), "{phase:?}");
            Ok(())
        })
        .await?;
        ask("ended", more.clone()).await?.context("it is refused")?;
        Ok(())
    })
    .await?;
    step("a pod that is gone", async { refused(ask("absent", more.clone()).await?, 404, "not found") })
        .await?;
    step("more than the node has", async {
        refused(ask("plain", sizes(("500", ""), ("", ""))).await?, 403, "didn't have enough allocatable")
    })
    .await?;
    step("a pod without a node", without_node(context)).await
}

/// No node bounds it, and its init containers can be resized as long as they have not run.
async fn without_node(context: &Context) -> Result<()> {
    let size = || sizes(("10m", "16Mi"), ("", ""));
    let containers = json!([container("load", size())]);
    let mut waits =
        pod("waits", containers, json!([init("first", false, size()), init("beside", true, size())]));
    waits["spec"]["schedulingGates"] = json!([{"name": "plumb.test/gate"}]);
    create(context, &waits).await?;
    let huge = sizes(("500", ""), ("", ""));
    would_resize(context, "waits", "load", huge.clone()).await?.context("more than any node has")?;
    would_resize_init(context, "waits", "beside", huge.clone()).await.context("a sidecar")?;
    would_resize_init(context, "waits", "first", huge).await.context("an init container")?;
    Ok(())
}

fn limits_of(pod: &Pod) -> BTreeMap<String, Amount> {
    let resources = pod.spec.as_ref().and_then(|spec| spec.containers.first()?.resources.clone());
    resources.and_then(|resources| resources.limits).unwrap_or_default()
}

async fn limit_ranges(context: &Context) -> Result<()> {
    let range = json!({"apiVersion": "v1", "kind": "LimitRange", "metadata": {"name": "range"}, "spec": {"limits": [
        {"type": "Container", "max": amounts("1", "256Mi"), "min": {"memory": "16Mi"},
         "default": {"memory": "200Mi", "cpu": "1"}, "defaultRequest": amounts("10m", "16Mi"),
         "maxLimitRequestRatio": {"memory": "4"}},
    ]}});
    context.apply(&range).await?;
    let ask = |pod: &'static str, to: Value| would_resize(context, pod, "load", to);
    let maximum = "maximum memory usage per Container is 256Mi";
    wait_for("the LimitRange to hold", Duration::from_secs(20), || async {
        refused(ask("web", sizes(("", "200Mi"), ("", "512Mi"))).await?, 403, maximum)
    })
    .await?;
    step("what is in range and what is not", in_range(context)).await?;
    step("a resize brings defaults, which are for new pods, to a container that lacks a limit", async {
        let answer = ask("hog", sizes(("20m", ""), ("", ""))).await??;
        let limits = limits_of(&answer);
        ensure!(limits.get("cpu").is_some_and(|limit| limit.0 == "1"), "{limits:?}");
        Ok(())
    })
    .await?;
    let quota = json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "quota"},
                       "spec": {"hard": {"requests.cpu": "300m", "limits.memory": "1Gi"}}});
    context.apply(&quota).await?;
    wait_for("the quota to be counted", Duration::from_secs(20), || used(context, "quota", "requests.cpu"))
        .await?;
    step("what is invalid is said before a LimitRange's no", async {
        refused(
            ask("web", sizes(("600", "80Mi"), ("500", "512Mi"))).await?,
            422,
            "must be less than or equal",
        )
    })
    .await?;
    let huge = || sizes(("500", ""), ("500", ""));
    step("a LimitRange's no before the node's", async {
        refused(ask("web", huge()).await?, 403, "maximum cpu usage per Container is 1")
    })
    .await?;
    context.api::<LimitRange>().delete("range", &DeleteParams::default()).await?;
    wait_for("the node's no before the quota's", Duration::from_secs(20), || async {
        refused(ask("web", huge()).await?, 403, "didn't have enough allocatable")
    })
    .await?;
    step("a quota's no", async {
        refused(ask("web", sizes(("400m", ""), ("400m", ""))).await?, 403, "exceeded quota: quota")
    })
    .await?;
    step("a shrink under a quota that is full", quota_follows(context)).await?;
    context.api::<ResourceQuota>().delete("quota", &DeleteParams::default()).await?;
    Ok(())
}

/// Least, most and ratio, of the server and of the simulator.
async fn in_range(context: &Context) -> Result<()> {
    let namespace = Namespace {
        least_mib: Some(16),
        most_mib: Some(256),
        most_milli: Some(1000),
        ratio: Some(4),
        ..Namespace::default()
    };
    let before = context.api::<Pod>().get("web").await?;
    let cases = [
        (sizes(("", "16Mi"), ("", "64Mi")), ""),
        (sizes(("", "64Mi"), ("", "256Mi")), ""),
        (sizes(("1", ""), ("1", "96Mi")), ""),
        (sizes(("", "15Mi"), ("", "60Mi")), "minimum memory usage per Container is 16Mi"),
        (sizes(("", "65Mi"), ("", "257Mi")), "maximum memory usage per Container is 256Mi"),
        (sizes(("", "16Mi"), ("", "65Mi")), "memory max limit to request ratio per Container is 4"),
        (sizes(("", ""), ("1001m", "")), "maximum cpu usage per Container is 1"),
    ];
    for (to, says) in cases {
        let after = all_sizes(&resized(&before, "load", &to)?)?;
        let model = after.iter().all(|size| rules::in_range(size, &namespace));
        ensure!(model == says.is_empty(), "{to}: the simulator says {model}");
        let answer = would_resize(context, "web", "load", to.clone()).await?;
        if model {
            answer.with_context(|| to.to_string())?;
        } else {
            refused(answer, 403, says).with_context(|| to.to_string())?;
        }
    }
    Ok(())
}

/// What a growth takes is counted at once, what a shrink gives back once the kubelet has done it.
async fn quota_follows(context: &Context) -> Result<()> {
    let before = used(context, "quota", "requests.cpu").await?;
    resize(context, "web", "load", sizes(("60m", ""), ("110m", ""))).await?;
    wait_used(context, "quota", "requests.cpu", before + 10).await?;
    resize(context, "web", "load", sizes(("50m", ""), ("100m", ""))).await?;
    wait_used(context, "quota", "requests.cpu", before).await
}

/// What a container's status says that it has: CPU request in thousandths of a core, memory limit in bytes.
fn given(pod: &Pod) -> Result<(u64, u64)> {
    let resources = pods::container(pod)?.resources.clone().context("no resources in the status")?;
    let read = |of: &Option<BTreeMap<String, Amount>>, name: &str| -> Option<Quantity> {
        of.as_ref()?.get(name)?.0.parse().ok()
    };
    let cpu = read(&resources.requests, "cpu").map_or(0, |quantity| quantity.as_cores().to_milli());
    let limit = read(&resources.limits, "memory").and_then(Quantity::as_bytes);
    Ok((cpu, limit.map_or(0, |bytes| bytes.0)))
}

/// What it has been promised: CPU request, in thousandths of a core.
fn allocated(pod: &Pod) -> Result<u64> {
    let all = pods::container(pod)?.allocated_resources.clone().context("no allocated resources")?;
    Ok(all.get("cpu").context("no CPU")?.0.parse::<Quantity>()?.as_cores().to_milli())
}

async fn granted(context: &Context) -> Result<()> {
    let answer = resize(context, "web", "load", sizes(("80m", "40Mi"), ("160m", "96Mi"))).await?;
    let generation = answer.metadata.generation;
    let done = wait_pod(context, "web", "the resize to be done", 30, |pod| {
        let (given, allocated) = (given(pod)?, allocated(pod)?);
        ensure!(given == (80, 96 << 20) && allocated == 80, "given {given:?}, allocated {allocated}");
        let observed = pod.status.as_ref().and_then(|status| status.observed_generation);
        ensure!(observed == generation, "observed {observed:?} of {generation:?}");
        let states = ["PodResizePending", "PodResizeInProgress"];
        ensure!(states.iter().all(|state| condition(pod, state).is_none()), "it still says so");
        Ok(())
    })
    .await?;
    ensure!(pods::container(&done)?.restart_count == 0, "{}", pods::describe(&done));
    Ok(())
}

async fn deferred(context: &Context) -> Result<()> {
    let node = Api::<Node>::all(context.client()).get(node::NAME).await?;
    let all = node.status.and_then(|status| status.allocatable).context("nothing allocatable")?;
    let whole = all.get("cpu").context("no CPU")?.0.parse::<Quantity>()?.as_cores().to_milli();
    // 300m are left for what is there, which takes 80m + 50m + 10m of them, and for a pod that comes later.
    let filler = Load::named("filler").requests(&format!("{}m", whole - 300), "16Mi");
    context.run_pod(&filler).await?;
    resize(context, "web", "load", sizes(("400m", ""), ("800m", "128Mi"))).await?;
    let waits = wait_pod(context, "web", "the resize to be deferred", 30, |pod| {
        let pending = condition(pod, "PodResizePending").context("nothing is pending")?;
        let (reason, message) = (pending.reason.as_deref(), pending.message.clone().unwrap_or_default());
        ensure!(reason == Some("Deferred") && message.contains("cpu"), "{reason:?}: {message}");
        Ok(())
    })
    .await?;
    ensure!(condition(&waits, "PodResizeInProgress").is_none(), "it is in progress");
    ensure!(given(&waits)? == (80, 96 << 20) && allocated(&waits)? == 80, "a part of it was done");
    step("the scheduler keeps room for what is deferred", async {
        // 160m are free of what pods have, none of what they have asked for.
        context.create_pod(&Load::named("late").requests("100m", "16Mi")).await?;
        wait_unschedulable(context, "late", "Insufficient cpu").await?;
        context.api::<Pod>().delete("late", &DeleteParams::default().grace_period(0)).await?;
        Ok(())
    })
    .await?;
    let room = Instant::now();
    context.api::<Pod>().delete("filler", &DeleteParams::default()).await?;
    wait_pod(context, "web", "the deferred resize to be done", 45, |pod| {
        let given = given(pod)?;
        ensure!(given == (400, 128 << 20), "{given:?}");
        ensure!(condition(pod, "PodResizePending").is_none(), "it is pending");
        ensure!(pods::container(pod)?.restart_count == 0, "{}", pods::describe(pod));
        Ok(())
    })
    .await?;
    println!("a deferred resize was done {:.1} s after there was room", room.elapsed().as_secs_f64());
    Ok(())
}

async fn below_usage(context: &Context) -> Result<()> {
    let begin = Instant::now();
    resize(context, "hog", "load", sizes(("", "32Mi"), ("", "40Mi"))).await?;
    let fails = wait_pod(context, "hog", "the limit below usage to fail", 40, |pod| {
        let state = condition(pod, "PodResizeInProgress").context("it is not in progress")?;
        let (reason, message) = (state.reason.as_deref(), state.message.clone().unwrap_or_default());
        ensure!(reason == Some("Error") && message.contains("below current usage"), "{reason:?}: {message}");
        Ok(())
    })
    .await?;
    println!("a limit below usage was an error after {:.1} s", begin.elapsed().as_secs_f64());
    ensure!(given(&fails)?.1 == 128 << 20, "the status says {:?}", given(&fails)?);
    ensure!(pods::container(&fails)?.restart_count == 0, "{}", pods::describe(&fails));
    resize(context, "hog", "load", sizes(("", "32Mi"), ("", "100Mi"))).await?;
    let mended = wait_pod(context, "hog", "the error to go", 40, |pod| {
        ensure!(given(pod)?.1 == 100 << 20, "{:?}", given(pod)?);
        ensure!(condition(pod, "PodResizeInProgress").is_none(), "it is in progress");
        Ok(())
    })
    .await?;
    ensure!(pods::container(&mended)?.restart_count == 0, "{}", pods::describe(&mended));
    Ok(())
}

/// On a node whose kubelet gives CPUs away whole. Size alone makes no resize Infeasible: the API server refuses what is
/// above the node.
pub async fn infeasible(context: &Context) -> Result<()> {
    context.run_pod(&Load::named("whole").requests("200m", "32Mi").limits("200m", "32Mi")).await?;
    context.run_pod(&Load::named("filler").requests("1", "16Mi")).await?;
    step("Infeasible comes before Deferred", async {
        resize(context, "whole", "load", sizes(("1500m", ""), ("1500m", ""))).await?;
        let pod = wait_pod(context, "whole", "the resize to be infeasible", 30, |pod| {
            let pending = condition(pod, "PodResizePending").context("nothing is pending")?;
            ensure!(pending.reason.as_deref() == Some("Infeasible"), "{pending:?}");
            Ok(())
        })
        .await?;
        ensure!(given(&pod)?.0 == 200 && allocated(&pod)? == 200, "{:?}", given(&pod)?);
        Ok(())
    })
    .await?;
    step("the scheduler keeps no room for what is infeasible", async {
        context.run_pod(&Load::named("late").requests("300m", "16Mi")).await?;
        Ok(())
    })
    .await?;
    step("asked for what it has, it is done", async {
        resize(context, "whole", "load", sizes(("200m", ""), ("200m", ""))).await?;
        wait_pod(context, "whole", "nothing to be pending", 30, |pod| {
            ensure!(condition(pod, "PodResizePending").is_none(), "it is pending");
            Ok(())
        })
        .await
    })
    .await?;
    Ok(())
}
