//! Faults of plumb that the simulator found, each as the scene that it was shrunk to; they are mended.
//!
//! Other scenes break the invariants in [`KNOWN`] still, and the tests of all seeds pass these over. Who mends the last
//! cause takes it from there.

use crate::replay::simulate::invariants::Invariant;
use crate::replay::simulate::scene::{
    Container, CpuLimitRule, Fault, Kind, MemoryLimitRule, Method, Namespace, Objective, Part, Policy, Pool,
    Scene, Usage, Workload,
};

fn container(milli: u64, mib: u64, limit_mib: u64) -> Container {
    Container { milli, mib, limit_mib: Some(limit_mib), ..Container::default() }
}

fn scene(seed: u64, hours: u32, workload: Workload) -> Scene {
    Scene { seed, hours, workloads: vec![workload], ..Scene::default() }
}

/// Two replicas of one container under a policy.
fn two(container: Container, policy: Policy) -> Workload {
    Workload { replicas: 2, containers: vec![container], policy, ..Workload::default() }
}

/// Invariants that are known to break.
pub(super) const KNOWN: [Invariant; 3] = [Invariant::UselessEviction, Invariant::Kills, Invariant::Unready];

/// Each mended fault with the invariant that it broke.
pub(super) fn found() -> Vec<(Invariant, Scene)> {
    let usual = Policy::default;
    let evict = || Policy { method: Method::Evict, min_replicas: 1, ..usual() };
    let ratio = || Policy { memory_limit: MemoryLimitRule::Ratio, ..usual() };
    let jvm =
        Container { usage: Usage::Jvm, busy_milli: 95, full_mib: 438, boots: 41, ..container(475, 481, 962) };
    let small = Container { usage: Usage::Batch, full_mib: 106, ..container(308, 84, 84) };
    let guaranteed = |milli, mib| Container { limit_milli: Some(milli), ..container(milli, mib, mib) };
    let tight = Namespace { most_mib: Some(2048), ..Namespace::default() };
    vec![
        // The first sample cuts the memory limit.
        (Invariant::LoweredWhileYoung, scene(0, 1, two(container(500, 594, 2376), usual()))),
        // A limit is lowered as far as it goes, whatever the step.
        (Invariant::Step, scene(0, 1, two(container(500, 594, 2376), usual()))),
        // A shrink is undone within minutes.
        (Invariant::Swing, scene(1, 4, two(jvm.clone(), usual()))),
        // Rule Equal adds a CPU limit, and the pod would become Guaranteed.
        (Invariant::QosClass, scene(1, 1, two(jvm, Policy { cpu_limit: CpuLimitRule::Equal, ..usual() }))),
        // The ratio of what runs is applied to the target, and the request keeps its own.
        (Invariant::TemplateRatio, scene(0, 2, two(container(500, 276, 414), ratio()))),
        // The limit falls onto the request, and below what was used within the hour.
        (
            Invariant::LimitBelowPeak,
            scene(16, 2, two(Container { full_mib: 316, ..container(1800, 632, 632) }, ratio())),
        ),
        // The limit runs away until a LimitRange refuses it.
        (
            Invariant::LimitRange,
            Scene {
                namespaces: vec![tight],
                ..scene(
                    8,
                    5,
                    two(
                        Container { full_mib: 376, boots: 79, ..container(1060, 413, 826) },
                        Policy {
                            shrink: false,
                            objective: Objective::Economy,
                            method: Method::InPlace,
                            ..ratio()
                        },
                    ),
                )
            },
        ),
        // The target's limit is set, and the request stays below it.
        (
            Invariant::KeepLimit,
            scene(
                0,
                10,
                Workload {
                    replicas: 5,
                    containers: vec![Container {
                        limit_milli: Some(884),
                        limit_mib: None,
                        usage: Usage::Daily,
                        busy_milli: 737,
                        full_mib: 167,
                        ..container(442, 334, 334)
                    }],
                    ..Workload::default()
                },
            ),
        ),
        // shrink: false is about requests alone.
        (
            Invariant::LoweredWithoutShrink,
            scene(
                0,
                1,
                two(
                    Container { full_mib: 120, ..container(173, 402, 804) },
                    Policy { shrink: false, ..usual() },
                ),
            ),
        ),
        // maxAllowed is passed by the headroom of a limit under rule Ratio.
        (
            Invariant::Bounds,
            scene(
                6,
                8,
                Workload {
                    replicas: 1,
                    containers: vec![Container {
                        limit_milli: Some(2568),
                        usage: Usage::Jvm,
                        busy_milli: 642,
                        full_mib: 461,
                        boots: 10,
                        ..container(1284, 368, 1472)
                    }],
                    policy: Policy {
                        objective: Objective::Economy,
                        cpu_limit: CpuLimitRule::Ratio,
                        most_milli: Some(1000),
                        max_shrink: 90,
                        ..usual()
                    },
                    ..Workload::default()
                },
            ),
        ),
        // Each new pod gets another size in the first hour, and is evicted for it.
        (Invariant::Endless, scene(10, 1, two(small, evict()))),
        // Rule Keep: the updater wants a limit that admission does not give.
        (
            Invariant::UselessEviction,
            scene(
                17,
                2,
                Workload {
                    replicas: 5,
                    containers: vec![Container { busy_milli: 103, full_mib: 68, ..container(61, 54, 54) }],
                    policy: Policy {
                        memory_limit: MemoryLimitRule::Keep,
                        method: Method::Evict,
                        max_unavailable: 50,
                        ..usual()
                    },
                    ..Workload::default()
                },
            ),
        ),
        // What is stamped is refused for ever, fails for ever, or waits for ever.
        (Invariant::BlockedCreation, refused()),
        (Invariant::Boots, unbootable()),
        (Invariant::StuckRollout, stuck()),
        // A budget is of the pods that are there, and not of those that should be.
        (
            Invariant::Budget,
            Scene {
                faults: vec![Fault::Scale { at: 224, workload: 0, replicas: 2 }],
                ..scene(
                    7,
                    4,
                    Workload {
                        replicas: 1,
                        containers: vec![Container {
                            busy_milli: 601,
                            full_mib: 113,
                            ..container(1202, 169, 253)
                        }],
                        policy: Policy { memory_limit: MemoryLimitRule::Ratio, ..evict() },
                        ..Workload::default()
                    },
                )
            },
        ),
        // What a budget refused for minutes is done once the pod is Ready again.
        (Invariant::HealthyEvicted, Scene { pools: vec![Pool::default(); 2], ..scene(0, 4, daemon()) }),
        // A pod that nobody stamped, as nothing was known yet, makes admission look silent; then nothing heals in place either.
        (
            Invariant::OomLoop,
            scene(
                29,
                4,
                Workload {
                    kind: Kind::StatefulSet,
                    ..two(
                        Container {
                            usage: Usage::Batch,
                            busy_milli: 780,
                            full_mib: 259,
                            ..guaranteed(1560, 518)
                        },
                        usual(),
                    )
                },
            ),
        ),
    ]
}

/// New pods of a second release are refused with what plumb gives them, and not with what their template says.
pub(super) fn refused() -> Scene {
    let policy_milli = Some(400);
    let shrunk = Policy { learn_hours: 0, ..Policy::default() };
    Scene {
        namespaces: vec![Namespace { policy_milli, ..Namespace::default() }],
        faults: vec![Fault::Release { at: 120, workload: 0, percent: 100 }],
        ..scene(3, 4, two(container(500, 512, 1024), shrunk))
    }
}

/// Containers need more CPU to start than to run.
pub(super) fn unbootable() -> Scene {
    let slow = Container { boot_milli: 450, ..container(500, 512, 1024) };
    let shrunk = Policy { learn_hours: 0, ..Policy::default() };
    Scene {
        faults: vec![Fault::Release { at: 120, workload: 0, percent: 100 }],
        ..scene(3, 4, two(slow, shrunk))
    }
}

/// A release's first pod comes up unstamped with far too little CPU, and takes its time to start.
pub(super) fn stuck() -> Scene {
    let slow =
        Container { limit_milli: Some(800), busy_milli: 400, boots: 3000, ..container(100, 512, 1024) };
    Scene {
        faults: vec![
            Fault::AdmissionDown { at: 55, minutes: 120 },
            Fault::Release { at: 60, workload: 0, percent: 100 },
        ],
        ..scene(3, 3, two(slow, Policy::default()))
    }
}

/// Pods whose sidecar follows its limit, and whose budget allows no eviction of a Ready one.
fn daemon() -> Workload {
    let sidecar = Container {
        part: Part::Sidecar,
        limit_milli: Some(273),
        usage: Usage::FollowsLimit(75),
        busy_milli: 456,
        full_mib: 117,
        boots: 74,
        memory_restarts: true,
        ..container(273, 93, 93)
    };
    let cache = Container {
        limit_milli: Some(334),
        usage: Usage::Caching,
        busy_milli: 279,
        full_mib: 349,
        boots: 74,
        ..container(167, 698, 698)
    };
    let leak = Container {
        limit_mib: None,
        usage: Usage::Leak(40),
        busy_milli: 208,
        full_mib: 532,
        boots: 71,
        ..container(416, 1064, 0)
    };
    Workload {
        kind: Kind::DaemonSet,
        replicas: 1,
        containers: vec![sidecar, cache, leak],
        min_available: Some(3),
        ..Workload::default()
    }
}
