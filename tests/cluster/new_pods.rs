//! New pods are watched like resized ones: those that fail or are refused with what is recommended get what their template
//! says, and a rollout that waits for more gets it. On the real node, under the rights that are shipped.
//!
//! The load listens on a port that its own CPU request makes, so that a probe of one port passes at one request only.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use plumb::api::Recommendation;
use serde_json::{Value, json};

use crate::admission::{dry_run, wait_stamped};
use crate::support::recommended::{auto_policy, container, recommend, recommend_by, resources, stamp};
use crate::support::roles::Roles;
use crate::support::{Context, Load, pods, wait_for};
use crate::updater::{advise, pods_of, policy, ready, start};

/// Back-offs of the kubelet and of controllers are a minute and more.
const LATER: Duration = Duration::from_secs(240);

/// A Deployment whose container serves on port 8000 and its CPU request in thousandths of a core, and is probed on 8000
/// and so much.
fn picky(milli: u32, probed: u32) -> Value {
    let load = Load::named("web").requests(&format!("{milli}m"), "32Mi").memory_limit("64Mi");
    let mut deployment = load.deployment(2);
    let container = &mut deployment["spec"]["template"]["spec"]["containers"][0];
    container["env"] = json!([{"name": "MILLI", "valueFrom": {"resourceFieldRef":
        {"containerName": "load", "resource": "requests.cpu", "divisor": "1m"}}}]);
    container["args"] = json!(["--http=:80$(MILLI)"]);
    container["readinessProbe"]["httpGet"]["port"] = json!(8000 + probed);
    deployment
}

/// The condition Degraded of a recommendation, once it is there.
async fn degraded(context: &Context, name: &str) -> Result<String> {
    let found = context.api::<Recommendation>().get(name).await?;
    let status = serde_json::to_value(found.status.context("no status")?)?;
    let conditions = status["conditions"].as_array().cloned().unwrap_or_default();
    let found = conditions.into_iter().find(|c| c["type"] == "Degraded");
    let found =
        found.with_context(|| format!("not degraded: {} {}", status["summary"], status["newPods"]))?;
    ensure!(found["reason"] == "NewPodsFail" && found["status"] == "True", "{found}");
    Ok(found["message"].as_str().unwrap_or_default().to_owned())
}

/// Waits for so many ready pods that have what their template says.
async fn ready_as_templated(context: &Context, name: &str, count: usize) -> Result<()> {
    wait_for(&format!("{count} ready pods of {name} as their template says"), LATER, || async {
        let found = pods_of(context, name).await?;
        let words: Vec<_> = found.iter().map(|pod| (pod.name_any(), resources(pod, "load"))).collect();
        let own = |pod: &Pod| stamp(pod).is_none() && resources(pod, "load")["requests"]["cpu"] == "60m";
        let fine = found.len() == count && found.iter().all(|pod| pods::is_ready(pod) && own(pod));
        ensure!(fine, "{words:?}");
        Ok(())
    })
    .await
}

async fn webhook_and_updater(context: &Context) -> Result<Roles<'_>> {
    auto_policy(context, "all").await?;
    recommend(
        context,
        "pod-web",
        ("v1", "Pod", "web"),
        "Auto",
        json!([container("load", "60m", "80Mi", "120Mi")]),
    )
    .await?;
    let plumb = Roles::start(context, &[("webhook", &[]), ("updater", &["--warm-up", "1s"])]).await?;
    wait_stamped(context).await.with_context(|| plumb.log())?;
    Ok(plumb)
}

cluster_test!(new_pods_that_fail_get_what_their_template_says, [Node, Crds]);
async fn new_pods_that_fail_get_what_their_template_says(context: Context) -> Result<()> {
    let plumb = webhook_and_updater(&context).await?;
    policy(&context, "web", "Deployment", json!({})).await?;
    advise(&context, "web", container("load", "45m", "32Mi", "64Mi")).await?;
    let mut deployment = picky(60, 60);
    deployment["spec"]["template"]["spec"]["containers"][0]["livenessProbe"] = json!({
        "httpGet": {"path": "/readyz", "port": 8060}, "initialDelaySeconds": 3, "periodSeconds": 1,
        "timeoutSeconds": 5, "failureThreshold": 3});
    context.apply(&deployment).await?;
    let done = async {
        wait_for("a stamped pod", LATER, || async {
            let found = pods_of(&context, "web").await?;
            ensure!(found.iter().any(|pod| stamp(pod).is_some()), "none of {}", found.len());
            Ok(())
        })
        .await?;
        let why = wait_for("the harm to be told", LATER, || degraded(&context, "deployment-web")).await?;
        ensure!(why.contains("restarted") && why.contains("template"), "{why}");
        ready_as_templated(&context, "web", 2).await
    };
    let done: Result<()> = done.await;
    done.with_context(|| plumb.log())?;
    plumb.stop()
}

/// A policy of the cluster that denies each pod of the namespace that plumb has stamped.
fn denial(namespace: &str) -> Value {
    let metadata = json!({"name": "no-stamps"});
    json!({"items": [
        {"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy", "metadata": metadata,
         "spec": {"failurePolicy": "Fail", "matchConstraints": {"resourceRules": [{"apiGroups": [""],
            "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}]},
            "validations": [{"expression": "!('plumb.dev/sized' in object.metadata.?annotations.orValue({}))",
                             "message": "sizes are ours"}]}},
        {"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicyBinding",
         "metadata": metadata,
         "spec": {"policyName": "no-stamps", "validationActions": ["Deny"], "matchResources":
            {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}}}}},
    ]})
}

cluster_test!(new_pods_that_are_refused_get_what_their_template_says, [Fresh, Node, Crds]);
/// A ReplicaSet, whose status says it, and a StatefulSet, whose events alone do.
async fn new_pods_that_are_refused_get_what_their_template_says(context: Context) -> Result<()> {
    let plumb = webhook_and_updater(&context).await?;
    let target = || container("load", "45m", "32Mi", "64Mi");
    for (name, kind) in [("web", "Deployment"), ("db", "StatefulSet")] {
        policy(&context, name, kind, json!({})).await?;
        let recommendation = format!("{}-{name}", kind.to_lowercase());
        let of = ("apps/v1", kind, name);
        recommend_by(&context, name, &recommendation, of, "Auto", json!([target()])).await?;
    }
    // Only from then on are sizes known to be given to pods of theirs.
    for name in ["deployment-web", "statefulset-db"] {
        wait_for("the updater to see it", LATER, || async {
            let status = context.api::<Recommendation>().get(name).await?.status.context("no status")?;
            status.new_pods.map(|_| ()).context("not yet")
        })
        .await?;
    }
    context.apply(&denial(&context.namespace)).await?;
    wait_for("stamped pods to be denied", LATER, || async {
        ensure!(dry_run(&context).await.is_err(), "they are not");
        Ok(())
    })
    .await?;
    context.apply(&Load::named("web").requests("60m", "32Mi").memory_limit("64Mi").deployment(2)).await?;
    let db = Load::named("db").requests("60m", "32Mi").memory_limit("64Mi").template();
    let labels = json!({"matchLabels": {"app": "db"}});
    context
        .apply(&json!({"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "db"},
                       "spec": {"serviceName": "db", "replicas": 1, "selector": labels, "template": db}}))
        .await?;
    let done = async {
        for (name, recommendation, count) in [("web", "deployment-web", 2), ("db", "statefulset-db", 1)] {
            let why =
                wait_for("the refusal to be told", LATER, || degraded(&context, recommendation)).await?;
            ensure!(why.contains("refused: ValidatingAdmissionPolicy 'no-stamps'"), "{why}");
            ready_as_templated(&context, name, count).await?;
        }
        Ok(())
    };
    let done: Result<()> = done.await;
    done.with_context(|| plumb.log())?;
    plumb.stop()
}

cluster_test!(new_pods_that_a_rollout_waits_for_get_their_growth, [Node, Crds]);
/// The second release is ready with more CPU than its template asks for alone, and gets that in place.
async fn new_pods_that_a_rollout_waits_for_get_their_growth(context: Context) -> Result<()> {
    context.apply(&picky(60, 60)).await?;
    ready(&context, "web", 2).await?;
    let mut second = picky(60, 90);
    second["spec"]["template"]["spec"]["containers"][0]["resizePolicy"] =
        json!([{"resourceName": "cpu", "restartPolicy": "RestartContainer"}]);
    context.apply(&second).await?;
    let is_new = |pod: &Pod| json!(pod)["spec"]["containers"][0]["readinessProbe"]["httpGet"]["port"] == 8090;
    wait_for("the rollout to begin", LATER, || async {
        ensure!(pods_of(&context, "web").await?.iter().any(is_new), "it has not");
        Ok(())
    })
    .await?;
    policy(&context, "web", "Deployment", json!({"method": "InPlace", "cooldown": "10s"})).await?;
    advise(&context, "web", container("load", "90m", "32Mi", "64Mi")).await?;
    let plumb = start(&context).await?;
    let done = wait_for("the rollout to be complete", LATER, || async {
        let status = context.api::<Deployment>().get("web").await?.status.unwrap_or_default();
        let (updated, available, all) = (status.updated_replicas, status.available_replicas, status.replicas);
        ensure!(
            (updated, available, all) == (Some(2), Some(2), Some(2)),
            "{updated:?} {available:?} {all:?}"
        );
        Ok(())
    });
    done.await.with_context(|| plumb.log())?;
    plumb.stop()?;
    Ok(())
}
