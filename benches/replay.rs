//! How fast a backtest runs: samples a second on one core, reading and each arm apart.

#![allow(missing_docs, clippy::unwrap_used, reason = "a bench fails by panicking")]

#[path = "../tests/generated/mod.rs"]
mod generated;

use std::fmt::Write as _;
use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use plumb::replay::arms::{NAMES, named};
use plumb::replay::engine::{Rules, replay};
use plumb::replay::score::score;
use plumb::replay::trace::{Series, TraceReader};
use plumb::units::{Bytes, Cores, Timestamp};

/// Four weeks of one sample each 5 minutes, of the shapes that differ most in cost.
fn fleet() -> Vec<Series> {
    ["flat", "wave", "growth", "spikes", "restarts"]
        .iter()
        .zip(1..)
        .map(|(shape, seed)| {
            let mut series = Series::new((*shape).to_owned());
            for usage in generated::generate(shape, seed, 1_767_225_600, 300, 28 * 288) {
                let memory = Bytes(usage.bytes.unsigned_abs());
                series.push(Timestamp(usage.at), Some(Cores(usage.milli as f64 / 1000.0)), Some(memory));
            }
            series
        })
        .collect()
}

fn arms(c: &mut Criterion) {
    let fleet = fleet();
    let rules = Rules::default();
    let mut group = c.benchmark_group("replay");
    group.throughput(Throughput::Elements(fleet.iter().map(|series| series.len() as u64).sum()));
    for (name, _) in NAMES {
        let mut arm = (named(name).unwrap().make)();
        group.bench_function(name, |b| {
            b.iter(|| {
                for series in &fleet {
                    arm.reset();
                    black_box(replay(series, arm.as_mut(), &rules));
                }
            });
        });
    }
    group.finish();
}

fn scoring(c: &mut Criterion) {
    let fleet = fleet();
    let rules = Rules::default();
    let mut arm = (named("vpa").unwrap().make)();
    let decided: Vec<_> = fleet
        .iter()
        .map(|series| {
            arm.reset();
            replay(series, arm.as_mut(), &rules)
        })
        .collect();
    let mut group = c.benchmark_group("score");
    group.throughput(Throughput::Elements(fleet.iter().map(|series| series.len() as u64).sum()));
    group.bench_function("score", |b| {
        b.iter(|| {
            for (series, decided) in fleet.iter().zip(&decided) {
                black_box(score(series, decided, &rules));
            }
        });
    });
    group.finish();
}

fn reading(c: &mut Criterion) {
    let mut text = String::from("container_id,timestamp_s,cpu_cores,memory_bytes\n");
    let mut rows = 0;
    for series in fleet() {
        for (at, cpu, memory) in series.samples() {
            writeln!(text, "{},{at},{cpu},{memory}", series.id).unwrap();
            rows += 1;
        }
    }
    let mut group = c.benchmark_group("read");
    group.throughput(Throughput::Elements(rows));
    group.bench_function("plain", |b| {
        b.iter(|| {
            TraceReader::new(String::new(), text.as_bytes()).unwrap().map(|s| s.unwrap().len()).sum::<usize>()
        });
    });
    group.finish();
}

criterion_group!(benches, arms, scoring, reading);
criterion_main!(benches);
