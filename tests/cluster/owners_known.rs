//! Custom kinds that plumb knows by name, on the real API server: which pods are one workload, what keeps its row, and
//! what the updater leaves to others. Their operators do not run; the test makes what they would make.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use plumb::api::Recommendation;
use plumb::testing;
use serde_json::{Value, json};

use crate::support::custom_kinds::{define, make, owner_of};
use crate::support::recommended::{container, name_of, recommend, resources};
use crate::support::roles::Roles;
use crate::support::{Context, Load, wait_for};
use crate::updater::{SOON, pods_of, ready};

const HASH: &str = "rollouts-pod-template-hash";
const LWS: &str = "leaderworkerset.sigs.k8s.io";

/// A template with these labels.
fn template(name: &str, labels: &Value) -> Value {
    let mut template = Load::named(name).requests("1m", "8Mi").template();
    for (label, value) in labels.as_object().into_iter().flatten() {
        template["metadata"]["labels"][label] = value.clone();
    }
    template
}

/// The spec of a Deployment, a ReplicaSet or a StatefulSet.
fn replicas(name: &str, count: u32, labels: &Value) -> Value {
    json!({"spec": {"replicas": count, "serviceName": name, "selector": {"matchLabels": {"app": name}},
                    "template": template(name, labels)}})
}

fn without_service(mut object: Value) -> Value {
    if let Some(spec) = object["spec"].as_object_mut() {
        spec.remove("serviceName");
    }
    object
}

fn job(name: &str, pods: u32, labels: &Value) -> Value {
    let mut template = template(name, labels);
    template["spec"]["restartPolicy"] = json!("Never");
    json!({"spec": {"parallelism": pods, "completions": pods, "template": template}})
}

fn pod(name: &str, labels: &Value) -> Value {
    template(name, labels)
}

cluster_test!(pods_of_known_custom_kinds_are_pooled_by_template_and_role, [Node, Crds]);
async fn pods_of_known_custom_kinds_are_pooled_by_template_and_role(context: Context) -> Result<()> {
    define(&context).await?;
    context.apply(&testing::policy("all").json()).await?;
    // Selects by a label that only the owner at the top has.
    let by_label = json!({"target": {"selector": {"matchLabels": {"team": "ml"}}}});
    context.apply(&testing::policy("ml").spec(by_label).json()).await?;
    long_lived(&context).await?;
    runs(&context).await?;
    let mut plumb = Roles::start(&context, &[("recommender", &["--interval", "5s"])]).await?;
    let expected = BTreeMap::from(
        [
            ("Rollout web", 2),
            ("Job check", 1),
            ("LeaderWorkerSet llm:leader", 1),
            ("LeaderWorkerSet llm:worker", 2),
            ("JobSet train:driver", 1),
            ("JobSet train:worker", 2),
            ("WorkflowTemplate report:load", 2),
            ("CronWorkflow nightly:sum-up", 1),
            ("Workflow hand-made-:load", 2),
            ("Pipeline ci:build", 2),
            ("Task lint", 1),
            ("SparkApplication etl:driver", 1),
            ("SparkApplication etl:executor", 2),
            ("Service hello", 2),
            ("ScaledJob queue", 2),
            ("Cluster pg", 1),
            ("Squad one", 1),
            ("Pod dag:load", 1),
            ("Pod dag:clean", 1),
        ]
        .map(|(name, pods)| (name.to_owned(), pods)),
    );
    let written = || async {
        let all = context.api::<Recommendation>().list(&ListParams::default()).await?.items;
        let one = |found: &Recommendation| {
            let of = &found.spec.workload_ref;
            (format!("{} {}", of.kind, of.name), found.status.as_ref().map_or(0, |status| status.replicas))
        };
        Ok::<_, anyhow::Error>((all.iter().map(one).collect::<BTreeMap<_, _>>(), all))
    };
    let steps = async {
        wait_for("a Recommendation for each template and role", SOON, || async {
            let (found, _) = written().await?;
            ensure!(found == expected, "{found:#?}");
            Ok(())
        })
        .await?;
        let (_, all) = written().await?;
        for one in all.iter().filter(|one| one.spec.workload_ref.kind == "LeaderWorkerSet") {
            ensure!(one.spec.policy_ref.name == "ml", "{:?}", one.spec);
        }
        Ok(())
    };
    steps.await.with_context(|| plumb.log())?;
    at_rest(&context, &mut plumb).await.with_context(|| plumb.log())?;
    plumb.stop()
}

/// What has replicas for long.
async fn long_lived(context: &Context) -> Result<()> {
    let none = json!({});
    let rollout = make(context, "Rollout", "web", None, json!({"spec": {"replicas": 2}})).await?;
    for hash in ["a", "b"] {
        let set = without_service(replicas(&format!("web-{hash}"), 1, &json!({HASH: hash})));
        make(context, "ReplicaSet", &format!("web-{hash}"), Some(&rollout), set).await?;
    }
    let analysis = make(context, "AnalysisRun", "web-1", Some(&rollout), json!({})).await?;
    make(context, "Job", "check", Some(&analysis), job("check", 1, &none)).await?;
    let set = json!({"metadata": {"labels": {"team": "ml"}}, "spec": {"replicas": 1}});
    let set = make(context, "LeaderWorkerSet", "llm", None, set).await?;
    let part = |index: &str| json!({format!("{LWS}/name"): "llm", format!("{LWS}/worker-index"): index});
    make(context, "StatefulSet", "llm", Some(&set), replicas("llm", 1, &part("0"))).await?;
    let leader = wait_for("the leader", SOON, || owner_of(context, "Pod", "llm-0")).await?;
    make(context, "StatefulSet", "llm-0", Some(&leader), replicas("llm-0", 2, &part("1"))).await?;
    for revision in ["hello-1", "hello-2"] {
        let service = make(context, "Service", "hello", None, json!({})).await?;
        let configuration = make(context, "Configuration", "hello", Some(&service), json!({})).await?;
        let of = make(context, "Revision", revision, Some(&configuration), json!({})).await?;
        let name = format!("{revision}-deployment");
        let spec = without_service(replicas(&name, 1, &json!({"serving.knative.dev/service": "hello"})));
        make(context, "Deployment", &name, Some(&of), spec).await?;
    }
    for (kind, name) in [("Cluster", "pg"), ("Squad", "one")] {
        let owner = make(context, kind, name, None, json!({})).await?;
        make(context, "Pod", &format!("{name}-1"), Some(&owner), pod(name, &none)).await?;
    }
    Ok(())
}

/// What lives for one run.
async fn runs(context: &Context) -> Result<()> {
    let none = json!({});
    let set = make(context, "JobSet", "train", None, json!({})).await?;
    for (role, pods) in [("driver", 1), ("worker", 2)] {
        let name = format!("train-{role}-0");
        let labels =
            json!({"jobset.sigs.k8s.io/jobset-name": "train", "jobset.sigs.k8s.io/replicatedjob-name": role});
        make(context, "Job", &name, Some(&set), job(&name, pods, &labels)).await?;
    }
    let queue = make(context, "ScaledJob", "queue", None, json!({})).await?;
    for name in ["queue-x1", "queue-x2"] {
        make(context, "Job", name, Some(&queue), job(name, 1, &none)).await?;
    }
    let cron = make(context, "CronWorkflow", "nightly", None, json!({})).await?;
    let label = |kind: &str, name: &str| json!({"metadata": {"labels": {format!("workflows.argoproj.io/{kind}"): name}}});
    let prefix = json!({"metadata": {"generateName": "hand-made-"}});
    for (name, owner, metadata, step) in [
        ("report-x1", None, label("workflow-template", "report"), "load"),
        ("report-x2", None, label("workflow-template", "report"), "load"),
        ("nightly-1", Some(&cron), label("cron-workflow", "nightly"), "sum-up"),
        ("hand-made-x1", None, prefix.clone(), "load"),
        ("hand-made-x2", None, prefix, "load"),
    ] {
        let workflow = make(context, "Workflow", name, owner, metadata).await?;
        make(context, "Pod", &format!("{name}-{step}-1234567"), Some(&workflow), pod(name, &none)).await?;
    }
    for (name, labels) in [
        (
            "ci-1-build",
            json!({"tekton.dev/task": "go", "tekton.dev/pipeline": "ci", "tekton.dev/pipelineTask": "build"}),
        ),
        (
            "ci-2-build",
            json!({"tekton.dev/task": "go", "tekton.dev/pipeline": "ci", "tekton.dev/pipelineTask": "build"}),
        ),
        ("lint-1", json!({"tekton.dev/task": "lint"})),
    ] {
        let run = make(context, "TaskRun", name, None, json!({})).await?;
        make(context, "Pod", &format!("{name}-pod"), Some(&run), pod(name, &labels)).await?;
    }
    let name = "etl-1795406400000000000";
    let part = |role: &str| json!({"spark-app-name": name, "spark-role": role});
    let schedule = make(context, "ScheduledSparkApplication", "etl", None, json!({})).await?;
    let spark = make(context, "SparkApplication", name, Some(&schedule), json!({})).await?;
    let driver = make(context, "Pod", "etl-driver", Some(&spark), pod("etl-driver", &part("driver"))).await?;
    for executor in ["etl-exec-1", "etl-exec-2"] {
        make(context, "Pod", executor, Some(&driver), pod(executor, &part("executor"))).await?;
    }
    for task in ["load", "clean"] {
        let labels = json!({"dag_id": "dag", "task_id": task, "run_id": "manual-1", "component": "worker"});
        make(context, "Pod", &format!("dag-{task}-x1"), None, pod("airflow", &labels)).await?;
    }
    Ok(())
}

/// Without pods a custom workload keeps its row while it is there, also for a process that has never seen its pods and may
/// not read it; once it is gone the row goes.
async fn at_rest<'a>(context: &'a Context, plumb: &mut Roles<'a>) -> Result<()> {
    let rows = context.api::<Recommendation>();
    let flags: (&'static str, &[&str]) = ("recommender", &["--interval", "5s"]);
    let pg = name_of(("postgresql.cnpg.io/v1", "Cluster", "pg"));
    context.api::<Pod>().delete("pg-1", &DeleteParams::default().grace_period(0)).await?;
    plumb.of("recommender")?.rounds(2, Duration::from_secs(5)).await?;
    ensure!(rows.get_opt(&pg).await?.is_some(), "scaled to zero, and lost its row");
    plumb.replace(context, flags).await?;
    plumb.of("recommender")?.rounds(3, Duration::from_secs(5)).await?;
    ensure!(rows.get_opt(&pg).await?.is_some(), "lost its row after a restart");
    context.kubectl(&["delete", "clusters.postgresql.cnpg.io", "pg"]).await?.ok()?;
    plumb.replace(context, flags).await?;
    wait_for("the row of what is gone to go", SOON, || async {
        ensure!(rows.get_opt(&pg).await?.is_none(), "it stays");
        Ok(())
    })
    .await
}

cluster_test!(what_others_do_with_pods_of_custom_kinds_is_left_to_them, [Node, Crds]);
async fn what_others_do_with_pods_of_custom_kinds_is_left_to_them(context: Context) -> Result<()> {
    define(&context).await?;
    context.apply(&testing::policy("all").auto().actuation(json!({"hpa": "Rescale"})).json()).await?;
    let small = |name: &str| Load::named(name).requests("10m", "24Mi").memory_limit("64Mi");
    // KEDA's autoscaler, whose targets KEDA puts back; and one on a Deployment below what scales.
    let object = make(&context, "ScaledObject", "keda", None, json!({})).await?;
    let squad = make(&context, "Squad", "below", None, json!({})).await?;
    for (name, owner) in [("keda", None), ("below", Some(&squad)), ("put-back", None), ("plain", None)] {
        make(&context, "Deployment", name, owner, small(name).deployment(1)).await?;
    }
    make_autoscaler(&context, "keda", Some(&object)).await?;
    make_autoscaler(&context, "below", Some(&object)).await?;
    // A rollout between two steps: both revisions serve.
    let rollout = make(&context, "Rollout", "steps", None, json!({"spec": {"replicas": 2}})).await?;
    for hash in ["a", "b"] {
        let name = format!("steps-{hash}");
        let mut set = without_service(replicas(&name, 1, &json!({HASH: hash})));
        set["spec"]["template"]["spec"]["containers"] = small(&name).template()["spec"]["containers"].clone();
        make(&context, "ReplicaSet", &name, Some(&rollout), set).await?;
    }
    for name in ["keda", "below", "put-back", "plain", "steps-a", "steps-b"] {
        ready(&context, name, 1).await?;
    }
    put_back(&context, "put-back").await?;
    let target = || json!([container("load", "30m", "24Mi", "64Mi")]);
    for name in ["keda", "plain"] {
        let workload = ("apps/v1", "Deployment", name);
        recommend(&context, &format!("deployment-{name}"), workload, "Auto", target()).await?;
    }
    // So much more that nobody would wait with it, though the pod was resized a moment ago.
    let more = json!([container("load", "400m", "24Mi", "64Mi")]);
    recommend(&context, "deployment-put-back", ("apps/v1", "Deployment", "put-back"), "Auto", more).await?;
    let squad = ("apps.example.test/v1", "Squad", "below");
    let of_squad = name_of(squad);
    recommend(&context, &of_squad, squad, "Auto", target()).await?;
    let rollout = ("argoproj.io/v1alpha1", "Rollout", "steps");
    recommend(&context, "rollout-steps", rollout, "Auto", target()).await?;
    let plumb = Roles::start(&context, &[("updater", &[])]).await?;
    let steps = async {
        resized(&context, "plain").await?;
        plumb.of("updater")?.plans(2).await?;
        for (row, pods, hold) in [
            ("deployment-keda", "keda", "HorizontalPodAutoscaler"),
            (&*of_squad, "below", "HorizontalPodAutoscaler"),
            ("deployment-put-back", "put-back", "ResizedByOther"),
        ] {
            wait_for(&format!("{row} to be blocked"), SOON, || blocked(&context, row, hold)).await?;
            ensure!(cpu(&context, pods).await? == "10m", "{row} was resized");
        }
        let message = message(&context, "deployment-put-back").await?;
        ensure!(message.contains("(field manager kruise-manager)"), "{message}");
        let scaler = context.api::<HorizontalPodAutoscaler>().get("keda").await?;
        ensure!(
            json!(scaler)["spec"]["metrics"][0]["resource"]["target"]["averageUtilization"] == 80,
            "moved"
        );
        ensure!(cpu(&context, "steps-a").await? == "10m", "resized in the middle of a rollout");
        // The rollout is over.
        context.kubectl(&["delete", "replicaset", "steps-a"]).await?.ok()?;
        resized(&context, "steps-b").await
    };
    let steps: Result<()> = steps.await;
    steps.with_context(|| plumb.log())?;
    plumb.stop()
}

async fn make_autoscaler(context: &Context, name: &str, owner: Option<&Value>) -> Result<()> {
    let metrics = json!([{"type": "Resource",
        "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}}}]);
    let target = json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": name});
    let mut object = json!({"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": name}, "spec": {"maxReplicas": 1, "metrics": metrics, "scaleTargetRef": target}});
    if let Some(owner) = owner {
        object["metadata"]["ownerReferences"] = json!([owner]);
    }
    context.apply(&object).await
}

/// Another controller resizes the pod, as one does that puts its own sizes back.
async fn put_back(context: &Context, name: &str) -> Result<()> {
    let pod = pods_of(context, name).await?.pop().context("no pod")?;
    for cpu in ["11m", "10m"] {
        let patch =
            json!({"spec": {"containers": [{"name": "load", "resources": {"requests": {"cpu": cpu}}}]}});
        let params =
            PatchParams { field_manager: Some("kruise-manager".to_owned()), ..PatchParams::default() };
        let patch = Patch::Strategic(patch);
        context.api::<Pod>().patch_subresource("resize", &pod.name_any(), &params, &patch).await?;
    }
    Ok(())
}

async fn cpu(context: &Context, name: &str) -> Result<Value> {
    let pod = pods_of(context, name).await?.pop().with_context(|| format!("no pod of {name}"))?;
    Ok(resources(&pod, "load")["requests"]["cpu"].clone())
}

async fn resized(context: &Context, name: &str) -> Result<()> {
    wait_for(&format!("{name} to be resized"), SOON, || async {
        let has = cpu(context, name).await?;
        ensure!(has == "30m", "it has {has}");
        Ok(())
    })
    .await
}

async fn blocked(context: &Context, row: &str, hold: &str) -> Result<()> {
    let status = context.api::<Recommendation>().get(row).await?.status.unwrap_or_default();
    let conditions = &status.conditions;
    let found = conditions.iter().find(|condition| condition.type_ == "Blocked");
    ensure!(found.is_some_and(|found| found.reason == hold), "{conditions:?}");
    Ok(())
}

async fn message(context: &Context, row: &str) -> Result<String> {
    let status = context.api::<Recommendation>().get(row).await?.status.unwrap_or_default();
    let blocked = status.conditions.into_iter().find(|condition| condition.type_ == "Blocked");
    Ok(blocked.context("not blocked")?.message)
}
