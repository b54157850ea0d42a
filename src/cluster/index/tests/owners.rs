//! Owners of custom kinds: what pods they have, what else counts on the way to them, and what is known of them at rest.

use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet, StatefulSet};
use k8s_openapi::api::batch::v1::Job;
use kube::api::ObjectMeta;

use super::*;
use crate::cluster::custom::{Answer, Object};
use crate::testing::{Builder, workload};

/// An owner, as its dependents name it.
fn owner(kind: &str, name: &str, uid: &str) -> Arc<Owner> {
    let api_version = testing::object(kind, name).json()["apiVersion"].as_str().unwrap().into();
    Arc::new(Owner { api_version, kind: kind.into(), name: name.into(), uid: Uid::from(uid) })
}

/// The API server says this of an owner of a custom kind.
fn answer(index: &mut Index, owner: &Arc<Owner>, scales: bool, metadata: Value) {
    let metadata: ObjectMeta = serde_json::from_value(metadata).unwrap();
    let metadata =
        ObjectMeta { namespace: Some("shop".to_owned()), name: Some(owner.name.to_string()), ..metadata };
    let object = Object::There(Box::new(metadata));
    index.learn(&object_key("p"), owner, &Answer { scales, object }, NOW);
}

fn by(owner: &Owner, uid: &str) -> Value {
    json!({"ownerReferences": [testing::owner_reference(&owner.kind, &owner.name, uid)]})
}

fn pod(index: &mut Index, pod: Builder<testing::kind::Pod>) {
    index.apply(pod.running().object::<LeanPod>(), NOW);
}

/// All workloads, with their pods.
fn found(index: &Index) -> Vec<String> {
    let all = index.workloads();
    assert!(all.unknown.is_empty() && all.unresolved.is_empty(), "{:?}", all.unknown);
    let text = |(key, workload): (&WorkloadKey, &WorkloadPods<'_>)| {
        let pods: Vec<_> = workload.pods.iter().map(|(name, _)| &*name.name).collect();
        format!("{} {}: {}", key.kind, key.name, pods.join(" "))
    };
    let mut found: Vec<_> = all.workloads.iter().map(text).collect();
    found.sort();
    found
}

fn deployment_of_an_app(index: &mut Index) {
    let app = owner("App", "one", "app");
    let deployment = object("Deployment", "web").uid("d").label("tier", "back").label("team", "web");
    let deployment = deployment.controlled_by("App", "one", "app");
    index.apply(deployment.object::<Slim<Deployment>>(), NOW);
    let set = object("ReplicaSet", "web-1").uid("rs").label("pod-template-hash", "1");
    index.apply(set.controlled_by("Deployment", "web", "d").object::<Slim<ReplicaSet>>(), NOW);
    pod(index, testing::pod("web-1-a").uid("a").controlled_by("ReplicaSet", "web-1", "rs"));
    answer(index, &app, false, json!({"labels": {"team": "apps", "stage": "prod"}}));
}

#[test]
fn every_owner_on_the_way_counts() {
    let mut index = Index::default();
    deployment_of_an_app(&mut index);
    assert_eq!(found(&index), ["Deployment web: web-1-a"]);
    let all = index.workloads().workloads;
    let workload = all.values().next().unwrap();
    let kinds: Vec<_> = workload.owners.iter().map(|owner| &*owner.kind).collect();
    assert_eq!(kinds, ["ReplicaSet", "Deployment", "App"]);
    let labels: Vec<_> = workload.labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
    assert_eq!(labels, ["stage=prod", "team=web", "tier=back"], "the workload's own label goes before");
}

#[test]
fn a_job_that_a_rollout_has_started_is_none_of_its_replicas() {
    let mut index = Index::default();
    let (rollout, run) = (owner("Rollout", "web", "ro"), owner("AnalysisRun", "web-1", "ar"));
    let set = object("ReplicaSet", "web-1").uid("rs").controlled_by("Rollout", "web", "ro");
    index.apply(set.object::<Slim<ReplicaSet>>(), NOW);
    let job = object("Job", "check").uid("j").controlled_by("AnalysisRun", "web-1", "ar");
    index.apply(job.object::<Slim<Job>>(), NOW);
    answer(&mut index, &run, false, by(&rollout, "ro"));
    answer(&mut index, &rollout, true, json!({}));
    pod(&mut index, testing::pod("web-1-a").uid("a").controlled_by("ReplicaSet", "web-1", "rs"));
    pod(&mut index, testing::pod("check-a").uid("c").controlled_by("Job", "check", "j"));
    assert_eq!(found(&index), ["Job check: check-a", "Rollout web: web-1-a"]);
}

#[test]
fn leaders_and_workers_are_apart_and_under_one_owner() {
    let mut index = Index::default();
    let set = owner("LeaderWorkerSet", "llm", "lws");
    answer(&mut index, &set, true, json!({"labels": {"team": "ml"}}));
    let leaders = object("StatefulSet", "llm").uid("s").controlled_by("LeaderWorkerSet", "llm", "lws");
    index.apply(leaders.object::<Slim<StatefulSet>>(), NOW);
    let workers = object("StatefulSet", "llm-0").uid("s0").controlled_by("Pod", "llm-0", "leader");
    index.apply(workers.object::<Slim<StatefulSet>>(), NOW);
    let labelled = |name: &str, index: &str| {
        let pod = testing::pod(name).label("leaderworkerset.sigs.k8s.io/name", "llm");
        pod.label("leaderworkerset.sigs.k8s.io/worker-index", index)
    };
    pod(&mut index, labelled("llm-0", "0").uid("leader").controlled_by("StatefulSet", "llm", "s"));
    for worker in ["1", "2"] {
        let name = format!("llm-0-{worker}");
        pod(&mut index, labelled(&name, worker).uid(&name).controlled_by("StatefulSet", "llm-0", "s0"));
    }
    assert_eq!(
        found(&index),
        ["LeaderWorkerSet llm:leader: llm-0", "LeaderWorkerSet llm:worker: llm-0-1 llm-0-2"]
    );
    for workload in index.workloads().workloads.values() {
        assert!(workload.owners.iter().any(|owner| &*owner.kind == "LeaderWorkerSet"), "{workload:?}");
        assert_eq!(workload.labels["team"], "ml");
    }
}

#[test]
fn runs_of_one_template_are_one_workload_for_each_step() {
    let mut index = Index::default();
    for run in ["a", "b"] {
        let name = format!("report-{run}");
        let workflow = owner("Workflow", &name, &name);
        let labels = json!({"labels": {"workflows.argoproj.io/workflow-template": "report"}});
        answer(&mut index, &workflow, false, labels);
        for step in ["load", "sum-up"] {
            let pod_name = format!("{name}-{step}-123");
            pod(&mut index, testing::pod(&pod_name).uid(&pod_name).controlled_by("Workflow", &name, &name));
        }
    }
    assert_eq!(
        found(&index),
        [
            "WorkflowTemplate report:load: report-a-load-123 report-b-load-123",
            "WorkflowTemplate report:sum-up: report-a-sum-up-123 report-b-sum-up-123"
        ]
    );
}

#[test]
fn what_a_task_run_says_by_itself_is_not_asked_for() {
    let mut index = Index::default();
    let labelled = |name: &str| testing::pod(name).uid(name).label("tekton.dev/pipeline", "ci");
    for run in ["r1", "r2"] {
        let one = labelled(&format!("{run}-pod")).label("tekton.dev/pipelineTask", "build");
        pod(&mut index, one.controlled_by("TaskRun", run, run));
    }
    assert_eq!(found(&index), ["Pipeline ci:build: r1-pod r2-pod"]);
    assert_eq!(index.workloads().workloads.values().next().unwrap().labels["tekton.dev/pipeline"], "ci");
    assert!(index.workloads().workloads.keys().all(WorkloadKey::ends));
}

#[test]
fn revisions_are_pooled_by_their_service() {
    let mut index = Index::default();
    for revision in ["hello-1", "hello-2"] {
        let (name, set) = (format!("{revision}-deployment"), format!("{revision}-rs"));
        let deployment = object("Deployment", &name).uid(&name).controlled_by("Revision", revision, revision);
        index.apply(deployment.object::<Slim<Deployment>>(), NOW);
        let replica_set = object("ReplicaSet", &set).uid(&set).controlled_by("Deployment", &name, &name);
        index.apply(replica_set.object::<Slim<ReplicaSet>>(), NOW);
        answer(&mut index, &owner("Revision", revision, revision), false, json!({}));
        let labelled = testing::pod(revision).uid(revision).label("serving.knative.dev/service", "hello");
        pod(&mut index, labelled.controlled_by("ReplicaSet", &set, &set));
    }
    assert_eq!(found(&index), ["Service hello: hello-1 hello-2"]);
}

#[test]
fn what_is_known_of_a_workload_without_pods() {
    let mut index = Index::default();
    let key = |kind: &str, name: &str| {
        let api_version = testing::object(kind, name).json()["apiVersion"].as_str().unwrap().to_owned();
        workload(name).kind(kind).api_version(&api_version).key()
    };
    deployment_of_an_app(&mut index);
    let AtRest::There(labels, owners) = index.at_rest(&key("Deployment", "web"), &index.controllers()) else {
        panic!("it is there")
    };
    assert_eq!((labels["stage"].as_str(), owners.len()), ("prod", 1));
    assert!(matches!(index.at_rest(&key("Deployment", "gone"), &index.controllers()), AtRest::Gone));
    assert!(matches!(index.at_rest(&key("Pod", "gone"), &index.controllers()), AtRest::Gone));
    // A task of Airflow between its runs.
    assert!(matches!(index.at_rest(&key("Pod", "etl:load"), &index.controllers()), AtRest::Unseen));
    let squad = key("LeaderWorkerSet", "llm:leader");
    let AtRest::Ask(asked) = index.at_rest(&squad, &index.controllers()) else { panic!("nobody has asked") };
    assert_eq!(&*asked.name, "llm");
    answer(&mut index, &asked, true, json!({"labels": {"team": "ml"}}));
    assert!(
        matches!(index.at_rest(&squad, &index.controllers()), AtRest::There(labels, _) if labels["team"] == "ml")
    );
    for (object, gone) in [(Object::Unreadable, false), (Object::Gone, true)] {
        index.learn(&object_key(""), &asked, &Answer { scales: true, object }, NOW);
        let rest = index.at_rest(&squad, &index.controllers());
        assert!(if gone { matches!(rest, AtRest::Gone) } else { matches!(rest, AtRest::Unseen) }, "{rest:?}");
    }
}
