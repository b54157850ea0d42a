//! Moving from VPA: its objects, read from the cluster, are policies that the API server takes, what it has learned is
//! what plumb begins with, and nothing of VPA's is touched.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use plumb::api::{Confidence, Recommendation};
use plumb::units::Timestamp;
use serde_json::{Value, json};

use crate::support::plumb::{Plumb, account};
use crate::support::{Context, Load, backfill, wait_for};

/// VPA's own definitions, reduced to what keeps their objects.
fn definition(kind: &str, plural: &str) -> Value {
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("{plural}.autoscaling.k8s.io"),
            // Asked for by the API server of groups of this domain.
            "annotations": {"api-approved.kubernetes.io": "https://github.com/kubernetes/kubernetes/pull/63797"}},
        "spec": {
            "group": "autoscaling.k8s.io", "scope": "Namespaced",
            "names": {"kind": kind, "plural": plural, "singular": kind.to_lowercase()},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema":
                {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}}],
        },
    })
}

const DEFINITIONS: [(&str, &str); 2] = [
    ("VerticalPodAutoscaler", "verticalpodautoscalers"),
    ("VerticalPodAutoscalerCheckpoint", "verticalpodautoscalercheckpoints"),
];

cluster_test!(vpas_become_policies, [Node, MetricsServer, Crds]);
async fn vpas_become_policies(context: Context) -> Result<()> {
    let absent = context.plumb(&["import", "vpa", "-n", &context.namespace]).await?;
    ensure!(absent.code == Some(1) && absent.stderr.contains("is VPA installed here"), "{}", absent.stderr);
    for (kind, plural) in DEFINITIONS {
        context.apply(&definition(kind, plural)).await?;
        let name = format!("crd/{plural}.autoscaling.k8s.io");
        context.kubectl(&["wait", "--for=condition=established", &name]).await?.ok()?;
        context.cluster.plane.wait_served("autoscaling.k8s.io/v1", kind).await?;
    }
    let result = moved(&context).await;
    for (_, plural) in DEFINITIONS {
        context.kubectl(&["delete", "crd", &format!("{plural}.autoscaling.k8s.io")]).await?.ok()?;
    }
    result
}

async fn moved(context: &Context) -> Result<()> {
    objects(context).await?;
    let mine = ["-n", context.namespace.as_str()];
    let table = context.plumb(&[&["import", "vpa", "-o", "table"], &mine[..]].concat()).await?.ok()?;
    for said in ["spec.updatePolicy.updateMode", "InPlaceOrRecreate", "mode Recommend, method InPlaceOrEvict"]
    {
        ensure!(table.contains(said), "{said} is not in\n{table}");
    }
    let before = versions(context).await?;
    let place = format!("configmaps:{}", context.namespace);
    let flags = ["import", "vpa", "--checkpoints", &place];
    let policies = context.plumb(&[&flags[..], &mine[..]].concat()).await?.ok()?;
    let file = tempfile::Builder::new().suffix(".yaml").tempfile()?;
    std::fs::write(&file, &policies)?;
    context.kubectl(&["apply", "-f", &file.path().to_string_lossy()]).await?.ok()?;
    let modes = ["get", "vsp", "-o", "jsonpath={.items[*].spec.mode}"];
    ensure!(context.kubectl(&modes).await?.ok()? == "Recommend", "{policies}");

    let rights = account(context, "plumb", None).await?;
    let plumb =
        Plumb::start(&context.cluster.plane, &rights.kubeconfig, &context.namespace, &["--interval", "5s"])?;
    plumb.wait_ready().await?;
    let known = begins_with_what_vpa_knew(context).await;
    known.with_context(|| plumb.log())?;
    plumb.stop()?;
    ensure!(versions(context).await? == before, "VPA's objects were changed");
    Ok(())
}

/// A workload, its VPA, and a week that VPA has seen of it: 800m of CPU, of which the pod knows nothing.
async fn objects(context: &Context) -> Result<()> {
    context.apply(&Load::named("web").uses("memory", "20Mi").deployment(1)).await?;
    let day = 86_400;
    let at = |seconds: i64| {
        let time = plumb::units::Timestamp(backfill::now() - seconds);
        rfc3339(time)
    };
    context
        .apply(&json!({"apiVersion": "v1", "kind": "List", "items": [
            {"apiVersion": "autoscaling.k8s.io/v1", "kind": "VerticalPodAutoscaler", "metadata": {"name": "web"},
             "spec": {"targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"},
                      "updatePolicy": {"updateMode": "InPlaceOrRecreate"}}},
            {"apiVersion": "autoscaling.k8s.io/v1", "kind": "VerticalPodAutoscalerCheckpoint",
             "metadata": {"name": "web-load"}, "spec": {"vpaObjectName": "web", "containerName": "load"},
             "status": {
                "version": "v3", "totalSamplesCount": 12_960,
                "firstSampleStart": at(9 * day), "lastSampleStart": at(60),
                "cpuHistogram": {"referenceTimestamp": at(day), "totalWeight": 60.5, "bucketWeights": {"33": 10000}},
                "memoryHistogram": {"referenceTimestamp": at(day), "totalWeight": 9.25, "bucketWeights": {"9": 10000}}}},
        ]}))
        .await
}

fn rfc3339(time: Timestamp) -> String {
    chrono::DateTime::from_timestamp(time.0, 0).map(|time| time.to_rfc3339()).unwrap_or_default()
}

async fn versions(context: &Context) -> Result<String> {
    let resources =
        "verticalpodautoscalers.autoscaling.k8s.io,verticalpodautoscalercheckpoints.autoscaling.k8s.io";
    let path = "jsonpath={.items[*].metadata.resourceVersion}";
    context.kubectl(&["get", resources, "-o", path]).await?.ok()
}

/// After seconds a recommendation is as sure as one of a week, and nowhere near what the pod uses by itself.
async fn begins_with_what_vpa_knew(context: &Context) -> Result<()> {
    wait_for("a recommendation from what VPA knew", Duration::from_secs(90), || async {
        let found = context.api::<Recommendation>().get("deployment-web").await?;
        let status = found.status.context("no status yet")?;
        let container = status.containers.first().context("no container")?;
        ensure!(container.confidence == Confidence::High, "{:?}", container.reasons);
        let cpu = container.target.requests.cpu.as_ref().context("no target")?.value();
        ensure!(cpu.as_cores().to_milli() > 400, "{:?}", container.reasons);
        Ok(())
    })
    .await
}
