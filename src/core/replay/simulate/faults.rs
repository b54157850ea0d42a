//! Faults of a scene as they begin and end.

use super::scene::{Fault, Kind};
use super::world::World;

/// Faults that go on now.
#[derive(Clone, Debug, Default)]
pub(super) struct Now {
    pub(super) stale: bool,
    pub(super) late: bool,
    pub(super) lost_writes: u32,
    pub(super) lost_answers: u32,
    pub(super) two_leaders: bool,
    pub(super) admission_down: bool,
    pub(super) no_metrics: bool,
    pub(super) repeated_kills: bool,
    /// A fault goes on that plumb cannot see through.
    pub(super) any: bool,
}

/// Faults that begin now, of those that are one moment.
#[derive(Clone, Debug, Default)]
pub(super) struct Begins {
    pub(super) updater_restart: Option<u32>,
    pub(super) recommender_restart: bool,
    pub(super) false_sample: Option<(usize, u32)>,
}

/// Progress through the faults of a scene.
#[derive(Clone, Debug)]
pub(super) struct Faults {
    begun: Vec<bool>,
    ended: Vec<bool>,
}

fn seconds(minutes: u32) -> i64 {
    i64::from(minutes) * 60
}

impl Faults {
    /// Starts before the first fault.
    pub(super) fn new(count: usize) -> Self {
        Self { begun: vec![false; count], ended: vec![false; count] }
    }

    /// The next time at which one begins or ends.
    pub(super) fn next(&self, faults: &[Fault], now: i64, most: i64) -> i64 {
        let edges = faults.iter().flat_map(|fault| {
            let (at, minutes) = fault.span();
            [seconds(at), seconds(at.saturating_add(minutes))]
        });
        edges.filter(|at| *at > now).fold(most, i64::min)
    }

    /// Begins and ends what is due, and says what goes on.
    pub(super) fn step(&mut self, world: &mut World<'_>) -> (Now, Begins) {
        let (mut going, mut begins) = (Now::default(), Begins::default());
        let scene = world.scene;
        for (place, fault) in scene.faults.iter().enumerate() {
            let (at, minutes) = fault.span();
            let active = world.now >= seconds(at) && world.now < seconds(at.saturating_add(minutes));
            if active {
                note(&mut going, fault);
            }
            if world.now >= seconds(at) && !std::mem::replace(&mut self.begun[place], true) {
                begin(world, fault, &mut begins);
            }
            if active && let Fault::Drain { node, .. } = *fault {
                drain(world, node);
            }
            if world.now >= seconds(at.saturating_add(minutes))
                && !std::mem::replace(&mut self.ended[place], true)
            {
                end(world, fault);
            }
        }
        (going, begins)
    }
}

fn note(going: &mut Now, fault: &Fault) {
    going.any = true;
    match *fault {
        Fault::StaleWatch { .. } => going.stale = true,
        Fault::LateWatch { .. } => going.late = true,
        Fault::LostWrites { percent, .. } => going.lost_writes = percent,
        Fault::LostAnswers { percent, .. } => going.lost_answers = percent,
        Fault::TwoLeaders { .. } => going.two_leaders = true,
        Fault::AdmissionDown { .. } => going.admission_down = true,
        Fault::NoMetrics { .. } => going.no_metrics = true,
        Fault::RepeatedKills { .. } => going.repeated_kills = true,
        _ => {}
    }
}

fn begin(world: &mut World<'_>, fault: &Fault, begins: &mut Begins) {
    match *fault {
        Fault::UpdaterRestart { step, .. } => begins.updater_restart = Some(step),
        Fault::RecommenderRestart { .. } => begins.recommender_restart = true,
        Fault::FalseSample { workload, times, .. } => begins.false_sample = Some((workload, times)),
        Fault::Drain { node, .. } => {
            if let Some(node) = world.nodes.get_mut(node) {
                node.cordoned = true;
            }
        }
        Fault::FullNode { node, .. } => {
            let free = world.free(node);
            if let Some(node) = world.nodes.get_mut(node) {
                node.ballast = free;
            }
        }
        Fault::Release { workload, percent, .. } => {
            if let Some(load) = world.loads.get_mut(workload) {
                load.revision += 1;
                load.percents.push(percent);
                world.note(workload, 0, format!("a release needs {percent} % of the memory of the first"));
            }
        }
        Fault::Scale { workload, replicas, .. } => {
            if let Some(load) = world.loads.get_mut(workload) {
                load.replicas = replicas;
                world.note(workload, 0, format!("somebody scales to {replicas}"));
            }
        }
        _ => {}
    }
    world.busy = world.busy.max(world.now + 60);
}

fn end(world: &mut World<'_>, fault: &Fault) {
    match *fault {
        Fault::Drain { node, .. } => {
            if let Some(node) = world.nodes.get_mut(node) {
                node.cordoned = false;
            }
        }
        Fault::FullNode { node, .. } => {
            if let Some(node) = world.nodes.get_mut(node) {
                node.ballast = (0, 0);
            }
        }
        _ => {}
    }
    world.busy = world.busy.max(world.now + 60);
}

/// Evicts the pods of a node, those of DaemonSets left out, as far as budgets allow.
fn drain(world: &mut World<'_>, node: usize) {
    let scene = world.scene;
    let mut pods = Vec::new();
    for ((place, load), workload) in world.loads.iter().enumerate().zip(&scene.workloads) {
        if workload.kind != Kind::DaemonSet {
            let there = load.pods.iter().filter(|pod| pod.node == Some(node) && pod.stays());
            pods.extend(there.map(|pod| (place, pod.id)));
        }
    }
    for (load, pod) in pods {
        // A budget that allows none is asked again.
        world.evict(load, pod, "a drain").ok();
    }
}
