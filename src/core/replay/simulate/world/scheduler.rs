//! Scheduler: binds pods to nodes of their pool by requests.

use super::super::scene::Kind;
use super::{Pod, World};

impl World<'_> {
    /// Requests of a node that its kubelet has free for a resize.
    pub(in crate::replay::simulate) fn free(&self, node: usize) -> (u64, u64) {
        self.without(node, Pod::holds)
    }

    /// Requests of a node that its scheduler has free for a new pod: also what a resize still waits for is taken.
    pub(in crate::replay::simulate) fn left(&self, node: usize) -> (u64, u64) {
        self.without(node, Pod::keeps)
    }

    /// Requests of a node without what its pods have by a measure.
    fn without(&self, node: usize, of: fn(&Pod) -> (u64, u64)) -> (u64, u64) {
        let Some(shape) = self.nodes.get(node) else { return (0, 0) };
        let pods = self.loads.iter().flat_map(|load| &load.pods).filter(|pod| pod.node == Some(node));
        let (cpu, memory) = pods.fold(shape.ballast, |(cpu, memory), pod| {
            let (more_cpu, more_memory) = of(pod);
            (cpu.saturating_add(more_cpu), memory.saturating_add(more_memory))
        });
        (shape.milli.saturating_sub(cpu), shape.memory.saturating_sub(memory))
    }

    /// Binds pods that wait for a node.
    pub(super) fn schedule(&mut self) {
        for load in 0..self.loads.len() {
            let Some(workload) = self.scene.workloads.get(load) else { continue };
            let waiting: Vec<_> = self.loads[load]
                .pods
                .iter()
                .filter(|pod| pod.node.is_none() && pod.stays())
                .map(|pod| (pod.id, pod.ordinal, pod.asks()))
                .collect();
            for (id, ordinal, (cpu, memory)) in waiting {
                let fits = |node: &usize| {
                    let (free_cpu, free_memory) = self.without(*node, Pod::keeps);
                    cpu <= free_cpu && memory <= free_memory
                };
                let bound = self.pool_node(workload.pool, ordinal);
                let best = if workload.kind == Kind::DaemonSet {
                    bound.filter(fits)
                } else {
                    let nodes = (0..self.nodes.len()).filter(|node| {
                        self.nodes[*node].pool == workload.pool && !self.nodes[*node].cordoned
                    });
                    nodes.filter(fits).max_by_key(|node| (self.free(*node).1, std::cmp::Reverse(*node)))
                };
                let Some(node) = best else { continue };
                self.bind(load, id, node);
            }
        }
    }

    fn bind(&mut self, load: usize, id: u64, node: usize) {
        let now = self.now;
        if let Some(pod) = self.pod_mut(load, id) {
            pod.node = Some(node);
            pod.sync = now + 2;
        }
        self.note(load, id, format!("runs on node {node}"));
    }

    /// The node of that number of a pool.
    pub(super) fn pool_node(&self, pool: usize, number: u32) -> Option<usize> {
        let mut nodes = (0..self.nodes.len()).filter(|node| self.nodes[*node].pool == pool);
        nodes.nth(usize::try_from(number).unwrap_or(usize::MAX))
    }
}
