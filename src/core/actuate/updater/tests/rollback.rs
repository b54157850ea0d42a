//! Sizes from before, given back since a person has asked for it.

use super::*;

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
