//! What one who knew the future would have reserved of memory: how near to nothing any sizer can come.
//!
//! `cargo run --release --example hindsight -- TRACE.csv.gz...`: for each container the requests that cost least over all
//! of its scored time, found by dynamic programming: what is unused, what is short [`UNDERRUN`] times, and the price of
//! each change, which is that of the model.

#![allow(clippy::print_stdout, reason = "an example prints")]

use std::fs::File;

use plumb::model::Model;
use plumb::replay::trace::{Series, TraceReader};

/// How many times as much what is short costs as what is unused.
const UNDERRUN: f64 = 50.0;
/// Seconds from a container's first sample that are not scored.
const WARMUP: i64 = 86_400;
/// A sample counts for at most this many seconds.
const LONGEST: i64 = 3600;
/// Levels that are tried: as many quantiles of the usage.
const LEVELS: usize = 120;
const MIB: f64 = 1_048_576.0;

/// Sums over containers, in MiB x seconds.
#[derive(Default)]
struct Sums {
    requested: f64,
    unused: f64,
    short: f64,
    used: f64,
    changes: usize,
    days: f64,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let model = Model::default();
    for path in std::env::args().skip(1) {
        let mut sums = Sums::default();
        for container in TraceReader::new(path.clone(), File::open(&path)?)? {
            add(&container?, &model, &mut sums);
        }
        println!(
            "{path}: slack {:.3}, exposure {:.4}, changes a day {:.2}",
            sums.unused / sums.requested,
            sums.short / sums.used,
            sums.changes as f64 / sums.days
        );
    }
    Ok(())
}

fn add(container: &Series, model: &Model, sums: &mut Sums) {
    let scored = container.start().0 + WARMUP;
    let known = container.samples().filter(|(at, _, memory)| *at >= scored && !memory.is_nan());
    let (times, used): (Vec<i64>, Vec<f64>) = known.map(|(at, _, memory)| (at, memory / MIB)).unzip();
    let Some(last) = times.last() else { return };
    let next = times.iter().skip(1).chain([last]);
    let weights: Vec<f64> =
        times.iter().zip(next).map(|(at, next)| (next - at).min(LONGEST) as f64).collect();
    let mean = used.iter().sum::<f64>() / used.len() as f64;
    let change = f64::from(model.memory.price_of_change(mean as f32));
    let held = least(&used, &weights, &levels(&used), change);
    for ((used, weight), held) in used.iter().zip(&weights).zip(&held) {
        sums.requested += held * weight;
        sums.unused += (held - used).max(0.0) * weight;
        sums.short += (used - held).max(0.0) * weight;
        sums.used += used * weight;
    }
    sums.changes += held.windows(2).filter(|pair| pair[0].to_bits() != pair[1].to_bits()).count();
    sums.days += (last - scored) as f64 / 86_400.0;
}

fn levels(used: &[f64]) -> Vec<f64> {
    let mut sorted = used.to_vec();
    sorted.sort_by(f64::total_cmp);
    let mut levels: Vec<f64> =
        (0..=LEVELS).filter_map(|i| sorted.get(i * (sorted.len() - 1) / LEVELS).copied()).collect();
    levels.dedup();
    levels
}

/// The levels, one for each sample, that cost least together.
fn least(used: &[f64], weights: &[f64], levels: &[f64], change: f64) -> Vec<f64> {
    let mut costs: Vec<f64> = vec![0.0; levels.len()];
    let mut from: Vec<Vec<u8>> = Vec::with_capacity(used.len());
    for (used, weight) in used.iter().zip(weights) {
        let cheapest = (0..costs.len()).min_by(|a, b| costs[*a].total_cmp(&costs[*b])).unwrap_or(0);
        let moved = costs[cheapest] + change;
        from.push((0..costs.len()).map(|i| if costs[i] <= moved { i } else { cheapest } as u8).collect());
        for (cost, level) in costs.iter_mut().zip(levels) {
            let (unused, short) = ((level - used).max(0.0), (used - level).max(0.0));
            *cost = cost.min(moved) + (unused + UNDERRUN * short) * weight;
        }
    }
    let mut at = (0..costs.len()).min_by(|a, b| costs[*a].total_cmp(&costs[*b])).unwrap_or(0);
    let mut path: Vec<f64> = from
        .iter()
        .rev()
        .map(|from| {
            let level = levels[at];
            at = usize::from(from[at]);
            level
        })
        .collect();
    path.reverse();
    path
}
