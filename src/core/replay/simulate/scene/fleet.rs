//! Generated fleet: usual workloads without faults, to try a policy on.

use super::{Container, Policy, Pool, Scene, Usage, Workload};
use crate::replay::generate::chance::Chance;

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
/// Share of a node's resources that the fleet's requests may take at first.
const PACKED: f64 = 0.6;

impl Scene {
    /// Returns `workloads` Deployments under one policy, whose people ask for one and a half to six times what they use,
    /// on as many nodes of 16 cores and 64 GiB as hold them, for `days`. The same seed gives the same fleet.
    #[must_use]
    pub fn fleet(policy: Policy, workloads: u32, days: u32, seed: u64) -> Self {
        let mut chance = Chance::new(seed);
        let courses = COURSES.iter().cycle();
        let workloads: Vec<_> = (0..workloads)
            .zip(courses)
            .map(|(_, usage)| workload(policy.clone(), *usage, &mut chance))
            .collect();
        let mut pool = Pool { milli: 16_000, mib: 65_536, ..Pool::default() };
        let total = |of: fn(&Container) -> u64| {
            let pods = workloads.iter().flat_map(|load| load.containers.iter().map(move |one| (load, one)));
            pods.map(|(load, one)| of(one).saturating_mul(u64::from(load.replicas))).sum::<u64>() as f64
        };
        let nodes = (total(|one| one.milli) / pool.milli as f64).max(total(|one| one.mib) / pool.mib as f64);
        // Bounded by the number of workloads, each of which asks for less than a few nodes.
        pool.nodes = (nodes / PACKED).ceil().max(2.0) as u32;
        Self { seed, hours: days.saturating_mul(24), pools: vec![pool], workloads, ..Self::default() }
    }
}

fn workload(policy: Policy, usage: Usage, chance: &mut Chance) -> Workload {
    let busy = chance.heavy(50.0, 2000.0);
    let full = chance.heavy(64.0, 4096.0);
    let (cpu, memory) = (chance.between(1.5, 6.0), chance.between(1.2, 3.0));
    let whole = |value: f64| value.ceil().max(1.0) as u64;
    let container = Container {
        milli: whole(busy * cpu),
        mib: whole(full * memory),
        limit_mib: Some(whole(full * memory * chance.between(1.0, 2.0))),
        usage,
        busy_milli: whole(busy),
        full_mib: whole(full),
        ..Container::default()
    };
    let replicas = chance.heavy(2.0, 8.0).floor().max(1.0) as u32;
    Workload { replicas, containers: vec![container], policy, ..Workload::default() }
}
