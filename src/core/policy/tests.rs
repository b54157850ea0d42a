//! The steps that the cluster adds.

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

fn bounds(found: &Explained) -> Vec<Bound> {
    let bound = |reason: &Reason| match reason {
        Reason::Bound { bound, .. } => Some(*bound),
        _ => None,
    };
    found.reasons.iter().filter_map(bound).collect()
}

#[test]
fn a_limit_range_holds_requests_and_limits() {
    let mut small = found(3, 8);
    let least = Amounts { cpu: Some(Cores::from_milli(10)), memory: Some(Bytes::from_mib(32)) };
    limit_range(&mut small, &least, &Amounts::default());
    assert_eq!(small.size.target.cpu_request, Some(Cores::from_milli(10)));
    assert_eq!(small.size.target.memory_limit, Some(Bytes::from_mib(32)), "no limit below its least");
    let mut large = found(4000, 600);
    let most = Amounts { cpu: Some(Cores::from_milli(1000)), memory: Some(Bytes::from_mib(1000)) };
    limit_range(&mut large, &Amounts::default(), &most);
    assert_eq!(large.size.target.cpu_request, Some(Cores::from_milli(1000)));
    assert_eq!(
        large.size.lower.cpu_request,
        Some(Cores::from_milli(1000)),
        "the lower bound is not above the target"
    );
    assert_eq!(large.size.target.memory_request, Some(Bytes::from_mib(600)));
    assert_eq!(large.size.target.memory_limit, Some(Bytes::from_mib(1000)));
    assert_eq!(bounds(&large), [Bound::LimitRangeMax, Bound::LimitRangeMax]);
    let mut fits = found(100, 100);
    limit_range(&mut fits, &least, &most);
    assert_eq!(fits.size.most, most, "the most travels with the figures");
    fits.size.most = Amounts::default();
    assert_eq!(fits, found(100, 100));
}

#[test]
fn a_pod_fits_the_largest_node() {
    let (mut one, mut two) = (found(3000, 100), found(1000, 100));
    let node = Amounts { cpu: Some(Cores(2.0)), memory: Some(Bytes::from_mib(1000)) };
    pod_total(&mut [&mut one, &mut two], &node, Bound::Node);
    assert_eq!(one.size.target.cpu_request.unwrap().to_milli(), 1500);
    assert_eq!(two.size.target.cpu_request.unwrap().to_milli(), 500);
    assert_eq!(
        (bounds(&one), one.size.target.memory_request),
        (vec![Bound::Node], Some(Bytes::from_mib(100)))
    );
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
    let now = [size(100, 100), size(100, 100)];
    let (mut grows, mut shrinks) = (found(500, 100), found(50, 100));
    let left = Amounts { cpu: Some(Cores(0.3)), memory: Some(Bytes(0)) };
    quota(&mut [(&now[0], &mut grows), (&now[1], &mut shrinks)], 2, &left);
    // 150m are left to each replica, and 50m are freed.
    assert_eq!(grows.size.target.cpu_request.unwrap().to_milli(), 300);
    assert_eq!(shrinks.size.target.cpu_request.unwrap().to_milli(), 50);
    assert_eq!((bounds(&grows), bounds(&shrinks)), (vec![Bound::Quota], vec![]));
    let mut alike = found(100, 100);
    quota(&mut [(&now[0], &mut alike)], 2, &Amounts { cpu: Some(Cores(0.0)), memory: None });
    assert_eq!(alike, found(100, 100), "what does not grow needs no quota");
}
