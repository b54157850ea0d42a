//! Plays the scenes of many seeds, with plumb and without, and prints what broke, what it cost and how fast it went.
//!
//! `cargo run --release -p plumb-core --example simulate -- THEME|all FIRST COUNT [INVARIANT]`. With the name of an
//! invariant, the first scene that breaks it is shrunk and printed as a test.

#![allow(clippy::print_stdout, reason = "an example that prints")]

use std::collections::BTreeMap;
use std::time::Instant;

use plumb_core::replay::simulate::scene::Theme;
use plumb_core::replay::simulate::{Checked, Invariant, Options, Scene, Tally, check, shrink};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let word = |place: usize| arguments.get(place).map(String::as_str);
    let number = |place: usize, usual: u64| word(place).and_then(|text| text.parse().ok()).unwrap_or(usual);
    let (first, count) = (number(1, 0), number(2, 20));
    let wanted = word(3).and_then(|name| Invariant::ALL.iter().copied().find(|one| one.name() == name));
    let themes = Theme::ALL
        .into_iter()
        .filter(|theme| word(0).is_none_or(|name| name == "all" || name == theme.name()));
    let (mut days, begin) = (0.0, Instant::now());
    for theme in themes {
        let mut broken: BTreeMap<Invariant, Vec<u64>> = BTreeMap::new();
        let mut sums = [Tally::default(); 2];
        for seed in first..first + count {
            let scene = Scene::of(theme, seed);
            let Checked { on, off, violations } = check(&scene, &Options::default());
            for (sum, outcome) in sums.iter_mut().zip([on, off]) {
                days += outcome.pod_days;
                sum.add(&outcome.total);
            }
            for violation in violations {
                if wanted == Some(violation.invariant) {
                    println!("{violation}");
                    println!("{}", shrink::shrink(&scene, violation.invariant, &Options::default(), 600));
                    return;
                }
                let seeds = broken.entry(violation.invariant).or_default();
                if seeds.last() != Some(&seed) {
                    seeds.push(seed);
                }
            }
        }
        let [on, off] = sums;
        let (kills, unready) = ((on.kills, off.kills), (on.unready_seconds, off.unready_seconds));
        println!("{}: kills {} (without plumb {})", theme.name(), kills.0, kills.1);
        println!(
            "    unready {} s ({} s), {} changes, {} evictions",
            unready.0, unready.1, on.changes, on.evictions
        );
        for (invariant, seeds) in broken {
            println!("    {invariant}: {} of {count} seeds: {:?}", seeds.len(), &seeds[..seeds.len().min(8)]);
        }
    }
    let seconds = begin.elapsed().as_secs_f64();
    println!("{days:.0} pod-days in {seconds:.1} s: {:.0} a second", days / seconds);
}
