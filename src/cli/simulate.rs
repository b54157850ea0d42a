//! `plumb simulate`: a policy on a simulated fleet, beside the same fleet without plumb; and the search for scenes that
//! break an invariant.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use rayon::prelude::*;

use super::Output;
use crate::api::{self, Span, VerticalScalingPolicy};
use crate::control::rules;
use crate::replay::simulate::scene::{Method, Policy, Scene};
use crate::replay::simulate::{Options, Outcome, run as play, shrink};
use crate::report::simulate as report;

/// Scenes that are played between two looks at the clock.
const BATCH: u64 = 16;
/// Scenes that are played at most to make one that breaks an invariant smaller.
const MOST_SHRINKS: u32 = 500;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The VerticalScalingPolicy to try (YAML): its entry for the container "*", its band and its actuation. Without one,
    /// a policy that says nothing
    #[arg(long, value_name = "FILE", conflicts_with = "search")]
    policy: Option<PathBuf>,
    /// Simulated days
    #[arg(long, default_value_t = 30, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=3650), conflicts_with = "search")]
    days: u32,
    /// Workloads of the generated fleet
    #[arg(long, default_value_t = 20, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000), conflicts_with = "search")]
    workloads: u32,
    /// Seed of the fleet; with --search, of the first scene
    #[arg(long, default_value_t = 1, value_name = "N")]
    seed: u64,
    /// Instead play random clusters with faults for so long (`2m`, `8h`), one seed after another, and check that plumb
    /// breaks none of its invariants. A seed that breaks one is shrunk and printed as a test
    #[arg(long, value_name = "SPAN")]
    search: Option<Span>,
    /// Format
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
    /// Threads to use [default: one per core]
    #[arg(long, default_value_t = 0, hide_default_value = true, value_name = "N")]
    threads: usize,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(args.threads).build()?;
    if let Some(span) = args.search {
        return pool.install(|| search(args.seed, Duration::from_secs(span.seconds)));
    }
    let policy = args.policy.as_deref().map_or_else(|| Ok(Policy::default()), read)?;
    let scene = Scene::fleet(policy, args.workloads, args.days, args.seed);
    let play = |plumb| play(&scene, &Options { plumb, ..Options::default() });
    let (with, without) = pool.install(|| rayon::join(|| play(true), || play(false)));
    let report = report::Report::new(&scene, &with, &without);
    let mut stdout = io::stdout().lock();
    match args.output {
        Output::Json => {
            serde_json::to_writer_pretty(&mut stdout, &report)?;
            writeln!(stdout)?;
        }
        Output::Yaml => write!(stdout, "{}", serde_saphyr::to_string(&report)?)?,
        Output::Table => write!(stdout, "{}", report.table())?,
    }
    Ok(())
}

/// Reads a policy from its file as scenes have it. The fleet is sized whatever the mode: that is what is to be seen.
fn read(path: &Path) -> anyhow::Result<Policy> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let policy: VerticalScalingPolicy = serde_saphyr::from_str(&text)
        .map_err(|error| anyhow::anyhow!("{}", error.to_string().lines().next().unwrap_or_default()))
        .with_context(|| format!("{} is not a VerticalScalingPolicy", path.display()))?;
    let spec = policy.spec;
    if !spec.actuation.windows.is_empty() {
        super::note("actuation.windows is not simulated: the fleet is changed at any time");
    }
    let stated = spec.containers.iter().find(|container| container.name == "*");
    if stated.is_some_and(|stated| stated.startup_boost.is_some()) {
        super::note("startupBoost is not simulated");
    }
    if spec.containers.iter().any(|container| container.name != "*") {
        super::note(
            "entries for named containers are left out: the fleet's containers go by the entry for \"*\"",
        );
    }
    let rules = rules::of_container(spec.objective, stated, spec.history.learn);
    ensure!(rules.cpu && rules.memory, "the entry for \"*\" must size both resources, cpu and memory");
    let (rules, pace) = (rules.rules, rules::pace(&spec.band, &spec.actuation));
    let whole = |share: f32| (share * 100.0).round().clamp(0.0, 1000.0) as u32;
    let actuation = &spec.actuation;
    Ok(Policy {
        acts: true,
        objective: rules.cpu_objective,
        cpu_limit: rules.cpu_limit,
        memory_limit: rules.memory_limit,
        add_limit: rules.add_limit,
        shrink: rules.shrink_memory,
        least_milli: rules.range.min_cpu.to_milli(),
        most_milli: rules.range.max_cpu.map(|most| most.to_milli()),
        least_mib: rules.range.min_memory.0 >> 20,
        most_mib: rules.range.max_memory.map(|most| most.0 >> 20),
        method: match actuation.method {
            api::Method::InPlace => Method::InPlace,
            api::Method::InPlaceOrEvict => Method::InPlaceOrEvict,
            api::Method::Evict => Method::Evict,
            api::Method::OnCreate => Method::OnCreate,
        },
        min_replicas: usize::try_from(actuation.min_replicas).unwrap_or(usize::MAX),
        max_shrink: whole(pace.max_shrink),
        cooldown: u32::try_from(pace.cooldown).unwrap_or(u32::MAX),
        observe: u32::try_from(actuation.guard.observe.seconds).unwrap_or(u32::MAX),
        min_change: pace.min_change.map(whole),
        learn_hours: rules.learn_hours.round().clamp(0.0, 100_000.0) as u32,
        ..Policy::default()
    })
}

/// Plays random scenes until the time is over, or until one breaks an invariant.
fn search(first: u64, time: Duration) -> anyhow::Result<()> {
    let began = Instant::now();
    let (mut next, mut pod_days) = (first, 0.0);
    while began.elapsed() < time || next == first {
        let outcomes: Vec<(Scene, Outcome)> = (next..next.saturating_add(BATCH))
            .into_par_iter()
            .map(|seed| {
                let scene = Scene::from_seed(seed);
                let outcome = play(&scene, &Options::default());
                (scene, outcome)
            })
            .collect();
        pod_days += outcomes.iter().map(|(_, outcome)| outcome.pod_days).sum::<f64>();
        let broken = outcomes.into_iter().find(|(_, outcome)| !outcome.violations.is_empty());
        if let Some((scene, outcome)) = broken
            && let Some(violation) = outcome.violations.first()
        {
            println_all(&shrink::shrink(&scene, violation.invariant, MOST_SHRINKS).to_string())?;
            bail!("seed {} breaks the invariant {}", scene.seed, violation.invariant);
        }
        next = next.saturating_add(BATCH);
    }
    let seconds = began.elapsed().as_secs_f64();
    println_all(&format!(
        "seeds {first} to {}: {pod_days:.0} pod-days in {seconds:.0} s ({:.0} a second), no invariant broken",
        next - 1,
        pod_days / seconds.max(1e-9)
    ))
}

fn println_all(text: &str) -> anyhow::Result<()> {
    Ok(writeln!(io::stdout().lock(), "{text}")?)
}
