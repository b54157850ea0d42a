use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::policy::Rules;

fn refreshed(fleet: &mut Fleet) -> usize {
    let count = AtomicUsize::new(0);
    fleet.refresh(
        |_| Some(Rules::default().prices()),
        |_, _| {
            count.fetch_add(1, Ordering::Relaxed);
        },
    );
    count.into_inner()
}

#[test]
fn only_what_changed_is_refreshed() {
    let mut fleet = Fleet::new(Model::default());
    let ids: Vec<_> = (0..10).filter_map(|_| fleet.add(Series::default())).collect();
    assert_eq!(refreshed(&mut fleet), 10);
    assert_eq!(refreshed(&mut fleet), 0);
    fleet.add_cpu(ids[3], Timestamp(5), Cores(1.0), 0.0, None).unwrap();
    assert!(fleet.add_oom(ids[4], Timestamp(5), Bytes(1 << 26), 1, None));
    assert_eq!(refreshed(&mut fleet), 2);
}

#[test]
fn what_took_nothing_in_for_long_expires_and_its_id_is_given_again() {
    let mut fleet = Fleet::new(Model::default());
    let (old, new, young) = (
        fleet.add(Series::default()).unwrap(),
        fleet.add(Series::default()).unwrap(),
        fleet.add(Series::default()).unwrap(),
    );
    fleet.add_memory(old, Timestamp(100), Bytes(1), None).unwrap();
    fleet.add_memory(new, Timestamp(900), Bytes(1), None).unwrap();
    assert_eq!(fleet.expire(Timestamp(500)), [old]);
    assert!(fleet.get(old).is_none() && fleet.get(new).is_some() && fleet.get(young).is_some());
    assert_eq!(fleet.len(), 2);
    fleet.add_cpu(old, Timestamp(950), Cores(1.0), 0.0, None).unwrap();
    assert!(fleet.get(old).is_none(), "an id that is not held takes nothing in");
    assert_eq!(fleet.add(Series::default()), Some(old));
    assert_eq!(fleet.len(), 3);
}

/// A checkpoint of its first five minutes knows no mean yet.
#[test]
fn a_young_series_is_not_forgotten_when_it_is_restored() {
    let mut series = Series::default();
    let usage = Usage {
        at: Timestamp(1_800_000_030),
        cpu: Some(Cores(0.1)),
        memory: Some(Bytes::from_mib(100)),
        ..Usage::default()
    };
    series.observe(&mut Replica::default(), &usage, &Model::default());
    // What a snapshot keeps of it.
    series.seen = 0;
    assert_eq!(series.newest(), None);
    let mut fleet = Fleet::new(Model::default());
    let id = fleet.add(series).unwrap();
    refreshed(&mut fleet);
    assert_eq!(fleet.expire(Timestamp(1_800_000_000)), []);
    assert_eq!(fleet.expire(Timestamp(1_800_000_000 + 86_400)), [id]);
}
