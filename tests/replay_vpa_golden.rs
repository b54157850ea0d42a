//! The `vpa` arm's recommender answers what VPA's own Go code answers on the same samples, number for number.
//!
//! tests/golden/vpa.jsonl was written by VPA 1.8.1 itself (`cd benches/peers && go run . golden`; `make golden` writes it anew).

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod generated;

use plumb::replay::arms::vpa::Floors;
use plumb::replay::arms::vpa::recommender::{Estimate, confidence, estimate};
use plumb::replay::arms::vpa::usage::{DAY, Usage};
use serde::Deserialize;

#[derive(Deserialize)]
struct Case {
    shape: String,
    seed: u64,
    start: i64,
    step: i64,
    samples: i64,
    answers: Vec<Answer>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    sample: i64,
    cpu_percentiles: [f64; 3],
    memory_percentiles: [f64; 3],
    cpu_total: f64,
    memory_total: f64,
    cpu: [i64; 3],
    memory: [i64; 3],
}

fn assert_close(found: &[f64], expected: &[f64], what: &str) {
    for (found, expected) in found.iter().zip(expected) {
        assert!((found - expected).abs() <= 1e-12 * expected.abs(), "{what}: {found} is not {expected}");
    }
}

fn bounds(e: Estimate) -> [i64; 3] {
    [e.lower, e.target, e.upper]
}

#[test]
fn answers_are_those_of_the_go_code() {
    let mut compared = 0;
    for line in include_str!("golden/vpa.jsonl").lines() {
        let case: Case = serde_json::from_str(line).unwrap();
        let mut answers = case.answers.iter().peekable();
        let mut usage = Usage::default();
        let (mut first, mut count) = (None, 0);
        for seen in generated::generate(&case.shape, case.seed, case.start, case.step, case.samples) {
            usage.add_cpu(seen.milli, seen.at);
            count += 1;
            let first = *first.get_or_insert(seen.at);
            assert!(usage.add_memory(seen.bytes, seen.at));
            if seen.oom > 0 {
                assert!(usage.add_oom(seen.oom, seen.at));
            }
            let Some(answer) = answers.next_if(|answer| answer.sample == seen.index) else { continue };
            let what = format!("{} sample {}", case.shape, seen.index);
            assert_close(&usage.cpu.percentiles([0.5, 0.9, 0.95]), &answer.cpu_percentiles, &what);
            assert_close(&usage.memory.percentiles([0.5, 0.9, 0.95]), &answer.memory_percentiles, &what);
            assert_close(
                &[usage.cpu.total(), usage.memory.total()],
                &[answer.cpu_total, answer.memory_total],
                &what,
            );
            let sure = confidence(first, seen.at, count, DAY);
            let cpu = estimate(&usage.cpu, 1000.0, sure, Floors::DEFAULT.millicores);
            assert_eq!(bounds(cpu), answer.cpu, "{what}");
            assert_eq!(
                bounds(estimate(&usage.memory, 1.0, sure, Floors::DEFAULT.bytes)),
                answer.memory,
                "{what}"
            );
            compared += 1;
        }
        assert!(answers.next().is_none(), "{}: not all answers were reached", case.shape);
    }
    assert!(compared > 100, "{compared}");
}
