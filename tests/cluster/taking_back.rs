//! Others have a say too: what a person has rolled back stays so, what another autoscaler sizes is left alone, and what
//! one scales by moves together with it.

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, ResourceExt};
use plumb::api::{ROLLBACK, Recommendation};
use serde_json::{Value, json};

use crate::support::recommended::{container, resources};
use crate::support::{Context, Load, wait_for};
use crate::updater::{SOON, advise, events_tell, policy, ready, said, start, wait_blocked};

/// All pods of that name ask for so much CPU.
async fn all_have(context: &Context, name: &str, count: usize, cpu: &str) -> Result<Vec<Pod>> {
    wait_for(&format!("all pods of {name} to have {cpu}"), SOON, || async {
        let found = ready(context, name, count).await?;
        let has = |pod: &Pod| resources(pod, "load")["requests"]["cpu"].clone();
        ensure!(found.iter().all(|pod| has(pod) == cpu), "{:?}", found.iter().map(has).collect::<Vec<_>>());
        Ok(found)
    })
    .await
}

/// The updater says so, for who admits them.
async fn new_pods_are_given(context: &Context, name: &str, given: &str) -> Result<()> {
    wait_for(&format!("new pods of {name} to be given {given}"), SOON, || async {
        let found = context.api::<Recommendation>().get(&format!("deployment-{name}")).await?;
        let said = json!(found.status.and_then(|status| status.new_pods));
        ensure!(said["given"] == given, "{said}");
        Ok(())
    })
    .await
}

cluster_test!(what_was_before_is_put_back_and_stays, [Node, Crds]);
/// Both pods get their new size, then a person wants the old one back: they get it, in place, keep it although plumb
/// goes on and is started anew, until the person ends that.
async fn what_was_before_is_put_back_and_stays(context: Context) -> Result<()> {
    let load = Load::named("web").requests("60m", "32Mi").memory_limit("64Mi");
    context.apply(&load.deployment(2)).await?;
    let before = ready(&context, "web", 2).await?;
    let quick = json!({"guard": {"observe": "2s"}, "cooldown": "1s", "maxUnavailable": 2});
    policy(&context, "web", "Deployment", quick).await?;
    advise(&context, "web", container("load", "80m", "40Mi", "64Mi")).await?;
    let verb = |more: &[&'static str]| {
        let all = [&["rollback", "deploy/web", "-n", &context.namespace][..], more].concat();
        let all: Vec<String> = all.into_iter().map(str::to_owned).collect();
        let context = context.clone();
        async move {
            let all: Vec<&str> = all.iter().map(String::as_str).collect();
            context.plumb(&all).await
        }
    };
    let none = verb(&[]).await?;
    ensure!(none.code == Some(1) && none.stderr.contains("changed no pod"), "{none:?}");
    let plumb = start(&context).await?;
    let done = async {
        all_have(&context, "web", 2, "80m").await?;
        let told = verb(&[]).await?;
        ensure!(told.code == Some(0) && told.stderr.contains("cpu 60m, memory 32Mi"), "{told:?}");
        all_have(&context, "web", 2, "60m").await?;
        wait_for("that to be told", SOON, || async {
            let (state, degraded) = said(&context, "web", "Degraded").await?;
            ensure!(state == "Degraded" && degraded["reason"] == "RolledBack", "{state}: {degraded}");
            ensure!(said(&context, "web", "Blocked").await?.1["reason"] == "RolledBack", "nothing holds it");
            Ok(())
        })
        .await?;
        events_tell(&context, "web", "RolledBack").await?;
        new_pods_are_given(&context, "web", "Previous").await
    };
    let done: Result<()> = done.await;
    done.with_context(|| plumb.log())?;
    plumb.stop()?;
    // Another process keeps to it, for longer than a cooldown, a round and its own warm-up.
    let plumb = start(&context).await?;
    let done = async {
        plumb.plans(4).await?;
        let found = all_have(&context, "web", 2, "60m").await?;
        for pod in &found {
            let old = before.iter().find(|old| old.uid() == pod.uid()).context("a pod was replaced")?;
            let changes = pod.metadata.generation.unwrap_or(0) - old.metadata.generation.unwrap_or(0);
            ensure!(changes == 2, "{} was changed {changes} times", pod.name_any());
        }
        // A second one in a row lasts twice as long.
        verb(&[]).await?.ok()?;
        let rec = context.api::<Recommendation>().get("deployment-web").await?;
        let stands: Value = serde_json::from_str(rec.annotations().get(ROLLBACK).context("no annotation")?)?;
        ensure!(stands["times"] == 2, "{stands}");
        verb(&["--end"]).await?.ok()?;
        all_have(&context, "web", 2, "80m").await?;
        new_pods_are_given(&context, "web", "Target").await
    };
    let done: Result<_> = done.await;
    done.with_context(|| plumb.log())?;
    plumb.stop()?;
    Ok(())
}

/// The definition of another project's kind, as far as objects of it are needed here.
fn definition() -> Value {
    let free = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "verticalpodautoscalers.autoscaling.k8s.io", "annotations": {
            "api-approved.kubernetes.io": "https://github.com/kubernetes/kubernetes/pull/63797"}},
        "spec": {
            "group": "autoscaling.k8s.io", "scope": "Namespaced",
            "names": {"kind": "VerticalPodAutoscaler", "listKind": "VerticalPodAutoscalerList",
                      "plural": "verticalpodautoscalers", "singular": "verticalpodautoscaler"},
            "versions": [{"name": "v1", "served": true, "storage": true,
                          "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": free}}}}],
        },
    })
}

cluster_test!(what_a_vertical_pod_autoscaler_owns_stays, [Node, Crds]);
/// The kind comes to the cluster while plumb runs. What an object of it sizes is held; what one only advises on is not;
/// and when the kind goes, the first is changed as well.
async fn what_a_vertical_pod_autoscaler_owns_stays(context: Context) -> Result<()> {
    let load = |name: &str| Load::named(name).requests("20m", "24Mi").memory_limit("64Mi").deployment(1);
    for name in ["owned", "advised"] {
        policy(&context, name, "Deployment", json!({})).await?;
        context.apply(&load(name)).await?;
        ready(&context, name, 1).await?;
    }
    let definitions: Api<
        k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
    > = Api::all(context.client());
    let name = "verticalpodautoscalers.autoscaling.k8s.io";
    context.apply(&definition()).await?;
    context
        .kubectl(&["wait", "--for=condition=established", "--timeout=30s", &format!("crd/{name}")])
        .await?
        .ok()?;
    let vpa = |name: &str, mode: &str| {
        json!({"apiVersion": "autoscaling.k8s.io/v1", "kind": "VerticalPodAutoscaler", "metadata": {"name": name},
               "spec": {"targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name},
                        "updatePolicy": {"updateMode": mode}}})
    };
    context.cluster.plane.wait_served("autoscaling.k8s.io/v1", "VerticalPodAutoscaler").await?;
    context.apply(&vpa("owned", "InPlaceOrRecreate")).await?;
    context.apply(&vpa("advised", "Off")).await?;
    let plumb = start(&context).await?;
    let done = async {
        for name in ["owned", "advised"] {
            advise(&context, name, container("load", "40m", "40Mi", "64Mi")).await?;
        }
        all_have(&context, "advised", 1, "40m").await?;
        wait_blocked(&context, "owned", "OwnedByVpa").await?;
        all_have(&context, "owned", 1, "20m").await?;
        new_pods_are_given(&context, "owned", "Nothing").await?;
        new_pods_are_given(&context, "advised", "Target").await?;
        definitions.delete(name, &kube::api::DeleteParams::default()).await?;
        all_have(&context, "owned", 1, "40m").await?;
        new_pods_are_given(&context, "owned", "Target").await
    };
    let done: Result<_> = done.await;
    // It belongs to the whole cluster: others must not find it.
    drop(definitions.delete(name, &kube::api::DeleteParams::default()).await);
    done.with_context(|| plumb.log())?;
    plumb.stop()?;
    Ok(())
}

/// The right that the chart gives with updater.rescaleAutoscalers.
async fn may_rescale(context: &Context) -> Result<()> {
    let rbac = "rbac.authorization.k8s.io";
    let rules = json!([{"apiGroups": ["autoscaling"], "resources": ["horizontalpodautoscalers"], "verbs": ["patch"]}]);
    context
        .apply(&json!({"apiVersion": "v1", "kind": "List", "items": [
            {"apiVersion": format!("{rbac}/v1"), "kind": "Role", "metadata": {"name": "rescale"}, "rules": rules},
            {"apiVersion": format!("{rbac}/v1"), "kind": "RoleBinding", "metadata": {"name": "rescale"},
             "roleRef": {"apiGroup": rbac, "kind": "Role", "name": "rescale"},
             "subjects": [{"kind": "ServiceAccount", "name": "plumb", "namespace": context.namespace}]},
        ]}))
        .await
}

cluster_test!(at_what_an_autoscaler_scales_stays, [Node, Crds]);
/// An autoscaler at 80 % of 100m, which is 80m: at a request of 160m that is 50 %. Another one, whose policy says nothing
/// of it, keeps the request as it is.
async fn at_what_an_autoscaler_scales_stays(context: Context) -> Result<()> {
    use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
    let load = |name: &str| Load::named(name).requests("100m", "24Mi").memory_limit("64Mi").deployment(2);
    let autoscaler = |name: &str| {
        json!({"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": name},
            "spec": {"minReplicas": 2, "maxReplicas": 2,
                     "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name},
                     "metrics": [{"type": "Resource", "resource": {"name": "cpu",
                                  "target": {"type": "Utilization", "averageUtilization": 80}}}]}})
    };
    let quick = json!({"guard": {"observe": "3s"}, "cooldown": "1s", "maxUnavailable": 2});
    let mut moves = quick.clone();
    moves["hpa"] = json!("Rescale");
    for (name, actuation) in [("moves", moves), ("holds", quick)] {
        policy(&context, name, "Deployment", actuation).await?;
        context.apply(&load(name)).await?;
        ready(&context, name, 2).await?;
        context.apply(&autoscaler(name)).await?;
        advise(&context, name, container("load", "160m", "24Mi", "64Mi")).await?;
    }
    let percent = |name: &'static str| {
        let api = context.api::<HorizontalPodAutoscaler>();
        async move {
            let found = serde_json::to_value(api.get(name).await?)?;
            let percent = found["spec"]["metrics"][0]["resource"]["target"]["averageUtilization"].clone();
            Ok::<_, anyhow::Error>((
                percent,
                found["metadata"]["annotations"]["plumb.dev/thresholds"].clone(),
            ))
        }
    };
    let plumb = start(&context).await?;
    may_rescale(&context).await?;
    let done = async {
        // Half-way, with one pod of two changed: 80m are 62 % of the mean.
        wait_for("the target to have moved", SOON, || async {
            let (now, noted) = percent("moves").await?;
            ensure!(now == 50, "{now}: {noted}");
            Ok(())
        })
        .await?;
        all_have(&context, "moves", 2, "160m").await?;
        // What has been said has been counted: a target can be seen to have moved before that.
        wait_for("that to be told", SOON, || async {
            let state = said(&context, "moves", "Applied").await?.0;
            ensure!(state == "Applied", "{state}");
            Ok(())
        })
        .await?;
        let (_, noted) = percent("moves").await?;
        let noted: Value = serde_json::from_str(noted.as_str().context("not noted")?)?;
        ensure!(noted["cpu"]["percent"] == 50, "{noted}");
        let threshold = noted["cpu"]["threshold"].as_f64().context("no threshold")?;
        ensure!((threshold - 0.08).abs() < 1e-6, "{threshold}");
        let applied = said(&context, "moves", "Applied").await?.1;
        let message = applied["message"].as_str().unwrap_or_default();
        ensure!(message.contains("HorizontalPodAutoscaler moves"), "{message}");
        events_tell(&context, "moves", "Rescaled").await?;
        wait_blocked(&context, "holds", "HorizontalPodAutoscaler").await?;
        all_have(&context, "holds", 2, "100m").await?;
        ensure!(percent("holds").await? == (json!(80), Value::Null), "it was touched");
        // Then neither moves any more.
        let rest = percent("moves").await?;
        let acted =
            plumb.metric("plumb_updater_actions_total{action=\"rescale\",outcome=\"accepted\"}").await?;
        plumb.plans(3).await?;
        ensure!(percent("moves").await? == rest, "it moves on");
        let now =
            plumb.metric("plumb_updater_actions_total{action=\"rescale\",outcome=\"accepted\"}").await?;
        ensure!(acted >= 3.0 && (now - acted).abs() < 0.5, "{acted} writes, then {now}");
        Ok(())
    };
    let done: Result<()> = done.await;
    done.with_context(|| plumb.log())?;
    plumb.stop()?;
    Ok(())
}
