//! Pods that came up with the sizes that admission gave them, and rollouts that are stuck.

use super::*;
use crate::actuate::facts::{Before, RefusedCreation};

/// Three pods, the last of which came up a while ago with what is recommended, and is restarted again and again.
fn failing(before: Option<ContainerSize>) -> (Workload, World) {
    let mut web = workload(advice(100, 256, 700), fleet(3, size(100, 256, 700)));
    let world = World::new();
    let meant = vec![("app".into(), size(100, 256, 700))];
    web.before = before.map(|had| Before { had: vec![("app".into(), had)], meant });
    fail(&mut web.pods[2], world.now - 200);
    (web, world)
}

fn fail(pod: &mut Pod, created: i64) {
    (pod.ready, pod.created) = (false, Some(Timestamp(created)));
    (pod.containers[0].restarts, pod.containers[0].down) = (2, true);
}

fn given(world: &mut World, web: &Workload) -> Given {
    world.plan(std::slice::from_ref(web)).workloads[&web.key].given
}

fn evicted(world: &mut World, web: &Workload) -> Vec<PodId> {
    let plan = world.plan(std::slice::from_ref(web));
    let evicts = plan.actions.iter().filter(|action| action.deed == Deed::Evict);
    evicts.map(|action| action.pod).collect()
}

#[test]
fn new_pods_that_fail_get_what_their_template_says() {
    let (mut web, mut world) = failing(None);
    let plan = world.plan(std::slice::from_ref(&web));
    let said = &plan.workloads[&web.key];
    let why = &said.degraded.as_ref().unwrap().evidence;
    assert!(plan.actions.is_empty() && why.contains("restarted 2 times within 200 s"), "{plan:?}");
    assert_eq!((said.given, said.held.get(&Hold::RolledBack)), (Given::Nothing, Some(&1)));
    web.around.gives = Given::Nothing;
    assert_eq!(evicted(&mut world, &web), [2], "admission knows");
    web.pods[2].may_not_be_evicted = true;
    assert_eq!(evicted(&mut world, &web), []);
    // The next process knows it too, and for how long.
    web.remembered = world.updater.remembered(&web.key).cloned().unwrap();
    let mut next = World::new();
    web.pods.truncate(2);
    assert_eq!(given(&mut next, &web), Given::Nothing);
    next.now += 3600;
    assert_eq!(given(&mut next, &web), Given::Target);
    assert!(next.plan(std::slice::from_ref(&web)).workloads[&web.key].degraded.is_none());
    // Where they fail again the pause is longer; where one does well it is forgotten.
    let mut good = pod(8, size(100, 256, 700));
    good.created = Some(Timestamp(next.now));
    fail(&mut web.pods[1], next.now - 100);
    given(&mut next, &web);
    let harm = |world: &World, web: &Workload| world.updater.remembered(&web.key).unwrap().harm.clone();
    let again = harm(&next, &web).unwrap();
    assert_eq!((again.times, again.until.seconds_since(again.at)), (2, 7200));
    next.now = again.until.0 + 400;
    good.created = Some(again.until.plus(1));
    web.pods[1] = good;
    given(&mut next, &web);
    assert_eq!(harm(&next, &web), None);
}

#[test]
fn what_was_before_is_tried_first_and_the_template_after_it() {
    let (mut web, mut world) = failing(Some(size(300, 256, 700)));
    assert_eq!(given(&mut world, &web), Given::Previous);
    web.around.gives = Given::Previous;
    assert_eq!(evicted(&mut world, &web), [2]);
    world.now += 10;
    assert_eq!(given(&mut world, &web), Given::Previous, "it came up before that was known");
    world.now += 60;
    web.pods[2] = pod(9, size(300, 256, 700));
    fail(&mut web.pods[2], world.now - 50);
    assert_eq!(given(&mut world, &web), Given::Nothing);
    assert_eq!(evicted(&mut world, &web), [], "it would get the same again");
    web.around.gives = Given::Nothing;
    assert_eq!(evicted(&mut world, &web), [9]);
}

#[test]
fn what_is_not_for_the_size_changes_nothing() {
    type Case = fn(&mut Workload);
    let cases: [(&str, Case); 6] = [
        ("not ours", |web| web.pods[2].stamped = false),
        ("resized since: the guard watches it", |web| web.pods[2].resized = Some(Timestamp(START))),
        ("killed for its memory", |web| web.pods[2].containers[0].oom_killed = Some(Timestamp(START))),
        ("once", |web| web.pods[2].containers[0].restarts = 1),
        ("served for days before", |web| web.pods[2].created = Some(Timestamp(START - 86_400))),
        ("as others do with what their template says", |web| {
            fail(&mut web.pods[0], START - 500);
            web.pods[0].stamped = false;
        }),
    ];
    for (name, case) in cases {
        let (mut web, mut world) = failing(None);
        case(&mut web);
        assert_eq!(given(&mut world, &web), Given::Target, "{name}");
    }
}

#[test]
fn new_pods_that_are_refused_get_what_their_template_says() {
    let (mut web, mut world) = failing(Some(size(300, 256, 700)));
    web.pods.truncate(2);
    let refused = |first: i64, last: i64| {
        let at = |seconds| Timestamp(START + 60 - seconds);
        Some(RefusedCreation { first: at(first), last: at(last), why: "denied by the policy".into() })
    };
    for (first, last, expected) in
        [(5, 1, Given::Target), (7200, 7000, Given::Target), (20, 1, Given::Nothing)]
    {
        web.refused = refused(first, last);
        let plan = world.plan(std::slice::from_ref(&web));
        let said = &plan.workloads[&web.key];
        assert_eq!(said.given, expected, "{first} {last}");
        let why = said.degraded.as_ref().map(|harm| &*harm.evidence);
        assert_eq!(why.is_some_and(|why| why.ends_with("denied by the policy")), expected == Given::Nothing);
    }
    // A pod was created since, or those refused were none of ours.
    for case in [
        (|web| web.pods[0].created = Some(Timestamp(START + 59))) as fn(&mut Workload),
        |web| web.given_since = Some(Timestamp(START + 50)),
        |web| web.around.gives = Given::Nothing,
    ] {
        let mut web = web.clone();
        case(&mut web);
        assert_eq!(given(&mut World::new(), &web), Given::Target);
    }
    // Sizes are given again after the pause, and the same event goes on.
    let mut refused_again = |world: &mut World, last| {
        web.given_since = Some(Timestamp(START + 4000));
        web.refused = refused(20, last);
        given(world, &web)
    };
    world.now = START + 60 + 7200;
    assert_eq!(refused_again(&mut world, -3945), Given::Target);
    assert_eq!(refused_again(&mut world, -7199), Given::Nothing);
    assert_eq!(refused_again(&mut World::new(), -7199), Given::Target);
    // All of its pods may be missing.
    (web.given_since, web.refused) = (None, refused(20, 1));
    web.pods.clear();
    assert_eq!(given(&mut World::new(), &web), Given::Nothing);
}

#[test]
fn no_pod_is_given_up_to_try_again_what_was_refused() {
    let mut web = workload(advice(500, 256, 700), fleet(4, size(200, 256, 700)));
    (web.rules.method, web.given_since) = (Method::Evict, None);
    let mut world = World::new();
    let at = |seconds| Timestamp(START + 60 - seconds);
    web.refused = Some(RefusedCreation { first: at(20), last: at(1), why: "too small".into() });
    assert_eq!(given(&mut world, &web), Given::Nothing);
    world.now += 7200;
    assert_eq!(given(&mut world, &web), Given::Target);
    assert_eq!(world.held(&web), [Hold::RolledBack]);
    // Somebody has scaled it, and that went well.
    web.pods.push(pod(9, size(500, 256, 700)));
    web.pods[4].created = Some(Timestamp(world.now - 600));
    assert_eq!(evicted(&mut world, &web).len(), 1);
}

#[test]
fn a_new_pod_that_is_never_ready_is_given_back_what_was_before_in_place() {
    let (mut web, mut world) = failing(Some(size(300, 256, 700)));
    (web.pods[2].containers[0].restarts, web.pods[2].containers[0].down) = (0, false);
    web.pods[2].created = Some(Timestamp(world.now - 599));
    assert_eq!(given(&mut world, &web), Given::Target);
    world.now += 1;
    let mut seen = web.clone();
    seen.pods[2].ready = true;
    let mut other = World { now: world.now, ..World::new() };
    given(&mut other, &seen);
    assert_eq!(given(&mut other, &web), Given::Target, "it was ready before");
    let plan = world.plan(std::slice::from_ref(&web));
    let [Action { deed: Deed::PutBack(change), pod: 2, .. }] = &plan.actions[..] else { panic!("{plan:?}") };
    assert_eq!(change.sizes[0].to, size(300, 256, 700));
    assert_eq!(plan.workloads[&web.key].given, Given::Previous);
    // Old pods that are not ready either wait for something else.
    web.pods[0].ready = false;
    assert_eq!(given(&mut World { now: world.now, ..World::new() }, &web), Given::Target);
}

/// A rollout whose new pod does not become ready; it should have more CPU and less memory.
fn stuck() -> (Workload, World) {
    let mut web = workload(advice(500, 128, 700), fleet(3, size(200, 256, 700)));
    let world = World::new();
    let new = &mut web.pods[2];
    (new.revision, new.ready, new.stamped) = (Some("r2".into()), false, false);
    new.created = Some(Timestamp(world.now - 301));
    (web, world)
}

#[test]
fn a_stuck_rollout_gets_its_growth_and_nothing_else() {
    let (mut web, mut world) = stuck();
    let plan = world.turn(&mut web);
    let of = |id| plan.actions.iter().find(|action| action.pod == id);
    let Some(Action { deed: Deed::Resize(change), .. }) = of(2) else { panic!("{plan:?}") };
    let to = change.sizes[0].to;
    assert_eq!((to.cpu_request, to.memory_request), (Some(Cores(0.5)), Some(Bytes::from_mib(256))));
    // What it does then is no harm that this has done.
    world.now += 60;
    web.pods[2].containers[0].restarts = 3;
    let plan = world.plan(std::slice::from_ref(&web));
    assert!(!plan.actions.iter().any(|action| matches!(action.deed, Deed::PutBack(_))), "{plan:?}");
    let (mut web, mut world) = stuck();
    web.advice[0].1 = advice(100, 128, 700);
    world.plan(std::slice::from_ref(&web));
    world.now += 700;
    assert!(world.held(&web).contains(&Hold::Rollout), "what shrinks waits");
}

#[test]
fn no_new_pod_goes_for_one_that_would_be_the_same() {
    let (mut web, mut world) = failing(None);
    web.around.gives = Given::Nothing;
    web.around.template = vec![("app".into(), size(300, 256, 700))];
    assert_eq!(evicted(&mut world, &web).len(), 1, "the template says another size");
    // A request that is left out is the limit.
    let (mut web, mut world) = failing(None);
    web.around.gives = Given::Nothing;
    let own = ContainerSize { memory_request: None, ..size(100, 0, 256) };
    web.around.template = vec![("app".into(), own)];
    web.pods[2].containers[0].asked = size(100, 256, 256);
    assert!(evicted(&mut world, &web).is_empty());
}

#[test]
fn a_pod_of_the_size_of_its_template_is_not_stranded_by_us() {
    let (mut web, mut world) = failing(None);
    let pod = &mut web.pods[2];
    (pod.running, pod.place.unschedulable, pod.containers[0].restarts) = (false, true, 0);
    web.around.template = vec![("app".into(), size(90, 256, 700))];
    assert_eq!(given(&mut world, &web), Given::Nothing, "it has more than its template");
    web.around.template = vec![("app".into(), size(100, 256, 700))];
    assert_eq!(given(&mut World::new(), &web), Given::Target);
}
