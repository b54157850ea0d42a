//! OOM kills, and what each is answered by.

use super::*;

/// Killed at that time, and running again.
fn killed(pod: &mut Pod, at: i64) {
    pod.containers[0].oom_killed = Some(Timestamp(at));
    pod.containers[0].restarts += 1;
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
    // Again: that did not help.
    world.now += 20;
    killed(&mut web.pods[0], world.now - 1);
    let plan = world.turn(&mut web);
    assert!(matches!(&plan.actions[..], [Action { deed: Deed::Evict, urgent: true, .. }]), "{plan:?}");
}

#[test]
fn a_raise_by_the_process_before_that_did_not_help_is_known() {
    let mut world = World::new();
    let mut web = workload(advice(200, 256, 300), fleet(2, size(200, 256, 300)));
    web.pods[0].resized = Some(Timestamp(world.now - 30));
    killed(&mut web.pods[0], world.now - 5);
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
    killed(&mut web.pods[0], world.now - 1);
    web.pods[0].containers[0].down = true;
    let plan = world.turn(&mut web);
    assert!(matches!(&plan.actions[..], [Action { deed: Deed::Evict, urgent: true, .. }]), "{plan:?}");
}

#[test]
fn a_daemon_sets_pod_that_is_down_gets_a_new_one_on_its_node() {
    let mut world = World::new();
    let mut web = workload(advice(50, 128, 160), vec![pod(1, size(50, 64, 64))]);
    web.bound_to_nodes = true;
    killed(&mut web.pods[0], world.now - 1);
    (web.pods[0].ready, web.pods[0].containers[0].down) = (false, true);
    let plan = world.turn(&mut web);
    assert!(matches!(&plan.actions[..], [Action { deed: Deed::Evict, urgent: true, .. }]), "{plan:?}");
    // For any other reason it is not evicted.
    let mut web = workload(advice(500, 256, 700), fleet(4, size(200, 256, 700)));
    web.bound_to_nodes = true;
    web.rules.method = Method::Evict;
    assert_eq!(World::new().held(&web), [Hold::BoundToNode]);
}

#[test]
fn what_may_only_be_resized_in_place_is_so_while_it_is_down() {
    let mut world = World::new();
    let mut web = workload(advice(50, 128, 160), vec![pod(1, size(50, 64, 64))]);
    web.rules.method = Method::InPlace;
    killed(&mut web.pods[0], world.now - 1);
    (web.pods[0].ready, web.pods[0].containers[0].down) = (false, true);
    let plan = world.turn(&mut web);
    assert!(matches!(&plan.actions[..], [Action { deed: Deed::Resize(_), urgent: true, .. }]), "{plan:?}");
    // It was not in force, as on older versions: only a new pod would help.
    world.now += 20;
    killed(&mut web.pods[0], world.now - 1);
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
