//! How a pod fares, as far as it bears on whether it may be changed: its resize, its containers' restarts, and what
//! people have written on it.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::api::resource::Quantity as RawQuantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::Index;
use super::facts::{MemoryEvent, MemoryShortage, Shape, Size, Sizes};
use super::shortages::timestamp;
use crate::admit::{self, Stamp};
use crate::api::BoostDuration;
use crate::cluster::pods::{LeanContainer, LeanContainerStatus, LeanPod, LeanResources};
use crate::units::{Bytes, Quantity, Timestamp};

/// The annotation (or label) that keeps plumb's hands off a pod, a workload, a namespace or what a policy selects.
pub const PAUSE: &str = "plumb.dev/pause";
/// The cluster autoscaler's word for a pod that must not be evicted; ours to respect as well.
const SAFE_TO_EVICT: &str = "cluster-autoscaler.kubernetes.io/safe-to-evict";
/// The annotation that admission has stamped.
const SIZED: &str = admit::ANNOTATION;
/// The labels that tell one rollout's pods from the next one's.
const REVISIONS: [&str; 4] = [
    "pod-template-hash",
    "rollouts-pod-template-hash",
    "leaderworkerset.sigs.k8s.io/template-revision-hash",
    "controller-revision-hash",
];

/// Twice the kubelet's longest back-off, in seconds.
const FORGIVEN: i64 = 600;

/// How a pod fares.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Life {
    /// When it was made.
    pub created: Option<Timestamp>,
    /// It counts as ready.
    pub ready: bool,
    /// It is on its way out.
    pub leaving: bool,
    /// Somebody has forbidden to evict it.
    pub may_not_be_evicted: bool,
    /// Somebody has asked to leave it alone.
    pub paused: bool,
    /// Admission has given it its sizes, and nobody has changed them on the way.
    pub stamped: bool,
    /// Which revision of its workload's template it is of; `None` where nothing says so.
    pub revision: Option<Arc<str>>,
    /// How its resize fares.
    pub resize: ResizeState,
    /// The scheduler finds no node with as much CPU or memory.
    pub unschedulable: bool,
    /// What was done to its sizes; `None` of most pods, which then take a word for it.
    pub touched: Option<Box<Touched>>,
    /// What it asks for, by container, where that is not what it was given.
    pub asked: Option<Box<[Sizes]>>,
    /// How its containers fare, in the order of its shape; `None` where all run and never did otherwise.
    pub containers: Option<Box<[ContainerLife]>>,
}

/// What was done to a pod's sizes since it was written down.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Touched {
    /// When it was last asked for another size, by whomever.
    pub resized: Option<Timestamp>,
    /// The field manager of that, where it is another controller's.
    pub resized_by_other: Option<Arc<str>>,
    /// Why the kubelet can never do the resize, in its own words.
    pub infeasible: Option<Box<str>>,
    /// Its containers that have more while they start up.
    pub boosts: Box<[Boost]>,
}

/// More CPU of a container that starts up, which it still has.
#[derive(Clone, Debug, PartialEq)]
pub struct Boost {
    /// The container's place in the shape.
    pub place: usize,
    /// What it is to have then, of CPU.
    pub then: Sizes,
    /// For how long after its start; `None`: until the pod is ready.
    pub seconds: Option<i64>,
    /// When it was started last; `None` while it does not run.
    pub started: Option<Timestamp>,
}

/// How a resize fares.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ResizeState {
    /// None is under way.
    #[default]
    None,
    /// The kubelet has not spoken of what was asked last.
    Asked,
    /// The kubelet is at it.
    InProgress,
    /// The kubelet is at it and fails.
    Failing,
    /// The node has no room now.
    Deferred,
    /// The node can never hold it.
    Infeasible,
}

/// How long the kubelet waits before it starts a container again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BackOffState {
    /// Not at all: it runs, or is started at once.
    #[default]
    None,
    /// It has failed again and again, and its status says as yet that it has ended.
    Delayed,
    /// Its status says CrashLoopBackOff.
    Shown,
}

/// How one container fares.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ContainerLife {
    /// How often it was started again.
    pub restarts: u32,
    /// It does not run, though it should.
    pub down: bool,
    /// How long the kubelet waits before it starts it again.
    pub back_off: BackOffState,
    /// When the kernel killed it last for its memory.
    pub oom_killed: Option<Timestamp>,
}

/// The last limit that a container was held to for certain.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct FirmLimit {
    container: Arc<str>,
    limit: Bytes,
    /// When it was killed under it, or raised above it.
    at: Timestamp,
    killed: bool,
    /// How many kills since were put down to that limit, though the status named a higher one.
    doubted: u8,
}

impl FirmLimit {
    /// For how long what comes after is put down to it: a container's restarts are delayed by up to five minutes, while
    /// a raise of one that runs is in force within seconds.
    fn seconds(&self) -> i64 {
        if self.killed { 600 } else { 60 }
    }
}

/// Of a container that dies again and again, a limit that was raised in place may not be in force: on Kubernetes up to
/// 1.36.3 the pod's cgroup keeps the old one, whatever the status says (kubernetes#138760), and later ones raise it
/// only at the container's next start. So what it is killed under soon after is taken for the limit before; else each
/// kill would teach a need that nobody has seen. After a few such kills the status is believed.
pub(super) fn doubt(event: &mut MemoryEvent, firm: &mut Vec<FirmLimit>) {
    const MOST: u8 = 5;
    let MemoryShortage::OomKilled { limit: Some(limit), .. } = &mut event.what else { return };
    let (container, at) = (Arc::clone(&event.container), event.at);
    let Some(known) = firm.iter_mut().find(|known| known.container == event.container) else {
        firm.push(FirmLimit { container, limit: *limit, at, killed: true, doubted: 0 });
        return;
    };
    if *limit > known.limit && at.seconds_since(known.at) < known.seconds() && known.doubted < MOST {
        known.doubted += 1;
        *limit = known.limit;
    } else {
        (known.limit, known.doubted) = (*limit, 0);
    }
    (known.at, known.killed) = (at, true);
}

/// Notes of each container whose limit is raised what it was before: a kill that is told of next may have come first.
pub(super) fn note_raises(before: &Shape, after: &Shape, firm: &mut Vec<FirmLimit>, now: Timestamp) {
    firm.retain(|known| known.killed || now.seconds_since(known.at) < known.seconds());
    for (before, after) in before.containers.iter().zip(&after.containers) {
        let (Some(limit), Some(raised)) = (before.sizes.limits.memory, after.sizes.limits.memory) else {
            continue;
        };
        let is_known = firm.iter().any(|known| known.container == after.name);
        if raised > limit && before.name == after.name && !is_known {
            let container = Arc::clone(&after.name);
            firm.push(FirmLimit { container, limit, at: now, killed: false, doubted: 0 });
        }
    }
}

impl Index {
    pub(super) fn life(&mut self, pod: &LeanPod) -> Life {
        let metadata = &pod.metadata;
        let annotation = |name: &str| metadata.annotations.as_ref().and_then(|all| all.get(name));
        let label = |name: &str| metadata.labels.as_ref().and_then(|all| all.get(name));
        let is = |type_: &str| pod.status.conditions.iter().any(|c| c.type_ == type_ && c.status == "True");
        let paused = annotation(PAUSE).or_else(|| label(PAUSE)).is_some_and(|value| value == "true");
        let revision = REVISIONS.iter().find_map(|name| label(name)).cloned();
        Life {
            created: metadata.creation_timestamp.as_ref().map(|time| Timestamp(time.0.as_second())),
            ready: is("Ready"),
            leaving: metadata.deletion_timestamp.is_some(),
            may_not_be_evicted: annotation(SAFE_TO_EVICT).is_some_and(|value| value == "false"),
            paused,
            stamped: annotation(SIZED).is_some_and(|text| came_up_with(text, pod)),
            revision: revision.map(|revision| self.name(&revision)),
            resize: resize_state(pod),
            unschedulable: is_unschedulable(pod),
            touched: self.touched(pod),
            asked: asked(pod),
            containers: containers(pod),
        }
    }
}

impl Index {
    fn touched(&mut self, pod: &LeanPod) -> Option<Box<Touched>> {
        let by = resized_by_other(&pod.metadata).map(|manager| self.name(manager));
        let touched = Touched {
            resized: resized(&pod.metadata),
            resized_by_other: by,
            infeasible: infeasible(pod),
            boosts: boosts(pod),
        };
        (touched != Touched::default()).then(|| Box::new(touched))
    }
}

/// KEP-1287: the conditions PodResizePending (Deferred, Infeasible) and PodResizeInProgress (with reason Error where
/// the kubelet fails), of which only those count that were written after the last change of the spec.
fn resize_state(pod: &LeanPod) -> ResizeState {
    let condition = |type_: &str| {
        let found = pod.status.conditions.iter().find(|c| c.type_ == type_ && c.status == "True");
        found.map(|condition| condition.reason.as_deref().unwrap_or_default())
    };
    let behind = pod.status.observed_generation.is_some_and(|seen| Some(seen) < pod.metadata.generation);
    match (condition("PodResizePending"), condition("PodResizeInProgress")) {
        _ if behind => ResizeState::Asked,
        (Some("Infeasible"), _) => ResizeState::Infeasible,
        (Some(_), _) => ResizeState::Deferred,
        (None, Some("Error")) => ResizeState::Failing,
        (None, Some(_)) => ResizeState::InProgress,
        (None, None) => ResizeState::None,
    }
}

/// (Kubernetes: with swap, and with the static policies of the CPU and the memory manager, a container is not resized;
/// the kubelet's message says so.)
fn infeasible(pod: &LeanPod) -> Option<Box<str>> {
    let mut conditions = pod.status.conditions.iter();
    let pending = conditions.find(|c| c.type_ == "PodResizePending" && c.status == "True")?;
    let message = pending.message.as_deref().filter(|_| pending.reason.as_deref() == Some("Infeasible"))?;
    Some(message.chars().take(256).collect::<String>().into_boxed_str())
}

/// (Kubernetes: the scheduler's plugin NodeResourcesFit, whose words come with the condition PodScheduled.)
fn is_unschedulable(pod: &LeanPod) -> bool {
    let lacks =
        |message: &str| ["Insufficient cpu", "Insufficient memory"].iter().any(|what| message.contains(what));
    pod.status.conditions.iter().any(|condition| {
        condition.type_ == "PodScheduled"
            && condition.status == "False"
            && condition.reason.as_deref() == Some("Unschedulable")
            && condition.message.as_deref().is_some_and(lacks)
    })
}

/// Whether a pod has what admission has noted on it: what admits after us may have changed that again. What was resized
/// since says nothing of it any more.
fn came_up_with(text: &str, pod: &LeanPod) -> bool {
    let Some(stamp) = Stamp::read(text).filter(|_| resized(&pod.metadata).is_none()) else { return true };
    in_order(pod).all(|(container, _)| {
        let Some(noted) = stamp.containers.get(&container.name) else { return true };
        let lent = noted.boost.as_ref().map(|boost| (&boost.requests, &boost.limits));
        let (cpu_requests, cpu_limits) = lent.unwrap_or((&noted.requests, &noted.limits));
        let LeanResources { requests, limits } = &container.resources;
        has(&cpu_requests.cpu, requests, "cpu")
            && has(&cpu_limits.cpu, limits, "cpu")
            && has(&noted.requests.memory, requests, "memory")
            && has(&noted.limits.memory, limits, "memory")
    })
}

/// Whether that much is stated, where something was noted at all.
fn has(noted: &Option<String>, stated: &BTreeMap<String, RawQuantity>, resource: &str) -> bool {
    let Some(noted) = noted else { return true };
    let read = |text: &str| text.parse::<Quantity>().ok();
    read(noted).is_some() && read(noted) == stated.get(resource).and_then(|stated| read(&stated.0))
}

/// As admission has noted them, of those containers that still ask for what was noted.
fn boosts(pod: &LeanPod) -> Box<[Boost]> {
    let annotation = pod.metadata.annotations.as_ref().and_then(|all| all.get(SIZED));
    let Some(stamp) = annotation.filter(|text| text.contains("\"boost\"")).and_then(|text| Stamp::read(text))
    else {
        return Box::default();
    };
    let milli = |text: &Option<String>| Some(text.as_ref()?.parse::<Quantity>().ok()?.as_cores().to_milli());
    let boost = |(place, (container, status)): (usize, (&LeanContainer, Option<&LeanContainerStatus>))| {
        let noted = stamp.containers.get(&container.name)?;
        let boost = noted.boost.as_ref()?;
        let asked = Sizes::of(&container.resources);
        let is =
            |noted: &Option<String>, asked: Size| milli(noted).is_some() && milli(noted) == asked.milli_cpu;
        if !is(&boost.requests.cpu, asked.requests) {
            return None;
        }
        let cpu = |text: &Option<String>| Size { milli_cpu: milli(text), memory: None };
        Some(Boost {
            place,
            then: Sizes { requests: cpu(&noted.requests.cpu), limits: cpu(&noted.limits.cpu) },
            seconds: match boost.duration.parse().ok()? {
                BoostDuration::UntilReady => None,
                BoostDuration::For(span) => Some(i64::try_from(span.seconds).unwrap_or(i64::MAX)),
            },
            started: status
                .and_then(|status| status.state.running.as_ref()?.started_at.as_deref())
                .and_then(timestamp),
        })
    };
    in_order(pod).enumerate().filter_map(boost).collect()
}

/// The API server notes who has written by which subresource, and when.
fn resizes(metadata: &ObjectMeta) -> impl Iterator<Item = (Timestamp, &str)> {
    let fields = metadata.managed_fields.iter().flatten();
    let resizes = fields.filter(|entry| entry.subresource.as_deref() == Some("resize"));
    resizes.filter_map(|entry| {
        let at = Timestamp(entry.time.as_ref()?.0.as_second());
        Some((at, entry.manager.as_deref().unwrap_or_default()))
    })
}

fn resized(metadata: &ObjectMeta) -> Option<Timestamp> {
    resizes(metadata).map(|(at, _)| at).max()
}

/// Who resized it last, where that is neither plumb nor a person: such a one does so again.
fn resized_by_other(metadata: &ObjectMeta) -> Option<&str> {
    let is_other = |manager: &str| !manager.starts_with("plumb") && !manager.starts_with("kubectl");
    let (_, manager) = resizes(metadata).max_by_key(|(at, manager)| (*at, is_other(manager)))?;
    Some(manager).filter(|manager| is_other(manager))
}

/// In the order of a shape: containers, then init containers.
fn in_order(pod: &LeanPod) -> impl Iterator<Item = (&LeanContainer, Option<&LeanContainerStatus>)> {
    let statuses = || pod.status.container_statuses.iter().chain(&pod.status.init_container_statuses);
    let all = pod.spec.containers.iter().chain(&pod.spec.init_containers);
    all.map(move |container| (container, statuses().find(|status| status.name == container.name)))
}

fn asked(pod: &LeanPod) -> Option<Box<[Sizes]>> {
    let differs = in_order(pod).any(|(container, status)| {
        status.is_some_and(|status| {
            Sizes::given(&container.resources, &status.resources)
                != Sizes::given(&container.resources, &container.resources)
        })
    });
    differs.then(|| in_order(pod).map(|(container, _)| Sizes::of(&container.resources)).collect())
}

fn containers(pod: &LeanPod) -> Option<Box<[ContainerLife]>> {
    let lives: Box<[ContainerLife]> = in_order(pod).map(|(_, status)| life_of(status)).collect();
    lives.iter().any(|life| *life != ContainerLife::default()).then_some(lives)
}

/// The kubelet starts what has run for ten minutes again at once, however often it failed before.
fn ran_long(status: &LeanContainerStatus) -> bool {
    let Some(end) = &status.state.terminated else { return false };
    let [began, ended] = [&end.started_at, &end.finished_at].map(|at| at.as_deref().and_then(timestamp));
    began.zip(ended).is_some_and(|(began, ended)| ended.seconds_since(began) > FORGIVEN)
}

fn life_of(status: Option<&LeanContainerStatus>) -> ContainerLife {
    let Some(status) = status else { return ContainerLife::default() };
    let backs_off = |reason: &str| reason == "CrashLoopBackOff";
    let waits = status.state.waiting.as_ref().and_then(|waiting| waiting.reason.as_deref());
    let ended = [&status.state, &status.last_state].into_iter().filter_map(|state| state.terminated.as_ref());
    let killed = ended.filter(|end| end.reason.as_deref() == Some("OOMKilled"));
    let failed =
        status.state.terminated.as_ref().is_some_and(|end| end.reason.as_deref() != Some("Completed"));
    let back_off = match (waits.is_some_and(backs_off), failed && status.restart_count > 0) {
        (true, _) => BackOffState::Shown,
        (false, true) if !ran_long(status) => BackOffState::Delayed,
        (false, _) => BackOffState::None,
    };
    ContainerLife {
        restarts: u32::try_from(status.restart_count).unwrap_or(0),
        down: waits.is_some_and(backs_off) || failed,
        back_off,
        oom_killed: killed.filter_map(|end| end.finished_at.as_deref().and_then(timestamp)).max(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::testing::{container, pod, resources};

    /// A pod that was given 180m and 300Mi, and states this.
    fn stamped(requests: &Value, resized: bool) -> bool {
        let note = json!({"recommendation": "deployment-web", "at": "2026-11-23T04:00:00Z",
                          "containers": {"app": resources("180m", "300Mi", "400Mi")}});
        let fields = json!([{"subresource": "resize", "time": "2026-11-23T05:00:00Z", "manager": "m"}]);
        let app = container("app").memory_limit("400Mi").with("/resources/requests", requests.clone());
        let injected = container("injected").with("/resources/requests/cpu", "1");
        let pod = pod("web-1")
            .annotation(SIZED, &note.to_string())
            .containers([app, injected])
            .with("/metadata/managedFields", if resized { fields } else { json!([]) });
        Index::default().life(&pod.object()).stamped
    }

    #[test]
    fn who_resized_a_pod_last_is_known_where_it_is_another_controller() {
        let by = |entries: &[(&str, u32)]| {
            let entry = |(manager, second): &(&str, u32)| json!({"subresource": "resize", "manager": manager, "time": format!("2026-11-23T05:00:{second:02}Z")});
            let fields: Vec<_> = entries.iter().map(entry).collect();
            let touched =
                Index::default().life(&pod("p").with("/metadata/managedFields", fields).object()).touched;
            touched.and_then(|touched| touched.resized_by_other)
        };
        assert_eq!(by(&[("kruise-manager", 9), ("plumb-updater", 3)]).as_deref(), Some("kruise-manager"));
        assert_eq!(by(&[("kruise-manager", 3), ("plumb-updater", 9)]), None);
        // Within one second nobody can tell; it has put back what was just given.
        assert_eq!(by(&[("kruise-manager", 3), ("plumb-updater", 3)]).as_deref(), Some("kruise-manager"));
        assert_eq!(by(&[("kubectl-patch", 3)]), None, "a person does so once");
        assert_eq!(by(&[]), None);
    }

    #[test]
    fn what_was_changed_on_the_way_is_not_what_was_given() {
        assert!(stamped(&json!({"cpu": "0.18", "memory": "300Mi"}), false), "the same, written otherwise");
        assert!(!stamped(&json!({"cpu": "1", "memory": "300Mi"}), false));
        assert!(!stamped(&json!({"memory": "300Mi"}), false));
        assert!(stamped(&json!({"cpu": "1", "memory": "300Mi"}), true), "it was resized since");
    }
}
