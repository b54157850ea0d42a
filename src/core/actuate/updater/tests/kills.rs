//! OOM kills, and what each is answered by.

use super::*;
use crate::actuate::facts::{BackOff, Container};

/// Killed at that time, and running again.
fn killed(pod: &mut Pod, at: i64) {
    pod.containers[0].oom_killed = Some(Timestamp(at));
    pod.containers[0].restarts += 1;
}

/// Killed again, so that the kubelet waits before it starts it once more.
fn loops(pod: &mut Pod, at: i64) {
    killed(pod, at);
    pod.ready = false;
    (pod.containers[0].down, pod.containers[0].back_off) = (true, BackOff::Delayed);
}

fn evicts_at_once(plan: &Plan) -> bool {
    matches!(&plan.actions[..], [Action { deed: Deed::Evict, urgent: true, .. }])
}

#[test]
fn a_first_kill_is_answered_in_place_whatever_was_changed_before() {
    let mut web = workload(advice(500, 256, 700), fleet(1, size(200, 256, 300)));
    web.advice[0].1.target.memory_limit = Some(Bytes::from_mib(280));
    let mut world = World::new();
    assert_eq!(world.turn(&mut web).actions.len(), 1, "more CPU");
    world.now += 400;
    killed(&mut web.pods[0], world.now - 1);
    web.advice[0].1 = advice(500, 256, 700);
    let plan = world.turn(&mut web);
    let [Action { deed: Deed::Resize(change), urgent: true, .. }] = &plan.actions[..] else {
        panic!("{plan:?}")
    };
    assert!(change.after_oom);
    // Again, and it waits: that did not help.
    world.now += 20;
    loops(&mut web.pods[0], world.now - 1);
    let plan = world.turn(&mut web);
    assert!(evicts_at_once(&plan), "{plan:?}");
}

#[test]
fn a_raise_by_the_process_before_that_did_not_help_is_known() {
    let mut world = World::new();
    let mut web = workload(advice(200, 256, 300), fleet(2, size(200, 256, 300)));
    web.pods[0].resized = Some(Timestamp(world.now - 30));
    loops(&mut web.pods[0], world.now - 5);
    let plan = world.turn(&mut web);
    assert!(matches!(&plan.actions[..], [Action { pod: 0, deed: Deed::Evict, .. }]), "{plan:?}");
}

#[test]
fn what_answers_a_kill_takes_nothing_away() {
    let mut web = workload(advice(100, 256, 700), fleet(1, size(800, 256, 300)));
    let mut world = World::new();
    world.plan(std::slice::from_ref(&web));
    world.now += 60;
    killed(&mut web.pods[0], world.now - 1);
    web.rules.open = false;
    let plan = world.turn(&mut web);
    let [Action { deed: Deed::Resize(change), .. }] = &plan.actions[..] else { panic!("{plan:?}") };
    assert!(!change.shrinks && change.grows, "{change:?}");
    assert_eq!(change.sizes[0].to.cpu_request, Some(Cores(0.8)), "windows are closed");
}

#[test]
fn an_old_kill_is_no_reason_to_hurry() {
    let mut web = workload(advice(200, 256, 700), fleet(2, size(200, 256, 300)));
    let mut world = World::new();
    killed(&mut web.pods[0], world.now - 86_400);
    web.rules.open = false;
    assert_eq!(world.held(&web), [Hold::WindowClosed]);
}

#[test]
fn a_kill_is_answered_although_memory_could_not_be_lowered_before() {
    let mut web = workload(advice(200, 100, 110), vec![pod(1, size(200, 300, 400))]);
    web.pods[0].resize = Resize::Failing;
    web.pods[0].containers[0].asked = size(200, 100, 110);
    let mut world = World::new();
    world.plan(std::slice::from_ref(&web));
    world.now += 31;
    world.turn(&mut web);
    web.pods[0].resize = Resize::None;
    world.now += 700;
    assert_eq!(world.held(&web), [Hold::BelowUsage]);
    // What has nothing to do with it goes on.
    web.advice[0].1 = advice(500, 100, 110);
    let plan = world.turn(&mut web);
    let [Action { deed: Deed::Resize(change), .. }] = &plan.actions[..] else { panic!("{plan:?}") };
    assert_eq!(change.sizes[0].to, size(500, 300, 400));
    world.now += 5;
    assert_eq!(world.held(&web), [Hold::BelowUsage], "and that is known still");
    killed(&mut web.pods[0], world.now);
    web.advice[0].1 = advice(500, 420, 500);
    world.now += 1;
    let plan = world.turn(&mut web);
    assert!(matches!(&plan.actions[..], [Action { deed: Deed::Resize(_), urgent: true, .. }]), "{plan:?}");
}

#[test]
fn a_sidecar_that_keeps_its_pod_from_starting_is_healed() {
    let mut world = World::new();
    let mut web = workload(advice(50, 128, 160), vec![pod(1, size(50, 64, 64))]);
    let stuck = &mut web.pods[0];
    (stuck.running, stuck.ready) = (false, false);
    stuck.containers[0].sidecar = true;
    assert!(world.plan(std::slice::from_ref(&web)).actions.is_empty(), "it has only not started yet");
    loops(&mut web.pods[0], world.now - 1);
    let plan = world.turn(&mut web);
    assert!(evicts_at_once(&plan), "{plan:?}");
}

#[test]
fn a_daemon_sets_pod_that_is_down_gets_a_new_one_on_its_node() {
    let mut world = World::new();
    let mut web = workload(advice(50, 128, 160), vec![pod(1, size(50, 64, 64))]);
    web.bound_to_nodes = true;
    loops(&mut web.pods[0], world.now - 1);
    let plan = world.turn(&mut web);
    assert!(matches!(&plan.actions[..], [Action { deed: Deed::Evict, urgent: true, .. }]), "{plan:?}");
    // For any other reason it is not evicted.
    let mut web = workload(advice(500, 256, 700), fleet(4, size(200, 256, 700)));
    web.bound_to_nodes = true;
    web.rules.method = Method::Evict;
    assert_eq!(World::new().held(&web), [Hold::BoundToNode]);
}

#[test]
fn what_may_only_be_resized_in_place_is_so_once_its_status_says_that_it_waits() {
    let mut world = World::new();
    let mut web = workload(advice(50, 128, 160), vec![pod(1, size(50, 64, 64))]);
    web.rules.method = Method::InPlace;
    loops(&mut web.pods[0], world.now - 1);
    assert_eq!(world.held(&web), [Hold::InPlaceOnly], "a resize is lost as long as it has only ended");
    web.pods[0].containers[0].back_off = BackOff::Shown;
    let plan = world.turn(&mut web);
    assert!(matches!(&plan.actions[..], [Action { deed: Deed::Resize(_), urgent: true, .. }]), "{plan:?}");
    // It was not in force, as on older versions: only a new pod would help.
    world.now += 20;
    loops(&mut web.pods[0], world.now - 1);
    assert_eq!(world.held(&web), [Hold::InPlaceOnly]);
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
fn a_container_in_the_back_off_after_kills_gets_a_new_pod_at_once() {
    let mut small = pod(1, size(50, 64, 64));
    small.created = Some(Timestamp(START - 30));
    let mut world = World::new();
    loops(&mut small, world.now - 2);
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
        (Hold::LeftOut, |web| web.around.left_out = true),
        (Hold::RolledBack, |web| web.around.gives = Given::Previous),
        (Hold::NoGain, |web| web.around.bounds.container.most.memory = Some(Bytes::from_mib(64))),
    ] {
        let mut world = World::new();
        let mut web = workload(advice(50, 128, 160), vec![small.clone()]);
        change(&mut web);
        assert_eq!(world.held(&web), [why]);
    }
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
    loops(&mut web.pods[2], world.now - 1);
    let plan = world.turn(&mut web);
    assert!(matches!(&plan.actions[..], [Action { pod: 2, deed: Deed::Evict, .. }]), "{plan:?}");
}

#[test]
fn what_the_kubelet_restarts_at_once_is_left_to_it() {
    let mut world = World::new();
    let mut web = workload(advice(50, 64, 64), fleet(20, size(50, 64, 64)));
    web.advice.push(("log".into(), advice(50, 128, 160)));
    web.rules.max_unavailable = MaxUnavailable::Count(1);
    for pod in &mut web.pods {
        let log = Container {
            name: "log".into(),
            oom_killed: Some(Timestamp(world.now - 1)),
            down: true,
            sidecar: true,
            ..pod.containers[0].clone()
        };
        pod.ready = false;
        pod.containers.push(log);
    }
    assert_eq!(world.held(&web), [Hold::Restarting]);
    world.now += 1;
    for pod in &mut web.pods {
        pod.ready = true;
        (pod.containers[1].down, pod.containers[1].restarts) = (false, 1);
    }
    let plan = world.turn(&mut web);
    let resizes = |action: &Action| matches!(&action.deed, Deed::Resize(change) if change.after_oom);
    assert!(plan.actions.len() == 20 && plan.actions.iter().all(resizes), "{plan:?}");
}

#[test]
fn a_raise_that_is_long_ago_has_nothing_to_do_with_a_kill() {
    let mut world = World::new();
    let mut web = workload(advice(200, 256, 300), fleet(1, size(200, 100, 128)));
    killed(&mut web.pods[0], world.now - 1);
    assert_eq!(world.turn(&mut web).actions.len(), 1, "raised in place");
    world.now += 60 * 86_400;
    killed(&mut web.pods[0], world.now - 1);
    let plan = world.plan(std::slice::from_ref(&web));
    assert!(plan.actions.is_empty(), "it runs with what is recommended: {plan:?}");
    // One that is raised again is so in place.
    web.advice[0].1 = advice(200, 400, 500);
    let plan = world.turn(&mut web);
    assert!(matches!(&plan.actions[..], [Action { deed: Deed::Resize(_), urgent: true, .. }]), "{plan:?}");
}

#[test]
fn pods_in_a_loop_are_replaced_within_the_budget_but_for_the_first() {
    let mut world = World::new();
    let mut web = workload(advice(50, 128, 160), fleet(20, size(50, 64, 64)));
    web.rules.max_unavailable = MaxUnavailable::Count(3);
    web.replicas = Some(20);
    for pod in &mut web.pods {
        loops(pod, world.now - 2);
    }
    let replaced = |world: &mut World, web: &mut Workload| {
        let plan = world.turn(web);
        assert!(plan.actions.iter().all(|action| action.deed == Deed::Evict && action.urgent));
        plan.actions.len()
    };
    assert_eq!(replaced(&mut world, &mut web), 4, "the first, and three");
    world.now += 5;
    assert_eq!(replaced(&mut world, &mut web), 0, "successors that are not created are not there");
    let mut next = pod(100, size(50, 128, 160));
    next.ready = false;
    for id in 100..104 {
        web.pods.push(Pod { id, ..next.clone() });
    }
    world.now += 5;
    assert_eq!(replaced(&mut world, &mut web), 0, "nor ready");
    web.pods.iter_mut().filter(|pod| pod.id >= 100).for_each(|pod| pod.ready = true);
    assert_eq!(replaced(&mut world, &mut web), 4);
}

#[test]
fn successors_that_loop_as_well_wait_for_a_pause_that_doubles() {
    let mut world = World::new();
    let mut web = workload(advice(50, 128, 160), fleet(1, size(50, 64, 64)));
    let (mut times, mut limit) = (Vec::new(), 64);
    for id in 0..5 {
        web.pods = fleet(1, size(50, 64, limit));
        web.pods[0].id = id;
        limit *= 2;
        web.advice[0].1 = advice(50, 128, limit);
        for _ in 0..200 {
            loops(&mut web.pods[0], world.now);
            let plan = world.turn(&mut web);
            if evicts_at_once(&plan) {
                times.push(world.now);
                break;
            }
            let held = &plan.workloads[&web.key].held;
            assert!(held.contains_key(&Hold::ReplacedBefore), "{plan:?}");
            world.now += 1;
        }
    }
    let waits: Vec<_> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert_eq!(waits, [5, 10, 20, 40]);
}

#[test]
fn an_init_container_in_a_loop_gets_a_new_pod() {
    let mut world = World::new();
    let mut web = workload(advice(50, 64, 64), vec![pod(1, size(50, 64, 64))]);
    web.advice.push(("setup".into(), advice(50, 128, 160)));
    let stuck = &mut web.pods[0];
    (stuck.running, stuck.ready) = (false, false);
    let setup = Container { name: "setup".into(), ..stuck.containers[0].clone() };
    stuck.inits = vec![setup];
    assert!(world.plan(std::slice::from_ref(&web)).actions.is_empty(), "it runs");
    let setup = &mut web.pods[0].inits[0];
    (setup.oom_killed, setup.down) = (Some(Timestamp(world.now - 1)), true);
    assert_eq!(world.held(&web), [Hold::Restarting]);
    web.pods[0].inits[0].back_off = BackOff::Shown;
    let mut alone = web.clone();
    alone.pods[0].managed = false;
    assert_eq!(world.held(&alone), [Hold::Unmanaged], "it cannot be resized in place");
    assert!(evicts_at_once(&world.turn(&mut web)));
}

#[test]
fn what_a_disruption_budget_refuses_is_tried_less_and_less_often() {
    let mut world = World::new();
    let mut web = workload(advice(50, 128, 160), fleet(1, size(50, 64, 64)));
    loops(&mut web.pods[0], world.now);
    let mut tries = 0;
    for _ in 0..3600 {
        world.now += 1;
        web.pods[0].containers[0].oom_killed = Some(Timestamp(world.now - 1));
        let plan = world.plan(std::slice::from_ref(&web));
        match &plan.actions[..] {
            [action] => {
                world.updater.refused(action, Hold::DisruptionBudget, Timestamp(world.now));
                tries += 1;
            }
            _ => assert!(plan.workloads[&web.key].held.contains_key(&Hold::DisruptionBudget), "{plan:?}"),
        }
    }
    assert!((8..15).contains(&tries), "{tries} tries in an hour");
    // Once its status says that it waits, it is at least resized.
    web.pods[0].containers[0].back_off = BackOff::Shown;
    let plan = world.turn(&mut web);
    assert!(matches!(&plan.actions[..], [Action { deed: Deed::Resize(_), urgent: true, .. }]), "{plan:?}");
}

#[test]
fn who_waits_longest_goes_first_and_namespaces_take_turns() {
    let mut world = World::new();
    world.updater = Updater::new(10.0, 0.2);
    world.plan(&[]);
    let looping = |namespace: &str, count: u128, first: u128, at: i64| -> Vec<Workload> {
        let one = |number: u128| {
            let mut web = workload(advice(50, 128, 160), vec![pod(first + number, size(50, 64, 64))]);
            web.key = format!("{namespace}/{number}").into();
            web.namespace = namespace.into();
            loops(&mut web.pods[0], at);
            web
        };
        (0..count).map(one).collect()
    };
    let mut all = looping("aaa", 50, 0, world.now);
    all.extend(looping("zzz", 5, 1000, world.now));
    let mut gone = Vec::new();
    for _ in 0..12 {
        let plan = world.plan(&all);
        for action in &plan.actions {
            let of = all.iter().find(|one| one.key == action.workload).unwrap();
            world.updater.accepted(action, of, Timestamp(world.now));
            gone.push(of.namespace.to_string());
        }
        world.now += 5;
        all.iter_mut().for_each(|one| one.pods[0].containers[0].oom_killed = Some(Timestamp(world.now)));
    }
    let of_zzz = gone.iter().take(10).filter(|namespace| *namespace == "zzz").count();
    assert_eq!(of_zzz, 5, "{gone:?}");
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
