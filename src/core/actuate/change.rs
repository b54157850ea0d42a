//! What a pod should change to: each container by the one rule of [`step`](super::step), then made fit for one resize
//! of the whole pod.

use std::sync::Arc;

use super::class;
use super::facts::{Container, Pod, SizesByName, Workload};
use super::ranges::within_namespace;
use super::reason::Hold;
use super::step::Stepper;
use crate::policy::{Class, ContainerSize, Recommendation};
use crate::units::{Bytes, Cores, GIB, Timestamp};

/// GiB of memory that cost as much as a core, about, at what clouds ask.
const GIB_PER_CORE: f64 = 8.0;

/// One container's new size.
#[derive(Clone, Debug, PartialEq)]
pub struct NewSize {
    /// The container.
    pub container: Arc<str>,
    /// It is an init container that keeps running.
    pub sidecar: bool,
    /// What it asks for now.
    pub from: ContainerSize,
    /// What it is to ask for.
    pub to: ContainerSize,
}

impl NewSize {
    /// `None` where it is what the container asks for.
    pub(super) fn of(container: &Container, to: ContainerSize) -> Option<Self> {
        (to != container.asked).then(|| Self {
            container: Arc::clone(&container.name),
            sidecar: container.sidecar,
            from: container.asked,
            to,
        })
    }

    /// With what grows of it only; `None` where nothing does.
    fn without_loss(self) -> Option<Self> {
        let (from, to) = (&self.from, &self.to);
        let more = |from: Option<Cores>, to: Option<Cores>| if from > to { from } else { to };
        let to = ContainerSize {
            cpu_request: more(from.cpu_request, to.cpu_request),
            cpu_limit: more(from.cpu_limit, to.cpu_limit),
            memory_request: from.memory_request.max(to.memory_request),
            memory_limit: from.memory_limit.max(to.memory_limit),
        };
        (to != self.from).then_some(Self { to, ..self })
    }
}

/// New sizes of a pod's containers, for all at once.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// Those that change.
    pub sizes: Vec<NewSize>,
    /// Something grows.
    pub grows: bool,
    /// Something shrinks.
    pub shrinks: bool,
    /// How many containers are restarted by it.
    pub restarts: u32,
    /// It answers an OOM kill.
    pub after_oom: bool,
    /// How much it is worth: cores given or freed, memory counted in.
    pub benefit: f64,
}

/// A change, and the steppers as they are once it is accepted.
#[derive(Clone, Debug)]
pub(super) struct Proposal {
    pub(super) change: Change,
    pub(super) steppers: Vec<Stepper>,
}

impl Proposal {
    /// Leaves out what takes something away; `None` where nothing grows.
    pub(super) fn without_loss(self, pod: &Pod) -> Option<Self> {
        let Self { change: Change { sizes, after_oom, .. }, mut steppers } = self;
        let sizes: Vec<_> = sizes.into_iter().filter_map(NewSize::without_loss).collect();
        observe(pod, &sizes, &mut steppers);
        (!sizes.is_empty()).then(|| Self { change: change(pod, sizes, after_oom), steppers })
    }
}

/// Tells the steppers of what is asked for in the end.
fn observe(pod: &Pod, sizes: &[NewSize], steppers: &mut [Stepper]) {
    for (container, stepper) in pod.containers.iter().zip(steppers) {
        let new = sizes.iter().find(|size| size.container == container.name);
        stepper.observe(new.map_or(container.asked, |size| size.to));
    }
}

/// What of a pod's past bears on what it should change to.
#[derive(Clone, Debug, Default)]
pub(super) struct Past {
    /// When it was changed last by the process before this one.
    pub(super) inherited: Option<Timestamp>,
    /// OOM kills up to then are too old to be answered, or were answered by nobody knows whom.
    pub(super) since: Option<Timestamp>,
    /// By container, the newest OOM kill that was answered.
    pub(super) answered: Vec<(Arc<str>, Option<Timestamp>)>,
    /// The kubelet could not lower its memory a short time ago.
    pub(super) keeps_memory: bool,
    /// The API server lowers no memory limit without a restart of its container.
    pub(super) limits_only_grow: bool,
}

impl Past {
    /// A container was killed for its memory, and that has still to be answered.
    fn leaves_killed(&self, container: &Container) -> bool {
        let answered = self.answered.iter().find(|(name, _)| *name == container.name);
        let answered = answered.and_then(|(_, kill)| *kill);
        container.oom_killed.is_some() && container.oom_killed > self.since.max(answered)
    }
}

/// What to change, if anything. The steppers learn of the time that has passed.
pub(super) fn propose(
    workload: &Workload,
    pod: &Pod,
    steppers: &mut Vec<Stepper>,
    past: &Past,
    now: Timestamp,
) -> Result<Option<Proposal>, Hold> {
    if steppers.len() != pod.containers.len() {
        *steppers = pod
            .containers
            .iter()
            .map(|container| Stepper::resumed(container.asked, past.inherited))
            .collect();
    }
    let mut next = steppers.clone();
    let (mut sizes, mut held, mut after_oom) = (Vec::new(), None, false);
    for ((container, kept), stepper) in pod.containers.iter().zip(steppers).zip(&mut next) {
        let Some(advice) = workload.advice(&container.name) else { continue };
        let killed = past.leaves_killed(container);
        stepper.observe(container.asked);
        let before = *stepper;
        let wanted = stepper.step(advice, now, killed, &workload.rules.pace);
        // Whatever becomes of it, time has passed, and what a wait has cost is remembered.
        *kept = *stepper;
        kept.undo(&before);
        let Some(wanted) = wanted else { continue };
        let (to, why_not) = fit(container, wanted, pod.class, (workload, past));
        held = held.or(why_not);
        stepper.observe(to);
        after_oom |= killed && to.memory_limit > container.asked.memory_limit;
        sizes.extend(NewSize::of(container, to));
    }
    if after_oom {
        // It goes out of turn and unwatched: nothing is taken away by it.
        sizes = sizes.into_iter().filter_map(NewSize::without_loss).collect();
        observe(pod, &sizes, &mut next);
    }
    let mut sizes = within_namespace(workload, pod, sizes, &mut next, &mut held);
    if sizes.is_empty() {
        return held.map_or(Ok(None), Err);
    }
    if pod.class == Class::BestEffort {
        return Err(Hold::BestEffort);
    }
    class::keep(workload, pod, &mut sizes)?;
    for (container, stepper) in pod.containers.iter().zip(&mut next) {
        if let Some(size) = sizes.iter().find(|size| size.container == container.name) {
            stepper.observe(size.to);
        }
    }
    if sizes.is_empty() {
        return held.map_or(Ok(None), Err);
    }
    Ok(Some(Proposal { change: change(pod, sizes, after_oom), steppers: next }))
}

/// A resize back to what the kubelet has given, where it cannot give what was asked.
pub(super) fn back_to_given(pod: &Pod) -> Option<Change> {
    let sizes: Vec<NewSize> =
        pod.containers.iter().filter_map(|container| NewSize::of(container, container.given)).collect();
    (!sizes.is_empty()).then(|| change(pod, sizes, false))
}

/// A resize of those containers that have started up to what they need then.
pub(super) fn after_start(pod: &Pod) -> Option<Change> {
    let over = pod.containers.iter().filter_map(|container| {
        let boost = container.boost.filter(|boost| boost.over)?;
        let to = ContainerSize {
            cpu_request: boost.cpu_request.or(container.asked.cpu_request),
            cpu_limit: boost.cpu_limit.or(container.asked.cpu_limit),
            ..container.asked
        };
        NewSize::of(container, to)
    });
    let sizes: Vec<NewSize> = over.collect();
    (!sizes.is_empty()).then(|| change(pod, sizes, false))
}

/// A resize of those containers that are still there to what they had before; of what would be refused as the class
/// would change, the nearest that would not.
pub(super) fn back_to(workload: &Workload, pod: &Pod, before: &SizesByName) -> Option<Change> {
    let mut sizes: Vec<NewSize> = pod
        .containers
        .iter()
        .filter_map(|container| {
            let (_, had) = before.iter().find(|(name, _)| *name == container.name)?;
            // What it did not have then cannot be taken from it while it runs.
            let to = ContainerSize {
                cpu_request: had.cpu_request.or(container.asked.cpu_request),
                cpu_limit: had.cpu_limit.or(container.asked.cpu_limit),
                memory_request: had.memory_request.or(container.asked.memory_request),
                memory_limit: had.memory_limit.or(container.asked.memory_limit),
            };
            NewSize::of(container, to)
        })
        .collect();
    class::keep(workload, pod, &mut sizes).ok()?;
    (!sizes.is_empty()).then(|| change(pod, sizes, false))
}

fn change(pod: &Pod, sizes: Vec<NewSize>, after_oom: bool) -> Change {
    let mut change = Change { sizes, grows: false, shrinks: false, restarts: 0, after_oom, benefit: 0.0 };
    for size in &change.sizes {
        let (from, to) = (&size.from, &size.to);
        let cores = |of: Option<Cores>| of.map_or(0.0, |cores| cores.0);
        let bytes = |of: Option<Bytes>| of.map_or(0.0, Bytes::as_f64);
        let pairs = [
            (cores(from.cpu_request), cores(to.cpu_request)),
            (bytes(from.memory_request), bytes(to.memory_request)),
            (cores(from.cpu_limit), cores(to.cpu_limit)),
            (bytes(from.memory_limit), bytes(to.memory_limit)),
        ];
        change.grows |= pairs.iter().any(|(from, to)| to > from);
        change.shrinks |= pairs.iter().any(|(from, to)| to < from);
        let container = pod.containers.iter().find(|container| container.name == size.container);
        let differs = |place: [usize; 2]| {
            place.iter().any(|place| pairs.get(*place).is_some_and(|(from, to)| (from - to).abs() > 0.0))
        };
        change.restarts += u32::from(container.is_some_and(|container| {
            container.cpu_restarts && differs([0, 2]) || container.memory_restarts && differs([1, 3])
        }));
        change.benefit += (pairs[0].0 - pairs[0].1).abs();
        change.benefit += (pairs[1].0 - pairs[1].1).abs() / GIB as f64 / GIB_PER_CORE;
    }
    change
}

impl Change {
    /// Leaves out what lowers memory limits of containers that are not restarted for it; `None` where nothing is left.
    pub(super) fn without_lower_limits(mut self, pod: &Pod) -> Option<Self> {
        for size in &mut self.sizes {
            let container = pod.containers.iter().find(|container| container.name == size.container);
            let restarts = container.is_some_and(|container| container.memory_restarts);
            if !restarts && size.to.memory_limit < size.from.memory_limit {
                size.to.memory_limit = size.from.memory_limit;
                if pod.class == Class::Guaranteed {
                    size.to.memory_request = size.from.memory_request;
                }
            }
        }
        self.sizes.retain(|size| size.to != size.from);
        (!self.sizes.is_empty()).then_some(self)
    }
}

/// What is wanted, as one resize can give it; and why something of it is kept back.
fn fit(
    container: &Container,
    wanted: ContainerSize,
    class: Class,
    (workload, past): (&Workload, &Past),
) -> (ContainerSize, Option<Hold>) {
    let asked = &container.asked;
    let milli = |cores: Option<Cores>| cores.map(Cores::ceil_milli);
    let mut to = ContainerSize {
        cpu_request: milli(wanted.cpu_request),
        // A limit cannot be taken from a running container.
        cpu_limit: milli(wanted.cpu_limit).or(asked.cpu_limit),
        memory_request: wanted.memory_request,
        memory_limit: wanted.memory_limit.or(asked.memory_limit),
    };
    let mut held = None;
    if past.keeps_memory && (to.memory_request < asked.memory_request || to.memory_limit < asked.memory_limit)
    {
        held = Some(Hold::BelowUsage);
        (to.memory_request, to.memory_limit) = (asked.memory_request, asked.memory_limit);
    }
    if container.boost.is_some() {
        // What it is given to start up with ends by itself, and says nothing of what it needs.
        (to.cpu_request, to.cpu_limit) = (asked.cpu_request, asked.cpu_limit);
    }
    if workload.scales_by_cpu(container) {
        held = held.or((to.cpu_request != asked.cpu_request).then_some(Hold::HorizontalPodAutoscaler));
        (to.cpu_request, to.cpu_limit) = (asked.cpu_request, asked.cpu_limit);
    }
    if workload.scales_by_memory(container) {
        held = held.or((to.memory_request != asked.memory_request).then_some(Hold::HorizontalPodAutoscaler));
        (to.memory_request, to.memory_limit) = (asked.memory_request, asked.memory_limit);
    }
    if past.limits_only_grow && !container.memory_restarts && to.memory_limit < asked.memory_limit {
        // The rest of the change goes alone.
        held = held.or(Some(Hold::LimitsOnlyGrow));
        to.memory_limit = asked.memory_limit;
        if class == Class::Guaranteed {
            to.memory_request = asked.memory_request.max(to.memory_request);
        }
    }
    if class == Class::Guaranteed {
        to.cpu_request = whole_cores(asked.cpu_request, to.cpu_request);
        // Equal by definition: the need is the greater of the two. To lower the limit of what is capped would kill it.
        let capped = workload.advice(&container.name).is_some_and(Recommendation::memory_is_capped);
        let least = to.memory_limit.filter(|_| capped || grows(asked, &to));
        to.memory_request = to.memory_request.max(least);
        (to.cpu_limit, to.memory_limit) = (to.cpu_request, to.memory_request);
    }
    if let (Some(limit), Some(request)) = (to.cpu_limit, to.cpu_request) {
        to.cpu_limit = Some(Cores(limit.0.max(request.0)));
    }
    if let (Some(limit), Some(request)) = (to.memory_limit, to.memory_request) {
        to.memory_limit = Some(limit.max(request));
    }
    (to, held)
}

/// Exclusive cores are whole ones: what has whole cores keeps whole ones, rounded up. (Kubernetes: the static policy of
/// the kubelet's CPU manager; whether a node has it the API does not say.)
fn whole_cores(asked: Option<Cores>, wanted: Option<Cores>) -> Option<Cores> {
    let has_whole = asked.is_some_and(|asked| asked.0 >= 1.0 && asked.to_milli().is_multiple_of(1000));
    if has_whole { wanted.map(|wanted| Cores(wanted.0.ceil())) } else { wanted }
}

fn grows(asked: &ContainerSize, to: &ContainerSize) -> bool {
    to.memory_limit > asked.memory_limit
}
