#![allow(clippy::needless_pass_by_value, reason = "a json! that is made for the call")]

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::policy::{Amounts, CpuLimitRule, LimitRules, MemoryLimitRule};
use crate::testing::NOW;
use crate::units::{Bytes, Cores, MIB, Quantity};

fn pod(value: Value) -> Pod {
    serde_json::from_value(value).unwrap()
}

fn want(cpu: u64, memory: u64, limit: u64) -> Want {
    Want { cpu: Some(cpu), memory: Some(memory * MIB), memory_limit: Some(limit * MIB), ..Want::default() }
}

fn advice<'a>(wants: &[(&'a str, Want)]) -> Advice<'a> {
    Advice { recommendation: "deployment-web", wants: wants.to_vec() }
}

/// The pod after the patch, by the patch's own words.
fn patched(object: &Value, operations: &[Operation]) -> Value {
    let mut object = object.clone();
    let patch: json_patch::Patch = serde_json::from_value(json!(operations)).unwrap();
    json_patch::patch(&mut object, &patch).unwrap();
    object
}

fn stamped(object: &Value, wants: &[(&str, Want)], bounds: &Bounds) -> Value {
    match admit(&pod(object.clone()), &advice(wants), bounds, NOW) {
        Verdict::Stamp { operations, .. } => patched(object, &operations),
        other => panic!("{other:?}"),
    }
}

fn one(resources: Value) -> Value {
    json!({"metadata": {"name": "web-1"}, "spec": {"containers": [{"name": "app", "resources": resources}]}})
}

fn resources(object: &Value) -> &Value {
    &object["spec"]["containers"][0]["resources"]
}

#[test]
fn requests_follow_the_recommendation_and_limits_their_rules() {
    let own = json!({"requests": {"cpu": "500m", "memory": "1Gi", "example.com/gpu": "1"},
                     "limits": {"cpu": "1", "memory": "2Gi", "example.com/gpu": "1"}});
    for (cpu, memory, limits) in [
        (CpuLimitRule::Keep, MemoryLimitRule::Tail, json!({"cpu": "1", "memory": "440Mi"})),
        (CpuLimitRule::Keep, MemoryLimitRule::Keep, json!({"cpu": "1", "memory": "2Gi"})),
        (CpuLimitRule::Ratio, MemoryLimitRule::Ratio, json!({"cpu": "360m", "memory": "600Mi"})),
        (CpuLimitRule::Equal, MemoryLimitRule::Tail, json!({"cpu": "180m", "memory": "440Mi"})),
        (CpuLimitRule::Remove, MemoryLimitRule::Remove, json!({})),
    ] {
        let rules = LimitRules { cpu, memory, ..LimitRules::default() };
        let want = Want { rules, ..want(180, 300, 400) };
        let found = stamped(&one(own.clone()), &[("app", want)], &Bounds::default());
        let mut limits = limits;
        limits["example.com/gpu"] = json!("1");
        let expected =
            json!({"requests": {"cpu": "180m", "memory": "300Mi", "example.com/gpu": "1"}, "limits": limits});
        assert_eq!(resources(&found), &expected, "{cpu:?} {memory:?}");
    }
    // Tied, both follow the tail.
    let rules = LimitRules { memory: MemoryLimitRule::Equal, ..LimitRules::default() };
    let found = stamped(&one(own), &[("app", Want { rules, ..want(180, 300, 400) })], &Bounds::default());
    assert_eq!(resources(&found)["requests"]["memory"], "400Mi");
    assert_eq!(resources(&found)["limits"]["memory"], "400Mi");
}

#[test]
fn a_young_container_keeps_limits_and_half_of_its_requests_however_often_it_is_asked_about() {
    let own = json!({"requests": {"cpu": "500m", "memory": "1Gi"}, "limits": {"cpu": "1", "memory": "2Gi"}});
    for (cpu, memory, kept) in [
        (CpuLimitRule::Keep, MemoryLimitRule::Tail, json!({"cpu": "250m", "memory": "512Mi"})),
        (
            CpuLimitRule::Ratio,
            MemoryLimitRule::Headroom(Bytes::from_mib(64)),
            json!({"cpu": "250m", "memory": "512Mi"}),
        ),
        (CpuLimitRule::Remove, MemoryLimitRule::Remove, json!({"cpu": "250m", "memory": "512Mi"})),
        (CpuLimitRule::Equal, MemoryLimitRule::Equal, json!({"cpu": "1", "memory": "2Gi"})),
    ] {
        let rules = LimitRules { cpu, memory, add_memory: true, ..LimitRules::default() };
        let wants = [("app", Want { rules, young: true, ..want(18, 30, 40) })];
        let found = stamped(&one(own.clone()), &wants, &Bounds::default());
        assert_eq!(
            resources(&found),
            &json!({"requests": kept, "limits": own["limits"]}),
            "{cpu:?} {memory:?}"
        );
        assert_eq!(admit(&pod(found), &advice(&wants), &Bounds::default(), NOW), Verdict::Stamped);
        // No limit is added, and growth waits for nothing.
        let wants = [("app", Want { rules, young: true, ..want(700, 4000, 4000) })];
        let found = stamped(&one(json!({"requests": {"cpu": "500m"}})), &wants, &Bounds::default());
        assert_eq!(
            resources(&found),
            &json!({"requests": {"cpu": "700m", "memory": "4000Mi"}}),
            "{cpu:?} {memory:?}"
        );
    }
}

#[test]
fn a_limit_below_the_new_request_is_raised_and_none_is_added_unasked() {
    let own = json!({"requests": {"cpu": "100m", "memory": "64Mi"}, "limits": {"cpu": "200m"}});
    let found = stamped(&one(own.clone()), &[("app", want(300, 100, 150))], &Bounds::default());
    let expected = json!({"requests": {"cpu": "300m", "memory": "100Mi"}, "limits": {"cpu": "300m"}});
    assert_eq!(resources(&found), &expected);
    let rules = LimitRules { add_memory: true, ..LimitRules::default() };
    let found = stamped(&one(own), &[("app", Want { rules, ..want(300, 100, 150) })], &Bounds::default());
    assert_eq!(resources(&found)["limits"], json!({"cpu": "300m", "memory": "165Mi"}));
}

/// The API server takes the limit for a request that is left out; without the limit it would be forgotten.
#[test]
fn a_request_that_its_limit_implied_outlives_the_limit() {
    let own = json!({"limits": {"memory": "895Mi"}});
    let rules = LimitRules { memory: MemoryLimitRule::Remove, shrink_memory: false, ..LimitRules::default() };
    let keep = Want { memory: Some(MIB), rules, ..Want::default() };
    let found = stamped(&one(own), &[("app", keep)], &Bounds::default());
    assert_eq!(resources(&found), &json!({"requests": {"memory": "895Mi"}}));
}

#[test]
fn what_a_patch_could_not_be_applied_to_is_no_pod() {
    for text in ["{}", r#"{"spec": {}}"#, r#"{"metadata": null}"#, r#"{"metadata": []}"#, "[]", "null"] {
        assert_eq!(Pod::read(text), None, "{text}");
    }
    for text in [r#"{"metadata": {}, "spec": []}"#, r#"{"metadata": {}, "spec": {"containers": [[]]}}"#] {
        assert_eq!(Pod::read(text), None, "{text}");
    }
    assert!(Pod::read(r#"{"metadata": {}}"#).is_some());
}

#[test]
fn a_container_without_resources_gets_them() {
    for object in [
        json!({"metadata": {}, "spec": {"containers": [{"name": "app"}]}}),
        json!({"metadata": {"annotations": null}, "spec": {"containers": [{"name": "app", "resources": null}], "initContainers": null}}),
        json!({"metadata": {"annotations": {"a": "b"}}, "spec": {"containers": [{"name": "app", "resources": {"requests": null}}]}}),
    ] {
        let found = stamped(&object, &[("app", want(100, 64, 128))], &Bounds::default());
        assert_eq!(resources(&found)["requests"], json!({"cpu": "100m", "memory": "64Mi"}), "{object}");
        assert!(found["metadata"]["annotations"][ANNOTATION].is_string());
    }
}

#[test]
fn a_guaranteed_pod_stays_guaranteed() {
    let own = json!({"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"cpu": "1", "memory": "1Gi"}});
    let found = stamped(&one(own.clone()), &[("app", want(180, 300, 400))], &Bounds::default());
    let tied = json!({"cpu": "180m", "memory": "400Mi"});
    assert_eq!(resources(&found), &json!({"requests": tied, "limits": tied}));
    // Unless the policy wants a limit gone.
    let rules = LimitRules { cpu: CpuLimitRule::Remove, ..LimitRules::default() };
    let found = stamped(&one(own), &[("app", Want { rules, ..want(180, 300, 400) })], &Bounds::default());
    let expected = json!({"requests": {"cpu": "180m", "memory": "300Mi"}, "limits": {"memory": "440Mi"}});
    assert_eq!(resources(&found), &expected);
}

#[test]
fn a_burstable_pod_does_not_become_guaranteed_by_chance() {
    let own =
        json!({"requests": {"cpu": "100m", "memory": "1Gi"}, "limits": {"cpu": "180m", "memory": "400Mi"}});
    let parted = |own: &Value, most: Amounts, range: Range| {
        let rules = LimitRules { memory: MemoryLimitRule::Keep, ..LimitRules::default() };
        let wants = [("app", Want { rules, most, ..want(180, 400, 400) })];
        let bounds = Bounds { container: Extent { cpu: range, ..Extent::default() }, ..Bounds::default() };
        let found = stamped(&one(own.clone()), &wants, &bounds);
        assert_eq!(admit(&pod(found.clone()), &advice(&wants), &bounds, NOW), Verdict::Stamped);
        resources(&found).clone()
    };
    let no = Amounts::default();
    let of = |request: [&str; 2], limit: [&str; 2]| json!({"requests": {"cpu": request[0], "memory": request[1]}, "limits": {"cpu": limit[0], "memory": limit[1]}});
    assert_eq!(parted(&own, no, Range::default()), of(["180m", "400Mi"], ["181m", "400Mi"]));
    // Not above the most that is allowed: memory is parted then, or a request goes down.
    let most_cpu = Amounts { cpu: Some(Cores::from_milli(180)), ..no };
    assert_eq!(parted(&own, most_cpu, Range::default()), of(["180m", "400Mi"], ["180m", "401Mi"]));
    let range = Range { most: Some(180), ..Range::default() };
    assert_eq!(parted(&own, no, range), of(["180m", "400Mi"], ["180m", "401Mi"]));
    let most = Amounts { memory: Some(Bytes::from_mib(400)), ..most_cpu };
    assert_eq!(parted(&own, most, Range::default()), of(["179m", "400Mi"], ["180m", "400Mi"]));
}

/// Of a policy that does not shrink memory no request falls, not even to keep the class: the pod stays as it is.
#[test]
fn memory_that_may_not_shrink_is_not_what_parts_a_pod() {
    let own =
        json!({"requests": {"cpu": "100m", "memory": "400Mi"}, "limits": {"cpu": "200m", "memory": "400Mi"}});
    let most = Amounts { memory: Some(Bytes::from_mib(400)), ..Amounts::default() };
    let wants = |shrink_memory| {
        let (cpu, memory) = (CpuLimitRule::Equal, MemoryLimitRule::Keep);
        let rules = LimitRules { cpu, memory, shrink_memory, ..LimitRules::default() };
        [("app", Want { rules, most, ..want(180, 400, 400) })]
    };
    let found = stamped(&one(own.clone()), &wants(true), &Bounds::default());
    assert_eq!(resources(&found)["requests"]["memory"], "399Mi");
    let verdict = admit(&pod(one(own)), &advice(&wants(false)), &Bounds::default(), NOW);
    assert!(!matches!(verdict, Verdict::Stamp { .. }), "{verdict:?}");
}

/// Whatever the rule, maxAllowed bounds what a new pod is given more than it states.
#[test]
fn no_limit_that_follows_its_request_passes_the_most() {
    let own =
        json!({"requests": {"cpu": "500m", "memory": "500Mi"}, "limits": {"cpu": "2", "memory": "2000Mi"}});
    let most = Amounts { cpu: Some(Cores(1.0)), memory: Some(Bytes::from_mib(1000)) };
    for (cpu, memory, limits) in [
        (CpuLimitRule::Ratio, MemoryLimitRule::Ratio, ["1", "1000Mi"]),
        (CpuLimitRule::Equal, MemoryLimitRule::Headroom(Bytes::from_mib(256)), ["900m", "1000Mi"]),
        (CpuLimitRule::Keep, MemoryLimitRule::Tail, ["2", "1000Mi"]),
        (CpuLimitRule::Keep, MemoryLimitRule::Keep, ["2", "2000Mi"]),
    ] {
        for ratio in [None, Some(4.0)] {
            let rules =
                LimitRules { cpu, memory, cpu_ratio: ratio, memory_ratio: ratio, ..LimitRules::default() };
            let boost = Some(Boost { cpu: 950, seconds: None });
            let wants = [("app", Want { rules, most, boost, ..want(900, 900, 950) })];
            let found = stamped(&one(own.clone()), &wants, &Bounds::default());
            let boosted = if cpu == CpuLimitRule::Equal { "950m" } else { limits[0] };
            assert_eq!(
                resources(&found)["limits"],
                json!({"cpu": boosted, "memory": limits[1]}),
                "{rules:?}"
            );
        }
    }
    // A young pod that states more than is allowed keeps half of it only as far as that.
    let young = Want { most, young: true, ..want(100, 100, 100) };
    let found = stamped(
        &one(json!({"requests": {"cpu": "8", "memory": "8Gi"}})),
        &[("app", young)],
        &Bounds::default(),
    );
    assert_eq!(resources(&found)["requests"], json!({"cpu": "1", "memory": "1000Mi"}));
}

/// The ratio of the template, as the updater applies it: what runs already may have another one.
#[test]
fn the_ratio_is_the_recommendations_where_it_says_one() {
    let own = json!({"requests": {"cpu": "500m", "memory": "1Gi"}, "limits": {"cpu": "1", "memory": "2Gi"}});
    let rules = LimitRules {
        cpu: CpuLimitRule::Ratio,
        memory: MemoryLimitRule::Ratio,
        cpu_ratio: Some(3.0),
        memory_ratio: Some(1.5),
        ..LimitRules::default()
    };
    let found = stamped(&one(own), &[("app", Want { rules, ..want(180, 300, 400) })], &Bounds::default());
    assert_eq!(resources(&found)["limits"], json!({"cpu": "540m", "memory": "450Mi"}));
}

/// What was before comes back as it was.
#[test]
fn what_is_given_back_has_no_headroom() {
    let own = json!({"requests": {"memory": "1Gi"}, "limits": {"memory": "2Gi"}});
    let back = Want { given_back: true, ..want(180, 300, 400) };
    let found = stamped(&one(own), &[("app", back)], &Bounds::default());
    assert_eq!(resources(&found)["limits"]["memory"], "400Mi");
}

/// Limits of nothing at all are BestEffort; that they meet the requests that it is given is chance too, and asked about
/// again it would be taken for Guaranteed.
#[test]
fn a_pod_whose_limits_are_zero_does_not_become_guaranteed_by_chance() {
    let rules =
        LimitRules { cpu: CpuLimitRule::Ratio, memory: MemoryLimitRule::Ratio, ..LimitRules::default() };
    let wants = [("app", Want { rules, ..want(7, 1, 2) })];
    let object = one(json!({"limits": {"cpu": 0, "memory": "0e3"}}));
    let found = stamped(&object, &wants, &Bounds::default());
    let has = resources(&found);
    assert!(has["requests"] != has["limits"], "{has}");
    let again = admit(&pod(found), &advice(&wants), &Bounds::default(), NOW);
    assert_eq!(again, Verdict::Stamped);
}

#[test]
fn init_containers_and_sidecars_are_sized_and_strangers_are_not() {
    let object = json!({"metadata": {}, "spec": {
        "initContainers": [
            {"name": "setup", "resources": {"requests": {"cpu": "1"}}},
            {"name": "proxy", "restartPolicy": "Always", "resources": {}},
            {"name": "injected", "restartPolicy": "Always", "resources": {"requests": {"cpu": "77m"}}},
        ],
        "containers": [{"name": "app", "resources": {}}, {"name": "mesh", "resources": {"requests": {"cpu": "66m"}}}],
    }});
    let of = |kind, cpu| Want { kind, cpu: Some(cpu), ..Want::default() };
    let wants = [
        ("setup", of(Kind::Init, 200)),
        ("proxy", of(Kind::Sidecar, 30)),
        ("app", of(Kind::Container, 100)),
        // It was a container of the pods that were seen, and is a sidecar of this one.
        ("injected", of(Kind::Container, 999)),
    ];
    let found = stamped(&object, &wants, &Bounds::default());
    let cpu = |list: &str, index: usize| found["spec"][list][index]["resources"]["requests"]["cpu"].clone();
    assert_eq!(
        [cpu("initContainers", 0), cpu("initContainers", 1), cpu("initContainers", 2)],
        ["200m", "30m", "77m"]
    );
    assert_eq!([cpu("containers", 0), cpu("containers", 1)], ["100m", "66m"]);
    let stamp = Stamp::read(found["metadata"]["annotations"][ANNOTATION].as_str().unwrap()).unwrap();
    assert_eq!(stamp.recommendation, "deployment-web");
    assert_eq!(stamp.time(), Some(NOW));
    assert_eq!(stamp.containers.keys().collect::<Vec<_>>(), ["app", "proxy", "setup"]);
    assert_eq!(
        stamp.containers["app"].requests,
        StampedAmounts { cpu: Some("100m".to_owned()), memory: None }
    );
}

#[test]
fn what_is_in_doubt_stays_as_it_is() {
    let leave = |object: Value, wants: &[(&str, Want)]| match admit(
        &pod(object),
        &advice(wants),
        &Bounds::default(),
        NOW,
    ) {
        Verdict::Leave(reason) => reason,
        other => panic!("{other:?}"),
    };
    let app = [("app", want(100, 64, 128))];
    assert_eq!(leave(one(json!({})), &[("other", want(1, 1, 1))]), Reason::NothingWanted);
    assert_eq!(leave(one(json!({})), &[("app", Want::default())]), Reason::NothingWanted);
    assert_eq!(leave(one(json!({"requests": {"cpu": "lots"}})), &app), Reason::BadQuantity);
    assert_eq!(leave(one(json!({"requests": {"memory": "-1"}})), &app), Reason::BadQuantity);
    let mut whole = one(json!({}));
    whole["spec"]["resources"] = json!({"requests": {"cpu": "1"}});
    assert_eq!(leave(whole, &app), Reason::PodResources);
    let mut mirror = one(json!({}));
    mirror["metadata"]["annotations"] = json!({"kubernetes.io/config.mirror": "x"});
    assert_eq!(leave(mirror, &app), Reason::Mirror);
    let mut twins = one(json!({}));
    twins["spec"]["initContainers"] = twins["spec"]["containers"].clone();
    assert_eq!(leave(twins, &app), Reason::SameName);
    let mut full = one(json!({}));
    full["metadata"]["annotations"] = json!({"a": "x".repeat(200_000)});
    assert_eq!(leave(full, &app), Reason::Annotations);
}

#[test]
fn a_limit_range_is_respected() {
    let cpu = Range { least: Some(50), most: Some(400), ..Range::default() };
    let bounds = Bounds { container: Extent { cpu, memory: Range::default() }, ..Bounds::default() };
    let own = json!({"requests": {"cpu": "100m"}, "limits": {"cpu": "200m"}});
    let of = |cpu| [("app", Want { cpu: Some(cpu), ..Want::default() })];
    assert_eq!(resources(&stamped(&one(own.clone()), &of(10), &bounds))["requests"]["cpu"], "50m");
    let most = stamped(&one(own.clone()), &of(9000), &bounds);
    assert_eq!(resources(&most), &json!({"requests": {"cpu": "400m"}, "limits": {"cpu": "400m"}}));
    // A limit that must be there stays.
    let rules = LimitRules { cpu: CpuLimitRule::Remove, ..LimitRules::default() };
    let remove = [("app", Want { cpu: Some(70), rules, ..Want::default() })];
    assert_eq!(resources(&stamped(&one(own.clone()), &remove, &bounds))["limits"]["cpu"], "200m");
    let ratio = Range { ratio: Some(2000), ..Range::default() };
    let bounds = Bounds { container: Extent { cpu: ratio, memory: Range::default() }, ..Bounds::default() };
    assert_eq!(resources(&stamped(&one(own.clone()), &of(50), &bounds))["requests"]["cpu"], "100m");
    // What a pod may have together cannot be met by one container alone.
    let pod_most = Extent { cpu: Range { most: Some(300), ..Range::default() }, ..Extent::default() };
    let bounds = Bounds { pod: pod_most, ..Bounds::default() };
    let verdict = admit(&pod(one(own)), &advice(&of(350)), &bounds, NOW);
    assert_eq!(verdict, Verdict::Leave(Reason::LimitRange));
}

#[test]
fn growth_that_a_quota_has_no_room_for_is_left_out() {
    let own = json!({"requests": {"cpu": "100m", "memory": "100Mi"}});
    let left = Left { cpu_requests: Some(150), ..Left::default() };
    let bounds = Bounds { left, ..Bounds::default() };
    let found = stamped(&one(own.clone()), &[("app", want(200, 64, 128))], &bounds);
    assert_eq!(resources(&found)["requests"], json!({"cpu": "100m", "memory": "64Mi"}));
    // A pod that shrinks is never held, also where nothing is left at all.
    let none = Bounds { left: Left { cpu_requests: Some(0), ..Left::default() }, ..Bounds::default() };
    let found = stamped(&one(own), &[("app", want(50, 64, 128))], &none);
    assert_eq!(resources(&found)["requests"], json!({"cpu": "50m", "memory": "64Mi"}));
}

#[test]
fn a_stamped_pod_is_stamped_once() {
    let object = one(json!({"requests": {"cpu": "100m"}}));
    let wants = [("app", want(180, 300, 400))];
    let found = stamped(&object, &wants, &Bounds::default());
    let later = Timestamp(NOW.0 + 5);
    assert_eq!(admit(&pod(found.clone()), &advice(&wants), &Bounds::default(), later), Verdict::Stamped);
    // Another webhook has put its own figure there.
    let mut undone = found.clone();
    undone["spec"]["containers"][0]["resources"]["requests"]["cpu"] = json!("2");
    let Verdict::Stamp { operations, .. } =
        admit(&pod(undone.clone()), &advice(&wants), &Bounds::default(), NOW)
    else {
        panic!("left");
    };
    assert_eq!(patched(&undone, &operations), found);
    // A note from elsewhere, such as a copied pod's, does not pass for ours.
    let mut copied = object;
    copied["metadata"]["annotations"] = json!({ANNOTATION: "{\"recommendation\": 7"});
    assert_eq!(resources(&stamped(&copied, &wants, &Bounds::default()))["requests"]["cpu"], "180m");
}

/// The scheduler and the quotas count what its RuntimeClass takes beside its containers as the pod's.
#[test]
fn what_a_sandbox_takes_beside_the_containers_is_part_of_what_a_quota_has_left() {
    let wants = [("app", want(180, 300, 400))];
    let mut object = one(json!({"requests": {"cpu": "100m"}}));
    let room =
        |milli| Bounds { left: Left { cpu_requests: Some(milli), ..Left::default() }, ..Bounds::default() };
    let cpu = |object: &Value, bounds: &Bounds| {
        resources(&stamped(object, &wants, bounds))["requests"]["cpu"].clone()
    };
    assert_eq!(cpu(&object, &room(180)), "180m");
    object["spec"]["overhead"] = json!({"cpu": "20m", "memory": "10Mi"});
    assert_eq!((cpu(&object, &room(180)), cpu(&object, &room(200))), (json!("100m"), json!("180m")));
}

/// As soon as it asks for something, a quota counts it that did not before.
#[test]
fn a_pod_that_no_quota_counts_stays_so() {
    let left = Left { spares_best_effort: true, ..Left::default() };
    let bounds = Bounds { left, ..Bounds::default() };
    let wants = advice(&[("app", want(180, 300, 400))]);
    let verdict = |resources: Value| admit(&pod(one(resources)), &wants, &bounds, NOW);
    assert_eq!(verdict(json!({})), Verdict::Leave(Reason::Quota));
    assert!(matches!(verdict(json!({"requests": {"cpu": "1m"}})), Verdict::Stamp { .. }));
}

#[test]
fn memory_that_may_not_shrink_does_not() {
    let own = json!({"requests": {"memory": "1Gi"}, "limits": {"memory": "2Gi"}});
    let rules = LimitRules { shrink_memory: false, ..LimitRules::default() };
    let keep = Want { rules, ..want(100, 300, 400) };
    let found = stamped(&one(own), &[("app", keep)], &Bounds::default());
    assert_eq!(resources(&found)["requests"]["memory"], "1Gi");
    assert_eq!(resources(&found)["limits"]["memory"], "2Gi");
}

/// A pod as it was asked for, and what became of it.
fn boosted(pod: &Value, want: Want, bounds: &Bounds) -> Value {
    stamped(pod, &[("app", want)], bounds)
}

fn noted(object: &Value) -> Value {
    let text = object["metadata"]["annotations"][ANNOTATION].as_str().unwrap();
    serde_json::from_str::<Value>(text).unwrap()["containers"]["app"].clone()
}

#[test]
fn a_container_that_starts_up_gets_more_and_a_note_of_what_it_is_to_have_then() {
    let own = json!({"requests": {"cpu": "500m", "memory": "1Gi"}, "limits": {"cpu": "1", "memory": "2Gi"}});
    for (rule, boost, limit) in [
        (CpuLimitRule::Keep, 540, "1"),
        (CpuLimitRule::Keep, 1800, "1800m"),
        (CpuLimitRule::Ratio, 540, "1080m"),
        (CpuLimitRule::Equal, 540, "540m"),
    ] {
        let rules = LimitRules { cpu: rule, ..LimitRules::default() };
        let boost = Boost { cpu: boost, seconds: Some(60) };
        let found = boosted(
            &one(own.clone()),
            Want { rules, boost: Some(boost), ..want(180, 300, 400) },
            &Bounds::default(),
        );
        let request = format!("{}m", boost.cpu);
        assert_eq!(resources(&found)["requests"], json!({"cpu": request, "memory": "300Mi"}), "{rule:?}");
        assert_eq!(resources(&found)["limits"], json!({"cpu": limit, "memory": "440Mi"}), "{rule:?}");
        let note = noted(&found);
        assert_eq!(note["requests"], json!({"cpu": "180m", "memory": "300Mi"}));
        assert_eq!(
            note["boost"],
            json!({"requests": {"cpu": request}, "limits": {"cpu": limit}, "duration": "60s"})
        );
    }
}

#[test]
fn a_limit_removed_of_one_container_ends_guaranteed_for_all() {
    let resources = json!({"limits": {"cpu": "100m", "memory": "100Mi"}});
    let object = json!({"metadata": {"name": "web-1"}, "spec": {"containers": [
        {"name": "app", "resources": resources}, {"name": "two", "resources": resources}]}});
    let removes = LimitRules { memory: MemoryLimitRule::Remove, ..LimitRules::default() };
    let wants = [("app", Want { rules: removes, ..want(180, 300, 400) }), ("two", want(180, 300, 400))];
    let found = stamped(&object, &wants, &Bounds::default());
    assert_eq!(
        found["spec"]["containers"][1]["resources"]["requests"],
        json!({"cpu": "180m", "memory": "300Mi"})
    );
    assert_eq!(admit(&pod(found), &advice(&wants), &Bounds::default(), NOW), Verdict::Stamped);
}

#[test]
fn a_boost_is_given_once() {
    let own = json!({"requests": {"cpu": "500m"}, "limits": {"cpu": "1"}});
    let rules = LimitRules { cpu: CpuLimitRule::Ratio, ..LimitRules::default() };
    let want = Want { rules, boost: Some(Boost { cpu: 540, seconds: None }), ..want(180, 300, 400) };
    let found = boosted(&one(own), want, &Bounds::default());
    assert_eq!(noted(&found)["boost"]["duration"], "untilReady");
    let again = admit(&pod(found), &advice(&[("app", want)]), &Bounds::default(), NOW);
    assert_eq!(again, Verdict::Stamped);
}

#[test]
fn a_boost_without_room_is_left_out() {
    let own = json!({"requests": {"cpu": "500m", "memory": "1Gi"}});
    let want = Want { boost: Some(Boost { cpu: 900, seconds: None }), ..want(180, 300, 400) };
    let plain = json!({"cpu": "180m", "memory": "300Mi"});
    let most = Range { most: Some(800), ..Range::default() };
    let mut narrow = Bounds::default();
    narrow.pod.cpu = Range { default_limit: None, ..most };
    let quota = Bounds { left: Left { cpu_requests: Some(600), ..Left::default() }, ..Bounds::default() };
    let found = boosted(&one(own.clone()), want, &quota);
    let left_out =
        |bounds: &Bounds| match admit(&pod(one(own.clone())), &advice(&[("app", want)]), bounds, NOW) {
            Verdict::Stamp { boost_left_out, .. } => boost_left_out,
            other => panic!("{other:?}"),
        };
    assert!(left_out(&quota) && !left_out(&Bounds::default()));
    assert_eq!((&resources(&found)["requests"], noted(&found)["boost"].is_null()), (&plain, true));
    let with_limit = json!({"requests": {"cpu": "500m", "memory": "1Gi"}, "limits": {"cpu": "700m"}});
    let found = boosted(&one(with_limit), want, &narrow);
    assert_eq!((&resources(&found)["requests"], noted(&found)["boost"].is_null()), (&plain, true));
    let mut restarts = one(own);
    restarts["spec"]["containers"][0]["resizePolicy"] =
        json!([{"resourceName": "cpu", "restartPolicy": "RestartContainer"}]);
    let found = boosted(&restarts, want, &Bounds::default());
    assert_eq!((&resources(&found)["requests"], noted(&found)["boost"].is_null()), (&plain, true));
}

fn rules() -> impl Strategy<Value = LimitRules> {
    use MemoryLimitRule as M;
    let cpu = prop::sample::select(vec![
        CpuLimitRule::Keep,
        CpuLimitRule::Ratio,
        CpuLimitRule::Remove,
        CpuLimitRule::Equal,
    ]);
    let headroom = M::Headroom(Bytes::from_mib(64));
    let memory = prop::sample::select(vec![M::Tail, M::Equal, M::Ratio, headroom, M::Keep, M::Remove]);
    let ratio = || prop::option::of(1.0..4.0_f64);
    (cpu, memory, any::<(bool, bool)>(), ratio(), ratio()).prop_map(
        |(cpu, memory, (add_memory, keep_memory), cpu_ratio, memory_ratio)| LimitRules {
            cpu,
            memory,
            cpu_ratio,
            memory_ratio,
            add_memory,
            shrink_memory: !keep_memory,
        },
    )
}

fn wants() -> impl Strategy<Value = Want> {
    let kind = prop::sample::select(vec![Kind::Container, Kind::Init, Kind::Sidecar]);
    let figure = || prop::option::of(1_u64..5000);
    let boost = prop::option::of((1_u64..20_000, prop::option::of(1_u64..600)));
    let all = (kind, figure(), figure(), figure(), rules(), (figure(), figure()), boost);
    all.prop_map(|(kind, cpu, memory, limit, rules, most, boost)| Want {
        young: false,
        kind,
        cpu,
        memory: memory.map(|m| m * MIB / 3),
        memory_limit: limit.map(|m| m * MIB / 3),
        rules,
        most: Amounts {
            cpu: most.0.map(Cores::from_milli),
            memory: most.1.map(|most| Bytes(most * MIB / 3)),
        },
        given_back: false,
        boost: boost.map(|(cpu, seconds)| Boost { cpu, seconds }),
    })
}

/// A pair of request and limit as the API server lets it pass.
fn pair(unit: &'static str) -> impl Strategy<Value = (Option<String>, Option<String>)> {
    (prop::option::of(1_u64..4000), prop::option::of(0_u64..4000)).prop_map(move |(request, above)| {
        let limit = above.map(|above| request.unwrap_or(1) + above);
        (request.map(|r| format!("{r}{unit}")), limit.map(|l| format!("{l}{unit}")))
    })
}

fn container(name: &'static str) -> impl Strategy<Value = Value> {
    (pair("m"), pair("Mi"), any::<bool>(), any::<bool>()).prop_map(move |(cpu, memory, sidecar, tied)| {
        let mut resources = json!({"requests": {}, "limits": {}});
        for (resource, (request, limit)) in [("cpu", cpu), ("memory", memory)] {
            let request = if tied { limit.clone() } else { request };
            if let Some(request) = request {
                resources["requests"][resource] = json!(request);
            }
            if let Some(limit) = limit {
                resources["limits"][resource] = json!(limit);
            }
        }
        let mut container = json!({"name": name, "resources": resources});
        if sidecar {
            container["restartPolicy"] = json!("Always");
        }
        container
    })
}

fn pods() -> impl Strategy<Value = Value> {
    (container("app"), container("two"), container("init")).prop_map(|(app, two, init)| {
        let mut containers = [app, two];
        for container in &mut containers {
            container.as_object_mut().unwrap().remove("restartPolicy");
        }
        json!({"metadata": {"name": "p"}, "spec": {"containers": containers, "initContainers": [init]}})
    })
}

fn range(unit: u64) -> impl Strategy<Value = Range> {
    let figure =
        move |from: u64, to: u64| prop::option::weighted(0.3, (from..to).prop_map(move |v| v * unit));
    (figure(1, 500), figure(500, 9000), figure(1, 500), prop::option::weighted(0.3, 1000_u64..9000))
        .prop_map(|(least, most, default_limit, ratio)| Range { least, most, default_limit, ratio })
}

fn bounds() -> impl Strategy<Value = Bounds> {
    let extent = || (range(1), range(MIB)).prop_map(|(cpu, memory)| Extent { cpu, memory });
    let left = |unit: u64| prop::option::weighted(0.2, (0_u64..9000).prop_map(move |v| v * unit));
    let left = (left(1), left(1), left(MIB), left(MIB)).prop_map(
        |(cpu_requests, cpu_limits, memory_requests, memory_limits)| Left {
            cpu_requests,
            cpu_limits,
            memory_requests,
            memory_limits,
            spares_best_effort: false,
        },
    );
    (extent(), extent(), left).prop_map(|(container, pod, left)| Bounds { container, pod, left })
}

fn quantity(value: &Value) -> Option<Quantity> {
    value.as_str().map(|text| text.parse().unwrap())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// What comes out is a pod that the API server takes, and coming again changes nothing.
    #[test]
    fn stamping_is_valid_and_idempotent(object in pods(), a in wants(), b in wants(), c in wants(), bounds in bounds()) {
        let wants = [("app", a), ("two", b), ("init", c), ("gone", a)];
        let advice = advice(&wants);
        let verdict = admit(&pod(object.clone()), &advice, &bounds, NOW);
        let Verdict::Stamp { operations, .. } = verdict else { return Ok(()) };
        let found = patched(&object, &operations);
        let spec = &found["spec"];
        let containers = spec["containers"].as_array().unwrap().iter();
        for container in containers.chain(spec["initContainers"].as_array().unwrap()) {
            let resources = &container["resources"];
            for resource in ["cpu", "memory"] {
                let (request, limit) = (quantity(&resources["requests"][resource]), quantity(&resources["limits"][resource]));
                if let (Some(request), Some(limit)) = (request, limit) {
                    prop_assert!(request <= limit, "{found}");
                }
                prop_assert!(request.is_none_or(|request| !request.is_negative()));
            }
        }
        let own = pod(object.clone());
        let new = pod(found.clone());
        let class = |pod: &Pod| {
            let all: Vec<_> = pod.spec.all().map(|(_, c, _)| Figures::of(&c.resources).unwrap()).collect();
            class::class(&all.iter())
        };
        let by_rule = wants.iter().any(|(_, w)| w.rules.cpu == CpuLimitRule::Remove || w.rules.memory == MemoryLimitRule::Remove);
        if class(&own) == crate::policy::Class::Guaranteed && !by_rule {
            prop_assert_eq!(class(&new), crate::policy::Class::Guaranteed);
        }
        let later = Timestamp(NOW.0 + 9);
        let again = admit(&new, &advice, &bounds, later);
        prop_assert_eq!(again, Verdict::Stamped, "{} then {}", object, found);
    }
}
