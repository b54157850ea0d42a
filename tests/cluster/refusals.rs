//! What the cluster does not allow is left alone and named, beside what tests/cluster/updater.rs shows: a quota, a full
//! node, a rollout that hangs, and a container that no memory is enough for.

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::ListParams;
use kube::{Api, ResourceExt};
use plumb::testing;
use serde_json::json;

use crate::support::recommended::{container, resources};
use crate::support::roles::Roles;
use crate::support::{Context, Load, wait_for};
use crate::updater::{SOON, advise, memory_limit, pods_of, policy, ready, said, start, wait_blocked};

cluster_test!(what_the_cluster_does_not_allow_is_named, [Node, Crds]);
async fn what_the_cluster_does_not_allow_is_named(context: Context) -> Result<()> {
    // Room for what is there, and for no more.
    context
        .apply(&json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "full"},
            "spec": {"hard": {"requests.memory": "144Mi"}}}))
        .await?;
    let small = |name: &str| {
        let cpu = if name == "rollout" { "40m" } else { "10m" };
        Load::named(name).requests(cpu, "32Mi").memory_limit("64Mi")
    };
    let in_place = json!({"method": "InPlace"});
    for name in ["quota", "full", "rollout"] {
        policy(&context, name, "Deployment", in_place.clone()).await?;
        let mut deployment = small(name).deployment(1);
        deployment["spec"]["strategy"] = json!({"rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}});
        context.apply(&deployment).await?;
    }
    // Somebody else's, so that the node holds less than it could.
    context.apply(&Load::named("other").requests("300m", "16Mi").deployment(1)).await?;
    ready(&context, "other", 1).await?;
    let mut before = Vec::new();
    for name in ["quota", "full", "rollout"] {
        before.extend(ready(&context, name, 1).await?);
    }
    // A new revision that never becomes ready.
    let mut next = small("rollout").deployment(1);
    next["spec"]["strategy"] = json!({"rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}});
    next["spec"]["template"]["spec"]["readinessGates"] = json!([{"conditionType": "example.dev/never"}]);
    context.apply(&next).await?;
    wait_for("the second revision's pod", SOON, || async {
        let found = pods_of(&context, "rollout").await?.len();
        ensure!(found == 2, "{found} pods");
        Ok(())
    })
    .await?;
    let nodes = Api::<Node>::all(context.client()).list(&ListParams::default()).await?.items;
    let node = nodes.iter().find(|node| Some(node.name_any()) == node_of(&before[0])).context("no node")?;
    let allocatable = node.status.as_ref().and_then(|status| status.allocatable.as_ref());
    let cpu: plumb::units::Quantity =
        allocatable.and_then(|all| all.get("cpu")).context("no CPU")?.0.parse()?;
    let nearly_all = format!("{}m", cpu.as_cores().to_milli() - 200);
    advise(&context, "quota", container("load", "10m", "48Mi", "64Mi")).await?;
    advise(&context, "full", container("load", &nearly_all, "32Mi", "64Mi")).await?;
    // What would grow may grow.
    advise(&context, "rollout", container("load", "20m", "32Mi", "64Mi")).await?;
    let plumb = start(&context).await?;
    let done = async {
        wait_blocked(&context, "quota", "AdmissionRefuses").await?;
        wait_blocked(&context, "full", "NodeFull").await?;
        // This passes by itself, and so is not called blocked.
        wait_for("the rollout to be named", SOON, || async {
            let found = context.api::<plumb::api::Recommendation>().get("deployment-rollout").await?;
            let summary = found.status.context("no status")?.summary;
            let message = summary.message.unwrap_or_default();
            ensure!(message.contains("rolled out"), "{:?}: {message}", summary.state);
            Ok(())
        })
        .await?;
        for pod in before.iter().filter(|pod| pod.labels()["app"] != "full") {
            let now = context.api::<Pod>().get(&pod.name_any()).await.context("a pod is gone")?;
            ensure!(resources(&now, "load") == resources(pod, "load"), "{} was changed", pod.name_any());
        }
        Ok(())
    };
    let done: Result<()> = done.await;
    done.with_context(|| plumb.log())?;
    plumb.stop()?;
    Ok(())
}

cluster_test!(what_no_node_can_hold_is_capped_and_named, [Node, MetricsServer, Crds]);
/// A policy asks for more than any node has: what is recommended, and so what is asked for, is what the largest can give;
/// and both say so.
async fn what_no_node_can_hold_is_capped_and_named(context: Context) -> Result<()> {
    let huge = testing::policy("huge")
        .auto()
        .actuation(json!({"method": "InPlace"}))
        .all_containers(json!({"minAllowed": {"cpu": "900"}}));
    context.apply(&huge.json()).await?;
    context.apply(&Load::named("huge").requests("20m", "32Mi").memory_limit("64Mi").deployment(1)).await?;
    let before = ready(&context, "huge", 1).await?;
    let nodes = Api::<Node>::all(context.client()).list(&ListParams::default()).await?.items;
    let cpu_of = |node: &Node| {
        let all = node.status.as_ref()?.allocatable.as_ref()?;
        Some(all.get("cpu")?.0.parse::<plumb::units::Quantity>().ok()?.as_cores().to_milli())
    };
    let largest = nodes.iter().filter_map(cpu_of).max().context("no node has CPU")?;
    let roles = [("recommender", &["--interval", "2s"][..]), ("updater", &[])];
    let plumb = Roles::start(&context, &roles).await?;
    let done = async {
        wait_for("as much to be asked for as a node can hold", SOON, || async {
            let now = pods_of(&context, "huge").await?.pop().context("it is gone")?;
            ensure!(now.uid() == before[0].uid(), "it was replaced");
            let asked: plumb::units::Quantity =
                resources(&now, "load")["requests"]["cpu"].as_str().context("no request")?.parse()?;
            let asked = asked.as_cores().to_milli();
            ensure!(asked == largest, "{asked}m are asked for, the largest node has {largest}m");
            Ok(())
        })
        .await?;
        let (_, limited) = said(&context, "huge", "Limited").await?;
        ensure!(limited["status"] == "True" && limited["reason"] == "LargestNode", "{limited}");
        let refused = plumb.of("updater")?.metric("plumb_updater_held_pods{reason=\"NodeTooSmall\"}").await?;
        ensure!(refused < 0.5, "more was asked for than a node can hold");
        Ok(())
    };
    let done: Result<()> = done.await;
    done.with_context(|| plumb.log())?;
    plumb.stop()?;
    Ok(())
}

fn node_of(pod: &Pod) -> Option<String> {
    pod.spec.as_ref()?.node_name.clone()
}

cluster_test!(a_leak_is_named_and_not_chased, [Node, MetricsServer, Crds]);
/// A container grows for ever, under a policy that allows it 96 MiB: it gets those, is told of, and gets no new pod each
/// time that it dies.
async fn a_leak_is_named_and_not_chased(context: Context) -> Result<()> {
    let bounded = testing::policy("leak").auto().all_containers(json!({"maxAllowed": {"memory": "96Mi"}}));
    context.apply(&bounded.json()).await?;
    let roles = [("recommender", &["--interval", "2s"][..]), ("updater", &[]), ("webhook", &[])];
    let plumb = Roles::start(&context, &roles).await?;
    let load = Load::named("leak").uses("grow", "24Mi/s").requests("20m", "32Mi").memory_limit("48Mi");
    context.apply(&load.deployment(1)).await?;
    let evictions = "plumb_updater_actions_total{action=\"evict\",outcome=\"accepted\"}";
    let done = async {
        wait_blocked(&context, "leak", "Leaking").await?;
        let before = plumb.of("updater")?.metric(evictions).await?;
        ensure!(before <= 3.0, "evicted {before} times on the way");
        // It dies on, and nothing is done about that.
        let kills = "plumb_oom_kills_total";
        let goal = plumb.of("recommender")?.metric(kills).await? + 3.0;
        wait_for("three more kills", SOON, || async {
            let now = plumb.of("recommender")?.metric(kills).await?;
            ensure!(now >= goal, "{now} of {goal}");
            Ok(())
        })
        .await?;
        plumb.of("updater")?.plans(2).await?;
        let after = plumb.of("updater")?.metric(evictions).await?;
        ensure!((after - before).abs() < 0.5, "evicted {before}, then {after} times");
        for pod in pods_of(&context, "leak").await? {
            let limit = memory_limit(&pod)?;
            ensure!(limit <= 96, "{limit} MiB");
        }
        let limited = said(&context, "leak", "Limited").await?.1;
        ensure!(limited["status"] == "True", "{limited}");
        Ok(())
    };
    let done: Result<()> = done.await;
    done.with_context(|| plumb.log())?;
    plumb.stop()?;
    Ok(())
}
