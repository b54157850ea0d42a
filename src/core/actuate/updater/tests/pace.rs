//! How much at once, how fast, and what waits for room.

use super::*;

#[test]
fn resizes_that_restart_keep_to_the_budget_within_a_round() {
    let mut web = workload(advice(500, 256, 700), fleet(8, size(200, 256, 700)));
    web.pods.iter_mut().for_each(|pod| pod.containers[0].cpu_restarts = true);
    web.rules.observe = 0;
    web.pods[7].ready = false;
    web.pods[7].created = None;
    let mut world = World::new();
    assert_eq!(world.turn(&mut web).actions.len(), 1, "the first");
    world.now += 120;
    let plan = world.turn(&mut web);
    // A quarter of eight is two, and one is not ready anyway.
    let others = plan.actions.iter().filter(|action| action.pod != 7).count();
    assert!(others <= 1, "{plan:?}");
}

#[test]
fn a_workloads_pods_change_at_a_rate_of_their_own() {
    let mut web = workload(advice(500, 256, 700), fleet(40, size(200, 256, 700)));
    let mut world = World::new();
    world.turn(&mut web);
    world.now += 301;
    let mut after = Vec::new();
    for _ in 0..4 {
        after.push(world.turn(&mut web).actions.len());
        world.now += 30;
    }
    // Ten at once, and ten a minute.
    assert_eq!(after, [10, 5, 5, 5]);
    let plan = world.plan(std::slice::from_ref(&web));
    assert!(plan.workloads[&web.key].held.contains_key(&Hold::RateLimit), "{plan:?}");
}

#[test]
fn what_waits_for_room_waits_for_no_more_than_is_wanted() {
    let mut web = workload(advice(500, 256, 700), fleet(1, size(200, 256, 700)));
    web.pods[0].resize = Resize::Deferred;
    web.pods[0].containers[0].asked = size(500, 256, 700);
    let mut world = World::new();
    assert_eq!(world.held(&web), [Hold::NodeFull]);
    web.advice[0].1 = advice(300, 256, 700);
    world.now += 5;
    let plan = world.turn(&mut web);
    let [Action { deed: Deed::Resize(change), .. }] = &plan.actions[..] else { panic!("{plan:?}") };
    assert!(change.shrinks && !change.grows, "{change:?}");
}

#[test]
fn what_waits_for_room_is_moved_only_when_pods_may_be_changed() {
    let mut web = workload(advice(500, 256, 700), fleet(4, size(500, 256, 700)));
    web.pods[1].resize = Resize::Deferred;
    web.pods[1].containers[0].given = size(200, 256, 700);
    web.rules.open = false;
    let mut world = World::new();
    assert_eq!(world.held(&web), [Hold::NodeFull]);
    world.now += 61;
    assert_eq!(world.held(&web), [Hold::WindowClosed]);
    web.rules.open = true;
    let plan = world.turn(&mut web);
    assert!(matches!(&plan.actions[..], [Action { pod: 1, deed: Deed::Evict, .. }]), "{plan:?}");
}

#[test]
fn what_is_held_is_held_however_often_it_is_looked_at() {
    for wants in [advice(100, 512, 700), advice(1000, 100, 700)] {
        let mut web = workload(wants, fleet(3, size(1000, 512, 700)));
        web.rules.open = false;
        let mut world = World::new();
        world.plan(std::slice::from_ref(&web));
        world.now += 5;
        // Several rounds within a second: else each would say another thing, and write that down.
        for _ in 0..3 {
            assert_eq!(world.held(&web), [Hold::WindowClosed]);
        }
        world.now += 1;
        assert_eq!(world.held(&web), [Hold::WindowClosed]);
    }
}
