//! What must hold on any usage: no arm sees the future, threads change nothing, an outcome holds together.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use plumb::replay::arms::{NAMES, named};
use plumb::replay::engine::{Decision, Rules, replay};
use plumb::replay::outcome::{Outcome, run};
use plumb::replay::score::{Figures, Sums, score};
use plumb::replay::trace::{Allocation, Allocations, Series};
use plumb::units::{Bytes, Cores, Timestamp};
use proptest::prelude::*;

/// Gap in seconds, cores and bytes of each sample; long gaps, unknown and huge values among them.
fn samples() -> impl Strategy<Value = Vec<(i64, Option<f64>, Option<u64>)>> {
    let gap = prop_oneof![8 => Just(300_i64), 2 => 1_i64..400, 1 => 1_i64..2_000_000];
    let cpu = prop_oneof![1 => Just(None), 8 => (0.0..4.0).prop_map(Some), 1 => (0.0..1e6).prop_map(Some)];
    let memory = prop_oneof![
        1 => Just(None),
        8 => (0_u64..2_000_000_000).prop_map(Some),
        1 => (0_u64..1 << 60).prop_map(Some),
    ];
    proptest::collection::vec((gap, cpu, memory), 1..400)
}

fn series(id: &str, samples: &[(i64, Option<f64>, Option<u64>)]) -> Series {
    let mut series = Series::new(id.to_owned());
    let mut at = 0;
    for &(gap, cpu, memory) in samples {
        at += gap;
        assert!(series.push(Timestamp(at), cpu.map(Cores), memory.map(Bytes)));
    }
    series
}

/// Short enough that generated series are mostly past it.
const RULES: Rules = Rules { interval: 300, warmup: 7200 };

fn decide(name: &str, series: &Series) -> Vec<Decision> {
    let mut arm = (named(name).unwrap().make)();
    arm.reset();
    replay(series, arm.as_mut(), &RULES)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Decisions up to a time are the same whether or not the trace goes on.
    #[test]
    fn no_arm_sees_the_future(samples in samples(), cut in any::<proptest::sample::Index>()) {
        let whole = series("c", &samples);
        let at = Timestamp(*cut.get(whole.times()));
        for (name, _) in NAMES {
            let known = decide(name, &whole.until(at));
            let mut all = decide(name, &whole);
            all.retain(|decision| decision.at <= at);
            prop_assert_eq!(known, all, "{}", name);
        }
    }

    /// An arm that has served other containers decides as a new one does.
    #[test]
    fn a_reset_forgets_all(before in samples(), samples in samples()) {
        let series_after = series("c", &samples);
        for (name, _) in NAMES {
            let mut used = (named(name).unwrap().make)();
            replay(&series("b", &before), used.as_mut(), &RULES).clear();
            used.reset();
            prop_assert_eq!(replay(&series_after, used.as_mut(), &RULES), decide(name, &series_after), "{}", name);
        }
    }

    /// Sizes are finite and not negative, and come in time order at samples of the trace.
    #[test]
    fn sizes_are_sizes(samples in samples()) {
        let series = series("c", &samples);
        for (name, _) in NAMES {
            let decided = decide(name, &series);
            prop_assert!(decided.windows(2).all(|pair| pair[0].at < pair[1].at));
            for decision in decided {
                prop_assert!(series.times().binary_search(&decision.at.0).is_ok());
                prop_assert!(decision.size.cpu_request.is_none_or(|cpu| cpu.0.is_finite() && cpu.0 >= 0.0));
            }
        }
    }

    /// Slack, shortfall and exposure are shares, and a fleet's sums are its containers' added up.
    #[test]
    fn scores_are_shares_and_add(a in samples(), b in samples()) {
        for (name, _) in NAMES {
            let sums: Vec<Sums> = [series("a", &a), series("b", &b)]
                .iter()
                .map(|series| score(series, &decide(name, series), &RULES))
                .collect();
            let both = Figures::of(&sums);
            let mut added = sums[0];
            added += sums[1];
            prop_assert_eq!(both.oom_kills, added.oom_kills);
            prop_assert_eq!(both.container_days, added.days);
            prop_assert_eq!(both.cpu_slack, Figures::of(&[added]).cpu_slack);
            for share in [both.cpu_slack, both.cpu_shortfall, both.memory_slack, both.memory_exposure].into_iter().flatten() {
                prop_assert!((0.0..=1.0).contains(&share), "{} {}", name, share);
            }
        }
    }
}

fn fleet() -> Vec<Series> {
    let one = |k: i64| {
        let mut series = Series::new(format!("c{k}"));
        for i in 0..600_i64 {
            let wave = (i * (k + 3) % 97) as f64 / 97.0;
            let memory = Bytes::from_f64(1e9 * (1.0 + wave * (k % 5) as f64));
            series.push(Timestamp(i * 300), Some(Cores(0.1 + wave)), Some(memory));
        }
        series
    };
    (0..40).map(one).collect()
}

fn outcome(threads: usize) -> Outcome {
    let arms: Vec<_> = NAMES.iter().map(|(name, _)| named(name).unwrap()).collect();
    let given = Allocations::from([("c3".to_owned(), Allocation { cpu: Some(Cores(7.0)), memory: None })]);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
    pool.install(|| run("fleet", fleet().into_iter().map(Ok), &given, &arms, &Rules::default())).unwrap()
}

#[test]
fn threads_change_nothing() {
    let alone = format!("{:?}", outcome(1));
    for threads in [2, 5] {
        assert_eq!(alone, format!("{:?}", outcome(threads)));
    }
}

#[test]
fn an_outcome_shows_any_container_under_any_arm() {
    let outcome = outcome(2);
    assert_eq!(outcome.arms.len(), NAMES.len());
    let fixed = NAMES.iter().position(|(name, _)| *name == "fixed").unwrap();
    assert!(outcome.arms.iter().all(|arm| arm.containers.len() == outcome.containers.len()));
    let decided = &outcome.arms[fixed].containers[3].decisions;
    let start = outcome.containers[3].start();
    assert!(decided[0].at.seconds_since(start) >= RULES.warmup - RULES.interval, "{:?}", decided[0]);
    assert_eq!(decided.last().unwrap().size.cpu_request, Some(Cores(7.0)), "the table's request");
    assert!(outcome.arms.iter().all(|arm| arm.figures.node_pressure.is_some()));
}

/// Of a fleet like those of clusters, whatever its seed: nothing is given and taken back at once, or hardly ever.
#[test]
fn no_workload_oscillates() {
    for seed in 1..=4 {
        let (series, given) = plumb::replay::generate::fleet(seed, 7);
        let arms = [named("plumb").unwrap()];
        let outcome = run("fleet", series.into_iter().map(Ok), &given, &arms, &Rules::default()).unwrap();
        let arm = &outcome.arms[0];
        let steps: u64 = arm.containers.iter().map(|container| container.sums.steps).sum();
        assert!(steps > 50, "seed {seed}: {steps} changes say nothing");
        assert!(arm.figures.swings.unwrap() <= 0.01, "seed {seed}: {:?}", arm.figures.swings);
    }
}

#[test]
fn what_takes_back_the_change_before_is_counted() {
    let size = |cores: f64| plumb::replay::arm::Size {
        cpu_request: Some(Cores(cores)),
        memory_request: Some(Bytes(100)),
        memory_limit: Some(Bytes(100)),
    };
    let at = |seconds: i64, cores: f64| Decision { at: Timestamp(seconds), size: size(cores) };
    let mut series = Series::new("c".to_owned());
    for i in 0..100 {
        assert!(series.push(Timestamp(i * 300), Some(Cores(1.0)), Some(Bytes(50))));
    }
    // Up, up, down at once; then down again, and up after a while.
    let all = [at(6900, 1.0), at(7200, 2.0), at(7500, 3.0), at(7800, 2.0), at(8100, 1.0), at(9000, 2.0)];
    let sums = score(&series, &all, &RULES);
    assert_eq!((sums.steps, sums.swings), (5, 1));
}
