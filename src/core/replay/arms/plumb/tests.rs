use super::*;
use crate::policy::MemoryLimitRule;
use crate::replay::engine::{self, Decision, replay};
use crate::replay::template::template;
use crate::replay::trace::{Allocation, Series as Trace};
use crate::units::{MIB, Timestamp};

/// Five minutes of little, hours of more, and after a day and a half a burst of one sample.
fn trace() -> Trace {
    let mut trace = Trace::new("app".to_owned());
    for i in 0..3 * 288 {
        let mib = match i {
            0..3 => 20.0,
            430 => 900.0,
            _ => 200.0 + f64::from(i % 7),
        };
        let memory = Bytes::from_f64(mib * MIB as f64);
        trace.push(Timestamp(i64::from(i) * 300), Some(Cores(0.2)), Some(memory));
    }
    trace
}

fn decisions(memory_limit: MemoryLimitRule, warmup: i64) -> Vec<Decision> {
    let mut arm = Plumb::without_floors(Rules { memory_limit, ..Rules::default() });
    arm.reset();
    arm.template(&template(&trace(), &Allocation::default()));
    replay(&trace(), &mut arm, &engine::Rules { warmup, ..engine::Rules::default() })
}

fn stated() -> ContainerSize {
    template(&trace(), &Allocation::default())
}

#[test]
fn a_young_series_keeps_limits_and_half_of_each_request() {
    let stated = stated();
    for rule in [
        MemoryLimitRule::Tail,
        MemoryLimitRule::Equal,
        MemoryLimitRule::Ratio,
        MemoryLimitRule::Headroom(Bytes::from_mib(64)),
        MemoryLimitRule::Keep,
        MemoryLimitRule::Remove,
    ] {
        let decided = decisions(rule, 900);
        let young: Vec<_> = decided.iter().filter(|decision| decision.at.0 < 23 * 3600).collect();
        assert!(!young.is_empty(), "{rule:?}");
        for decision in young {
            assert!(decision.size.memory_limit >= stated.memory_limit, "{rule:?} {decision:?}");
            assert!(
                decision.size.memory_request.unwrap().0 * 2 >= stated.memory_request.unwrap().0,
                "{rule:?} {decision:?}"
            );
        }
    }
}

#[test]
fn each_rule_sets_the_limit_that_it_says() {
    let quiet = |rule| {
        let decided = decisions(rule, 86_400);
        decided.iter().rfind(|decision| decision.at.0 < 430 * 300).unwrap().size
    };
    let equal = quiet(MemoryLimitRule::Equal);
    assert_eq!(equal.memory_limit, equal.memory_request);
    let more = Bytes::from_mib(64);
    let headroom = quiet(MemoryLimitRule::Headroom(more));
    assert_eq!(headroom.memory_limit, headroom.memory_request.map(|request| Bytes(request.0 + more.0)));
    let ratio = quiet(MemoryLimitRule::Ratio);
    let (limit, request) = (ratio.memory_limit.unwrap().as_f64(), ratio.memory_request.unwrap().as_f64());
    assert!((limit / request - 2.0).abs() < 0.02, "{limit} {request}");
    assert_eq!(quiet(MemoryLimitRule::Keep).memory_limit, stated().memory_limit);
    assert_eq!(quiet(MemoryLimitRule::Remove).memory_limit, None, "no limit kills nothing");
}

#[test]
fn a_kill_is_answered_at_once_under_each_rule_that_may() {
    for rule in [MemoryLimitRule::Tail, MemoryLimitRule::Equal, MemoryLimitRule::Ratio] {
        let decided = decisions(rule, 86_400);
        let burst = decided.iter().find(|decision| decision.at.0 == 430 * 300);
        let before = decided.iter().rfind(|decision| decision.at.0 < 430 * 300).unwrap();
        let raised = burst.and_then(|decision| decision.size.memory_limit);
        assert!(raised > before.size.memory_limit, "{rule:?} {burst:?} {before:?}");
    }
}
