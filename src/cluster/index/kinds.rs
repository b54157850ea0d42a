//! Kinds of owners that plumb knows by name: which pods belong together although each run has an owner of its own,
//! which of one owner's pods have different roles, and which kinds run to their end.
//!
//! Pure. Everything else about custom kinds (whether they scale, who owns them) the API server is asked for. The table
//! for people is in docs/owners.md; the admission policy has the same rules in CEL (control/webhook/policy.cel).

use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::facts::{Labels, Owner, group};

/// Between the name of an object and the role of some of its pods. No object's name has it.
pub(super) const ROLE: char = ':';

/// A kind whose pods say by labels which workload they are of.
struct Labelled {
    api_version: &'static str,
    kind: &'static str,
    /// Kinds that control such pods; an empty one where nothing does.
    makers: &'static [&'static str],
    /// Labels that name the workload; the first that is there counts.
    names: &'static [&'static str],
    role: Role,
    /// The pods of one run are all that there is of the owner: what the pods say is all that is asked.
    once: bool,
}

/// How pods of one workload that have different tasks are told apart.
enum Role {
    /// They all do the same.
    None,
    /// By this label.
    Label(&'static str),
    /// A leader has index 0 here; the others are workers.
    Index(&'static str),
}

const LABELLED: [Labelled; 7] = [
    Labelled {
        api_version: "leaderworkerset.x-k8s.io/v1",
        kind: "LeaderWorkerSet",
        makers: &["StatefulSet"],
        names: &["leaderworkerset.sigs.k8s.io/name"],
        role: Role::Index("leaderworkerset.sigs.k8s.io/worker-index"),
        once: false,
    },
    Labelled {
        api_version: "jobset.x-k8s.io/v1alpha2",
        kind: "JobSet",
        makers: &["Job"],
        names: &["jobset.sigs.k8s.io/jobset-name"],
        role: Role::Label("jobset.sigs.k8s.io/replicatedjob-name"),
        once: false,
    },
    Labelled {
        api_version: "tekton.dev/v1",
        kind: "Pipeline",
        makers: &["TaskRun"],
        names: &["tekton.dev/pipeline"],
        role: Role::Label("tekton.dev/pipelineTask"),
        once: true,
    },
    Labelled {
        api_version: "tekton.dev/v1",
        kind: "Task",
        makers: &["TaskRun"],
        names: &["tekton.dev/task", "tekton.dev/clusterTask"],
        role: Role::None,
        once: true,
    },
    Labelled {
        api_version: "sparkoperator.k8s.io/v1beta2",
        kind: "SparkApplication",
        makers: &["SparkApplication", "Pod", ""],
        names: &["spark-app-name", "sparkoperator.k8s.io/app-name"],
        role: Role::Label("spark-role"),
        once: true,
    },
    Labelled {
        api_version: "serving.knative.dev/v1",
        kind: "Service",
        makers: &["ReplicaSet"],
        names: &["serving.knative.dev/service"],
        role: Role::None,
        once: false,
    },
    // Airflow: each task of a DAG has pods of its own, made by nobody that Kubernetes knows or by a Job.
    Labelled {
        api_version: "v1",
        kind: "Pod",
        makers: &["Job", ""],
        names: &["dag_id"],
        role: Role::Label("task_id"),
        once: true,
    },
];

/// Labels that name a pod that nothing controls and that has no other label.
const NAMING_LABELS: [&str; 6] =
    ["app.kubernetes.io/instance", "app.kubernetes.io/name", "k8s-app", "app", "component", "run"];

/// A workload as pods name it, or their owner.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Pool {
    /// Group and version.
    pub api_version: Arc<str>,
    /// Kind.
    pub kind: Arc<str>,
    /// Name, and role where pods of it have different ones.
    pub name: Arc<str>,
    /// Labels by which policies select it, where its own owner has none to ask for.
    pub labels: Option<Arc<Labels>>,
}

/// What of a pod says where it belongs.
#[derive(Clone, Copy, Debug)]
pub struct Named<'a> {
    /// Name; empty while the API server has still to make one.
    pub name: &'a str,
    /// Labels.
    pub labels: &'a Labels,
    /// The node of a static pod.
    pub node: Option<&'a str>,
}

/// Returns the workload that a pod names by its labels. Of a pod that nothing controls there always is one.
pub(super) fn pool(
    pod: Named<'_>,
    owner: Option<&Owner>,
    labels: impl FnOnce() -> Arc<Labels>,
) -> Option<Pool> {
    let maker = owner.map_or("", |owner| &owner.kind);
    let of = |rule: &Labelled| Some((rule.api_version, rule.kind, rule.name(pod.labels, maker)?, rule.once));
    let found = LABELLED.iter().find_map(of);
    let bare = || owner.is_none().then(|| ("v1", "Pod", bare(pod), true));
    let (api_version, kind, name, once) = found.or_else(bare)?;
    let labels = once.then(labels);
    Some(Pool { api_version: api_version.into(), kind: kind.into(), name: name.into(), labels })
}

impl Labelled {
    fn name(&self, labels: &Labels, maker: &str) -> Option<String> {
        if !self.makers.contains(&maker) {
            return None;
        }
        let label = |name: &str| labels.get(name).map(String::as_str).filter(|value| !value.is_empty());
        let name = without_run(self.names.iter().find_map(|name| label(name))?);
        let role = match self.role {
            Role::None => None,
            Role::Label(role) => Some(label(role)?),
            Role::Index(index) => Some(if label(index)? == "0" { "leader" } else { "worker" }),
        };
        Some(with_role(name, role))
    }
}

/// A scheduled run is called after what it is a run of, and after the nanosecond of its start.
fn without_run(name: &str) -> &str {
    match name.rsplit_once('-') {
        Some((template, run)) if run.len() > 9 && run.bytes().all(|byte| byte.is_ascii_digit()) => template,
        _ => name,
    }
}

/// The name of an object, without the role of some of its pods.
#[must_use]
pub fn object_of(name: &str) -> &str {
    name.split(ROLE).next().unwrap_or_default()
}

fn with_role(name: &str, role: Option<&str>) -> String {
    role.map_or_else(|| name.to_owned(), |role| format!("{name}{ROLE}{role}"))
}

/// A static pod is called after its node, too. One label that names it pools a pod with its like; beside other labels it
/// may be all that two pods have in common.
fn bare(pod: Named<'_>) -> String {
    if let Some(node) = pod.node {
        let name = pod.name.strip_suffix(node).and_then(|name| name.strip_suffix('-'));
        return name.unwrap_or(pod.name).to_owned();
    }
    let named = match pod.labels.iter().next() {
        Some((label, value)) if pod.labels.len() == 1 && NAMING_LABELS.contains(&label.as_str()) => value,
        _ => "",
    };
    if named.is_empty() { pod.name.to_owned() } else { named.to_owned() }
}

/// Returns the role of a pod that only its name tells: the template of a workflow's step.
///
/// (Argo Workflows: a pod is called workflow, template and a hash, since version 3.4.)
pub(super) fn role<'a>(pod: &'a str, owner: &Owner) -> Option<&'a str> {
    if (owner.group(), &*owner.kind) != ("argoproj.io", "Workflow") {
        return None;
    }
    let (step, hash) = pod.strip_prefix(&*owner.name)?.strip_prefix('-')?.rsplit_once('-')?;
    (!step.is_empty() && hash.bytes().all(|byte| byte.is_ascii_digit())).then_some(step)
}

/// Returns what an owner that lives for one run is a run of, by its own labels, or else by the prefix of its generated
/// name, which ends in a dash as no object's name does.
pub(super) fn template(owner: &Owner, metadata: &ObjectMeta) -> Option<Pool> {
    let labels = metadata.labels.as_ref();
    let label = |name: &str| labels.and_then(|labels| labels.get(name)).filter(|value| !value.is_empty());
    let of = |kind: &str, name: &str| Pool {
        api_version: Arc::clone(&owner.api_version),
        kind: kind.into(),
        name: name.into(),
        labels: None,
    };
    let named: &[(&str, &str)] = match (owner.group(), &*owner.kind) {
        ("argoproj.io", "Workflow") => &[
            ("workflows.argoproj.io/workflow-template", "WorkflowTemplate"),
            ("workflows.argoproj.io/cluster-workflow-template", "ClusterWorkflowTemplate"),
            ("workflows.argoproj.io/cron-workflow", "CronWorkflow"),
        ],
        ("tekton.dev", "TaskRun" | "PipelineRun") => &[],
        _ => return None,
    };
    let by_label = named.iter().find_map(|(name, kind)| Some(of(kind, label(name)?)));
    let prefix = metadata.generate_name.as_deref().filter(|prefix| prefix.ends_with('-'));
    by_label.or_else(|| prefix.map(|prefix| of(&owner.kind, prefix)))
}

/// Whether a kind without /scale is a workload all the same: what people write, and pods come of.
pub(super) fn is_workload(owner: &Owner) -> bool {
    matches!(
        (owner.group(), &*owner.kind),
        ("jobset.x-k8s.io", "JobSet")
            | ("keda.sh", "ScaledJob")
            | ("argoproj.io", "CronWorkflow")
            | ("serving.knative.dev", "Service")
            | ("sparkoperator.k8s.io", "ScheduledSparkApplication")
    )
}

/// Whether pods of a workload of that kind run to their end.
pub(super) fn runs_to_its_end(api_version: &str, kind: &str, name: &str) -> bool {
    match (group(api_version), kind) {
        ("batch", "Job" | "CronJob")
        | ("jobset.x-k8s.io", "JobSet")
        | ("keda.sh", "ScaledJob")
        | ("argoproj.io", "Workflow" | "WorkflowTemplate" | "ClusterWorkflowTemplate" | "CronWorkflow")
        | ("tekton.dev", "Pipeline" | "PipelineRun" | "Task" | "TaskRun")
        | ("sparkoperator.k8s.io", "SparkApplication" | "ScheduledSparkApplication") => true,
        ("", "Pod") => name.contains(ROLE),
        _ => false,
    }
}

/// Whether a workload of that kind is there between its runs although no object of its name has to be.
#[must_use]
pub fn is_known_by_its_runs(api_version: &str, kind: &str, name: &str) -> bool {
    match (group(api_version), kind) {
        ("argoproj.io", "WorkflowTemplate" | "ClusterWorkflowTemplate" | "CronWorkflow")
        | ("tekton.dev", "Pipeline" | "Task")
        | ("sparkoperator.k8s.io", "SparkApplication") => true,
        ("", "Pod") => name.contains(ROLE),
        // A prefix of generated names.
        _ => object_of(name).ends_with('-'),
    }
}

/// Whether a kind is known by name. No two of these groups have a kind of the same name.
#[must_use]
pub fn is_known_kind(group: &str, kind: &str) -> bool {
    matches!(
        (group, kind),
        ("apps", "Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet")
            | ("batch", "Job" | "CronJob")
            | ("", "Pod" | "ReplicationController")
            | (
                "argoproj.io",
                "Rollout" | "Workflow" | "WorkflowTemplate" | "ClusterWorkflowTemplate" | "CronWorkflow"
            )
            | ("jobset.x-k8s.io", "JobSet")
            | ("keda.sh", "ScaledJob")
            | ("leaderworkerset.x-k8s.io", "LeaderWorkerSet")
            | ("serving.knative.dev", "Service")
            | ("sparkoperator.k8s.io", "SparkApplication" | "ScheduledSparkApplication")
            | ("tekton.dev", "Pipeline" | "PipelineRun" | "Task" | "TaskRun")
    )
}

/// Whether a kind's rollouts pause between steps, with all pods ready: pods of two revisions mean that one is under way.
#[must_use]
pub fn rolls_out_in_steps(owner: &Owner) -> bool {
    (owner.group(), &*owner.kind) == ("argoproj.io", "Rollout")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::needless_pass_by_value, reason = "values that are made for the call")]

    use serde_json::{Value, json};

    use super::*;
    use crate::cluster::index::Uid;

    fn owner(api_version: &str, kind: &str, name: &str) -> Owner {
        Owner { api_version: api_version.into(), kind: kind.into(), name: name.into(), uid: Uid::default() }
    }

    fn pooled(name: &str, labels: Value, owner: Option<Owner>) -> Option<String> {
        let labels: Labels = serde_json::from_value(labels).unwrap();
        let pod = Named { name, labels: &labels, node: None };
        let pool = pool(pod, owner.as_ref(), || Arc::new(labels.clone()))?;
        Some(format!("{} {}", pool.kind, pool.name))
    }

    #[test]
    fn pods_of_one_template_and_role_are_pooled_whoever_made_them() {
        let of = |kind: &str, labels: Value| pooled("p", labels, Some(owner("x/v1", kind, "run-1")));
        let lws = |index: &str| {
            json!({"leaderworkerset.sigs.k8s.io/name": "llm",
                                      "leaderworkerset.sigs.k8s.io/worker-index": index})
        };
        assert_eq!(of("StatefulSet", lws("0")).unwrap(), "LeaderWorkerSet llm:leader");
        assert_eq!(of("StatefulSet", lws("2")).unwrap(), "LeaderWorkerSet llm:worker");
        let set = json!({"jobset.sigs.k8s.io/jobset-name": "train",
                         "jobset.sigs.k8s.io/replicatedjob-name": "driver"});
        assert_eq!(of("Job", set).unwrap(), "JobSet train:driver");
        let task = json!({"tekton.dev/task": "go-build", "tekton.dev/pipeline": "ci",
                          "tekton.dev/pipelineTask": "build"});
        assert_eq!(of("TaskRun", task).unwrap(), "Pipeline ci:build");
        assert_eq!(of("TaskRun", json!({"tekton.dev/task": "go-build"})).unwrap(), "Task go-build");
        let spark = |role: &str| json!({"spark-app-name": "etl-1795406400000000000", "spark-role": role});
        assert_eq!(of("SparkApplication", spark("driver")).unwrap(), "SparkApplication etl:driver");
        assert_eq!(of("Pod", spark("executor")).unwrap(), "SparkApplication etl:executor");
        let knative = json!({"serving.knative.dev/service": "hello"});
        assert_eq!(of("ReplicaSet", knative.clone()).unwrap(), "Service hello");
        // A label on another kind's pod says nothing.
        assert_eq!(of("StatefulSet", knative), None);
        assert_eq!(of("ReplicaSet", json!({"app": "web"})), None);
    }

    /// The admission policy knows the same labels.
    #[test]
    fn the_admission_policy_has_the_same_table() {
        let expressions = include_str!("../../control/webhook/policy.cel");
        for rule in &LABELLED {
            let group = rule.api_version.split('/').next().unwrap();
            let role = match rule.role {
                Role::None => "",
                Role::Label(label) | Role::Index(label) => label,
            };
            let row = [rule.kind, group, &rule.makers.join(","), &rule.names.join(","), role];
            let row = format!("['{}']", row.join("', '"));
            assert!(expressions.contains(&row), "{row}");
        }
    }

    #[test]
    fn bare_pods_with_one_common_label_are_apart() {
        let bare = |name: &str, labels: Value| pooled(name, labels, None).unwrap();
        let task = |task: &str| {
            json!({"app": "airflow", "component": "worker", "dag_id": "etl",
                                        "task_id": task, "run_id": "manual-1"})
        };
        assert_eq!(bare("etl-load-x1", task("load")), "Pod etl:load");
        assert_eq!(bare("etl-clean-x2", task("clean")), "Pod etl:clean");
        assert_eq!(bare("a", json!({"app": "airflow", "team": "x"})), "Pod a");
        assert_eq!(bare("b", json!({"app": "airflow", "team": "y"})), "Pod b");
        assert_eq!(bare("c", json!({"app": "web"})), "Pod web");
        assert_eq!(bare("d", json!({"team": "x"})), "Pod d");
        assert_eq!(bare("e", json!({})), "Pod e");
    }

    #[test]
    fn a_static_pod_is_one_of_those_of_all_nodes() {
        let labels = Labels::from([("tier".to_owned(), "control-plane".to_owned())]);
        let pod = Named { name: "etcd-node-1", labels: &labels, node: Some("node-1") };
        assert_eq!(&*pool(pod, None, Arc::default).unwrap().name, "etcd");
    }

    #[test]
    fn a_workflow_is_a_run_of_its_template_and_a_pod_of_it_one_of_a_step() {
        let workflow = owner("argoproj.io/v1alpha1", "Workflow", "nightly-abc12");
        let of = |metadata: Value| {
            let pool = template(&workflow, &serde_json::from_value(metadata).unwrap())?;
            Some(format!("{} {}", pool.kind, pool.name))
        };
        let cron = json!({"workflows.argoproj.io/cron-workflow": "nightly"});
        assert_eq!(of(json!({"labels": cron})).unwrap(), "CronWorkflow nightly");
        let both = json!({"workflows.argoproj.io/cron-workflow": "nightly",
                          "workflows.argoproj.io/workflow-template": "report"});
        assert_eq!(of(json!({"labels": both})).unwrap(), "WorkflowTemplate report");
        assert_eq!(of(json!({"generateName": "nightly-"})).unwrap(), "Workflow nightly-");
        assert_eq!(of(json!({})), None);
        assert_eq!(role("nightly-abc12-load-data-1234567", &workflow), Some("load-data"));
        assert_eq!(role("nightly-abc12-1234567", &workflow), None);
        assert_eq!(role("nightly-abc12", &workflow), None);
        let rollout = owner("argoproj.io/v1alpha1", "Rollout", "web");
        assert_eq!(template(&rollout, &ObjectMeta::default()), None);
    }
}
