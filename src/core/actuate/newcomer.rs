//! Pods that came up with the sizes that admission gave them and do not come to serve. They are watched like resized ones:
//! their harm is noted by the same guard, and new pods are given what was before.

use super::facts::{Before, Container, Pod, Workload};
use super::given::Given;
use super::pod::{PodState, Wish};
use super::reason::Hold;
use crate::policy::ContainerSize;
use crate::units::{Bytes, Timestamp};

/// A pod that has waited for a node for so long is stranded, in seconds: an autoscaler of nodes takes a minute or two.
const WAITS: i64 = 120;
/// Restarts from which on a pod fails, and the longest mean time between them, in seconds: a back-off of five minutes
/// and a start of as much. A pod that has served for days and then fails is no newcomer.
const RESTARTS: u32 = 2;
const APART: i64 = 600;
/// Ages at which a pod that was never ready is late, in seconds: a Deployment's rollout has as long by default.
const LATE: std::ops::Range<i64> = 600..1800;
/// Refusals over so many seconds are no hiccup. The slowest controller tries again within twenty minutes.
const REFUSED_FOR: i64 = 10;
const TRIES_AGAIN: i64 = 1200;

/// Harm that is seen in new pods.
pub(super) struct Trouble<'a> {
    pub(super) evidence: String,
    pub(super) symptom: Symptom,
    /// Those that show it.
    pub(super) pods: Vec<&'a Pod>,
}

/// Kinds of harm to new pods.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Symptom {
    /// The API server creates none.
    Refused,
    /// Containers are restarted again and again, and not for their memory.
    Fails,
    /// No node has room.
    Stranded,
    /// The pod runs and is never ready.
    Late,
}

impl Trouble<'_> {
    /// Sizes that do better, as far as is known before they are tried.
    pub(super) fn remedy(&self, before: Option<&Before>) -> Given {
        if self.symptom == Symptom::Refused || before.is_none() { Given::Nothing } else { Given::Previous }
    }

    /// A pod shows it that was made since then.
    pub(super) fn shows_since(&self, at: Timestamp) -> bool {
        self.pods.iter().any(|pod| pod.created.is_some_and(|created| created > at))
    }

    /// Its pods serve nobody until others come in their place.
    pub(super) fn replaces(&self, pod: &Pod) -> bool {
        self.symptom != Symptom::Late && self.pods.iter().any(|other| other.id == pod.id)
    }
}

/// Looks for harm to new pods. `was_ready`: whether a pod was seen to be ready; `again`: new pods have come to harm before.
pub(super) fn trouble<'a>(
    workload: &'a Workload,
    before: Option<&Before>,
    was_ready: impl Fn(&Pod) -> bool,
    again: bool,
    now: Timestamp,
) -> Option<Trouble<'a>> {
    if let Some(why) = refusal(workload, again, now) {
        let evidence = format!("new pods with the recommended size are refused: {why}");
        return Some(Trouble { evidence, symptom: Symptom::Refused, pods: Vec::new() });
    }
    let new = || workload.staying().filter(|pod| pod.stamped && pod.resized.is_none());
    let own = |fails: &dyn Fn(&Pod) -> bool| workload.staying().any(|pod| !pod.stamped && fails(pod));
    let fails = |pod: &Pod| loops(pod, now).is_some();
    let failing: Vec<_> = new().filter(|pod| fails(pod)).collect();
    // Where a pod fails as well that has what its template says, the size is not why.
    if let (Some(first), false) = (failing.first().and_then(|pod| loops(pod, now)), own(&fails)) {
        let (restarts, age) = first;
        let evidence = format!("a new pod's containers were restarted {restarts} times within {age} s");
        return Some(Trouble { evidence, symptom: Symptom::Fails, pods: failing });
    }
    let stranded: Vec<_> = new().filter(|pod| is_stranded(workload, pod, before, now)).collect();
    if !stranded.is_empty() {
        let evidence = "no node has room for a new pod at the recommended size".to_owned();
        return Some(Trouble { evidence, symptom: Symptom::Stranded, pods: stranded });
    }
    let waits = |pod: &Pod| !pod.ready && pod.running && pod.restarts() == 0 && !was_ready(pod);
    let late = |pod: &Pod| waits(pod) && age(pod, now).is_some_and(|age| LATE.contains(&age));
    let late_pods: Vec<_> =
        new().filter(|pod| late(pod) && before.is_none_or(|before| has_less(pod, before))).collect();
    // What older pods lack too is no matter of size.
    let older = |pod: &Pod| !pod.ready && age(pod, now).is_some_and(|age| age >= LATE.end);
    if late_pods.is_empty() || own(&late) || workload.staying().any(older) {
        return None;
    }
    let evidence = format!("a new pod has not become ready within {} s", LATE.start);
    Some(Trouble { evidence, symptom: Symptom::Late, pods: late_pods })
}

fn age(pod: &Pod, now: Timestamp) -> Option<i64> {
    pod.created.map(|created| now.seconds_since(created))
}

/// Refusals of new pods that have gone on for a while, while new pods are given sizes, and none was created since. What
/// was refused before that is refused for another reason, unless it was found to be refused for them: `again`. An event
/// keeps its first time for as long as its controller tries.
fn refusal(workload: &Workload, again: bool, now: Timestamp) -> Option<&str> {
    let refused = workload.refused.as_ref().filter(|_| workload.around.gives != Given::Nothing)?;
    let given = workload.given_since.unwrap_or(Timestamp(i64::MIN));
    let goes_on = (again || refused.first >= given)
        && refused.last.seconds_since(refused.first.max(given)) >= REFUSED_FOR
        && now.seconds_since(refused.last) < TRIES_AGAIN;
    let created = workload.newest().is_some_and(|newest| newest.created >= Some(refused.last));
    (goes_on && !created).then_some(&*refused.why)
}

/// Restarts and age of a pod whose containers are restarted again and again since it was made. Kills for memory have an
/// answer of their own.
fn loops(pod: &Pod, now: Timestamp) -> Option<(u32, i64)> {
    let (restarts, age) = (pod.restarts(), age(pod, now)?);
    let often = restarts >= RESTARTS && age <= i64::from(restarts).saturating_mul(APART);
    (often && pod.oom_killed().is_none()).then_some((restarts, age))
}

/// True where admission gave a pod more than its workload had before, and the scheduler finds no node for that.
fn is_stranded(workload: &Workload, pod: &Pod, before: Option<&Before>, now: Timestamp) -> bool {
    let waits = age(pod, now).is_some_and(|age| age >= WAITS);
    pod.place.unschedulable && !pod.running && waits && has_more(workload, pod, before)
}

/// Compared with what it had before, or else with what its template says. Of a container that was not there before, nobody
/// knows that what its template asks for would fit.
fn has_more(workload: &Workload, pod: &Pod, before: Option<&Before>) -> bool {
    pod.containers.iter().any(|container| match before {
        Some(before) => had(container, before).is_some_and(|had| exceeds(&container.asked, had)),
        None => templated(workload, container).is_none_or(|own| exceeds(&container.asked, &own)),
    })
}

/// What a container is created with as its template says, where that is known: a request that is left out is the limit.
fn templated(workload: &Workload, container: &Container) -> Option<ContainerSize> {
    let (_, own) = workload.around.template.iter().find(|(name, _)| *name == container.name)?;
    Some(ContainerSize {
        cpu_request: own.cpu_request.or(own.cpu_limit),
        memory_request: own.memory_request.or(own.memory_limit),
        ..*own
    })
}

/// A pod's successor comes up with something else than it has. What is not known may be.
fn comes_differently(workload: &Workload, pod: &Pod, given: Given, before: Option<&Before>) -> bool {
    pod.containers.iter().any(|container| {
        let next = match given {
            Given::Target => return false,
            Given::Previous => before.and_then(|before| had(container, before).copied()),
            Given::Nothing => templated(workload, container),
        };
        next != Some(container.asked)
    })
}

fn has_less(pod: &Pod, before: &Before) -> bool {
    pod.containers
        .iter()
        .any(|container| had(container, before).is_some_and(|had| exceeds(had, &container.asked)))
}

fn had<'a>(container: &Container, before: &'a Before) -> Option<&'a ContainerSize> {
    before.had.iter().find(|(name, _)| *name == container.name).map(|(_, had)| had)
}

/// True where the first requests more of something than the second.
fn exceeds(a: &ContainerSize, b: &ContainerSize) -> bool {
    let cores = |size: &ContainerSize| size.cpu_request.map_or(0.0, |cpu| cpu.0);
    let bytes = |size: &ContainerSize| size.memory_request.map_or(0.0, Bytes::as_f64);
    cores(a) > cores(b) || bytes(a) > bytes(b)
}

impl PodState {
    /// Answers the eviction of a new pod that serves nobody, whatever the method, once its successor will get `given`.
    pub(super) fn replace_newcomer(
        &self,
        workload: &Workload,
        (pod, given): (&Pod, Given),
        before: Option<&Before>,
        now: Timestamp,
    ) -> Result<Wish, Hold> {
        let hold = if pod.running { Hold::RolledBack } else { Hold::NoRoom };
        if pod.paused || workload.rules.paused {
            return Err(Hold::Paused);
        }
        if !pod.managed {
            return Err(Hold::Unmanaged);
        }
        if pod.running && pod.may_not_be_evicted {
            return Err(Hold::SafeToEvictFalse);
        }
        let comes_better = workload.around.gives == given && comes_differently(workload, pod, given, before);
        if pod.ready || !comes_better || self.is_being_replaced(now) {
            return Err(hold);
        }
        Ok(Wish::Evict { urgent: true })
    }
}
