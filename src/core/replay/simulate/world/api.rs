//! API server: creates, resizes and evicts pods, and refuses what Kubernetes would refuse.

use super::super::rules::{self, Refusal};
use super::super::scene::Kind;
use super::super::size::{Size, mib};
use super::{PEAKS, Pod, Running, State, World, kubelet};
use crate::actuate::facts::Resize;
use crate::policy::Class;

/// What a quota counts of a container: CPU request, memory request, memory limit.
const COUNTED: [fn(&Size) -> Option<u64>; 3] =
    [|size| size.cpu, |size| size.memory, |size| size.memory_limit];

impl World<'_> {
    /// Sums that a quota counts of a namespace: CPU requests, memory requests, memory limits.
    pub(in crate::replay::simulate) fn used(&self, namespace: usize) -> [u64; 3] {
        let mut used = [0_u64; 3];
        for (load, workload) in self.loads.iter().zip(&self.scene.workloads) {
            if workload.namespace == namespace {
                for pod in &load.pods {
                    for (used, figure) in used.iter_mut().zip(COUNTED) {
                        *used = used.saturating_add(
                            pod.held(|container| figure(&container.asked.most(&container.given))),
                        );
                    }
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

    /// What a LimitRange says of sizes.
    fn ranges(&self, load: usize, sizes: &[Size]) -> Result<(), Refusal> {
        let Some(workload) = self.scene.workloads.get(load) else { return Err(Refusal::Gone) };
        let Some(namespace) = self.scene.namespaces.get(workload.namespace) else { return Ok(()) };
        if sizes.iter().all(|size| rules::in_range(size, namespace)) {
            Ok(())
        } else {
            Err(Refusal::LimitRange)
        }
    }

    /// Whether a policy of the cluster admits a new container of that size.
    pub(in crate::replay::simulate) fn policy_admits(&self, load: usize, size: &Size) -> bool {
        let workload = self.scene.workloads.get(load);
        let namespace = workload.and_then(|workload| self.scene.namespaces.get(workload.namespace));
        let least = namespace.and_then(|namespace| namespace.policy_milli);
        least.is_none_or(|least| size.cpu.is_none_or(|cpu| cpu >= least))
    }

    /// What a quota says of sizes that take the place of others.
    fn charges(&self, load: usize, before: &[Size], after: &[Size]) -> Result<(), Refusal> {
        let Some(workload) = self.scene.workloads.get(load) else { return Err(Refusal::Gone) };
        let (used, hard) = (self.used(workload.namespace), self.hard(workload.namespace));
        for ((used, hard), figure) in used.into_iter().zip(hard).zip(COUNTED) {
            let held = |sizes: &[Size]| {
                let parts = sizes.iter().zip(&workload.containers);
                rules::held(parts.map(|(size, spec)| (spec.part, figure(size).unwrap_or(0))))
            };
            let (old, new) = (held(before), held(after));
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
        self.ranges(load, sizes)?;
        if !sizes.iter().all(|size| self.policy_admits(load, size)) {
            return Err(Refusal::Policy);
        }
        self.charges(load, &[], sizes)?;
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
            part: spec.part,
        });
        let containers: Vec<_> = containers.collect();
        let class = rules::class(sizes);
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
            resized_by_other: false,
            sync: now + 1,
            trapped: false,
            ends,
            failing_since: None,
            guaranteed: class == Class::Guaranteed,
            best_effort: class == Class::BestEffort,
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
        if let Some(refusal) = rules::invalid(&before, sizes) {
            return Err(refusal);
        }
        let given: Vec<_> = pod.containers.iter().map(|container| container.given).collect();
        self.ranges(load, sizes)?;
        let asks = |figure: fn(&Size) -> Option<u64>| {
            let parts = pod.containers.iter().zip(sizes);
            rules::held(parts.map(|(container, size)| (container.part, figure(size).unwrap_or(0))))
        };
        if let Some(node) = pod.node.and_then(|node| self.nodes.get(node))
            && (asks(|size| size.cpu) > node.milli || asks(|size| size.memory) > node.memory)
        {
            return Err(Refusal::NodeTooSmall);
        }
        // What a container has still counts until the kubelet has taken it away.
        let counted = |sizes: &[Size]| -> Vec<Size> {
            sizes.iter().zip(&given).map(|(size, given)| size.most(given)).collect()
        };
        self.charges(load, &counted(&before), &counted(sizes))?;
        let workload = self.scene.workloads.get(load).ok_or(Refusal::Gone)?;
        let mut restarted = 0;
        if let Some(pod) = self.pod_mut(load, id) {
            for (container, size) in pod.containers.iter_mut().zip(sizes) {
                container.asked = *size;
            }
            restarted = kubelet::restart(pod, workload, &before, now);
            pod.resized = Some(now);
            pod.resized_by_other = !by.starts_with("plumb");
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
        let (started, ready) = (pod.has_started(), pod.ready);
        if let (Some(least), Some(state)) =
            (self.scene.workloads.get(load).and_then(|workload| workload.min_available), self.loads.get(load))
        {
            let healthy = state.pods.iter().filter(|pod| pod.available()).count() as u64;
            if !rules::may_evict(healthy, u64::from(least), started, ready) {
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
