use super::*;
use crate::policy::{Objective, Rules};
use crate::testing;
use crate::units::{Bytes, Cores, Timestamp};

fn estimate(samples: i64) -> Estimate {
    let usage = |i: i64| (Cores(0.2 + 0.001 * (i % 10) as f64), Bytes::from_mib(200 + i.unsigned_abs() % 4));
    let mut series = testing::series(Timestamp(0), 300, samples, usage);
    series.estimate(&Rules::default().prices(), &Model::default())
}

#[test]
fn nothing_seen_asks_for_nothing() {
    let found = estimate(0);
    assert_eq!((found.cpu, found.memory, found.limit), (None, None, None));
    assert_eq!(found.confidence, Confidence::Low);
}

#[test]
fn bounds_hold_the_target_and_narrow_with_history() {
    let mut widths = Vec::new();
    for samples in [2, 30, 200, 3000] {
        let need = estimate(samples).cpu.unwrap();
        assert!(need.lower <= need.target && need.target <= need.upper, "{need:?}");
        widths.push(need.upper / need.lower);
    }
    assert!(widths.windows(2).all(|w| w[1] <= w[0] + 1e-6), "{widths:?}");
    assert_eq!(estimate(3000).confidence, Confidence::High);
    assert_eq!(estimate(400).confidence, Confidence::Medium);
}

#[test]
fn the_request_follows_the_body_and_the_limit_the_tail() {
    let found = estimate(3000);
    let (memory, limit) = (found.memory.unwrap(), found.limit.unwrap());
    let mib = 1024.0 * 1024.0;
    assert!(memory.target >= 200.0 * mib && memory.target < 215.0 * mib, "{}", memory.target / mib);
    assert!(limit.tail >= 1.4 * 203.0 * mib);
    assert!(limit.equal >= 203.0 * mib && limit.equal < 1.2 * 203.0 * mib);
}

#[test]
fn a_memory_request_never_undercuts_steady_usage() {
    for objective in [Objective::Economy, Objective::Balanced, Objective::Critical] {
        let prices = Rules { memory_objective: objective, ..Rules::default() }.prices();
        for mib in [1, 7, 64, 300, 5000, 70_000] {
            for samples in [1, 2, 13, 300, 3000] {
                let usage = |_| (Cores(0.1), Bytes::from_mib(mib));
                let mut series = testing::series(Timestamp(0), 300, samples, usage);
                let target = series.estimate(&prices, &Model::default()).memory.unwrap().target;
                // Half a step of sixteen bits.
                assert!(
                    target >= Bytes::from_mib(mib).as_f64() * 0.999,
                    "{objective:?} {mib} {samples}: {target}"
                );
            }
        }
    }
}
