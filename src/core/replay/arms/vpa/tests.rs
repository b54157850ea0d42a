//! VPA's own answers, taken from its unit tests and from runs of its code. H to R name a vector each.
//!
//! What a backtest has no use for is left out: merging (one container is one replica), reading checkpoints, more than one container a pod.

use super::histogram::{Buckets, Histogram, MIN_SAMPLE_WEIGHT};
use super::recommender::{Estimate, confidence, estimate, scaled, with_margin};
use super::usage::{Amount, DAY, MAX_AMOUNT, Usage, amount};
use super::*;

const EPSILON: f64 = 0.0001;
const HOUR: i64 = 3600;
/// 2026-01-01T00:00Z.
const T0: i64 = 1_767_225_600;
/// So long a half-life that nothing decays between samples of the same time.
const AGES: i64 = 1_000_000 * DAY;

fn plain(buckets: Buckets, samples: &[(f64, f64)]) -> Histogram {
    let mut histogram = Histogram::new(buckets, DAY);
    for &(value, weight) in samples {
        histogram.add(value, weight, T0);
    }
    histogram
}

fn percentile(histogram: &Histogram, share: f64) -> f64 {
    let [end] = histogram.percentiles([share]);
    end
}

fn assert_close(found: f64, expected: f64) {
    assert!((found - expected).abs() <= 1e-12 * expected.abs().max(1e-3), "{found} is not {expected}");
}

/// Weights as VPA's checkpoint has them: the largest is 10000, what rounds to 0 is dropped.
fn checkpoint(histogram: &Histogram) -> Vec<(usize, f64)> {
    let largest = histogram.weights().map(|(_, weight)| weight).fold(0.0, f64::max);
    let scaled =
        histogram.weights().map(|(bucket, weight)| (bucket, (weight * 10000.0 / largest + 0.5).floor()));
    scaled.filter(|&(_, weight)| weight > 0.0).collect()
}

#[test]
fn h1_an_empty_histogram_answers_nothing() {
    let empty = plain(Buckets::cpu(), &[]);
    for share in [0.0, 0.5, 1.0] {
        assert_close(percentile(&empty, share), 0.0);
    }
}

#[test]
fn h2_percentiles_are_bucket_ends() {
    let h = plain(Buckets::linear(10.0, 1.0, EPSILON), &[(1.0, 1.0), (2.0, 2.0), (3.0, 3.0), (4.0, 4.0)]);
    for (share, end) in [
        (0.0, 2.0),
        (0.1, 2.0),
        (0.2, 3.0),
        (0.3, 3.0),
        (0.4, 4.0),
        (0.5, 4.0),
        (0.6, 4.0),
        (0.7, 5.0),
        (0.8, 5.0),
        (0.9, 5.0),
        (1.0, 5.0),
    ] {
        assert_close(percentile(&h, share), end);
    }
    let all = h.percentiles([0.1, 0.5, 0.9]);
    assert_eq!(all.map(f64::to_bits), [2.0, 4.0, 5.0].map(f64::to_bits));
}

#[test]
fn h3_shares_out_of_range_are_the_ends() {
    let mut h = plain(Buckets::linear(1.0, 0.1, EPSILON), &[(0.1, 0.1), (0.2, 0.2)]);
    assert_close(percentile(&h, -0.1), 0.2);
    assert_close(percentile(&h, 1.1), 0.3);
    h.add(0.0, 0.1, T0);
    h.add(1.0, 0.2, T0);
    assert_close(percentile(&h, -0.1), 0.1);
    assert_close(percentile(&h, 1.1), 1.0);
}

#[test]
fn h4_subtracting_ends_in_nothing() {
    // Undecayed weights: the reference lies at the samples' own time.
    let mut h = Histogram::new(Buckets::linear(1.0, 0.1, EPSILON), DAY);
    h.add(0.1, 2.5 * EPSILON, T0);
    assert!(!h.is_empty());
    h.subtract(0.1, EPSILON, T0);
    assert!(!h.is_empty());
    h.subtract(0.1, EPSILON, T0);
    assert!(h.is_empty());
}

#[test]
fn h5_light_samples_beside_a_heavy_one_do_not_empty_it() {
    let mut h = Histogram::new(Buckets::linear(1.0, 0.1, EPSILON), DAY);
    for (value, weight) in [(9.9, 3.0 * EPSILON), (0.1, 0.3 * EPSILON), (999.9, 0.3 * EPSILON)] {
        h.add(value, weight, T0);
        assert!(!h.is_empty());
    }
}

#[test]
fn h7_linear_buckets() {
    let b = Buckets::linear(5.0, 0.3, EPSILON);
    assert_eq!(b.count(), 18);
    assert_close(b.start(17), 5.1);
    assert_eq!((b.find(-1.0), b.find(1.3), b.find(100.0)), (0, 4, 17));
}

#[test]
fn h8_exponential_buckets() {
    let b = Buckets::exponential(500.0, 40.0, 1.5, EPSILON);
    assert_eq!(b.count(), 6);
    for (bucket, start) in [0.0, 40.0, 100.0, 190.0, 325.0, 527.5].into_iter().enumerate() {
        assert_close(b.start(bucket), start);
    }
    assert_eq!([39.99, 40.0, 100.0, 900.0].map(|v| b.find(v)), [0, 1, 2, 5]);
}

#[test]
fn h9_cpu_buckets() {
    let b = Buckets::cpu();
    assert_eq!(b.count(), 176);
    for (value, bucket) in [
        (0.0, 0),
        (0.0099, 0),
        (0.01, 1),
        (0.02, 1),
        (0.0205, 1),
        (0.1, 8),
        (0.25, 16),
        (0.5, 25),
        (1.0, 36),
        (2.0, 49),
        (3.15, 57),
        (16.0, 90),
        (64.0, 118),
        (999.0, 174),
        (5000.0, 175),
    ] {
        assert_eq!(b.find(value), bucket, "{value}");
    }
    for (bucket, start) in [
        (1, 0.01),
        (2, 0.020_499_999_999_999_987),
        (10, 0.125_778_925_355_488_2),
        (50, 2.093_479_957_150_735),
        (100, 26.100_251_569_260_7),
        (175, 1_021.109_408_904_860_1),
    ] {
        assert_close(b.start(bucket), start);
    }
}

#[test]
fn h10_memory_buckets() {
    let b = Buckets::memory();
    for (value, bucket) in [
        (1e7, 1),
        (5e7, 4),
        (1e8, 8),
        (268_435_456.0, 17),
        (1e9, 36),
        (2e9, 49),
        (3e9, 56),
        (8_589_934_592.0, 77),
        (1e11, 127),
        (1e12, 174),
        (1e13, 175),
        // Here the formula and the table of starts disagree, and VPA goes by the formula.
        (20_500_000.0, 1),
        (31_525_000.0, 2),
    ] {
        assert_eq!(b.find(value), bucket, "{value}");
    }
}

fn hourly() -> Histogram {
    Histogram::new(Buckets::linear(10.0, 1.0, EPSILON), HOUR)
}

#[test]
fn d1_weights_halve_each_half_life() {
    let mut h = hourly();
    h.add(2.0, 1000.0, T0);
    h.add(1.0, 1.0, T0 + 20 * HOUR);
    assert_close(percentile(&h, 0.999), 2.0);
    assert_close(percentile(&h, 1.0), 3.0);
}

#[test]
fn d2_the_old_vanishes() {
    let mut h = hourly();
    h.add(2.0, 1.0, T0);
    h.add(1.0, 1.0, T0 + 101 * HOUR);
    assert_close(percentile(&h, 1.0), 2.0);
}

#[test]
fn d3_percentiles_of_what_decayed() {
    let mut h = hourly();
    for i in 1..=4 {
        h.add(f64::from(i), f64::from(i), T0 + i64::from(i - 1) * HOUR);
    }
    for (share, end) in
        [(0.0, 2.0), (0.02, 2.0), (0.03, 3.0), (0.10, 3.0), (0.11, 4.0), (0.34, 4.0), (0.35, 5.0), (1.0, 5.0)]
    {
        assert_close(percentile(&h, share), end);
    }
}

#[test]
fn c1_to_c3_checkpoint_weights() {
    let of = |samples: &[(f64, f64)]| {
        let mut h = Histogram::new(Buckets::linear(10.0, 1.0, EPSILON), AGES);
        for &(value, weight) in samples {
            h.add(value, weight, -62_135_596_800);
        }
        (checkpoint(&h), h.total())
    };
    assert_eq!(of(&[(1.0, 1.0)]), (vec![(1, 10000.0)], 1.0));
    assert_eq!(of(&[(1.0, 1.0), (2.0, 100_000.0)]), (vec![(2, 10000.0)], 100_001.0));
    assert_eq!(
        of(&[(1.0, 1.0), (2.0, 10_000.0), (3.0, 50.0)]),
        (vec![(1, 1.0), (2, 10000.0), (3, 50.0)], 10_051.0)
    );
}

#[test]
fn g1_four_minutes_of_cpu() {
    let mut h = Histogram::new(Buckets::cpu(), DAY);
    for (minute, cores) in (0..).zip([0.1, 0.25, 0.25, 1.0]) {
        h.add(cores, MIN_SAMPLE_WEIGHT, T0 + minute * 60);
    }
    assert_eq!(h.reference(), T0);
    assert_eq!(checkpoint(&h), [(8, 4996.0), (16, 10000.0), (36, 5004.0)]);
    assert_close(h.total(), 0.400_288_973_582_137_05);
}

#[test]
fn g2_one_sample_a_day_from_noon() {
    let mut usage = Usage::default();
    let noon = T0 + 12 * HOUR;
    for (day, milli) in (0..).zip([100, 250, 250, 1000]) {
        usage.add_cpu(milli, noon + day * DAY);
    }
    assert_eq!(usage.cpu.reference(), T0 + DAY, "noon rounds up");
    assert_eq!(checkpoint(&usage.cpu), [(8, 1250.0), (16, 7500.0), (36, 10000.0)]);
    assert_close(usage.cpu.total(), 1.060_660_171_779_821_4);
    usage.memory.add(3e8, 1.0, noon);
    usage.memory.add(6e8, 1.0, noon + 2 * DAY);
    assert_eq!(checkpoint(&usage.memory), [(18, 2500.0), (28, 10000.0)]);
    assert_close(usage.memory.total(), 3.535_533_905_932_737_3);
}

#[test]
fn e1_without_history_bounds_are_open() {
    assert_eq!((scaled(3140, 0.0, 1.0, 1.0), scaled(3140, 0.0, 1.0, -2.0)), (MAX_AMOUNT, 0));
    assert_eq!(scaled(0, 0.0, 1.0, 1.0), 0, "0 x infinity is not a number, and no size");
}

#[test]
fn e2_e3_confidence_and_multiplier() {
    let young = confidence(T0, T0 + 16 * 60, 9, DAY);
    assert_close(young, 0.00625);
    assert_eq!(scaled(3140, young, 0.1, 2.0), 907_460);
    assert_eq!(scaled(3_140_000_000, young, 0.1, 2.0) / 10_000_000, 90_746);
    let half = confidence(T0, T0 + 16 * 60, 9, 18 * 60);
    assert_close(half, 0.5);
    assert_eq!(scaled(3140, half, 0.1, 2.0), 4521);
    assert_eq!(scaled(3_140_000_000, half, 0.1, 2.0) / 1000, 4_521_600);
}

#[test]
fn e4_margin() {
    assert_eq!((with_margin(3140, 0.1), with_margin(3_140_000_000, 0.1)), (3454, 3_454_000_000));
}

#[test]
fn e5_minimum() {
    let small = plain(Buckets::cpu(), &[(0.001, 1.0)]);
    assert_eq!(estimate(&small, 1000.0, 1.0, Floors::DEFAULT.millicores).target, 25);
    let small = plain(Buckets::memory(), &[(1e6, 1.0)]);
    assert_eq!(estimate(&small, 1.0, 1.0, Floors::DEFAULT.bytes).target, 262_144_000);
}

#[test]
fn q3_amounts_are_truncated() {
    assert_eq!([0.069_946, 0.017_207_1, 0.00455].map(|cores: f64| amount(cores * 1000.0)), [69, 17, 4]);
    assert_eq!((amount(f64::NAN), amount(-1.0), amount(1e30)), (0, 0, MAX_AMOUNT));
}

/// A history as the vectors R describe it, with the confidence that VPA derives from its CPU samples.
#[derive(Default)]
struct History {
    usage: Usage,
    first: Option<i64>,
    last: i64,
    samples: u64,
}

impl History {
    fn cpu(&mut self, milli: Amount, at: i64) {
        self.usage.add_cpu(milli, at);
        self.first.get_or_insert(at);
        self.last = at;
        self.samples += 1;
    }

    fn minutes(&mut self, from: i64, n: i64, milli: impl Fn(i64) -> Amount) {
        for i in 0..n {
            self.cpu(milli(i), from + i * 60);
        }
    }

    fn peak(&mut self, bytes: f64, at: i64) {
        self.usage.memory.add(bytes, 1.0, at);
    }

    /// Target, lower, upper as the vectors print them.
    fn says(&self) -> ([Amount; 3], [Amount; 3]) {
        let sure = confidence(self.first.unwrap_or(self.last), self.last, self.samples, DAY);
        let list = |e: Estimate| [e.target, e.lower, e.upper];
        (
            list(estimate(&self.usage.cpu, 1000.0, sure, Floors::DEFAULT.millicores)),
            list(estimate(&self.usage.memory, 1.0, sure, Floors::DEFAULT.bytes)),
        )
    }
}

const FLOOR: Amount = 262_144_000;

#[test]
fn r1_no_history() {
    assert_eq!(History::default().says(), ([25; 3], [FLOOR; 3]));
}

#[test]
fn r2_one_sample() {
    let mut h = History::default();
    h.cpu(100, T0);
    h.peak(1e8, T0);
    assert_eq!(h.says(), ([126, 25, MAX_AMOUNT], [FLOOR, FLOOR, MAX_AMOUNT]));
}

#[test]
fn r3_a_steady_day() {
    let mut h = History::default();
    h.minutes(T0, 1440, |_| 500);
    h.peak(1e9, T0);
    assert_eq!(h.says(), ([587, 585, 1174], [1_168_723_596, 1_166_388_030, 2_338_259_369]));
}

#[test]
fn r4_eight_days_of_growth() {
    let mut h = History::default();
    for day in 0..8 {
        h.minutes(T0 + day * DAY, 1440, |i| (i % 10 + 1) * 100);
    }
    for day in 1..=8 {
        h.peak(day as f64 * 1e9, T0 + day * DAY);
    }
    assert_eq!(h.says(), ([1168, 715, 1314], [9_616_998_332, 9_614_594_324, 10_819_227_483]));
}

#[test]
fn r5_half_an_hour() {
    let mut h = History::default();
    h.minutes(T0, 30, |_| 200);
    h.peak(3e8, T0);
    assert_eq!(h.says(), ([247, 224, 12_511], [351_198_544, 318_756_761, 17_790_022_797]));
}

#[test]
fn r6_a_drop_after_a_week() {
    let mut h = History::default();
    for day in 0..14 {
        let (milli, bytes) = if day < 7 { (2000, 4e9) } else { (200, 1e9) };
        h.minutes(T0 + day * DAY, 1440, |_| milli);
        h.peak(bytes, T0 + (day + 1) * DAY);
    }
    assert_eq!(h.says(), ([247, 246, 264], [1_168_723_596, 1_168_556_645, 1_252_207_993]));
}

#[test]
fn r7_four_minutes() {
    let mut h = History::default();
    for (minute, milli) in (0..).zip([100, 250, 250, 1000]) {
        h.cpu(milli, T0 + minute * 60);
    }
    h.peak(3e8, T0);
    assert_eq!(h.says(), ([1168, 135, 561_808], [351_198_544, FLOOR, 168_926_499_664]));
}

/// The memory peaks that a history holds, each as (end of its day after T0 in hours, bytes): what O1 to O8 list as operations.
#[derive(Default)]
struct PeakLog(Vec<(i64, Amount)>);

impl PeakLog {
    /// Whether `usage` holds just these peaks.
    fn assert_held_by(&self, usage: &Usage) {
        let mut expected = Histogram::new(Buckets::memory(), DAY);
        for &(hours, bytes) in &self.0 {
            expected.add(bytes as f64, 1.0, T0 + hours * HOUR);
        }
        let held = |h: &Histogram| h.weights().filter(|(_, w)| *w > 1e-9).map(|(b, _)| b).collect::<Vec<_>>();
        assert_eq!(held(&usage.memory), held(&expected));
        assert_close(usage.memory.total(), expected.total());
    }
}

const MI: Amount = 1 << 20;

#[test]
fn o1_o2_an_oom_kill_is_a_peak_above_the_request() {
    for (request, peak) in [(1000 * MI, 1200 * MI), (MI, 101 * MI)] {
        let mut usage = Usage::default();
        assert!(usage.add_oom(request, T0));
        PeakLog(vec![(24, peak)]).assert_held_by(&usage);
    }
}

#[test]
fn o3_kills_of_a_day_do_not_add_up() {
    let mut usage = Usage::default();
    for request in [1000, 999, 999] {
        usage.add_oom(request * MI, T0);
        PeakLog(vec![(24, 1200 * MI)]).assert_held_by(&usage);
    }
    usage.add_oom(2000 * MI, T0);
    PeakLog(vec![(24, 2400 * MI)]).assert_held_by(&usage);
}

#[test]
fn o4_the_peak_counts_where_it_is_above_the_request() {
    let mut usage = Usage::default();
    usage.add_memory(3000 * MI, T0);
    usage.add_oom(1000 * MI, T0);
    PeakLog(vec![(24, 3600 * MI)]).assert_held_by(&usage);
}

#[test]
fn o5_o7_o10_old_kills_are_dropped() {
    let mut usage = Usage::default();
    usage.add_memory(1000 * MI, T0);
    assert!(!usage.add_oom(1000 * MI, T0 - 30 * HOUR));
    PeakLog(vec![(24, 1000 * MI)]).assert_held_by(&usage);

    let mut usage = Usage::default();
    usage.add_memory(100 * MI, T0);
    usage.add_memory(2000 * MI, T0 + DAY);
    assert!(usage.add_oom(1000 * MI, T0 + DAY - 1));
    PeakLog(vec![(24, 100 * MI), (48, 2400 * MI)]).assert_held_by(&usage);

    let mut usage = Usage::with_peak_length(HOUR);
    usage.add_memory(1000 * MI, T0);
    assert!(!usage.add_oom(1000 * MI, T0 - 2 * HOUR));
}

#[test]
fn o6_a_kill_days_later_opens_its_own_day_on_top_of_the_last_peak() {
    let mut usage = Usage::default();
    usage.add_memory(2000 * MI, T0);
    usage.add_oom(1000 * MI, T0 + 2 * DAY);
    PeakLog(vec![(24, 2000 * MI), (72, 2400 * MI)]).assert_held_by(&usage);
}

#[test]
fn o8_days_begin_with_the_first_sample() {
    let mut usage = Usage::default();
    for (bytes, hours) in [(5, 0), (10, 12), (2, 24)] {
        assert!(usage.add_memory(bytes, T0 + hours * HOUR));
    }
    PeakLog(vec![(24, 10), (48, 2)]).assert_held_by(&usage);
    assert!(!usage.add_memory(-1, T0 + 30 * HOUR));
    assert!(!usage.add_memory(1, T0));
}

#[test]
fn o9_targets_after_kills() {
    let mut usage = Usage::default();
    usage.add_memory(200 * MI, T0);
    for (request, target) in [(256, 442_809_964), (256, 442_809_964), (2048, 2_975_900_105)] {
        usage.add_oom(request * MI, T0);
        assert_eq!(estimate(&usage.memory, 1.0, 1.0, Floors::DEFAULT.bytes).target, target);
    }
}

fn applied(cpu: Amount, memory: Amount) -> Applied {
    Applied { cpu: Some(cpu), memory: Some(memory), at: Timestamp(T0) }
}

fn exactly(target: Amount) -> Estimate {
    Estimate { lower: 0, target, upper: MAX_AMOUNT }
}

#[test]
fn updates_follow_bounds_age_and_kills() {
    let bounds = Some(Estimate { lower: 100, target: 150, upper: 300 });
    let memory = Some(exactly(1000));
    let at = |hours: i64| Timestamp(T0 + hours * HOUR);
    // Outside the bounds: at once.
    assert!(should_update(&applied(99, 1000), bounds, memory, at(0), false));
    assert!(should_update(&applied(301, 1000), bounds, memory, at(0), false));
    // Inside: after 12 hours, from a tenth on, over both resources together.
    assert!(!should_update(&applied(100, 1000), bounds, memory, at(11), false));
    assert!(should_update(&applied(100, 1000), bounds, memory, at(12), false));
    assert!(!should_update(&applied(150, 1060), bounds, memory, at(13), false));
    assert!(should_update(&applied(160, 1060), bounds, memory, at(13), false));
    // After a kill: for any difference.
    assert!(should_update(&applied(150, 1001), bounds, memory, at(0), true));
    assert!(!should_update(&applied(150, 1000), bounds, memory, at(0), true));
    // A resource without a request is set, one without history is left.
    let none = Applied { cpu: None, ..applied(0, 1000) };
    assert!(should_update(&none, bounds, memory, at(0), false));
    assert!(!should_update(&none, None, memory, at(0), false));
}
