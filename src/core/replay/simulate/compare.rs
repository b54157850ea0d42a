//! Comparisons of two runs: with plumb and without, and a namespace beside another and alone.

use super::invariants::{Invariant, Violation};
use super::scene::{Kind, Scene};
use super::{Options, Outcome, Tally, run};

/// Kills of one scene that may be more than without plumb, as chance places them.
const KILLS: u64 = 3;
/// Unready seconds that an eviction, or a restart that the pod's resize policy asks for, may cost: it has to start again.
const EVICTION: u64 = 100;
/// Unready seconds that may be more in any case.
const UNREADY: u64 = 600;

/// Outcomes of a scene with plumb and without, and all that broke.
#[derive(Clone, Debug)]
pub struct Checked {
    /// With plumb.
    pub on: Outcome,
    /// Without plumb.
    pub off: Outcome,
    /// Broken invariants, those of comparisons among them.
    pub violations: Vec<Violation>,
}

/// Plays a scene with plumb, without it, and each namespace alone, and returns all that broke.
#[must_use]
pub fn check(scene: &Scene, options: &Options<'_>) -> Checked {
    let on = run(scene, &Options { plumb: true, ..*options });
    let off = run(scene, &Options { plumb: false, ..*options });
    let mut violations = on.violations.clone();
    if let Some((invariant, message)) = is_worse(&on.total, &off.total) {
        violations.push(violation(scene, invariant, 0, message));
    }
    violations.extend(tenancy(scene, options));
    Checked { on, off, violations }
}

/// Says whether a run with plumb had more kills, or more unready time, than the same without.
#[must_use]
pub fn is_worse(on: &Tally, off: &Tally) -> Option<(Invariant, String)> {
    let most = off.kills + off.node_kills + KILLS;
    let kills = on.kills + on.node_kills;
    if kills > most {
        return Some((Invariant::Kills, format!("{kills} OOM kills with plumb, {} without", most - KILLS)));
    }
    let most =
        off.unready_seconds + off.unready_seconds / 10 + (on.evictions + on.restarts) * EVICTION + UNREADY;
    (on.unready_seconds > most).then(|| {
        let (with, without) = (on.unready_seconds, off.unready_seconds);
        (
            Invariant::Unready,
            format!(
                "{with} s unready with plumb, {} evictions and {} restarts, {without} s without",
                on.evictions, on.restarts
            ),
        )
    })
}

fn violation(scene: &Scene, invariant: Invariant, workload: usize, message: String) -> Violation {
    let at = i64::from(scene.hours) * 3600;
    Violation { invariant, seed: scene.seed, at, workload, pod: 0, message, story: Vec::new() }
}

/// Plays the first namespace alone, on nodes of its own in both runs, and compares how it fares.
fn tenancy(scene: &Scene, options: &Options<'_>) -> Option<Violation> {
    if scene.workloads.iter().all(|workload| workload.namespace == 0) || !scene.faults.is_empty() {
        return None;
    }
    let mut beside = scene.clone();
    let own = beside.pools.len();
    beside.pools.extend(scene.pools.clone());
    for workload in beside.workloads.iter_mut().filter(|workload| workload.namespace != 0) {
        workload.pool += own;
    }
    let mut alone = beside.clone();
    for workload in alone.workloads.iter_mut().filter(|workload| workload.namespace != 0) {
        (workload.kind, workload.replicas, workload.hpa_percent) = (Kind::Deployment, 0, None);
    }
    let (beside, alone) = (run(&beside, options), run(&alone, options));
    let first = |outcome: &Outcome| -> Vec<(usize, Tally)> {
        let all = outcome.workloads.iter().copied().enumerate();
        all.filter(|(place, _)| scene.workloads.get(*place).is_some_and(|one| one.namespace == 0)).collect()
    };
    first(&beside).into_iter().zip(first(&alone)).find_map(|((place, with), (_, without))| {
        let unready = with.unready_seconds > without.unready_seconds * 2 + UNREADY;
        let kills = with.kills > without.kills * 2 + KILLS;
        (unready || kills).then(|| {
            let message = format!(
                "beside other namespaces {} kills and {} s unready, alone {} and {} s",
                with.kills, with.unready_seconds, without.kills, without.unready_seconds
            );
            violation(scene, Invariant::Tenancy, place, message)
        })
    })
}
