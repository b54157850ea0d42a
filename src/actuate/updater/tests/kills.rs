//! OOM kills of pods that were changed before, for this reason or another.

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
