mod owners;

use std::collections::HashMap;

use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::core::v1::{LimitRange, Node};
use kube::core::DeserializeGuard;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::*;
use crate::actuate::facts::MaxUnavailable;
use crate::api::{ClusterVerticalScalingPolicy, VerticalScalingPolicy};
use crate::cluster::index::Fold;
use crate::cluster::pods::LeanPod;
use crate::cluster::slim::{Guarded, Slim};
use crate::policy::Amounts;
use crate::testing::{self, Builder, NOW, container, object, recommended};

/// The Deployment web of one pod, with a Recommendation that is acted on.
struct Scene {
    index: Index,
}

impl Scene {
    fn new() -> Self {
        let mut scene = Self { index: Index::default() };
        scene.add::<Slim<Deployment>>(testing::deployment("web").uid("web"));
        let set = object("ReplicaSet", "web-7f").uid("web-7f").controlled_by("Deployment", "web", "web");
        scene.add::<Slim<ReplicaSet>>(set);
        scene.pod(Self::web("web-1"));
        let app = recommended("app").target("200m", "200Mi", "300Mi");
        let app = app.lower("180m", "180Mi").upper("220m", "220Mi");
        scene.add::<Guarded>(testing::recommendation("web").auto().containers([app]));
        scene.policy(json!({}));
        scene
    }

    fn add<T: DeserializeOwned>(&mut self, object: Builder<impl Sized>)
    where
        Index: Fold<T>,
    {
        self.index.apply(object.object::<T>(), NOW);
    }

    fn web(name: &str) -> Builder<testing::kind::Pod> {
        let app = container("app").requests("500m", "256Mi").memory_limit("512Mi");
        let pod = testing::pod(name).uid(name).controlled_by("ReplicaSet", "web-7f", "web-7f");
        pod.containers([app]).running().with("/spec/nodeName", "n1")
    }

    fn pod(&mut self, pod: Builder<testing::kind::Pod>) {
        self.add::<LeanPod>(pod);
    }

    fn policy(&mut self, actuation: Value) {
        let policy = testing::policy("all").uid("p").auto().actuation(actuation);
        self.add::<DeserializeGuard<VerticalScalingPolicy>>(policy);
    }

    fn cluster_policy(&mut self, mode: &str, actuation: Value) {
        let policy = testing::cluster_policy("walls").uid("c").with("/spec/mode", mode);
        self.add::<DeserializeGuard<ClusterVerticalScalingPolicy>>(policy.actuation(actuation));
    }

    fn workload(&self) -> Workload {
        let View { mut seen, .. } = see(&self.index, &HashMap::new(), &mut Loans::default(), None, NOW);
        assert_eq!(seen.len(), 1);
        seen.remove(0).workload
    }
}

#[test]
fn the_pace_of_a_clusters_policy_is_a_wall_to_namespaces() {
    let mut scene = Scene::new();
    let fast = json!({"cooldown": "1m", "minReplicas": 1, "maxUnavailable": "100%",
                      "maxStepPercent": {"shrink": 100}});
    scene.policy(fast.clone());
    let pace = |scene: &Scene| {
        let rules = scene.workload().rules;
        (rules.pace.cooldown, rules.min_replicas, rules.max_unavailable.of(10), rules.pace.max_shrink)
    };
    assert_eq!(pace(&scene), (60, 1, 10, 1.0));
    let slow = json!({"cooldown": "1h", "minReplicas": 3, "maxUnavailable": 2,
                      "maxStepPercent": {"shrink": 20}});
    for mode in ["Recommend", "Auto"] {
        scene.cluster_policy(mode, slow.clone());
        assert_eq!(pace(&scene), (3600, 3, 2, 0.2), "{mode}");
    }
    assert_eq!(scene.workload().rules.max_unavailable, MaxUnavailable::Lesser(2, 100));
    // A namespace may be slower than the cluster's policy.
    scene.policy(json!({"cooldown": "2h", "minReplicas": 5, "maxUnavailable": 1,
                        "maxStepPercent": {"shrink": 10}}));
    assert_eq!(pace(&scene), (7200, 5, 1, 0.1));
    // A default is a wall like any other figure, in either mode.
    scene.policy(fast);
    for mode in ["Recommend", "Auto"] {
        scene.cluster_policy(mode, json!({"cooldown": "5m"}));
        assert_eq!(pace(&scene), (300, 2, 2, 0.5), "{mode}");
    }
}

#[test]
fn the_updater_knows_what_is_free_where_a_pod_may_go_and_what_its_namespace_allows() {
    let mut scene = Scene::new();
    assert!(scene.workload().around.free.is_none(), "no node is known");
    for (name, pool, cpu) in [("n1", "a", "1"), ("n2", "a", "700m"), ("n3", "b", "64")] {
        let node = object("Node", name).label("pool", pool);
        scene.add::<Node>(node.with("/status/allocatable", json!({"cpu": cpu, "memory": "4Gi"})));
    }
    scene.pod(Scene::web("web-1").with("/spec/nodeSelector", json!({"pool": "a"})));
    let other = container("app").requests("300m", "1Gi");
    scene.pod(testing::pod("other").uid("other").containers([other]).running().with("/spec/nodeName", "n2"));
    let range = json!([{"type": "Container", "maxLimitRequestRatio": {"memory": "2"}}]);
    scene.add::<LimitRange>(object("LimitRange", "l").with("/spec/limits", range));
    let mut workload = scene.workload();
    let free = |room: &Amounts| (room.cpu.unwrap().to_milli(), room.memory.unwrap().0 >> 20);
    let around = &workload.around;
    assert_eq!(around.free.as_ref().unwrap().iter().map(free).collect::<Vec<_>>(), [(500, 3840)]);
    assert_eq!(around.bounds.container.memory_ratio, Some(2000));
    let place = workload.pods.remove(0).place;
    assert_eq!(place.home.as_ref().map(free), Some((1000, 4096)), "its own share is its successor's");
    assert!(!place.unschedulable);
    // A pod of an older size waits for a node.
    let condition = json!([{"type": "PodScheduled", "status": "False", "reason": "Unschedulable",
                            "message": "0/3 nodes are available: 2 Insufficient memory, 1 node(s) didn't match"}]);
    for (reason, unschedulable) in [("Unschedulable", true), ("SchedulingGated", false)] {
        let waits = Scene::web("web-1").with("/spec/nodeName", Value::Null).with("/status/phase", "Pending");
        let waits = waits.with("/status/conditions", condition.clone());
        scene.pod(waits.with("/status/conditions/0/reason", reason));
        let place = scene.workload().pods.remove(0).place;
        assert_eq!((place.home, place.unschedulable), (None, unschedulable));
    }
}

#[test]
fn what_is_lent_until_a_pod_is_ready_is_lent_for_an_hour_at_most() {
    for (created, over) in [("2027-01-15T07:00:01Z", false), ("2027-01-15T07:00:00Z", true)] {
        let mut scene = Scene::new();
        let unready = json!([{"type": "Ready", "status": "False"}]);
        scene.pod(with_a_note("web-1", "20m").created(created).with("/status/conditions", unready));
        let boost = scene.workload().pods[0].containers[0].boost.unwrap();
        assert_eq!(boost.over, over, "{created}");
    }
}

/// A pod of 50m that says of itself that it has 50m for its start only, and is to have `then`.
fn with_a_note(name: &str, then: &str) -> Builder<testing::kind::Pod> {
    let note = json!({"recommendation": "deployment-web", "containers": {"app": {
        "requests": {"cpu": then}, "boost": {"requests": {"cpu": "50m"}, "duration": "untilReady"}}}});
    let app = container("app").requests("50m", "256Mi");
    Scene::web(name).containers([app]).running().annotation("plumb.dev/sized", &note.to_string())
}

#[test]
fn a_note_on_a_pod_grows_nothing_and_counts_only_where_a_recommendation_lent_it() {
    let mut scene = Scene::new();
    scene.pod(with_a_note("web-1", "900m"));
    let boost = |scene: &Scene| scene.workload().pods[0].containers[0].boost.map(|boost| boost.cpu_request);
    assert_eq!(boost(&scene), Some(None), "nothing grows by it");
    scene.pod(with_a_note("web-1", "20m"));
    assert_eq!(boost(&scene), Some(Some(Cores(0.02))));

    let seen =
        |scene: &Scene, loans: &mut Loans| see(&scene.index, &HashMap::new(), loans, None, NOW).seen.len();
    let (mut loans, mut others) = (Loans::default(), Loans::default());
    assert_eq!(seen(&scene, &mut loans), 1);
    let gone = testing::recommendation("web").object::<Guarded>();
    Fold::<Guarded>::delete(&mut scene.index, gone, NOW);
    assert_eq!(seen(&scene, &mut loans), 1, "what was lent is taken back all the same");
    assert_eq!(seen(&scene, &mut others), 0, "nobody lent it");
}
