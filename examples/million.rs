//! A million containers: one CPU and one memory sample of each taken in, and every recommendation refreshed.
//! Prints the time of both and the memory of the process. `cargo run --release --example million [COUNT]`

#![allow(clippy::print_stdout, reason = "an example prints")]

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use plumb::model::{Fleet, Model, Series, SeriesId};
use plumb::policy::{Baseline, Rules, recommend};
use plumb::units::{Bytes, Cores, Timestamp};

fn main() {
    let count: u32 = std::env::args().nth(1).and_then(|count| count.parse().ok()).unwrap_or(1_000_000);
    let mut fleet = Fleet::new(Model::default());
    for _ in 0..count {
        fleet.add(Series::default());
    }
    let rules = Rules { add_limit: true, ..Rules::default() };
    let prices = rules.prices();
    for round in 0..12_u32 {
        let start = Instant::now();
        for i in 0..count {
            let at = Timestamp(1_700_000_000 + i64::from(round) * 300 + i64::from(i % 300));
            let noise = f64::from((i ^ round.wrapping_mul(2_654_435_761)) % 1000) / 1000.0;
            let id = SeriesId(i);
            fleet.add_cpu(id, at, Cores(0.05 + f64::from(i % 97) * 0.01 * (1.0 + noise)), 0.0, None).ok();
            fleet
                .add_memory(
                    id,
                    at,
                    Bytes::from_f64((100.0 + f64::from(i % 977) + noise * 40.0) * 1_048_576.0),
                    None,
                )
                .ok();
        }
        let taken = start.elapsed();
        let total = AtomicU64::new(0);
        fleet.refresh(
            |_| Some(prices),
            |_, need| {
                let found = recommend(need, &rules, &Baseline::default());
                total.fetch_add(found.target.cpu_request.map_or(0, Cores::to_milli), Ordering::Relaxed);
            },
        );
        let all = start.elapsed();
        println!(
            "round {round}: took in {} samples in {:.2} s, refreshed {count} in {:.2} s, together {:.2} s; {} cores",
            2 * u64::from(count),
            taken.as_secs_f64(),
            (all - taken).as_secs_f64(),
            all.as_secs_f64(),
            total.into_inner() / 1000
        );
    }
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    status
        .lines()
        .filter(|line| line.starts_with("VmHWM") || line.starts_with("VmRSS"))
        .for_each(|l| println!("{l}"));
}
