#![allow(clippy::needless_pass_by_value, reason = "a json! that is made for the call")]

mod bounds;
mod many;
mod owners;

use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::core::v1::{LimitRange, Node, ResourceQuota};
use kube::core::DeserializeGuard;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::*;
use crate::api::{Recommendation, ResourceName, VerticalScalingPolicy};
use crate::cluster::index::{Fold, Written};
use crate::cluster::pods::LeanPod;
use crate::cluster::slim::{Guarded, Slim};
use crate::control::book::Taken;
use crate::control::kills::Told;
use crate::sources::metrics_server::PodUsage;
use crate::testing::{self, Builder, NOW, container, object};

/// An index, a book and what plans are made with.
struct Place {
    index: Index,
    book: Book,
    prices: crate::report::prices::Prices,
    resizes: bool,
}

impl Place {
    fn new() -> Self {
        let prices = crate::report::prices::Prices { core_hour: 0.03, gib_hour: 0.004 };
        Self { index: Index::default(), book: Book::default(), prices, resizes: true }
    }

    fn add<T: DeserializeOwned>(&mut self, object: Builder<impl Sized>)
    where
        Index: Fold<T>,
    {
        self.index.apply(object.object::<T>(), NOW);
    }

    fn node(&mut self, allocatable: Value) {
        self.add::<Node>(object("Node", "n").with("/status/allocatable", allocatable));
    }

    fn policy(&mut self, spec: Value) {
        let policy = testing::policy("all").uid("p").with("/metadata/generation", 1).spec(spec);
        self.add::<DeserializeGuard<VerticalScalingPolicy>>(policy);
    }

    fn pod(&mut self, name: &str, qos: &str, limits: Value) {
        let app = container("app").requests("500m", "256Mi").with("/resources/limits", limits);
        let pod = testing::pod(name).uid(name).label("app", "web").containers([app]);
        self.add::<LeanPod>(pod.running().with("/status/qosClass", qos));
    }

    /// One reading of every pod.
    fn take(&mut self, at: Timestamp, cpu: &str, memory: &str) -> Taken {
        let mut taken = Taken::default();
        for (key, workload) in &self.index.workloads().workloads {
            for (name, pod) in &workload.pods {
                let usage = usage(&name.name, at, cpu, memory);
                self.book.take(key, pod, None, &usage, at, &mut taken);
            }
        }
        taken
    }

    /// Usage of every pod, each minute for some hours.
    fn use_for(&mut self, hours: i64, cpu: &str, memory: &str) -> Taken {
        let mut taken = Taken::default();
        let workloads = self.index.workloads();
        for minute in 0..hours * 60 {
            let at = NOW.plus((minute - hours * 60) * 60);
            for (key, workload) in &workloads.workloads {
                for (name, pod) in &workload.pods {
                    let usage = usage(&name.name, at, cpu, memory);
                    self.book.take(key, pod, None, &usage, at, &mut taken);
                    self.book.take(key, pod, None, &usage, at, &mut taken);
                }
            }
        }
        taken
    }

    fn plan(&mut self) -> Plan {
        let common = Common { prices: &self.prices, source_error: None, resizes: self.resizes, now: NOW };
        plan(&self.index, &mut self.book, &common)
    }

    /// What is planned is there from now on.
    fn write(&mut self, plan: &Plan) {
        for (key, write) in &plan.writes {
            let mut object = Recommendation::new(&key.name, write.spec.clone());
            object.metadata.namespace = Some(key.namespace.to_string());
            object.metadata.owner_references = Some(vec![
                serde_json::from_value(
                    json!({"apiVersion": "v1", "kind": "x", "name": "x", "uid": write.owner}),
                )
                .unwrap(),
            ]);
            object.status = Some(write.status.clone());
            // As the API server sends it back.
            self.index.apply(serde_json::from_value::<Guarded>(json!(object)).unwrap(), NOW);
        }
    }
}

/// One reading of container `app` of a pod.
fn usage(pod: &str, at: Timestamp, cpu: &str, memory: &str) -> PodUsage {
    let time = chrono::DateTime::from_timestamp(at.0, 0).unwrap().to_rfc3339();
    serde_json::from_value(json!({
        "metadata": {"namespace": "shop", "name": pod}, "timestamp": time,
        "containers": [{"name": "app", "usage": {"cpu": cpu, "memory": memory}}]}))
    .unwrap()
}

fn only(plan: &Plan) -> &Write {
    assert_eq!(plan.writes.len(), 1, "{plan:?}");
    plan.writes.values().next().unwrap()
}

fn condition<'a>(write: &'a Write, kind: &str) -> &'a Condition {
    write.status.conditions.iter().find(|condition| condition.type_ == kind).unwrap()
}

#[test]
fn usage_becomes_a_row_that_is_written_once() {
    let mut place = Place::new();
    place.policy(json!({}));
    place.pod("web-1", "Burstable", json!({"memory": "512Mi"}));
    place.pod("web-2", "Burstable", json!({"memory": "512Mi"}));
    let empty = place.plan();
    assert_eq!(only(&empty).status.summary.cpu.as_deref(), Some("500m (no samples)"));
    assert_eq!(condition(only(&empty), "HistoryReady").reason, "NoSamples");
    let taken = place.use_for(30, "100m", "120Mi");
    assert_eq!((taken.samples, taken.known), (30 * 60 * 2 * 2, 30 * 60 * 2), "each sample counts once");
    let first = place.plan();
    let write = only(&first);
    let (key, status) = (first.writes.keys().next().unwrap(), &write.status);
    assert_eq!((&*key.name, write.whole, status.replicas), ("pod-web", true, 2));
    let requests = &status.containers[0].target.requests;
    let cpu = requests.cpu.as_ref().unwrap().value().as_cores().to_milli();
    let memory = requests.memory.as_ref().unwrap().value().as_bytes().unwrap().0 >> 20;
    assert!((100..130).contains(&cpu) && (120..160).contains(&memory), "{cpu} {memory}");
    assert!(status.summary.saves.as_ref().unwrap().starts_with('$'), "{:?}", status.summary);
    assert_eq!(condition(write, "HistoryReady").status, "True");
    assert_eq!(place.plan().policies.values().next().unwrap().workloads, 1);
    place.write(&first);
    let second = place.plan();
    assert!(second.writes.is_empty() && second.standing.len() == 1, "{second:?}");
    // A mode that changes is written, with what the object is about.
    place.policy(json!({"mode": "Auto"}));
    assert!(only(&place.plan()).whole);
}

#[test]
fn a_steady_workload_is_written_seldom_though_its_status_is_exact() {
    let mut place = Place::new();
    place.policy(json!({"mode": "Auto"}));
    place.node(json!({"cpu": "4", "memory": "16Gi"}));
    place.pod("web-1", "Burstable", json!({"memory": "512Mi"}));
    let mut chance = 1_u64;
    let mut noise = || {
        chance = chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (chance >> 40) as f64 / (1 << 24) as f64 - 0.5
    };
    let (mut writes, mut without, mut said) = (Vec::new(), Vec::new(), 0);
    for minute in 0..9 * 1440_i64 {
        let now = NOW.plus(minute * 60);
        let (cpu, memory) = (200.0 * (1.0 + 0.1 * noise()), 300.0 * (1.0 + 0.02 * noise()));
        place.take(now, &format!("{cpu:.0}m"), &format!("{memory:.0}Mi"));
        if minute % 5 != 0 {
            continue;
        }
        let common = Common { prices: &place.prices, source_error: None, resizes: true, now };
        let plan = plan(&place.index, &mut place.book, &common);
        if let Some(write) = plan.writes.values().next() {
            writes.push(minute / 1440);
            // As if only targets were said.
            let mut status = write.status.clone();
            for container in &mut status.containers {
                (container.hysteresis, container.lower, container.upper) = Default::default();
            }
            let before = crate::cluster::index::status_fingerprint(&status);
            if before != said {
                without.push(minute / 1440);
                said = before;
            }
        }
        place.write(&plan);
    }
    let of = |writes: &[i64], day: i64| writes.iter().filter(|one| **one == day).count();
    let days: Vec<_> = (0..9).map(|day| (of(&writes, day), of(&without, day))).collect();
    let (all, others): (usize, usize) =
        days[2..].iter().fold((0, 0), |(all, others), (a, b)| (all + a, others + b));
    // Five-minute means of this noise cross a step of the rounded target about 30 times a day.
    assert!(
        all <= 7 * 40 && all <= others + 7,
        "writes by day, and those that would be without bounds and hysteresis: {days:?}"
    );
}

#[test]
fn a_kill_changes_the_row_at_once_and_counts_once() {
    let mut place = Place::new();
    place.policy(json!({}));
    place.pod("web-1", "Burstable", json!({"memory": "512Mi"}));
    let first = place.plan();
    place.write(&first);
    let workload = first.workloads.keys().next().unwrap().clone();
    let key = SeriesKey { workload, container: "app".into() };
    let told = Told { pod: "web-1", at: NOW, limit: Some(Bytes::from_mib(512)), id: 7, lived: None };
    assert!(place.book.kill(&key, &told));
    assert!(!place.book.kill(&key, &told));
    let plan = place.plan();
    let status = &only(&plan).status;
    assert_eq!(status.summary.oom_kills, 1);
    let limit = status.containers[0].target.limits.memory.as_ref().unwrap().value().as_bytes().unwrap();
    assert!(limit > Bytes::from_mib(512), "{limit}");
}

#[test]
fn what_is_stale_says_so_and_since_when() {
    let mut place = Place::new();
    place.policy(json!({}));
    place.pod("web-1", "Burstable", json!({"memory": "512Mi"}));
    place.use_for(30, "200m", "100Mi");
    let mut history = |seconds: i64, error: Option<&str>| {
        let common =
            Common { prices: &place.prices, source_error: error, resizes: true, now: NOW.plus(seconds) };
        let plan = plan(&place.index, &mut place.book, &common);
        let history = condition(only(&plan), "HistoryReady");
        (history.reason.clone(), history.message.clone())
    };
    assert_eq!(history(500, Some("no answer")).0, "Enough", "it may come back");
    let (reason, message) = history(700, Some("no answer"));
    assert!(
        reason == "Stale" && message.ends_with("as usage cannot be read: no answer"),
        "{reason} {message}"
    );
    // A source that answers, and knows nothing new.
    let (reason, message) = history(700, None);
    assert!(
        reason == "Stale" && message.contains("container app was seen since 2027-01-15T07:59:00Z"),
        "{message}"
    );
    assert_eq!(history(90_000, None), (reason, message), "what stands is not written again");
    assert_eq!(history(-7200, None).0, "Enough", "a clock that is set back");
}

#[test]
fn what_binds_is_named_and_a_guaranteed_pod_stays_so() {
    let mut place = Place::new();
    place.policy(json!({}));
    place.pod("web-1", "Guaranteed", json!({"cpu": "500m", "memory": "256Mi"}));
    place.node(json!({"cpu": "2", "memory": "200Mi"}));
    let limit = json!({"type": "Container", "max": {"cpu": "90m"}});
    place.add::<LimitRange>(object("LimitRange", "l").with("/spec/limits", json!([limit])));
    place.use_for(30, "150m", "300Mi");
    let plan = place.plan();
    let write = only(&plan);
    let target = &write.status.containers[0].target;
    assert_eq!(target.requests, target.limits, "{target:?}");
    assert_eq!(target.requests.cpu.as_ref().unwrap().to_string(), "90m");
    assert_eq!(target.requests.memory.as_ref().unwrap().to_string(), "200Mi");
    let limited = condition(write, "Limited");
    assert_eq!(limited.status, "True");
    for word in ["LimitRange", "largest node"] {
        assert!(limited.message.contains(word), "{}", limited.message);
    }
    assert!(write.status.containers[0].reasons.iter().any(|reason| reason.contains("stays Guaranteed")));
}

/// What a policy that lends so many times the CPU, at most so much, comes to beside a target of about 100m.
fn lent(policy: Value, node: Option<&str>) -> (u64, Option<u64>) {
    let mut place = Place::new();
    place.policy(json!({"containers": [policy]}));
    place.pod("web-1", "Burstable", json!({}));
    if let Some(cpu) = node {
        place.node(json!({"cpu": cpu, "memory": "8Gi"}));
    }
    place.use_for(30, "100m", "120Mi");
    let plan = place.plan();
    let container = &only(&plan).status.containers[0];
    let milli = |amount: &crate::api::Amount| amount.value().as_cores().to_milli();
    let boost = container.startup_boost.as_ref().map(|boost| milli(&boost.cpu));
    assert_eq!(container.reasons.iter().any(|reason| reason.contains("starts up (for 1m)")), boost.is_some());
    (container.target.requests.cpu.as_ref().map_or(0, milli), boost)
}

#[test]
fn what_is_lent_at_the_start_keeps_to_the_policy_and_the_node() {
    let boost = json!({"cpu": {"factor": "3", "duration": "60s"}});
    let (target, found) = lent(json!({"name": "*", "startupBoost": boost}), None);
    assert_eq!(found, Some(target * 3));
    let (_, found) = lent(json!({"name": "*", "startupBoost": boost, "maxAllowed": {"cpu": "200m"}}), None);
    assert_eq!(found, Some(200));
    let (_, found) = lent(json!({"name": "*", "startupBoost": boost}), Some("250m"));
    assert_eq!(found, Some(250));
    let (target, found) = lent(json!({"name": "*", "startupBoost": boost, "resources": ["memory"]}), None);
    assert_eq!((target, found), (500, None), "what is not sized is not lent");
    let mut older = Place::new();
    older.policy(json!({"containers": [{"name": "*", "startupBoost": boost}]}));
    older.pod("web-1", "Burstable", json!({}));
    older.use_for(30, "100m", "120Mi");
    assert!(only(&older.plan()).status.containers[0].startup_boost.is_some());
    older.resizes = false;
    assert_eq!(only(&older.plan()).status.containers[0].startup_boost, None, "it could not be taken back");
}

/// The webhook must know, too: a new pod with a lower request would scale the workload out.
#[test]
fn a_resource_that_an_autoscaler_scales_by_is_held_where_the_policy_holds_it() {
    let held = |hpa: &str, metric: Value| {
        let mut place = Place::new();
        place.policy(json!({"mode": "Auto", "actuation": {"hpa": hpa}}));
        place.pod("web-1", "Burstable", json!({}));
        let spec =
            json!({"maxReplicas": 9, "scaleTargetRef": {"kind": "Pod", "name": "web"}, "metrics": [metric]});
        place.add::<HorizontalPodAutoscaler>(
            object("HorizontalPodAutoscaler", "h").with("/apiVersion", "autoscaling/v2").with("/spec", spec),
        );
        place.use_for(30, "100m", "120Mi");
        let plan = place.plan();
        let container = only(&plan).status.containers[0].clone();
        let said = container.reasons.iter().any(|reason| reason.contains("HorizontalPodAutoscaler"));
        assert_eq!(said, !container.held.is_empty());
        container.held
    };
    let share = |resource: &str| {
        let target = json!({"type": "Utilization", "averageUtilization": 80});
        json!({"type": "Resource", "resource": {"name": resource, "target": target}})
    };
    let of_container = |container: &str| {
        let target = json!({"type": "Utilization", "averageUtilization": 80});
        let metric = json!({"name": "cpu", "container": container, "target": target});
        json!({"type": "ContainerResource", "containerResource": metric})
    };
    assert_eq!(held("Hold", share("cpu")), [ResourceName::Cpu]);
    assert_eq!(held("Hold", share("memory")), [ResourceName::Memory]);
    assert_eq!(held("Hold", of_container("app")), [ResourceName::Cpu]);
    assert_eq!(held("Hold", of_container("other")), []);
    assert_eq!(held("Rescale", share("cpu")), []);
}

#[test]
fn what_the_policy_does_not_size_stays() {
    let mut place = Place::new();
    place.policy(json!({"containers": [{"name": "*", "resources": ["memory"]}]}));
    place.pod("web-1", "Burstable", json!({}));
    place.use_for(30, "100m", "120Mi");
    let plan = place.plan();
    let container = &only(&plan).status.containers[0];
    assert_eq!(container.target.requests.cpu, container.current.requests.cpu);
    assert_ne!(container.target.requests.memory, container.current.requests.memory);
    assert_eq!(only(&plan).status.summary.cpu.as_deref(), Some("500m → 500m"));
}

#[test]
fn a_workload_at_rest_keeps_its_row_and_one_that_is_gone_does_not() {
    let mut place = Place::new();
    place.policy(json!({}));
    let cron = object("CronJob", "nightly").uid("c");
    place.add::<Slim<CronJob>>(cron.clone());
    let job = object("Job", "nightly-1").uid("j").controlled_by("CronJob", "nightly", "c");
    place.add::<Slim<Job>>(job);
    let pod = testing::pod("nightly-1-x").uid("p").controlled_by("Job", "nightly-1", "j").running();
    place.add::<LeanPod>(pod.clone());
    let first = place.plan();
    assert_eq!(&*first.writes.keys().next().unwrap().name, "cronjob-nightly");
    place.write(&first);
    place.index.delete(pod.clone().object::<LeanPod>(), NOW);
    let rest = place.plan();
    assert!(rest.removals.is_empty() && rest.standing.len() == 1, "{rest:?}");
    place.index.delete(cron.object::<Slim<CronJob>>(), NOW);
    assert_eq!(place.plan().removals.len(), 1);
    // A pod whose owner is not known yet may be just this workload's.
    place.add::<LeanPod>(pod.controlled_by("Job", "nightly-1", "unknown"));
    assert!(place.plan().removals.is_empty());
}

/// A pod that has ended, as it was killed for its memory.
fn killed(name: &str) -> Builder<testing::kind::Pod> {
    let killed = json!({"terminated": {"reason": "OOMKilled", "startedAt": "2027-01-15T07:59:58Z",
        "finishedAt": "2027-01-15T07:59:59Z", "containerID": "containerd://1"}});
    let app = container("app").requests("500m", "64Mi").with("/resources/limits/memory", "64Mi");
    let status = json!({"phase": "Failed", "containerStatuses": [{"name": "app", "state": killed}]});
    testing::pod(name).uid(name).containers([app]).status(status)
}

#[test]
fn a_job_whose_pods_die_within_seconds_has_a_row() {
    let mut place = Place::new();
    place.policy(json!({"mode": "Auto"}));
    let job = object("Job", "import").uid("j");
    place.add::<Slim<Job>>(job);
    place.add::<LeanPod>(killed("import-x").controlled_by("Job", "import", "j"));
    let plan = place.plan();
    let of: Vec<_> = plan.workloads.keys().map(|key| (&*key.kind, &*key.name)).collect();
    assert_eq!(of, [("Job", "import")]);
}

/// Stamped or resized pods run with what is recommended; only the template tells what a release would bring back.
#[test]
fn what_a_template_asks_for_is_said_where_pods_run_with_something_else() {
    let mut place = Place::new();
    place.policy(json!({}));
    let set = object("ReplicaSet", "web-7f").uid("web-7f").controlled_by("Deployment", "web", "web");
    place.add::<Slim<ReplicaSet>>(set);
    let pod = testing::pod("web-7f-1").uid("web-7f-1").controlled_by("ReplicaSet", "web-7f", "web-7f");
    let app = container("app").requests("500m", "256Mi").memory_limit("256Mi");
    place.add::<LeanPod>(pod.containers([app]).running());
    for (asked, said) in [
        (json!({"requests": {"cpu": 2}}), json!({"requests": {"cpu": "2"}, "limits": {}})),
        (json!({}), json!({"requests": {}, "limits": {}})),
        // A request that is left out is the limit.
        (json!({"requests": {"cpu": "0.5"}, "limits": {"memory": "256Mi"}}), Value::Null),
    ] {
        let app = container("app").resources(asked.clone());
        place.add::<Slim<Deployment>>(testing::deployment("web").uid("web").containers([app]));
        let plan = place.plan();
        let container = &only(&plan).status.containers[0];
        assert_eq!(json!(container.template), said, "{asked}");
        assert_eq!(json!(container.current.requests), json!({"cpu": "500m", "memory": "256Mi"}));
    }
}

#[test]
fn what_others_write_into_a_status_changes_nothing() {
    let mut place = Place::new();
    place.policy(json!({}));
    place.pod("web-1", "Burstable", json!({}));
    let mut plan = place.plan();
    let applied = condition(only(&plan), "Limited").clone();
    for write in plan.writes.values_mut() {
        write.status.conditions.push(Condition { type_: "Applied".to_owned(), ..applied.clone() });
        write.status.containers[0].reasons.clear();
    }
    place.write(&plan);
    assert!(place.plan().writes.is_empty());
    assert_eq!(Written::default().status, 0);
}
