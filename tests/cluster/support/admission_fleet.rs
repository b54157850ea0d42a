//! Thousands of workloads with their Recommendations, and the reviews of their pods: what the webhook's speed is taken among.

use std::time::Instant;

use anyhow::{Context as _, Result};
use futures::{StreamExt, TryStreamExt, stream};
use k8s_openapi::api::apps::v1::StatefulSet;
use kube::Api;
use kube::api::{ApiResource, DynamicObject, Patch, PatchParams, PostParams};
use plumb::api::{Recommendation, short};
use plumb::testing;
use serde_json::{Value, json};

use crate::support::recommended::{auto_policy, container};
use crate::support::{Context, vpa};

const NAMESPACES: usize = 10;

/// A workload, whose pods are asked about.
pub struct Workload {
    namespace: String,
    name: String,
    uid: String,
}

/// As many workloads, in some namespaces, each with its Recommendation, and with its autoscaler where one is to be
/// asked that needs it.
pub async fn fill(context: &Context, count: usize, beside: bool) -> Result<Vec<Workload>> {
    let begin = Instant::now();
    let mut places = Vec::new();
    for _ in 0..NAMESPACES {
        let place = Context::new(context.cluster.clone(), "load").await?;
        auto_policy(&place, "all").await?;
        places.push(place);
    }
    let workloads = stream::iter(0..count)
        .map(|number| {
            let place = &places[number % NAMESPACES];
            async move {
                let name = format!("web-{number}");
                let workload = ("apps/v1", "StatefulSet", name.as_str());
                let uid = stateful_set(place, &name).await?;
                recommend(place, &format!("statefulset-{name}"), workload).await?;
                if beside {
                    autoscaler(place, &name).await?;
                }
                Ok::<_, anyhow::Error>(Workload { namespace: place.namespace.clone(), name, uid })
            }
        })
        .buffered(16)
        .try_collect::<Vec<_>>()
        .await?;
    println!("made {count} workloads in {:.0} s", begin.elapsed().as_secs_f64());
    Ok(workloads)
}

/// A Recommendation as recommender and updater write it, with all that they say.
async fn recommend(
    place: &Context,
    name: &str,
    (api_version, kind, workload): (&str, &str, &str),
) -> Result<()> {
    let about = testing::object("Recommendation", name).json();
    let object =
        testing::recommendation(workload).named(name).for_custom_workload(api_version, kind, workload);
    let object = object.auto().json();
    let api: Api<Recommendation> = place.api();
    let params = |role| PatchParams::apply(role).force();
    api.patch(name, &params("plumb-recommender"), &Patch::Apply(&object)).await?;
    let condition = |kind: &str, status: &str, reason: &str, message: &str| {
        json!({"type": kind, "status": status, "reason": reason, "message": message,
               "lastTransitionTime": "2026-11-23T20:22:25Z"})
    };
    let containers =
        json!([learned("app", "180m", "300Mi", "400Mi"), learned("proxy", "20m", "50Mi", "64Mi")]);
    let sizes = short::write(&serde_json::from_str::<Vec<_>>(&containers.to_string())?);
    let mut said = about.clone();
    said["status"] = json!({"replicas": 3, "pod": testing::resources("200m", "350Mi", "464Mi"),
    "summary": {"cpu": "1 → 200m", "memory": "1Gi → 350Mi", "oomKills": 0, "saves": "$24/mo", "confidence": "high"},
    "containers": containers, "sizes": sizes,
    "conditions": [
        condition("HistoryReady", "True", "Enough", "the figures rest on 14 days of history"),
        condition("Limited", "False", "NothingBinds", "nothing keeps the figures from the need"),
    ]});
    api.patch_status(name, &params("plumb-recommender"), &Patch::Apply(&said)).await?;
    let mut acted = about;
    let before = |name: &str| {
        json!({"name": name, "resources": testing::resources("500m", "512Mi", "1Gi"),
               "target": testing::resources("200m", "310Mi", "420Mi")})
    };
    acted["status"] = json!({"summary": {"state": "Applied"},
    "newPods": {"given": "Target", "since": "2026-11-23T20:22:25Z"},
    "previous": [before("app"), before("proxy")],
    "conditions": [
        condition("Applied", "True", "AllPods", "3 pods run with what is recommended"),
        condition("Blocked", "False", "NothingHolds", "nothing keeps its pods from changing"),
    ]});
    api.patch_status(name, &params("plumb-updater"), &Patch::Apply(&acted)).await?;
    Ok(())
}

fn learned(name: &str, cpu: &str, memory: &str, memory_limit: &str) -> Value {
    let mut all = container(name, cpu, memory, memory_limit);
    let more = json!({"kind": "Container", "limitRules": {"cpu": "Keep", "memory": "Tail", "addMemory": false, "keepMemory": false},
    "current": all["target"], "lower": {"cpu": "6m", "memory": "15Mi"}, "upper": {"cpu": "820m", "memory": "820Mi"},
    "confidence": "high", "samples": 40_320, "days": 14, "oomKills": 0, "reasons": [
        "40320 samples over 14 days: high confidence",
        format!("CPU request {cpu}: maximum at this time yesterday and of the last quarter of an hour {cpu} x 1.00, the \
                 cheapest so far, leaving 12 % unused and 0.02 % short"),
        format!("CPU request rounded up to {cpu}"),
        format!("memory request {memory}: maximum of the last four hours {memory} x 1.00, the cheapest so far, leaving \
                 4 % unused and 0.01 % short"),
        format!("memory request rounded up to {memory}"),
        format!("memory limit {memory_limit}: the tail above the peak of {memory}, whose logarithm varies by 0.30"),
        format!("memory limit rounded up to {memory_limit}"),
    ]});
    for (key, value) in more.as_object().into_iter().flatten() {
        all[key] = value.clone();
    }
    all
}

async fn stateful_set(place: &Context, name: &str) -> Result<String> {
    let labels = json!({"app": name});
    let template = json!({"metadata": {"labels": labels},
        "spec": {"containers": [{"name": "app", "image": "app"}, {"name": "proxy", "image": "proxy"}]}});
    let object = json!({"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": name, "labels": labels},
        "spec": {"replicas": 0, "serviceName": name, "selector": {"matchLabels": labels}, "template": template}});
    let api: Api<StatefulSet> = place.api();
    let made = api.create(&PostParams::default(), &serde_json::from_value(object)?).await?;
    made.metadata.uid.context("no uid")
}

async fn autoscaler(place: &Context, name: &str) -> Result<()> {
    let kind = ApiResource::from_gvk_with_plural(
        &kube::core::GroupVersionKind::gvk("autoscaling.k8s.io", "v1", "VerticalPodAutoscaler"),
        "verticalpodautoscalers",
    );
    let api: Api<DynamicObject> = Api::namespaced_with(place.client(), &place.namespace, &kind);
    let (object, status) = vpa::autoscaler(&place.namespace, name, ("apps/v1", "StatefulSet"));
    api.create(&PostParams::default(), &serde_json::from_value(object)?).await?;
    api.patch_status(name, &PatchParams::default(), &Patch::Merge(status)).await?;
    Ok(())
}

/// A review as the API server sends it: most of it is of no interest here.
pub fn review(workload: &Workload) -> Vec<u8> {
    let Workload { namespace, name, uid } = workload;
    let environment: Vec<Value> = (0..40)
        .map(|entry| json!({"name": format!("SETTING_{entry}"), "value": format!("a value of usual length, number {entry}")}))
        .collect();
    let mounts = json!([{"name": "config", "mountPath": "/etc/config"}, {"name": "data", "mountPath": "/var/lib/data"}]);
    let resources =
        json!({"requests": {"cpu": "500m", "memory": "1Gi"}, "limits": {"cpu": "1", "memory": "2Gi"}});
    let container = |name: &str| {
        json!({"name": name, "image": "registry.example/app:1.2.3", "env": environment,
        "resources": resources, "volumeMounts": mounts, "imagePullPolicy": "IfNotPresent",
        "readinessProbe": {"httpGet": {"path": "/readyz", "port": 8080}, "periodSeconds": 10}})
    };
    let owner = json!({"apiVersion": "apps/v1", "kind": "StatefulSet", "name": name, "uid": uid, "controller": true,
                       "blockOwnerDeletion": true});
    let kind = json!({"group": "", "version": "v1", "kind": "Pod"});
    let resource = json!({"group": "", "version": "v1", "resource": "pods"});
    json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {
        "uid": format!("705ab4f5-6393-11e8-b7cc-{}", &uid[24..]), "kind": kind, "requestKind": kind,
        "resource": resource, "requestResource": resource, "operation": "CREATE", "dryRun": false,
        "name": format!("{name}-0"), "namespace": namespace,
        "userInfo": {"username": "system:serviceaccount:kube-system:statefulset-controller", "groups": ["system:authenticated"]},
        "object": {"apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": format!("{name}-0"), "namespace": namespace, "labels": {"app": name, "tier": "back"},
                         "annotations": {"prometheus.io/scrape": "true"}, "ownerReferences": [owner]},
            "spec": {"containers": [container("app"), container("proxy")], "restartPolicy": "Always",
                     "volumes": [{"name": "config", "configMap": {"name": "config"}}, {"name": "data", "emptyDir": {}}]}}}})
    .to_string()
    .into_bytes()
}
