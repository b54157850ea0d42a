//! Tests of the simulator, and of plumb in it.

mod faults;
mod kubernetes;

use super::invariants::Invariant;
use super::scene::{Container, Fault, MemoryLimitRule, Method, Policy, Scene, Theme, Usage, Workload};
use crate::replay::trace::Series;
use crate::units::{Bytes, Cores, Timestamp};

use super::{Mutation, Options, Tally, is_worse, run, shrink};

/// A Deployment of three pods that follow their users.
fn simple(seed: u64) -> Scene {
    let container = Container { usage: Usage::Daily, ..Container::default() };
    let workload = Workload { containers: vec![container], ..Workload::default() };
    Scene { seed, workloads: vec![workload], ..Scene::default() }
}

#[test]
fn one_scene_gives_one_log() {
    for scene in [simple(1), Scene { hours: 8, calm_hours: 0, ..Scene::of(Theme::Mixed, 4) }] {
        let (first, second) = (run(&scene, &Options::default()), run(&scene, &Options::default()));
        assert_eq!(first, second);
        assert!(first.total.changes > 0 && first.log_lines > 20, "{first:?}");
    }
    let hash = |seed| run(&simple(seed), &Options::default()).log_hash;
    assert_ne!(hash(1), hash(2));
}

#[test]
fn a_recorded_container_is_followed() {
    let mut trace = Series::new("recorded".to_owned());
    for slot in 0..48 {
        let (cpu, memory) = if slot == 30 { (0.4, 900) } else { (0.1, 200) };
        trace.push(Timestamp(slot * 300), Some(Cores(cpu)), Some(Bytes::from_mib(memory)));
    }
    let mut scene = simple(1);
    scene.hours = 4;
    scene.workloads[0].containers[0] =
        Container { limit_mib: Some(800), usage: Usage::Trace(0), ..Container::default() };
    let traces = [trace];
    let options = Options { plumb: false, traces: &traces, ..Options::default() };
    let outcome = run(&scene, &options);
    let kills: Vec<_> = outcome.log.iter().filter(|line| line.text.contains("OOM killed")).collect();
    assert!(kills.len() >= 3 && kills.iter().all(|line| (9000..9300).contains(&line.at)), "{kills:?}");
    assert_eq!(run(&scene, &Options { plumb: false, ..Options::default() }).total.kills, 0);
}

#[test]
fn without_plumb_nothing_is_changed_and_nothing_is_its_fault() {
    let outcome = run(&simple(3), &Options { plumb: false, ..Options::default() });
    assert_eq!((outcome.total.changes, outcome.total.evictions), (0, 0));
    assert!(outcome.violations.is_empty() && outcome.pod_days > 2.9, "{outcome:?}");
}

/// Seeds of each theme that every test run plays.
const SEEDS: u64 = 2;

/// Breaks nothing but what is known to.
#[test]
fn invariants_hold_over_the_first_seeds_of_each_theme() {
    let mut broken = Vec::new();
    for theme in Theme::ALL {
        let scenes = (0..SEEDS).map(|seed| young(theme, seed)).chain([grown(theme, SEEDS)]);
        for scene in scenes {
            let found = run(&scene, &Options::default()).violations;
            broken.extend(found.into_iter().filter(|one| !faults::KNOWN.contains(&one.invariant)));
        }
    }
    let stories: Vec<_> = broken.iter().map(ToString::to_string).collect();
    assert!(stories.is_empty(), "{}", stories.join("\n"));
}

/// Four hours of a scene, in which plumb knows little.
fn young(theme: Theme, seed: u64) -> Scene {
    Scene { hours: 4, calm_hours: 0, ..Scene::of(theme, seed) }
}

/// Thirty hours of a scene, the last of which plumb knows enough.
fn grown(theme: Theme, seed: u64) -> Scene {
    let mut scene = Scene { hours: 30, calm_hours: 0, ..Scene::of(theme, seed) };
    for workload in &mut scene.workloads {
        workload.replicas = workload.replicas.min(2);
        if workload.policy.memory_limit == MemoryLimitRule::Ratio {
            workload.policy.memory_limit = MemoryLimitRule::Tail;
        }
    }
    scene
}

#[test]
fn faults_that_were_found_stay_mended() {
    let mut wrong = Vec::new();
    for (invariant, scene) in faults::found() {
        let broken = run(&scene, &Options::default()).violations;
        let broken = broken.iter().filter(|one| one.invariant == invariant);
        wrong.extend(broken.map(|one| format!("{one}\n{}", scene.text())));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn plumb_does_no_harm_over_the_seeds_of_a_theme() {
    for theme in [Theme::Policies, Theme::Memory, Theme::Rollouts] {
        let mut sums = [Tally::default(); 2];
        for seed in 0..4 {
            let scene = young(theme, seed);
            for (sum, plumb) in sums.iter_mut().zip([true, false]) {
                sum.add(&run(&scene, &Options { plumb, ..Options::default() }).total);
            }
        }
        assert_eq!(is_worse(&sums[0], &sums[1]), None, "{theme:?}");
    }
}

#[test]
fn a_failing_scene_is_shrunk_and_printed_as_a_test() {
    let large = Container { milli: 4000, limit_mib: None, ..Container::default() };
    let policy = Policy { learn_hours: 0, ..Policy::default() };
    let guilty = Workload { containers: vec![large], policy, ..Workload::default() };
    let scene = Scene {
        seed: 7,
        hours: 6,
        workloads: vec![Workload::default(), guilty, Workload::default()],
        faults: vec![Fault::NoMetrics { at: 200, minutes: 10 }],
        ..Scene::default()
    };
    let options = Options { mutation: Some(Mutation::NoStep), ..Options::default() };
    let shrunk = shrink::shrink(&scene, Invariant::Step, &options, 300);
    assert_eq!((shrunk.scene.workloads.len(), shrunk.scene.faults.len()), (1, 0), "{shrunk}");
    assert!(shrunk.scene.hours < 6 && shrunk.violation.is_some(), "{shrunk}");
    let text = shrunk.to_string();
    assert!(text.contains("#[test]") && text.contains("..Scene::default()"), "{text}");
}

/// Small scenes in which guards have something to do.
fn clinic() -> Vec<Scene> {
    let scene = |workload: Workload, faults: Vec<Fault>| Scene {
        seed: 5,
        hours: 5,
        workloads: vec![workload],
        faults,
        ..Scene::default()
    };
    let oversized = Container { milli: 3000, mib: 2000, limit_mib: None, ..Container::default() };
    let old = Policy { learn_hours: 0, ..Policy::default() };
    let oversized =
        Workload { replicas: 4, containers: vec![oversized], policy: old.clone(), ..Workload::default() };
    let with = |policy: Policy| Workload { policy, ..oversized.clone() };
    let evict = Policy { method: Method::Evict, ..old.clone() };
    let small = Container { mib: 64, limit_mib: Some(64), full_mib: 250, ..Container::default() };
    let small = Workload { containers: vec![small], policy: old.clone(), ..Workload::default() };
    let bursts = Container {
        milli: 800,
        mib: 300,
        limit_mib: Some(2000),
        usage: Usage::Burst(250),
        ..Container::default()
    };
    let bursts = Workload { containers: vec![bursts], policy: old.clone(), ..Workload::default() };
    vec![
        Scene { hours: 12, ..scene(bursts, Vec::new()) },
        scene(oversized.clone(), vec![Fault::LostWrites { at: 5, minutes: 200, percent: 100 }]),
        scene(with(Policy { shrink: false, ..old.clone() }), Vec::new()),
        scene(with(Policy { most_milli: Some(400), most_mib: Some(500), ..old.clone() }), Vec::new()),
        scene(with(evict.clone()), Vec::new()),
        scene(with(evict), vec![Fault::AdmissionDown { at: 6, minutes: 290 }]),
        scene(small, Vec::new()),
        faults::refused(),
        faults::unbootable(),
        faults::stuck(),
        simple(5),
    ]
}

/// Invariants that a mutation breaks, of those that hold without it.
fn caught(mutation: Mutation) -> Vec<Invariant> {
    let mut caught = Vec::new();
    for scene in clinic() {
        let names = |mutation| -> Vec<_> {
            let found = run(&scene, &Options { mutation, ..Options::default() }).violations;
            found.into_iter().map(|one| one.invariant).collect()
        };
        let before = names(None);
        caught.extend(names(Some(mutation)).into_iter().filter(|one| !before.contains(one)));
    }
    caught.sort();
    caught.dedup();
    caught
}

#[test]
fn each_guard_that_is_taken_away_is_missed() {
    for (mutation, guard) in [
        (Mutation::NoCooldown, Invariant::Cooldown),
        (Mutation::NoStep, Invariant::Step),
        (Mutation::NoBudget, Invariant::Budget),
        (Mutation::BlindToAdmission, Invariant::EvictionWithoutAdmission),
        (Mutation::LimitToUsage, Invariant::LimitBelowPeak),
        (Mutation::NoBounds, Invariant::Bounds),
        (Mutation::ShrinkAnyway, Invariant::LoweredWithoutShrink),
        (Mutation::EmptyStamp, Invariant::UselessEviction),
        (Mutation::DeafToKills, Invariant::OomLoop),
        (Mutation::Swing, Invariant::Swing),
        (Mutation::KeepStamping, Invariant::BlockedCreation),
        (Mutation::KeepStamping, Invariant::Boots),
        (Mutation::HoldRollouts, Invariant::StuckRollout),
        (Mutation::HealAll, Invariant::HealBudget),
        (Mutation::Impatient, Invariant::RestartsItself),
    ] {
        let found = caught(mutation);
        assert!(found.contains(&guard), "{mutation:?} is not caught by {guard}: {found:?}");
    }
}
