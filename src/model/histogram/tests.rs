use super::*;

const DAY: i64 = 86_400;

fn filled(values: &[f32]) -> Histogram {
    let mut histogram = Histogram::default();
    for value in values {
        histogram.add(*value, 0, DAY);
    }
    histogram
}

#[test]
fn buckets_are_at_most_five_percent_wide() {
    for value in [0.001_f32, 0.0137, 1.0, 1.99, 700.0, 1000.0, 1_048_576.0, 9e6] {
        let (low, high) = (edge(code(value)), edge(code(value) + 1));
        assert!(low <= value && value < high, "{low} {value} {high}");
        assert!(high / low <= 1.05, "{value}: {low} to {high}");
    }
    assert_eq!(code(f32::NAN), code(LEAST));
    assert_eq!(code(-1.0), code(0.0));
    assert_eq!(code(f32::INFINITY), code(MOST));
}

#[test]
fn quantiles_of_time_and_of_load() {
    // 9 units of time at load 1 and one at load 10 (Autopilot, section 3.2.2).
    let histogram = filled(&[1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 10.0]);
    let [by_time] = histogram.quantiles([0.9], false);
    let [by_load] = histogram.quantiles([0.9], true);
    assert!((by_time - 1.0).abs() < 0.05, "{by_time}");
    assert!((by_load - 10.0).abs() < 0.5, "{by_load}");
    assert!(Histogram::default().quantiles([0.5], false)[0].abs() < f32::EPSILON);
}

#[test]
fn a_sample_weighs_half_after_a_half_life() {
    let mut histogram = filled(&[1.0; 100]);
    for _ in 0..100 {
        histogram.add(8.0, DAY, DAY);
    }
    assert!((histogram.share_below(2.0) - 1.0 / 3.0).abs() < 0.01);
    assert!((histogram.samples(DAY, DAY) - 150.0).abs() < 2.0);
    for day in 2..40 {
        histogram.add(8.0, day * DAY, DAY);
    }
    assert!(histogram.share_below(2.0) < 0.01, "what is long past is forgotten");
}

#[test]
fn a_full_bucket_keeps_the_shares() {
    let mut histogram = Histogram::default();
    for i in 0..100_000 {
        histogram.add(if i % 4 == 0 { 4.0 } else { 1.0 }, 0, DAY);
    }
    assert!((histogram.share_below(2.0) - 0.75).abs() < 0.02);
}

#[test]
fn the_window_is_bounded_and_what_lies_below_counts() {
    let mut histogram = filled(&[0.001; 9]);
    histogram.add(1e6, 0, DAY);
    assert!(histogram.heap_bytes() <= 2 * MAX_BUCKETS);
    assert!((histogram.share_below(100_000.0) - 0.9).abs() < 0.01);
    histogram.add(0.001, 0, DAY);
    assert!((histogram.share_below(100_000.0) - 10.0 / 11.0).abs() < 0.01);
}

#[test]
fn merged_is_as_if_replayed() {
    let (mut one, mut two, mut both) = <(Histogram, Histogram, Histogram)>::default();
    for i in 0..500_i64 {
        let value = 1.0 + (i * 37 % 101) as f32 / 10.0;
        if i % 2 == 0 { &mut one } else { &mut two }.add(value, i * 3600, DAY);
        both.add(value, i * 3600, DAY);
    }
    one.merge(&two, DAY);
    for share in [0.1, 0.5, 0.9, 0.98] {
        let ([merged], [replayed]) = (one.quantiles([share], false), both.quantiles([share], false));
        assert!((merged / replayed - 1.0).abs() < 0.05, "{share}: {merged} {replayed}");
    }
}
