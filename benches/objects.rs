//! Time to read one pod of a list, to fold it into the index, and to answer one admission review.
//!
//! The code is the shell's, so the figures show what an optimisation level of the main crate costs.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    reason = "criterion's macros write an item; a bench fails by panicking"
)]

use std::hint::black_box;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use k8s_openapi::api::core::v1::{LimitRange, ResourceQuota};
use plumb::admit::{self, Advice, Boost, Bounds, Kind, Verdict, Want};
use plumb::cluster::Index;
use plumb::cluster::index::Fold;
use plumb::cluster::pods::LeanPod;
use plumb::cluster::slim::Stampable;
use plumb::control::webhook::desk::{Judgement, judge};
use plumb::control::webhook::review;
use plumb::policy::LimitRules;
use plumb::units::Timestamp;
use serde_json::json;

const NOW: Timestamp = Timestamp(1_800_000_000);
const PODS: usize = 1_000;

/// A pod as the API server sends it, with fields that plumb skips.
fn pod(number: usize) -> String {
    let container = |name: &str| {
        json!({
            "name": name, "image": format!("registry.example.com/shop/{name}:1.42.0"), "imagePullPolicy": "IfNotPresent",
            "args": ["--port=8080", "--log-level=info"], "ports": [{"containerPort": 8080, "protocol": "TCP"}],
            "env": [{"name": "REGION", "value": "eu"}, {"name": "NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}}],
            "resources": {"requests": {"cpu": "250m", "memory": "256Mi"}, "limits": {"memory": "512Mi"}},
            "resizePolicy": [{"resourceName": "cpu", "restartPolicy": "NotRequired"}],
            "livenessProbe": {"httpGet": {"path": "/healthz", "port": 8080}, "periodSeconds": 10},
            "volumeMounts": [{"name": "token", "mountPath": "/var/run/secrets", "readOnly": true}],
        })
    };
    let status = |name: &str| {
        json!({
            "name": name, "restartCount": 1, "ready": true, "started": true, "containerID": format!("containerd://{number:064x}"),
            "image": format!("registry.example.com/shop/{name}:1.42.0"),
            "state": {"running": {"startedAt": "2026-11-29T08:00:00Z"}},
            "lastState": {"terminated": {"reason": "Error", "exitCode": 1, "finishedAt": "2026-11-29T07:59:58Z",
                "containerID": format!("containerd://{:064x}", number + PODS)}},
            "resources": {"requests": {"cpu": "250m", "memory": "256Mi"}, "limits": {"memory": "512Mi"}},
        })
    };
    json!({
        "metadata": {
            "name": format!("web-7f-{number:05}"), "namespace": format!("shop-{}", number % 20),
            "uid": format!("00000000-0000-0000-0000-{number:012}"), "resourceVersion": "123456",
            "creationTimestamp": "2026-11-29T07:59:00Z", "labels": {"app": "web", "pod-template-hash": "7f"},
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-7f", "uid": "rs", "controller": true}],
            "managedFields": [{"manager": "kubelet", "operation": "Update", "apiVersion": "v1", "subresource": "status",
                "time": "2026-11-29T08:00:01Z", "fieldsType": "FieldsV1", "fieldsV1": {"f:status": {"f:phase": {}}}}],
        },
        "spec": {"nodeName": format!("node-{}", number % 50), "restartPolicy": "Always",
            "containers": [container("app"), container("proxy")],
            "tolerations": [{"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute"}]},
        "status": {"phase": "Running", "qosClass": "Burstable", "startTime": "2026-11-29T07:59:01Z", "podIP": "10.0.0.1",
            "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": "2026-11-29T08:00:01Z"}],
            "containerStatuses": [status("app"), status("proxy")]},
    })
    .to_string()
}

fn pods(c: &mut Criterion) {
    let text = pod(0);
    c.bench_function("read a pod of a list", |b| {
        b.iter(|| serde_json::from_str::<LeanPod>(black_box(&text)).unwrap());
    });
    let fleet: Vec<LeanPod> = (0..PODS).map(|number| serde_json::from_str(&pod(number)).unwrap()).collect();
    c.bench_function("fold 1,000 pods into the index", |b| {
        b.iter_batched(
            || fleet.clone(),
            |fleet| {
                let mut index = Index::default();
                Fold::<LeanPod>::begin(&mut index);
                for pod in fleet {
                    black_box(index.apply(pod, NOW));
                }
                Fold::<LeanPod>::finish(&mut index, NOW);
                index
            },
            BatchSize::LargeInput,
        );
    });
}

fn reviews(c: &mut Criterion) {
    let review = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {
        "uid": "u1", "kind": {"group": "", "version": "v1", "kind": "Pod"}, "namespace": "shop", "operation": "CREATE",
        "object": serde_json::from_str::<serde_json::Value>(&pod(0)).unwrap()}})
    .to_string();
    let want = || Want {
        kind: Kind::Container,
        cpu: Some(180),
        memory: Some(300 << 20),
        memory_limit: Some(600 << 20),
        rules: LimitRules::default(),
        boost: Some(Boost { cpu: 540, seconds: Some(60) }),
        ..Want::default()
    };
    let advice = Advice { recommendation: "deployment-web", wants: vec![("app", want()), ("proxy", want())] };
    c.bench_function("answer an admission review", |b| {
        b.iter(|| {
            let read = review::read(black_box(review.as_bytes())).unwrap();
            let pod = review::pod(read.pod.unwrap()).unwrap();
            let Verdict::Stamp { operations, .. } = admit::admit(&pod, &advice, &Bounds::default(), NOW)
            else {
                return Vec::new();
            };
            review::answer(&read.uid, &operations)
        });
    });
}

/// A pod of one of 1,000 namespaces, each with a LimitRange and a ResourceQuota.
fn judgements(c: &mut Criterion) {
    let mut index = Index::default();
    for number in 0..1000 {
        let metadata = json!({"name": "own", "namespace": format!("shop-{number}")});
        let range =
            json!({"metadata": metadata, "spec": {"limits": [{"type": "Container", "max": {"cpu": "8"}}]}});
        index.apply(serde_json::from_value::<LimitRange>(range).unwrap(), NOW);
        let figures = json!({"requests.cpu": "800"});
        let quota =
            json!({"metadata": metadata, "spec": {"hard": figures}, "status": {"hard": figures, "used": {}}});
        index.apply(serde_json::from_value::<ResourceQuota>(quota).unwrap(), NOW);
    }
    let target = json!({"requests": {"cpu": "180m", "memory": "300Mi"}, "limits": {"memory": "600Mi"}});
    let container = json!({"name": "app", "target": target, "lower": {"cpu": "1m", "memory": "1Mi"}});
    let recommendation = json!({"metadata": {"name": "pod-web", "namespace": "shop-7"},
        "spec": {"mode": "Auto", "workloadRef": {"apiVersion": "v1", "kind": "Pod", "name": "web"},
            "policyRef": {"kind": "VerticalScalingPolicy", "name": "all"}},
        "status": {"containers": [container]}});
    index.apply(serde_json::from_str::<Stampable>(&recommendation.to_string()).unwrap(), NOW);
    let mut pod: serde_json::Value = serde_json::from_str(&pod(0)).unwrap();
    pod["metadata"]["ownerReferences"] = json!([]);
    let pod = admit::Pod::read(&pod.to_string()).unwrap();
    c.bench_function("judge a pod among 1,000 namespaces with LimitRange and quota", |b| {
        b.iter(|| {
            let judgement = judge(black_box(&index), "shop-7", &pod, NOW);
            assert!(matches!(judgement, Judgement::Verdict(Verdict::Stamp { .. })), "{judgement:?}");
        });
    });
}

criterion_group!(objects, pods, reviews, judgements);
criterion_main!(objects);
