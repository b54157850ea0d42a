//! Who else sizes or counts a workload's pods, and by which of their owners that is known.

use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use kube::api::ObjectMeta;

use super::*;
use crate::actuate::reason::Hold;
use crate::cluster::custom::{Answer, Object};
use crate::cluster::vpa::LeanVpa;
use crate::testing::object_key;

/// An autoscaler of that object, by CPU.
fn autoscaler(kind: &str, name: &str) -> Builder<testing::kind::Other> {
    object("HorizontalPodAutoscaler", "web").with("/spec", json!({
        "maxReplicas": 9, "scaleTargetRef": {"kind": kind, "name": name},
        "metrics": [{"type": "Resource",
                     "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}}}]}))
}

/// The Deployment of the scene belongs to an App with /scale, which is the workload then.
fn under_an_app() -> Scene {
    let mut scene = Scene::new();
    let owner = Owner {
        api_version: "example.dev/v1".into(),
        kind: "App".into(),
        name: "one".into(),
        uid: Uid::from("one"),
    };
    let metadata = Box::new(ObjectMeta { name: Some("one".to_owned()), ..ObjectMeta::default() });
    let answer = Answer { scales: true, object: Object::There(metadata) };
    scene.index.learn(&object_key("p"), &Arc::new(owner), &answer, NOW);
    scene.add::<Slim<Deployment>>(testing::deployment("web").uid("web").controlled_by("App", "one", "one"));
    let app = recommended("app").target("200m", "200Mi", "300Mi");
    let said = testing::recommendation("web").auto().for_workload("App", "one").containers([app]);
    scene.add::<Guarded>(said);
    scene
}

#[test]
fn an_owner_that_nobody_knows_is_asked_for() {
    let mut scene = Scene::new();
    scene.add::<Slim<Deployment>>(testing::deployment("web").uid("web").controlled_by("App", "one", "one"));
    let View { seen, unknown, .. } = see(&scene.index, &HashMap::new(), &mut Loans::default(), None, NOW);
    assert!(seen.is_empty());
    assert_eq!(unknown.iter().map(|(_, owner)| &*owner.name).collect::<Vec<_>>(), ["one"]);
}

#[test]
fn autoscalers_count_at_every_owner_on_the_way() {
    for (kind, name) in [("App", "one"), ("Deployment", "web"), ("ReplicaSet", "web-7f")] {
        let mut scene = under_an_app();
        assert!(!scene.workload().rules.cpu_scaled);
        scene.add::<HorizontalPodAutoscaler>(autoscaler(kind, name));
        assert!(scene.workload().rules.cpu_scaled, "{kind}");
        let vpa =
            object("VerticalPodAutoscaler", "v").with("/spec/targetRef", json!({"kind": kind, "name": name}));
        scene.add::<LeanVpa>(vpa);
        assert_eq!(scene.workload().rules.sized_by_other(), Some(Hold::OwnedByVpa), "{kind}");
    }
}

#[test]
fn an_autoscaler_of_one_container_holds_that_one_alone() {
    let mut scene = Scene::new();
    let side = container("side").requests("500m", "256Mi");
    let app = container("app").requests("500m", "256Mi");
    scene.pod(Scene::web("web-1").containers([app, side]));
    let metric = json!({"type": "ContainerResource", "containerResource": {
        "name": "memory", "container": "side", "target": {"type": "Utilization", "averageUtilization": 80}}});
    scene.add::<HorizontalPodAutoscaler>(
        autoscaler("Deployment", "web").with("/spec/metrics", json!([metric])),
    );
    let workload = scene.workload();
    assert!(!workload.rules.memory_scaled && !workload.rules.cpu_scaled);
    let held: Vec<_> =
        workload.pods[0].containers.iter().map(|one| (one.cpu_scaled, one.memory_scaled)).collect();
    assert_eq!(held, [(false, false), (false, true)]);
}

#[test]
fn the_target_of_an_autoscaler_that_another_object_controls_stays() {
    let mut scene = Scene::new();
    scene.policy(json!({"hpa": "Rescale"}));
    let own = autoscaler("Deployment", "web");
    scene.add::<HorizontalPodAutoscaler>(own.clone());
    let workload = scene.workload();
    assert_eq!((workload.scalers.len(), workload.rules.cpu_scaled), (1, false));
    scene.add::<HorizontalPodAutoscaler>(own.controlled_by("ScaledObject", "web", "so"));
    let workload = scene.workload();
    assert_eq!((workload.scalers.len(), workload.rules.cpu_scaled), (0, true), "KEDA would put it back");
}

#[test]
fn what_another_controller_resizes_is_left_to_it() {
    let mut scene = Scene::new();
    let resize = json!([{"manager": "kruise-manager", "operation": "Update", "subresource": "resize",
                         "time": "2026-11-23T07:00:00Z"}]);
    scene.pod(Scene::web("web-1").with("/metadata/managedFields", resize));
    let View { mut seen, .. } = see(&scene.index, &HashMap::new(), &mut Loans::default(), None, NOW);
    let seen = seen.remove(0);
    assert_eq!(seen.workload.rules.sized_by_other(), Some(Hold::ResizedByOther));
    assert_eq!(seen.resizer.as_deref(), Some("kruise-manager"));
}

#[test]
fn pods_of_a_rollout_say_their_revision_and_pause_between_steps() {
    let mut scene = Scene::new();
    let owner = Owner {
        api_version: "argoproj.io/v1alpha1".into(),
        kind: "Rollout".into(),
        name: "web".into(),
        uid: Uid::from("ro"),
    };
    let metadata = Box::new(ObjectMeta { name: Some("web".to_owned()), ..ObjectMeta::default() });
    let answer = Answer { scales: true, object: Object::There(metadata) };
    scene.index.learn(&object_key("p"), &Arc::new(owner), &answer, NOW);
    let app = recommended("app").target("200m", "200Mi", "300Mi");
    scene.add::<Guarded>(
        testing::recommendation("web").auto().for_workload("Rollout", "web").containers([app]),
    );
    for (pod, set) in [("web-1", "a"), ("web-2", "b")] {
        let replica_set = object("ReplicaSet", set).uid(set).controlled_by("Rollout", "web", "ro");
        scene.add::<Slim<ReplicaSet>>(replica_set);
        let ready = json!([{"type": "Ready", "status": "True"}]);
        let pod =
            Scene::web(pod).controlled_by("ReplicaSet", set, set).label("rollouts-pod-template-hash", set);
        scene.pod(pod.with("/status/conditions", ready));
    }
    let workload = scene.workload();
    assert!(workload.pods.iter().all(|pod| pod.ready && pod.revision.is_some()));
    assert!(workload.is_rolling_out(), "both are ready, and the analysis goes on");
}
