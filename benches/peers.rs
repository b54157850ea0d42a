//! plumb beside VPA: what VPA's own Go code needs (read from the file named as argument) and what ours needs, in one table.
//!
//! benches/peers/compare.sh runs both. Without a file only our own figures are printed.

#![allow(
    missing_docs,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a bench prints, and fails by panicking"
)]

#[path = "../tests/generated/mod.rs"]
mod generated;

use std::hint::black_box;
use std::time::Instant;

use generated::Usage as Sample;
use plumb::model::{Model, Series, write_snapshot};
use plumb::policy::Rules;
use plumb::replay::arms::vpa::Floors;
use plumb::replay::arms::vpa::recommender::estimate;
use plumb::replay::arms::vpa::usage::Usage;
use plumb::units::{Bytes, Cores, Timestamp};

/// The same history as benches/peers/bench.go: eight days of one sample a minute.
fn samples() -> Vec<Sample> {
    generated::generate("wave", 42, 1_767_225_600, 60, 8 * 1440)
}

/// Nanoseconds a call, the best of five runs of at least 0.1 s.
fn ns_per_call(mut run: impl FnMut(i64)) -> f64 {
    let mut best = f64::INFINITY;
    for _ in 0..5 {
        let (start, mut calls) = (Instant::now(), 0);
        while start.elapsed().as_millis() < 100 {
            (calls..calls + 1000).for_each(&mut run);
            calls += 1000;
        }
        best = best.min(start.elapsed().as_nanos() as f64 / calls as f64);
    }
    best
}

/// One figure: of VPA (by its name in its JSON), of the `vpa` arm, of plumb.
struct Line {
    what: &'static str,
    go: &'static str,
    arm: Option<f64>,
    plumb: f64,
}

/// Nanoseconds of the `vpa` arm, the same work in Rust: add a CPU sample, add a memory sample, recommend.
fn vpa_arm() -> [f64; 3] {
    let all = samples();
    let sample = |i: i64| &all[usize::try_from(i).unwrap() % all.len()];
    let last = all.last().unwrap().at;
    let mut usage = Usage::default();
    for seen in &all {
        usage.add_cpu(seen.milli, seen.at);
        usage.add_memory(seen.bytes, seen.at);
    }
    let full = usage.clone();
    let mut cpu = Usage::default();
    let mut memory = Usage::default();
    [
        ns_per_call(|i| cpu.add_cpu(sample(i).milli, last + i)),
        ns_per_call(|i| {
            black_box(memory.add_memory(sample(i).bytes, last + i));
        }),
        ns_per_call(|_| {
            black_box(estimate(&full.cpu, 1000.0, 8.0, Floors::DEFAULT.millicores));
            black_box(estimate(&full.memory, 1.0, 8.0, Floors::DEFAULT.bytes));
        }),
    ]
}

/// plumb's series after the same eight days.
fn learned(model: &Model) -> Series {
    let mut series = Series::default();
    for seen in samples() {
        let (at, cpu, memory) = read(&seen);
        series.add_cpu(at, cpu, 0.0, None, model).unwrap();
        series.add_memory(at, memory, None, model).unwrap();
    }
    series
}

fn read(seen: &Sample) -> (Timestamp, Cores, Bytes) {
    (Timestamp(seen.at), Cores(seen.milli as f64 / 1000.0), Bytes(seen.bytes.unsigned_abs()))
}

/// Nanoseconds of plumb, running costs of all candidates included: add a CPU sample, add a memory sample, recommend
/// (both requests, the memory limit, and their bounds).
fn plumb() -> [f64; 3] {
    let model = Model::default();
    let prices = Rules::default().prices();
    let all: Vec<_> = samples().iter().map(read).collect();
    let last = all.last().unwrap().0;
    let full = learned(&model);
    let (mut cpu, mut memory, mut asked) = (full.clone(), full.clone(), full);
    let sample = |i: i64| all[usize::try_from(i).unwrap() % all.len()];
    // A minute a call, as the history before: costs are reckoned once per five minutes, and that is part of the price.
    let (mut cpu_at, mut memory_at) = (last, last);
    [
        ns_per_call(|i| {
            cpu_at = cpu_at.plus(60);
            cpu.add_cpu(cpu_at, sample(i).1, 0.0, None, &model).unwrap();
        }),
        ns_per_call(|i| {
            memory_at = memory_at.plus(60);
            memory.add_memory(memory_at, sample(i).2, None, &model).unwrap();
        }),
        ns_per_call(|_| {
            black_box(asked.estimate(&prices, &model));
        }),
    ]
}

/// Bytes of a checkpoint, per container: a thousand different ones packed together, as they are kept.
fn checkpoint_bytes() -> f64 {
    let model = Model::default();
    let many: Vec<Series> = (0..1000)
        .map(|seed| {
            let mut series = Series::default();
            for seen in generated::generate("wave", seed, 1_767_225_600, 300, 8 * 288) {
                let (at, cpu, memory) = read(&seen);
                series.add_cpu(at, cpu, 0.0, None, &model).unwrap();
                series.add_memory(at, memory, None, &model).unwrap();
            }
            series
        })
        .collect();
    write_snapshot(&many.iter().collect::<Vec<_>>()).len() as f64 / many.len() as f64
}

fn main() {
    // Cargo passes --bench; the file is whatever is no flag.
    let file = std::env::args().skip(1).find(|arg| !arg.starts_with('-'));
    let go: serde_json::Value = file.map_or(serde_json::Value::Null, |file| {
        serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap()
    });
    let (arm, ours) = (vpa_arm(), plumb());
    let bytes = learned(&Model::default()).size_bytes() as f64;
    let lines = [
        Line { what: "add a CPU sample, ns", go: "addCpuNs", arm: Some(arm[0]), plumb: ours[0] },
        Line { what: "add a memory sample, ns", go: "addMemoryNs", arm: Some(arm[1]), plumb: ours[1] },
        Line { what: "recommend a container, ns", go: "recommendNs", arm: Some(arm[2]), plumb: ours[2] },
        Line { what: "memory a container, bytes", go: "bytesPerContainer", arm: None, plumb: bytes },
        Line {
            what: "checkpoint of 8 days, bytes",
            go: "checkpointBytes",
            arm: None,
            plumb: checkpoint_bytes(),
        },
    ];
    println!("{:<28} {:>12} {:>10} {:>10} {:>12}", "", "VPA in Go", "vpa arm", "plumb", "plumb / VPA");
    for Line { what, go: name, arm, plumb } in lines {
        let theirs = go[name].as_f64().unwrap_or(f64::NAN);
        let arm = arm.map_or_else(|| "-".to_owned(), |ns| format!("{ns:.1}"));
        println!("{what:<28} {theirs:>12.1} {arm:>10} {plumb:>10.1} {:>12.3}", plumb / theirs);
    }
}
