use super::*;
use crate::model::{Model, Series};
use crate::policy::Range;
use crate::units::Timestamp;

fn need() -> Estimate {
    let (mut series, model) = (Series::default(), Model::default());
    for i in 0..600 {
        series.add_cpu(Timestamp(i * 300), Cores(0.2), 0.0, None, &model).unwrap();
        series.add_memory(Timestamp(i * 300), Bytes::from_mib(200), None, &model).unwrap();
    }
    series.estimate(&Rules::default().prices(), &model)
}

fn limited() -> ContainerSize {
    ContainerSize {
        cpu_request: Some(Cores(1.0)),
        cpu_limit: Some(Cores(2.0)),
        memory_request: Some(Bytes::from_mib(1000)),
        memory_limit: Some(Bytes::from_mib(2000)),
    }
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
    let bare = ContainerSize { memory_limit: None, ..limited() };
    assert_eq!(recommend(&need(), &Rules::default(), &bare).target.memory_limit, None);
    let rules = Rules { add_limit: true, ..Rules::default() };
    assert!(recommend(&need(), &rules, &bare).target.memory_limit.is_some());
}

#[test]
fn a_kept_cpu_limit_is_raised_to_the_request() {
    let tight = ContainerSize { cpu_limit: Some(Cores(0.1)), ..limited() };
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
    let (found, reasons) = explain(&need, &Rules::default(), &limited());
    assert_eq!(found.target.memory_request, Some(Bytes::from_mib(96)));
    assert!(reasons.iter().any(|reason| matches!(reason, Reason::Killed { kills: 1, .. })));
}
