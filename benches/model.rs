//! What the model costs: one sample, one estimate, one recommendation, one step of a backtest.
//! For a million containers see `cargo run --release --example million`.

#![allow(missing_docs, clippy::print_stdout, reason = "criterion's macros write an item; a bench prints")]

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use plumb::actuate::step::Pace;
use plumb::model::{Histogram, Model, Replica, Series, read_snapshot, write_snapshot};
use plumb::policy::{Baseline, ContainerSize, Rules, recommend};
use plumb::replay::arm::{Arm, Observation};
use plumb::replay::arms::plumb::Plumb;
use plumb::units::{Bytes, Cores, Timestamp};

/// Usage that repeats by the day, with noise; the same for every run.
struct Usage {
    at: i64,
    random: u64,
}

impl Usage {
    fn new() -> Self {
        Self { at: 1_700_000_000, random: 1 }
    }

    fn next(&mut self, step: i64) -> (Timestamp, Cores, Bytes) {
        self.at += step;
        self.random =
            self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let noise = (self.random >> 40) as f64 / (1_u64 << 24) as f64;
        let day = 1.0 + 0.5 * ((self.at % 86_400) as f64 / 86_400.0 * std::f64::consts::TAU).sin();
        let cores = Cores(0.3 * day * (0.7 + 0.6 * noise * noise));
        (Timestamp(self.at), cores, Bytes::from_f64(3e8 * (1.0 + 0.1 * noise)))
    }
}

fn lived(usage: &mut Usage, model: &Model) -> Series {
    let mut series = Series::default();
    for _ in 0..14 * 288 {
        let (at, cpu, memory) = usage.next(300);
        series.add_cpu(at, cpu, 0.0, None, model).ok();
        series.add_memory(at, memory, None, model).ok();
    }
    series
}

fn samples(c: &mut Criterion) {
    let (mut usage, model) = (Usage::new(), Model::default());
    let mut histogram = Histogram::default();
    let known: Vec<_> = (0..4096).map(|_| usage.next(60)).collect();
    let mut turn = (0..4096).cycle();
    let mut round = 0_i64;
    let mut next = move || {
        let i = turn.next().unwrap_or(0);
        if i == 0 {
            round += 4096 * 60;
        }
        let (at, cpu, memory) = known[i];
        (at.plus(round), cpu, memory)
    };
    c.bench_function("histogram: add one sample", |b| {
        b.iter(|| {
            let (at, cpu, _) = next();
            histogram.add(black_box(cpu.0 as f32), at.0, 86_400);
        });
    });
    let mut series = Series::default();
    c.bench_function("series: add one CPU sample a minute, candidates' costs included", |b| {
        b.iter(|| {
            let (at, cpu, _) = next();
            series.add_cpu(at, black_box(cpu), 0.0, None, &model).ok();
        });
    });
    c.bench_function("series: add one memory sample a minute, candidates' costs included", |b| {
        b.iter(|| {
            let (at, _, memory) = next();
            series.add_memory(at, black_box(memory), None, &model).ok();
        });
    });
    let (mut observed, mut replica) = (Series::default(), Replica::default());
    c.bench_function("series: observe one sample of a replica a minute, CPU and memory", |b| {
        b.iter(|| {
            let (at, cpu, memory) = next();
            let (cpu, memory) = (Some(black_box(cpu)), Some(memory));
            let sample = plumb::model::Usage { at, cpu, memory, ..plumb::model::Usage::default() };
            observed.observe(&mut replica, &sample, &model)
        });
    });
}

fn recommendations(c: &mut Criterion) {
    let (mut usage, model, rules) = (Usage::new(), Model::default(), Rules::default());
    let prices = rules.prices();
    let mut series = lived(&mut usage, &model);
    let now = ContainerSize { memory_limit: Some(Bytes(1 << 30)), ..ContainerSize::default() };
    println!("one series: {} B", series.size_bytes());
    c.bench_function("recommend one container, nothing new", |b| {
        b.iter(|| recommend(&series.estimate(black_box(&prices), &model), &rules, &Baseline::from(now)));
    });
    c.bench_function("recommend one container after a sample of each", |b| {
        b.iter(|| {
            let (at, cpu, memory) = usage.next(300);
            series.add_cpu(at, cpu, 0.0, None, &model).ok();
            series.add_memory(at, memory, None, &model).ok();
            recommend(&series.estimate(black_box(&prices), &model), &rules, &Baseline::from(now))
        });
    });
    let mut arm = Plumb::new(rules, Pace::default());
    c.bench_function("backtest: one step, both resources, decided each time", |b| {
        b.iter(|| {
            let (at, cpu, memory) = usage.next(300);
            arm.step(&Observation { at, cpu: Some(cpu), memory: Some(memory), oom: None, may_decide: true })
        });
    });
}

fn snapshots(c: &mut Criterion) {
    let (mut usage, model) = (Usage::new(), Model::default());
    let series: Vec<Series> = (0..100).map(|_| lived(&mut usage, &model)).collect();
    let all: Vec<&Series> = series.iter().collect();
    let pack = write_snapshot(&all);
    println!("snapshot: {} B a series", pack.len() / all.len());
    c.bench_function("snapshot: write 100 series", |b| b.iter(|| write_snapshot(black_box(&all))));
    c.bench_function("snapshot: read 100 series", |b| b.iter(|| read_snapshot(black_box(&pack))));
}

criterion_group!(benches, samples, recommendations, snapshots);
criterion_main!(benches);
