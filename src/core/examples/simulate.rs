//! Plays the scenes of many seeds, with plumb and without, and prints what broke, what it cost and how fast it went.
//!
//! `cargo run --release -p plumb-core --example simulate -- THEME|all FIRST COUNT [INVARIANT]`, see docs/simulator.md.
//! It fails where an invariant broke that is not allowed to.

#![allow(clippy::print_stdout, reason = "an example that prints")]

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use plumb_core::replay::simulate::scene::Theme;
use plumb_core::replay::simulate::{Checked, Invariant, Options, Scene, Tally, check, is_worse, shrink};
use rayon::prelude::*;

/// Scenes that are played at most to shrink one.
const SHRINK: u32 = 600;
/// Seeds of each theme that are played between two looks at the clock.
const ROUND: u64 = 8;
/// Seeds and violations of an invariant that are printed of a theme.
const SHOWN: usize = 8;

/// Plays random clusters with faults, and says which of plumb's promises broke
#[derive(Parser)]
struct Args {
    /// Theme of the scenes, or all
    #[arg(default_value = "all", value_parser = themes)]
    themes: Themes,
    /// First seed
    #[arg(default_value_t = 0)]
    first: u64,
    /// Seeds of each theme
    #[arg(default_value_t = 20)]
    count: u64,
    /// Shrink the first scene that breaks this invariant, and print it as a test
    #[arg(value_parser = invariant)]
    shrink: Option<Invariant>,
    /// End after this many seconds, however many seeds were played
    #[arg(long, value_name = "N")]
    seconds: Option<u64>,
    /// Invariants that may break, with commas between them
    #[arg(long, value_delimiter = ',', value_parser = invariant)]
    allow: Vec<Invariant>,
    /// Fail only where another invariant breaks in more than so many percent of a theme's seeds
    #[arg(long, value_name = "PERCENT", default_value_t = 0)]
    rare: u64,
}

#[derive(Clone)]
struct Themes(Vec<Theme>);

fn themes(name: &str) -> Result<Themes, String> {
    let found: Vec<_> =
        Theme::ALL.into_iter().filter(|theme| name == "all" || name == theme.name()).collect();
    if found.is_empty() { Err("no such theme".to_owned()) } else { Ok(Themes(found)) }
}

fn invariant(name: &str) -> Result<Invariant, String> {
    let found = Invariant::ALL.iter().copied().find(|one| one.name() == name);
    found.ok_or_else(|| "no such invariant".to_owned())
}

/// What the scenes of a theme came to.
#[derive(Default)]
struct Sums {
    seeds: u64,
    pod_days: f64,
    on: Tally,
    off: Tally,
    /// Seeds in which each invariant broke.
    broken: BTreeMap<Invariant, Vec<u64>>,
    /// The first violation of each, as told.
    stories: BTreeMap<Invariant, String>,
}

impl Sums {
    fn add(&mut self, seed: u64, checked: &Checked) {
        let Checked { on, off, violations } = checked;
        self.seeds += 1;
        self.pod_days += on.pod_days + off.pod_days;
        self.on.add(&on.total);
        self.off.add(&off.total);
        for violation in violations {
            let seeds = self.broken.entry(violation.invariant).or_default();
            if seeds.last() != Some(&seed) {
                seeds.push(seed);
            }
            self.stories.entry(violation.invariant).or_insert_with(|| violation.to_string());
        }
    }

    /// Prints it, and says whether an invariant broke that may not.
    fn print(&self, theme: Theme, allowed: &[Invariant], rare: u64) -> bool {
        let Self { seeds: count, on, off, .. } = self;
        println!("{} ({count} seeds): kills {} (without plumb {})", theme.name(), on.kills, off.kills);
        println!(
            "    unready {} s ({} s), {} changes, {} evictions",
            on.unready_seconds, off.unready_seconds, on.changes, on.evictions
        );
        let mut failed = false;
        for (invariant, seeds) in &self.broken {
            println!(
                "    {invariant}: {} of {count} seeds: {:?}",
                seeds.len(),
                &seeds[..seeds.len().min(SHOWN)]
            );
            if !allowed.contains(invariant) && !is_of_sums(*invariant) {
                failed |= u64::try_from(seeds.len()).is_ok_and(|broken| broken * 100 > rare * count);
                print!("{}", self.stories.get(invariant).map_or("", String::as_str));
            }
        }
        if let Some((invariant, message)) = is_worse(on, off)
            && !allowed.contains(&invariant)
        {
            failed = true;
            println!("    {invariant} broke over all seeds: {message}");
        }
        failed
    }
}

/// Kills and unready time are compared over the seeds of a theme; single seeds with more of them are listed.
fn is_of_sums(invariant: Invariant) -> bool {
    matches!(invariant, Invariant::Kills | Invariant::Unready)
}

fn main() -> ExitCode {
    let args = Args::parse();
    if let Some(wanted) = args.shrink {
        return shrink_first(&args, wanted);
    }
    let begin = Instant::now();
    let over = |played| {
        let late = args.seconds.is_some_and(|seconds| begin.elapsed() >= Duration::from_secs(seconds));
        late || args.seconds.is_none() && played >= args.count
    };
    let mut sums: Vec<Sums> = args.themes.0.iter().map(|_| Sums::default()).collect();
    let mut played = 0;
    while !over(played) {
        let left = args.seconds.map_or(args.count - played, |_| ROUND);
        let seeds = (0..left.min(ROUND)).map(|seed| args.first + played + seed);
        let scenes: Vec<(usize, u64)> =
            seeds.flat_map(|seed| (0..sums.len()).map(move |place| (place, seed))).collect();
        played += left.min(ROUND);
        let checked: Vec<_> = scenes
            .par_iter()
            .map(|&(place, seed)| {
                (place, seed, check(&Scene::of(args.themes.0[place], seed), &Options::default()))
            })
            .collect();
        for (place, seed, checked) in &checked {
            sums[*place].add(*seed, checked);
        }
    }
    let mut failed = false;
    for (theme, sums) in args.themes.0.iter().zip(&sums) {
        failed |= sums.print(*theme, &args.allow, args.rare);
    }
    let (seconds, days) = (begin.elapsed().as_secs_f64(), sums.iter().map(|sums| sums.pod_days).sum::<f64>());
    let (first, last) = (args.first, args.first + played);
    println!("seeds {first}..{last}: {days:.0} pod-days in {seconds:.1} s: {:.0} a second", days / seconds);
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// Shrinks the first scene that breaks an invariant.
fn shrink_first(args: &Args, wanted: Invariant) -> ExitCode {
    let options = Options::default();
    for seed in args.first..args.first + args.count {
        for theme in &args.themes.0 {
            let scene = Scene::of(*theme, seed);
            if let Some(found) = check(&scene, &options).violations.iter().find(|one| one.invariant == wanted)
            {
                println!("{found}\n{}", shrink::shrink(&scene, wanted, &options, SHRINK));
                return ExitCode::FAILURE;
            }
        }
    }
    println!("{wanted} holds in all of them");
    ExitCode::SUCCESS
}
