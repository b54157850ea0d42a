//! Scores equal those of an independent scorer on the same decisions.
//!
//! That scorer (numpy, written from docs/backtest.md alone) was run once over this very trace and these decisions: with
//! `REPLAY_SCORE_OUT=DIR cargo test --test replay_score` they are written to DIR as files. Its answer, rounded to six decimals, stands below.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod generated;

use std::fmt::Write as _;

use generated::SplitMix;
use plumb::replay::arm::Size;
use plumb::replay::engine::{Decision, Rules};
use plumb::replay::outcome::{ContainerOutcome, figures};
use plumb::replay::score::score;
use plumb::replay::trace::Series;
use plumb::units::{Bytes, Cores, Timestamp};

const SEED: u64 = 20_261_123;
const CONTAINERS: i64 = 26;

/// Half of the containers are sampled each minute, half each 5 minutes; some samples lack a resource, some are missing for hours.
fn container(k: i64, random: &mut SplitMix) -> Series {
    let step = if k % 2 == 0 { 300 } else { 60 };
    let mut series = Series::new(format!("c{k}"));
    for i in 0..(180_000 / step) {
        let (a, b, c) = (random.below(1000), random.below(1000), random.below(100));
        if i * step / 7200 % 11 == k % 11 {
            continue;
        }
        let cpu = (c != 3 && k != 4).then(|| Cores((100 * k + a) as f64 / 1000.0));
        let memory = (c != 5 && k != 6).then(|| Bytes((100_000 + 3_000 * b).unsigned_abs()));
        series.push(Timestamp(1000 * (k % 3) + i * step), cpu, memory);
    }
    series
}

/// Sizes at odd times, some without CPU, some with a limit that equals the request; the last container gets none.
fn decisions(k: i64, series: &Series, random: &mut SplitMix) -> Vec<Decision> {
    let mut found = Vec::new();
    for &at in series.times() {
        let (a, b, c, d) = (random.below(60), random.below(1000), random.below(1000), random.below(1000));
        if a != 0 || k == CONTAINERS - 1 {
            continue;
        }
        let request = (500_000 + 2_000 * c).unsigned_abs();
        let size = Size {
            cpu_request: (k != 7).then(|| Cores((100 * k + b) as f64 / 1000.0)),
            memory_request: Some(Bytes(request)),
            memory_limit: Some(Bytes(request + if k == 9 { 0 } else { 1_000 * d.unsigned_abs() })),
        };
        found.push(Decision { at: Timestamp(at), size });
    }
    found
}

fn all() -> (Vec<Series>, Vec<Vec<Decision>>) {
    let mut random = SplitMix(SEED);
    let both = (0..CONTAINERS).map(|k| {
        let series = container(k, &mut random);
        let decided = decisions(k, &series, &mut random);
        (series, decided)
    });
    both.unzip()
}

/// Writes trace and decisions to a folder, for the other scorer.
fn write(folder: &str, series: &[Series], decided: &[Vec<Decision>]) {
    let mut trace = String::from("container_id,timestamp_s,cpu_cores,memory_bytes\n");
    let mut rows =
        String::from("container_id,timestamp_s,cpu_request_cores,memory_request_bytes,memory_limit_bytes\n");
    let text = |x: f64| if x.is_nan() { String::new() } else { x.to_string() };
    for (series, decided) in series.iter().zip(decided) {
        for (at, cpu, memory) in series.samples() {
            writeln!(trace, "{},{at},{},{}", series.id, text(cpu), text(memory)).unwrap();
        }
        for decision in decided {
            let size = &decision.size;
            let of = |bytes: Option<Bytes>| text(bytes.map_or(f64::NAN, Bytes::as_f64));
            let cpu = text(size.cpu_request.map_or(f64::NAN, |cpu| cpu.0));
            let (request, limit) = (of(size.memory_request), of(size.memory_limit));
            writeln!(rows, "{},{},{cpu},{request},{limit}", series.id, decision.at.0).unwrap();
        }
    }
    std::fs::write(format!("{folder}/trace.csv"), trace).unwrap();
    std::fs::write(format!("{folder}/decisions.csv"), rows).unwrap();
}

#[test]
fn an_independent_scorer_says_the_same() {
    let (series, decided) = all();
    if let Ok(folder) = std::env::var("REPLAY_SCORE_OUT") {
        write(&folder, &series, &decided);
    }
    let rules = Rules::default();
    let containers: Vec<_> = series
        .iter()
        .zip(decided)
        .map(|(series, decisions)| ContainerOutcome { sums: score(series, &decisions, &rules), decisions })
        .collect();
    let found = serde_json::to_value(figures(&series, &containers, &rules)).unwrap();
    let expected = serde_json::json!({
        "cpuSlack": 0.096487,
        "cpuShortfall": 0.085136,
        "memorySlack": 0.24788,
        "memoryExposure": 0.334568,
        "limitOverUsage": 1.204414,
        "oomKills": 7535,
        "containerDays": 46,
        "oomFreeDays": 0.108696,
        "cpuChangesPerDay": 5.978261,
        "memoryChangesPerDay": 6.369565,
        "cpuSlackMean": 0.119917,
        "memorySlackMean": 0.233123,
        "cpuShortfallMean": 0.114332,
        "containers": 26,
        "nodePressure": 0.474087
    });
    for (name, value) in expected.as_object().unwrap() {
        let (found, expected) = (found[name].as_f64().unwrap(), value.as_f64().unwrap());
        assert!((found - expected).abs() <= 1e-6, "{name}: {found} is not {expected}");
    }
}

#[test]
fn scores_add() {
    let (series, decided) = all();
    let rules = Rules::default();
    let mut whole = plumb::replay::score::Sums::default();
    let mut kills = 0;
    for (series, decided) in series.iter().zip(&decided) {
        let sums = score(series, decided, &rules);
        // What is not slack was used, up to the shortfall.
        let used = sums.cpu_requested - sums.cpu_slack + sums.cpu_shortfall;
        assert!((used - sums.cpu_used).abs() <= 1e-9 * sums.cpu_used);
        let used = sums.memory_requested - sums.memory_slack + sums.memory_exposure;
        assert!((used - sums.memory_used).abs() <= 1e-9 * sums.memory_used);
        kills += sums.oom_kills;
        whole += sums;
    }
    assert_eq!(whole.oom_kills, kills);
    let twice = [whole, whole];
    let (one, two) = (plumb::replay::score::Figures::of(&[whole]), plumb::replay::score::Figures::of(&twice));
    assert_eq!(one.cpu_slack, two.cpu_slack);
    assert_eq!(one.oom_free_days, two.oom_free_days);
    assert_eq!(2 * one.oom_kills, two.oom_kills);
}
