mod boost;
mod canary;
mod kills;
mod pace;

use super::*;
use crate::actuate::facts::{Container, MaxUnavailable, Method, Rules, Stalled};
use crate::actuate::step::Pace;
use crate::model::Confidence;
use crate::policy::{Class, ContainerSize, Recommendation};
use crate::units::{Bytes, Cores};

const START: i64 = 1_800_000_000;
const CALM: Settings =
    Settings { paused: false, resize_served: true, admission_answers: true, warming_up: false };

fn size(milli: u64, mib: u64, limit: u64) -> ContainerSize {
    ContainerSize {
        cpu_request: Some(Cores::from_milli(milli)),
        cpu_limit: None,
        memory_request: Some(Bytes::from_mib(mib)),
        memory_limit: Some(Bytes::from_mib(limit)),
    }
}

/// Bounds of a tenth to either side.
fn advice(milli: u64, mib: u64, limit: u64) -> Recommendation {
    let around = |share: u64| ContainerSize {
        cpu_request: Some(Cores::from_milli(milli * share / 100)),
        memory_request: Some(Bytes::from_mib(mib * share / 100)),
        ..ContainerSize::default()
    };
    Recommendation {
        target: size(milli, mib, limit),
        lower: around(90),
        upper: around(110),
        cpu_hold: None,
        memory_hold: None,
        confidence: Confidence::High,
    }
}

fn pod(id: PodId, has: ContainerSize) -> Pod {
    Pod {
        id,
        node: Some("node-1".into()),
        running: true,
        ready: true,
        leaving: false,
        managed: true,
        may_not_be_evicted: false,
        paused: false,
        stamped: true,
        created: Some(Timestamp(START - 86_400)),
        revision: Some("r1".into()),
        resize: Resize::None,
        resized: None,
        class: Class::Burstable,
        sized_as_whole: false,
        stalled: None,
        containers: vec![Container {
            name: "app".into(),
            sidecar: false,
            given: has,
            asked: has,
            boost: None,
            cpu_restarts: false,
            memory_restarts: false,
            restarts: 0,
            down: false,
            oom_killed: None,
        }],
    }
}

fn workload(wants: Recommendation, pods: Vec<Pod>) -> Workload {
    Workload {
        key: "shop/web".into(),
        advice: vec![("app".into(), wants)],
        given_since: Some(Timestamp(START - 3600)),
        rules: Rules {
            method: Method::InPlaceOrEvict,
            min_replicas: 2,
            max_unavailable: MaxUnavailable::Percent(25),
            pace: Pace::default(),
            observe: 300,
            open: true,
            paused: false,
            owned_by_vpa: false,
            loans_only: false,
            cpu_scaled: false,
            memory_scaled: false,
        },
        before: None,
        remembered: Remembered::default(),
        rollback: None,
        scalers: Vec::new(),
        bound_to_nodes: false,
        pods,
    }
}

/// The updater with a clock, in the calm after its start.
struct World {
    updater: Updater,
    now: i64,
    settings: Settings,
}

impl World {
    fn new() -> Self {
        let mut world = Self { updater: Updater::new(10.0, 1.0), now: START, settings: CALM };
        world.plan(&[]);
        world.now += 60;
        world
    }

    fn plan(&mut self, workloads: &[Workload]) -> Plan {
        self.updater.plan(workloads, &self.settings, Timestamp(self.now))
    }

    /// Plans, and does all of it at once: resizes are in force, evicted pods are gone.
    fn turn(&mut self, workload: &mut Workload) -> Plan {
        let plan = self.plan(std::slice::from_ref(workload));
        for action in &plan.actions {
            self.updater.accepted(action, &workload.clone(), Timestamp(self.now));
            match &action.deed {
                Deed::Resize(change) | Deed::PutBack(change) | Deed::EndBoost(change) => {
                    let pod = workload.pods.iter_mut().find(|pod| pod.id == action.pod).unwrap();
                    for new in &change.sizes {
                        let container = pod.containers.iter_mut().find(|c| c.name == new.container).unwrap();
                        (container.asked, container.given) = (new.to, new.to);
                    }
                }
                Deed::Evict => workload.pods.retain(|pod| pod.id != action.pod),
            }
        }
        plan
    }

    fn held(&mut self, workload: &Workload) -> Vec<Hold> {
        let plan = self.plan(std::slice::from_ref(workload));
        assert!(plan.actions.is_empty(), "{:?}", plan.actions);
        plan.workloads[&workload.key].held.keys().copied().collect()
    }
}

fn fleet(count: u128, has: ContainerSize) -> Vec<Pod> {
    (0..count).map(|id| pod(id, has)).collect()
}

#[test]
fn one_pod_goes_first_and_the_others_follow_when_it_does_well() {
    let mut web = workload(advice(500, 512, 700), fleet(8, size(200, 256, 700)));
    let mut world = World::new();
    assert_eq!(world.turn(&mut web).actions.len(), 1, "the canary");
    world.now += 10;
    assert_eq!(world.held(&web), [Hold::Canary]);
    world.now += 300;
    assert_eq!(world.turn(&mut web).actions.len(), 2, "a quarter of eight at once");
    for _ in 0..5 {
        world.now += 30;
        world.turn(&mut web);
    }
    let plan = world.plan(std::slice::from_ref(&web));
    assert_eq!((plan.actions.len(), plan.workloads[&web.key].steady), (0, 8));
}

#[test]
fn harm_is_put_back_alone_and_the_pause_doubles() {
    let old = size(1000, 512, 700);
    let mut web = workload(advice(100, 512, 700), fleet(3, old));
    let mut world = World::new();
    // A shrink is weighed over time.
    assert!(world.plan(std::slice::from_ref(&web)).actions.is_empty());
    world.now += 5;
    let mut pause = 3600;
    for times in 1..=3 {
        let first = world.turn(&mut web);
        let [Action { pod, deed: Deed::Resize(_), .. }] = &first.actions[..] else { panic!("{first:?}") };
        let changed = web.pods.iter().position(|one| one.id == *pod).unwrap();
        web.pods[changed].ready = false;
        world.now += 5;
        assert_eq!(world.held(&web), [Hold::Canary], "a probe may fail once");
        world.now += 11;
        let back = world.turn(&mut web);
        assert!(matches!(&back.actions[..], [Action { deed: Deed::PutBack(_), .. }]), "{back:?}");
        assert!(web.pods.iter().all(|pod| pod.containers[0].asked == old), "all as before");
        web.pods[changed].ready = true;
        world.now += 700;
        let plan = world.plan(std::slice::from_ref(&web));
        assert!(plan.actions.is_empty());
        let said = &plan.workloads[&web.key];
        let harm = said.degraded.as_ref().unwrap();
        assert_eq!((harm.times, harm.until.seconds_since(harm.at)), (times, pause));
        assert_eq!(said.held.keys().collect::<Vec<_>>(), [&Hold::RolledBack]);
        assert_eq!(said.given, Given::Previous, "a release must not bring it back");
        world.now += pause;
        pause *= 2;
    }
}

#[test]
fn what_new_pods_are_given_follows_from_who_wants_what() {
    let has = size(1000, 512, 700);
    let mut web = workload(advice(100, 512, 700), fleet(3, has));
    let before = Before { had: vec![("app".into(), has)], meant: Vec::new() };
    let given = |web: &Workload| {
        let mut world = World::new();
        let plan = world.plan(std::slice::from_ref(web));
        plan.workloads[&web.key].given
    };
    assert_eq!(given(&web), Given::Target);
    let now = Timestamp(World::new().now);
    web.rollback = Some(Rollback::after(None, now));
    assert_eq!(given(&web), Given::Target, "nothing is known from before");
    web.before = Some(before);
    assert_eq!(given(&web), Given::Previous);
    web.rollback = Some(Rollback::after(None, Timestamp(now.0 - 86_400)));
    assert_eq!(given(&web), Given::Target, "its time is over");
    web.rules.owned_by_vpa = true;
    assert_eq!(given(&web), Given::Nothing);
}

#[test]
fn after_a_kill_new_pods_are_given_what_it_taught() {
    let old = size(1000, 512, 700);
    let mut web = workload(advice(1000, 128, 160), fleet(3, old));
    let mut world = World::new();
    let first = world.turn(&mut web);
    let [Action { pod, deed: Deed::Resize(_), .. }] = &first.actions[..] else { panic!("{first:?}") };
    let changed = web.pods.iter().position(|one| one.id == *pod).unwrap();
    web.pods[changed].containers[0].oom_killed = Some(Timestamp(world.now + 1));
    world.now += 2;
    let plan = world.plan(std::slice::from_ref(&web));
    let said = &plan.workloads[&web.key];
    assert!(said.degraded.as_ref().is_some_and(|harm| harm.killed), "{said:?}");
    assert_eq!(said.given, Given::Target);
}

#[test]
fn a_container_that_is_down_after_a_kill_gets_a_new_pod_at_once() {
    let mut small = pod(1, size(50, 64, 64));
    small.ready = false;
    small.created = Some(Timestamp(START - 30));
    small.containers[0].down = true;
    small.containers[0].restarts = 1;
    let mut world = World::new();
    small.containers[0].oom_killed = Some(Timestamp(world.now - 2));
    // One replica, closed windows: it serves nobody as it is.
    let mut web = workload(advice(50, 128, 160), vec![small.clone()]);
    web.rules.open = false;
    let plan = world.turn(&mut web);
    assert!(matches!(&plan.actions[..], [Action { deed: Deed::Evict, urgent: true, .. }]), "{plan:?}");
    assert!(world.plan(std::slice::from_ref(&web)).actions.is_empty(), "once");

    for (why, change) in [
        (Hold::Unmanaged, (|web: &mut Workload| web.pods[0].managed = false) as fn(&mut Workload)),
        (Hold::AdmissionSilent, |web| {
            web.pods[0].stamped = false;
            web.given_since = Some(Timestamp(START - 3600));
        }),
        (Hold::SafeToEvictFalse, |web| web.pods[0].may_not_be_evicted = true),
        (Hold::OnCreateOnly, |web| web.rules.method = Method::OnCreate),
    ] {
        let mut world = World::new();
        let mut web = workload(advice(50, 128, 160), vec![small.clone()]);
        change(&mut web);
        assert_eq!(world.held(&web), [why]);
    }
}

#[test]
fn a_pod_from_before_new_ones_were_given_sizes_says_nothing_of_admission() {
    let mut web = workload(advice(50, 128, 160), fleet(3, size(50, 64, 64)));
    web.rules.method = Method::Evict;
    let made = |web: &mut Workload, at: i64| {
        web.pods.iter_mut().for_each(|pod| (pod.stamped, pod.created) = (false, Some(Timestamp(at))));
    };
    made(&mut web, START - 7200);
    let plan = World::new().plan(std::slice::from_ref(&web));
    assert!(matches!(&plan.actions[..], [Action { deed: Deed::Evict, .. }]), "{plan:?}");
    made(&mut web, START - 60);
    assert_eq!(World::new().held(&web), [Hold::AdmissionSilent]);
}

#[test]
fn a_container_that_runs_again_after_a_kill_grows_in_place_without_waiting() {
    let mut world = World::new();
    world.now = START + 5;
    let mut web = workload(advice(200, 256, 300), fleet(4, size(200, 100, 128)));
    web.pods[2].containers[0].oom_killed = Some(Timestamp(world.now - 1));
    web.pods[2].containers[0].restarts = 1;
    let plan = world.turn(&mut web);
    let [Action { pod: 2, deed: Deed::Resize(change), urgent: true, .. }] = &plan.actions[..] else {
        panic!("{plan:?}")
    };
    assert!(change.sizes[0].to.memory_limit >= Some(Bytes::from_mib(300)));
    // Killed again under the new limit: that did not help.
    world.now += 20;
    web.pods[2].containers[0].oom_killed = Some(Timestamp(world.now - 1));
    web.pods[2].containers[0].restarts = 2;
    let plan = world.turn(&mut web);
    assert!(matches!(&plan.actions[..], [Action { pod: 2, deed: Deed::Evict, .. }]), "{plan:?}");
}

#[test]
fn each_reason_to_leave_a_pod_alone_is_named() {
    type Change = fn(&mut Workload);
    let cases: [(Hold, Change); 12] = [
        (Hold::OwnedByVpa, |web| web.rules.owned_by_vpa = true),
        (Hold::PodResources, |web| web.pods.iter_mut().for_each(|pod| pod.sized_as_whole = true)),
        (Hold::Paused, |web| web.rules.paused = true),
        (Hold::WindowClosed, |web| web.rules.open = false),
        (Hold::OnCreateOnly, |web| web.rules.method = Method::OnCreate),
        (Hold::BestEffort, |web| {
            web.rules.method = Method::InPlace;
            web.pods.iter_mut().for_each(|pod| {
                pod.class = Class::BestEffort;
                (pod.containers[0].asked, pod.containers[0].given) = Default::default();
            });
        }),
        (Hold::MinReplicas, |web| {
            web.rules.method = Method::Evict;
            web.rules.min_replicas = 5;
        }),
        (Hold::MaxUnavailable, |web| {
            web.rules.method = Method::Evict;
            web.rules.max_unavailable = MaxUnavailable::Count(0);
        }),
        (Hold::Rollout, |web| {
            web.pods[0].revision = Some("r2".into());
            web.pods[0].ready = false;
            web.pods[0].running = false;
        }),
        (Hold::HorizontalPodAutoscaler, |web| {
            web.rules.cpu_scaled = true;
            web.advice[0].1.target.memory_request = Some(Bytes::from_mib(256));
            web.advice[0].1.lower.memory_request = Some(Bytes::from_mib(200));
        }),
        (Hold::ResizeInProgress, |web| {
            web.pods.iter_mut().for_each(|pod| pod.resize = Resize::UnderWay);
        }),
        (Hold::NodeFull, |web| {
            web.pods.iter_mut().for_each(|pod| pod.resize = Resize::Deferred);
        }),
    ];
    for (why, change) in cases {
        let mut web = workload(advice(500, 256, 700), fleet(4, size(200, 256, 700)));
        change(&mut web);
        assert_eq!(World::new().held(&web), [why]);
    }
    let web = workload(advice(500, 256, 700), fleet(4, size(200, 256, 700)));
    let mut world = World::new();
    world.settings.paused = true;
    assert!(world.held(&web).contains(&Hold::AllPaused));
    let mut fresh = World { now: START, ..World::new() };
    fresh.updater = Updater::new(10.0, 1.0);
    assert_eq!(fresh.held(&web), [Hold::WarmUp]);
}

#[test]
fn a_growth_that_waits_for_room_is_moved_after_a_while_if_it_may_be() {
    let mut web = workload(advice(500, 256, 700), fleet(4, size(200, 256, 700)));
    web.pods[1].resize = Resize::Deferred;
    web.pods[1].containers[0].asked = size(500, 256, 700);
    web.pods[1].stamped = true;
    let mut world = World::new();
    for pod in [0, 2, 3] {
        web.pods[pod].containers[0].asked = size(500, 256, 700);
        web.pods[pod].containers[0].given = size(500, 256, 700);
    }
    assert_eq!(world.held(&web), [Hold::NodeFull]);
    world.now += 61;
    let plan = world.turn(&mut web);
    assert!(matches!(&plan.actions[..], [Action { pod: 1, deed: Deed::Evict, .. }]), "{plan:?}");
}

#[test]
fn a_limit_below_what_is_used_is_taken_back_and_left_for_hours() {
    let mut web = workload(advice(200, 100, 110), vec![pod(1, size(200, 300, 400))]);
    web.pods[0].resize = Resize::Failing;
    web.pods[0].containers[0].asked = size(200, 100, 110);
    let mut world = World::new();
    assert_eq!(world.held(&web), [Hold::BelowUsage]);
    world.now += 31;
    let plan = world.turn(&mut web);
    assert!(matches!(&plan.actions[..], [Action { deed: Deed::PutBack(_), .. }]), "{plan:?}");
    assert_eq!(web.pods[0].containers[0].asked, size(200, 300, 400));
    web.pods[0].resize = Resize::None;
    world.now += 3600;
    assert_eq!(world.held(&web), [Hold::BelowUsage]);
    world.now += 6 * 3600;
    assert_eq!(world.turn(&mut web).actions.len(), 1, "tried again");
}

#[test]
fn shrinks_that_make_room_go_before_growths_that_want_it() {
    let mut grows = workload(advice(900, 256, 700), fleet(1, size(200, 256, 700)));
    grows.key = "shop/grows".into();
    let mut shrinks = workload(advice(100, 256, 700), vec![pod(10, size(500, 256, 700))]);
    shrinks.key = "shop/shrinks".into();
    let mut waits = workload(advice(300, 256, 700), vec![pod(20, size(200, 256, 700))]);
    waits.key = "shop/waits".into();
    waits.pods[0].resize = Resize::Deferred;
    let order = |workloads: &[Workload]| -> Vec<String> {
        let mut world = World { updater: Updater::new(10.0, 1.0), now: START, settings: CALM };
        world.plan(workloads);
        world.now += 60;
        world.plan(workloads).actions.iter().map(|action| action.workload.to_string()).collect()
    };
    assert_eq!(order(&[grows.clone(), shrinks.clone()]), ["shop/grows", "shop/shrinks"], "by benefit");
    assert_eq!(order(&[grows, shrinks, waits]), ["shop/shrinks", "shop/grows"]);
}

#[test]
fn a_guaranteed_pod_stays_guaranteed() {
    let mut same = size(300, 400, 400);
    same.cpu_limit = same.cpu_request;
    let mut wants = advice(500, 500, 500);
    wants.target.cpu_limit = wants.target.cpu_request;
    let mut web = workload(wants, vec![pod(1, same)]);
    web.pods[0].class = Class::Guaranteed;
    World::new().turn(&mut web);
    let now = web.pods[0].containers[0].asked;
    assert_eq!(now.cpu_request, Some(Cores(0.5)));
    assert_eq!((now.cpu_limit, now.memory_limit), (now.cpu_request, now.memory_request));
}

#[test]
fn what_is_refused_waits_and_rates_hold() {
    let mut web = workload(advice(500, 256, 700), vec![pod(1, size(200, 256, 700))]);
    web.rules.method = Method::InPlace;
    let mut world = World::new();
    let plan = world.plan(std::slice::from_ref(&web));
    world.updater.refused(&plan.actions[0], Hold::AdmissionRefuses, Timestamp(world.now));
    world.now += 599;
    assert_eq!(world.held(&web), [Hold::AdmissionRefuses]);
    world.now += 2;
    assert_eq!(world.plan(std::slice::from_ref(&web)).actions.len(), 1);

    let many: Vec<Workload> = (0..50)
        .map(|i| {
            let mut one = workload(advice(500, 256, 700), vec![pod(i, size(200, 256, 700))]);
            one.key = format!("shop/{i}").into();
            one
        })
        .collect();
    let mut world = World::new();
    let mut done = 0;
    for _ in 0..4 {
        let plan = world.plan(&many);
        for action in &plan.actions {
            let of = many.iter().find(|one| one.key == action.workload).unwrap();
            world.updater.accepted(action, of, Timestamp(world.now));
        }
        done += plan.actions.len();
        world.now += 1;
    }
    // Twenty at once, then ten a second; each one's cooldown keeps it from being counted twice.
    assert_eq!(done, 50);
}

#[test]
fn a_second_growth_waits_for_the_cooldown() {
    let exact = |milli, mib, limit| {
        let mut advice = advice(milli, mib, limit);
        (advice.lower, advice.upper) = (size(milli, mib, limit), size(milli, mib, limit));
        advice
    };
    let mut web = workload(exact(30, 40, 64), vec![pod(1, size(10, 24, 64))]);
    let mut world = World::new();
    assert_eq!(world.turn(&mut web).actions.len(), 1);
    world.now += 2;
    assert!(world.plan(std::slice::from_ref(&web)).workloads[&web.key].held.is_empty());
    web.advice[0].1 = exact(30, 56, 64);
    world.now += 3;
    assert_eq!(world.held(&web), [Hold::Cooldown]);
    world.now += 600;
    assert_eq!(world.turn(&mut web).actions.len(), 1);
}

#[test]
fn the_cooldown_is_known_to_the_next_process() {
    let mut web = workload(advice(500, 256, 700), vec![pod(1, size(200, 256, 700))]);
    let mut world = World::new();
    web.pods[0].resized = Some(Timestamp(world.now - 100));
    assert_eq!(world.held(&web), [Hold::Cooldown]);
    world.now += 500;
    assert_eq!(world.turn(&mut web).actions.len(), 1);
}

#[test]
fn a_server_that_resizes_nothing_is_named_or_pods_are_evicted() {
    let mut web = workload(advice(500, 256, 700), fleet(4, size(200, 256, 700)));
    let mut world = World::new();
    world.settings.resize_served = false;
    web.rules.method = Method::InPlace;
    assert_eq!(world.held(&web), [Hold::ResizeUnsupported]);
    web.rules.method = Method::InPlaceOrEvict;
    let plan = world.turn(&mut web);
    assert!(matches!(&plan.actions[..], [Action { deed: Deed::Evict, .. }]), "{plan:?}");
}

#[test]
fn what_was_before_is_put_back_and_stays_for_as_long_as_it_was_asked_for() {
    let old = size(200, 256, 700);
    let mut web = workload(advice(500, 512, 700), fleet(3, old));
    let mut world = World::new();
    while world.turn(&mut web).workloads[&web.key].steady < 3 {
        world.now += 301;
    }
    let kept = world.updater.before(&web.key).cloned().unwrap();
    assert_eq!(kept.had[0].1, old);
    // Another process, which knows it from what was written, does it as well.
    let mut other = World::new();
    other.now = world.now;
    web.before = Some(kept);
    let asked = Rollback::after(None, Timestamp(world.now));
    web.rollback = Some(asked);
    let mut twin = web.clone();
    assert_eq!(other.turn(&mut twin).actions.len(), 3);
    // A kill does not undo it either: a person has said so.
    web.pods[1].containers[0].oom_killed = Some(Timestamp(world.now - 1));
    let plan = world.turn(&mut web);
    assert!(plan.actions.iter().all(|action| matches!(action.deed, Deed::PutBack(_))), "{plan:?}");
    assert!(web.pods.iter().all(|pod| pod.containers[0].asked == old));
    for later in [1, 60, 600, 3000] {
        let plan = world.plan(std::slice::from_ref(&web));
        assert!(plan.actions.is_empty(), "after {later} s: {plan:?}");
        let said = &plan.workloads[&web.key];
        assert_eq!(said.held.keys().collect::<Vec<_>>(), [&Hold::RolledBack]);
        assert!(said.degraded.as_ref().is_some_and(|degraded| degraded.asked && degraded.times == 1));
        world.now = asked.at.0 + later;
    }
    // Then one goes first again, and it is known still what was before all that.
    world.now = asked.until.0;
    web.pods[1].containers[0].oom_killed = None;
    assert_eq!(world.turn(&mut web).actions.len(), 1);
    assert_eq!(world.updater.before(&web.key).unwrap().had[0].1, old);
    assert_eq!(Rollback::after(Some(asked), Timestamp(world.now)).times, 2);
}

#[test]
fn a_rollback_that_restarts_keeps_to_the_budget() {
    let (old, new) = (size(200, 256, 700), size(500, 256, 700));
    let mut web = workload(advice(500, 256, 700), fleet(4, new));
    web.pods.iter_mut().for_each(|pod| pod.containers[0].cpu_restarts = true);
    web.rules.max_unavailable = MaxUnavailable::Count(1);
    web.before = Some(Before { had: vec![("app".into(), old)], meant: Vec::new() });
    let mut world = World::new();
    web.rollback = Some(Rollback::after(None, Timestamp(world.now)));
    for back in 1..=4 {
        let plan = world.turn(&mut web);
        assert_eq!(plan.actions.len(), 1, "{plan:?}");
        let changed = web.pods.iter().position(|pod| pod.id == plan.actions[0].pod).unwrap();
        // It is told, shows nothing of it at first, is at it, then down, and then up again: meanwhile no other.
        world.now += 5;
        assert!(!world.held(&web).is_empty());
        web.pods[changed].resize = Resize::UnderWay;
        world.now += 120;
        assert!(!world.held(&web).is_empty());
        (web.pods[changed].resize, web.pods[changed].ready) = (Resize::None, false);
        web.pods[changed].containers[0].restarts += 1;
        assert!(!world.held(&web).is_empty());
        web.pods[changed].ready = true;
        assert_eq!(web.pods.iter().filter(|pod| pod.containers[0].asked == old).count(), back);
    }
}

#[test]
fn a_rollback_takes_nothing_that_a_running_pod_cannot_lose() {
    let mut web = workload(advice(500, 256, 700), fleet(1, size(500, 256, 700)));
    let bare = ContainerSize { memory_limit: None, ..size(200, 256, 0) };
    web.before = Some(Before { had: vec![("app".into(), bare)], meant: Vec::new() });
    let mut world = World::new();
    web.rollback = Some(Rollback::after(None, Timestamp(world.now)));
    assert_eq!(world.turn(&mut web).actions.len(), 1);
    assert_eq!(web.pods[0].containers[0].asked, size(200, 256, 700), "the limit stays");
    assert_eq!(world.held(&web), [Hold::RolledBack]);
}

#[test]
fn waiting_for_cpu_after_a_cut_is_harm_and_is_put_back() {
    let old = size(1000, 512, 700);
    let mut web = workload(advice(400, 512, 700), fleet(3, old));
    let waits = |share: f32| Some(Stalled { before: 0.02, now: share });
    let mut world = World::new();
    world.plan(std::slice::from_ref(&web));
    world.now += 5;
    let first = world.turn(&mut web);
    let [Action { pod, deed: Deed::Resize(_), .. }] = &first.actions[..] else { panic!("{first:?}") };
    let changed = web.pods.iter().position(|one| one.id == *pod).unwrap();
    // Some more is no harm, and much more for one reading neither.
    for (stalled, later) in [(0.15, 70), (0.6, 5), (0.1, 70), (0.6, 5)] {
        web.pods[changed].stalled = waits(stalled);
        world.now += later;
        assert_eq!(world.held(&web), [Hold::Canary], "{stalled}");
    }
    world.now += 60;
    let back = world.turn(&mut web);
    assert!(matches!(&back.actions[..], [Action { deed: Deed::PutBack(_), .. }]), "{back:?}");
    assert_eq!(web.pods[changed].containers[0].asked, old);
    let harm = back.workloads[&web.key].degraded.clone().unwrap();
    assert!(
        harm.evidence.contains("60 % of the time") && harm.evidence.contains("2 % before"),
        "{}",
        harm.evidence
    );
}

#[test]
fn a_growth_is_not_blamed_for_what_waits_for_cpu() {
    let mut web = workload(advice(500, 512, 700), fleet(2, size(200, 256, 700)));
    let mut world = World::new();
    world.turn(&mut web);
    web.pods.iter_mut().for_each(|pod| pod.stalled = Some(Stalled { before: 0.0, now: 0.9 }));
    world.now += 100;
    assert_eq!(world.held(&web), [Hold::Canary]);
    world.now += 200;
    assert_eq!(world.turn(&mut web).actions.len(), 1, "the other follows");
}

#[test]
fn what_is_killed_at_the_most_that_it_may_have_is_named_and_not_chased() {
    // At every pace that a back-off has, the shortest of which ends before a lesson does.
    for pace in [4, 30] {
        let mut world = World::new();
        let mut web = workload(advice(50, 96, 96), vec![pod(1, size(50, 96, 96))]);
        for kill in 0..20 {
            web.pods[0].containers[0].oom_killed = Some(Timestamp(world.now));
            web.pods[0].containers[0].restarts = kill + 1;
            web.pods[0].containers[0].down = true;
            assert!(world.plan(std::slice::from_ref(&web)).actions.is_empty(), "kill {kill}");
            world.now += pace;
            web.pods[0].containers[0].down = false;
            // The second is the first that it is told by, and ten seconds are given to learn from it.
            let expected: &[Hold] = if i64::from(kill) * pace < 10 { &[] } else { &[Hold::Leaking] };
            assert_eq!(world.held(&web), expected, "kill {kill}, one in {pace} s");
        }
        // More is allowed: it gets that.
        web.advice[0].1 = advice(50, 128, 160);
        assert_eq!(world.turn(&mut web).actions.len(), 1);
    }
}
