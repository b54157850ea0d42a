//! Generated fleet: usual workloads without faults, to try a policy on.

use super::{Container, Policy, Pool, Scene, Usage, Workload};
use crate::policy::ContainerSize;
use crate::replay::generate::chance::Chance;
use crate::units::{Cores, MIB};

/// Courses of usage, in turn; those that are most usual more than once.
const COURSES: [Usage; 10] = [
    Usage::Daily,
    Usage::Steady,
    Usage::Jvm,
    Usage::Idle,
    Usage::Daily,
    Usage::Spiky,
    Usage::Batch,
    Usage::Caching,
    Usage::Growing,
    Usage::Shift,
];
/// Nodes of a fleet at most.
const MOST_NODES: u32 = 100_000;
/// Share of a node's resources that the fleet's requests may take at first.
const PACKED: f64 = 0.6;

impl Scene {
    /// Returns `workloads` Deployments under one policy, whose people ask for one and a half to six times what they use,
    /// on as many nodes of 16 cores and 64 GiB as hold them, for `days`. The same seed gives the same fleet.
    #[must_use]
    pub fn fleet(policy: &Policy, workloads: u32, days: u32, seed: u64) -> Self {
        let mut chance = Chance::new(seed);
        let courses = COURSES.iter().cycle();
        let loads = (0..workloads).zip(courses);
        on_nodes(loads.map(|(_, usage)| workload(policy.clone(), *usage, &mut chance)).collect(), days, seed)
    }

    /// Returns a Deployment of one pod for each recorded container, of the `size` that people gave it; its usage is that
    /// of the trace of the same place in [`Options::traces`](crate::replay::simulate::Options::traces).
    #[must_use]
    pub fn recorded(policy: &Policy, sizes: &[ContainerSize], days: u32, seed: u64) -> Self {
        let recorded = (0_u32..).zip(sizes).map(|(place, size)| {
            let container = Container {
                milli: size.cpu_request.map_or(0, Cores::to_milli),
                limit_milli: size.cpu_limit.map(Cores::to_milli),
                mib: size.memory_request.map_or(0, |memory| memory.0.div_ceil(MIB)),
                limit_mib: size.memory_limit.map(|memory| memory.0.div_ceil(MIB)),
                usage: Usage::Trace(place),
                ..Container::default()
            };
            Workload {
                replicas: 1,
                containers: vec![container],
                policy: policy.clone(),
                ..Workload::default()
            }
        });
        on_nodes(recorded.collect(), days, seed)
    }
}

/// The workloads on as many nodes as hold what they ask for, and some room.
fn on_nodes(workloads: Vec<Workload>, days: u32, seed: u64) -> Scene {
    let mut pool = Pool { milli: 16_000, mib: 65_536, ..Pool::default() };
    let total = |of: fn(&Container) -> u64| {
        let pods = workloads.iter().flat_map(|load| load.containers.iter().map(move |one| (load, one)));
        pods.map(|(load, one)| of(one).saturating_mul(u64::from(load.replicas))).sum::<u64>() as f64
    };
    let nodes = (total(|one| one.milli) / pool.milli as f64).max(total(|one| one.mib) / pool.mib as f64);
    pool.nodes = u32::try_from(whole(nodes / PACKED)).unwrap_or(u32::MAX).clamp(2, MOST_NODES);
    Scene { seed, hours: days.saturating_mul(24), pools: vec![pool], workloads, ..Scene::default() }
}

/// Rounded up to a whole number, at least 1.
fn whole(value: f64) -> u64 {
    Cores(value.max(1.0) / 1000.0).to_milli()
}

fn workload(policy: Policy, usage: Usage, chance: &mut Chance) -> Workload {
    let busy = chance.heavy(50.0, 2000.0);
    let full = chance.heavy(64.0, 4096.0);
    let (cpu, memory) = (chance.between(1.5, 6.0), chance.between(1.2, 3.0));
    let container = Container {
        milli: whole(busy * cpu),
        mib: whole(full * memory),
        limit_mib: Some(whole(full * memory * chance.between(1.0, 2.0))),
        usage,
        busy_milli: whole(busy),
        full_mib: whole(full),
        ..Container::default()
    };
    let replicas = u32::try_from(whole(chance.heavy(1.0, 7.0))).unwrap_or(1);
    Workload { replicas, containers: vec![container], policy, ..Workload::default() }
}
