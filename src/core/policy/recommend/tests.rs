use proptest::prelude::*;

use super::*;
use crate::model::{Model, Series};
use crate::policy::{CpuLimitRule, Range};
use crate::units::Timestamp;

fn need() -> Estimate {
    let (mut series, model) = (Series::default(), Model::default());
    for i in 0..600 {
        series.add_cpu(Timestamp(i * 300), Cores(0.2), 0.0, None, &model).unwrap();
        series.add_memory(Timestamp(i * 300), Bytes::from_mib(200), None, &model).unwrap();
    }
    series.estimate(&Rules::default().prices(), &model)
}

fn limited() -> Baseline {
    of(ContainerSize {
        cpu_request: Some(Cores(1.0)),
        cpu_limit: Some(Cores(2.0)),
        memory_request: Some(Bytes::from_mib(1000)),
        memory_limit: Some(Bytes::from_mib(2000)),
    })
}

/// A container that runs as its template says.
fn of(size: ContainerSize) -> Baseline {
    Baseline { current: size, template: Some(size) }
}

fn target(rules: Rules) -> ContainerSize {
    recommend(&need(), &rules, &limited()).target
}

#[test]
fn limit_rules() {
    let with = |memory_limit| target(Rules { memory_limit, ..Rules::default() });
    let tail = with(MemoryLimitRule::Tail);
    assert!(tail.memory_limit > tail.memory_request && tail.memory_limit < Some(Bytes::from_mib(500)));
    let equal = with(MemoryLimitRule::Equal);
    assert_eq!(equal.memory_limit, equal.memory_request);
    assert!(equal.memory_request > Some(Bytes::from_mib(205)));
    assert_eq!(with(MemoryLimitRule::Keep).memory_limit, Some(Bytes::from_mib(2000)));
    assert_eq!(with(MemoryLimitRule::Remove).memory_limit, None);
    let ratio = with(MemoryLimitRule::Ratio);
    let factor = ratio.memory_limit.unwrap().as_f64() / ratio.memory_request.unwrap().as_f64();
    assert!((factor - 2.0).abs() < 0.05, "{factor}");
    let cpu = |cpu_limit| target(Rules { cpu_limit, ..Rules::default() }).cpu_limit;
    assert_eq!(cpu(CpuLimitRule::Keep), Some(Cores(2.0)));
    assert_eq!(cpu(CpuLimitRule::Remove), None);
    assert_eq!(cpu(CpuLimitRule::Equal), target(Rules::default()).cpu_request);
}

#[test]
fn a_limit_is_added_only_where_asked_for() {
    let bare = of(ContainerSize { memory_limit: None, ..limited().current });
    assert_eq!(recommend(&need(), &Rules::default(), &bare).target.memory_limit, None);
    let rules = Rules { add_limit: true, ..Rules::default() };
    assert!(recommend(&need(), &rules, &bare).target.memory_limit.is_some());
}

#[test]
fn a_kept_cpu_limit_is_raised_to_the_request() {
    let tight = of(ContainerSize { cpu_limit: Some(Cores(0.1)), ..limited().current });
    let found = recommend(&need(), &Rules::default(), &tight).target;
    assert_eq!(found.cpu_limit, found.cpu_request);
}

#[test]
fn least_and_most_and_no_shrink_leave_their_reasons() {
    let range = Range {
        min_cpu: Cores(0.5),
        max_cpu: None,
        min_memory: Bytes::from_mib(16),
        max_memory: Some(Bytes::from_mib(100)),
    };
    let (found, reasons) = explain(&need(), &Rules { range, ..Rules::default() }, &limited());
    assert_eq!(found.target.cpu_request, Some(Cores(0.5)));
    assert_eq!(found.target.memory_request, Some(Bytes::from_mib(100)));
    let words: Vec<String> = reasons.iter().map(ToString::to_string).collect();
    assert!(
        words.iter().any(|w| w.contains("raised from") && w.ends_with("500m, the least allowed")),
        "{words:#?}"
    );
    assert!(
        words.iter().any(|w| w.contains("lowered from") && w.ends_with("100Mi, the most allowed")),
        "{words:#?}"
    );
    let rules = Rules { shrink_memory: false, ..Rules::default() };
    let (found, reasons) = explain(&need(), &rules, &limited());
    assert_eq!(found.target.memory_request, Some(Bytes::from_mib(1000)));
    assert!(reasons.iter().any(|reason| matches!(reason, Reason::NoShrink { .. })));
}

#[test]
fn every_figure_has_its_reason_in_words() {
    let (found, reasons) = explain(&need(), &Rules::default(), &limited());
    assert_eq!(found, recommend(&need(), &Rules::default(), &limited()));
    let words: Vec<String> = reasons.iter().map(ToString::to_string).collect();
    assert!(words[0].starts_with("1200 samples over 2 days: medium confidence"), "{words:#?}");
    assert!(words.iter().any(|w| w.starts_with("CPU request 2")), "{words:#?}");
    assert!(words.iter().any(|w| w.starts_with("memory limit ")), "{words:#?}");
}

#[test]
fn a_kill_alone_sizes_the_memory() {
    let (mut series, model) = (Series::default(), Model::default());
    series.add_oom(Timestamp(9), Bytes::from_mib(64), 1, &model);
    let need = series.estimate(&Rules::default().prices(), &model);
    let (found, _) = explain(&need, &Rules::default(), &limited());
    assert_eq!(found.target.memory_request, Some(Bytes::from_mib(500)), "half of what people set");
    let (found, reasons) = explain(&need, &Rules { learn_hours: 0.0, ..Rules::default() }, &limited());
    assert_eq!(found.target.memory_request, Some(Bytes::from_mib(96)));
    assert!(reasons.iter().any(|reason| matches!(reason, Reason::Killed { kills: 1, .. })));
}

/// A day's history that begins: a limit costs nothing, and says nothing of the tail yet.
#[test]
fn a_young_series_lowers_no_limit_and_halves_a_request_at_most() {
    let (mut series, model) = (Series::default(), Model::default());
    for i in 0..10 {
        series.add_cpu(Timestamp(i * 30), Cores(0.01), 0.0, None, &model).unwrap();
        series.add_memory(Timestamp(i * 30), Bytes::from_mib(20), None, &model).unwrap();
    }
    let need = series.estimate(&Rules::default().prices(), &model);
    for memory_limit in [MemoryLimitRule::Tail, MemoryLimitRule::Ratio, MemoryLimitRule::Equal] {
        for cpu_limit in [CpuLimitRule::Keep, CpuLimitRule::Ratio, CpuLimitRule::Equal] {
            let rules = Rules { memory_limit, cpu_limit, add_limit: true, ..Rules::default() };
            let (found, reasons) = explain(&need, &rules, &limited());
            let target = found.target;
            assert!(
                found.young && target.memory_limit >= Some(Bytes::from_mib(2000)),
                "{rules:?} {target:?}"
            );
            assert!(target.cpu_limit >= Some(Cores(2.0)), "{rules:?} {target:?}");
            assert!(target.cpu_request >= Some(Cores(0.5)), "{rules:?} {target:?}");
            assert!(target.memory_request >= Some(Bytes::from_mib(500)), "{rules:?} {target:?}");
            assert!(reasons.iter().any(|reason| matches!(reason, Reason::Young { .. })));
            // Where nobody knows what people set, nothing is taken away: half of a half is a quarter.
            let found = recommend(&need, &rules, &Baseline::from(limited().current)).target;
            assert_eq!(
                (found.cpu_request, found.memory_limit >= target.memory_limit),
                (Some(Cores(1.0)), true)
            );
            let bare = ContainerSize { memory_limit: None, ..limited().current };
            assert_eq!(recommend(&need, &rules, &of(bare)).target.memory_limit, None, "{rules:?}");
        }
    }
    let old = recommend(&need, &Rules { learn_hours: 0.0, ..Rules::default() }, &limited());
    assert!(!old.young && old.target.memory_request < Some(Bytes::from_mib(100)));
}

#[test]
fn a_kill_teaches_also_where_the_limit_follows_the_request() {
    let killed = |memory_limit, learn_hours| {
        let (mut series, model) = (Series::default(), Model::default());
        for i in 0..600 {
            series.add_memory(Timestamp(i * 300), Bytes::from_mib(40), None, &model).unwrap();
        }
        series.add_oom(Timestamp(600 * 300), Bytes::from_mib(128), 1, &model);
        let rules = Rules { memory_limit, learn_hours, ..Rules::default() };
        let need = series.estimate(&rules.prices(), &model);
        let runs = ContainerSize {
            memory_request: Some(Bytes::from_mib(64)),
            memory_limit: Some(Bytes::from_mib(128)),
            ..ContainerSize::default()
        };
        explain(&need, &rules, &of(runs))
    };
    for rule in
        [MemoryLimitRule::Ratio, MemoryLimitRule::Headroom(Bytes::from_mib(64)), MemoryLimitRule::Tail]
    {
        let (found, _) = killed(rule, 0.0);
        assert!(found.target.memory_limit >= Some(Bytes::from_mib(190)), "{rule:?} {:?}", found.target);
    }
    let (found, reasons) = killed(MemoryLimitRule::Keep, 0.0);
    assert_eq!(found.target.memory_limit, Some(Bytes::from_mib(128)));
    assert!(reasons.iter().any(|reason| matches!(reason, Reason::KeptBelowNeed { .. })), "{reasons:?}");
}

#[test]
fn a_limit_that_is_kept_is_kept_to_the_byte() {
    let own = Bytes(3_000_000_001);
    let runs = of(ContainerSize { memory_limit: Some(own), ..limited().current });
    for rules in [
        Rules { shrink_memory: false, learn_hours: 0.0, ..Rules::default() },
        Rules { learn_hours: 1e6, ..Rules::default() },
    ] {
        assert_eq!(recommend(&need(), &rules, &runs).target.memory_limit, Some(own), "{rules:?}");
    }
}

proptest! {
    /// Nothing passes what the policy allows, by any rule, however the figures are rounded; nothing moves when it is
    /// recommended again from what was recommended.
    #[test]
    fn the_most_is_never_passed(
        used in (0.001..8.0_f64, 1_u64..20_000),
        most in (0.0051..4.0_f64, 16_u64..9_000),
        rules in (0..5_usize, 0..4_usize),
        size in (1_u64..8000, 1_u64..8000, 1.0..4.0_f64),
        learn_hours in prop_oneof![Just(0.0_f32), Just(24.0)],
    ) {
        let memory = [
            MemoryLimitRule::Tail,
            MemoryLimitRule::Equal,
            MemoryLimitRule::Ratio,
            MemoryLimitRule::Keep,
            MemoryLimitRule::Headroom(Bytes::from_mib(300)),
        ];
        let cpu = [CpuLimitRule::Keep, CpuLimitRule::Ratio, CpuLimitRule::Equal, CpuLimitRule::Remove];
        let rules = Rules {
            memory_limit: memory[rules.0],
            cpu_limit: cpu[rules.1],
            range: Range {
                max_cpu: Some(Cores(most.0)),
                max_memory: Some(Bytes::from_mib(most.1).min(Bytes(most.1 * 1_000_000))),
                ..Rules::default().range
            },
            add_limit: true,
            learn_hours,
            ..Rules::default()
        };
        let (mut series, model) = (Series::default(), Model::default());
        for i in 0..300 {
            series.add_cpu(Timestamp(i * 300), Cores(used.0), 0.0, None, &model).unwrap();
            series.add_memory(Timestamp(i * 300), Bytes::from_mib(used.1), None, &model).unwrap();
        }
        let need = series.estimate(&rules.prices(), &model);
        let size = ContainerSize {
            cpu_request: Some(Cores::from_milli(size.0)),
            cpu_limit: Some(Cores::from_milli(Cores(size.0 as f64 * size.2 / 1000.0).to_milli())),
            memory_request: Some(Bytes::from_mib(size.1)),
            memory_limit: Some(Bytes::from_mib(Bytes::from_f64(size.1 as f64 * size.2).0)),
        };
        let most = rules.range.most();
        let found = recommend(&need, &rules, &of(size));
        prop_assert!(found.target.cpu_request <= most.cpu, "{found:?}");
        prop_assert!(found.target.memory_request <= most.memory, "{found:?}");
        let held = |limit: Option<f64>, own: Option<f64>, most: Option<f64>| limit <= most || limit <= own;
        let cpu = |size: &ContainerSize| size.cpu_limit.map(|cpu| cpu.0);
        let memory = |size: &ContainerSize| size.memory_limit.map(Bytes::as_f64);
        let floors = (
            cpu(&size).filter(|_| found.young || matches!(rules.cpu_limit, CpuLimitRule::Keep)),
            memory(&size).filter(|_| found.young || matches!(rules.memory_limit, MemoryLimitRule::Keep)),
        );
        prop_assert!(held(cpu(&found.target), floors.0, most.cpu.map(|cpu| cpu.0)), "{found:?}");
        prop_assert!(held(memory(&found.target), floors.1, most.memory.map(Bytes::as_f64)), "{found:?}");
        let again = recommend(&need, &rules, &Baseline { current: found.target, template: Some(size) });
        if !found.young {
            prop_assert_eq!(again.target.memory_request, found.target.memory_request);
            prop_assert_eq!(again.target.memory_limit, found.target.memory_limit);
        }
    }
}
