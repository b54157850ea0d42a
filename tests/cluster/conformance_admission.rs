//! Conformance of the simulator: in which order the API server fills in, changes and refuses a new pod.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use serde_json::{Value, json};

use crate::support::conform::{container, create, pod, refused, step, wait_used, would_create};
use crate::support::{Context, wait_for};

cluster_test!(conformance_of_admission_order, []);
async fn conformance_of_admission_order(context: Context) -> Result<()> {
    context
        .apply(&json!({"apiVersion": "v1", "kind": "List", "items": [
            {"apiVersion": "v1", "kind": "LimitRange", "metadata": {"name": "range"}, "spec": {"limits": [
                {"type": "Container", "default": {"memory": "64Mi"}, "defaultRequest": {"memory": "32Mi"},
                 "max": {"memory": "128Mi"}}]}},
            {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "quota"},
             "spec": {"hard": {"limits.memory": "200Mi"}}},
        ]}))
        .await?;
    // Each policy by its label. The first one notes what it sees, and is asked again when another has changed the pod.
    let memory = "object.spec.containers[0].resources.?limits[?\"memory\"].orValue(\"none\")";
    let seen = format!(r#"[JSONPatch{{op: "add", path: "/metadata/labels/seen", value: string({memory})}}]"#);
    let last = r#"[JSONPatch{op: "add", path: "/metadata/labels/saw-last",
                   value: object.metadata.labels[?"last"].orValue("none")}]"#;
    let mark = r#"[JSONPatch{op: "add", path: "/metadata/labels/last", value: "yes"}]"#;
    let want = r#"[JSONPatch{op: "add", path: "/spec/containers/0/resources/limits/memory",
                   value: object.metadata.labels["want"]}]"#;
    let beside = r#"[JSONPatch{op: "add", path: "/spec/containers/-",
                     value: Object.spec.containers{name: "added", image: "none"}}]"#;
    for (name, label, again, expression) in [
        ("a-seen", "order", "Never", seen.as_str()),
        ("b-saw-last", "again", "IfNeeded", last),
        ("m-want", "want", "Never", want),
        ("n-beside", "beside", "Never", beside),
        ("z-last", "again", "Never", mark),
    ] {
        policy(&context, name, label, again, expression).await?;
    }
    wait_for("all policies to hold", Duration::from_secs(40), || async {
        let all = [("order", "1"), ("again", "1"), ("want", "65Mi"), ("beside", "1")];
        let made = would_create(&context, &labelled("all", &all)).await?;
        let labels = made.labels();
        let count = made.spec.as_ref().map_or(0, |spec| spec.containers.len());
        let hold = ["seen", "saw-last", "last"].iter().all(|label| labels.contains_key(*label));
        ensure!(hold && count == 2 && limit(&made, 0) == "65Mi", "{labels:?}, {count}, {}", limit(&made, 0));
        Ok(())
    })
    .await?;
    order(&context).await
}

async fn order(context: &Context) -> Result<()> {
    step("what mutates sees the defaults of LimitRanges", async {
        let made = would_create(context, &labelled("seen", &[("order", "1")])).await?;
        ensure!(made.labels()["seen"] == "64Mi", "{:?}", made.labels());
        Ok(())
    })
    .await?;
    step("a container that was added gets those defaults too", async {
        let made = would_create(context, &labelled("beside", &[("beside", "1")])).await?;
        ensure!(limit(&made, 1) == "64Mi", "{}", limit(&made, 1));
        Ok(())
    })
    .await?;
    step("what comes first is asked again after what comes last", async {
        let made = would_create(context, &labelled("again", &[("again", "1")])).await?;
        ensure!(made.labels()["saw-last"] == "yes", "{:?}", made.labels());
        Ok(())
    })
    .await?;
    step("LimitRanges check what was made of it", async {
        let made = would_create(context, &labelled("much", &[("want", "256Mi")])).await;
        refused(made, 403, "maximum memory usage per Container is 128Mi")
    })
    .await?;
    step("a quota counts what was made of it", async {
        wait_used(context, "quota", "limits.memory", 0).await?;
        create(context, &labelled("one", &[("want", "120Mi")])).await?;
        wait_used(context, "quota", "limits.memory", 120 << 20).await?;
        let made = would_create(context, &labelled("two", &[("want", "96Mi")])).await;
        refused(made, 403, "exceeded quota: quota")
    })
    .await?;
    step("a LimitRange's no comes before the quota's", async {
        let made = would_create(context, &labelled("three", &[("want", "512Mi")])).await;
        refused(made, 403, "maximum memory usage per Container is 128Mi")
    })
    .await
}

/// A pod that states no memory.
fn labelled(name: &str, labels: &[(&str, &str)]) -> Value {
    let mut made = pod(name, json!([container("load", json!({}))]), json!([]));
    for (label, value) in labels {
        made["metadata"]["labels"][label] = json!(value);
    }
    made
}

fn limit(pod: &Pod, number: usize) -> String {
    let limit = || {
        let resources = pod.spec.as_ref()?.containers.get(number)?.resources.clone()?;
        Some(resources.limits?.get("memory")?.0.clone())
    };
    limit().unwrap_or_default()
}

/// A policy of the API server that changes new pods that have a label.
async fn policy(context: &Context, name: &str, label: &str, again: &str, expression: &str) -> Result<()> {
    let version = "admissionregistration.k8s.io/v1";
    context
        .apply(&json!({"apiVersion": "v1", "kind": "List", "items": [
            {"apiVersion": version, "kind": "MutatingAdmissionPolicy", "metadata": {"name": name}, "spec": {
                "matchConstraints": {
                    "resourceRules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"],
                                       "resources": ["pods"]}],
                    "objectSelector": {"matchExpressions": [{"key": label, "operator": "Exists"}]},
                },
                "failurePolicy": "Fail", "reinvocationPolicy": again,
                "mutations": [{"patchType": "JSONPatch", "jsonPatch": {"expression": expression}}],
            }},
            {"apiVersion": version, "kind": "MutatingAdmissionPolicyBinding", "metadata": {"name": name},
             "spec": {"policyName": name}},
        ]}))
        .await
        .with_context(|| format!("policy {name}"))
}
