//! Shrinking: a scene in which an invariant breaks becomes the smallest one found in which it still does.

use std::fmt;

use super::invariants::{Invariant, Violation};
use super::scene::{Container, Namespace, Policy, Pool, Scene, Usage, Workload};
use super::{Options, check, run};

/// A shrunk scene, and what breaks in it. Printed, it is a test.
#[derive(Clone, Debug)]
pub struct Shrunk {
    /// The smallest scene found.
    pub scene: Scene,
    /// The invariant that breaks in it; `None`: nothing does.
    pub violation: Option<Violation>,
    /// Number of scenes that were played.
    pub played: u32,
}

impl fmt::Display for Shrunk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(violation) = &self.violation else { return writeln!(f, "// nothing breaks in this scene") };
        for line in violation.to_string().lines() {
            writeln!(f, "// {line}")?;
        }
        let name = violation.invariant.name().replace('-', "_");
        writeln!(f, "#[test]\nfn {name}_of_seed_{}() {{", self.scene.seed)?;
        writeln!(f, "    let scene = {};", self.scene.text())?;
        writeln!(f, "    let broken = check(&scene, &Options::default()).violations;")?;
        let variant = violation.invariant;
        writeln!(
            f,
            "    assert!(!broken.iter().any(|one| one.invariant == Invariant::{variant:?}), \"{{broken:?}}\");"
        )?;
        writeln!(f, "}}")
    }
}

/// Makes a scene smaller for as long as the invariant breaks in it, and no more than `most` scenes were played.
#[must_use]
pub fn shrink(scene: &Scene, invariant: Invariant, options: &Options<'_>, most: u32) -> Shrunk {
    let mut shrunk = Shrunk { scene: scene.clone(), violation: breaks(scene, invariant, options), played: 1 };
    if shrunk.violation.is_none() {
        return shrunk;
    }
    loop {
        let before = shrunk.scene.clone();
        let mut place = 0;
        while let Some(candidate) = candidates(&shrunk.scene).get(place).cloned() {
            if shrunk.played >= most {
                return shrunk;
            }
            shrunk.played += 1;
            match breaks(&candidate, invariant, options) {
                Some(violation) => (shrunk.scene, shrunk.violation) = (candidate, Some(violation)),
                None => place += 1,
            }
        }
        if shrunk.scene == before {
            return shrunk;
        }
    }
}

fn breaks(scene: &Scene, invariant: Invariant, options: &Options<'_>) -> Option<Violation> {
    let found = match invariant {
        Invariant::Kills | Invariant::Unready | Invariant::Tenancy => check(scene, options).violations,
        _ => run(scene, options).violations,
    };
    found.into_iter().find(|violation| violation.invariant == invariant)
}

/// Scenes that are smaller by one thing, the largest steps first.
fn candidates(scene: &Scene) -> Vec<Scene> {
    let mut all = Vec::new();
    let mut add = |change: &dyn Fn(&mut Scene)| {
        let mut smaller = scene.clone();
        change(&mut smaller);
        if smaller != *scene {
            all.push(smaller);
        }
    };
    add(&|scene| scene.faults.clear());
    for place in (0..scene.workloads.len()).rev() {
        add(&|scene| remove_workload(scene, place));
    }
    for place in 0..scene.faults.len() {
        add(&|scene| {
            scene.faults.remove(place);
        });
    }
    add(&|scene| scene.hours = (scene.hours / 2).max(1 + scene.calm_hours));
    add(&|scene| scene.hours = (scene.hours - scene.hours / 5).max(1 + scene.calm_hours));
    add(&|scene| (scene.hours, scene.calm_hours) = (scene.hours - scene.calm_hours, 0));
    add(&|scene| scene.pools.iter_mut().for_each(|pool| *pool = Pool::default()));
    add(&|scene| scene.namespaces.iter_mut().for_each(|namespace| *namespace = Namespace::default()));
    add(&|scene| scene.mended_kubelet = false);
    for place in 0..scene.workloads.len() {
        for change in CHANGES {
            add(&|scene| scene.workloads.iter_mut().skip(place).take(1).for_each(change));
        }
        let containers = scene.workloads.get(place).map_or(0, |workload| workload.containers.len());
        for number in 0..containers {
            add(&|scene| remove_container(scene, place, number));
            for change in CONTAINER_CHANGES {
                let container = |scene: &mut Scene| {
                    let containers = scene.workloads.get_mut(place).map(|workload| &mut workload.containers);
                    if let Some(container) = containers.and_then(|all| all.get_mut(number)) {
                        change(container);
                    }
                };
                add(&container);
            }
        }
    }
    all
}

const CHANGES: [fn(&mut Workload); 20] = [
    |workload| workload.policy = Policy::default(),
    |workload| workload.replicas = 1,
    |workload| workload.replicas = 2,
    |workload| workload.kind = super::scene::Kind::Deployment,
    |workload| workload.namespace = 0,
    |workload| workload.pool = 0,
    |workload| workload.min_available = None,
    |workload| (workload.hpa_percent, workload.hpa_moves) = (None, false),
    |workload| workload.operator_minutes = None,
    |workload| workload.gitops_minutes = None,
    |workload| (workload.partition, workload.on_delete) = (0, false),
    |workload| workload.hpa_moves = false,
    |workload| workload.policy.shrink = true,
    |workload| workload.policy.window = None,
    |workload| (workload.policy.most_milli, workload.policy.most_mib) = (None, None),
    |workload| workload.policy.objective = Policy::default().objective,
    |workload| (workload.policy.cpu_limit, workload.policy.add_limit) = (Policy::default().cpu_limit, false),
    |workload| workload.policy.memory_limit = Policy::default().memory_limit,
    |workload| workload.policy.method = Policy::default().method,
    |workload| {
        let policy = Policy::default();
        (workload.policy.max_shrink, workload.policy.cooldown) = (policy.max_shrink, policy.cooldown);
        (workload.policy.observe, workload.policy.min_change) = (policy.observe, None);
        (workload.policy.least_milli, workload.policy.least_mib) = (policy.least_milli, policy.least_mib);
    },
];

const CONTAINER_CHANGES: [fn(&mut Container); 5] = [
    |container| *container = Container { part: container.part, ..Container::default() },
    |container| container.usage = Usage::Steady,
    |container| (container.cpu_restarts, container.memory_restarts) = (false, false),
    |container| container.limit_milli = None,
    |container| container.boots = Container::default().boots,
];

/// Removes a workload, and the faults that are about it.
fn remove_workload(scene: &mut Scene, place: usize) {
    use super::scene::Fault;
    if scene.workloads.len() < 2 {
        return;
    }
    scene.workloads.remove(place);
    scene.faults.retain_mut(|fault| match fault {
        Fault::FalseSample { workload, .. }
        | Fault::Release { workload, .. }
        | Fault::Scale { workload, .. } => {
            let stays = *workload != place;
            *workload -= usize::from(*workload > place);
            stays
        }
        _ => true,
    });
}

fn remove_container(scene: &mut Scene, place: usize, number: usize) {
    let containers = scene.workloads.get_mut(place).map(|workload| &mut workload.containers);
    if let Some(containers) = containers.filter(|containers| containers.len() > 1) {
        containers.remove(number);
    }
}
