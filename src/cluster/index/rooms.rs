//! What nodes can hold: all that pods may have of one, and what of it is free now.

use std::collections::HashMap;
use std::sync::Arc;

use super::facts::{ContainerShape, NodeFacts, Phase, PodFacts, Size};
use super::placement::Placement;
use super::{Index, WorkloadPods};
use crate::api::ContainerKind;
use crate::units::Bytes;

/// CPU and memory that belong together, as those of one node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Room {
    /// Thousandths of a core.
    pub milli_cpu: u64,
    /// Memory.
    pub memory: Bytes,
}

impl Room {
    fn plus(self, other: Self) -> Self {
        Self {
            milli_cpu: self.milli_cpu.saturating_add(other.milli_cpu),
            memory: Bytes(self.memory.0.saturating_add(other.memory.0)),
        }
    }

    /// What is left without the other, and nothing where the other is more.
    #[must_use]
    pub fn minus(self, other: Self) -> Self {
        Self {
            milli_cpu: self.milli_cpu.saturating_sub(other.milli_cpu),
            memory: Bytes(self.memory.0.saturating_sub(other.memory.0)),
        }
    }

    fn max(self, other: Self) -> Self {
        Self { milli_cpu: self.milli_cpu.max(other.milli_cpu), memory: self.memory.max(other.memory) }
    }

    fn min(self, other: Self) -> Self {
        Self { milli_cpu: self.milli_cpu.min(other.milli_cpu), memory: self.memory.min(other.memory) }
    }

    fn of(size: Size) -> Self {
        Self { milli_cpu: size.milli_cpu.unwrap_or(0), memory: size.memory.unwrap_or_default() }
    }
}

/// What pods take of one node.
#[derive(Clone, Copy, Debug, Default)]
struct Taken {
    all: Room,
    /// By those that never leave the node.
    bound: Room,
    pods: u64,
}

/// What pods take of each node.
#[derive(Debug, Default)]
pub struct Occupied<'a>(HashMap<&'a str, Taken>);

/// What the scheduler counts of a pod: what runs side by side, or an init container with the sidecars before it where
/// that is more, and the overhead. Of a resize that is not done yet the greater of both sizes.
#[must_use]
pub fn requests(pod: &PodFacts) -> Room {
    let asked = |place: usize| pod.life.asked.as_ref().and_then(|asked| asked.get(place));
    let of = |place: usize, container: &ContainerShape| {
        let given = Room::of(container.sizes.requests);
        asked(place).map_or(given, |asked| given.max(Room::of(asked.requests)))
    };
    let sum = total(pod.shape.containers.iter().enumerate().map(|(place, one)| (one.kind, of(place, one))));
    sum.max(Room::of(pod.shape.pod.requests)).plus(Room::of(pod.shape.placement.overhead))
}

/// Containers that last come first in a shape, init containers and sidecars after them in their order.
fn total(containers: impl Iterator<Item = (ContainerKind, Room)>) -> Room {
    let (mut lasting, mut sidecars, mut init) = (Room::default(), Room::default(), Room::default());
    for (kind, room) in containers {
        match kind {
            ContainerKind::Container => lasting = lasting.plus(room),
            ContainerKind::Sidecar => sidecars = sidecars.plus(room),
            ContainerKind::Init => init = init.max(sidecars.plus(room)),
        }
    }
    init.max(lasting.plus(sidecars))
}

/// What the init containers of a pod need while they run, with the sidecars that run by then.
#[must_use]
pub fn needed_first(pod: &PodFacts) -> Room {
    let containers = pod.shape.containers.iter().filter(|one| one.kind != ContainerKind::Container);
    let init_only = containers.map(|one| (one.kind, Room::of(one.sizes.requests)));
    let with_init = pod.shape.containers.iter().any(|one| one.kind == ContainerKind::Init);
    if with_init { total(init_only) } else { Room::default() }
}

/// Those rooms that no other of them exceeds in both, so that what fits any of all fits one of these.
fn greatest(mut rooms: Vec<Room>) -> Arc<[Room]> {
    rooms.sort_by(|a, b| b.milli_cpu.cmp(&a.milli_cpu).then(b.memory.cmp(&a.memory)));
    let mut front: Vec<Room> = Vec::new();
    for room in rooms {
        if front.last().is_none_or(|last| room.memory > last.memory) {
            front.push(room);
        }
    }
    front.into()
}

impl NodeFacts {
    /// The value of a label.
    #[must_use]
    pub fn label(&self, key: &str) -> Option<&str> {
        self.labels.iter().find(|(known, _)| **known == *key).map(|(_, value)| &**value)
    }

    /// What pods can have of it.
    #[must_use]
    pub fn allocatable(&self) -> Room {
        Room { milli_cpu: self.milli_cpu, memory: self.memory }
    }
}

impl Occupied<'_> {
    fn of(&self, node: &str) -> Taken {
        self.0.get(node).copied().unwrap_or_default()
    }
}

impl Index {
    /// Sums what pods take of each node.
    #[must_use]
    pub fn occupied(&self) -> Occupied<'_> {
        let mut occupied = Occupied::default();
        for (_, pod) in self.pods.iter().filter(|(_, pod)| pod.phase != Phase::Ended) {
            let Some(node) = &pod.node else { continue };
            let taken = occupied.0.entry(node).or_default();
            let room = requests(pod);
            taken.all = taken.all.plus(room);
            taken.pods += 1;
            if pod.shape.placement.bound_to_node {
                taken.bound = taken.bound.plus(room);
            }
        }
        occupied
    }

    /// Returns what a pod of that placement can have at most of one node, what DaemonSets take there left out; no room
    /// where no node is known that it may use. A cordon, and conditions of nodes that pass, do not count unless all
    /// nodes that it may use are cordoned.
    #[must_use]
    pub fn capacities(&self, placement: &Placement, occupied: &Occupied<'_>) -> Arc<[Room]> {
        let allowed = |cordoned: bool| {
            let nodes = self.nodes.iter().filter(|(_, node)| node.schedulable || cordoned);
            let nodes = nodes.filter(|(name, node)| placement.allows(name, node, true));
            let rooms = nodes.map(|(name, node)| node.allocatable().minus(occupied.of(name).bound));
            rooms.collect::<Vec<_>>()
        };
        let rooms = allowed(false);
        greatest(if rooms.is_empty() { allowed(true) } else { rooms })
    }

    /// Returns what of one node is free now for a pod of that placement: of the nodes that it may be scheduled to.
    #[must_use]
    pub fn free(&self, placement: &Placement, occupied: &Occupied<'_>) -> Arc<[Room]> {
        let nodes = self.nodes.iter().filter(|(name, node)| {
            node.schedulable && occupied.of(name).pods < node.pods && placement.allows(name, node, false)
        });
        greatest(nodes.map(|(name, node)| node.allocatable().minus(occupied.of(name).all)).collect())
    }

    /// Returns what of its own node a pod's successor could have: what is free there, and the pod's own share; `None`
    /// where the node takes no such pod.
    #[must_use]
    pub fn free_at_home(&self, pod: &PodFacts, occupied: &Occupied<'_>) -> Option<Room> {
        let name = pod.node.as_ref()?;
        let node = self.nodes.get(name).filter(|node| node.schedulable)?;
        let others = occupied.of(name).all.minus(requests(pod));
        let allowed = pod.shape.placement.allows(name, node, false);
        allowed.then(|| node.allocatable().minus(others))
    }

    /// Returns what each pod of a DaemonSet can have at most: they cannot move, so that the least of their nodes' CPU
    /// and of their memory bounds them, what others take that cannot move either left out.
    #[must_use]
    pub fn capacity_of_all(&self, workload: &WorkloadPods<'_>, occupied: &Occupied<'_>) -> Arc<[Room]> {
        let rooms = workload.pods.iter().filter_map(|(_, pod)| {
            let name = pod.node.as_ref()?;
            let others = occupied.of(name).bound.minus(requests(pod));
            Some(self.nodes.get(name)?.allocatable().minus(others))
        });
        rooms.reduce(Room::min).into_iter().collect()
    }
}
