//! Owners of custom kinds: at rest, and policies that name one on the way.

use kube::api::ObjectMeta;

use super::*;
use crate::cluster::custom::{Answer, Object};
use crate::cluster::index::Uid;
use crate::testing::object_key;

fn learn(place: &mut Place, kind: &str, name: &str, object: Object) {
    let api_version = testing::object(kind, name).json()["apiVersion"].as_str().unwrap().into();
    let owner = Owner { api_version, kind: kind.into(), name: name.into(), uid: Uid::from(name) };
    place.index.learn(&object_key(""), &Arc::new(owner), &Answer { scales: true, object }, NOW);
}

fn there() -> Object {
    let metadata = json!({"namespace": "shop", "name": "web", "labels": {"tier": "front"}});
    Object::There(Box::new(serde_json::from_value::<ObjectMeta>(metadata).unwrap()))
}

#[test]
fn a_custom_workload_at_zero_replicas_keeps_its_row_until_it_is_gone() {
    let mut place = Place::new();
    place.policy(json!({"target": {"selector": {"matchLabels": {"tier": "front"}}}}));
    learn(&mut place, "Rollout", "web", there());
    let pod = testing::pod("web-1").uid("p").controlled_by("Rollout", "web", "web").running();
    place.add::<LeanPod>(pod.clone());
    let first = place.plan();
    assert_eq!(&*first.writes.keys().next().unwrap().name, "rollout-web");
    place.write(&first);
    place.index.delete(pod.object::<LeanPod>(), NOW);
    place.index.forget(NOW);
    assert!(place.plan().removals.is_empty(), "scaled to zero");
    // The next process has to ask, and removes nothing before that.
    place.index.custom.clear();
    let unknown = place.plan();
    assert!(unknown.removals.is_empty());
    let (_, (_, owner)) = unknown.unknown.iter().next().unwrap();
    assert_eq!((&*owner.kind, &*owner.name), ("Rollout", "web"));
    learn(&mut place, "Rollout", "web", Object::Gone);
    assert_eq!(place.plan().removals.len(), 1);
}

#[test]
fn a_task_keeps_its_row_between_runs_while_what_it_used_is_remembered() {
    let mut place = Place::new();
    place.policy(json!({}));
    let task =
        |name: &str| testing::pod(name).uid(name).label("dag_id", "etl").label("task_id", "load").running();
    place.add::<LeanPod>(task("a"));
    place.take(NOW, "100m", "100Mi");
    let first = place.plan();
    assert_eq!(only(&first).spec.workload_ref.name, "etl:load");
    place.write(&first);
    place.index.delete(task("a").object::<LeanPod>(), NOW);
    assert!(place.plan().removals.is_empty(), "between two runs");
    place.book = Book::default();
    assert_eq!(place.plan().removals.len(), 1, "nothing is remembered of it any more");
}

#[test]
fn a_policy_that_names_any_owner_on_the_way_is_for_the_workload() {
    let named = |kind: &str, name: &str| {
        let api_version = testing::object(kind, name).json()["apiVersion"].clone();
        json!({"target": {"workloadRef": {"apiVersion": api_version, "kind": kind, "name": name}}})
    };
    let policies = [
        (named("App", "one"), 1),
        (named("Deployment", "web"), 1),
        (named("ReplicaSet", "web-1"), 1),
        (named("App", "two"), 0),
        (json!({"target": {"kinds": ["App"]}}), 1),
        (json!({"target": {"kinds": ["ReplicaSet"]}}), 0),
        (json!({"target": {"selector": {"matchLabels": {"tier": "front"}}}}), 1),
    ];
    for (policy, count) in policies {
        let mut place = Place::new();
        place.policy(policy.clone());
        learn(&mut place, "App", "one", there());
        let deployment = object("Deployment", "web").uid("d").controlled_by("App", "one", "one");
        place.add::<Slim<Deployment>>(deployment);
        place.add::<Slim<ReplicaSet>>(object("ReplicaSet", "web-1").uid("rs").controlled_by(
            "Deployment",
            "web",
            "d",
        ));
        // The App scales, and so is the workload.
        place.add::<LeanPod>(testing::pod("a").uid("a").controlled_by("ReplicaSet", "web-1", "rs").running());
        assert_eq!(place.plan().writes.len(), count, "{policy}");
    }
}
