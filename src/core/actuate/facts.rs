//! What the updater decides by: workloads, their pods, and how each fares.

use std::sync::Arc;

use super::given::Given;
use super::guard::Remembered;
use super::reason::Hold;
use super::rescale::Scaler;
use super::step::Pace;
use crate::policy::{Amounts, Class, ContainerSize, NamespaceBounds, Recommendation};
use crate::units::{Cores, Timestamp};

/// An OOM kill that is longer ago than this is no emergency any more, in seconds.
pub(super) const EMERGENCY: i64 = 900;

/// A pod's unique id.
pub type PodId = u128;

/// Sizes by container.
pub type SizesByName = Vec<(Arc<str>, ContainerSize)>;

/// What a workload's pods had before they were given what was meant for them last.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Before {
    /// What they had.
    pub had: SizesByName,
    /// What was meant for them.
    pub meant: SizesByName,
}

/// A person has asked for what was before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rollback {
    /// When.
    pub at: Timestamp,
    /// Nothing is changed until then.
    pub until: Timestamp,
    /// How often in a row.
    pub times: u32,
}

/// A workload, its pods, and what is recommended for them.
#[derive(Clone, Debug, Default)]
pub struct Workload {
    /// Unique among workloads.
    pub key: Arc<str>,
    /// Its namespace.
    pub namespace: Arc<str>,
    /// Replicas that are asked for; `None` where that is not known.
    pub replicas: Option<usize>,
    /// What each container should have.
    pub advice: Vec<(Arc<str>, Recommendation)>,
    /// Since when new pods are given that; `None` where they are not, or where that is not known.
    pub given_since: Option<Timestamp>,
    /// How its pods may be changed.
    pub rules: Rules,
    /// What scales it by the use of its requests, and may be moved with them.
    pub scalers: Vec<Scaler>,
    /// Each pod is bound to its node, and is never moved to another.
    pub bound_to_nodes: bool,
    /// Its rollouts pause between steps, with all pods ready.
    pub rolls_out_in_steps: bool,
    /// What its namespace and its nodes allow its pods.
    pub around: Around,
    /// What its pods had before, as is known from before the start of the process.
    pub before: Option<Before>,
    /// What of its first pod is known from before the start of the process.
    pub remembered: Remembered,
    /// Somebody wants that back.
    pub rollback: Option<Rollback>,
    /// New pods of it are refused.
    pub refused: Option<RefusedCreation>,
    /// Its pods.
    pub pods: Vec<Pod>,
}

/// Refusals of new pods by the API server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedCreation {
    /// The first one.
    pub first: Timestamp,
    /// The last one.
    pub last: Timestamp,
    /// Words of the API server.
    pub why: Arc<str>,
}

/// What its namespace and its nodes allow a workload's pods.
#[derive(Clone, Debug, Default)]
pub struct Around {
    /// What LimitRanges and ResourceQuotas allow.
    pub bounds: NamespaceBounds,
    /// CPU and memory that are free on nodes that its pods may use, each of one node; `None`: not known.
    pub free: Option<Arc<[Amounts]>>,
    /// Sizes that admission gives to new pods by now.
    pub gives: Given,
    /// Sizes that its template states; empty where that is not known.
    pub template: SizesByName,
    /// Admission is never asked about its pods: the cluster's own, and plumb's.
    pub left_out: bool,
}

/// By which means a pod gets its new size.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Method {
    /// In place, or not at all.
    InPlace,
    /// In place, and by eviction where that cannot be.
    #[default]
    InPlaceOrEvict,
    /// By eviction.
    Evict,
    /// Only when it is created.
    OnCreate,
}

/// How the pods of a workload may be changed.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// By which means.
    pub method: Method,
    /// With fewer pods than this none is evicted.
    pub min_replicas: usize,
    /// How many pods may be disrupted, or be on their way to another size, at once.
    pub max_unavailable: MaxUnavailable,
    /// When a change is worth making, and how far one goes.
    pub pace: Pace,
    /// Seconds for which the first pod is watched before the others follow.
    pub observe: i64,
    /// Now is a time at which pods may be changed.
    pub open: bool,
    /// Somebody has asked to leave it alone.
    pub paused: bool,
    /// A VerticalPodAutoscaler that acts has it for its own.
    pub owned_by_vpa: bool,
    /// Another controller has resized pods of it since plumb did, and would put the next change back, too.
    pub resized_by_other: bool,
    /// No policy acts on it any more: only what was lent for the start is taken back.
    pub loans_only: bool,
    /// A HorizontalPodAutoscaler scales by the use of CPU against its request.
    pub cpu_scaled: bool,
    /// The same for memory.
    pub memory_scaled: bool,
}

impl Default for Rules {
    /// Those of a policy that says nothing, at a time at which pods may be changed.
    fn default() -> Self {
        Self {
            method: Method::default(),
            min_replicas: 2,
            max_unavailable: MaxUnavailable::Percent(25),
            pace: Pace::default(),
            observe: 300,
            open: true,
            paused: false,
            owned_by_vpa: false,
            resized_by_other: false,
            loans_only: false,
            cpu_scaled: false,
            memory_scaled: false,
        }
    }
}

impl Rules {
    /// Why its sizes are another's to decide; `None` where they are plumb's.
    #[must_use]
    pub fn sized_by_other(&self) -> Option<Hold> {
        if self.owned_by_vpa {
            Some(Hold::OwnedByVpa)
        } else {
            self.resized_by_other.then_some(Hold::ResizedByOther)
        }
    }
}

/// A number of pods, or a share of a workload's pods in percent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MaxUnavailable {
    /// So many.
    Count(usize),
    /// So many of a hundred, rounded down, but one at least where it is not 0.
    Percent(usize),
    /// The lesser of a number and of a share in percent.
    Lesser(usize, usize),
}

impl MaxUnavailable {
    /// Of so many pods.
    #[must_use]
    pub fn of(self, pods: usize) -> usize {
        match self {
            Self::Count(count) => count,
            Self::Percent(0) => 0,
            Self::Percent(percent) => (pods.saturating_mul(percent) / 100).max(1),
            Self::Lesser(count, percent) => count.min(Self::Percent(percent).of(pods)),
        }
    }

    /// Answers what neither of the two exceeds, for any number of pods.
    #[must_use]
    pub fn within(self, other: Self) -> Self {
        let least = |a: Option<usize>, b: Option<usize>| a.into_iter().chain(b).min();
        let (count, percent) = self.parts();
        let (other_count, other_percent) = other.parts();
        match (least(count, other_count), least(percent, other_percent)) {
            (Some(count), Some(percent)) => Self::Lesser(count, percent),
            (Some(count), None) => Self::Count(count),
            (None, percent) => Self::Percent(percent.unwrap_or(0)),
        }
    }

    fn parts(self) -> (Option<usize>, Option<usize>) {
        match self {
            Self::Count(count) => (Some(count), None),
            Self::Percent(percent) => (None, Some(percent)),
            Self::Lesser(count, percent) => (Some(count), Some(percent)),
        }
    }
}

/// How a pod's resize fares, as its status says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Resize {
    /// None is under way.
    #[default]
    None,
    /// Asked for or under way.
    UnderWay,
    /// The kubelet fails at it.
    Failing,
    /// The node has no room now.
    Deferred,
    /// The node can never hold it.
    Infeasible,
}

/// One pod.
#[derive(Clone, Debug, Default)]
pub struct Pod {
    /// Unique id.
    pub id: PodId,
    /// Where it runs.
    pub node: Option<Arc<str>>,
    /// Its containers run, or did so before.
    pub running: bool,
    /// It counts as ready.
    pub ready: bool,
    /// It is on its way out.
    pub leaving: bool,
    /// Something makes another one in its place.
    pub managed: bool,
    /// Somebody has forbidden to evict it.
    pub may_not_be_evicted: bool,
    /// Somebody has asked to leave it alone.
    pub paused: bool,
    /// Admission has given it its sizes.
    pub stamped: bool,
    /// When it was made.
    pub created: Option<Timestamp>,
    /// The revision of the workload's template that it is of.
    pub revision: Option<Arc<str>>,
    /// How its resize fares.
    pub resize: Resize,
    /// When it was last asked for another size, as its API server knows.
    pub resized: Option<Timestamp>,
    /// Its quality of service class.
    pub class: Class,
    /// It states resources as a whole, beside those of its containers.
    pub sized_as_whole: bool,
    /// How it waits for CPU; `None` where nobody measures it.
    pub stalled: Option<Stalled>,
    /// What of nodes it needs and has.
    pub place: Place,
    /// Its containers that keep running.
    pub containers: Vec<Container>,
    /// Its init containers that end.
    pub inits: Vec<Container>,
}

/// What of nodes a pod needs beside its containers that keep running, and has.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Place {
    /// What is free on its own node, its own share included; `None` where no such pod may come there again.
    pub home: Option<Amounts>,
    /// What its init containers need while they run.
    pub first: Amounts,
    /// What its RuntimeClass takes beside its containers.
    pub overhead: Amounts,
    /// The scheduler finds no node that has as much CPU or memory.
    pub unschedulable: bool,
}

/// One container.
#[derive(Clone, Debug, Default)]
pub struct Container {
    /// Name.
    pub name: Arc<str>,
    /// It is an init container that keeps running.
    pub sidecar: bool,
    /// What the kubelet has given it.
    pub given: ContainerSize,
    /// What the pod asks for.
    pub asked: ContainerSize,
    /// It has more CPU while it starts up.
    pub boost: Option<Boost>,
    /// A HorizontalPodAutoscaler scales by the use of CPU of this container against its request.
    pub cpu_scaled: bool,
    /// The same for memory.
    pub memory_scaled: bool,
    /// A resize of its CPU restarts it.
    pub cpu_restarts: bool,
    /// A resize of its memory restarts it.
    pub memory_restarts: bool,
    /// How often it was started again.
    pub restarts: u32,
    /// It does not run, though it should.
    pub down: bool,
    /// How long the kubelet waits before it starts it again.
    pub back_off: BackOff,
    /// When the kernel killed it last for its memory.
    pub oom_killed: Option<Timestamp>,
}

/// How long the kubelet waits before it starts a container again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BackOff {
    /// Not at all: it runs, or is started at once.
    #[default]
    None,
    /// It has failed again and again, and its status says as yet that it has ended. (On Kubernetes up to 1.36.3 a
    /// resize does not take effect then: kubernetes#138760.)
    Delayed,
    /// Its status says CrashLoopBackOff.
    Shown,
}

/// The share of the time in which a pod would have used CPU and got none, 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Stalled {
    /// Before it was changed.
    pub before: f32,
    /// Now.
    pub now: f32,
}

/// More CPU of a container that starts up.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Boost {
    /// The CPU request that it is to have then.
    pub cpu_request: Option<Cores>,
    /// The CPU limit that it is to have then.
    pub cpu_limit: Option<Cores>,
    /// It has started up.
    pub over: bool,
}

impl Pod {
    /// The newest OOM kill of its containers.
    #[must_use]
    pub fn oom_killed(&self) -> Option<Timestamp> {
        self.all_containers().filter_map(|container| container.oom_killed).max()
    }

    /// Its containers, and its init containers that end.
    pub fn all_containers(&self) -> impl Iterator<Item = &Container> {
        self.containers.iter().chain(&self.inits)
    }

    /// It is not Ready, and was OOM killed a short time ago.
    #[must_use]
    pub fn is_healing(&self, now: Timestamp) -> bool {
        !self.ready && self.oom_killed().is_some_and(|at| now.seconds_since(at) < EMERGENCY)
    }

    /// Restarts of its containers, all together.
    #[must_use]
    pub fn restarts(&self) -> u32 {
        self.containers.iter().fold(0, |sum, container| sum.saturating_add(container.restarts))
    }

    /// Its resize is under way, and may restart containers that still run.
    #[must_use]
    pub fn is_restarting(&self) -> bool {
        let restarts = |container: &Container| container.cpu_restarts || container.memory_restarts;
        self.resize == Resize::UnderWay && self.containers.iter().any(restarts)
    }

    /// It has not come to run: a container that has to run first was killed for its memory and is down.
    #[must_use]
    pub fn is_stuck(&self) -> bool {
        let killed = |container: &Container| container.down && container.oom_killed.is_some();
        !self.running && self.node.is_some() && self.all_containers().any(killed)
    }

    /// It serves: it is ready and stays.
    #[must_use]
    pub fn is_available(&self) -> bool {
        self.ready && !self.leaving
    }
}

impl Workload {
    /// Pods that are not on their way out.
    pub fn staying(&self) -> impl Iterator<Item = &Pod> {
        self.pods.iter().filter(|pod| !pod.leaving)
    }

    /// Replicas that are asked for; where nobody says, the pods that are there.
    #[must_use]
    pub fn wanted(&self) -> usize {
        self.replicas.unwrap_or_else(|| self.staying().count())
    }

    /// Pods of more than one revision of the template are there: they are being replaced.
    #[must_use]
    pub fn is_rolling_out(&self) -> bool {
        // A DaemonSet with rollout OnDelete keeps old pods for good; so may a StatefulSet with a partition. What is
        // under way shows in pods that are not ready yet.
        let mut revisions = self.staying().filter_map(|pod| pod.revision.as_ref());
        let first = revisions.next();
        let several = revisions.any(|revision| Some(revision) != first);
        several && (self.rolls_out_in_steps || self.pods.iter().any(|pod| !pod.is_available()))
    }

    /// The pod that was made last.
    #[must_use]
    pub fn newest(&self) -> Option<&Pod> {
        self.staying().max_by_key(|pod| (pod.created, pod.id))
    }

    /// Whether a HorizontalPodAutoscaler scales by that container's CPU.
    #[must_use]
    pub fn scales_by_cpu(&self, container: &Container) -> bool {
        self.rules.cpu_scaled || container.cpu_scaled
    }

    /// Whether one scales by that container's memory.
    #[must_use]
    pub fn scales_by_memory(&self, container: &Container) -> bool {
        self.rules.memory_scaled || container.memory_scaled
    }

    /// What is recommended for a container.
    #[must_use]
    pub fn advice(&self, container: &str) -> Option<&Recommendation> {
        self.advice.iter().find(|(name, _)| &**name == container).map(|(_, advice)| advice)
    }
}

#[cfg(test)]
mod tests {
    use super::MaxUnavailable::{self, Count, Percent};

    #[test]
    fn of_two_bounds_the_lesser_holds_for_any_number_of_pods() {
        let bounds = [Count(0), Count(1), Count(7), Percent(0), Percent(10), Percent(60), Percent(100)];
        for (a, b) in bounds.iter().flat_map(|a| bounds.iter().map(move |b| (*a, *b))) {
            let both = MaxUnavailable::within(a, b);
            for pods in [0, 1, 3, 10, 40] {
                assert_eq!(both.of(pods), a.of(pods).min(b.of(pods)), "{a:?} {b:?} of {pods}");
                assert_eq!(both.within(a).of(pods), both.of(pods));
            }
        }
    }
}
