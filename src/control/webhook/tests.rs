//! A review and the index together: what is stamped, and that nothing in a review can do harm.

use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::core::v1::{LimitRange, ResourceQuota};
use serde_json::{Value, json};

use super::desk::{Judgement, judge};
use super::review;
use crate::admit::Verdict;
use crate::cluster::Index;
use crate::cluster::index::Fold;
use crate::cluster::slim::{Slim, Stampable};
use crate::testing::{self, Builder, NOW, kind, object, owner_reference, recommended};

const SET: &str = "11111111-1111-1111-1111-111111111111";
const DEPLOYMENT: &str = "22222222-2222-2222-2222-222222222222";

fn recommendation(mode: &str) -> Builder<kind::Recommendation> {
    let app = recommended("app").target("180m", "300Mi", "400Mi").lower("100m", "200Mi");
    let other = recommended("unsized").with("/target/requests", json!({"cpu": "3", "memory": "3Gi"}));
    testing::recommendation("web").mode(mode).containers([app, other])
}

fn index(mode: &str) -> Index {
    let mut index = Index::default();
    let set = object("ReplicaSet", "web-7f").uid(SET).controlled_by("Deployment", "web", DEPLOYMENT);
    index.apply(set.object::<Slim<ReplicaSet>>(), NOW);
    index.apply(object("Deployment", "web").uid(DEPLOYMENT).object::<Slim<Deployment>>(), NOW);
    index.apply(recommendation(mode).object::<Stampable>(), NOW);
    index
}

fn a_review() -> Value {
    json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {
        "uid": "u1", "kind": {"group": "", "version": "v1", "kind": "Pod"}, "namespace": "shop",
        "resource": {"group": "", "version": "v1", "resource": "pods"}, "name": "", "operation": "CREATE",
        "userInfo": {"username": "x", "groups": ["y"]}, "dryRun": false, "oldObject": null, "subResource": "",
        "object": {"apiVersion": "v1", "kind": "Pod",
            "metadata": {"generateName": "web-7f-", "labels": {"app": "web"}, "annotations": {"a": "b"},
                         "ownerReferences": [owner_reference("ReplicaSet", "web-7f", SET)]},
            "spec": {"initContainers": [{"name": "proxy", "restartPolicy": "Always", "resources": {"requests": {"cpu": "1"}}}],
                     "resources": null,
                     "containers": [{"name": "app", "image": "x",
                        "resources": {"requests": {"cpu": "500m", "memory": "1Gi"}, "limits": {"cpu": 1, "memory": "2Gi"}}}]}}}})
}

fn judged(index: &Index, review: &Value) -> Result<Judgement, review::NoReview> {
    let text = review.to_string();
    let review = review::read(text.as_bytes())?;
    let Some(pod) = review.pod.and_then(review::pod) else { return Ok(Judgement::Leave("unreadable")) };
    Ok(judge(index, &review.namespace, &pod, NOW))
}

/// The pod after what is answered, where it is stamped.
fn stamped(index: &Index, review: &Value) -> Option<Value> {
    let Ok(Judgement::Verdict(Verdict::Stamp { operations, .. })) = judged(index, review) else {
        return None;
    };
    let answer = review::answer("u1", &operations);
    let answer: Value = serde_json::from_slice(&answer).unwrap();
    assert_eq!(answer["response"]["allowed"], true);
    assert!(answer["response"]["patch"].is_string());
    let mut pod = review["request"]["object"].clone();
    let patch: json_patch::Patch = serde_json::from_value(json!(operations)).unwrap();
    json_patch::patch(&mut pod, &patch).unwrap();
    Some(pod)
}

fn reason(index: &Index, review: &Value) -> &'static str {
    match judged(index, review) {
        Ok(Judgement::Leave(reason)) => reason,
        Ok(Judgement::Verdict(Verdict::Leave(reason))) => reason.word(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_pod_is_stamped_as_recommended_for_its_workload() {
    let found = stamped(&index("Auto"), &a_review()).unwrap();
    let resources = &found["spec"]["containers"][0]["resources"];
    assert_eq!(resources["requests"], json!({"cpu": "180m", "memory": "300Mi"}));
    assert_eq!(resources["limits"], json!({"cpu": "1", "memory": "440Mi"}));
    assert_eq!(found["spec"]["initContainers"][0]["resources"]["requests"]["cpu"], "1");
}

/// What the container `app` of the pod is given by a Recommendation that says this of it.
fn given(pointer: &str, said: Value) -> Value {
    let app = recommended("app").target("180m", "300Mi", "400Mi").lower("100m", "200Mi").with(pointer, said);
    let mut index = index("Auto");
    index.apply(testing::recommendation("web").auto().containers([app]).object::<Stampable>(), NOW);
    stamped(&index, &a_review()).unwrap()["spec"]["containers"][0]["resources"].clone()
}

#[test]
fn a_young_container_keeps_its_limits_and_half_of_its_requests() {
    let resources = given("/learning", json!(true));
    assert_eq!(resources["requests"], json!({"cpu": "250m", "memory": "512Mi"}));
    assert_eq!(resources["limits"], json!({"cpu": 1, "memory": "2Gi"}));
}

#[test]
fn no_limit_that_follows_its_request_passes_max_allowed() {
    let rules = json!({"cpu": "Ratio", "memory": "Headroom", "headroom": "256Mi", "cpuRatio": 20.0});
    let app = recommended("app")
        .target("180m", "300Mi", "400Mi")
        .lower("100m", "200Mi")
        .with("/limitRules", rules)
        .with("/maxAllowed", json!({"cpu": "800m", "memory": "500Mi"}));
    let mut index = index("Auto");
    index.apply(testing::recommendation("web").auto().containers([app]).object::<Stampable>(), NOW);
    let resources = &stamped(&index, &a_review()).unwrap()["spec"]["containers"][0]["resources"];
    assert_eq!(resources["limits"], json!({"cpu": "800m", "memory": "500Mi"}));
}

#[test]
fn a_resource_that_an_autoscaler_holds_stays_as_the_template_states_it() {
    let resources = given("/held", json!(["cpu"]));
    assert_eq!(resources["requests"], json!({"cpu": "500m", "memory": "300Mi"}));
    assert_eq!(resources["limits"], json!({"cpu": "1", "memory": "440Mi"}));
}

#[test]
fn headroom_is_added_to_the_request() {
    let resources = given("/limitRules", json!({"memory": "Headroom", "headroom": "256Mi"}));
    assert_eq!(resources["requests"]["memory"], "300Mi");
    assert_eq!(resources["limits"]["memory"], "556Mi");
}

#[test]
fn what_is_not_to_be_stamped_is_left_with_a_reason() {
    assert_eq!(reason(&index("Recommend"), &a_review()), "mode_recommend");
    let elsewhere = {
        let mut review = a_review();
        review["request"]["namespace"] = json!("other");
        review
    };
    assert_eq!(reason(&index("Auto"), &elsewhere), "no_recommendation");
    let mut unsized_container = a_review();
    unsized_container["request"]["object"]["spec"]["containers"][0]["name"] = json!("unsized");
    assert_eq!(reason(&index("Auto"), &unsized_container), "nothing_wanted");
    let mut young = a_review();
    young["request"]["object"]["metadata"]["ownerReferences"] =
        json!([owner_reference("ReplicaSet", "web-80", "3")]);
    assert!(matches!(judged(&index("Auto"), &young), Ok(Judgement::Soon)));
}

#[test]
fn an_owner_of_another_kind_is_asked_for_unless_it_is_recommended_for() {
    let mut custom = a_review();
    let object = &mut custom["request"]["object"]["metadata"];
    object["ownerReferences"] = json!([owner_reference("Rollout", "web", "9")]);
    let mut index = index("Auto");
    assert!(matches!(judged(&index, &custom), Ok(Judgement::Ask(..))));
    let known = recommendation("Auto").named("rollout-web").for_workload("Rollout", "web");
    index.apply(known.object::<Stampable>(), NOW);
    assert!(stamped(&index, &custom).is_some());
}

#[test]
fn new_pods_are_given_what_the_updater_says() {
    let with = |given: &str, annotation: Option<&str>| {
        let before = json!([{"name": "app", "resources": testing::resources("700m", "500Mi", "600Mi")}]);
        let mut object = recommendation("Auto")
            .with("/status/newPods", json!({"given": given, "since": "2026-11-23T07:00:00Z"}))
            .with("/status/previous", before);
        if let Some(text) = annotation {
            object = object.annotation("plumb.dev/rollback", text);
        }
        let mut index = index("Auto");
        index.apply(object.object::<Stampable>(), NOW);
        index
    };
    let cpu = |index: &Index| {
        stamped(index, &a_review())
            .map(|pod| pod["spec"]["containers"][0]["resources"]["requests"]["cpu"].clone())
    };
    assert_eq!(cpu(&with("Target", None)), Some(json!("180m")));
    assert_eq!(cpu(&with("Previous", None)), Some(json!("700m")));
    assert_eq!(reason(&with("Nothing", None), &a_review()), "given_nothing");
    // NOW is in 2027: a person has asked for it a moment ago, and the updater has not seen it yet.
    let asked = r#"{"at": "2027-01-15T07:59:00Z", "until": "2027-01-15T09:00:00Z", "times": 1}"#;
    assert_eq!(cpu(&with("Target", Some(asked))), Some(json!("700m")));
    let over = r#"{"at": "2027-01-15T06:00:00Z", "until": "2027-01-15T07:00:00Z", "times": 1}"#;
    assert_eq!(cpu(&with("Target", Some(over))), Some(json!("180m")));
}

#[test]
fn limit_ranges_and_quotas_of_the_index_bind() {
    let mut index = index("Auto");
    let limit = json!({"type": "Container", "min": {"cpu": "200m"}, "max": {"memory": "350Mi"},
                       "maxLimitRequestRatio": {"cpu": "4"}});
    index.apply(object("LimitRange", "l").with("/spec/limits", json!([limit])).object::<LimitRange>(), NOW);
    let resources =
        |index: &Index| stamped(index, &a_review()).unwrap()["spec"]["containers"][0]["resources"].clone();
    let expected =
        json!({"requests": {"cpu": "250m", "memory": "300Mi"}, "limits": {"cpu": 1, "memory": "350Mi"}});
    let found = resources(&index);
    assert_eq!(found["requests"], expected["requests"]);
    assert_eq!(found["limits"]["memory"], "350Mi");
    let full = json!({"hard": {"limits.memory": "1Gi"}, "used": {"limits.memory": "1Gi"}});
    index.apply(object("ResourceQuota", "q").with("/status", full).object::<ResourceQuota>(), NOW);
    // Everything shrinks, for which there is always room.
    assert_eq!(resources(&index)["limits"]["memory"], "350Mi");
    for spec in [
        json!({"scopes": ["NotBestEffort"]}),
        json!({"scopeSelector": {"matchExpressions": [{"scopeName": "NotBestEffort", "operator": "Exists"}]}}),
    ] {
        let quota = object("ResourceQuota", "q").with("/spec", spec.clone());
        index.apply(quota.object::<ResourceQuota>(), NOW);
        let mut nothing = a_review();
        nothing["request"]["object"]["spec"]["initContainers"] = json!([]);
        nothing["request"]["object"]["spec"]["containers"][0]["resources"] = json!({});
        assert_eq!(reason(&index, &nothing), "quota", "{spec}");
    }
}

#[test]
fn a_quota_for_other_pods_leaves_a_new_pod_its_size() {
    let grown = |spec: Value, pod: Value| {
        let mut index = index("Auto");
        let full = json!({"hard": {"requests.cpu": "1"}, "used": {"requests.cpu": "1"}});
        let quota = object("ResourceQuota", "q").with("/status", full).with("/spec", spec);
        index.apply(quota.object::<ResourceQuota>(), NOW);
        let mut review = a_review();
        for (field, value) in pod.as_object().unwrap() {
            review["request"]["object"]["spec"][field] = value.clone();
        }
        review["request"]["object"]["spec"]["containers"][0]["resources"]["requests"]["cpu"] = json!("10m");
        let found = stamped(&index, &review).unwrap();
        found["spec"]["containers"][0]["resources"]["requests"]["cpu"] == "180m"
    };
    let class = |operator: &str| {
        json!({"scopeSelector": {"matchExpressions": [
            {"scopeName": "PriorityClass", "operator": operator, "values": ["high"]}]}})
    };
    let near = json!({"affinity": {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [
        {"topologyKey": "zone", "namespaces": ["other"]}]}}});
    let crossing = json!({"scopes": ["CrossNamespacePodAffinity"]});
    for (spec, pod, grows) in [
        (json!({}), json!({}), false),
        (json!({"scopes": ["Terminating"]}), json!({}), true),
        (json!({"scopes": ["Terminating"]}), json!({"activeDeadlineSeconds": 60}), false),
        (json!({"scopes": ["NotTerminating"]}), json!({"activeDeadlineSeconds": 60}), true),
        (class("In"), json!({"priorityClassName": "low"}), true),
        (class("In"), json!({"priorityClassName": "high"}), false),
        (class("NotIn"), json!({}), false),
        (crossing.clone(), json!({}), true),
        (crossing, near, false),
    ] {
        assert_eq!(grown(spec.clone(), pod.clone()), grows, "{spec} {pod}");
    }
}

/// Every place of a document, as the way to it.
fn places(value: &Value, way: &mut Vec<String>, found: &mut Vec<String>) {
    found.push(way.iter().map(|step| format!("/{}", step.replace('~', "~0").replace('/', "~1"))).collect());
    let children: Vec<(String, &Value)> = match value {
        Value::Object(map) => map.iter().map(|(key, value)| (key.clone(), value)).collect(),
        Value::Array(list) => {
            list.iter().enumerate().map(|(index, value)| (index.to_string(), value)).collect()
        }
        _ => Vec::new(),
    };
    for (key, child) in children {
        way.push(key);
        places(child, way, found);
        way.pop();
    }
}

#[test]
fn every_json_type_at_every_place_is_answered() {
    let mut found = Vec::new();
    places(&a_review(), &mut Vec::new(), &mut found);
    let index = index("Auto");
    let (mut tried, mut stamps) = (0, 0);
    for place in &found {
        for value in [
            json!(null),
            json!(true),
            json!(0),
            json!(-1),
            json!(1e300),
            json!(u64::MAX),
            json!(""),
            json!("x"),
            json!("1e40"),
            json!("-5"),
            json!("\u{0}"),
            json!("9".repeat(100)),
            json!([]),
            json!([[]]),
            json!([null]),
            json!({}),
            json!({"": {}}),
            json!({"cpu": {}}),
            json!([{"name": 7}]),
        ] {
            let mut review = a_review();
            *review.pointer_mut(place).unwrap() = value;
            tried += 1;
            let has_uid = review["request"]["uid"].as_str().is_some_and(|uid| !uid.is_empty());
            assert_eq!(judged(&index, &review).is_ok(), has_uid, "{place}: {review}");
            // What is stamped is a patch that can be applied.
            stamps += usize::from(stamped(&index, &review).is_some());
        }
    }
    assert!(tried > 1000 && stamps > 300, "{tried} tried, {stamps} stamped");
}
