//! The quality of service class of running pods, which no resize may change.

use super::*;
use crate::policy::{CpuLimitRule, MemoryLimitRule, RangeBounds};

/// All requests and limits equal.
fn equal(milli: u64, mib: u64) -> ContainerSize {
    ContainerSize { cpu_limit: Some(Cores::from_milli(milli)), ..size(milli, mib, mib) }
}

/// What one pod of this size is changed to in time, and how often it is changed.
fn settles(wants: Recommendation, has: ContainerSize) -> (ContainerSize, usize) {
    let mut web = workload(wants, fleet(1, has));
    let (mut world, mut changes) = (World::new(), 0);
    for _ in 0..288 {
        world.now += 300;
        let plan = world.turn(&mut web);
        changes += plan.actions.len();
        assert_eq!(plan.workloads[&web.key].held.get(&Hold::QosClass), None, "{plan:?}");
        let now = web.pods[0].containers[0].asked;
        let guaranteed = now.cpu_request == now.cpu_limit && now.memory_request == now.memory_limit;
        assert!(!guaranteed, "the API server refuses it: {now:?}");
    }
    (web.pods[0].containers[0].asked, changes)
}

#[test]
fn requests_that_meet_all_limits_are_parted_by_the_least_step() {
    let has = ContainerSize { cpu_limit: Some(Cores(0.5)), ..size(100, 256, 512) };
    let mut wants = advice(500, 512, 512);
    wants.limits.memory = MemoryLimitRule::Keep;
    let (now, changes) = settles(wants, has);
    assert_eq!((now, changes), (ContainerSize { cpu_limit: Some(Cores(0.501)), ..equal(500, 512) }, 1));
    // Where no limit may be raised, a request gives way.
    wants.most = Amounts { cpu: Some(Cores(0.5)), memory: Some(Bytes::from_mib(512)) };
    let (now, changes) = settles(wants, has);
    assert_eq!((now, changes), (ContainerSize { cpu_request: Some(Cores(0.499)), ..equal(500, 512) }, 1));
}

#[test]
fn rule_equal_does_not_make_a_running_pod_guaranteed() {
    let has = ContainerSize { cpu_limit: Some(Cores(0.5)), ..size(100, 256, 512) };
    let mut wants = advice(300, 512, 512);
    (wants.limits.cpu, wants.limits.memory) = (CpuLimitRule::Equal, MemoryLimitRule::Equal);
    let (now, changes) = settles(wants, has);
    assert_eq!((now, changes), (ContainerSize { cpu_limit: Some(Cores(0.301)), ..equal(300, 512) }, 1));
}

#[test]
fn a_resource_that_restarts_the_container_is_not_what_parts_them() {
    let has = ContainerSize { cpu_limit: Some(Cores(0.5)), ..size(500, 256, 512) };
    let mut wants = advice(500, 512, 512);
    wants.limits.memory = MemoryLimitRule::Keep;
    let mut web = workload(wants, fleet(1, has));
    web.pods[0].containers[0].cpu_restarts = true;
    World::new().turn(&mut web);
    let now = web.pods[0].containers[0].asked;
    assert_eq!((now.cpu_limit, now.memory_limit), (Some(Cores(0.5)), Some(Bytes::from_mib(513))));
}

#[test]
fn a_guaranteed_pod_stays_one() {
    let mut wants = advice(300, 300, 300);
    (wants.limits.cpu, wants.limits.memory) = (CpuLimitRule::Equal, MemoryLimitRule::Equal);
    let mut web = workload(wants, fleet(1, equal(500, 512)));
    web.pods[0].class = Class::Guaranteed;
    let mut world = World::new();
    for _ in 0..288 {
        world.now += 300;
        world.turn(&mut web);
    }
    assert_eq!(web.pods[0].containers[0].asked, equal(300, 300));
}

#[test]
fn a_pod_that_the_namespace_lets_nobody_part_stays_as_it_is() {
    let has = ContainerSize { cpu_limit: Some(Cores(0.5)), ..size(100, 256, 512) };
    let mut wants = advice(500, 512, 512);
    wants.limits.memory = MemoryLimitRule::Keep;
    let mut web = workload(wants, fleet(1, has));
    web.around.bounds.container =
        RangeBounds { cpu_ratio: Some(1000), memory_ratio: Some(1000), ..RangeBounds::default() };
    let plan = World::new().turn(&mut web);
    assert_eq!(plan.workloads[&web.key].held.get(&Hold::QosClass), Some(&1), "{plan:?}");
}

/// A limit that a container did not have before cannot be taken from it while it runs: with what it had it would be
/// Guaranteed, and the API server would refuse that for ever.
#[test]
fn what_is_put_back_keeps_the_class() {
    let mut web = workload(advice(80, 772, 772), fleet(1, size(80, 772, 772)));
    let pod = &mut web.pods[0];
    pod.class = Class::Burstable;
    pod.containers[0].asked.cpu_limit = Some(Cores::from_milli(81));
    let milli = |milli| Some(Cores::from_milli(milli));
    let had = ContainerSize { cpu_limit: milli(241), memory_limit: None, ..size(241, 772, 772) };
    let before = vec![("app".into(), had)];
    let back = crate::actuate::change::back_to(&web, &web.pods[0], &before).unwrap();
    let to = back.sizes[0].to;
    assert_eq!((to.cpu_request, to.cpu_limit), (milli(241), milli(242)));
}
