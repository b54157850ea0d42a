//! `plumb simulate`: a policy on a simulated fleet, beside the same fleet without plumb.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};

use super::Output;
use crate::api;
use crate::control::rules;
use crate::policy::ContainerSize;
use crate::replay::simulate::scene::{Method, Policy, Scene};
use crate::replay::simulate::{Options, run as play};
use crate::replay::template::template;
use crate::replay::trace::{Allocation, Series, TraceReader, read_allocations};
use crate::report::simulate::Report;
use crate::units::Cores;

/// Containers of a trace that are simulated at most: each is a pod of its own.
const MOST_RECORDED: usize = 2000;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The VerticalScalingPolicy to try (YAML): its entry for the container "*", its band and its actuation. Without one,
    /// a policy that says nothing
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// Simulated days; a recorded fleet begins again where its trace ends
    #[arg(long, default_value_t = 30, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=3650))]
    days: u32,
    /// Workloads of the generated fleet
    #[arg(long, default_value_t = 20, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    workloads: u32,
    /// Take usage from this trace, as `plumb record` writes it, in place of a generated fleet; its first 2,000 containers
    #[arg(long, value_name = "TRACE.csv[.gz]", conflicts_with = "workloads")]
    trace: Option<PathBuf>,
    /// Seed of the fleet: the same one gives the same fleet
    #[arg(long, default_value_t = 1, value_name = "N")]
    seed: u64,
    /// Format
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let policy = args.policy.as_deref().map_or_else(|| Ok(Policy::default()), read)?;
    let recorded = args.trace.as_deref().map_or_else(|| Ok(Vec::new()), recorded)?;
    let scene = match &args.trace {
        Some(_) => {
            let sizes: Vec<ContainerSize> = recorded.iter().map(|(_, size)| *size).collect();
            Scene::recorded(&policy, &sizes, args.days, args.seed)
        }
        None => Scene::fleet(&policy, args.workloads, args.days, args.seed),
    };
    let traces: Vec<Series> = recorded.into_iter().map(|(series, _)| series).collect();
    let play = |plumb| play(&scene, &Options { plumb, traces: &traces, ..Options::default() });
    let (with, without) = rayon::join(|| play(true), || play(false));
    let report = Report::new(&scene, &with, &without);
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

/// Reads the containers of a trace, each with the size that people gave it.
fn recorded(path: &Path) -> anyhow::Result<Vec<(Series, ContainerSize)>> {
    let given = read_allocations(path)?;
    let file = File::open(path).with_context(|| format!("{}: cannot be read", path.display()))?;
    let mut found = Vec::new();
    for series in TraceReader::new(path.display().to_string(), file)? {
        let series = series?;
        if found.len() == MOST_RECORDED {
            super::note(format_args!("only the first {MOST_RECORDED} containers of the trace are simulated"));
            break;
        }
        let usual = Allocation::default();
        let size = template(&series, given.get(&series.id).unwrap_or(&usual));
        found.push((series, size));
    }
    ensure!(!found.is_empty(), "{} has no containers", path.display());
    Ok(found)
}

/// Reads a policy from its file as scenes have it. The fleet is sized whatever the mode: that is what is to be seen.
fn read(path: &Path) -> anyhow::Result<Policy> {
    let policy = super::input::policy(path)?;
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
    let actuation = &spec.actuation;
    Ok(Policy {
        acts: true,
        objective: rules.cpu_objective,
        cpu_limit: rules.cpu_limit,
        memory_limit: rules.memory_limit,
        add_limit: rules.add_limit,
        shrink: rules.shrink_memory,
        least_milli: rules.range.min_cpu.to_milli(),
        most_milli: rules.range.max_cpu.map(Cores::to_milli),
        least_mib: rules.range.min_memory.0 >> 20,
        most_mib: rules.range.max_memory.map(|most| most.0 >> 20),
        method: match actuation.method {
            api::Method::InPlace => Method::InPlace,
            api::Method::InPlaceOrEvict => Method::InPlaceOrEvict,
            api::Method::Evict => Method::Evict,
            api::Method::OnCreate => Method::OnCreate,
        },
        min_replicas: usize::try_from(actuation.min_replicas).unwrap_or(usize::MAX),
        max_shrink: actuation.max_step_percent.shrink,
        cooldown: u32::try_from(pace.cooldown).unwrap_or(u32::MAX),
        observe: u32::try_from(actuation.guard.observe.seconds).unwrap_or(u32::MAX),
        min_change: spec.band.min_change_percent,
        learn_hours: u32::try_from(spec.history.learn.seconds / 3600).unwrap_or(u32::MAX),
        ..Policy::default()
    })
}
