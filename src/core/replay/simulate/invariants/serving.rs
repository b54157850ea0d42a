//! Invariants of serving: evictions, restarts and OOM loops.

use super::{Invariant, Watch, within_an_hour};
use crate::actuate::Action;
use crate::actuate::facts::{MaxUnavailable, Method};
use crate::policy::MemoryLimitRule;
use crate::replay::simulate::faults::Now;
use crate::replay::simulate::scene::{Kind, Usage, Workload};
use crate::replay::simulate::size::{Size, mib};
use crate::replay::simulate::world::{Pod, RESTARTS, State, World};

/// Kills closer together than this belong to one loop, in seconds.
const LOOP_GAP: i64 = 900;
/// Seconds within which a loop is healed.
const HEALS: i64 = 3600;
/// Seconds within which a successor is compared with the pod whose place it takes.
const COMES: i64 = 3600;
/// Kills from which on it is a loop.
const LOOP_KILLS: u32 = 6;

impl Watch {
    /// plumb asks for an eviction.
    pub(in crate::replay::simulate) fn evicts(
        &mut self,
        world: &World<'_>,
        (load, id): (usize, u64),
        action: &Action,
        going: &Now,
    ) {
        let Some(pod) = world.pod(load, id) else { return };
        if pod.ready {
            if action.urgent {
                let message = "a Ready pod is evicted at once".to_owned();
                self.broke(world, Invariant::HealthyEvicted, (load, id), message);
            }
            self.check_budget(world, (load, id), going);
        }
        if action.urgent && pod.node.is_some() {
            self.check_healing(world, (load, id), going);
        }
        let unstamped = self.loads.get(load).and_then(|past| past.unstamped);
        if unstamped.is_some_and(|at| world.now - at < 3600) {
            let message = "the successor of the last evicted pod came up without sizes".to_owned();
            self.broke(world, Invariant::EvictionWithoutAdmission, (load, id), message);
        }
    }

    /// Checks the replacement of a pod in an OOM loop.
    fn check_healing(&mut self, world: &World<'_>, (load, id): (usize, u64), going: &Now) {
        let (Some(workload), Some(state), Some(pod)) =
            (world.scene.workloads.get(load), world.loads.get(load), world.pod(load, id))
        else {
            return;
        };
        // Who sees nothing new cannot know what has changed since.
        if going.stale || going.late || going.two_leaders || going.lost_answers > 0 {
            return;
        }
        let waits = |state: State| matches!(state, State::Backoff(until) if until - world.now > RESTARTS);
        if !pod.containers.iter().any(|container| waits(container.state)) {
            let message = "no container of it is kept down by the back-off".to_owned();
            self.broke(world, Invariant::RestartsItself, (load, id), message);
        }
        let replicas = state.replicas as usize;
        let allowed = MaxUnavailable::Percent(workload.policy.max_unavailable).of(replicas);
        let staying = || state.pods.iter().filter(|pod| pod.stays());
        let was_killed = |pod: &Pod| pod.containers.iter().any(|container| container.oom_killed.is_some());
        let coming = staying().filter(|pod| !pod.ready && !was_killed(pod)).count();
        let coming = coming + replicas.saturating_sub(staying().count());
        if coming > allowed {
            let message = format!("{coming} of {replicas} are being replaced, and {allowed} may be missing");
            self.broke(world, Invariant::HealBudget, (load, id), message);
        }
    }

    /// Notes an eviction that was accepted.
    pub(in crate::replay::simulate) fn evicted(&mut self, world: &World<'_>, (load, id): (usize, u64)) {
        let had: Vec<_> = world
            .pod(load, id)
            .map(|pod| pod.containers.iter().map(|one| (one.given, one.in_force)).collect())
            .unwrap_or_default();
        let replicas = world.loads.get(load).map_or(0, |load| load.replicas as usize);
        let Some(past) = self.loads.get_mut(load) else { return };
        past.evicted.push_back((id, world.now, had));
        let (count, most) = (within_an_hour(&mut past.evictions, world.now), 4 + 3 * replicas);
        if count > most {
            let message = format!("{count} evictions of one workload within an hour");
            self.broke(world, Invariant::Endless, (load, id), message);
        }
    }

    /// A resize that restarts containers disrupts the pod.
    pub(super) fn check_restart(
        &mut self,
        world: &World<'_>,
        (load, id): (usize, u64),
        sizes: &[Size],
        going: &Now,
    ) {
        let (Some(workload), Some(pod)) = (world.scene.workloads.get(load), world.pod(load, id)) else {
            return;
        };
        let mut parts = pod.containers.iter().zip(&workload.containers).zip(sizes);
        let restarts = parts.any(|((container, spec), after)| {
            let (old, new) = (&container.asked, after);
            spec.cpu_restarts && (old.cpu, old.cpu_limit) != (new.cpu, new.cpu_limit)
                || spec.memory_restarts && (old.memory, old.memory_limit) != (new.memory, new.memory_limit)
        });
        if restarts && pod.ready {
            self.check_budget(world, (load, id), going);
        }
    }

    fn check_budget(&mut self, world: &World<'_>, (load, id): (usize, u64), going: &Now) {
        let (Some(workload), Some(state)) = (world.scene.workloads.get(load), world.loads.get(load)) else {
            return;
        };
        // Who sees nothing new cannot know of the harm that others do.
        if going.stale || going.late || matches!(workload.kind, Kind::Job | Kind::CronJob | Kind::Bare) {
            return;
        }
        let replicas = state.replicas as usize;
        let allowed = MaxUnavailable::Percent(workload.policy.max_unavailable).of(replicas);
        let ready = state.pods.iter().filter(|pod| pod.available()).count();
        if ready.saturating_sub(1) + allowed < replicas {
            let message = format!("{ready} of {replicas} pods are Ready, and {allowed} may be missing");
            self.broke(world, Invariant::Budget, (load, id), message);
        }
    }

    /// Compares a new pod with the evicted one whose place it takes.
    pub(super) fn check_successor(&mut self, world: &World<'_>, (load, id): (usize, u64), going: &Now) {
        let Some(pod) = world.pod(load, id) else { return };
        let Some(past) = self.loads.get_mut(load) else { return };
        let Some((evicted, at, had)) = past.evicted.pop_front() else { return };
        past.unstamped = (!pod.stamped).then_some(world.now);
        let same = pod.containers.iter().zip(&had).all(|(container, (given, in_force))| {
            container.asked == *given && *in_force == given.memory_limit
        });
        // What a quota has kept from being created for hours is given what is known by then.
        if same && !going.admission_down && world.now - at < COMES {
            let message = format!("pod {id} comes up with what the evicted pod {evicted} had");
            self.broke(world, Invariant::UselessEviction, (load, 0), message);
        }
    }

    /// Looks for OOM loops that go on.
    pub(super) fn look_for_loops(&mut self, world: &World<'_>, going: &Now) {
        let now = world.now;
        for kill in &world.kills {
            let Some(workload) = world.scene.workloads.get(kill.load) else { continue };
            let by_node = world
                .pod(kill.load, kill.pod)
                .and_then(|pod| pod.containers.get(kill.container))
                .is_some_and(|container| container.killed_by_node);
            let known = self.loads.get_mut(kill.load).and_then(|past| past.loops.get_mut(kill.container));
            let Some(known) = known.filter(|_| !by_node) else { continue };
            let (first, count) = match *known {
                Some((first, last, count)) if now - last < LOOP_GAP && !going.any => (first, count + 1),
                _ => (now, 1),
            };
            *known = Some((first, now, count));
            let since = now - first;
            if since > HEALS && count >= LOOP_KILLS && could_be_healed(world, workload, kill.container) {
                let message = format!("container {} was killed {count} times in {since} s", kill.container);
                self.broke(world, Invariant::OomLoop, (kill.load, kill.pod), message);
            }
        }
    }
}

/// Whether the policy, the namespace and a node of the pool allow what the container needs.
fn could_be_healed(world: &World<'_>, workload: &Workload, container: usize) -> bool {
    let (Some(spec), policy) = (workload.containers.get(container), &workload.policy) else { return false };
    let bounded = match spec.usage {
        Usage::Leak(_) => return false,
        Usage::FollowsLimit(percent) if percent >= 95 => return false,
        Usage::Burst(percent) => u64::from(percent),
        _ => 250,
    };
    let need = mib(spec.full_mib) * bounded / 100 * 2;
    let namespace = world.scene.namespaces.get(workload.namespace);
    let allows = |most: Option<u64>| most.is_none_or(|most| mib(most) >= need);
    let pool = world.scene.pools.get(workload.pool);
    let others: u64 = workload.containers.iter().map(|other| mib(other.full_mib)).sum();
    policy.acts
        && policy.method == Method::InPlaceOrEvict
        && matches!(policy.memory_limit, MemoryLimitRule::Tail | MemoryLimitRule::Equal)
        && workload.operator_minutes.is_none()
        && workload.min_available.is_none()
        && !matches!(workload.kind, Kind::Job | Kind::CronJob | Kind::Bare)
        && allows(policy.most_mib)
        && namespace.is_none_or(|namespace| {
            allows(namespace.most_mib)
                && namespace.quota_mib.is_none()
                && namespace.quota_limits_mib.is_none()
                && namespace.ratio.is_none()
        })
        && pool.is_some_and(|pool| mib(pool.mib) >= need + 2 * others)
}
