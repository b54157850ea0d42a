//! API server: creates, resizes and evicts pods, and refuses what Kubernetes would refuse.

use std::fmt;

use super::super::scene::{Kind, Namespace, Part};
use super::super::size::{Size, mib};
use super::{PEAKS, Pod, Running, State, World, kubelet};
use crate::actuate::facts::Resize;

/// Why a request was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::replay::simulate) enum Refusal {
    /// The pod is gone.
    Gone,
    /// A limit would be removed, or be below its request.
    Invalid,
    /// The QoS class would change.
    QosClass,
    /// The node can never hold it.
    NodeTooSmall,
    /// A LimitRange forbids it.
    LimitRange,
    /// A ResourceQuota has no room.
    Quota,
    /// A PodDisruptionBudget allows none.
    Budget,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Gone => "the pod is gone",
            Self::Invalid => "invalid size",
            Self::QosClass => "the QoS class would change",
            Self::NodeTooSmall => "the node is too small",
            Self::LimitRange => "the LimitRange forbids it",
            Self::Quota => "the quota has no room",
            Self::Budget => "the PodDisruptionBudget allows none",
        })
    }
}

/// QoS class by sizes: Guaranteed, BestEffort.
fn class(sizes: &[Size]) -> (bool, bool) {
    let guaranteed = !sizes.is_empty() && sizes.iter().all(Size::is_equal);
    (guaranteed, sizes.iter().all(|size| *size == Size::default()))
}

/// Whether a LimitRange allows the size of a container.
fn in_range(size: &Size, namespace: &Namespace) -> bool {
    let most = |figures: [Option<u64>; 2], most: Option<u64>| {
        most.is_none_or(|most| figures.iter().flatten().all(|figure| *figure <= most))
    };
    let least = namespace.least_mib.map_or(0, mib);
    let above = [size.memory, size.memory_limit].iter().flatten().all(|figure| *figure >= least);
    let ratio = namespace.ratio.is_none_or(|ratio| match (size.memory, size.memory_limit) {
        (Some(request), Some(limit)) => limit <= request.saturating_mul(ratio),
        (None, None) => true,
        _ => false,
    });
    above
        && ratio
        && most([size.memory, size.memory_limit], namespace.most_mib.map(mib))
        && most([size.cpu, size.cpu_limit], namespace.most_milli)
}

impl World<'_> {
    /// Sums that a quota counts of a namespace: CPU requests, memory requests, memory limits.
    pub(in crate::replay::simulate) fn used(&self, namespace: usize) -> [u64; 3] {
        let mut used = [0_u64; 3];
        for (load, workload) in self.loads.iter().zip(&self.scene.workloads) {
            if workload.namespace == namespace {
                for size in load.pods.iter().flat_map(Pod::lasting).map(|container| container.asked) {
                    used[0] = used[0].saturating_add(size.cpu.unwrap_or(0));
                    used[1] = used[1].saturating_add(size.memory.unwrap_or(0));
                    used[2] = used[2].saturating_add(size.memory_limit.unwrap_or(0));
                }
            }
        }
        used
    }

    /// Hard limits of a namespace's quota, in the order of [`used`](Self::used).
    pub(in crate::replay::simulate) fn hard(&self, namespace: usize) -> [Option<u64>; 3] {
        let Some(stated) = self.scene.namespaces.get(namespace) else { return [None; 3] };
        [stated.quota_milli, stated.quota_mib.map(mib), stated.quota_limits_mib.map(mib)]
    }

    /// Verdict of LimitRange and quota on sizes that take the place of others, of those that run beside each other.
    fn admits(&self, load: usize, before: &[Size], after: &[Size]) -> Result<(), Refusal> {
        let Some(workload) = self.scene.workloads.get(load) else { return Err(Refusal::Gone) };
        let Some(namespace) = self.scene.namespaces.get(workload.namespace) else { return Ok(()) };
        if !after.iter().all(|size| in_range(size, namespace)) {
            return Err(Refusal::LimitRange);
        }
        let (used, hard) = (self.used(workload.namespace), self.hard(workload.namespace));
        let figures: [fn(&Size) -> Option<u64>; 3] =
            [|size| size.cpu, |size| size.memory, |size| size.memory_limit];
        for ((used, hard), figure) in used.into_iter().zip(hard).zip(figures) {
            let lasting = |sizes: &[Size]| -> u64 {
                let parts = sizes.iter().zip(&workload.containers);
                let lasting = parts.filter(|(_, spec)| spec.part != Part::Init);
                lasting.filter_map(|(size, _)| figure(size)).fold(0, u64::saturating_add)
            };
            let (old, new) = (lasting(before), lasting(after));
            if let Some(hard) = hard
                && new > old
                && used.saturating_add(new - old) > hard
            {
                return Err(Refusal::Quota);
            }
        }
        Ok(())
    }

    /// Creates a pod with these sizes.
    pub(in crate::replay::simulate) fn create(
        &mut self,
        load: usize,
        ordinal: u32,
        sizes: &[Size],
        stamped: bool,
    ) -> Result<u64, Refusal> {
        self.admits(load, &[], sizes)?;
        let Some(workload) = self.scene.workloads.get(load) else { return Err(Refusal::Gone) };
        let (id, now) = (self.next_id, self.now);
        self.next_id += 1;
        let ends = match workload.kind {
            Kind::Job => Some(now + 4 * 3600),
            Kind::CronJob => Some(now + 1200),
            _ => None,
        };
        let containers = sizes.iter().zip(&workload.containers).map(|(size, spec)| Running {
            asked: *size,
            given: *size,
            in_force: size.memory_limit,
            started_with: size.memory_limit,
            state: State::Waiting,
            started: now,
            restarts: 0,
            oom_killed: None,
            killed_by_node: false,
            backoff: 0,
            memory: 0,
            cpu: 0.0,
            throttled: 0.0,
            peaks: [0; PEAKS],
            lasts: spec.part != Part::Init,
        });
        let containers: Vec<_> = containers.collect();
        let (guaranteed, best_effort) = class(sizes);
        let Some(state) = self.loads.get_mut(load) else { return Err(Refusal::Gone) };
        let keeps = workload.kind == Kind::StatefulSet && ordinal < workload.partition;
        let revision = if keeps { 0 } else { state.revision };
        state.pods.push(Pod {
            id,
            ordinal,
            revision,
            node: None,
            created: now,
            leaves: None,
            ready: false,
            stamped,
            resize: Resize::None,
            resized: None,
            sync: now + 1,
            trapped: false,
            ends,
            failing_since: None,
            guaranteed,
            best_effort,
            containers,
        });
        let text: Vec<_> = sizes.iter().map(ToString::to_string).collect();
        let by = if stamped { "sized by plumb" } else { "as its template says" };
        self.note(load, id, format!("is created with {}, {by}", text.join(", ")));
        Ok(id)
    }

    /// Resizes a pod in place; `sizes` has one for each container. Returns how many containers that restarts.
    pub(in crate::replay::simulate) fn resize(
        &mut self,
        load: usize,
        id: u64,
        sizes: &[Size],
        by: &str,
    ) -> Result<u32, Refusal> {
        let now = self.now;
        let pod = self.pod(load, id).filter(|pod| pod.stays()).ok_or(Refusal::Gone)?;
        let before: Vec<_> = pod.containers.iter().map(|container| container.asked).collect();
        if sizes.iter().any(Size::is_upside_down)
            || sizes.iter().zip(&before).any(|(new, old)| new.lacks_limit_of(old))
        {
            return Err(Refusal::Invalid);
        }
        if class(sizes) != (pod.guaranteed, pod.best_effort) {
            return Err(Refusal::QosClass);
        }
        let lasting = pod.containers.iter().zip(sizes).filter(|(container, _)| container.lasts);
        let asks = lasting.fold((0_u64, 0_u64), |(cpu, memory), (_, size)| {
            (cpu.saturating_add(size.cpu.unwrap_or(0)), memory.saturating_add(size.memory.unwrap_or(0)))
        });
        if let Some(node) = pod.node.and_then(|node| self.nodes.get(node))
            && (asks.0 > node.milli || asks.1 > node.memory)
        {
            return Err(Refusal::NodeTooSmall);
        }
        self.admits(load, &before, sizes)?;
        let workload = self.scene.workloads.get(load).ok_or(Refusal::Gone)?;
        let mut restarted = 0;
        if let Some(pod) = self.pod_mut(load, id) {
            for (container, size) in pod.containers.iter_mut().zip(sizes) {
                container.asked = *size;
            }
            restarted = kubelet::restart(pod, workload, &before, now);
            pod.resized = Some(now);
            pod.resize = Resize::UnderWay;
            pod.sync = now + 2;
            pod.failing_since = None;
        }
        let text: Vec<_> =
            before.iter().zip(sizes).map(|(before, after)| format!("{before} -> {after}")).collect();
        let restarts = if restarted > 0 { ", which restarts it" } else { "" };
        self.note(load, id, format!("is resized by {by}: {}{restarts}", text.join(", ")));
        Ok(restarted)
    }

    /// Evicts a pod by the Eviction API.
    pub(in crate::replay::simulate) fn evict(
        &mut self,
        load: usize,
        id: u64,
        by: &str,
    ) -> Result<(), Refusal> {
        let pod = self.pod(load, id).filter(|pod| pod.stays()).ok_or(Refusal::Gone)?;
        let ready = pod.ready;
        if let (Some(least), Some(state)) =
            (self.scene.workloads.get(load).and_then(|workload| workload.min_available), self.loads.get(load))
        {
            let healthy = state.pods.iter().filter(|pod| pod.available()).count();
            let after = healthy - usize::from(ready);
            if (after as u64) < u64::from(least) {
                return Err(Refusal::Budget);
            }
        }
        self.delete(load, id);
        self.note(load, id, format!("is evicted by {by}"));
        Ok(())
    }

    /// Deletes a pod.
    pub(super) fn delete(&mut self, load: usize, id: u64) {
        let now = self.now;
        if let Some(pod) = self.pod_mut(load, id) {
            pod.leaves = Some(now + 5);
            pod.ready = false;
        }
        self.busy = self.busy.max(now + 60);
    }
}
