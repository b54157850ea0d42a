//! History, limit rules, nodes and namespaces, as a status says that they bound a workload.

use super::*;

#[test]
fn a_young_container_says_until_when_and_what_it_keeps() {
    let mut place = Place::new();
    place.policy(json!({}));
    place.pod("web-1", "Burstable", json!({"memory": "512Mi"}));
    place.use_for(3, "10m", "20Mi");
    let plan = place.plan();
    let write = only(&plan);
    let ready = condition(write, "HistoryReady");
    assert_eq!((ready.status.as_str(), ready.reason.as_str()), ("False", "Young"));
    // Three hours of twenty-four by eight o'clock.
    for said in ["container app", "2027-01-16T05:00:00Z", "history.learn"] {
        assert!(ready.message.contains(said), "{}", ready.message);
    }
    let [app] = &write.status.containers[..] else { panic!("{write:?}") };
    assert!(app.learning && app.target.limits == app.current.limits, "{app:?}");
    assert!(app.reasons.iter().any(|reason| reason.contains("21 hours")), "{:?}", app.reasons);
    assert_eq!(write.status.summary.confidence, crate::api::Confidence::Low);
    // Who does not want to wait says so.
    place.policy(json!({"history": {"learn": "0s"}}));
    let plan = place.plan();
    let app = &only(&plan).status.containers[0];
    assert!(!app.learning && app.target.limits != app.current.limits, "{app:?}");
}

#[test]
fn an_oom_loop_that_rule_keep_forbids_to_heal_is_named() {
    let mut place = Place::new();
    place.policy(json!({"containers": [{"name": "*", "memory": {"limit": "Keep"}}]}));
    place.pod("web-1", "Burstable", json!({"memory": "512Mi"}));
    place.use_for(30, "100m", "120Mi");
    let workload = place.plan().workloads.keys().next().unwrap().clone();
    let key = SeriesKey { workload, container: "app".into() };
    assert!(
        place.book.kill(
            &key,
            &Told { pod: "web-1", at: NOW, limit: Some(Bytes::from_mib(512)), id: 7, lived: None }
        )
    );
    let plan = place.plan();
    let limited = condition(only(&plan), "Limited");
    assert_eq!((limited.status.as_str(), limited.reason.as_str()), ("True", "LimitKept"), "{limited:?}");
}

#[test]
fn a_status_says_what_bounds_and_how_limits_follow() {
    let mut place = Place::new();
    place.policy(json!({"containers": [{"name": "*", "maxAllowed": {"memory": "700Mi"},
        "memory": {"limit": "Headroom", "headroom": "256Mi"}}]}));
    place.node(json!({"cpu": "4", "memory": "16Gi"}));
    place.pod("web-1", "Burstable", json!({"memory": "512Mi"}));
    place.use_for(30, "100m", "120Mi");
    let plan = place.plan();
    let app = &only(&plan).status.containers[0];
    assert_eq!(json!(app.max_allowed), json!({"cpu": "4", "memory": "700Mi"}));
    assert_eq!(app.limit_rules.headroom.as_ref().unwrap().to_string(), "256Mi");
    let bytes = |amounts: &crate::api::ResourceAmounts| {
        amounts.memory.as_ref().unwrap().value().as_bytes().unwrap().0
    };
    assert_eq!(bytes(&app.target.limits), bytes(&app.target.requests) + (256 << 20));
    let hysteresis = app.hysteresis.as_ref().unwrap();
    assert!(hysteresis.cpu.unwrap().grow > 0.0 && hysteresis.memory.unwrap().price > 0.0);
}

#[test]
fn a_pod_fits_one_node_that_it_may_use_as_a_whole() {
    let mut place = Place::new();
    place.policy(json!({}));
    place.pod("web-1", "Burstable", json!({}));
    for (name, cpu, memory) in [("wide", "8", "64Mi"), ("tall", "100m", "2Gi"), ("other", "9", "9Gi")] {
        let node = object("Node", name).label("pool", if name == "other" { "b" } else { "a" });
        place.add::<Node>(node.with("/status/allocatable", json!({"cpu": cpu, "memory": memory})));
    }
    let place_pod = |place: &mut Place, pool: &str| {
        let app = container("app").requests("500m", "256Mi");
        let pod = testing::pod("web-1").uid("web-1").label("app", "web").containers([app]).running();
        place.add::<LeanPod>(pod.with("/spec/nodeSelector", json!({"pool": pool})));
        let plan = place.plan();
        let write = only(&plan);
        let requests = &write.status.containers[0].target.requests;
        let cpu = requests.cpu.as_ref().unwrap().value().as_cores().to_milli();
        (cpu, requests.memory.as_ref().unwrap().value().as_bytes().unwrap().0 >> 20)
    };
    place.use_for(30, "150m", "300Mi");
    let (cpu, memory) = place_pod(&mut place, "b");
    assert!(cpu > 150 && memory >= 300, "{cpu} {memory}");
    // The greatest of each of the pool's nodes would hold it, and no node of it does.
    let (cpu, memory) = place_pod(&mut place, "a");
    assert!(cpu == 100 && memory >= 300, "{cpu} {memory}");
    let (all, _) = place_pod(&mut place, "gone");
    assert!(all > 150, "where no node is known that it may use, none bounds it");
}

#[test]
fn a_quota_for_other_pods_bounds_nothing() {
    let quota = |scope: &str| {
        let quota = object("ResourceQuota", "q").with("/spec/scopes", json!([scope]));
        quota.with("/status", json!({"hard": {"requests.cpu": "500m"}, "used": {"requests.cpu": "500m"}}))
    };
    for (scope, bound) in [("Terminating", false), ("NotTerminating", true)] {
        let mut place = Place::new();
        place.policy(json!({}));
        place.pod("web-1", "Burstable", json!({}));
        place.add::<ResourceQuota>(quota(scope));
        place.use_for(30, "900m", "100Mi");
        let plan = place.plan();
        let container = &only(&plan).status.containers[0];
        let cpu = container.target.requests.cpu.as_ref().unwrap().value().as_cores().to_milli();
        assert_eq!(cpu == 500, bound, "{scope}: {cpu}");
    }
}

/// What a LimitRange or a quota would refuse of a resize is not recommended for pods that run.
#[test]
fn the_ratio_and_the_quotas_of_limits_hold_for_running_pods() {
    let target = |limit: Value, quota: Value| {
        let mut place = Place::new();
        place.policy(json!({}));
        place.pod("web-1", "Burstable", json!({"cpu": "1", "memory": "512Mi"}));
        let range = object("LimitRange", "l").with("/spec/limits", json!([limit]));
        place.add::<LimitRange>(range);
        place.add::<ResourceQuota>(object("ResourceQuota", "q").with("/status", quota));
        place.use_for(30, "100m", "490Mi");
        let plan = place.plan();
        let container = &only(&plan).status.containers[0];
        let cpu = |of: &crate::api::ResourceAmounts| of.cpu.as_ref().unwrap().value().as_cores().to_milli();
        let memory = |of: &crate::api::ResourceAmounts| {
            of.memory.as_ref().unwrap().value().as_bytes().unwrap().0 >> 20
        };
        let (requests, limits) = (&container.target.requests, &container.target.limits);
        let limited = condition(only(&plan), "Limited").reason.clone();
        ([cpu(requests), cpu(limits), memory(requests), memory(limits)], limited)
    };
    let none = || json!({});
    let (free, limited) = target(json!({"type": "Container"}), none());
    assert!(free[0] < 150 && free[1] == 1000 && free[3] > 600, "{free:?}");
    assert_eq!(limited, "NothingBinds");
    let ratio = json!({"type": "Container", "maxLimitRequestRatio": {"cpu": "4"}});
    assert_eq!(target(ratio, none()), ([250, 1000, free[2], free[3]], "LimitRange".to_owned()));
    let ratio = json!({"type": "Pod", "maxLimitRequestRatio": {"cpu": "4"}});
    assert_eq!(target(ratio, none()).0[0], 250);
    assert_eq!(target(json!({"type": "Pod", "max": {"memory": "550Mi"}}), none()).0[3], 550);
    assert_eq!(target(json!({"type": "Pod", "min": {"cpu": "300m"}}), none()).0[0], 300);
    let full = json!({"hard": {"limits.memory": "600Mi"}, "used": {"limits.memory": "550Mi"}});
    assert_eq!(target(json!({"type": "Container"}), full).0[3], 562, "50 MiB are left");
}
