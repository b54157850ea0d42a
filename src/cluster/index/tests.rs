#![allow(clippy::needless_pass_by_value, reason = "a json! that is made for the call")]

mod owners;

use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::core::v1::{LimitRange, ResourceQuota};
use kube::core::DeserializeGuard;
use serde_json::{Value, json};

use super::*;
use crate::api::ContainerKind;
use crate::cluster::pods::LeanPod;
use crate::cluster::slim::{Guarded, Slim};
use crate::testing::{self, NOW, container, object, object_key};
use crate::units::Bytes;

fn pod(name: &str, uid: &str, status: Value) -> LeanPod {
    testing::pod(name)
        .uid(uid)
        .controlled_by("ReplicaSet", "web-1", "rs")
        .containers([container("app").memory_limit("64Mi")])
        .init_containers([container("side").sidecar(), container("init")])
        .status(status)
        .object()
}

fn killed(id: &str) -> Value {
    json!({"terminated": {"reason": "OOMKilled", "finishedAt": "2026-11-23T04:00:00Z", "containerID": id}})
}

fn status(restarts: i32, state: Value, last: Value) -> Value {
    json!({"phase": "Running", "containerStatuses": [
        {"name": "app", "restartCount": restarts, "state": state, "lastState": last,
         "resources": {"limits": {"memory": "96Mi"}}}]})
}

#[test]
fn a_kill_is_told_once_however_often_its_status_comes() {
    let mut index = Index::default();
    let now = status(0, killed("c1"), json!({}));
    let first = index.apply(pod("web", "u1", now.clone()), NOW);
    assert_eq!(first.len(), 1);
    assert_eq!(first[0].what, MemoryShortage::OomKilled { limit: Some(Bytes::from_mib(96)), lived: None });
    assert_eq!(&*first[0].container, "app");
    assert_eq!(first[0].at, Timestamp(1_795_406_400));
    // The same again, by update, then as the last state of the next container, then by a new listing.
    assert!(index.apply(pod("web", "u1", now), NOW).is_empty());
    let restarted = status(1, json!({"running": {}}), killed("c1"));
    assert!(index.apply(pod("web", "u1", restarted.clone()), NOW).is_empty());
    Fold::<LeanPod>::begin(&mut index);
    assert!(index.apply(pod("web", "u1", restarted), NOW).is_empty());
    Fold::<LeanPod>::finish(&mut index, NOW);
    // The next one is another; both in one status are told as far as they are new.
    assert_eq!(index.apply(pod("web", "u1", status(1, killed("c2"), killed("c1"))), NOW).len(), 1);
    assert_eq!(index.apply(pod("web", "u1", status(3, killed("c4"), killed("c3"))), NOW).len(), 2);
    // Another pod of the same name is another.
    assert_eq!(index.apply(pod("web", "u2", status(0, killed("c1"), json!({}))), NOW).len(), 1);
}

#[test]
fn without_a_container_id_the_start_is_what_tells_kills_apart() {
    let mut index = Index::default();
    let end = json!({"terminated": {"reason": "OOMKilled"}});
    assert_eq!(index.apply(pod("web", "u", status(0, end.clone(), json!({}))), NOW).len(), 1);
    assert!(index.apply(pod("web", "u", status(1, json!({}), end.clone())), NOW).is_empty());
    let news = index.apply(pod("web", "u", status(1, end.clone(), end)), NOW);
    assert_eq!((news.len(), news[0].at), (1, NOW));
}

#[test]
fn a_kill_is_told_of_a_pod_that_is_gone_at_once_and_of_init_containers() {
    let mut index = Index::default();
    assert_eq!(index.delete(pod("web", "u", status(0, killed("c1"), json!({}))), NOW).len(), 1);
    let init = json!({"phase": "Pending", "initContainerStatuses": [
        {"name": "side", "restartCount": 0, "state": killed("s")},
        {"name": "init", "restartCount": 1, "lastState": killed("i"), "state": {"running": {}}}]});
    let news = index.apply(pod("web", "v", init), NOW);
    assert_eq!(news.iter().map(|event| &*event.container).collect::<Vec<_>>(), ["side", "init"]);
    assert!(
        index
            .apply(pod("x", "w", status(0, json!({"terminated": {"reason": "Error"}}), json!({}))), NOW)
            .is_empty()
    );
}

#[test]
fn evictions_for_memory_are_told_and_others_are_not() {
    let mut index = Index::default();
    let evicted = |message: &str| json!({"phase": "Failed", "reason": "Evicted", "message": message});
    let message = "The node was low on resource: memory. Threshold quantity: 100Mi, available: 96152Ki. \
                   Container app was using 512Mi, request is 32Mi, has larger consumption of memory. ";
    let news = index.apply(pod("web", "u", evicted(message)), NOW);
    assert_eq!(news.len(), 1);
    assert_eq!(news[0].what, MemoryShortage::Evicted { usage: Some(Bytes::from_mib(512)) });
    assert!(index.apply(pod("web", "u", evicted(message)), NOW).is_empty());
    let disk = "The node was low on resource: ephemeral-storage. Container app was using 5Gi, request is 0.";
    assert!(index.apply(pod("web", "v", evicted(disk)), NOW).is_empty());
    let bare = index.apply(pod("web", "w", evicted("The node was low on resource: memory. ")), NOW);
    assert_eq!(bare[0].what, MemoryShortage::Evicted { usage: None });
}

#[test]
fn pods_are_found_under_their_top_workload_also_after_it_is_gone() {
    let mut index = Index::default();
    let known = index.apply(pod("web-1-a", "a", json!({"phase": "Running"})), NOW);
    assert!(known.is_empty());
    assert!(index.workloads().workloads.is_empty(), "its ReplicaSet is not known yet");
    let above = |kind: &str, name: &str, uid: &str| object(kind, name).uid(uid).label("tier", "back");
    let replica_set = || {
        above("ReplicaSet", "web-1", "rs")
            .controlled_by("Deployment", "web", "d")
            .object::<Slim<ReplicaSet>>()
    };
    index.apply(replica_set(), NOW);
    assert!(index.workloads().workloads.is_empty(), "nor is the Deployment");
    index.apply(above("Deployment", "web", "d").object::<Slim<Deployment>>(), NOW);
    let Workloads { workloads, unknown, .. } = index.workloads();
    let (key, workload) = workloads.iter().next().unwrap();
    assert_eq!(key.to_string(), "Deployment shop/web");
    assert_eq!(workload.labels.get("tier").unwrap(), "back");
    assert!(unknown.is_empty());
    let kinds: Vec<_> = workload.pods[0].1.shape.containers.iter().map(|c| c.kind).collect();
    assert_eq!(kinds, [ContainerKind::Container, ContainerKind::Sidecar, ContainerKind::Init]);
    index.delete(replica_set(), NOW);
    assert_eq!(index.workloads().workloads.len(), 1, "remembered for its pods");
    index.forget(NOW.plus(601));
    assert!(index.workloads().workloads.is_empty());
}

#[test]
fn what_nothing_controls_is_pooled_by_its_labels() {
    let mut index = Index::default();
    for (name, uid, labels) in
        [("a", "1", json!({"app": "web"})), ("b", "2", json!({"app": "web"})), ("lone", "3", json!({}))]
    {
        let pod = testing::pod(name).uid(uid).with("/metadata/labels", labels).running();
        index.apply(pod.object::<LeanPod>(), NOW);
    }
    let workloads = index.workloads().workloads;
    let mut found: Vec<_> = workloads.iter().map(|(key, w)| (key.to_string(), w.pods.len())).collect();
    found.sort();
    assert_eq!(found, [("Pod shop/lone".to_owned(), 1), ("Pod shop/web".to_owned(), 2)]);
}

#[test]
fn a_custom_owner_is_asked_for_once_and_then_known() {
    let mut index = Index::default();
    Fold::<LeanPod>::begin(&mut index);
    Fold::<LeanPod>::finish(&mut index, NOW);
    let pod = testing::pod("r").uid("u").controlled_by("Rollout", "roll", "ro").running();
    index.apply(pod.object::<LeanPod>(), NOW);
    let unknown = index.workloads().unknown;
    let owner = unknown[&Uid::from("ro")].clone();
    assert_eq!(&*owner.1.name, "roll");
    assert!(index.workloads().unresolved.contains("shop"));
    let custom = CustomOwner {
        scales: true,
        gone: false,
        facts: ControllerFacts::default(),
        template: None,
        owner,
        asked: NOW,
    };
    index.custom.insert(Uid::from("ro"), custom);
    let found = index.workloads();
    assert!(found.unknown.is_empty() && found.unresolved.is_empty());
    assert_eq!(found.workloads.keys().next().unwrap().to_string(), "Rollout shop/roll");
    index.forget(NOW);
    assert_eq!(index.custom_before(NOW.plus(1)).count(), 1, "kept while it has a pod");
    Fold::<LeanPod>::begin(&mut index);
    Fold::<LeanPod>::finish(&mut index, NOW);
    index.forget(NOW);
    assert_eq!(index.custom_before(NOW.plus(1)).count(), 0);
}

#[test]
fn rules_of_a_namespace_join_to_the_narrowest() {
    let mut index = Index::default();
    for (name, max, min) in [("a", "2", "10m"), ("b", "1", "5m")] {
        let limits = json!([{"type": "Container", "max": {"cpu": max}, "min": {"cpu": min}},
                            {"type": "Pod", "max": {"memory": "1Gi"}}]);
        index.apply(object("LimitRange", name).with("/spec/limits", limits).object::<LimitRange>(), NOW);
    }
    let limits = index.limits("shop");
    assert_eq!((limits.container_max.milli_cpu, limits.container_min.milli_cpu), (Some(1000), Some(10)));
    assert_eq!(limits.pod_max.memory, Some(Bytes(1 << 30)));
    assert_eq!(index.limits("other"), Limits::default());
    let status = json!({"hard": {"requests.cpu": "4", "memory": "8Gi"}, "used": {"requests.cpu": "1500m"}});
    index.apply(object("ResourceQuota", "q").with("/status", status).object::<ResourceQuota>(), NOW);
    assert_eq!(index.quota("shop", &PodScope::default()).cpu_requests, Some((4000, 1500)));
    assert_eq!(index.quota("shop", &PodScope::default()).memory_requests, Some((8 << 30, 0)));
}

#[test]
fn a_policy_that_cannot_be_read_is_kept_as_its_error() {
    let mut index = Index::default();
    let bad = testing::policy("bad").with("/spec/mode", "Guess").with("/metadata/generation", 3);
    index.apply(bad.object::<DeserializeGuard<crate::api::VerticalScalingPolicy>>(), NOW);
    let (_, policy) = index.policies.iter().next().unwrap();
    let error = policy.as_ref().unwrap_err();
    assert!(error.error.contains("Guess") && error.generation == Some(3), "{error:?}");
}

#[test]
fn uids_are_exact_where_they_are_uuids() {
    let uid = Uid::from("6ba7b810-9dad-11d1-80b4-00c04fd430c8");
    assert_eq!(uid, Uid::from("6BA7B8109DAD11D180B400C04FD430C8"));
    assert_ne!(uid, Uid::from("6ba7b810-9dad-11d1-80b4-00c04fd430c9"));
    assert_ne!(Uid::from("a"), Uid::from("b"));
}

#[test]
fn a_recommendation_is_kept_as_what_it_says_of_each_container() {
    let mut index = Index::default();
    let app = testing::recommended("app")
        .target("180m", "64Mi", "96Mi")
        .with("/confidence", "medium")
        .with("/lower/cpu", "100m")
        .with("/upper/cpu", "300m");
    let object = testing::recommendation("web").auto().by_policy("shop").containers([app]);
    index.apply(object.object::<Guarded>(), NOW);
    let written = index.recommendations.get(&object_key("deployment-web")).unwrap();
    assert_eq!(written.mode, crate::api::Mode::Auto);
    assert_eq!(written.policy.as_ref().unwrap().name, "shop");
    let [advice] = &*written.containers else { panic!("one container: {:?}", written.containers) };
    assert_eq!((&*advice.name, advice.kind), ("app", ContainerKind::Container));
    assert_eq!(advice.target.requests, Size { milli_cpu: Some(180), memory: Some(Bytes::from_mib(64)) });
    assert_eq!(advice.target.limits, Size { milli_cpu: None, memory: Some(Bytes::from_mib(96)) });
    assert_eq!((advice.lower.milli_cpu, advice.upper.milli_cpu), (Some(100), Some(300)));
}

#[test]
fn a_kill_soon_after_a_raise_in_place_teaches_nothing_new() {
    let mut index = Index::default();
    let mut kill = |restarts: i32, minute: i64, limit: &str| {
        let end = json!({"terminated": {"reason": "OOMKilled", "containerID": format!("c{restarts}"),
            "finishedAt": format!("2026-11-23T{:02}:{:02}:00Z", 4 + minute / 60, minute % 60)}});
        let status = json!({"phase": "Running", "containerStatuses": [
            {"name": "app", "restartCount": restarts, "lastState": end, "resources": {"limits": {"memory": limit}}}]});
        let events = index.apply(pod("web", "u1", status), NOW);
        match events.as_slice() {
            [MemoryEvent { what: MemoryShortage::OomKilled { limit, .. }, .. }] => {
                limit.unwrap().0 / crate::units::MIB
            }
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(kill(1, 0, "64Mi"), 64);
    assert_eq!(kill(2, 1, "96Mi"), 64, "raised in place, and perhaps not in force");
    assert_eq!(kill(3, 3, "144Mi"), 64);
    assert_eq!(kill(4, 14, "144Mi"), 144, "it has lived with it for a while");
    assert_eq!(kill(5, 15, "144Mi"), 144);
    for (restarts, expected) in [(6, 144), (7, 144), (8, 144), (9, 144), (10, 144), (11, 200)] {
        assert_eq!(kill(restarts, 10 + i64::from(restarts), "200Mi"), expected, "believed in the end");
    }
}

#[test]
fn a_first_kill_at_the_time_of_a_raise_is_put_down_to_the_limit_before() {
    let mut index = Index::default();
    let mut see = |uid: &str, second: i64, limit: &str, killed: bool| {
        let end = json!({"terminated": {"reason": "OOMKilled", "containerID": "c1",
            "finishedAt": format!("2026-11-23T04:{:02}:{:02}Z", second / 60, second % 60)}});
        let last = if killed { end } else { json!({}) };
        let status = json!({"phase": "Running", "containerStatuses": [
            {"name": "app", "restartCount": i32::from(killed), "lastState": last,
             "resources": {"limits": {"memory": limit}}}]});
        let begin = chrono::DateTime::parse_from_rfc3339("2026-11-23T04:00:00Z").unwrap().timestamp();
        let events = index.apply(pod("web", uid, status), Timestamp(begin + second));
        events.first().map(|event| match event.what {
            MemoryShortage::OomKilled { limit, .. } => limit.unwrap().0 / crate::units::MIB,
            MemoryShortage::Evicted { .. } => panic!("{event:?}"),
        })
    };
    assert_eq!(see("u1", 0, "64Mi", false), None);
    assert_eq!(see("u1", 1, "96Mi", true), Some(64), "raise and kill are told of at once");
    assert_eq!(see("u2", 10, "64Mi", false), None);
    assert_eq!(see("u2", 20, "96Mi", false), None);
    assert_eq!(see("u2", 21, "96Mi", true), Some(64), "the raise was on its way");
    assert_eq!(see("u3", 30, "64Mi", false), None);
    assert_eq!(see("u3", 40, "96Mi", false), None);
    assert_eq!(see("u3", 200, "96Mi", true), Some(96), "it has lived with it");
}

#[test]
fn a_quota_counts_for_pods_that_its_scopes_match() {
    let mut index = Index::default();
    let quotas = [
        ("terminating", "1", json!({"scopes": ["Terminating"]})),
        ("lasting", "2", json!({"scopes": ["NotTerminating", "NotBestEffort"]})),
        (
            "high",
            "3",
            json!({"scopeSelector": {"matchExpressions": [
            {"scopeName": "PriorityClass", "operator": "In", "values": ["high"]}]}}),
        ),
        (
            "not-high",
            "4",
            json!({"scopeSelector": {"matchExpressions": [
            {"scopeName": "PriorityClass", "operator": "NotIn", "values": ["high", "low"]}]}}),
        ),
        ("any-class", "5", json!({"scopes": ["PriorityClass"]})),
        (
            "no-class",
            "6",
            json!({"scopeSelector": {"matchExpressions": [
            {"scopeName": "PriorityClass", "operator": "DoesNotExist"}]}}),
        ),
        ("near", "7", json!({"scopes": ["CrossNamespacePodAffinity"]})),
        ("of-another-time", "0", json!({"scopes": ["Sometimes"]})),
        ("volumes", "0", json!({"scopes": ["VolumeAttributesClass"]})),
    ];
    for (name, cpu, spec) in quotas {
        let quota = object("ResourceQuota", name).with("/spec", spec);
        let quota = quota.with("/status/hard", json!({"limits.cpu": cpu, "requests.memory": "1Gi"}));
        index.apply(quota.object::<ResourceQuota>(), NOW);
    }
    let counted = |index: &mut Index, spec: Value| {
        let mut pod = testing::pod("x");
        for (field, value) in spec.as_object().unwrap() {
            pod = pod.with(&format!("/spec/{field}"), value.clone());
        }
        index.apply(pod.object::<LeanPod>(), NOW);
        let scope = &index.pods.get(&object_key("x")).unwrap().shape.placement.scope;
        let mut counting: Vec<u64> = index
            .quotas
            .of("shop")
            .filter(|quota| quota.counts(scope))
            .map(|scoped| scoped.quota.cpu_limits.unwrap().0 / 1000)
            .collect();
        counting.sort_unstable();
        assert_eq!(index.quota("shop", scope).cpu_limits.unwrap().0 / 1000, counting[0]);
        counting
    };
    assert_eq!(counted(&mut index, json!({})), [2, 4, 6]);
    assert_eq!(counted(&mut index, json!({"activeDeadlineSeconds": 0})), [1, 4, 6]);
    assert_eq!(counted(&mut index, json!({"priorityClassName": "high"})), [2, 3, 5]);
    assert_eq!(counted(&mut index, json!({"priorityClassName": "other"})), [2, 4, 5]);
    let near = json!({"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [
        {"weight": 1, "podAffinityTerm": {"topologyKey": "zone", "namespaceSelector": {}}}]}});
    assert_eq!(counted(&mut index, json!({"affinity": near})), [2, 4, 6, 7]);
}
