//! What a container has more while it starts up.

use super::*;
use crate::actuate::facts::Boost;

/// A pod that has three times the CPU that it needs, to start up with.
fn boosted(over: bool) -> Workload {
    let mut web = workload(advice(200, 200, 300), vec![pod(1, size(600, 200, 300))]);
    web.rules.method = Method::OnCreate;
    let plain = size(200, 200, 300);
    web.pods[0].containers[0].boost =
        Some(Boost { cpu_request: plain.cpu_request, cpu_limit: plain.cpu_limit, over });
    web
}

#[test]
fn what_is_for_the_start_is_taken_back_in_place_when_it_is_over_whatever_the_method() {
    let mut world = World::new();
    world.settings.warming_up = true;
    let mut web = boosted(false);
    assert_eq!((world.turn(&mut web).actions.len(), world.now), (0, world.now), "it is no drift");
    let mut web = boosted(true);
    web.rules.open = false;
    let plan = world.turn(&mut web);
    assert!(matches!(plan.actions[..], [Action { deed: Deed::EndBoost(_), .. }]), "{plan:?}");
    assert_eq!(web.pods[0].containers[0].asked, size(200, 200, 300));
    assert!(world.updater.before(&web.key).is_none(), "it is nothing to go back to");
    let mut paused = boosted(true);
    paused.rules.paused = true;
    let plan = world.turn(&mut paused);
    assert!(plan.actions.is_empty() && plan.workloads[&paused.key].held.contains_key(&Hold::Paused));
}

#[test]
fn what_is_for_the_start_is_taken_back_where_no_policy_acts_any_more_and_nothing_else_is_done() {
    let mut world = World::new();
    let mut web = boosted(true);
    web.rules.loans_only = true;
    web.advice.clear();
    let plan = world.turn(&mut web);
    assert!(matches!(plan.actions[..], [Action { deed: Deed::EndBoost(_), .. }]), "{plan:?}");
    let mut killed = boosted(false);
    killed.rules.loans_only = true;
    killed.pods[0].containers[0].oom_killed = Some(Timestamp(world.now - 1));
    killed.pods[0].containers[0].down = true;
    assert!(World::new().turn(&mut killed).actions.is_empty());
}

#[test]
fn what_is_for_the_start_is_taken_back_where_another_autoscaler_sizes_the_pod_meanwhile() {
    let mut world = World::new();
    let mut web = boosted(true);
    web.rules.owned_by_vpa = true;
    let plan = world.turn(&mut web);
    assert!(matches!(plan.actions[..], [Action { deed: Deed::EndBoost(_), .. }]), "{plan:?}");
    web.pods[0].containers[0].boost = None;
    web.advice = workload(advice(400, 400, 600), Vec::new()).advice;
    let plan = world.turn(&mut web);
    assert!(plan.actions.is_empty() && plan.workloads[&web.key].held.contains_key(&Hold::OwnedByVpa));
}

#[test]
fn an_oom_kill_at_the_start_is_answered_and_leaves_the_cpu() {
    let mut world = World::new();
    let mut web = boosted(false);
    web.rules.method = Method::InPlace;
    web.advice = workload(advice(200, 400, 600), Vec::new()).advice;
    web.pods[0].containers[0].oom_killed = Some(Timestamp(world.now - 1));
    web.pods[0].containers[0].restarts = 1;
    world.turn(&mut web);
    let asked = web.pods[0].containers[0].asked;
    assert_eq!(asked.cpu_request, size(600, 200, 300).cpu_request);
    assert!(asked.memory_limit > size(600, 200, 300).memory_limit, "{asked:?}");
}
