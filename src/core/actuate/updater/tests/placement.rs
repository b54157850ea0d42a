//! Where pods may go, and what their namespace allows them.

use super::*;
use crate::actuate::NewSize;
use crate::actuate::facts::{BackOff, Before, Resize};
use crate::policy::{Amounts, NamespaceBounds, RangeBounds};

fn room(milli: u64, mib: u64) -> Amounts {
    Amounts { cpu: Some(Cores::from_milli(milli)), memory: Some(Bytes::from_mib(mib)) }
}

/// Three pods whose node can never hold what is recommended.
fn too_small(free: &[Amounts]) -> Workload {
    let mut web = workload(advice(500, 512, 700), fleet(3, size(200, 256, 700)));
    web.pods.iter_mut().for_each(|pod| pod.resize = Resize::Infeasible);
    web.around.free = Some(free.into());
    web
}

fn evicts(web: &Workload) -> bool {
    let plan = World::new().plan(std::slice::from_ref(web));
    match &plan.actions[..] {
        [Action { deed: Deed::Evict, .. }] => true,
        [] => {
            assert!(plan.workloads[&web.key].held.contains_key(&Hold::NoRoom), "{plan:?}");
            false
        }
        others => panic!("{others:?}"),
    }
}

#[test]
fn no_pod_is_evicted_unless_a_node_has_room_for_its_successor() {
    assert!(!evicts(&too_small(&[])));
    assert!(!evicts(&too_small(&[room(499, 4096), room(4000, 511)])), "one node must have both");
    assert!(evicts(&too_small(&[room(499, 4096), room(500, 512)])));
    let mut web = too_small(&[]);
    web.pods.iter_mut().for_each(|pod| pod.place.home = Some(room(500, 512)));
    assert!(evicts(&web), "what it takes of its own node is its successor's");
    web.pods.iter_mut().for_each(|pod| pod.place.overhead = room(1, 0));
    assert!(!evicts(&web));
    let mut web = too_small(&[room(500, 1023)]);
    web.pods.iter_mut().for_each(|pod| pod.place.first = room(100, 1024));
    assert!(!evicts(&web), "an init container needs more than all that follows");
    let mut web = too_small(&[]);
    web.around.free = None;
    assert!(evicts(&web), "where nothing is known of nodes");
}

#[test]
fn a_pod_in_an_oom_loop_is_not_evicted_to_nowhere() {
    let mut web = workload(advice(200, 512, 700), fleet(3, size(200, 256, 300)));
    let world = World::new();
    web.pods[0].ready = false;
    for container in &mut web.pods[0].containers {
        container.back_off = BackOff::Delayed;
        (container.down, container.oom_killed, container.restarts) =
            (true, Some(Timestamp(world.now - 5)), 3);
    }
    web.around.free = Some([room(200, 511)].into());
    let plan = World::new().plan(std::slice::from_ref(&web));
    assert!(!plan.actions.iter().any(|action| action.deed == Deed::Evict), "{plan:?}");
    web.around.free = Some([room(200, 512)].into());
    let plan = World::new().plan(std::slice::from_ref(&web));
    assert!(plan.actions.iter().any(|action| action.deed == Deed::Evict), "{plan:?}");
}

/// What the first pod is resized to; a shrink waits until it is seen to be worth it.
fn resize(world: &mut World, web: &Workload) -> ContainerSize {
    world.plan(std::slice::from_ref(web));
    world.now += 120;
    match &world.plan(std::slice::from_ref(web)).actions[..] {
        [Action { deed: Deed::Resize(change), .. }] => change.sizes[0].to,
        others => panic!("{others:?}"),
    }
}

/// A successor that the scheduler finds no node for, as large as admission has made it.
fn stranded() -> (Workload, World) {
    let mut web = workload(advice(500, 512, 700), fleet(3, size(200, 256, 700)));
    let world = World::new();
    let had = vec![("app".into(), size(200, 256, 700))];
    web.before = Some(Before { had, meant: vec![("app".into(), size(500, 512, 700))] });
    let newest = &mut web.pods[2];
    *newest = pod(2, size(500, 512, 700));
    (newest.running, newest.ready, newest.node) = (false, false, None);
    newest.created = Some(Timestamp(world.now - 300));
    newest.place.unschedulable = true;
    (web, world)
}

fn given(world: &mut World, web: &Workload) -> (Given, Vec<PodId>, Option<String>) {
    let plan = world.plan(std::slice::from_ref(web));
    let said = &plan.workloads[&web.key];
    let evicted = plan.actions.iter().filter(|action| action.deed == Deed::Evict).map(|action| action.pod);
    (said.given, evicted.collect(), said.degraded.as_ref().map(|harm| harm.evidence.clone()))
}

#[test]
fn a_successor_that_no_node_has_room_for_gets_what_was_before() {
    let (mut web, mut world) = stranded();
    let (first, evicted, why) = given(&mut world, &web);
    assert_eq!((first, evicted), (Given::Previous, vec![]), "admission does not know that yet");
    assert!(why.unwrap().contains("no node has room"));
    web.around.gives = Given::Previous;
    let plan = world.plan(std::slice::from_ref(&web));
    let [action] = &plan.actions[..] else { panic!("{plan:?}") };
    assert_eq!((action.pod, &action.deed), (2, &Deed::Evict));
    world.updater.accepted(action, &web, Timestamp(world.now));
    world.now += 5;
    assert_eq!(given(&mut world, &web).1, Vec::<PodId>::new(), "once");
    // Its successor is as it was before, and waits for another reason.
    web.pods[2] = Pod { id: 7, ..web.pods[2].clone() };
    web.pods[2].containers[0].asked = size(200, 256, 700);
    world.now += 300;
    let (still, evicted, _) = given(&mut world, &web);
    assert_eq!((still, evicted), (Given::Previous, vec![]));
    // After an hour the targets are tried again.
    web.pods.truncate(2);
    world.now += 3600;
    assert_eq!(given(&mut world, &web).0, Given::Target);
}

#[test]
fn who_waits_for_another_reason_is_left_alone() {
    type Case = fn(&mut Workload);
    let cases: [(&str, Case); 4] = [
        ("not ours", |web| web.pods[2].stamped = false),
        ("not for its size", |web| web.pods[2].place.unschedulable = false),
        ("not for long", |web| web.pods[2].created = Some(Timestamp(START + 50))),
        ("no larger than before", |web| web.pods[2].containers[0].asked = size(200, 256, 900)),
    ];
    for (name, case) in cases {
        let (mut web, mut world) = stranded();
        web.around.gives = Given::Previous;
        case(&mut web);
        let (given, evicted, _) = given(&mut world, &web);
        assert_eq!((given, evicted.contains(&2)), (Given::Target, false), "{name}");
    }
    let (mut web, mut world) = stranded();
    web.before = None;
    assert_eq!(given(&mut world, &web).0, Given::Nothing, "the template says what was before");
}

#[test]
fn what_lowers_no_memory_limit_lowers_the_rest() {
    let mut web = workload(advice(100, 128, 160), fleet(3, size(500, 512, 1024)));
    let mut world = World::new();
    let mib = |size: ContainerSize| size.memory_limit.unwrap().0 >> 20;
    assert!(mib(resize(&mut world, &web)) < 1024);
    world.settings.limits_only_grow = true;
    let to = resize(&mut World { settings: world.settings, ..World::new() }, &web);
    assert_eq!((mib(to), to.cpu_request), (1024, Some(Cores(0.25))));
    assert!(to.memory_request < Some(Bytes::from_mib(512)), "requests are not limits");
    // In a Guaranteed pod memory is one figure, and CPU goes alone.
    let equal = ContainerSize { cpu_limit: Some(Cores(0.5)), ..size(500, 512, 512) };
    web = workload(advice(100, 128, 128), fleet(3, equal));
    web.pods.iter_mut().for_each(|pod| pod.class = Class::Guaranteed);
    let to = resize(&mut World { settings: world.settings, ..World::new() }, &web);
    assert_eq!((to.memory_request, to.memory_limit), (equal.memory_request, equal.memory_limit));
    assert_eq!((to.cpu_request, to.cpu_limit), (Some(Cores(0.25)), Some(Cores(0.25))));
    // What is put back is not asked for either where it would be refused.
    let (mut web, mut world) = (workload(advice(500, 512, 700), fleet(3, size(200, 256, 300))), World::new());
    world.settings.limits_only_grow = true;
    world.turn(&mut web);
    let watched = web.pods.iter().position(|pod| pod.containers[0].asked != size(200, 256, 300)).unwrap();
    world.now += 20;
    web.pods[watched].containers[0].restarts = 2;
    let plan = world.plan(std::slice::from_ref(&web));
    let [Action { deed: Deed::PutBack(change), .. }] = &plan.actions[..] else { panic!("{plan:?}") };
    let NewSize { from, to, .. } = &change.sizes[0];
    assert!(to.memory_limit == from.memory_limit && to.cpu_request < from.cpu_request, "{change:?}");
}

#[test]
fn whole_cores_of_a_guaranteed_pod_stay_whole() {
    let equal =
        |milli: u64| ContainerSize { cpu_limit: Some(Cores::from_milli(milli)), ..size(milli, 512, 512) };
    for (has, wants, expected) in
        [(4000, 1500, 2000), (4000, 2600, 3000), (2000, 4100, 5000), (2500, 1300, 1300)]
    {
        let mut web = workload(advice(wants, 512, 512), fleet(1, equal(has)));
        web.pods[0].class = Class::Guaranteed;
        let to = resize(&mut World::new(), &web);
        assert_eq!(to.cpu_request.unwrap().to_milli(), expected, "{has} {wants}");
        assert_eq!(to.cpu_limit, to.cpu_request);
    }
}

proptest::proptest! {
    /// Whatever is recommended, and whatever runs: nothing is asked for that a LimitRange would refuse.
    #[test]
    fn no_resize_passes_what_the_namespace_allows(
        wants in (1_u64..4000, 1_u64..4000, 0_u64..4000),
        has in (1_u64..2000, 1_u64..2000, 0_u64..3000),
        most in 100_u64..3000,
        least in 0_u64..100,
        ratio in 1000_u64..4000,
        guaranteed: bool,
        killed: bool,
    ) {
        let of = |(milli, mib, more): (u64, u64, u64)| ContainerSize {
            cpu_limit: Some(Cores::from_milli(milli + if guaranteed { 0 } else { more })),
            ..size(milli, mib, mib + if guaranteed { 0 } else { more })
        };
        let target = of(wants);
        let mut recommendation = advice(wants.0, wants.1, 0);
        recommendation.target = target;
        let mut web = workload(recommendation, fleet(3, of(has)));
        let range = RangeBounds {
            least: room(least, least),
            most: room(most, most),
            cpu_ratio: Some(ratio),
            memory_ratio: Some(ratio),
        };
        let pod = RangeBounds { most: room(most * 2, most * 2), ..RangeBounds::default() };
        web.around.bounds = NamespaceBounds { container: range, pod, ..NamespaceBounds::default() };
        let mut world = World::new();
        for pod in &mut web.pods {
            pod.class = if guaranteed { Class::Guaranteed } else { Class::Burstable };
            pod.containers[0].oom_killed = killed.then(|| Timestamp(world.now - 5));
        }
        for _ in 0..4 {
            let plan = world.turn(&mut web);
            world.now += 700;
            for action in &plan.actions {
                let Deed::Resize(change) = &action.deed else { continue };
                for NewSize { from, to, .. } in &change.sizes {
                    let cpu = |of: &ContainerSize| [of.cpu_request, of.cpu_limit].map(|cpu| cpu.unwrap().to_milli());
                    let memory = |of: &ContainerSize| [of.memory_request, of.memory_limit].map(|m| m.unwrap().0);
                    for (old, [request, limit], unit) in
                        [(cpu(from), cpu(to), 1), (memory(from), memory(to), 1 << 20)]
                    {
                        let inside = request >= least * unit && limit <= most * unit && limit >= request;
                        let near = u128::from(limit) * 1000 <= u128::from(request) * u128::from(ratio);
                        // A resource that nothing is allowed of stays as it is.
                        let stays = [request, limit] == old;
                        proptest::prop_assert!(stays || inside && near, "{change:?} {range:?}");
                    }
                }
            }
        }
    }
}
