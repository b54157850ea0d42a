use super::*;
use crate::units::GIB;

fn at(seconds: i64) -> Timestamp {
    Timestamp(seconds)
}

#[test]
fn what_is_no_amount_is_refused_and_counted() {
    let (mut series, model) = (Series::default(), Model::default());
    for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.1] {
        assert_eq!(series.add_cpu(at(0), Cores(bad), 0.0, None, &model), Err(Refused::NotAnAmount));
    }
    assert_eq!(series.add_cpu(at(0), Cores(1e9), 0.0, None, &model), Err(Refused::Absurd));
    assert_eq!(series.add_memory(at(0), Bytes(u64::MAX), None, &model), Err(Refused::Absurd));
    assert_eq!(series.refused(), 6);
    assert_eq!(series.newest(), None);
    series.add_cpu(at(10 * 86_400), Cores(1.0), 0.0, None, &model).unwrap();
    assert_eq!(series.add_cpu(at(0), Cores(1.0), 0.0, None, &model), Err(Refused::TooOld));
}

#[test]
fn a_throttled_sample_is_a_lower_bound() {
    let (mut free, mut held, model) = (Series::default(), Series::default(), Model::default());
    for i in 0..300 {
        free.add_cpu(at(i * 300), Cores(1.0), 0.0, None, &model).unwrap();
        held.add_cpu(at(i * 300), Cores(1.0), 0.4, None, &model).unwrap();
    }
    let [free_p90] = free.cpu().histogram().quantiles([0.9], false);
    let [held_p90] = held.cpu().histogram().quantiles([0.9], false);
    assert!((held_p90 / free_p90 - 1.0 / 0.6).abs() < 0.05, "{free_p90} {held_p90}");
    assert_eq!(held.throttled(), 300);
    held.add_cpu(at(300 * 300), Cores(1.0), 1.0, None, &model).unwrap();
    assert!(held.cpu().histogram().highest() < 2.1, "at most twice what was measured");
}

#[test]
fn start_up_is_kept_apart() {
    let (mut series, model) = (Series::default(), Model::default());
    series.add_cpu(at(0), Cores(4.0), 0.0, Some(20), &model).unwrap();
    series.add_memory(at(0), Bytes(GIB), Some(20), &model).unwrap();
    assert!(series.cpu().histogram().is_empty() && series.memory().histogram().is_empty());
    assert!((series.startup().cpu - 4.0).abs() < 1e-6);
    assert!((series.tail().peak() - 1024.0).abs() < 0.1, "the limit must hold in start-up too");
    assert_eq!(series.samples(), 0);
    series.add_cpu(at(400), Cores(0.1), 0.0, Some(420), &model).unwrap();
    assert_eq!(series.samples(), 1);
}

#[test]
fn a_kill_counts_once_and_without_samples() {
    let (mut series, model) = (Series::default(), Model::default());
    assert!(series.add_oom(at(50), Bytes::from_mib(64), 7, &model));
    assert!(!series.add_oom(at(50), Bytes::from_mib(64), 7, &model));
    assert!(series.add_oom(at(60), Bytes::from_mib(96), 8, &model));
    assert_eq!(series.kills(), 2);
    assert!(series.tail().lesson() > 143.0);
}

#[test]
fn a_series_with_all_candidates_takes_little() {
    let (mut series, model) = (Series::default(), Model::default());
    let mut random = 1_u64;
    let mut normal = || {
        // The sum of twelve uniform numbers is normal enough.
        (0..12)
            .map(|_| {
                random =
                    random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (random >> 40) as f64 / (1_u64 << 24) as f64
            })
            .sum::<f64>()
            - 6.0
    };
    for minute in 0..8 * 1440 {
        series.add_cpu(at(minute * 60), Cores((normal() * 0.5 - 1.0).exp()), 0.0, None, &model).unwrap();
        let memory = Bytes::from_f64(((normal() * 0.1).exp() * 4e8).max(0.0));
        series.add_memory(at(minute * 60), memory, None, &model).unwrap();
    }
    let size = series.size_bytes();
    assert!(size <= 1024, "{size}");
}
