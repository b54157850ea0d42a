//! The steps that the cluster adds.

use super::bound::apply_moved;
use super::pod_total::{node_limit, pod_total};
use super::*;
use crate::model::Confidence;
use crate::units::{Bytes, Cores};

fn size(cpu: u64, memory: u64) -> ContainerSize {
    ContainerSize {
        cpu_request: Some(Cores::from_milli(cpu)),
        cpu_limit: None,
        memory_request: Some(Bytes::from_mib(memory)),
        memory_limit: Some(Bytes::from_mib(2 * memory)),
    }
}

fn found(cpu: u64, memory: u64) -> Explained {
    let target = size(cpu, memory);
    let size = Recommendation {
        target,
        lower: target,
        upper: target,
        cpu_hold: None,
        memory_hold: None,
        limits: LimitRules::default(),
        most: Amounts::default(),
        young: false,
        confidence: Confidence::Low,
    };
    Explained { size, reasons: Vec::new() }
}

fn bounds_of(found: &Explained) -> Vec<Bound> {
    let bound = |reason: &Reason| match reason {
        Reason::Bound { bound, .. } => Some(*bound),
        _ => None,
    };
    found.reasons.iter().filter_map(bound).collect()
}

/// What the namespace makes of one container that is, and what is wanted of it.
fn bounded(now: &ContainerSize, wanted: &ContainerSize) -> Bounded {
    Bounded { now: *now, wanted: *wanted, cpu: true, memory: true, most: Amounts::default() }
}

fn amounts(milli: u64, mib: u64) -> Amounts {
    Amounts { cpu: Some(Cores::from_milli(milli)), memory: Some(Bytes::from_mib(mib)) }
}

#[test]
fn a_limit_range_holds_requests_and_limits() {
    let container =
        RangeBounds { least: amounts(10, 32), most: amounts(1000, 1000), ..RangeBounds::default() };
    let bounds = NamespaceBounds { container, ..NamespaceBounds::default() };
    let mut small = found(3, 8);
    let mut pod = [bounded(&size(3, 8), &small.size.target)];
    let moved = keep_to_namespace(&mut pod, &bounds, 1);
    assert_eq!(pod[0].wanted.cpu_request, Some(Cores::from_milli(10)));
    assert_eq!(pod[0].wanted.memory_limit, Some(Bytes::from_mib(32)), "no limit below its least");
    apply_moved(
        &mut small,
        &pod[0].wanted,
        &container.most,
        moved.iter().map(|moved| (moved.resource, moved.bound)),
    );
    assert_eq!((small.size.target, small.size.lower.cpu_request), (pod[0].wanted, Some(Cores(0.003))));
    let mut large = found(4000, 600);
    let mut pod = [bounded(&size(100, 100), &large.size.target)];
    let moved = keep_to_namespace(&mut pod, &bounds, 1);
    apply_moved(
        &mut large,
        &pod[0].wanted,
        &container.most,
        moved.iter().map(|moved| (moved.resource, moved.bound)),
    );
    assert_eq!(bounds_of(&large), [Bound::LimitRangeMax, Bound::LimitRangeMax]);
    assert_eq!(large.size.most, container.most, "the most travels with the figures");
    assert_eq!(large.size.target.cpu_request, Some(Cores::from_milli(1000)));
    assert_eq!(
        large.size.lower.cpu_request,
        Some(Cores::from_milli(1000)),
        "the lower bound is not above the target"
    );
    assert_eq!(large.size.target.memory_request, Some(Bytes::from_mib(600)));
    assert_eq!(large.size.target.memory_limit, Some(Bytes::from_mib(1000)));
    let mut fits = [bounded(&size(100, 100), &size(100, 100))];
    assert_eq!(keep_to_namespace(&mut fits, &bounds, 1), []);
}

#[test]
fn a_limit_too_far_above_its_request_draws_it_up() {
    let container = RangeBounds { cpu_ratio: Some(2000), memory_ratio: Some(1500), ..RangeBounds::default() };
    let bounds = NamespaceBounds { container, ..NamespaceBounds::default() };
    let now = ContainerSize { cpu_limit: Some(Cores(1.0)), ..size(500, 300) };
    let wanted = ContainerSize { cpu_limit: Some(Cores(1.0)), ..size(100, 90) };
    let mut pod = [bounded(&now, &wanted)];
    keep_to_namespace(&mut pod, &bounds, 1);
    assert_eq!((pod[0].wanted.cpu_request, pod[0].wanted.cpu_limit), (Some(Cores(0.5)), Some(Cores(1.0))));
    assert_eq!(pod[0].wanted.memory_request, Some(Bytes::from_mib(120)));
    // Where the request may not go so far, the limit comes down.
    let mut pod = [Bounded { most: amounts(200, 1000), ..bounded(&now, &wanted) }];
    let moved = keep_to_namespace(&mut pod, &bounds, 1);
    assert_eq!((pod[0].wanted.cpu_request, pod[0].wanted.cpu_limit), (Some(Cores(0.2)), Some(Cores(0.4))));
    assert!(moved.iter().all(|moved| moved.bound == Bound::LimitRangeRatio), "{moved:?}");
}

#[test]
fn the_most_and_the_least_of_a_pod_hold_for_its_containers_together() {
    let pod = RangeBounds { least: amounts(100, 1), most: amounts(9000, 300), ..RangeBounds::default() };
    let bounds = NamespaceBounds { pod, ..NamespaceBounds::default() };
    let now = size(50, 50);
    let mut both = [bounded(&now, &size(10, 50)), bounded(&now, &size(30, 100))];
    keep_to_namespace(&mut both, &bounds, 1);
    let cpu = |of: &Bounded| of.wanted.cpu_request.unwrap().to_milli();
    assert_eq!((cpu(&both[0]), cpu(&both[1])), (25, 75), "requests come up to the least together");
    let limits = both.map(|of| of.wanted.memory_limit.unwrap().0 >> 20);
    assert_eq!(limits, [100, 200], "limits of 300 MiB, which is just allowed, stay");
    let mut both = [bounded(&now, &size(60, 100)), bounded(&now, &size(60, 100))];
    keep_to_namespace(&mut both, &bounds, 1);
    assert_eq!(both.map(|of| of.wanted.memory_limit.unwrap().0 >> 20), [150, 150]);
    assert_eq!(both.map(|of| of.wanted.memory_request.unwrap().0 >> 20), [100, 100]);
}

#[test]
fn what_no_change_of_its_own_allows_stays_as_it_is() {
    let container = RangeBounds { most: amounts(100, 50), ..RangeBounds::default() };
    let pod = RangeBounds { least: amounts(500, 1), ..RangeBounds::default() };
    let bounds = NamespaceBounds { container, pod, ..NamespaceBounds::default() };
    let now = size(300, 40);
    let mut one = [bounded(&now, &size(200, 20))];
    keep_to_namespace(&mut one, &bounds, 1);
    assert_eq!(one[0].wanted.cpu_request, now.cpu_request, "no request is both");
    assert_eq!(one[0].wanted.memory_request, Some(Bytes::from_mib(20)), "the other resource goes alone");
}

#[test]
fn a_pod_fits_the_largest_node() {
    let (mut one, mut two) = (found(3000, 100), found(1000, 100));
    let node = Amounts { cpu: Some(Cores(2.0)), memory: Some(Bytes::from_mib(1000)) };
    pod_total(&mut [&mut one, &mut two], &node, Bound::Node);
    assert_eq!(one.size.target.cpu_request.unwrap().to_milli(), 1500);
    assert_eq!(two.size.target.cpu_request.unwrap().to_milli(), 500);
    assert_eq!(
        (bounds_of(&one), one.size.target.memory_request),
        (vec![Bound::Node], Some(Bytes::from_mib(100)))
    );
}

#[test]
fn no_memory_limit_grows_past_the_node() {
    let node = amounts(1000, 150);
    for (now, expected) in [(120, 150), (180, 180), (400, 200)] {
        let mut grows = found(100, 100);
        node_limit(&mut grows, &size(100, now / 2), &node);
        assert_eq!(grows.size.target.memory_limit, Some(Bytes::from_mib(expected)), "{now}");
    }
}

#[test]
fn what_is_tied_stays_tied_when_it_is_lowered() {
    let mut tied = found(100, 100);
    tied.size.target.memory_limit = tied.size.target.memory_request;
    let most = Amounts { cpu: None, memory: Some(Bytes::from_mib(60)) };
    pod_total(&mut [&mut tied], &most, Bound::Node);
    assert_eq!(tied.size.target.memory_limit, Some(Bytes::from_mib(60)));
}

#[test]
fn a_quota_leaves_so_much_growth_to_all_replicas() {
    let now = size(100, 100);
    let left = |milli: u64, mib: u64| NamespaceBounds {
        requests_left: amounts(milli, mib),
        limits_left: amounts(10_000, 20),
        ..NamespaceBounds::default()
    };
    let mut pod = [bounded(&now, &size(500, 100)), bounded(&now, &size(50, 100))];
    let moved = keep_to_namespace(&mut pod, &left(300, 0), 2);
    // 150m are left to each replica, and 50m are freed.
    let cpu = pod.map(|of| of.wanted.cpu_request.unwrap().to_milli());
    assert_eq!((cpu, moved.len(), moved[0].bound), ([300, 50], 1, Bound::Quota));
    let mut alike = [bounded(&now, &now)];
    assert_eq!(keep_to_namespace(&mut alike, &left(0, 0), 2), [], "what does not grow needs no quota");
    // Of limits as well: 10 MiB are left to each replica.
    let mut limit = [bounded(&now, &size(100, 200))];
    keep_to_namespace(&mut limit, &left(0, 1000), 2);
    assert_eq!(limit[0].wanted.memory_limit, Some(Bytes::from_mib(210)));
    assert_eq!(limit[0].wanted.memory_request, Some(Bytes::from_mib(200)));
}

#[test]
fn a_limit_that_its_request_has_drawn_up_comes_down_to_what_it_was() {
    let now = ContainerSize { cpu_limit: Some(Cores(0.552)), ..size(530, 448) };
    let drawn = ContainerSize { cpu_limit: Some(Cores(0.9)), ..size(900, 448) };
    let bounds = NamespaceBounds { requests_left: amounts(2, 0), ..NamespaceBounds::default() };
    let mut pod = [bounded(&now, &drawn)];
    keep_to_namespace(&mut pod, &bounds, 1);
    assert_eq!(pod[0].wanted, ContainerSize { cpu_request: Some(Cores(0.532)), ..now });
    let bounds = NamespaceBounds { requests_left: amounts(100, 0), ..bounds };
    let mut pod = [bounded(&now, &drawn)];
    keep_to_namespace(&mut pod, &bounds, 1);
    assert_eq!(pod[0].wanted.cpu_limit, Some(Cores(0.63)), "and no further down than the request");
}

proptest::proptest! {
    /// Whatever is wanted: the ranges allow what comes of it, or it is what is there now; and no quota is passed.
    #[test]
    fn the_namespace_allows_what_is_asked_for(
        sizes in proptest::collection::vec((0_u64..400, 0_u64..400, 0_u64..400, 0_u64..400, 0_u8..4), 1..4),
        ranges in proptest::array::uniform8(0_u64..600),
        has in 0_u16..4096,
    ) {
        let bit = |place: u16| has & (1 << place) != 0;
        let amount = |place: u16, value: u64| Amounts {
            cpu: Some(Cores::from_milli(value)).filter(|_| bit(place)),
            memory: None,
        };
        let ratio = |place: u16, value: u64| Some(1000 + 10 * value).filter(|_| bit(place));
        let range = |from: usize, bits: u16| RangeBounds {
            least: amount(bits, ranges[from] / 4),
            most: amount(bits + 1, ranges[from + 1]),
            cpu_ratio: ratio(bits + 2, ranges[from + 2]),
            memory_ratio: None,
        };
        let bounds = NamespaceBounds {
            container: range(0, 0),
            pod: range(3, 3),
            requests_left: amount(6, ranges[6]),
            limits_left: amount(7, ranges[7]),
        };
        let cores = |milli: u64| Some(Cores::from_milli(milli));
        let mut pod: Vec<Bounded> = sizes
            .iter()
            .map(|(now, now_more, wanted, wanted_more, kind)| {
                let (now_more, more) = if kind & 1 == 0 { (0, 0) } else { (*now_more, *wanted_more) };
                let limit = |value: u64| cores(value).filter(|_| kind & 2 == 0);
                let of = |request: u64, more: u64| ContainerSize {
                    cpu_request: cores(request),
                    cpu_limit: limit(request + more),
                    ..ContainerSize::default()
                };
                bounded(&of(*now, now_more), &of(*wanted, more))
            })
            .collect();
        let before = pod.clone();
        keep_to_namespace(&mut pod, &bounds, 2);
        let milli = |of: Option<Cores>| of.map_or(0, Cores::to_milli);
        for figure in [|size: &ContainerSize| size.cpu_request, |size: &ContainerSize| size.cpu_limit] {
            let total = |of: fn(&Bounded) -> &ContainerSize| -> u64 { pod.iter().map(|one| milli(figure(of(one)))).sum() };
            let (now, new) = (total(|one| &one.now), total(|one| &one.wanted));
            let left = if figure(&ContainerSize { cpu_request: cores(1), ..ContainerSize::default() }).is_some() {
                bounds.requests_left
            } else {
                bounds.limits_left
            };
            if let Some(left) = left.cpu {
                proptest::prop_assert!(new <= now.max(now + left.to_milli() / 2), "{now} {new} {left:?}");
            }
        }
        if pod.iter().all(|one| one.wanted == one.now) {
            return Ok(());
        }
        let refuses = |range: &RangeBounds, request: u64, limit: Option<u64>| {
            let either = || std::iter::once(request).chain(limit);
            range.least.cpu.is_some_and(|least| either().any(|value| value < least.to_milli()))
                || range.most.cpu.is_some_and(|most| either().any(|value| value > most.to_milli()))
                || range.cpu_ratio.is_some_and(|ratio| limit.is_some_and(|limit| limit * 1000 > request * ratio))
        };
        for one in &pod {
            let (request, limit) = (milli(one.wanted.cpu_request), one.wanted.cpu_limit.map(Cores::to_milli));
            proptest::prop_assert!(!refuses(&bounds.container, request, limit), "{one:?} {before:?}");
            proptest::prop_assert!(limit.is_none_or(|limit| limit >= request), "{one:?}");
        }
        let sum = |of: fn(&ContainerSize) -> Option<Cores>| pod.iter().filter_map(|one| of(&one.wanted)).map(Cores::to_milli).sum::<u64>();
        let (requests, limits) = (sum(|size| size.cpu_request), sum(|size| size.cpu_limit));
        let limits = Some(limits).filter(|limits| *limits > 0);
        proptest::prop_assert!(requests == 0 || !refuses(&bounds.pod, requests, limits), "{before:?} {pod:?}");
    }
}
