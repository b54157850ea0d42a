//! Invariants of pace: how far, how often, and not to and fro.

use super::{Invariant, Move, Watch, within_an_hour};
use crate::actuate::step::AFTER_GROWTH;
use crate::actuate::{Action, Deed};
use crate::replay::simulate::faults::Now;
use crate::replay::simulate::size::{Size, mib};
use crate::replay::simulate::world::World;

/// Most resizes of a pod in an hour.
const RESIZES: usize = 12;
/// Most refusals of a pod in an hour: about one a minute.
const REFUSALS: usize = 70;
/// Moves by less than this share are no swing.
const SWINGS: f64 = 0.1;
/// Seconds that growth waits for after a change; less where the cooldown is shorter.
const GROWTH_PAUSE: i64 = 300;
/// Seconds by which clocks may differ.
const SLACK: i64 = 10;

impl Watch {
    /// Checks steps and cooldown of a resize.
    pub(super) fn check_pace(
        &mut self,
        world: &World<'_>,
        (load, id): (usize, u64),
        (action, sizes): (&Action, &[Size]),
        going: &Now,
    ) {
        let (Some(workload), Some(pod)) = (world.scene.workloads.get(load), world.pod(load, id)) else {
            return;
        };
        if !matches!(action.deed, Deed::Resize(_)) {
            return;
        }
        let policy = &workload.policy;
        let least = 1.0 - f64::from(policy.max_shrink) / 100.0;
        for (container, after) in pod.containers.iter().zip(sizes) {
            let before = &container.asked;
            let pairs = [
                ("CPU request", before.cpu, after.cpu, 2.0),
                ("memory request", before.memory, after.memory, mib(2) as f64),
                ("CPU limit", before.cpu_limit, after.cpu_limit, 2.0),
                ("memory limit", before.memory_limit, after.memory_limit, mib(2) as f64),
            ];
            for (what, before, after, grain) in pairs {
                let (Some(old), Some(new)) = (before, after) else { continue };
                if (new as f64) < old as f64 * least - grain {
                    let percent = policy.max_shrink;
                    let message = format!("{what} {old} -> {new} is more than {percent} % at once");
                    self.broke(world, Invariant::Step, (load, id), message);
                }
            }
        }
        let changed = self.pods.get(&id).and_then(|past| past.changed);
        if let Some(at) = changed.filter(|_| !action.urgent && !going.two_leaders) {
            // Growth waits for a part of the cooldown only, and a shrink of another resource may come with it.
            let (since, cooldown) = (world.now - at, i64::from(policy.cooldown).min(GROWTH_PAUSE));
            if since + SLACK < cooldown {
                let message = format!("changed again after {since} s, with a cooldown of {cooldown} s");
                self.broke(world, Invariant::Cooldown, (load, id), message);
            }
        }
    }

    /// Notes a resize that was accepted, and looks for swings and loops.
    pub(in crate::replay::simulate) fn resized(
        &mut self,
        world: &World<'_>,
        (load, id): (usize, u64),
        (action, before, after): (&Action, &[Size], &[Size]),
    ) {
        let now = world.now;
        if before.iter().zip(after).any(|(before, after)| after.most(before) != *before) {
            self.count_late(world, (load, id));
        }
        let killed = world.pod(load, id).map(|pod| {
            let kills = pod.containers.iter().filter_map(|container| container.oom_killed);
            kills.max().unwrap_or(i64::MIN)
        });
        let past = self.pods.entry(id).or_default();
        past.changed = Some(now);
        let count = within_an_hour(&mut past.resizes, now);
        past.moves.resize(before.len(), [None; 3]);
        let mut swings = None;
        let others = past.others;
        for (moves, (before, after)) in past.moves.iter_mut().zip(before.iter().zip(after)) {
            let pairs = [
                ("CPU request", before.cpu, after.cpu, AFTER_GROWTH[0]),
                ("memory request", before.memory, after.memory, AFTER_GROWTH[1]),
                ("memory limit", before.memory_limit, after.memory_limit, AFTER_GROWTH[1]),
            ];
            for (last, (what, old, new, wait)) in moves.iter_mut().zip(pairs) {
                let (Some(old), Some(new)) = (old, new) else { continue };
                let share = (new as f64 - old as f64) / old.max(1) as f64;
                if share.abs() < SWINGS {
                    continue;
                }
                let grew = share > 0.0;
                // Growth after a shrink answers a need; what had grown and is taken back at once was none.
                let undone = last.filter(|last| last.grew && !grew && now - last.at < wait);
                let by_others = others.is_some_and(|at| undone.is_some_and(|last| at >= last.at));
                let by_kill = killed.is_some_and(|at| undone.is_some_and(|last| at >= last.at)) && grew;
                if let Some(last) = undone.filter(|_| !by_others && !by_kill)
                    && matches!(action.deed, Deed::Resize(_))
                {
                    swings = Some(format!("{what} {old} -> {new} undoes a change {} s ago", now - last.at));
                }
                *last = matches!(action.deed, Deed::Resize(_)).then_some(Move { at: now, grew });
            }
        }
        if let Some(message) = swings {
            self.broke(world, Invariant::Swing, (load, id), message);
        }
        let cooldown = world.scene.workloads.get(load).map_or(600, |workload| workload.policy.cooldown);
        let most = RESIZES.max(usize::try_from(3600 / cooldown.max(60)).unwrap_or(0) + 4);
        if count > most {
            let message = format!("{count} resizes of one pod within an hour");
            self.broke(world, Invariant::Endless, (load, id), message);
        }
    }

    /// Counts a refusal, or a write that was lost.
    pub(in crate::replay::simulate) fn count_refusal(
        &mut self,
        world: &World<'_>,
        (load, id): (usize, u64),
        why: &str,
    ) {
        let count = within_an_hour(&mut self.pods.entry(id).or_default().refusals, world.now);
        if count > REFUSALS {
            let message = format!("{count} refusals of one pod within an hour, the last: {why}");
            self.broke(world, Invariant::Endless, (load, id), message);
        }
    }
}
