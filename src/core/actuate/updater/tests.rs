mod boost;
mod canary;
mod class;
mod kills;
mod newcomers;
mod pace;
mod placement;
mod rollback;

use super::*;
use crate::actuate::facts::{MaxUnavailable, Method, Stalled};
use crate::model::Confidence;
use crate::policy::{Amounts, Class, ContainerSize, LimitRules, Recommendation};
use crate::testing::pure::{pod, size};
use crate::units::{Bytes, Cores};

const START: i64 = 1_800_000_000;
const CALM: Settings = Settings {
    paused: false,
    resize_served: true,
    admission_answers: true,
    limits_only_grow: false,
    warming_up: false,
};

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
        limits: LimitRules::default(),
        most: Amounts::default(),
        young: false,
        confidence: Confidence::High,
    }
}

fn workload(wants: Recommendation, pods: Vec<Pod>) -> Workload {
    Workload {
        key: "shop/web".into(),
        advice: vec![("app".into(), wants)],
        given_since: Some(Timestamp(START - 3600)),
        pods,
        ..Workload::default()
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
fn each_reason_to_leave_a_pod_alone_is_named() {
    type Change = fn(&mut Workload);
    let cases: [(Hold, Change); 15] = [
        (Hold::OwnedByVpa, |web| web.rules.owned_by_vpa = true),
        (Hold::ResizedByOther, |web| web.rules.resized_by_other = true),
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
            web.rules.method = Method::Evict;
            web.pods[0].revision = Some("r2".into());
            web.pods[0].ready = false;
            web.pods[0].running = false;
        }),
        (Hold::Rollout, |web| {
            web.rolls_out_in_steps = true;
            web.pods[0].revision = Some("r2".into());
        }),
        (Hold::HorizontalPodAutoscaler, |web| {
            web.pods.iter_mut().for_each(|pod| pod.containers[0].cpu_scaled = true);
            web.advice[0].1.target.memory_request = Some(Bytes::from_mib(256));
            web.advice[0].1.lower.memory_request = Some(Bytes::from_mib(200));
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
fn growth_waits_for_five_minutes_and_a_shrink_for_half_an_hour_after_it() {
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
    world.now += 296;
    assert_eq!(world.turn(&mut web).actions.len(), 1);
    web.advice[0].1 = exact(10, 56, 64);
    world.now += 1400;
    assert!(world.plan(std::slice::from_ref(&web)).actions.is_empty());
    world.now += 100;
    assert_eq!(world.turn(&mut web).actions.len(), 1);
}

#[test]
fn what_may_have_grown_is_not_taken_back_by_the_next_process() {
    let mut web = workload(advice(100, 256, 700), vec![pod(1, size(500, 256, 700))]);
    let mut shrinks_after = |resized: Option<Timestamp>| {
        let mut world = World::new();
        web.pods[0].resized = resized;
        (0..100).map(|turn| turn * 60).find(|seconds| {
            world.now = START + seconds;
            !world.plan(std::slice::from_ref(&web)).actions.is_empty()
        })
    };
    assert_eq!(shrinks_after(None), Some(60));
    assert_eq!(shrinks_after(Some(Timestamp(START - 900))), Some(900), "half an hour after it");
    assert_eq!(shrinks_after(Some(Timestamp(START - 9000))), Some(60));
}

#[test]
fn the_cooldown_is_known_to_the_next_process() {
    let mut web = workload(advice(500, 256, 700), vec![pod(1, size(200, 256, 700))]);
    let mut world = World::new();
    web.pods[0].resized = Some(Timestamp(world.now - 100));
    assert_eq!(world.held(&web), [Hold::Cooldown]);
    world.now += 200;
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
