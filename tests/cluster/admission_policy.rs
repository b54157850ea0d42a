//! Without a webhook: the API server stamps new pods itself, by the same rules, and what that costs.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use futures::{StreamExt, TryStreamExt, stream};
use k8s_openapi::api::admissionregistration::v1::{
    MutatingAdmissionPolicy, MutatingAdmissionPolicyBinding, MutatingWebhookConfiguration,
};
use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{ListParams, PostParams};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};

use plumb::cluster::index::WorkloadKey;
use plumb::control::naming;
use plumb::testing;

use crate::admission::{dry_run, place, start, wait_stamped};
use crate::support::plumb::Plumb;
use crate::support::recommended::{auto_policy, container, new_pods, recommend, stamp};
use crate::support::{Context, Load, soak, wait_for};

cluster_test!(an_admission_policy_stamps_as_the_webhook_does, [Fresh, Crds]);
async fn an_admission_policy_stamps_as_the_webhook_does(context: Context) -> Result<()> {
    let account = place(&context).await?;
    let mut pods = many_pods(&context).await?;
    pods.extend(pods_of_controllers(&context).await?);
    pods.extend(pods_that_name_their_workload(&context).await?);
    let containers = json!([container("load", "180m", "300Mi", "400Mi")]);
    recommend(&context, "pod-web", ("v1", "Pod", "web"), "Auto", containers).await?;
    let webhook = start(&context, &account.kubeconfig, &[]).await?;
    wait_stamped(&context).await?;
    let by_webhook = created(&context, &pods).await?;
    webhook.stop()?;
    ensure!(stamp(&dry_run(&context).await?).is_none(), "something stamps although nothing should");

    let flags = ["--roles", "webhook", "--admission", "policy"];
    let plumb = Plumb::start(&context.cluster.plane, &account.kubeconfig, &context.namespace, &flags)?;
    plumb.wait_ready().await?;
    wait_stamped(&context).await.with_context(|| plumb.log())?;
    let by_policy = created(&context, &pods).await?;
    let (mut stamped, mut boosted) = (0, 0);
    for ((asked, one), other) in pods.iter().zip(&by_webhook).zip(&by_policy) {
        ensure!(one == other, "{asked}\nby webhook: {one}\nby policy:  {other}");
        stamped += usize::from(one["stamped"] == true);
        boosted += usize::from(one["boosts"].as_array().is_some_and(|all| all.iter().any(|b| !b.is_null())));
    }
    println!("{} pods, {stamped} of them stamped: the same by webhook and by policy", pods.len());
    ensure!(stamped * 3 > pods.len() * 2, "only {stamped} were stamped");
    let of = |app: &'static str| {
        let named = move |pod: &Value| pod["metadata"]["labels"]["app"] == app;
        by_policy.iter().zip(&pods).filter(move |(_, pod)| named(pod)).map(|(made, _)| made)
    };
    let requests = |made: &Value| made["resources"][0]["requests"]["cpu"].clone();
    ensure!(
        of("back").count() == 7 && of("back").all(|made| requests(made) == "222m"),
        "not what was before"
    );
    for (app, count) in [("dep", 1), ("nightly", 1), ("whole", 2), ("named", 8), ("apart", 0)] {
        ensure!(of(app).filter(|made| requests(made) == "180m").count() == count, "{app} is not stamped");
    }
    ensure!(of("others").count() == 7 && of("others").all(|made| made["stamped"] == false), "sized by two");
    ensure!(boosted * 5 > pods.len(), "only {boosted} have more to start with");
    ensure!(
        Api::<MutatingWebhookConfiguration>::all(context.client()).get_opt("plumb").await?.is_none(),
        "two means"
    );
    // What stands is left alone, however often it is looked at.
    let looked = || plumb.log().matches("the admission policy needs no change").count();
    let goal = looked() + 2;
    wait_for("policy and binding to be looked at once more", Duration::from_secs(60), || async {
        ensure!(looked() >= goal, "{} of {goal}", looked());
        Ok(())
    })
    .await?;
    let written = plumb.log().matches("wrote the admission policy").count();
    ensure!(written == 2, "written {written} times: {}", plumb.log());
    // No server of ours is needed.
    plumb.kill()?;
    ensure!(stamp(&dry_run(&context).await?).is_some(), "the policy needs plumb to run");
    let webhook = start(&context, &account.kubeconfig, &[]).await?;
    wait_for("the policy to go", Duration::from_secs(60), || async {
        let policies = Api::<MutatingAdmissionPolicy>::all(context.client()).get_opt("plumb").await?;
        let bindings = Api::<MutatingAdmissionPolicyBinding>::all(context.client()).get_opt("plumb").await?;
        ensure!(policies.is_none() && bindings.is_none(), "it stands");
        Ok(())
    })
    .await?;
    wait_stamped(&context).await?;
    webhook.stop()?;
    Ok(())
}

/// Pods of all forms under all rules, each rule with a Recommendation of its own.
async fn many_pods(context: &Context) -> Result<Vec<Value>> {
    let mut pods = Vec::new();
    let forms = [
        json!({}),
        json!({"requests": {"cpu": "500m", "memory": "1Gi"}}),
        json!({"requests": {"cpu": "500m", "memory": "1Gi", "ephemeral-storage": "1Gi"}, "limits": {"cpu": "1", "memory": "1536Mi"}}),
        json!({"limits": {"cpu": "1", "memory": "2Gi"}}),
        json!({"requests": {"cpu": "100m", "memory": "64Mi"}, "limits": {"cpu": "180m", "memory": "400Mi"}}),
        json!({"requests": {"cpu": "333m", "memory": "100M"}, "limits": {"cpu": "1001m", "memory": "123456789"}}),
        json!({"requests": {"memory": "10Gi"}, "limits": {"memory": "20Gi"}}),
    ];
    let mut number = 0;
    for cpu in ["Keep", "Ratio", "Remove", "Equal"] {
        for memory in ["Tail", "Equal", "Ratio", "Keep", "Remove", "Headroom"] {
            for (add, keep) in [(false, false), (true, true)] {
                // The CRD holds addLimit to the rules that know one.
                let add = add && ["Tail", "Equal"].contains(&memory);
                let name = format!("rule-{number}");
                number += 1;
                let mut rules = json!({"cpu": cpu, "memory": memory, "addMemory": add, "keepMemory": keep});
                if memory == "Headroom" {
                    rules["headroom"] = json!("256Mi");
                }
                let mut app = container("app", "180m", "400Mi", "400Mi");
                // Each with maxAllowed or without it, with the template's ratio or the pod's own, and held or not.
                if number % 4 == 1 {
                    (rules["cpuRatio"], rules["memoryRatio"]) = (json!(2.0), json!(1.37));
                }
                let most = [
                    json!({}),
                    json!({"cpu": "200m", "memory": "450Mi"}),
                    json!({"cpu": "180m", "memory": "400Mi"}),
                    json!({"memory": "423456789"}),
                ];
                app["maxAllowed"] = most[number / 2 % 4].clone();
                if number % 7 == 0 {
                    app["held"] = json!(["cpu"]);
                }
                app["limitRules"] = rules.clone();
                let mut side = container("side", "25m", "50Mi", "81Mi");
                side["limitRules"] = rules;
                side["maxAllowed"] = most[(number + 1) % 4].clone();
                if number % 5 == 0 {
                    side["held"] = json!(["memory"]);
                }
                side["kind"] = json!("Sidecar");
                if number % 3 == 0 {
                    (app["learning"], side["learning"]) = (json!(true), json!(true));
                }
                let mut unsized_cpu = container("half", "1", "70Mi", "90Mi");
                unsized_cpu["lower"] = json!({"memory": "10Mi"});
                if number % 2 == 0 {
                    app["startupBoost"] = json!({"cpu": "700m", "duration": "60s"});
                    side["startupBoost"] = json!({"cpu": "2", "duration": "untilReady"});
                }
                let mut setup = container("setup", "70m", "60Mi", "90Mi");
                setup["limitRules"] = side["limitRules"].clone();
                setup["kind"] = json!("Init");
                let containers = json!([app, side, unsized_cpu, setup]);
                recommend(context, &format!("pod-{name}"), ("v1", "Pod", &name), "Auto", containers).await?;
                for (index, form) in forms.iter().enumerate() {
                    let other = &forms[(index + number) % forms.len()];
                    let mut spec = json!({"automountServiceAccountToken": false, "containers": [
                        {"name": "app", "image": "x", "resources": form}]});
                    if index % 3 == 1 {
                        spec["containers"][0]["resizePolicy"] =
                            json!([{"resourceName": "cpu", "restartPolicy": "RestartContainer"}]);
                    }
                    if index % 2 == 0 {
                        spec["initContainers"] = json!([
                            {"name": "side", "image": "x", "restartPolicy": "Always", "resources": other},
                            {"name": "setup", "image": "x", "resources": forms[(2 * index + number) % forms.len()]},
                            {"name": "app2", "image": "x", "resources": {"requests": {"cpu": "1m"}}}]);
                        let half = json!({"name": "half", "image": "x", "resources": other});
                        spec["containers"].as_array_mut().context("a list")?.push(half);
                    }
                    let labels = if index == 6 { json!({"run": name}) } else { json!({"app": name}) };
                    let mut metadata = json!({"generateName": "p-", "labels": labels});
                    if index % 3 == 0 {
                        metadata["annotations"] = json!({"a": "b"});
                    }
                    pods.push(json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}));
                }
            }
        }
    }
    // What the updater says of new pods counts.
    for (name, given) in [("back", "Previous"), ("others", "Nothing")] {
        let mut load = container("load", "180m", "300Mi", "400Mi");
        load["startupBoost"] = json!({"cpu": "700m", "duration": "60s"});
        let recommendation = format!("pod-{name}");
        recommend(context, &recommendation, ("v1", "Pod", name), "Auto", json!([load])).await?;
        let had = json!({"requests": {"cpu": "222m", "memory": "222Mi"}, "limits": {"memory": "333Mi"}});
        new_pods(context, &recommendation, given, json!([{"name": "load", "resources": had}])).await?;
        for form in &forms {
            pods.push(json!({"apiVersion": "v1", "kind": "Pod",
                "metadata": {"generateName": "p-", "labels": {"app": name}},
                "spec": {"containers": [{"name": "load", "image": "x", "resources": form}]}}));
        }
    }
    // Of a controller whose kind needs no looking up.
    for owner in ["old", "unknown"] {
        let references = json!([{"apiVersion": "v1", "kind": "ReplicationController", "name": owner,
            "uid": "11111111-1111-1111-1111-111111111111", "controller": true}]);
        pods.push(json!({"apiVersion": "v1", "kind": "Pod",
            "metadata": {"generateName": "p-", "labels": {"app": "web"}, "ownerReferences": references},
            "spec": {"containers": [{"name": "load", "image": "x"}]}}));
    }
    let containers = json!([container("load", "180m", "300Mi", "400Mi")]);
    let old = ("v1", "ReplicationController", "old");
    recommend(context, "replicationcontroller-old", old, "Auto", containers.clone()).await?;
    // What the pod as a whole asks for is left alone; nothing is not.
    for resources in [json!({"requests": {"cpu": "2"}}), json!({}), Value::Null] {
        pods.push(json!({"apiVersion": "v1", "kind": "Pod",
            "metadata": {"generateName": "p-", "labels": {"app": "whole"}},
            "spec": {"resources": resources, "containers": [{"name": "load", "image": "x"}]}}));
    }
    recommend(context, "pod-whole", ("v1", "Pod", "whole"), "Auto", containers).await?;
    Ok(pods)
}

/// Pods of a Deployment and of a CronJob, which something stands between.
async fn pods_of_controllers(context: &Context) -> Result<Vec<Value>> {
    let target = json!([container("load", "180m", "300Mi", "400Mi")]);
    context.apply(&Load::named("dep").deployment(0)).await?;
    let of = ("apps/v1", "Deployment", "dep");
    recommend(context, "deployment-dep", of, "Auto", target.clone()).await?;
    let sets = context.api::<ReplicaSet>();
    let set = wait_for("a ReplicaSet", Duration::from_secs(60), || async {
        sets.list(&ListParams::default().labels("app=dep")).await?.items.pop().context("there is none")
    })
    .await?;
    let mut template = Load::named("nightly").template();
    template["spec"]["restartPolicy"] = json!("Never");
    let jobs = json!({"spec": {"suspend": true, "template": template}});
    context
        .apply(&json!({"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "nightly"},
            "spec": {"schedule": "0 0 1 1 *", "suspend": true, "jobTemplate": jobs}}))
        .await?;
    let of = ("batch/v1", "CronJob", "nightly");
    recommend(context, "cronjob-nightly", of, "Auto", target).await?;
    let cron = context.api::<CronJob>().get("nightly").await?;
    let owned = |kind: &str, name: &str, uid: Option<&String>| {
        let group = if kind == "ReplicaSet" { "apps/v1" } else { "batch/v1" };
        json!([{"apiVersion": group, "kind": kind, "name": name, "uid": uid, "controller": true}])
    };
    let metadata = json!({"name": "nightly-29000000", "ownerReferences": owned("CronJob", "nightly", cron.uid().as_ref())});
    context
        .apply(&json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": jobs["spec"]}))
        .await?;
    let job = context.api::<Job>().get("nightly-29000000").await?;
    let pod = |labels: Value, owners: Value| {
        json!({"apiVersion": "v1", "kind": "Pod",
            "metadata": {"generateName": "p-", "labels": labels, "ownerReferences": owners},
            "spec": {"containers": [{"name": "load", "image": "x", "resources": {"limits": {"memory": "1Gi"}}}]}})
    };
    Ok(vec![
        pod(json!(set.labels()), owned("ReplicaSet", &set.name_any(), set.uid().as_ref())),
        pod(json!({"app": "nightly"}), owned("Job", &job.name_any(), job.uid().as_ref())),
    ])
}

/// Pods that say by labels which workload they are of, whatever run of it has made them; and some that do not quite.
async fn pods_that_name_their_workload(context: &Context) -> Result<Vec<Value>> {
    let lws = "leaderworkerset.sigs.k8s.io";
    let workloads = [
        ("leaderworkerset.x-k8s.io/v1", "LeaderWorkerSet", "llm:worker"),
        ("jobset.x-k8s.io/v1alpha2", "JobSet", "train:driver"),
        ("tekton.dev/v1", "Pipeline", "ci:build"),
        ("tekton.dev/v1", "Task", "go-build"),
        ("sparkoperator.k8s.io/v1beta2", "SparkApplication", "etl:executor"),
        ("serving.knative.dev/v1", "Service", "hello"),
        ("v1", "Pod", "dag:load"),
    ];
    for of in workloads {
        let (api_version, kind, name) = of;
        let key = testing::workload(name).kind(kind).api_version(api_version).key();
        let key = WorkloadKey { namespace: context.namespace.as_str().into(), ..key };
        let name = naming::name(&key);
        let containers = json!([container("load", "180m", "300Mi", "400Mi")]);
        recommend(context, &name, of, "Auto", containers).await?;
    }
    let spark = |name: &str, role: &str| json!({"spark-app-name": name, "spark-role": role});
    let (run, other) = ("etl-1795406400000000000", "etl-2");
    let task = json!({"tekton.dev/task": "go-build", "tekton.dev/pipeline": "ci", "tekton.dev/pipelineTask": "build"});
    let pods = [
        ("named", "StatefulSet", json!({format!("{lws}/name"): "llm", format!("{lws}/worker-index"): "2"})),
        ("apart", "StatefulSet", json!({format!("{lws}/name"): "llm", format!("{lws}/worker-index"): "0"})),
        (
            "named",
            "Job",
            json!({"jobset.sigs.k8s.io/jobset-name": "train", "jobset.sigs.k8s.io/replicatedjob-name": "driver"}),
        ),
        ("named", "TaskRun", task.clone()),
        ("apart", "Pod", task),
        ("named", "TaskRun", json!({"tekton.dev/task": "go-build"})),
        ("named", "Pod", spark(run, "executor")),
        ("named", "", spark("etl", "executor")),
        ("apart", "Pod", spark(run, "driver")),
        ("apart", "Pod", spark(other, "executor")),
        ("named", "ReplicaSet", json!({"serving.knative.dev/service": "hello"})),
        ("named", "", json!({"dag_id": "dag", "task_id": "load"})),
        ("apart", "", json!({"dag_id": "dag", "task_id": "clean"})),
        // One label in common makes no workload.
        ("apart", "", json!({"team": "web"})),
    ];
    let pod = |(app, maker, labels): (&str, &str, Value)| {
        let mut metadata = json!({"generateName": "p-", "labels": labels});
        metadata["labels"]["app"] = json!(app);
        if !maker.is_empty() {
            metadata["ownerReferences"] = json!([{"apiVersion": "x/v1", "kind": maker, "name": "run-1",
                "uid": "11111111-1111-1111-1111-111111111112", "controller": true}]);
        }
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata,
               "spec": {"containers": [{"name": "load", "image": "x"}]}})
    };
    Ok(pods.map(pod).to_vec())
}

/// What each of the pods becomes: its resources, and whether there is a note.
async fn created(context: &Context, pods: &[Value]) -> Result<Vec<Value>> {
    let api = context.api::<Pod>();
    let params = PostParams { dry_run: true, field_manager: None };
    let mut found = Vec::new();
    for pod in pods {
        let made = api
            .create(&params, &serde_json::from_value(pod.clone())?)
            .await
            .with_context(|| pod.to_string())?;
        let resources: Vec<_> = made
            .spec
            .iter()
            .flat_map(|spec| {
                spec.init_containers.iter().flatten().chain(&spec.containers).map(|c| json!(c.resources))
            })
            .collect();
        let note = stamp(&made);
        let containers = || note.iter().flat_map(|note| &note.containers);
        let named: Vec<_> = containers().map(|(name, _)| name).collect();
        let boosts: Vec<_> = containers().map(|(_, given)| json!(given.boost)).collect();
        found.push(
            json!({"resources": resources, "stamped": note.is_some(), "named": named, "boosts": boosts}),
        );
    }
    Ok(found)
}

cluster_test!(what_an_admission_policy_costs, [Fresh, Crds], only soak);
/// How much longer a creation takes with so many Recommendations in the namespace.
async fn what_an_admission_policy_costs(context: Context) -> Result<()> {
    let account = place(&context).await?;
    let flags = ["--roles", "webhook", "--admission", "policy"];
    let plumb = Plumb::start(&context.cluster.plane, &account.kubeconfig, &context.namespace, &flags)?;
    plumb.wait_ready().await?;
    measure(&context).await?;
    plumb.stop()?;
    Ok(())
}

async fn measure(context: &Context) -> Result<()> {
    for count in [10, 100, 1000] {
        let place = Context::new(context.cluster.clone(), "cost").await?;
        let without = median(&place).await?;
        stream::iter(0..count - 1)
            .map(|number| {
                let place = &place;
                async move {
                    let (name, workload) = (format!("pod-other-{number}"), format!("other-{number}"));
                    let containers = json!([container("load", "180m", "300Mi", "400Mi")]);
                    recommend(place, &name, ("v1", "Pod", &workload), "Auto", containers).await
                }
            })
            .buffer_unordered(8)
            .try_collect::<Vec<_>>()
            .await?;
        let containers = json!([container("load", "180m", "300Mi", "400Mi")]);
        recommend(&place, "pod-web", ("v1", "Pod", "web"), "Auto", containers).await?;
        auto_policy(&place, "all").await?;
        wait_stamped(&place).await?;
        let with = median(&place).await?;
        println!(
            "{count} recommendations in the namespace: a pod's creation takes {:.1} ms, without the policy {:.1} ms",
            with.as_secs_f64() * 1000.0,
            without.as_secs_f64() * 1000.0
        );
        // What has been measured, with some reserve for a busy machine; docs/webhook.md has the figures.
        ensure!(with < Duration::from_millis(200 + 2 * count), "it takes {with:?}");
    }
    Ok(())
}

async fn median(context: &Context) -> Result<Duration> {
    let mut took = Vec::new();
    for _ in 0..60 {
        let begin = Instant::now();
        dry_run(context).await?;
        took.push(begin.elapsed());
    }
    took.sort_unstable();
    Ok(took[took.len() / 2])
}
