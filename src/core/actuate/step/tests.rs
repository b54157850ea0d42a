use super::*;
use crate::model::Confidence;
use crate::policy::{Amounts, LimitRules};
use crate::testing::pure::size;

const HOLD: HoldRule = HoldRule { grow: 0.03, shrink: 0.07, price: 300.0, underrun: None };

fn advice(cpu: f64, memory_mib: u64, limit_mib: u64) -> Recommendation {
    let target = ContainerSize { cpu_request: Some(Cores(cpu)), ..size(0, memory_mib, limit_mib) };
    Recommendation {
        target,
        lower: target,
        upper: target,
        cpu_hold: Some(HOLD),
        memory_hold: Some(HoldRule { price: 300.0 * 1e8, ..HOLD }),
        limits: LimitRules::default(),
        most: Amounts::default(),
        young: false,
        confidence: Confidence::High,
    }
}

fn running() -> Stepper {
    Stepper::new(advice(1.0, 1000, 1600).target)
}

fn at(seconds: i64) -> Timestamp {
    Timestamp(seconds)
}

#[test]
fn inside_the_bounds_nothing_changes() {
    let mut stepper = running();
    for i in 0..100 {
        assert_eq!(stepper.step(&advice(0.98, 990, 1600), at(i * 300), false, &Pace::default()), None);
    }
}

#[test]
fn growth_is_taken_at_once_and_whole() {
    let size = running().step(&advice(3.0, 4000, 5000), at(0), false, &Pace::default()).unwrap();
    assert_eq!(size.cpu_request, Some(Cores(3.0)));
    assert_eq!(size.memory_request, Some(Bytes::from_mib(4000)));
    assert!(size.memory_limit > Some(Bytes::from_mib(5000)));
}

#[test]
fn what_memory_has_waited_for_is_not_lost_when_the_cpu_changes() {
    let shrinks_at = |cpu_changes: bool| {
        let mut stepper = running();
        (0..100).find(|i| {
            let mut seen = *stepper.in_force();
            // As a resize rounds it, or a person sets it.
            seen.cpu_request = Some(Cores(if cpu_changes && i % 2 == 0 { 1.001 } else { 1.0 }));
            stepper.observe(seen);
            let size = stepper.step(&advice(1.0, 900, 1600), at(i * 60), false, &Pace::default());
            size.is_some_and(|size| size.memory_request < Some(Bytes::from_mib(1000)))
        })
    };
    assert!(shrinks_at(false) > Some(1), "it waits");
    assert_eq!(shrinks_at(true), shrinks_at(false));
}

#[test]
fn a_shrink_waits_and_goes_in_steps() {
    let mut stepper = running();
    let mut seen = vec![1.0];
    for i in 0..40 {
        if let Some(size) = stepper.step(&advice(0.2, 1000, 1600), at(i * 300), false, &Pace::default()) {
            seen.push(size.cpu_request.unwrap().0);
        }
    }
    assert!(seen.windows(2).all(|w| w[1] >= 0.49 * w[0] && w[1] < w[0]), "{seen:?}");
    assert!((seen.last().unwrap() - 0.2).abs() < 0.05, "{seen:?}");
}

#[test]
fn the_cooldown_holds_a_shrink_back() {
    let mut stepper = running();
    let pace = Pace { cooldown: 3600, ..Pace::default() };
    assert!(stepper.step(&advice(2.0, 1000, 1600), at(0), false, &pace).is_some());
    let changed: Vec<i64> = (1..30)
        .filter(|i| stepper.step(&advice(0.5, 1000, 1600), at(i * 300), false, &pace).is_some())
        .collect();
    assert_eq!(changed.first(), Some(&12));
}

#[test]
fn what_has_grown_is_not_taken_back_at_once() {
    let mut stepper = running();
    let grown = stepper.step(&advice(2.0, 2000, 4000), at(0), false, &Pace::default()).unwrap();
    let mut falls = [None; 2];
    for i in 1..60 {
        let size = stepper.step(&advice(0.5, 500, 4000), at(i * 60), false, &Pace::default());
        let Some(size) = size else { continue };
        for (fall, lower) in falls
            .iter_mut()
            .zip([size.cpu_request < grown.cpu_request, size.memory_request < grown.memory_request])
        {
            *fall = fall.or(lower.then_some(i * 60));
        }
    }
    assert_eq!(falls, [Some(1800), None]);
    assert!(stepper.step(&advice(0.5, 500, 4000), at(3600), false, &Pace::default()).is_some());
}

#[test]
fn small_growth_soon_after_a_shrink_waits() {
    let pace = Pace { cooldown: 7200, ..Pace::default() };
    let shrunk = || {
        let mut stepper = running();
        let size = stepper.step(&advice(0.9, 900, 1600), at(0), false, &pace);
        assert_eq!(size, None);
        let size = stepper.step(&advice(0.9, 900, 1600), at(3600), false, &pace).unwrap();
        assert_eq!((size.cpu_request, size.memory_request), (Some(Cores(0.9)), Some(Bytes::from_mib(900))));
        stepper
    };
    assert_eq!(shrunk().step(&advice(1.2, 1200, 1600), at(3900), false, &pace), None);
    let size = shrunk().step(&advice(1.4, 1400, 1600), at(3900), false, &pace).unwrap();
    assert_eq!((size.cpu_request, size.memory_request), (Some(Cores(1.4)), Some(Bytes::from_mib(1400))));
    let killed = shrunk().step(&advice(1.2, 1200, 1600), at(3900), true, &pace).unwrap();
    assert_eq!((killed.cpu_request, killed.memory_request), (Some(Cores(0.9)), Some(Bytes::from_mib(1200))));
    let later = shrunk().step(&advice(1.2, 1200, 1600), at(4200), false, &pace).unwrap();
    assert_eq!(later.cpu_request, Some(Cores(1.2)), "a long cooldown holds growth no longer");
}

#[test]
fn a_kill_raises_the_limit_at_once() {
    let mut stepper = running();
    let size = stepper.step(&advice(1.0, 1010, 2400), at(300), true, &Pace::default()).unwrap();
    assert!(size.memory_limit >= Some(Bytes::from_mib(2400)));
}

#[test]
fn growth_that_is_priced_waits_until_it_is_worth_it_but_not_after_a_kill() {
    let priced = |memory| {
        let mut advice = advice(1.0, memory, 1600);
        advice.memory_hold = advice.memory_hold.map(|hold| HoldRule { underrun: Some(0.5), ..hold });
        advice
    };
    let first = |memory, killed| {
        let mut stepper = running();
        stepper.step(&priced(1000), at(0), false, &Pace::default());
        (1..100).find(|i| stepper.step(&priced(memory), at(i * 300), killed, &Pace::default()).is_some())
    };
    assert_eq!(first(1100, false), Some(2), "300 s x 100 MiB short come to half the price");
    assert_eq!(first(1200, false), Some(1));
    assert_eq!(first(1100, true), Some(1));
    assert_eq!(first(1020, false), None, "a trifle");
}

#[test]
fn a_limit_that_rises_slowly_is_raised_seldom() {
    let mut stepper = running();
    let needs = (1..=50).map(|i| 1600 + 16 * i);
    let raised = needs.zip(1..).filter(|&(need, i)| {
        stepper.step(&advice(1.0, 1000, need), at(i * 300), false, &Pace::default()).is_some()
    });
    assert_eq!(raised.count(), 2, "by half in all, by a quarter each time");
}

#[test]
fn a_tied_limit_follows_the_request() {
    let mut stepper = Stepper::new(advice(1.0, 1000, 1000).target);
    let mut tied = advice(1.0, 1300, 1300);
    tied.limits.memory = MemoryLimitRule::Equal;
    let size = stepper.step(&tied, at(300), false, &Pace::default()).unwrap();
    assert_eq!(
        (size.memory_request, size.memory_limit),
        (Some(Bytes::from_mib(1300)), Some(Bytes::from_mib(1300)))
    );
}

/// Days of steps, one each five minutes, in which the same is recommended; all that was in force.
fn days(days: i64, from: ContainerSize, advice: &Recommendation) -> Vec<ContainerSize> {
    let mut stepper = Stepper::new(from);
    (0..days * 288).filter_map(|i| stepper.step(advice, at(i * 300), false, &Pace::default())).collect()
}

#[test]
fn a_limit_that_keeps_its_ratio_does_not_run_away() {
    for (cpu, memory) in [(0.2, 200), (0.206, 206), (0.1, 100), (1.0, 1000)] {
        let mut ratio = advice(0.2, 200, 400);
        ratio.limits = LimitRules {
            cpu: CpuLimitRule::Ratio,
            memory: MemoryLimitRule::Ratio,
            cpu_ratio: Some(2.0),
            memory_ratio: Some(2.0),
            ..LimitRules::default()
        };
        let from = ContainerSize {
            cpu_request: Some(Cores(cpu)),
            cpu_limit: Some(Cores(2.0 * cpu)),
            ..size(0, memory, 2 * memory)
        };
        let changes = days(30, from, &ratio);
        assert!(changes.len() <= 8, "{} changes", changes.len());
        let last = changes.last().copied().unwrap_or(from);
        let (cpu, memory) = (last.cpu_request.unwrap().0, last.memory_request.unwrap().0);
        assert!((last.cpu_limit.unwrap().0 - 2.0 * cpu).abs() < 0.002, "{last:?}");
        assert!(last.memory_limit.unwrap().0.abs_diff(2 * memory) <= 1 << 20, "{last:?}");
    }
}

#[test]
fn figures_that_happen_to_be_equal_are_not_the_rule_equal() {
    // The floor of the range has made request and limit the same figure.
    let mut floored = advice(1.0, 200, 200);
    floored.lower.memory_request = Some(Bytes::from_mib(100));
    let first = days(1, size(1000, 200, 2048), &floored)[0];
    assert!(first.memory_limit >= Some(Bytes::from_mib(1024)), "{first:?}");
}

#[test]
fn a_limit_is_lowered_in_steps_that_are_a_day_apart() {
    let changes = days(30, size(1000, 300, 64 * 1024), &advice(1.0, 300, 330));
    let limits: Vec<u64> = changes.iter().map(|size| size.memory_limit.unwrap().0 >> 20).collect();
    assert!(limits.windows(2).all(|pair| pair[1] * 2 >= pair[0]) && limits[0] >= 32 * 1024, "{limits:?}");
    assert!(limits.len() >= 7 && *limits.last().unwrap() < 1000, "{limits:?}");
}

#[test]
fn memory_that_may_not_shrink_and_a_young_series_keep_their_limits() {
    let mut kept = advice(1.0, 300, 330);
    kept.limits.shrink_memory = false;
    assert_eq!(days(30, size(1000, 8192, 8192), &kept), []);
    let young = Recommendation { young: true, ..advice(1.0, 300, 330) };
    for size in days(30, size(1000, 300, 2048), &young) {
        assert_eq!(size.memory_limit, Some(Bytes::from_mib(2048)));
    }
}

#[test]
fn what_is_capped_keeps_what_it_has() {
    // It may have 1000Mi, runs with 1600Mi, and nobody knows how much more than 1000Mi it needs.
    for rule in [MemoryLimitRule::Equal, MemoryLimitRule::Ratio, MemoryLimitRule::Tail] {
        let mut wants = advice(1.0, 1000, 1000);
        wants.most.memory = Some(Bytes::from_mib(1000));
        (wants.limits.memory, wants.limits.memory_ratio) = (rule, Some(1.0));
        let all = days(3, advice(1.0, 1000, 1600).target, &wants);
        assert!(all.iter().all(|size| size.memory_limit == Some(Bytes::from_mib(1600))), "{rule:?} {all:?}");
    }
}

#[test]
fn headroom_and_raise_stop_at_the_most() {
    let mut capped = advice(1.0, 900, 1000);
    capped.most = Amounts { cpu: None, memory: Some(Bytes::from_mib(1000)) };
    for size in days(2, size(1000, 900, 960), &capped) {
        assert!(size.memory_limit <= Some(Bytes::from_mib(1000)), "{size:?}");
    }
}

#[test]
fn keep_keeps_each_containers_own_cpu_limit() {
    let has = ContainerSize { cpu_limit: Some(Cores(4.0)), ..size(1000, 1000, 1600) };
    let mut wants = advice(3.0, 1000, 1600);
    // The limit of most pods of the workload: other pods' limits are none of it.
    wants.target.cpu_limit = Some(Cores(1.0));
    let first = days(1, has, &wants)[0];
    assert_eq!((first.cpu_request, first.cpu_limit), (Some(Cores(3.0)), Some(Cores(4.0))));
}
