//! Behaviour of the simulated API server and kubelet, as it was seen on a real one.

use crate::actuate::facts::Resize;
use crate::replay::simulate::rules::Refusal;
use crate::replay::simulate::scene::{Container, Kind, Namespace, Pool, Scene, Usage, Workload};
use crate::replay::simulate::size::{Size, mib};
use crate::replay::simulate::world::{State, World};

fn scene(container: Container) -> Scene {
    let workload = Workload { replicas: 1, containers: vec![container], ..Workload::default() };
    let pools = vec![Pool { nodes: 1, milli: 2000, mib: 2048 }];
    Scene { pools, workloads: vec![workload], ..Scene::default() }
}

/// Runs the cluster until `end`, creating what its controllers want as their templates say.
fn play<'a>(world: &mut World<'a>, end: i64) {
    while world.now < end {
        let now = world.now + 1;
        for (load, ordinal) in world.tick(now) {
            let template = world.loads[load].template.clone();
            if world.create(load, ordinal, &template, false).is_ok() {
                world.loads[load].started = true;
            }
        }
    }
}

fn size(cpu: u64, memory: u64, limit: u64) -> Size {
    Size { cpu: Some(cpu), cpu_limit: None, memory: Some(mib(memory)), memory_limit: Some(mib(limit)) }
}

fn pod<'a>(world: &'a World<'_>) -> &'a super::super::world::Pod {
    &world.loads[0].pods[0]
}

#[test]
fn a_resize_that_fits_is_done_within_seconds_and_restarts_nothing() {
    let scene = scene(Container::default());
    let mut world = World::new(&scene, &[]);
    play(&mut world, 120);
    assert!(pod(&world).ready);
    let id = pod(&world).id;
    assert_eq!(world.resize(0, id, &[size(300, 400, 600)], "a test"), Ok(0));
    assert_eq!(pod(&world).resize, Resize::UnderWay);
    play(&mut world, 126);
    let container = &pod(&world).containers[0];
    assert_eq!((pod(&world).resize, container.restarts), (Resize::None, 0));
    assert_eq!((container.given, container.in_force), (size(300, 400, 600), Some(mib(600))));
}

#[test]
fn what_validation_forbids_is_refused() {
    let own = Container { limit_mib: Some(512), limit_milli: Some(500), ..Container::default() };
    let mut scene = scene(own);
    scene.namespaces = vec![Namespace { most_mib: Some(1000), ratio: Some(2), ..Namespace::default() }];
    let mut world = World::new(&scene, &[]);
    play(&mut world, 120);
    let id = pod(&world).id;
    let whole =
        Size { cpu: Some(500), cpu_limit: Some(500), memory: Some(mib(512)), memory_limit: Some(mib(512)) };
    for (wanted, refusal) in [
        (Size { memory_limit: None, ..whole }, Refusal::Invalid),
        (Size { cpu: Some(600), ..whole }, Refusal::Invalid),
        (Size { cpu: Some(400), ..whole }, Refusal::QosClass),
        (Size { cpu: Some(9000), cpu_limit: Some(9000), ..whole }, Refusal::NodeTooSmall),
        (Size { memory: Some(mib(1001)), memory_limit: Some(mib(1001)), ..whole }, Refusal::LimitRange),
    ] {
        assert_eq!(world.resize(0, id, &[wanted], "a test"), Err(refusal), "{wanted}");
    }
    assert_eq!(world.resize(0, 99, &[whole], "a test"), Err(Refusal::Gone));
}

#[test]
fn a_resize_waits_for_room_and_is_done_when_there_is_some() {
    let scene = scene(Container::default());
    let mut world = World::new(&scene, &[]);
    play(&mut world, 120);
    let id = pod(&world).id;
    world.nodes[0].ballast = (1400, 0);
    assert_eq!(world.resize(0, id, &[size(900, 400, 1024)], "a test"), Ok(0));
    play(&mut world, 200);
    assert_eq!(pod(&world).resize, Resize::Deferred);
    assert_eq!(pod(&world).containers[0].given.cpu, Some(500));
    world.nodes[0].ballast = (0, 0);
    play(&mut world, 215);
    assert_eq!((pod(&world).resize, pod(&world).containers[0].given.cpu), (Resize::None, Some(900)));
}

#[test]
fn a_memory_limit_below_usage_is_not_set() {
    let scene = scene(Container::default());
    let mut world = World::new(&scene, &[]);
    play(&mut world, 300);
    let id = pod(&world).id;
    assert_eq!(world.resize(0, id, &[size(500, 100, 120)], "a test"), Ok(0));
    play(&mut world, 330);
    assert_eq!(pod(&world).resize, Resize::Failing);
    assert_eq!(pod(&world).containers[0].in_force, Some(mib(1024)));
    assert_eq!(world.resize(0, id, &[size(500, 300, 600)], "a test"), Ok(0));
    play(&mut world, 340);
    assert_eq!((pod(&world).resize, pod(&world).containers[0].in_force), (Resize::None, Some(mib(600))));
}

#[test]
fn kills_are_backed_off_and_a_resize_of_what_is_down_never_takes_before_the_mend() {
    let small = Container {
        mib: 64,
        limit_mib: Some(64),
        full_mib: 200,
        usage: Usage::Steady,
        ..Container::default()
    };
    for mended in [false, true] {
        let scene = Scene { mended_kubelet: mended, ..scene(small.clone()) };
        let mut world = World::new(&scene, &[]);
        play(&mut world, 1800);
        let container = &pod(&world).containers[0];
        assert!((5..12).contains(&container.restarts), "{}", container.restarts);
        assert_eq!(container.backoff, 300);
        while !matches!(pod(&world).containers[0].state, State::Backoff(_)) {
            let next = world.now + 1;
            play(&mut world, next);
        }
        let (id, before) = (pod(&world).id, pod(&world).containers[0].restarts);
        assert_eq!(world.resize(0, id, &[size(500, 64, 512)], "a test"), Ok(0));
        let end = world.now + 1500;
        play(&mut world, end);
        let container = &pod(&world).containers[0];
        assert_eq!((pod(&world).resize, container.given.memory_limit), (Resize::None, Some(mib(512))));
        assert_eq!(container.restarts == before, mended, "{} {before}", container.restarts);
        assert_eq!(pod(&world).ready, mended);
    }
}

#[test]
fn a_full_quota_refuses_a_pod_and_budgets_refuse_an_eviction() {
    let mut scene = scene(Container { mib: 500, ..Container::default() });
    scene.namespaces = vec![Namespace { quota_mib: Some(1100), ..Namespace::default() }];
    scene.workloads[0].replicas = 3;
    scene.workloads[0].min_available = Some(2);
    let mut world = World::new(&scene, &[]);
    play(&mut world, 120);
    assert_eq!(world.loads[0].pods.iter().filter(|pod| pod.ready).count(), 2);
    let id = pod(&world).id;
    assert_eq!(world.evict(0, id, "a test"), Err(Refusal::Budget));
}

#[test]
fn stateful_sets_keep_order_and_partition_and_daemon_sets_their_nodes() {
    let mut scene = scene(Container { mib: 64, limit_mib: Some(600), milli: 100, ..Container::default() });
    scene.workloads[0] =
        Workload { kind: Kind::StatefulSet, replicas: 3, partition: 2, ..scene.workloads[0].clone() };
    let daemon = Workload { kind: Kind::DaemonSet, ..scene.workloads[0].clone() };
    scene.workloads.push(daemon);
    scene.pools[0].nodes = 2;
    let mut world = World::new(&scene, &[]);
    play(&mut world, 15);
    assert_eq!(world.loads[0].pods.len(), 1, "the second waits for the first");
    play(&mut world, 200);
    world.loads[0].revision += 1;
    world.loads[0].percents.push(100);
    play(&mut world, 600);
    let mut revisions: Vec<_> = world.loads[0].pods.iter().map(|pod| (pod.ordinal, pod.revision)).collect();
    revisions.sort_unstable();
    assert_eq!(revisions, [(0, 0), (1, 0), (2, 1)]);
    let mut nodes: Vec<_> = world.loads[1].pods.iter().filter_map(|pod| pod.node).collect();
    nodes.sort_unstable();
    assert_eq!(nodes, [0, 1]);
}
