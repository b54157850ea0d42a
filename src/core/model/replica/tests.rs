use proptest::prelude::*;

use super::*;
use crate::model::{Hold, Prices};
use crate::policy::Rules;

const FINE: i64 = 15;
const BEGIN: i64 = 1_700_000_100;

fn prices() -> Prices {
    Rules::default().prices()
}

fn cpu(at: i64, window: Option<i64>, cores: f64) -> Usage {
    Usage { at: Timestamp(at), window, cpu: Some(Cores(cores)), ..Usage::default() }
}

fn target(series: &Series) -> f64 {
    series.clone().estimate(&prices(), &Model::default()).cpu.map_or(0.0, |need| need.target)
}

/// How many means of five minutes a series has learned.
fn learned(series: &Series) -> i64 {
    if !series.cpu.known() {
        return 0;
    }
    series.cpu.histogram.samples(series.cpu.last, Model::default().cpu.half_life).round() as i64
}

/// What a container uses, in steps of 15 s: a base, a daily cycle and bursts.
#[derive(Clone, Debug)]
struct Shape {
    base: f64,
    swing: f64,
    every: i64,
    lasting: i64,
    height: f64,
}

impl Shape {
    fn at(&self, step: i64) -> f64 {
        let day = (step % 5760) as f64 / 5760.0 * std::f64::consts::TAU;
        let burst = (step - 5).rem_euclid(self.every) < self.lasting;
        self.base * (1.0 + self.swing * day.sin()) + if burst { self.height } else { 0.0 }
    }

    /// The mean of the `steps` that end with that one.
    fn mean(&self, last: i64, steps: i64) -> f64 {
        (last - steps + 1..=last).map(|step| self.at(step)).sum::<f64>() / steps as f64
    }
}

fn shapes() -> impl Strategy<Value = Shape> {
    let bursts = prop_oneof![Just((40, 2)), Just((240, 2)), (10_i64..400, 1_i64..10)];
    (0.01_f64..2.0, 0.0_f64..0.9, bursts, 0.0_f64..4.0)
        .prop_map(|(base, swing, (every, lasting), height)| Shape { base, swing, every, lasting, height })
}

/// Lives two days of samples of `steps` times 15 s. Answers the mean target, slack and shortfall by five-minute means.
fn live(shape: &Shape, steps: i64, window: Option<i64>) -> (Series, [f64; 3]) {
    let (mut series, mut replica, model) = (Series::default(), Replica::default(), Model::default());
    let (mut target, mut slack, mut short, mut now) = (0.0, 0.0, 0.0, 0.0_f64);
    for step in 1..=2 * 5760_i64 {
        let at = BEGIN + step * FINE;
        if step % steps == 0 {
            let observed = series.observe(&mut replica, &cpu(at, window, shape.mean(step, steps)), &model);
            assert_eq!(observed.cpu, Some(Ok(())));
        }
        if step % 20 == 0 {
            let used = shape.mean(step, 20);
            target += now;
            slack += (now - used).max(0.0);
            short += if now > 0.0 { (used - now).max(0.0) } else { 0.0 };
            now = series.estimate(&prices(), &model).cpu.map_or(0.0, |need| need.target);
        }
    }
    (series, [target, slack, short])
}

/// The five-minute means themselves, as a backfill, a scan or a trace has them.
fn means(shape: &Shape) -> Series {
    let (mut series, model) = (Series::default(), Model::default());
    for slot in 1..=2 * 288 {
        let at = Timestamp(BEGIN + slot * INTERVAL);
        series.add_cpu(at, Cores(shape.mean(slot * 20, 20)), 0.0, None, &model).unwrap();
        series.estimate(&prices(), &model);
    }
    series
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn one_usage_is_one_need_whatever_the_window(shape in shapes()) {
        let (whole, expected) = live(&shape, 20, Some(INTERVAL));
        prop_assert_eq!(&whole.cpu, &means(&shape).cpu, "live, and as it is read of the past");
        for steps in [1, 2, 4, 10] {
            let (series, found) = live(&shape, steps, Some(steps * FINE));
            let scale = expected[0].max(1e-3);
            for (one, two) in expected.iter().zip(&found) {
                prop_assert!((one - two).abs() <= 0.05 * one.max(0.02 * scale), "{steps}: {expected:?} {found:?}");
            }
            let (one, two) = (target(&whole), target(&series));
            prop_assert!((one - two).abs() <= 0.01 * one, "{steps}: {one} {two}");
        }
    }
}

#[test]
fn bursts_of_half_a_minute_count_as_what_they_are_of_five() {
    // 20m with a core for 30 s every ten minutes, in samples of 15 s.
    let shape = Shape { base: 0.02, swing: 0.0, every: 40, lasting: 2, height: 0.98 };
    let (series, _) = live(&shape, 1, Some(FINE));
    let target = target(&series);
    assert!((0.1..0.18).contains(&target), "{target}");
}

#[test]
fn the_first_sample_speaks_until_five_minutes_are_over_and_growth_does_not_wait() {
    let (mut series, mut replica, model) = (Series::default(), Replica::default(), Model::default());
    let start = BEGIN.div_euclid(INTERVAL) * INTERVAL;
    series.observe(&mut replica, &cpu(start + 30, Some(15), 0.5), &model);
    assert!((0.4..1.0).contains(&target(&series)), "{}", target(&series));
    assert_eq!((series.samples(), series.newest()), (1, Some(Timestamp(start + 30))));
    assert_eq!(series.learned_to(), None);
    for minute in 1..=60 {
        series.observe(&mut replica, &cpu(start + minute * 60, None, 0.5), &model);
    }
    let before = target(&series);
    // Four cores for two of five minutes are 1.6 and more of them.
    for sample in 1..=4 {
        series.observe(&mut replica, &cpu(start + 3600 + sample * 30, None, 4.0), &model);
    }
    let after = target(&series);
    assert!(before < 0.8 && after > 1.59, "{before} {after}");
    assert!(series.cpu.peak < 1.0, "it is only foretold");
}

#[test]
fn the_highest_replica_counts_and_gaps_do_not() {
    let (mut series, model) = (Series::default(), Model::default());
    let mut replicas = [Replica::default(); 3];
    for step in 0..=40 {
        for (replica, cores) in replicas.iter_mut().zip([0.1, 0.2, 0.9]) {
            series.observe(replica, &cpu(BEGIN + step * 30, None, cores), &model);
        }
    }
    assert!((series.cpu.peak - 0.9).abs() < 1e-4, "{}", series.cpu.peak);
    // Two hours away: what it used before says nothing of that time.
    series.observe(&mut replicas[2], &cpu(BEGIN + 9000, Some(15), 0.3), &model);
    assert!((replicas[2].covered - 15.0).abs() < 1e-3 || !replicas[2].is_open(), "{replicas:?}");
    // A clock or a source that goes back counts no time twice.
    let covered = replicas[2].covered;
    series.observe(&mut replicas[2], &cpu(BEGIN + 8990, Some(15), 0.3), &model);
    assert!((replicas[2].covered - covered).abs() < 1e-3);
}

#[test]
fn a_window_longer_than_five_minutes_counts_in_each_that_it_covers() {
    let (mut series, mut replica, model) = (Series::default(), Replica::default(), Model::default());
    let start = BEGIN.div_euclid(INTERVAL) * INTERVAL;
    series.observe(&mut replica, &cpu(start, Some(INTERVAL), 0.1), &model);
    series.observe(&mut replica, &cpu(start + 900, Some(900), 0.4), &model);
    assert_eq!(learned(&series), 4);
    // Sliding means of five minutes: one speaks for each five minutes.
    for step in 1..=20 {
        series.observe(&mut replica, &cpu(start + 900 + step * 30, Some(INTERVAL), 0.2), &model);
    }
    assert_eq!(learned(&series), 6);
}

#[test]
fn what_is_left_of_a_replica_counts_where_it_says_something() {
    let model = Model::default();
    let brief = |series: &mut Series, ends: bool| {
        let (mut replica, before) = (Replica::default(), learned(series));
        let at = series.newest().map_or(BEGIN, |newest| newest.0 + 1000).div_euclid(INTERVAL) * INTERVAL;
        series.observe(&mut replica, &cpu(at + 20, Some(15), 1.0), &model);
        series.finish(&mut replica, ends, &model);
        assert!(!replica.is_open());
        learned(series) - before
    };
    let mut series = Series::default();
    assert_eq!(brief(&mut series, false), 1, "nothing else is known");
    let mut replica = Replica::default();
    for minute in 0..120 {
        series.observe(&mut replica, &cpu(BEGIN + 2000 + minute * 60, None, 0.1), &model);
    }
    assert_eq!(brief(&mut series, false), 0);
    assert_eq!(brief(&mut series, true), 1, "a Job of half a minute");
}

#[test]
fn memory_is_the_highest_of_five_minutes_and_the_tail_knows_at_once() {
    let (mut series, mut replica, model) = (Series::default(), Replica::default(), Model::default());
    let start = BEGIN.div_euclid(INTERVAL) * INTERVAL;
    for (second, mib) in [(30, 100), (60, 300), (90, 100)] {
        let memory = Some(Bytes::from_mib(mib));
        series.observe(
            &mut replica,
            &Usage { at: Timestamp(start + second), memory, ..Usage::default() },
            &model,
        );
    }
    assert!(!series.memory.known());
    let need = series.clone().estimate(&prices(), &model);
    assert!(need.memory.unwrap().target >= 300.0 * MIB as f64 && series.tail().peak() > 299.0);
    let usage = Usage { at: Timestamp(start + 300), memory: Some(Bytes::from_mib(90)), ..Usage::default() };
    series.observe(&mut replica, &usage, &model);
    assert!((series.memory.peak - 300.0).abs() < 0.1);
}

#[test]
fn what_neither_limit_nor_node_can_give_is_refused() {
    let (mut series, mut replica, model) = (Series::default(), Replica::default(), Model::default());
    let most =
        Most { node_cpu: Some(Cores(16.0)), node_memory: Some(Bytes::from_mib(65_536)), ..Most::default() };
    let limited = Most { cpu_limit: Some(Cores(0.2)), ..most };
    let mut observe = |cores: f64, mib: u64, most: Most| {
        let usage = Usage { memory: Some(Bytes::from_mib(mib)), most, ..cpu(BEGIN, None, cores) };
        series.observe(&mut replica, &usage, &model)
    };
    let refused = Some(Err(Refused::Impossible));
    assert_eq!(observe(1000.0, 100, most), Observed { cpu: refused, memory: Some(Ok(())) });
    assert_eq!(observe(16.5, 99_999, most), Observed { cpu: Some(Ok(())), memory: refused });
    assert_eq!(observe(0.6, 100, limited).cpu, refused);
    assert_eq!(observe(0.35, 100, limited).cpu, Some(Ok(())), "a window is not exact");
    assert_eq!(series.refused(), 3);
}

#[test]
fn what_is_held_at_its_limit_grows_and_comes_to_rest() {
    let needs = 1.0;
    let (mut series, mut replica, model) = (Series::default(), Replica::default(), Model::default());
    let (mut limit, mut changes, mut hold) = (0.2_f64, 0, Hold::default());
    hold.set(0.2);
    for step in 1..2 * 5760_i64 {
        let most = Most { cpu_limit: Some(Cores(limit)), ..Most::default() };
        let usage = Usage { most, ..cpu(BEGIN + step * FINE, Some(FINE), limit.min(needs)) };
        series.observe(&mut replica, &usage, &model);
        if step % 20 == 0 {
            // A limit that follows the request, as rule Equal has it.
            let need = series.estimate(&prices(), &model).cpu.unwrap();
            if let Some(level) = hold.weigh(need.target as f32, 300.0, &need.hold) {
                hold.set(level);
                (limit, changes) = (f64::from(level), if step > 5760 { changes + 1 } else { changes });
            }
        }
    }
    assert!((1.0..1.25).contains(&limit), "{limit}");
    assert!(changes <= 6, "{changes} changes on the second day");
    let mut told = Replica::default();
    let most = Most { cpu_limit: Some(Cores(0.2)), ..Most::default() };
    let usage = Usage { most, stalled: Some(0.0), ..cpu(BEGIN + 200_000, Some(FINE), 0.2) };
    let before = series.throttled();
    series.observe(&mut told, &usage, &model);
    assert_eq!(series.throttled(), before, "whoever knows that it was not throttled is believed");
}

#[test]
fn start_up_is_all_of_the_five_minutes_that_begin_with_it() {
    let (mut series, mut replica, model) = (Series::default(), Replica::default(), Model::default());
    let start = BEGIN.div_euclid(INTERVAL) * INTERVAL + 100;
    for second in (30..1000).step_by(30) {
        let usage = Usage { age: Some(second), ..cpu(start + second, None, 1.0) };
        series.observe(&mut replica, &usage, &model);
    }
    // It ends with the five minutes in which it was 300 s old.
    assert_eq!(series.startup().samples, 16);
    assert_eq!(series.learned_to(), Some(Timestamp(start - 100 + 900)));
}
