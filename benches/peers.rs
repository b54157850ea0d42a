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
use plumb::replay::arms::vpa::Floors;
use plumb::replay::arms::vpa::recommender::estimate;
use plumb::replay::arms::vpa::usage::Usage;

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

struct Line {
    what: &'static str,
    /// The name of VPA's figure in its JSON.
    go: &'static str,
    ours: f64,
}

/// The `vpa` arm: the same work, in Rust.
fn vpa_arm() -> Vec<Line> {
    let all = samples();
    let sample = |i: i64| &all[usize::try_from(i).unwrap() % all.len()];
    let last = all.last().unwrap().at;
    let mut usage = Usage::default();
    for seen in &all {
        usage.add_cpu(seen.milli, seen.at);
        usage.add_memory(seen.bytes, seen.at);
    }
    let recommend = |usage: &Usage| {
        black_box(estimate(&usage.cpu, 1000.0, 8.0, Floors::DEFAULT.millicores));
        black_box(estimate(&usage.memory, 1.0, 8.0, Floors::DEFAULT.bytes));
    };
    let full = usage.clone();
    let mut cpu = Usage::default();
    let add_cpu = ns_per_call(|i| cpu.add_cpu(sample(i).milli, last + i));
    let mut memory = Usage::default();
    let add_memory = ns_per_call(|i| {
        black_box(memory.add_memory(sample(i).bytes, last + i));
    });
    vec![
        Line { what: "add a CPU sample, ns", go: "addCpuNs", ours: add_cpu },
        Line { what: "add a memory sample, ns", go: "addMemoryNs", ours: add_memory },
        Line {
            what: "recommend a container, ns",
            go: "recommendNs",
            ours: ns_per_call(|_| recommend(&full)),
        },
    ]
}

fn main() {
    // Cargo passes --bench; the file is whatever is no flag.
    let file = std::env::args().skip(1).find(|arg| !arg.starts_with('-'));
    let go: serde_json::Value = file.map_or(serde_json::Value::Null, |file| {
        serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap()
    });
    println!("{:<28} {:>12} {:>12} {:>8}", "", "VPA in Go", "vpa arm", "ratio");
    for Line { what, go: name, ours } in vpa_arm() {
        let theirs = go[name].as_f64().unwrap_or(f64::NAN);
        println!("{what:<28} {theirs:>12.1} {ours:>12.1} {:>8.3}", ours / theirs);
    }
    for (what, name) in [
        ("bytes a container, empty", "bytesPerContainer"),
        ("checkpoint of 8 days, bytes", "checkpointBytes"),
        ("add both and recommend, ns", "stepNs"),
    ] {
        println!("{what:<28} {:>12.1} {:>12} {:>8}", go[name].as_f64().unwrap_or(f64::NAN), "-", "-");
    }
}
