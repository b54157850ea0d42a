//! What the average container's candidates cost, over recorded traces: the numbers of src/core/model/prior.rs.
//!
//! `cargo run --release --example prior -- TRACE.csv.gz...`; each trace weighs the same, and in it each interval of a
//! container with two days of history.

#![allow(clippy::print_stdout, reason = "an example prints")]

use std::fs::File;

use plumb::model::{BASES, Demand, MARGINS, Model, Prior, Series};
use plumb::replay::trace::TraceReader;
use plumb::units::{Bytes, Cores, Timestamp};

/// Hours of history from which on a container's costs count.
const KNOWN: f32 = 48.0;
/// A cost counts as at most so many times the usage, so that idle containers do not drown the others.
const MOST: f32 = 10.0;

/// A sum of costs.
struct Sum {
    costs: Prior,
    count: f32,
}

impl Sum {
    fn new() -> Self {
        let rules = [0.0; BASES];
        let costs = Prior { hours: 0.0, reserved: rules, changes: rules, short: [[0.0; MARGINS]; BASES] };
        Self { costs, count: 0.0 }
    }

    fn add(&mut self, more: &Prior) {
        let sum = &mut self.costs;
        let rules = sum.reserved.iter_mut().chain(&mut sum.changes).chain(sum.short.iter_mut().flatten());
        let others = more.reserved.iter().chain(&more.changes).chain(more.short.iter().flatten());
        rules.zip(others).for_each(|(sum, more)| *sum += more.min(MOST));
        self.count += 1.0;
    }

    fn mean(&self) -> Option<Prior> {
        let mean = |sum: f32| sum / self.count;
        (self.count > 0.0).then(|| Prior {
            hours: 0.0,
            reserved: self.costs.reserved.map(mean),
            changes: self.costs.changes.map(mean),
            short: self.costs.short.map(|margins| margins.map(mean)),
        })
    }
}

fn observe(demand: &Demand, sum: &mut Sum) {
    if let Some(costs) = demand.costs_per_usage().filter(|costs| costs.hours >= KNOWN) {
        sum.add(&costs);
    }
}

fn main() -> anyhow::Result<()> {
    let model = Model::default();
    let (mut cpu, mut memory) = (Sum::new(), Sum::new());
    for path in std::env::args().skip(1) {
        let (mut trace_cpu, mut trace_memory) = (Sum::new(), Sum::new());
        for container in TraceReader::new(path.clone(), File::open(&path)?)? {
            let mut series = Series::default();
            // What is unknown is no number, which a series refuses.
            for (at, cores, bytes) in container?.samples() {
                if series.add_cpu(Timestamp(at), Cores(cores), 0.0, None, &model).is_ok() {
                    observe(series.cpu(), &mut trace_cpu);
                }
                if bytes.is_finite()
                    && series.add_memory(Timestamp(at), Bytes::from_f64(bytes), None, &model).is_ok()
                {
                    observe(series.memory(), &mut trace_memory);
                }
            }
        }
        trace_cpu.mean().iter().for_each(|mean| cpu.add(mean));
        trace_memory.mean().iter().for_each(|mean| memory.add(mean));
    }
    for (resource, sum) in [("CPU", cpu), ("memory", memory)] {
        if let Some(mean) = sum.mean() {
            println!("{resource}\nreserved {:.3?}\nchanges {:.3?}", mean.reserved, mean.changes);
            mean.short.iter().for_each(|margins| println!("short {margins:.4?}"));
        }
    }
    Ok(())
}
