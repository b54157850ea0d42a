//! What is planned becomes what the API server holds: by server-side apply, under one field manager.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::json;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::lease::Lead;
use super::metrics::{Metrics, Outcome};
use super::plan::{Plan, Write};
use super::select::PolicyKey;
use super::writer::Queue;
use crate::api::{ClusterVerticalScalingPolicy, GROUP, PolicyStatus, Recommendation, VerticalScalingPolicy};
use crate::cluster::error::Request;
use crate::cluster::index::ObjectKey;
use crate::cluster::{ClusterError, Connection, Index};

/// The field manager.
const MANAGER: &str = "plumb-recommender";
/// Writes at the same time. Each waits for one answer, of some 10 ms; more would only queue at the API server.
const WORKERS: usize = 8;
/// How long the watch may take to tell us of what we have written, before we write it again.
const ECHO: Duration = Duration::from_secs(10);
/// How often the same trouble is logged.
const QUIET: Duration = Duration::from_secs(60);

/// What is written.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Target {
    /// A recommendation.
    Recommendation(ObjectKey),
    /// The status of a policy.
    Policy(PolicyKey),
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Recommendation(key) => write!(f, "Recommendation {}/{}", key.namespace, key.name),
            Self::Policy(key) if key.of_cluster => write!(f, "{} {}", key.kind(), key.object.name),
            Self::Policy(key) => write!(f, "{} {}/{}", key.kind(), key.object.namespace, key.object.name),
        }
    }
}

/// What is written to it.
#[derive(Clone, Debug)]
pub enum Job {
    /// This recommendation.
    Write(Box<Write>),
    /// The recommendation goes.
    Remove,
    /// This status of a policy.
    Status(Box<PolicyStatus>),
}

/// What was written last to each target, and when.
type Sent = HashMap<Target, ((u64, u64), Instant)>;

/// What the watch has told of by now; of a policy that cannot be read it never does.
fn forget(sent: &mut Sent, index: &Index) {
    sent.retain(|target, (_, at)| match target {
        Target::Recommendation(_) => at.elapsed() < ECHO,
        Target::Policy(key) if key.of_cluster => index.cluster_policies.get(&key.object).is_some(),
        Target::Policy(key) => index.policies.get(&key.object).is_some(),
    });
}

/// Writes plans.
pub struct Publisher {
    connection: Connection,
    metrics: Arc<Metrics>,
    queue: Arc<Queue<Target, Job>>,
    sent: Mutex<Sent>,
    logged: Mutex<HashMap<&'static str, Instant>>,
    lead: Lead,
}

impl Publisher {
    /// Writes at most so often a second, and only while that lead holds.
    #[must_use]
    pub fn new(connection: Connection, metrics: Arc<Metrics>, per_second: u32, lead: Lead) -> Arc<Self> {
        let queue = Queue::new(per_second);
        Arc::new(Self { connection, metrics, queue, sent: Mutex::default(), logged: Mutex::default(), lead })
    }

    fn sent(&self) -> MutexGuard<'_, Sent> {
        self.sent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues what a plan asks for. What concerns `urgent` recommendations goes first.
    pub fn publish(&self, plan: &mut Plan, index: &Index, urgent: &[ObjectKey]) {
        forget(&mut self.sent(), index);
        for (key, write) in std::mem::take(&mut plan.writes) {
            // What is new is waited for; what a hundred policies have to be told is not.
            let is_urgent = write.whole || urgent.contains(&key);
            plan.standing.insert(key.clone());
            let target = Target::Recommendation(key);
            if !self.is_on_its_way(&target, write.fingerprints) {
                self.queue.push(target, Job::Write(Box::new(write)), is_urgent);
            }
        }
        for key in &plan.removals {
            let target = Target::Recommendation(key.clone());
            if !self.is_on_its_way(&target, (0, 0)) {
                self.queue.push(target, Job::Remove, false);
            }
        }
        self.publish_statuses(plan, index);
    }

    /// Queues how the policies fare.
    pub fn publish_statuses(&self, plan: &Plan, index: &Index) {
        for (key, status) in &plan.policies {
            let stands = match key.of_cluster {
                true => index.cluster_policies.get(&key.object).map(|p| p.as_ref().map(|p| p.status.clone())),
                false => index.policies.get(&key.object).map(|p| p.as_ref().map(|p| p.status.clone())),
            };
            let target = Target::Policy(key.clone());
            let readable = matches!(stands, Some(Ok(_)));
            if matches!(&stands, Some(Ok(Some(known))) if known == status) {
                continue;
            }
            let mark = (u64::from(status.workloads), digest(status));
            // Of one that cannot be read we do not see what it holds: each status is tried once.
            let tried = !readable && self.sent().get(&target).is_some_and(|(known, _)| *known == mark);
            if !tried && !self.is_on_its_way(&target, mark) {
                self.queue.push(target, Job::Status(Box::new(status.clone())), false);
            }
        }
    }

    fn is_on_its_way(&self, target: &Target, mark: (u64, u64)) -> bool {
        self.sent().get(target).is_some_and(|(known, at)| *known == mark && at.elapsed() < ECHO)
    }

    /// Forgets what waits: somebody else leads.
    pub fn clear(&self) {
        self.queue.clear();
    }

    /// Writes until `stop`; what has begun is finished.
    pub async fn run(&self, stop: &CancellationToken) {
        let work = || self.queue.work(stop, |target, job| self.write(target, job));
        futures::future::join_all((0..WORKERS).map(|_| work())).await;
    }

    async fn write(&self, target: Target, job: Job) {
        let mark = match &job {
            Job::Write(write) => write.fingerprints,
            Job::Remove => (0, 0),
            Job::Status(status) => (u64::from(status.workloads), digest(status)),
        };
        let write = async {
            match (&target, &job) {
                (Target::Recommendation(key), Job::Write(write)) => self.apply(key, write).await,
                (Target::Recommendation(key), _) => self.remove(key).await,
                (Target::Policy(key), Job::Status(status)) => self.policy(key, status).await,
                (Target::Policy(_), _) => Ok(()),
            }
        };
        // What was queued while we led is another's to write now.
        let Some(result) = self.lead.hold(write).await else { return };
        let outcome = match result {
            Ok(()) => {
                tracing::debug!(target = target.to_string(), "written");
                "ok"
            }
            // It went away meanwhile; what should be there then, the next round says.
            Err(ClusterError::Status { code: 404, .. }) => "gone",
            Err(error) => {
                self.log(&target, &error);
                "failed"
            }
        };
        // A failure is tried again in the next round, not at once.
        let unreadable = matches!(target, Target::Policy(_));
        if outcome == "ok" || unreadable {
            self.sent().insert(target, (mark, Instant::now()));
        }
        self.metrics.writes.get_or_create(&Outcome { outcome: outcome.to_owned() }).inc();
    }

    /// Many writes fail for one reason: that is one line.
    fn log(&self, target: &Target, error: &ClusterError) {
        let kind = match (target, error) {
            (Target::Recommendation(_), ClusterError::Forbidden { .. }) => "recommendations forbidden",
            (Target::Recommendation(_), _) => "recommendations",
            (Target::Policy(_), ClusterError::Forbidden { .. }) => "policies forbidden",
            (Target::Policy(_), _) => "policies",
        };
        let mut logged = self.logged.lock().unwrap_or_else(PoisonError::into_inner);
        if logged.get(kind).is_none_or(|at| at.elapsed() > QUIET) {
            logged.insert(kind, Instant::now());
            tracing::warn!(error = error.to_string(), "cannot write; trying again");
        } else {
            tracing::debug!(
                error = error.to_string(),
                target = target.to_string(),
                "cannot write; trying again"
            );
        }
    }

    async fn apply(&self, key: &ObjectKey, write: &Write) -> Result<(), ClusterError> {
        let api: Api<Recommendation> = Api::namespaced(self.connection.client.clone(), &key.namespace);
        let asked =
            |resource| Request { verb: "patch", resource, namespace: Some(key.namespace.to_string()) };
        let params = PatchParams::apply(MANAGER).force();
        let kind = json!({"apiVersion": format!("{GROUP}/v1alpha1"), "kind": "Recommendation"});
        if write.whole {
            let mut object = kind.clone();
            object["metadata"] = json!({"name": key.name, "namespace": &*key.namespace});
            if !write.owner.is_empty() {
                let policy = &write.spec.policy_ref;
                object["metadata"]["ownerReferences"] = json!([{
                    "apiVersion": format!("{GROUP}/v1alpha1"), "kind": policy.kind, "name": policy.name,
                    "uid": write.owner,
                }]);
            }
            object["spec"] = json!(write.spec);
            let patch = Patch::Apply(&object);
            let answer = api.patch(&key.name, &params, &patch);
            self.connection.ask(asked("recommendations.plumb.dev"), answer).await?;
        }
        let mut object = kind;
        object["metadata"] = json!({"name": key.name, "namespace": &*key.namespace});
        object["status"] = json!(write.status);
        let patch = Patch::Apply(&object);
        let answer = api.patch_status(&key.name, &params, &patch);
        self.connection.ask(asked("recommendations.plumb.dev/status"), answer).await.map(drop)
    }

    async fn remove(&self, key: &ObjectKey) -> Result<(), ClusterError> {
        let api: Api<Recommendation> = Api::namespaced(self.connection.client.clone(), &key.namespace);
        let namespace = Some(key.namespace.to_string());
        let asked = Request { verb: "delete", resource: "recommendations.plumb.dev", namespace };
        self.connection.ask(asked, api.delete(&key.name, &DeleteParams::default())).await.map(drop)
    }

    async fn policy(&self, key: &PolicyKey, status: &PolicyStatus) -> Result<(), ClusterError> {
        let params = PatchParams::apply(MANAGER).force();
        let object = json!({
            "apiVersion": format!("{GROUP}/v1alpha1"), "kind": key.kind(),
            "metadata": {"name": key.object.name}, "status": status,
        });
        let patch = Patch::Apply(&object);
        let (client, name) = (self.connection.client.clone(), &*key.object.name);
        if key.of_cluster {
            let api: Api<ClusterVerticalScalingPolicy> = Api::all(client);
            let resource = "clusterverticalscalingpolicies.plumb.dev/status";
            let asked = Request { verb: "patch", resource, namespace: None };
            self.connection.ask(asked, api.patch_status(name, &params, &patch)).await.map(drop)
        } else {
            let api: Api<VerticalScalingPolicy> = Api::namespaced(client, &key.object.namespace);
            let namespace = Some(key.object.namespace.to_string());
            let asked =
                Request { verb: "patch", resource: "verticalscalingpolicies.plumb.dev/status", namespace };
            self.connection.ask(asked, api.patch_status(name, &params, &patch)).await.map(drop)
        }
    }
}

/// What of a status is compared: not since when it holds.
fn digest(status: &PolicyStatus) -> u64 {
    use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
    let words: Vec<_> = status.conditions.iter().map(|c| (&c.status, &c.reason, &c.message)).collect();
    BuildHasherDefault::<DefaultHasher>::default().hash_one((status.observed_generation, words))
}
