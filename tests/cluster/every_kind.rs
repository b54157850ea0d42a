//! Every kind of workload, a custom one among them: its pods are stamped, and what the webhook writes is what the kubelet
//! runs.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::ListParams;
use serde_json::{Value, json};

use crate::admission::{start, wait_stamped};
use crate::support::plumb::account_with;
use crate::support::recommended::{auto_policy, container, name_of, recommend, stamp};
use crate::support::{Context, Load, pods, wait_for};

/// Workloads by API version, kind and name, which is their pods' label `app` too.
pub const WORKLOADS: [(&str, &str, &str); 7] = [
    ("apps/v1", "Deployment", "deploy"),
    ("apps/v1", "StatefulSet", "state"),
    ("apps/v1", "DaemonSet", "daemon"),
    ("batch/v1", "Job", "once"),
    ("batch/v1", "CronJob", "often"),
    ("v1", "Pod", "web"),
    ("every-kind.test/v1", "Squad", "one"),
];

/// The same is recommended for each of them.
pub async fn recommend_each(context: &Context, target: &Value) -> Result<()> {
    for workload in WORKLOADS {
        recommend(context, &name_of(workload), workload, "Auto", json!([target])).await?;
    }
    Ok(())
}

/// Makes one of each, with pods as they are told by name.
pub async fn make(context: &Context, load: impl Fn(&str) -> Load) -> Result<()> {
    a_kind_of_ones_own(context).await?;
    let selected =
        |name: &str| json!({"selector": {"matchLabels": {"app": name}}, "template": load(name).template()});
    let job = |name: &str| {
        let mut template = load(name).template();
        template["spec"]["restartPolicy"] = json!("Never");
        json!({"template": template})
    };
    let mut state = selected("state");
    state["serviceName"] = json!("state");
    // What it makes never ends by itself; one of them is enough.
    let often = json!({"schedule": "* * * * *", "concurrencyPolicy": "Forbid", "jobTemplate": {"spec": job("often")}});
    for (version, kind, name, spec) in [
        ("apps/v1", "StatefulSet", "state", state),
        ("apps/v1", "DaemonSet", "daemon", selected("daemon")),
        ("batch/v1", "Job", "once", job("once")),
        ("batch/v1", "CronJob", "often", often),
    ] {
        let object = json!({"apiVersion": version, "kind": kind, "metadata": {"name": name}, "spec": spec});
        context.apply(&object).await?;
    }
    context.apply(&load("deploy").deployment(1)).await?;
    context.apply(&load("web").json()).await?;
    let uid = context.kubectl(&["get", "squad", "one", "-o", "jsonpath={.metadata.uid}"]).await?.ok()?;
    let mut pod = load("one").json();
    pod["metadata"]["ownerReferences"] = json!([{"apiVersion": "every-kind.test/v1", "kind": "Squad",
        "name": "one", "uid": uid, "controller": true}]);
    context.apply(&pod).await
}

/// A kind with /scale that somebody has defined, and one of it; nobody makes its pods.
pub async fn a_kind_of_ones_own(context: &Context) -> Result<()> {
    let schema = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    context
        .apply(&json!({
            "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": {"name": "squads.every-kind.test"},
            "spec": {"group": "every-kind.test", "scope": "Namespaced",
                     "names": {"kind": "Squad", "plural": "squads"},
                     "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": schema},
                                   "subresources": {"scale": {"specReplicasPath": ".spec.replicas",
                                                              "statusReplicasPath": ".status.replicas"}}}]},
        }))
        .await?;
    let one = json!({"apiVersion": "every-kind.test/v1", "kind": "Squad", "metadata": {"name": "one"}});
    wait_for("the new kind", Duration::from_secs(30), || async { context.apply(&one).await }).await
}

cluster_test!(stamped_pods_of_every_kind_run, [Node, Crds]);
async fn stamped_pods_of_every_kind_run(context: Context) -> Result<()> {
    let account = account_with(&context, "plumb", &["webhook"], None).await?;
    auto_policy(&context, "all").await?;
    recommend_each(&context, &container("load", "60m", "80Mi", "120Mi")).await?;
    let plumb = start(&context, &account.kubeconfig, &[]).await?;
    let steps = async {
        wait_stamped(&context).await?;
        make(&context, |name| Load::named(name).requests("300m", "256Mi").memory_limit("512Mi")).await?;
        for (_, kind, name) in WORKLOADS {
            runs_as_stamped(&context, name).await.with_context(|| kind)?;
        }
        Ok(())
    };
    let steps: Result<()> = steps.await;
    context.kubectl(&["delete", "crd", "squads.every-kind.test"]).await?.ok()?;
    steps.with_context(|| plumb.log())?;
    plumb.stop()?;
    Ok(())
}

/// A pod of that name runs, and the kubelet has given it what is recommended.
async fn runs_as_stamped(context: &Context, name: &str) -> Result<()> {
    // A CronJob may take up to a minute.
    wait_for(&format!("a pod of {name} to run"), Duration::from_secs(150), || async {
        let label = ListParams::default().labels(&format!("app={name}"));
        let pod = context.api::<Pod>().list(&label).await?.items.pop().context("there is none")?;
        ensure!(pods::is_ready(&pod), "{}", pods::describe(&pod));
        let given = json!(pods::container(&pod)?.resources);
        // The limit has the headroom of rule Tail over its need.
        let expected = json!({"requests": {"cpu": "60m", "memory": "80Mi"}, "limits": {"memory": "132Mi"}});
        ensure!(given == expected, "the kubelet has given {} {given}", pod.name_any());
        ensure!(stamp(&pod).is_some(), "{} has no note", pod.name_any());
        Ok(())
    })
    .await
}
