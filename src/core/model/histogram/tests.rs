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
    for i in 0..100_000_i64 {
        histogram.add(if i % 4 == 0 { 4.0 } else { 1.0 }, i / 10, DAY);
    }
    let share = histogram.share_below(2.0);
    assert!((share - 0.75).abs() < 0.03, "{share}");
}

#[test]
fn the_window_is_bounded_and_what_lies_below_counts() {
    let mut histogram = filled(&[0.001; 9]);
    histogram.add(1e6, 0, DAY);
    assert!(histogram.heap_bytes() <= MAX_BUCKETS);
    assert!((histogram.share_below(100_000.0) - 0.9).abs() < 0.01);
    histogram.add(0.001, 0, DAY);
    assert!((histogram.share_below(100_000.0) - 10.0 / 11.0).abs() < 0.01);
}

#[test]
fn many_samples_a_half_life_decay_as_few_do() {
    // A hundred replicas: the buckets fill many times within a half-life.
    let (mut few, mut many) = <(Histogram, Histogram)>::default();
    for minute in 0..3 * 1440_i64 {
        let base = if minute < 2 * 1440 { 8.0 } else { 1.0 };
        few.add(base, minute * 60, DAY);
        for replica in 0..100_u8 {
            many.add(base + f32::from(replica) * 1e-6, minute * 60, DAY);
        }
    }
    let (few, many) = (few.share_below(2.0), many.share_below(2.0));
    assert!((few - 4.0 / 7.0).abs() < 0.03 && (many - 4.0 / 7.0).abs() < 0.03, "{few} {many}");
}

#[test]
fn the_window_gives_up_what_is_forgotten() {
    let mut histogram = Histogram::default();
    for i in 0..600 {
        histogram.add(0.5 * 1.01_f32.powi(i), i64::from(i) * 300, DAY);
    }
    let wide = histogram.heap_bytes();
    for hour in 50..24 * 40 {
        histogram.add(200.0, hour * 3600, DAY);
    }
    assert!(wide > 250 && histogram.heap_bytes() < 50, "{wide} {}", histogram.heap_bytes());
    assert!((histogram.quantiles([0.5], false)[0] / 200.0 - 1.0).abs() < 0.05);
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

#[test]
fn quantiles_lie_where_one_bucket_after_the_other_says() {
    let mut histogram = Histogram::default();
    for i in 0..5000_i64 {
        histogram.add(0.01 * (1.0 + (i * i % 997) as f32), i * 60, 86_400);
    }
    let shares = [0.0, 0.001, 0.25, 0.5, 0.9, 0.98, 1.0];
    let total: f32 = histogram.buckets().map(|(_, _, weight)| weight).sum();
    for (share, quantile) in shares.into_iter().zip(histogram.quantiles(shares, false)) {
        let mut below = 0.0;
        let (low, high, left) = histogram
            .buckets()
            .find_map(|(low, high, weight)| {
                let left = (share * total - below) / weight;
                below += weight;
                (left <= 1.0).then_some((low, high, left))
            })
            .unwrap();
        assert!((quantile / (low + (high - low) * left) - 1.0).abs() < 1e-5, "{share}: {quantile}");
    }
}
