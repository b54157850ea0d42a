//! What running pods are not given, new ones are not stamped with: more than maxAllowed, and what an autoscaler scales by.
//! One process for each role, under the rights that are shipped.

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::apps::v1::Deployment;
use kube::api::{Patch, PatchParams};
use plumb::api::{Recommendation, ResourceName};
use serde_json::json;

use crate::admission::wait_stamped;
use crate::support::recommended::{auto_policy, container, recommend, resources, stamp};
use crate::support::roles::Roles;
use crate::support::{Context, Load, wait_for};
use crate::updater::{SOON, pods_of, policy, ready};

cluster_test!(new_pods_keep_what_an_autoscaler_scales_by, [Node, MetricsServer, Crds]);
/// A request that is stamped down to the use would scale the workload out to the most replicas.
async fn new_pods_keep_what_an_autoscaler_scales_by(context: Context) -> Result<()> {
    let plumb = Roles::start(&context, &[("recommender", &[]), ("updater", &[]), ("webhook", &[])]).await?;
    let done: Result<()> = async {
        let target = json!({"type": "Utilization", "averageUtilization": 80});
        let autoscaler = json!({"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler",
            "metadata": {"name": "web"},
            "spec": {"minReplicas": 1, "maxReplicas": 6,
                     "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"},
                     "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": target}}]}});
        context.apply(&autoscaler).await?;
        policy(&context, "web", "Deployment", json!({})).await?;
        let load = Load::named("web").requests("500m", "256Mi").memory_limit("512Mi");
        context.apply(&load.deployment(1)).await?;
        let api = context.api::<Recommendation>();
        wait_for("a Recommendation that holds CPU", SOON, || async {
            let status = api.get("deployment-web").await?.status.context("no status")?;
            let found = status.containers.first().context("no container")?;
            ensure!(found.lower.memory.is_some(), "nothing is known: {found:?}");
            ensure!(found.held == [ResourceName::Cpu], "{found:?}");
            Ok(())
        })
        .await?;
        let before = ready(&context, "web", 1).await?.pop().context("no pod")?.metadata.uid;
        let restart = json!({"spec": {"template": {"metadata": {"annotations": {"restarted": "now"}}}}});
        let deployments = context.api::<Deployment>();
        deployments.patch("web", &PatchParams::default(), &Patch::Merge(restart)).await?;
        let pod = wait_for("the pod of the rollout", SOON, || async {
            let pods = pods_of(&context, "web").await?;
            pods.into_iter().find(|pod| pod.metadata.uid != before).context("there is none yet")
        })
        .await?;
        let note = stamp(&pod).context("the new pod is not stamped")?;
        let load = note.containers.get("load").context("of no container")?;
        ensure!(load.requests.cpu.is_none() && load.requests.memory.is_some(), "{note:?}");
        ensure!(resources(&pod, "load")["requests"]["cpu"] == "500m", "{pod:?}");
        Ok(())
    }
    .await;
    done.with_context(|| plumb.log())?;
    plumb.stop()?;
    Ok(())
}

cluster_test!(new_pods_get_no_more_than_max_allowed, [Node, Crds]);
async fn new_pods_get_no_more_than_max_allowed(context: Context) -> Result<()> {
    auto_policy(&context, "all").await?;
    let web = json!([container("load", "180m", "300Mi", "400Mi")]);
    recommend(&context, "pod-web", ("v1", "Pod", "web"), "Auto", web).await?;
    for (name, rule) in [("equal", "Equal"), ("ratio", "Ratio"), ("more", "Headroom")] {
        let mut advice = container("load", "20m", "40Mi", "60Mi");
        advice["limitRules"] =
            json!({"cpu": "Keep", "memory": rule, "addMemory": false, "keepMemory": false});
        match rule {
            "Ratio" => advice["limitRules"]["memoryRatio"] = json!(2.0),
            "Headroom" => advice["limitRules"]["headroom"] = json!("64Mi"),
            _ => {}
        }
        advice["maxAllowed"] = json!({"cpu": "50m", "memory": "50Mi"});
        let of = ("apps/v1", "Deployment", name);
        recommend(&context, &format!("deployment-{name}"), of, "Auto", json!([advice])).await?;
    }
    let plumb = Roles::start(&context, &[("webhook", &[]), ("updater", &[])]).await?;
    let done: Result<()> = async {
        wait_stamped(&context).await?;
        for (name, request) in [("equal", "50Mi"), ("ratio", "40Mi"), ("more", "40Mi")] {
            let load = Load::named(name).requests("20m", "128Mi").memory_limit("256Mi");
            context.apply(&load.deployment(1)).await?;
            let pod = ready(&context, name, 1).await?.pop().context("no pod")?;
            let has = resources(&pod, "load");
            ensure!(has["requests"]["memory"] == request, "{name}: {has}");
            ensure!(has["limits"]["memory"] == "50Mi", "{name}: {has}");
        }
        plumb.of("updater")?.plans(3).await?;
        for name in ["equal", "ratio", "more"] {
            let pod = pods_of(&context, name).await?.pop().context("no pod")?;
            ensure!(resources(&pod, "load")["limits"]["memory"] == "50Mi", "{name} was resized: {pod:?}");
        }
        Ok(())
    }
    .await;
    done.with_context(|| plumb.log())?;
    plumb.stop()?;
    Ok(())
}
