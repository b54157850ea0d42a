//! The first pod and its guard: what counts as harm, changes that restart, pods that go, processes that end.

use super::*;

/// Of so many pods the first one, after it was changed; its place in the workload.
fn first(world: &mut World, web: &mut Workload) -> usize {
    let plan = world.turn(web);
    let [Action { pod, .. }] = &plan.actions[..] else { panic!("{plan:?}") };
    web.pods.iter().position(|one| one.id == *pod).unwrap()
}

#[test]
fn a_restart_that_the_change_itself_takes_is_no_harm() {
    let mut web = workload(advice(500, 256, 700), fleet(4, size(200, 256, 700)));
    web.pods.iter_mut().for_each(|pod| pod.containers[0].cpu_restarts = true);
    let mut world = World::new();
    let changed = first(&mut world, &mut web);
    // It is restarted, and takes a minute to be ready again.
    web.pods[changed].ready = false;
    world.now += 5;
    assert!(world.plan(std::slice::from_ref(&web)).actions.is_empty());
    web.pods[changed].containers[0].restarts = 1;
    world.now += 60;
    let plan = world.plan(std::slice::from_ref(&web));
    assert!(plan.actions.is_empty() && plan.workloads[&web.key].degraded.is_none(), "{plan:?}");
    web.pods[changed].ready = true;
    world.now += 240;
    assert_eq!(world.turn(&mut web).actions.len(), 1, "the others follow");
    // A second one is.
    let mut web = workload(advice(500, 256, 700), fleet(4, size(200, 256, 700)));
    web.pods.iter_mut().for_each(|pod| pod.containers[0].cpu_restarts = true);
    let mut world = World::new();
    let changed = first(&mut world, &mut web);
    web.pods[changed].containers[0].restarts = 2;
    world.now += 5;
    let back = world.turn(&mut web);
    assert!(matches!(&back.actions[..], [Action { deed: Deed::PutBack(_), .. }]), "{back:?}");
}

#[test]
fn what_does_not_come_up_again_after_its_change_is_harmed() {
    let mut web = workload(advice(500, 256, 700), fleet(4, size(200, 256, 700)));
    web.rules.method = Method::Evict;
    let mut world = World::new();
    let plan = world.turn(&mut web);
    assert!(matches!(&plan.actions[..], [Action { deed: Deed::Evict, .. }]), "{plan:?}");
    let mut next = pod(10, size(500, 256, 700));
    (next.ready, next.created) = (false, Some(Timestamp(world.now + 1)));
    web.pods.push(next);
    world.now += 590;
    assert!(world.plan(std::slice::from_ref(&web)).workloads[&web.key].degraded.is_none());
    world.now += 20;
    let plan = world.plan(std::slice::from_ref(&web));
    let harm = plan.workloads[&web.key].degraded.as_ref().unwrap();
    assert!(harm.evidence.contains("not become ready"), "{harm:?}");
    assert!(plan.actions.is_empty(), "{plan:?}");
}

#[test]
fn a_first_pod_that_goes_does_not_hold_the_others_for_ever() {
    let mut web = workload(advice(500, 256, 700), fleet(4, size(200, 256, 700)));
    let mut world = World::new();
    let changed = first(&mut world, &mut web);
    // Fewer are wanted, and it is the one to go: nobody comes in its place.
    web.pods.remove(changed);
    world.now += 60;
    assert_eq!(world.held(&web), [Hold::Canary]);
    world.now += 300;
    assert_eq!(world.turn(&mut web).actions.len(), 1, "another one goes first");
}

#[test]
fn what_is_watched_and_what_harm_was_seen_outlive_the_process() {
    let old = size(1000, 512, 700);
    let mut web = workload(advice(100, 512, 700), fleet(3, old));
    let mut world = World::new();
    assert!(world.plan(std::slice::from_ref(&web)).actions.is_empty(), "a shrink is weighed over time");
    world.now += 5;
    let changed = first(&mut world, &mut web);
    web.remembered = world.updater.remembered(&web.key).unwrap().clone();
    assert!(web.remembered.watched.is_some());
    // The process ends; meanwhile it comes to harm; the next process sees that, and puts it back.
    web.pods[changed].ready = false;
    let mut next = World { updater: Updater::new(10.0, 1.0), now: world.now + 60, settings: CALM };
    assert!(next.plan(std::slice::from_ref(&web)).actions.is_empty(), "a probe may fail once");
    next.now += 11;
    let back = next.turn(&mut web);
    assert!(matches!(&back.actions[..], [Action { deed: Deed::PutBack(_), .. }]), "{back:?}");
    assert_eq!(web.pods[changed].containers[0].asked, old);
    web.pods[changed].ready = true;
    // And the one after that does not try it again at once, nor forgets how often it was.
    web.remembered = next.updater.remembered(&web.key).unwrap().clone();
    let until = web.remembered.harm.as_ref().unwrap().until;
    let mut third = World { updater: Updater::new(10.0, 1.0), now: next.now + 700, settings: CALM };
    third.plan(std::slice::from_ref(&web));
    third.now += 60;
    assert_eq!(third.held(&web), [Hold::RolledBack]);
    third.now = until.0;
    let changed = first(&mut third, &mut web);
    web.pods[changed].containers[0].restarts = 1;
    third.now += 5;
    third.turn(&mut web);
    let harm = third.updater.remembered(&web.key).unwrap().harm.clone().unwrap();
    assert_eq!((harm.times, harm.until.seconds_since(harm.at)), (2, 7200));
}

/// A workload whose first pod was changed, and then restarted: which one it is.
fn harmed() -> (World, Workload, usize) {
    let mut web = workload(advice(100, 512, 700), fleet(3, size(1000, 512, 700)));
    let mut world = World::new();
    world.plan(std::slice::from_ref(&web));
    world.now += 5;
    let changed = first(&mut world, &mut web);
    web.pods[changed].containers[0].restarts = 1;
    (world, web, changed)
}

#[test]
fn harm_is_not_put_back_where_somebody_keeps_us_off_or_refuses_it() {
    for keep_off in [
        (|web: &mut Workload, _: usize| web.rules.paused = true) as fn(&mut Workload, usize),
        |web, changed| web.pods[changed].paused = true,
        |web, _| web.rules.owned_by_vpa = true,
    ] {
        let (mut world, mut web, changed) = harmed();
        keep_off(&mut web, changed);
        world.now += 5;
        assert!(world.plan(std::slice::from_ref(&web)).actions.is_empty());
    }
    let (mut world, mut web, _) = harmed();
    world.now += 5;
    let plan = world.plan(std::slice::from_ref(&web));
    world.updater.refused(&plan.actions[0], Hold::AdmissionRefuses, Timestamp(world.now));
    world.now += 5;
    assert!(world.plan(std::slice::from_ref(&web)).actions.is_empty(), "not again at once");
    world.now += 600;
    let back = world.turn(&mut web);
    assert!(matches!(&back.actions[..], [Action { deed: Deed::PutBack(_), .. }]), "{back:?}");
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
fn a_limit_that_falls_far_is_tried_on_one_pod_first() {
    let mut web = workload(advice(500, 256, 8000), fleet(8, size(500, 256, 8000)));
    let mut world = World::new();
    web.advice[0].1 = advice(900, 256, 8000);
    first(&mut world, &mut web);
    for _ in 0..20 {
        world.now += 300;
        world.turn(&mut web);
    }
    assert!(world.turn(&mut web).actions.is_empty());
    // The requests stay; the limit alone falls.
    web.advice[0].1 = advice(900, 256, 300);
    world.now += 2 * 86_400;
    first(&mut world, &mut web);
}
