use serde_json::{Value, json};

use super::*;
use crate::model::Model;
use crate::policy::Rules;
use crate::units::Timestamp;

#[expect(clippy::needless_pass_by_value, reason = "what json! makes is handed over")]
fn vpa(spec: Value) -> Vpa {
    let object = json!({"apiVersion": "autoscaling.k8s.io/v1", "kind": "VerticalPodAutoscaler",
        "metadata": {"name": "web", "namespace": "shop", "labels": {"team": "a"}}, "spec": spec});
    match read(object).unwrap().pop() {
        Some(Object::Vpa(vpa)) => *vpa,
        other => panic!("{other:?}"),
    }
}

fn target() -> Value {
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"})
}

#[test]
fn each_mode_has_its_equal() {
    for (mode, expected) in [
        (json!("Off"), json!({})),
        (json!("Initial"), json!({"mode": "Auto", "actuation": {"method": "OnCreate"}})),
        (json!("Recreate"), json!({"mode": "Auto", "actuation": {"method": "Evict"}})),
        (json!("Auto"), json!({"mode": "Auto"})),
        (json!("InPlaceOrRecreate"), json!({"mode": "Auto"})),
        (json!("InPlace"), json!({"mode": "Auto", "actuation": {"method": "InPlace"}})),
        (json!("Sometimes"), json!({})),
        (Value::Null, json!({"mode": "Auto", "actuation": {"method": "Evict"}})),
    ] {
        let vpa = vpa(json!({"targetRef": target(), "updatePolicy": {"updateMode": mode}}));
        let mut object = convert(&vpa, true).unwrap().object().unwrap();
        assert_eq!(object["spec"]["target"].take(), json!({"workloadRef": target()}));
        object["spec"].as_object_mut().unwrap().remove("target");
        assert_eq!(object["spec"], expected, "{mode}");
        let careful = convert(&vpa, false).unwrap().object().unwrap();
        assert_eq!(careful["spec"].get("mode"), None, "{mode}");
    }
}

#[test]
fn every_field_becomes_something_or_is_named() {
    let vpa = vpa(json!({
        "targetRef": target(),
        "recommenders": [{"name": "custom"}],
        "startupBoost": {"cpu": {"type": "Quantity", "quantity": "500m"}},
        "updatePolicy": {"updateMode": "Recreate", "minReplicas": 3, "evictAfterOOMSeconds": 60,
            "evictionRequirements": [{"resources": ["memory"], "changeRequirement": "TargetHigherThanRequests"}]},
        "resourcePolicy": {"containerPolicies": [
            {"containerName": "app", "minAllowed": {"cpu": "2", "memory": "1Gi", "nvidia.com/gpu": 1},
             "maxAllowed": {"cpu": 1, "memory": "4Gi"}, "controlledResources": ["cpu", "memory"],
             "controlledValues": "RequestsAndLimits", "oomBumpUpRatio": "1.5", "startupBoost": {}},
            {"containerName": "proxy", "mode": "Off"},
            {"containerName": "log", "controlledResources": ["memory"], "controlledValues": "RequestsOnly"},
            {"containerName": "*", "minAllowed": {"cpu": "lots"}},
            {"containerName": "app"},
        ]},
    }));
    let imported = convert(&vpa, true).unwrap();
    let object = imported.object().unwrap();
    assert_eq!(object["metadata"], json!({"name": "web", "namespace": "shop", "labels": {"team": "a"}}));
    assert_eq!(object["spec"]["actuation"], json!({"method": "Evict", "minReplicas": 3}));
    assert_eq!(
        object["spec"]["containers"],
        json!([
            {"name": "app", "minAllowed": {"cpu": "1", "memory": "1Gi"}, "maxAllowed": {"cpu": "1", "memory": "4Gi"},
             "cpu": {"limit": "Ratio"}, "memory": {"limit": "Ratio"}},
            {"name": "proxy", "resources": []},
            {"name": "log", "resources": ["memory"], "memory": {"limit": "Keep"}},
            {"name": "*"},
        ])
    );
    // What was left out is what the API server would fill in.
    let again: crate::api::VerticalScalingPolicy = serde_json::from_value(object).unwrap();
    assert_eq!(again.spec, imported.policy.spec);
    let lost: Vec<_> =
        imported.notes.iter().filter(|note| note.became.is_none()).map(|n| n.field.as_str()).collect();
    for field in [
        "spec.recommenders",
        "spec.startupBoost",
        "spec.updatePolicy.evictAfterOOMSeconds",
        "spec.updatePolicy.evictionRequirements",
        "spec.resourcePolicy.containerPolicies[0].minAllowed.nvidia.com/gpu",
        "spec.resourcePolicy.containerPolicies[0].oomBumpUpRatio",
        "spec.resourcePolicy.containerPolicies[0].startupBoost",
        "spec.resourcePolicy.containerPolicies[3].minAllowed.cpu",
        "spec.resourcePolicy.containerPolicies[4]",
    ] {
        assert!(lost.contains(&field), "{field} is not in {lost:?}");
    }
    assert!(imported.notes.iter().all(|note| note.became.is_some() || !note.why.is_empty()));
}

#[test]
fn a_boost_by_a_factor_goes_on() {
    let vpa = vpa(json!({
        "targetRef": target(),
        "startupBoost": {"cpu": {"type": "Factor", "factor": 3}},
        "resourcePolicy": {"containerPolicies": [
            {"containerName": "app", "startupBoost": {"cpu": {"type": "Factor", "factor": 2, "durationSeconds": 30}}},
            {"containerName": "slow", "startupBoost": {"cpu": {"type": "Factor", "factor": 2, "durationSeconds": 7200}}},
            {"containerName": "proxy"},
        ]},
    }));
    let imported = convert(&vpa, true).unwrap();
    let object = imported.object().unwrap();
    let boost = |factor: &str, duration: &str| json!({"cpu": {"factor": factor, "duration": duration}});
    let found: Vec<_> = (0..4).map(|at| &object["spec"]["containers"][at]["startupBoost"]).collect();
    let for_all = boost("3", "untilReady");
    assert_eq!(found, [&boost("2", "30s"), &boost("2", "1h"), &for_all, &for_all]);
    assert_eq!(object["spec"]["containers"][3]["name"], "*");
    assert!(imported.notes.iter().all(|note| note.field != "spec.startupBoost" || note.became.is_some()));
}

#[test]
fn what_is_for_no_workload_is_refused() {
    assert!(convert(&vpa(json!({})), false).unwrap_err().contains("spec.targetRef"));
    let bad = json!({"apiVersion": "autoscaling.k8s.io/v1", "kind": "VerticalPodAutoscaler",
                     "metadata": {"name": "odd"}, "spec": 3});
    assert!(read(bad).unwrap_err().starts_with("VerticalPodAutoscaler odd: "));
    assert!(read(json!({"kind": "Pod", "apiVersion": "v1"})).unwrap().is_empty());
    assert!(read(json!(["x"])).unwrap().is_empty());
}

#[test]
fn lists_are_unfolded() {
    let list = json!({"kind": "List", "apiVersion": "v1", "items": [
        {"kind": "VerticalPodAutoscalerList", "apiVersion": "autoscaling.k8s.io/v1",
         "items": [{"metadata": {"name": "a"}}, {"metadata": {"name": "b"}}]},
        {"kind": "VerticalPodAutoscalerCheckpoint", "apiVersion": "autoscaling.k8s.io/v1", "metadata": {"name": "c"}},
        {"kind": "ConfigMap", "apiVersion": "v1"}]});
    assert_eq!(read(list).unwrap().len(), 3);
}

/// As VPA's own code writes it for values of 0.25 cores (bucket 16), and daily peaks of 1 to 1.3 GB (36 to 42).
fn learned() -> CheckpointStatus {
    serde_json::from_value(json!({
        "version": "v3", "totalSamplesCount": 60 * 24 * 7, "lastUpdateTime": "2026-01-08T00:00:00Z",
        "firstSampleStart": "2026-01-01T00:00:00Z", "lastSampleStart": "2026-01-08T00:00:00Z",
        "cpuHistogram": {"referenceTimestamp": "2026-01-08T00:00:00Z", "totalWeight": 60.0,
                         "bucketWeights": {"15": 3000, "16": 10000, "17": 1000}},
        "memoryHistogram": {"referenceTimestamp": "2026-01-08T00:00:00Z", "totalWeight": 9.0,
                            "bucketWeights": {"36": 10000, "42": 2500}},
    }))
    .unwrap()
}

fn week() -> Seen {
    Seen { first: Timestamp(1_767_225_600), last: Timestamp(1_767_225_600 + 7 * 86_400) }
}

#[test]
fn a_checkpoint_becomes_a_series_of_the_same_shape() {
    let model = Model::default();
    let mut series = series(&learned(), week(), &model).unwrap();
    assert_eq!(series.newest(), Some(week().last));
    assert_eq!(series.confidence(), crate::model::Confidence::High);
    let [low, middle, high] = series.cpu().histogram().quantiles([0.1, 0.5, 0.99], false);
    // Ends of buckets 15, 16 and 17 of VPA: 0.2366, 0.2584 and 0.2813 cores.
    assert!((0.22..0.25).contains(&low) && (0.25..0.27).contains(&middle) && (0.27..0.29).contains(&high));
    let estimate = series.estimate(&Rules::default().prices(), &model);
    let cpu = estimate.cpu.unwrap().target;
    assert!((0.2..0.35).contains(&cpu), "{cpu}");
    let limit = estimate.limit.unwrap();
    // The highest peak, 1.43 GB, fits in.
    assert!((1.43e9..3e9).contains(&limit.tail), "{}", limit.tail);
}

#[test]
fn no_more_history_than_there_was() {
    let model = Model::default();
    let mut young = learned();
    young.total_samples_count = 90;
    assert!(series(&young, week(), &model).unwrap().hours() < 1.6);
    young.total_samples_count = 0;
    assert_eq!(series(&young, week(), &model), Err(BadHistory::Empty));
    let back = Seen { first: week().last, last: week().first };
    assert_eq!(series(&learned(), back, &model), Err(BadHistory::Empty));
    assert_eq!(
        series(&CheckpointStatus { version: "v9".into(), ..learned() }, week(), &model),
        Err(BadHistory::Version("v9".into()))
    );
    for (bucket, weight) in [("-1", 1.0), ("176", 1.0), ("x", 1.0), ("3", -1.0), ("3", f64::NAN)] {
        let mut odd = learned();
        odd.cpu_histogram.bucket_weights.insert(bucket.into(), 5);
        odd.cpu_histogram.total_weight = weight;
        assert!(matches!(series(&odd, week(), &model), Err(BadHistory::Damaged(_))), "{bucket} {weight}");
    }
    let empty = CheckpointStatus {
        cpu_histogram: Histogram::default(),
        memory_histogram: Histogram::default(),
        ..learned()
    };
    assert_eq!(series(&empty, week(), &model), Err(BadHistory::Empty));
}
