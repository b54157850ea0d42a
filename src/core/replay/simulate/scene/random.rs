//! Scenes from seeds: themes that each stress one side of plumb, with everything else drawn by chance.

use super::{
    Container, CpuLimitRule, Fault, Kind, MemoryLimitRule, Method, Namespace, Objective, Part, Policy, Pool,
    Scene, Usage, Workload,
};
use crate::replay::generate::chance::Chance;

/// Sides of plumb that a scene stresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Theme {
    /// Usage of all shapes under policies of every field, and no faults.
    Policies,
    /// Memory that leaks, bursts, or follows its limit; limits that are too small.
    Memory,
    /// Full nodes, small pools, drains.
    Nodes,
    /// Quotas and LimitRanges.
    Quotas,
    /// Releases, scale-ups, partitions, OnDelete.
    Rollouts,
    /// All kinds of controllers, init containers and sidecars.
    Kinds,
    /// Autoscalers, GitOps, operators.
    Others,
    /// Lost watches, writes and answers, restarts, two leaders.
    Faults,
    /// Metrics gaps, false samples, repeated kills, admission down.
    Metrics,
    /// A namespace whose pods are killed without end, beside one that needs help.
    Tenants,
    /// Everything at once.
    Mixed,
    /// Policies that refuse new pods, and containers that do not start with too little.
    Creation,
}

impl Theme {
    /// All themes.
    pub const ALL: [Self; 12] = [
        Self::Policies,
        Self::Memory,
        Self::Nodes,
        Self::Quotas,
        Self::Rollouts,
        Self::Kinds,
        Self::Others,
        Self::Faults,
        Self::Metrics,
        Self::Tenants,
        Self::Mixed,
        Self::Creation,
    ];

    /// Name in lower case.
    #[must_use]
    pub fn name(self) -> String {
        format!("{self:?}").to_lowercase()
    }

    fn is(self, other: Self) -> bool {
        self == other || self == Self::Mixed
    }
}

/// Draws from a list, and numbers.
struct Draw(Chance);

impl Draw {
    fn upto(&mut self, most: u64) -> u64 {
        self.0.next() % most.max(1)
    }

    fn number(&mut self, least: u32, most: u32) -> u32 {
        least + u32::try_from(self.upto(u64::from(most - least) + 1)).unwrap_or(0)
    }

    fn of<T: Copy>(&mut self, list: &[T], otherwise: T) -> T {
        let place = usize::try_from(self.upto(list.len() as u64)).unwrap_or(0);
        list.get(place).copied().unwrap_or(otherwise)
    }

    fn happens(&mut self, percent: u32) -> bool {
        self.upto(100) < u64::from(percent)
    }

    fn maybe<T>(&mut self, percent: u32, value: T) -> Option<T> {
        self.happens(percent).then_some(value)
    }
}

impl Scene {
    /// Makes the scene of a seed, with a theme by the seed.
    #[must_use]
    pub fn from_seed(seed: u64) -> Self {
        let place = usize::try_from(seed % Theme::ALL.len() as u64).unwrap_or(0);
        Self::of(Theme::ALL.get(place).copied().unwrap_or(Theme::Mixed), seed)
    }

    /// Makes the scene of a theme and a seed.
    #[must_use]
    pub fn of(theme: Theme, seed: u64) -> Self {
        let mut draw = Draw(Chance::new(seed ^ (theme as u64 + 1).wrapping_mul(0x9e6c_63d0_876a_9a47)));
        if theme == Theme::Tenants {
            return tenants(seed, &mut draw);
        }
        let calm = draw.happens(25);
        // Longer than a day, as needs follow the day before, too.
        let (hours, calm_hours) = if calm { (58, 28) } else { (30, 0) };
        let pools = pools(theme, &mut draw);
        let namespaces = namespaces(theme, &mut draw);
        let count = draw.number(1, 4);
        let workloads =
            (0..count).map(|_| workload(theme, &mut draw, pools.len(), namespaces.len())).collect();
        let mut scene = Self {
            seed,
            hours,
            calm_hours,
            mended_kubelet: draw.happens(30),
            pools,
            namespaces,
            workloads,
            faults: Vec::new(),
        };
        scene.faults = faults(theme, &mut draw, &scene);
        scene
    }
}

/// Workloads of a namespace whose LimitRange leaves them too little, and after them one of another namespace.
fn tenants(seed: u64, draw: &mut Draw) -> Scene {
    let tight = Namespace { most_mib: Some(100), ..Namespace::default() };
    let small =
        |full_mib| Container { mib: 48, limit_mib: Some(64), full_mib, boots: 5, ..Container::default() };
    let noisy = Workload { namespace: 1, replicas: 6, containers: vec![small(300)], ..Workload::default() };
    let mut workloads = vec![noisy; usize::try_from(draw.number(2, 8)).unwrap_or(2)];
    workloads.push(Workload { replicas: 3, containers: vec![small(150)], ..Workload::default() });
    let pools = vec![Pool { nodes: 4, ..Pool::default() }];
    Scene {
        seed,
        hours: 3,
        pools,
        namespaces: vec![Namespace::default(), tight],
        workloads,
        ..Scene::default()
    }
}

fn pools(theme: Theme, draw: &mut Draw) -> Vec<Pool> {
    let mut pools = vec![Pool { nodes: draw.number(2, 4), ..Pool::default() }];
    if theme.is(Theme::Nodes) {
        pools.push(Pool { nodes: draw.number(1, 3), milli: 2000, mib: draw.of(&[2048, 4096, 8192], 4096) });
    }
    pools
}

fn namespaces(theme: Theme, draw: &mut Draw) -> Vec<Namespace> {
    let mut namespaces = vec![Namespace::default()];
    if theme.is(Theme::Quotas) {
        namespaces.push(Namespace {
            quota_milli: draw.maybe(30, 6000),
            quota_mib: draw.maybe(40, 8192),
            quota_limits_mib: draw.maybe(30, 16_384),
            least_mib: draw.maybe(30, 64),
            most_mib: draw.maybe(40, 2048),
            most_milli: draw.maybe(30, 2000),
            ratio: draw.maybe(30, 4),
            policy_milli: None,
        });
    }
    if theme == Theme::Creation {
        namespaces.push(Namespace { policy_milli: draw.maybe(70, 300), ..Namespace::default() });
    }
    namespaces
}

fn workload(theme: Theme, draw: &mut Draw, pools: usize, namespaces: usize) -> Workload {
    let kinds = [Kind::StatefulSet, Kind::DaemonSet, Kind::Job, Kind::CronJob, Kind::Bare];
    let kind = if theme.is(Theme::Kinds) && draw.happens(75) {
        draw.of(&kinds, Kind::Deployment)
    } else if theme.is(Theme::Rollouts) && draw.happens(50) {
        Kind::StatefulSet
    } else {
        Kind::Deployment
    };
    let replicas = draw.number(1, 5);
    let mut containers = vec![container(theme, draw, Part::Main)];
    if theme.is(Theme::Kinds) {
        if draw.happens(40) {
            containers.insert(0, container(theme, draw, Part::Sidecar));
        }
        if draw.happens(30) {
            containers.insert(0, container(theme, draw, Part::Init));
        }
        if draw.happens(20) {
            containers.push(container(theme, draw, Part::Main));
        }
    }
    let hpa = theme.is(Theme::Others) && draw.happens(40) && kind == Kind::Deployment;
    let last = |count: usize| u64::try_from(count).unwrap_or(1);
    Workload {
        kind,
        namespace: usize::try_from(draw.upto(last(namespaces) * 2)).unwrap_or(0).min(namespaces - 1),
        pool: usize::try_from(draw.upto(last(pools) * 2)).unwrap_or(0).min(pools - 1),
        replicas,
        containers,
        policy: policy(draw),
        min_available: draw.maybe(15, replicas.saturating_sub(1)),
        hpa_percent: hpa.then_some(70),
        hpa_most: 6,
        hpa_moves: hpa && draw.happens(50),
        operator_minutes: draw.maybe(if theme.is(Theme::Others) { 20 } else { 0 }, 60),
        gitops_minutes: draw.maybe(if theme.is(Theme::Others) && !hpa { 30 } else { 0 }, 15),
        partition: if theme.is(Theme::Rollouts) && draw.happens(40) { 1 } else { 0 },
        on_delete: theme.is(Theme::Rollouts) && draw.happens(30),
    }
}

fn container(theme: Theme, draw: &mut Draw, part: Part) -> Container {
    let calm = [
        Usage::Steady,
        Usage::Daily,
        Usage::Batch,
        Usage::Spiky,
        Usage::Jvm,
        Usage::Growing,
        Usage::Caching,
        Usage::Idle,
    ];
    let wild = [
        Usage::Leak(40),
        Usage::Leak(400),
        Usage::FollowsLimit(75),
        Usage::FollowsLimit(92),
        Usage::Burst(160),
        Usage::Burst(220),
    ];
    let usage = if theme.is(Theme::Memory) && draw.happens(60) {
        draw.of(&wild, Usage::Steady)
    } else {
        draw.of(&calm, Usage::Steady)
    };
    let full_mib = u64::from(draw.number(20, 600));
    // People write too much, and now and then too little.
    let percent = u64::from(draw.of(&[80, 110, 150, 200, 400], 150_u32));
    let mib = (full_mib * percent / 100).max(16);
    let busy_milli = u64::from(draw.number(20, 800));
    let milli = (busy_milli * u64::from(draw.of(&[60, 120, 200, 500], 120_u32)) / 100).max(10);
    let guaranteed = draw.happens(15);
    let too_little = theme.is(Theme::Memory) && draw.happens(25);
    let limit = if too_little {
        full_mib * 8 / 10
    } else {
        mib * u64::from(draw.of(&[100, 150, 200, 400], 150_u32)) / 100
    };
    let mib = mib.min(limit);
    let demanding = theme == Theme::Creation && draw.happens(50);
    Container {
        part,
        milli,
        limit_milli: if guaranteed { Some(milli) } else { draw.maybe(40, milli * 2) },
        mib,
        limit_mib: if guaranteed { Some(mib) } else { draw.maybe(85, limit) },
        usage,
        busy_milli,
        full_mib,
        boots: draw.number(2, 90),
        boot_milli: if demanding { milli * 7 / 10 } else { 0 },
        boot_mib: if demanding && limit > 64 { mib * 7 / 10 } else { 0 },
        cpu_restarts: draw.happens(5),
        memory_restarts: draw.happens(10),
    }
}

fn policy(draw: &mut Draw) -> Policy {
    let cpu_limits = [CpuLimitRule::Keep, CpuLimitRule::Ratio, CpuLimitRule::Equal];
    let memory_limits = [MemoryLimitRule::Equal, MemoryLimitRule::Ratio, MemoryLimitRule::Keep];
    let methods = [Method::InPlace, Method::Evict, Method::OnCreate];
    let any = draw.happens(50);
    if !any {
        return Policy { min_replicas: usize::from(draw.happens(70)) + 1, ..Policy::default() };
    }
    let memory_limit =
        if draw.happens(50) { draw.of(&memory_limits, MemoryLimitRule::Tail) } else { MemoryLimitRule::Tail };
    Policy {
        learn_hours: if draw.happens(20) { 0 } else { 24 },
        acts: draw.happens(95),
        objective: draw
            .of(&[Objective::Economy, Objective::Critical, Objective::Balanced], Objective::Balanced),
        cpu_limit: if draw.happens(40) {
            draw.of(&cpu_limits, CpuLimitRule::Keep)
        } else {
            CpuLimitRule::Keep
        },
        memory_limit,
        add_limit: draw.happens(20),
        shrink: draw.happens(80),
        least_milli: draw.of(&[5, 50], 5),
        most_milli: draw.maybe(30, 1000),
        least_mib: draw.of(&[16, 128], 16),
        most_mib: draw.maybe(30, 1000),
        method: if draw.happens(40) { draw.of(&methods, Method::InPlace) } else { Method::InPlaceOrEvict },
        min_replicas: usize::try_from(draw.number(1, 3)).unwrap_or(2),
        max_unavailable: draw.of(&[25, 50, 34], 25),
        max_shrink: draw.of(&[50, 20, 90], 50),
        cooldown: draw.of(&[600, 120, 3600], 600),
        observe: draw.of(&[300, 60], 300),
        min_change: draw.maybe(20, 15),
        window: draw.maybe(15, 2),
    }
}

fn faults(theme: Theme, draw: &mut Draw, scene: &Scene) -> Vec<Fault> {
    let last = (scene.hours - scene.calm_hours) * 60 - 200;
    let nodes = scene.pools.iter().map(|pool| pool.nodes).sum::<u32>();
    let mut faults = Vec::new();
    for _ in 0..draw.number(1, 5) {
        let (at, minutes) = (draw.number(5, last), draw.number(5, 120));
        let workload = usize::try_from(draw.upto(scene.workloads.len() as u64)).unwrap_or(0);
        let node = usize::try_from(draw.upto(u64::from(nodes))).unwrap_or(0);
        let choice = draw.upto(5);
        faults.extend(match (theme, choice) {
            (Theme::Nodes, 0..=2) | (Theme::Mixed, 0) => Some(Fault::FullNode { at, node, minutes }),
            (Theme::Nodes, _) | (Theme::Mixed, 3) => Some(Fault::Drain { at, node, minutes }),
            (Theme::Rollouts, 0..=2) => {
                Some(Fault::Release { at, workload, percent: draw.of(&[60, 100, 100, 150, 220], 100) })
            }
            (Theme::Creation, 0..=3) => {
                Some(Fault::Release { at, workload, percent: draw.of(&[60, 100, 120], 100) })
            }
            (Theme::Creation, _) => Some(Fault::Scale { at, workload, replicas: draw.number(1, 7) }),
            (Theme::Mixed, 1) => Some(Fault::Release { at, workload, percent: 120 }),
            (Theme::Rollouts | Theme::Others, 3) => {
                Some(Fault::Scale { at, workload, replicas: draw.number(1, 7) })
            }
            (Theme::Rollouts, _) => Some(Fault::AdmissionDown { at, minutes }),
            (Theme::Metrics, choice) | (Theme::Mixed, choice @ 2) => {
                Some(blind(draw, choice, at, minutes, workload))
            }
            (Theme::Faults | Theme::Mixed, choice) => Some(lost(draw, choice, at, minutes)),
            _ => None,
        });
    }
    faults
}

fn lost(draw: &mut Draw, choice: u64, at: u32, minutes: u32) -> Fault {
    let percent = draw.of(&[20, 60, 100], 60);
    match choice {
        0 => Fault::StaleWatch { at, minutes: minutes.min(30) },
        1 => Fault::LostWrites { at, minutes, percent },
        2 => Fault::LostAnswers { at, minutes, percent },
        3 if draw.happens(50) => Fault::TwoLeaders { at, minutes: minutes.min(10) },
        3 => Fault::LateWatch { at, minutes },
        _ => Fault::UpdaterRestart { at, step: draw.number(0, 2) },
    }
}

fn blind(draw: &mut Draw, choice: u64, at: u32, minutes: u32, workload: usize) -> Fault {
    match choice {
        0 => Fault::NoMetrics { at, minutes },
        1 => Fault::FalseSample { at, workload, times: draw.of(&[10, 1000], 10) },
        2 => Fault::RepeatedKills { at, minutes },
        3 => Fault::AdmissionDown { at, minutes },
        _ => Fault::RecommenderRestart { at },
    }
}
