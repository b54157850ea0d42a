//! What must hold of the model whatever it is fed.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use plumb::actuate::step::Pace;
use plumb::model::{Estimate, Histogram, Model, Need, Series, read_snapshot, write_snapshot};
use plumb::policy::{Rules, recommend};
use plumb::replay::arm::{Arm, Observation, Size};
use plumb::replay::arms::plumb::Plumb;
use plumb::units::{Bytes, Cores, Timestamp};
use proptest::prelude::*;

const DAY: i64 = 86_400;

/// One sample: seconds since the one before, cores, mebibytes.
fn samples(most: usize) -> impl Strategy<Value = Vec<(i64, f64, u64)>> {
    let gap = prop_oneof![8 => Just(300_i64), 2 => 1_i64..5000, 1 => DAY..5 * DAY];
    prop::collection::vec((gap, 0.0_f64..64.0, 0_u64..100_000), 1..most)
}

fn fed(samples: &[(i64, f64, u64)], model: &Model) -> Series {
    let mut series = Series::default();
    let mut at = 1_000_000;
    for (gap, cores, mib) in samples {
        at += gap;
        series.add_cpu(Timestamp(at), Cores(*cores), 0.0, None, model).unwrap();
        series.add_memory(Timestamp(at), Bytes::from_mib(*mib), None, model).unwrap();
    }
    series
}

fn near(one: f64, two: f64) -> bool {
    (one - two).abs() <= 0.05 * one.abs().max(two.abs())
}

fn decide(samples: &[(i64, f64, u64)]) -> Vec<Option<Size>> {
    let mut arm = Plumb::new(Rules::default(), Pace::default());
    let mut at = 0;
    samples
        .iter()
        .map(|(gap, cores, mib)| {
            at += gap;
            arm.step(&Observation {
                at: Timestamp(at),
                cpu: Some(Cores(*cores)),
                memory: Some(Bytes::from_mib(*mib)),
                oom: (mib % 97 == 0).then_some(Bytes::from_mib(*mib)),
                may_decide: at > DAY,
            })
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn quantiles_rise_and_weights_are_not_negative(
        values in prop::collection::vec((0_i64..40 * DAY, 0.0_f32..2e7), 1..300),
        by_load: bool,
    ) {
        let mut histogram = Histogram::default();
        for (at, value) in &values {
            histogram.add(*value, *at, DAY);
        }
        let quantiles = histogram.quantiles([0.0, 0.1, 0.5, 0.8, 0.9, 0.98, 1.0], by_load);
        prop_assert!(quantiles.windows(2).all(|w| w[0] <= w[1]), "{quantiles:?}");
        prop_assert!(quantiles.iter().all(|q| q.is_finite() && *q >= 0.0));
        prop_assert!(histogram.buckets().all(|(low, high, weight)| low < high && weight > 0.0));
    }

    #[test]
    fn merged_is_as_if_replayed(values in prop::collection::vec((0_i64..3 * DAY, 0.01_f32..100.0, any::<bool>()), 20..300)) {
        let (mut one, mut two, mut both) = <(Histogram, Histogram, Histogram)>::default();
        let mut sorted = values;
        sorted.sort_by_key(|(at, ..)| *at);
        for (at, value, left) in &sorted {
            if *left { &mut one } else { &mut two }.add(*value, *at, DAY);
            both.add(*value, *at, DAY);
        }
        one.merge(&two, DAY);
        for share in [0.001, 0.1, 1.0, 10.0, 50.0, 99.0] {
            let (merged, replayed) = (one.share_below(share), both.share_below(share));
            prop_assert!((merged - replayed).abs() < 0.03, "{share}: {merged} {replayed}");
        }
    }

    #[test]
    fn decay_is_by_time_only(values in prop::collection::vec((0_i64..5 * DAY, 0.01_f32..100.0), 1..100), shift in -1_000_000_000_i64..1_000_000_000) {
        let (mut here, mut there) = <(Histogram, Histogram)>::default();
        for (at, value) in &values {
            here.add(*value, *at, DAY);
            there.add(*value, at + shift, DAY);
        }
        prop_assert_eq!(here.quantiles([0.1, 0.5, 0.9], false).map(f32::to_bits), there.quantiles([0.1, 0.5, 0.9], false).map(f32::to_bits));
    }

    #[test]
    fn the_order_of_samples_of_one_time_does_not_matter(
        samples in samples(40),
        mut more in prop::collection::vec(0.0_f64..8.0, 2..6),
    ) {
        let model = Model::default();
        let prices = Rules::default().prices();
        let (mut one, mut two) = (fed(&samples, &model), fed(&samples, &model));
        let at = one.newest().unwrap().plus(300);
        for cores in &more {
            one.add_cpu(at, Cores(*cores), 0.0, None, &model).unwrap();
        }
        more.reverse();
        for cores in &more {
            two.add_cpu(at, Cores(*cores), 0.0, None, &model).unwrap();
        }
        let (one, two) = (one.estimate(&prices, &model), two.estimate(&prices, &model));
        // A bucket holds its weight in a byte: when one is full all are halved, and the order says which sample that is.
        let near = |a: f64, b: f64| (a - b).abs() <= 0.002 * a.abs().max(b.abs());
        let (a, b) = (one.cpu.unwrap(), two.cpu.unwrap());
        prop_assert!(near(a.lower, b.lower) && near(a.target, b.target) && near(a.upper, b.upper), "{a:?} {b:?}");
        // All else is the same to the bit.
        let aligned = Need { lower: b.lower, target: b.target, upper: b.upper, ..a };
        prop_assert_eq!(Estimate { cpu: Some(aligned), ..one }, two);
    }

    #[test]
    fn estimates_are_amounts_and_bounds_hold_them(samples in samples(200)) {
        let model = Model::default();
        let mut series = fed(&samples, &model);
        let need = series.estimate(&Rules::default().prices(), &model);
        for need in need.cpu.iter().chain(&need.memory) {
            prop_assert!(need.target.is_finite() && need.target >= 0.0, "{need:?}");
            prop_assert!(need.lower <= need.target && need.target <= need.upper, "{need:?}");
            prop_assert!((0.0..=1.0).contains(&need.because.unused), "{need:?}");
        }
        let limit = need.limit.unwrap();
        prop_assert!(limit.tail.is_finite() && limit.equal.is_finite());
        let found = recommend(&need, &Rules { add_limit: true, learn_hours: 0.0, ..Rules::default() }, &plumb::policy::Baseline::default());
        prop_assert!(found.target.memory_limit >= found.target.memory_request);
    }

    #[test]
    fn what_is_read_back_estimates_the_same_and_writes_the_same(samples in samples(300)) {
        let model = Model::default();
        let prices = Rules::default().prices();
        let mut series = fed(&samples, &model);
        let before = series.estimate(&prices, &model);
        let bytes = write_snapshot(&[&series]);
        let mut back = read_snapshot(&bytes).unwrap();
        prop_assert_eq!(back.len(), 1);
        prop_assert_eq!(write_snapshot(&[&back[0]]), bytes);
        let after = back[0].estimate(&prices, &model);
        for (one, two) in [(before.cpu, after.cpu), (before.memory, after.memory)] {
            let (one, two) = (one.unwrap().target, two.unwrap().target);
            prop_assert!(near(one, two), "{one} {two}");
        }
    }

    #[test]
    fn bytes_of_any_kind_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..400), mut at in 0_usize..4000, flip: u8) {
        let model = Model::default();
        prop_assert!(read_snapshot(&bytes).is_err());
        let mut pack = write_snapshot(&[&fed(&[(300, 1.0, 50); 40], &model)]);
        at %= pack.len();
        pack[at] ^= flip;
        prop_assert_eq!(read_snapshot(&pack).is_ok(), flip == 0);
    }

    #[test]
    fn absurd_input_is_refused_and_leaves_no_trace(samples in samples(30), bad in prop_oneof![
        Just(f64::NAN), Just(f64::INFINITY), Just(f64::NEG_INFINITY), -1e9_f64..-1e-9, 1e6_f64..1e30
    ]) {
        let model = Model::default();
        let mut series = fed(&samples, &model);
        let mut same = series.clone();
        let refused = series.refused();
        prop_assert!(series.add_cpu(series.newest().unwrap(), Cores(bad), 0.0, None, &model).is_err());
        prop_assert_eq!(series.refused(), refused + 1);
        let prices = Rules::default().prices();
        prop_assert_eq!(series.estimate(&prices, &model), same.estimate(&prices, &model));
    }

    #[test]
    fn decisions_do_not_depend_on_what_comes_later(samples in samples(400), cut in 1_usize..400) {
        let cut = cut.min(samples.len());
        let (whole, part) = (decide(&samples), decide(&samples[..cut]));
        prop_assert_eq!(&whole[..cut], &part[..]);
    }
}
