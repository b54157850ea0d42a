//! What policies ask for appears as Recommendations, and what disturbs plumb meanwhile costs nothing.
//!
//! On a control plane of its own, without a node: pods' status is written by the test, as a kubelet would.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use futures::{StreamExt, TryStreamExt, stream};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use plumb::api::{Recommendation, VerticalScalingPolicy};
use plumb::testing::{self, Builder, kind};
use serde_json::{Value, json};

use crate::support::plumb::{Plumb, account};
use crate::support::recommended::name_of;
use crate::support::{Context, Load, wait_for};

const SOON: Duration = Duration::from_secs(90);

cluster_test!(recommendations_follow_policies_whatever_happens, [Fresh, Crds]);
async fn recommendations_follow_policies_whatever_happens(context: Context) -> Result<()> {
    let cluster = &context.cluster;
    a_missing_right_is_named(&context).await?;
    let whole = account(&context, "plumb", None).await?;
    let plumb = Plumb::start(&cluster.plane, &whole.kubeconfig, &context.namespace, &["--interval", "2s"])?;
    plumb.wait_ready().await?;
    let steps = async {
        context
            .apply(&Load::named("web").requests("500m", "64Mi").memory_limit("128Mi").deployment(2))
            .await?;
        policies_become_recommendations(&context).await?;
        a_template_that_differs_is_told(&context).await?;
        an_oom_kill_is_told_at_once(&context, "container-1", 1).await?;
        bad_policies_disturb_no_other(&context).await?;
        cluster.plane.restart_api_server(Duration::from_secs(2)).await?;
        nothing_is_lost(&context).await?;
        the_most_specific_policy_speaks(&context).await?;
        an_owner_of_another_kind_is_found(&context).await?;
        what_nothing_selects_goes(&context).await?;
        let (status, metrics) = plumb.page("/metrics").await?;
        ensure!(status == 200 && metrics.contains("plumb_oom_kills_total"), "{metrics}");
        ensure!(plumb.leads().await?, "{metrics}");
        plumb.check_running()
    };
    steps.await.with_context(|| plumb.log_tail())?;
    let log = another_takes_over(&context, &whole.kubeconfig, plumb).await?;
    ensure!(log.contains("let go of the leadership"), "{log}");
    ensure!(!log.contains("token-of-") && !log.contains("panicked"), "{log}");
    Ok(())
}

async fn recommendation(context: &Context, name: &str) -> Result<Value> {
    Ok(serde_json::to_value(context.api::<Recommendation>().get(name).await?)?)
}

fn condition<'a>(object: &'a Value, kind: &str) -> &'a Value {
    let conditions = object["status"]["conditions"].as_array();
    conditions.into_iter().flatten().find(|c| c["type"] == kind).unwrap_or(&Value::Null)
}

async fn create_policy(context: &Context, policy: Builder<kind::Policy>) -> Result<()> {
    let policy: VerticalScalingPolicy = policy.namespace(&context.namespace).object();
    context.api().create(&PostParams::default(), &policy).await?;
    Ok(())
}

async fn policies_become_recommendations(context: &Context) -> Result<()> {
    create_policy(context, testing::policy("all")).await?;
    wait_for("the recommendation", SOON, || async {
        let found = recommendation(context, "deployment-web").await?;
        ensure!(found["spec"]["policyRef"]["name"] == "all", "{found}");
        ensure!(found["metadata"]["ownerReferences"][0]["name"] == "all", "{found}");
        ensure!(found["status"]["summary"]["cpu"] == "500m (no samples)", "{found}");
        ensure!(found["status"]["summary"]["state"] == "Advised", "{found}");
        // Nothing serves the metrics API here, and that is said.
        let history = condition(&found, "HistoryReady");
        ensure!(history["status"] == "False" && history["reason"] == "SourceFailing", "{history}");
        ensure!(
            history["message"].as_str().is_some_and(|m| m.contains("install metrics-server")),
            "{history}"
        );
        Ok(())
    })
    .await?;
    wait_for("the policy's status", SOON, || async {
        let policy = serde_json::to_value(context.api::<VerticalScalingPolicy>().get("all").await?)?;
        ensure!(policy["status"]["workloads"] == 1, "{policy}");
        ensure!(condition(&policy, "Ready")["status"] == "True", "{policy}");
        Ok(())
    })
    .await
}

/// Somebody writes another size into the template, and its pods stay: what it asks for is said until both are the same.
async fn a_template_that_differs_is_told(context: &Context) -> Result<()> {
    let deployments = context.api::<Deployment>();
    for (paused, cpu, said) in [
        (true, "300m", json!({"requests": {"cpu": "300m", "memory": "64Mi"}, "limits": {"memory": "128Mi"}})),
        (false, "500m", Value::Null),
    ] {
        let container = json!({"name": "load", "resources": {"requests": {"cpu": cpu}}});
        let patch = json!({"spec": {"paused": paused, "template": {"spec": {"containers": [container]}}}});
        deployments.patch("web", &PatchParams::default(), &Patch::Strategic(patch)).await?;
        wait_for(&format!("a template of {cpu} to be told"), SOON, || async {
            let found = recommendation(context, "deployment-web").await?;
            let load = &found["status"]["containers"][0];
            ensure!(load["template"] == said && load["current"]["requests"]["cpu"] == "500m", "{load}");
            Ok(())
        })
        .await?;
    }
    Ok(())
}

/// Says of a pod of web what its kubelet would.
async fn kill(context: &Context, id: &str) -> Result<()> {
    let pods = context.api::<Pod>();
    let list = pods.list(&ListParams::default().labels("app=web")).await?;
    let pod = list.items.first().context("web has no pod")?;
    let name = pod.metadata.name.as_deref().unwrap_or_default();
    let status = json!({"status": {"phase": "Running", "containerStatuses": [{
        "name": "load", "image": "x", "imageID": "x", "ready": false, "restartCount": 0,
        "state": {"terminated": {"reason": "OOMKilled", "exitCode": 137, "containerID": format!("containerd://{id}"),
                                 "finishedAt": chrono_now()}}}]}});
    pods.patch_status(name, &PatchParams::default(), &Patch::Merge(&status)).await?;
    Ok(())
}

fn chrono_now() -> String {
    k8s_openapi::jiff::Timestamp::from_second(plumb::clock::now().0).expect("a time of this age").to_string()
}

async fn an_oom_kill_is_told_at_once(context: &Context, id: &str, kills: u32) -> Result<()> {
    kill(context, id).await?;
    let begin = Instant::now();
    wait_for("the OOM kill in the recommendation", Duration::from_secs(10), || async {
        let found = recommendation(context, "deployment-web").await?;
        ensure!(found["status"]["summary"]["oomKills"] == kills, "{found}");
        Ok(())
    })
    .await?;
    let took = begin.elapsed();
    println!("OOM kill {kills}: in the recommendation after {} ms", took.as_millis());
    ensure!(took < Duration::from_secs(2), "it took {took:?}");
    let found = recommendation(context, "deployment-web").await?;
    let memory = found["status"]["summary"]["memory"].as_str().unwrap_or_default().to_owned();
    ensure!(memory.starts_with("64Mi → ") && !memory.ends_with('?'), "{found}");
    ensure!(found["status"]["containers"][0]["lastOomKill"].is_string(), "{found}");
    Ok(())
}

async fn bad_policies_disturb_no_other(context: &Context) -> Result<()> {
    let odd = json!({"target": {"selector": {"matchExpressions": [
        {"key": "tier", "operator": "Near", "values": ["back"]}]}}});
    stream::iter(0..500)
        .map(|number| {
            let odd = odd.clone();
            async move { create_policy(context, testing::policy(&format!("bad-{number}")).spec(odd)).await }
        })
        .buffer_unordered(10)
        .try_collect::<Vec<_>>()
        .await?;
    let begin = Instant::now();
    context.apply(&Load::named("second").deployment(1)).await?;
    wait_for("the second recommendation", SOON, || recommendation(context, "deployment-second")).await?;
    println!(
        "among 500 bad policies a new workload has its recommendation after {} ms",
        begin.elapsed().as_millis()
    );
    wait_for("every bad policy to be told so", SOON, || async {
        let policies = context.api::<VerticalScalingPolicy>().list(&ListParams::default()).await?;
        let told = policies.iter().filter(|policy| {
            let conditions = policy.status.iter().flat_map(|status| &status.conditions);
            conditions.clone().any(|c| c.reason == "Invalid" && c.message.contains("spec.target.selector"))
        });
        let count = told.count();
        ensure!(count == 500, "{count} are");
        Ok(())
    })
    .await?;
    let params = ListParams::default();
    let good = recommendation(context, "deployment-web").await?;
    ensure!(good["spec"]["policyRef"]["name"] == "all", "{good}");
    for policy in context.api::<VerticalScalingPolicy>().list(&params).await? {
        let name = policy.metadata.name.unwrap_or_default();
        if name.starts_with("bad-") {
            context.api::<VerticalScalingPolicy>().delete(&name, &DeleteParams::default()).await?;
        }
    }
    Ok(())
}

async fn nothing_is_lost(context: &Context) -> Result<()> {
    context.apply(&Load::named("third").deployment(1)).await?;
    wait_for("a recommendation after the restart", Duration::from_secs(60), || {
        recommendation(context, "deployment-third")
    })
    .await?;
    // Each watch comes back by itself, the later the longer the server was away. This needs that of pods, by which kills
    // are told.
    context.apply(&Load::named("bare").json()).await?;
    wait_for("a bare pod's recommendation", Duration::from_secs(60), || recommendation(context, "pod-bare"))
        .await?;
    let found = recommendation(context, "deployment-web").await?;
    ensure!(found["status"]["summary"]["oomKills"] == 1, "counted twice, or forgotten: {found}");
    an_oom_kill_is_told_at_once(context, "container-2", 2).await
}

async fn the_most_specific_policy_speaks(context: &Context) -> Result<()> {
    let policy = |expected: &'static str| async move {
        wait_for("the other policy to speak", SOON, || async {
            let found = recommendation(context, "deployment-web").await?;
            ensure!(found["spec"]["policyRef"]["name"] == expected, "{found}");
            ensure!(found["metadata"]["ownerReferences"].as_array().is_some_and(|o| o.len() == 1), "{found}");
            Ok(())
        })
        .await
    };
    create_policy(context, testing::policy("web").for_deployment("web")).await?;
    policy("web").await?;
    create_policy(context, testing::policy("younger")).await?;
    wait_for("the younger one to say so", SOON, || async {
        let policy = serde_json::to_value(context.api::<VerticalScalingPolicy>().get("younger").await?)?;
        let ready = condition(&policy, "Ready");
        ensure!(ready["reason"] == "Overlaps" && ready["status"] == "False", "{policy}");
        Ok(())
    })
    .await?;
    for name in ["web", "younger"] {
        context.api::<VerticalScalingPolicy>().delete(name, &DeleteParams::default()).await?;
    }
    policy("all").await
}

/// A kind that Kubernetes does not know, with /scale and without.
async fn an_owner_of_another_kind_is_found(context: &Context) -> Result<()> {
    for (kind, plural, subresources) in [
        (
            "Rollout",
            "rollouts",
            json!({"scale": {"specReplicasPath": ".spec.replicas",
                                                  "statusReplicasPath": ".status.replicas"}}),
        ),
        ("Operated", "operateds", json!({})),
    ] {
        let schema = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
        context
            .apply(&json!({
                "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
                "metadata": {"name": format!("{plural}.example.dev")},
                "spec": {"group": "example.dev", "scope": "Namespaced", "names": {"kind": kind, "plural": plural},
                         "versions": [{"name": "v1", "served": true, "storage": true,
                                       "subresources": subresources, "schema": {"openAPIV3Schema": schema}}]},
            }))
            .await?;
        wait_for("the new kind", SOON, || async {
            let object = json!({"apiVersion": "example.dev/v1", "kind": kind, "metadata": {"name": "roll"}});
            context.apply(&object).await
        })
        .await?;
    }
    let uid = |kind: &'static str| async move {
        let output = context.kubectl(&["get", kind, "roll", "-o", "jsonpath={.metadata.uid}"]).await?;
        output.ok()
    };
    let owner = |kind: &str, uid: &str| json!([{"apiVersion": "example.dev/v1", "kind": kind, "name": "roll", "uid": uid, "controller": true}]);
    // A pod of what scales; and a StatefulSet of what does not, which then is the workload itself.
    let mut pod = Load::named("roll-pod").json();
    pod["metadata"]["ownerReferences"] = owner("Rollout", &uid("rollout").await?);
    context.apply(&pod).await?;
    let mut set = Load::named("operated").deployment(1);
    set["metadata"]["ownerReferences"] = owner("Operated", &uid("operated").await?);
    context.apply(&set).await?;
    let roll = name_of(("example.dev/v1", "Rollout", "roll"));
    for name in [&*roll, "deployment-operated"] {
        wait_for(&format!("recommendation {name}"), SOON, || recommendation(context, name)).await?;
    }
    Ok(())
}

/// A second plumb stands by, and leads as soon as the first has let go. Answers the first one's log.
async fn another_takes_over(context: &Context, kubeconfig: &Path, first: Plumb<'_>) -> Result<String> {
    let second = Plumb::start(&context.cluster.plane, kubeconfig, &context.namespace, &["--interval", "2s"])?;
    second.wait_ready().await?;
    // Longer than two of its tries to lead.
    first.rounds(3, Duration::from_secs(2)).await?;
    let (one, two) = (first.leads().await?, second.leads().await?);
    ensure!(one && !two, "of two plumbs the first leads: {one}, and the second: {two}");
    let log = first.stop()?;
    let begin = Instant::now();
    wait_for("the second to lead", Duration::from_secs(20), || async {
        ensure!(second.leads().await?, "it does not");
        Ok(())
    })
    .await?;
    println!("another plumb leads {} ms after the first was told to stop", begin.elapsed().as_millis());
    ensure!(begin.elapsed() < Duration::from_secs(10), "the lease was not let go");
    second.stop()?;
    Ok(log)
}

async fn what_nothing_selects_goes(context: &Context) -> Result<()> {
    context.api::<VerticalScalingPolicy>().delete("all", &DeleteParams::default()).await?;
    wait_for("the recommendations to go", SOON, || async {
        let left = context.api::<Recommendation>().list(&ListParams::default()).await?.items.len();
        ensure!(left == 0, "{left} are left");
        Ok(())
    })
    .await
}

async fn a_missing_right_is_named(context: &Context) -> Result<()> {
    create_policy(context, testing::policy("early")).await?;
    let few = account(context, "few", Some("deployments")).await?;
    let plumb = Plumb::start(&context.cluster.plane, &few.kubeconfig, &context.namespace, &[])?;
    wait_for("the policy to say what is missing", SOON, || async {
        plumb.check_running()?;
        let policy = serde_json::to_value(context.api::<VerticalScalingPolicy>().get("early").await?)?;
        let ready = condition(&policy, "Ready");
        ensure!(ready["reason"] == "ClusterNotRead", "{policy}");
        let message = ready["message"].as_str().unwrap_or_default();
        ensure!(message.contains("not allowed to list deployments.apps"), "{message}");
        Ok(())
    })
    .await?;
    let (status, text) = plumb.page("/readyz").await?;
    ensure!(status == 503 && text.contains("list deployments.apps"), "{status} {text}");
    plumb.check_running()?;
    let log = plumb.stop()?;
    ensure!(log.contains("not allowed to list deployments.apps"), "{log}");
    context.api::<VerticalScalingPolicy>().delete("early", &DeleteParams::default()).await?;
    Ok(())
}
