//! The custom resources: a real API server takes them, fills in their defaults, refuses what is wrong with a message
//! that names the field, and explains them.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use kube::Api;
use kube::api::PostParams;
use plumb::api::{
    ClusterVerticalScalingPolicy, MemoryLimitRule, Method, Mode, Objective, Recommendation,
    VerticalScalingPolicy,
};
use plumb::testing;
use serde_json::{Value, json};

use crate::support::{Context, wait_for};

cluster_test!(crds_defaults_appear, [Crds]);
async fn crds_defaults_appear(context: Context) -> Result<()> {
    context.apply(&testing::policy("shop").all_containers(json!({})).json()).await?;
    let got = context.api::<VerticalScalingPolicy>().get("shop").await?;
    // Read back from the server, so that what is compared are its defaults, not ours.
    let raw = context.kubectl(&["get", "vsp", "shop", "-o", "json"]).await?.ok()?;
    let raw: Value = serde_json::from_str(&raw)?;
    ensure!(raw["spec"]["actuation"]["maxUnavailable"] == "25%", "{raw}");
    ensure!(raw["spec"]["actuation"]["guard"]["observe"] == "5m", "{raw}");
    ensure!(raw["spec"]["containers"][0]["resources"] == json!(["cpu", "memory"]), "{raw}");
    ensure!(raw["spec"]["history"]["window"] == "14d", "{raw}");
    ensure!(got.spec.mode == Mode::Recommend && got.spec.objective == Objective::Balanced);
    ensure!(got.spec.actuation.method == Method::InPlaceOrEvict);
    ensure!(got.spec.containers[0].memory.limit == MemoryLimitRule::Tail);
    let table = context.kubectl(&["get", "vsp"]).await?.ok()?;
    ensure!(table.starts_with("NAME   MODE        OBJECTIVE"), "{table}");
    Ok(())
}

/// Wrong specs, and what the refusal must name.
fn wrong() -> Vec<(Value, &'static str)> {
    let container = |rules: Value| {
        let mut container = json!({"name": "app"});
        container.as_object_mut().unwrap().extend(rules.as_object().unwrap().clone());
        json!({"containers": [container]})
    };
    let web = json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"});
    vec![
        (
            json!({"target": {"workloadRef": web, "selector": {}}}),
            "target.workloadRef and target.selector exclude each other",
        ),
        (
            json!({"target": {"workloadRef": web, "kinds": ["Job"]}}),
            "target.workloadRef and target.kinds exclude each other",
        ),
        (json!({"target": {"kinds": []}}), "spec.target.kinds"),
        (
            container(json!({"minAllowed": {"cpu": 2}, "maxAllowed": {"cpu": "1500m"}})),
            "minAllowed.cpu must not be above maxAllowed.cpu",
        ),
        (
            container(json!({"minAllowed": {"memory": "2Gi"}, "maxAllowed": {"memory": "1Gi"}})),
            "minAllowed.memory must not be above maxAllowed.memory",
        ),
        (
            container(json!({"startupBoost": {"cpu": {"factor": "3", "duration": "61m"}}})),
            "startupBoost.cpu.duration must be at most 1h",
        ),
        (
            container(json!({"startupBoost": {"cpu": {"factor": "3", "duration": "1d"}}})),
            "startupBoost.cpu.duration must be at most 1h",
        ),
        (
            container(json!({"startupBoost": {"cpu": {"factor": "3", "duration": "0s"}}})),
            "startupBoost.cpu.duration must be longer than 0",
        ),
        (container(json!({"minAllowed": {"memory": "lots"}})), "spec.containers[0].minAllowed.memory"),
        (container(json!({"maxAllowed": {"cpu": -1}})), "spec.containers[0].maxAllowed.cpu"),
        (container(json!({"maxAllowed": {"cpu": "-1"}})), "spec.containers[0].maxAllowed.cpu"),
        (
            container(json!({"cpu": {"objective": "Economy", "maxShortfallPercent": 1}})),
            "cpu.objective and cpu.maxShortfallPercent exclude each other",
        ),
        (
            container(json!({"cpu": {"maxShortfallPercent": 0}})),
            "maxShortfallPercent must be above 0 and at most 50",
        ),
        (
            container(json!({"cpu": {"maxShortfallPercent": "50.1"}})),
            "maxShortfallPercent must be above 0 and at most 50",
        ),
        (
            container(json!({"memory": {"objective": "Critical", "maxOomKillsPerYear": 2}})),
            "memory.objective and memory.maxOomKillsPerYear exclude each other",
        ),
        (
            container(json!({"memory": {"maxOomKillsPerYear": 366}})),
            "maxOomKillsPerYear must be above 0 and at most 365",
        ),
        (
            container(json!({"memory": {"limit": "Keep", "addLimit": true}})),
            "memory.addLimit needs memory.limit Tail or Equal",
        ),
        (
            container(json!({"memory": {"limit": "Headroom"}})),
            "memory.headroom belongs to memory.limit Headroom",
        ),
        (
            container(json!({"memory": {"limit": "Tail", "headroom": "256Mi"}})),
            "memory.headroom belongs to memory.limit Headroom",
        ),
        (
            container(json!({"memory": {"limit": "Headroom", "headroom": 0}})),
            "memory.headroom must be above 0",
        ),
        (container(json!({"resources": ["disk"]})), "spec.containers[0].resources[0]"),
        (json!({"containers": [{"name": "app"}, {"name": "app"}]}), "spec.containers[1]: Duplicate value"),
        (json!({"band": {"minChangePercent": -1}}), "spec.band.minChangePercent"),
        (json!({"actuation": {"maxUnavailable": "101%"}}), "maxUnavailable must be a whole number"),
        (json!({"actuation": {"maxUnavailable": -1}}), "maxUnavailable must be a whole number"),
        (json!({"actuation": {"cooldown": "1w"}}), "spec.actuation.cooldown"),
        (json!({"actuation": {"cooldown": "8d"}}), "actuation.cooldown must be at most 7d"),
        (
            json!({"actuation": {"maxUnavailable": 100_001}}),
            "maxUnavailable must be a whole number from 0 to 100000",
        ),
        (json!({"actuation": {"guard": {"observe": "25h"}}}), "guard.observe must be at most 1d"),
        (
            json!({"actuation": {"windows": [{"schedule": "0 2 * * *", "duration": "32d"}]}}),
            "windows.duration must be at most 31d",
        ),
        (json!({"history": {"window": "99999d"}}), "history.window must be at most 90d"),
        (json!({"history": {"window": "2161h"}}), "history.window must be at most 90d"),
        (json!({"band": {"minChange": {"cpu": "11k"}}}), "minChange must be at most 10k of CPU"),
        (container(json!({"minAllowed": {"cpu": "10001"}})), "minAllowed must be at most 10k of CPU"),
        (
            container(json!({"maxAllowed": {"memory": "2Pi"}})),
            "maxAllowed must be at most 10k of CPU and 1Pi",
        ),
        (
            container(json!({"memory": {"limit": "Headroom", "headroom": "2Pi"}})),
            "memory.headroom must be above 0 and at most 1Pi",
        ),
        (container(json!({"cpu": {"maxShortfallPercent": 0.5}})), "maxShortfallPercent"),
        (
            json!({"actuation": {"windows": [{"schedule": "0 2 * *", "duration": "3h"}]}}),
            "windows.schedule must have five fields",
        ),
        (
            json!({"actuation": {"windows": [{"schedule": "61 2 * * *", "duration": "3h"}]}}),
            "windows.schedule must be cron fields",
        ),
        (
            json!({"actuation": {"windows": [{"schedule": "0 2 32 * *", "duration": "3h"}]}}),
            "windows.schedule must be cron fields",
        ),
        (
            json!({"actuation": {"windows": [
                {"schedule": "0 2 * * *", "duration": "3h", "timeZone": "Mars/Base"}]}}),
            "unknown time zone Mars/Base",
        ),
        (
            json!({"actuation": {"windows": [{"schedule": "0 2 * * *", "duration": "3h", "timeZone": "+02:00"}]}}),
            "windows.timeZone must be a time zone",
        ),
        (
            json!({"actuation": {"windows": [{"schedule": "0 2 * * *", "duration": "0s"}]}}),
            "windows.duration must be longer than 0",
        ),
        (json!({"actuation": {"maxStepPercent": {"shrink": 0}}}), "spec.actuation.maxStepPercent.shrink"),
        (json!({"history": {"window": "0d"}}), "history.window must be longer than 0"),
        (json!({"history": {"learn": "91d"}}), "history.learn must be at most 90d"),
        (json!({"history": {"learn": "90d1s"}}), "history.learn must be at most 90d"),
        (json!({"history": {"learn": "2161h"}}), "history.learn must be at most 90d"),
        (json!({"mode": "Of"}), "spec.mode"),
        (json!({"objective": "Cheap"}), "spec.objective"),
    ]
}

/// Nothing is kept: the server checks as if it would.
fn dry_run() -> PostParams {
    PostParams { dry_run: true, ..PostParams::default() }
}

fn policy(kind: &str, spec: &Value) -> Value {
    json!({"apiVersion": "plumb.dev/v1alpha1", "kind": kind, "metadata": {"name": "t"}, "spec": spec})
}

async fn post(context: &Context, kind: &str, spec: &Value) -> Result<Result<(), String>> {
    let namespaced =
        format!("/apis/plumb.dev/v1alpha1/namespaces/{}/verticalscalingpolicies", context.namespace);
    let path = match kind {
        "VerticalScalingPolicy" => namespaced.as_str(),
        _ => "/apis/plumb.dev/v1alpha1/clusterverticalscalingpolicies",
    };
    // Not through our own types: they would refuse much of it before it is sent.
    let body = serde_json::to_vec(&policy(kind, spec))?;
    let request = kube::core::Request::new(path).create(&dry_run(), body)?;
    match context.client().request::<Value>(request).await {
        Ok(_) => Ok(Ok(())),
        Err(kube::Error::Api(status)) => Ok(Err(status.message)),
        Err(other) => Err(other.into()),
    }
}

cluster_test!(crds_refuse_wrong_policies_by_field, [Crds]);
async fn crds_refuse_wrong_policies_by_field(context: Context) -> Result<()> {
    for (spec, named) in wrong() {
        for kind in ["VerticalScalingPolicy", "ClusterVerticalScalingPolicy"] {
            let refusal =
                post(&context, kind, &spec).await?.err().with_context(|| format!("{kind} takes {spec}"))?;
            // A cluster's policy may name no workload at all, and says so first.
            let named = if kind.starts_with("Cluster") && spec["target"].get("workloadRef").is_some() {
                "target.workloadRef"
            } else {
                named
            };
            ensure!(refusal.contains(named), "{spec}: {refusal}");
        }
    }
    Ok(())
}

cluster_test!(crds_take_right_policies, [Crds]);
async fn crds_take_right_policies(context: Context) -> Result<()> {
    let full = json!({
        "mode": "Auto", "objective": "Critical",
        "target": {"selector": {"matchLabels": {"tier": "backend"}}, "kinds": ["Deployment", "StatefulSet"]},
        "containers": [
            {"name": "app", "resources": ["cpu"], "minAllowed": {"cpu": "5m", "memory": "16Mi"}, "maxAllowed": {"cpu": 4, "memory": "8Gi"},
             "cpu": {"maxShortfallPercent": "0.5", "limit": "Remove"}, "memory": {"maxOomKillsPerYear": 1, "limit": "Equal", "shrink": false, "addLimit": true}},
            {"name": "web", "startupBoost": {"cpu": {"factor": "1.5", "duration": "1h"}}},
            {"name": "java", "startupBoost": {"cpu": {"factor": 3, "duration": "untilReady"}}},
            {"name": "cache", "memory": {"limit": "Headroom", "headroom": "256Mi"}},
            {"name": "*", "resources": []}],
        "band": {"minChangePercent": 10, "minChange": {"cpu": "10m", "memory": "16Mi"}},
        "actuation": {"method": "InPlace", "minReplicas": 2, "maxUnavailable": 3, "maxStepPercent": {"shrink": 30}, "cooldown": "1h30m",
            "windows": [{"schedule": "0 2 * * *", "duration": "3h", "timeZone": "Europe/Berlin"},
                        {"schedule": "*/30 22-23,0-4 1,15 JAN-mar mon-FRI", "duration": "30m",
                         "timeZone": "America/Argentina/Ushuaia"}], "guard": {"observe": "5m"}},
        "history": {"window": "14d", "learn": "90d"}
    });
    let made: VerticalScalingPolicy = serde_json::from_value(policy("VerticalScalingPolicy", &full))?;
    context.api().create(&dry_run(), &made).await?;
    let made: ClusterVerticalScalingPolicy =
        serde_json::from_value(policy("ClusterVerticalScalingPolicy", &full))?;
    Api::all(context.client()).create(&dry_run(), &made).await?;
    for spec in [json!({}), json!({"history": {"learn": "0s"}}), json!({"history": {"learn": "2160h"}})] {
        post(&context, "VerticalScalingPolicy", &spec).await?.map_err(anyhow::Error::msg)?;
    }
    Ok(())
}

cluster_test!(crds_are_explained_by_kubectl, [Crds]);
async fn crds_are_explained_by_kubectl(context: Context) -> Result<()> {
    // The server publishes the schema a moment after it has taken the definition.
    let text = wait_for("kubectl explain to know policies", Duration::from_secs(30), || async {
        context.kubectl(&["explain", "vsp.spec.actuation"]).await?.ok()
    })
    .await?;
    for words in [
        "How running pods are changed",
        "InPlaceOrEvict: by an in-place resize",
        "An OOM kill ends it",
        "enum: InPlace, InPlaceOrEvict",
    ] {
        let flat = text.split_whitespace().collect::<Vec<_>>().join(" ");
        ensure!(flat.contains(words), "no {words:?} in {text}");
    }
    ensure!(!text.contains("<no description>") && !text.contains("Auto-generated"), "{text}");
    Ok(())
}

cluster_test!(crds_show_recommendations_in_columns, [Crds]);
async fn crds_show_recommendations_in_columns(context: Context) -> Result<()> {
    context.apply(&testing::recommendation("web").by_policy("shop").json()).await?;
    let status = json!({"status": {"replicas": 3, "summary": {"cpu": "500m → 180m", "memory": "1Gi → 412Mi", "oomKills": 0,
        "saves": "$11/mo", "confidence": "high", "state": "Advised"}}});
    let api = context.api::<Recommendation>();
    api.patch_status("deployment-web", &Default::default(), &kube::api::Patch::Merge(&status)).await?;
    let table = context.kubectl(&["get", "rec"]).await?.ok()?;
    let lines: Vec<Vec<&str>> = table
        .lines()
        .map(|line| line.split("  ").map(str::trim).filter(|c| !c.is_empty()).collect())
        .collect();
    ensure!(
        lines[0] == ["NAME", "MODE", "CPU", "MEMORY", "OOMS", "SAVES", "CONFIDENCE", "STATE", "AGE"],
        "{table}"
    );
    ensure!(
        lines[1][..8]
            == [
                "deployment-web",
                "Recommend",
                "500m → 180m",
                "1Gi → 412Mi",
                "0",
                "$11/mo",
                "high",
                "Advised"
            ],
        "{table}"
    );
    let by_field = context
        .kubectl(&[
            "get",
            "recommendations.plumb.dev",
            "--field-selector",
            "spec.workloadRef.name=web",
            "-o",
            "name",
        ])
        .await?
        .ok()?;
    ensure!(by_field.trim() == "recommendation.plumb.dev/deployment-web", "{by_field}");
    Ok(())
}
