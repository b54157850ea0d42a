//! `plumb backtest`: recorded usage through any number of sizers, and what each would have cost.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use indicatif::{ProgressBar, ProgressStyle};

use super::Output;
use crate::api::Span;
use crate::control::rules::{self, ContainerRules};
use crate::replay::arms::plumb::Plumb;
use crate::replay::arms::{self, NamedArm};
use crate::replay::engine::Rules;
use crate::replay::outcome::{self, Outcome};
use crate::replay::trace::{Allocations, TraceReader, read_allocations};
use crate::report::{backtest as report, page};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Traces: container_id,timestamp_s,cpu_cores,memory_bytes, sorted by container, then time; plain or gzip
    #[arg(required = true, value_name = "TRACE.csv[.gz]")]
    traces: Vec<PathBuf>,
    /// Sizers to compare, separated by commas: plumb, plumb-economy, plumb-critical, vpa, krr, window (Autopilot's),
    /// fixed (requests as they are); plumb0, vpa0 and krr0 are those without their floors; plumb0-equal, -ratio,
    /// -headroom, -keep and -remove are plumb0 under the other rules for the memory limit
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "plumb,vpa,krr,window,fixed",
        value_name = "NAME,..."
    )]
    arms: Vec<String>,
    /// Also replay plumb as this VerticalScalingPolicy asks (YAML), as the arm "policy": its entry for the container
    /// "*", its band and its pace
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// Least time between two decisions; an OOM kill does not wait for it
    #[arg(long, default_value = "5m", value_name = "SPAN")]
    interval: Span,
    /// How long a container is only watched before it is sized and scored; of several, separated by commas, all are
    /// scored, and --decisions and --report show the first
    #[arg(long, value_delimiter = ',', default_value = "1d,15m", value_name = "SPAN,...")]
    warmup: Vec<Span>,
    /// Write each decision of the arm (one only) to this file
    #[arg(long, value_name = "OUT.csv")]
    decisions: Option<PathBuf>,
    /// Write a page with the trade that each sizer makes, and each container's usage and requests over time
    #[arg(long, value_name = "OUT.html")]
    report: Option<PathBuf>,
    /// Format
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
    /// Threads to use [default: one per core]
    #[arg(long, default_value_t = 0, hide_default_value = true, value_name = "N")]
    threads: usize,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let mut stdout = io::stdout().lock();
    let mut sizers = sizers(args.arms.iter().map(String::as_str))?;
    if let Some(path) = &args.policy {
        sizers.insert(0, policy_arm(path)?);
    }
    ensure!(
        args.decisions.is_none() || sizers.len() == 1,
        "--decisions takes the decisions of one arm: name it with --arms"
    );
    let rules = replay_rules(args)?;
    let pool = rayon::ThreadPoolBuilder::new().num_threads(args.threads).build()?;
    let bar = progress(&args.traces, rules.len());
    let replay = |trace: &PathBuf, rules: &Rules| {
        pool.install(|| Ok::<_, anyhow::Error>(replay_file(trace, &sizers, rules, &bar)?.0))
    };
    let (mut outcomes, mut scores) = (Vec::new(), Vec::new());
    for trace in &args.traces {
        for (place, rules) in rules.iter().enumerate() {
            let outcome = replay(trace, rules)?;
            scores.push(report::Score::of(&outcome));
            // The figures of the others are all that is shown of them.
            outcomes.extend((place == 0).then_some(outcome));
        }
    }
    bar.finish_and_clear();
    if let Some(path) = &args.decisions {
        let file = File::create(path).with_context(|| format!("cannot write {}", path.display()))?;
        report::write_decisions(&outcomes, BufWriter::new(file))
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    if let Some(path) = &args.report {
        let html = page::render("plumb backtest", &subtitle(&args.traces), &outcomes);
        std::fs::write(path, html).with_context(|| format!("cannot write {}", path.display()))?;
    }
    match args.output {
        Output::Json => {
            serde_json::to_writer_pretty(&mut stdout, &report::rows(&scores))?;
            writeln!(stdout)?;
        }
        Output::Yaml => write!(stdout, "{}", serde_saphyr::to_string(&report::rows(&scores))?)?,
        Output::Table => write!(stdout, "{}", report::table(&scores))?,
    }
    Ok(())
}

/// What the report says of itself: what it shows, and from which files.
fn subtitle(traces: &[PathBuf]) -> String {
    let files: Vec<String> = traces.iter().map(|trace| trace.display().to_string()).collect();
    format!(
        "Recorded usage through several sizers: what each would have requested, and what that would have cost.\n{}: {}",
        if files.len() == 1 { "Trace" } else { "Traces" },
        files.join(", ")
    )
}

/// Replays a trace file; also returns what the owners of its containers had asked for.
pub(super) fn replay_file(
    path: &Path,
    sizers: &[NamedArm],
    rules: &Rules,
    bar: &ProgressBar,
) -> anyhow::Result<(Outcome, Allocations)> {
    let given = read_allocations(path)?;
    let file = File::open(path).with_context(|| format!("{}: cannot be read", path.display()))?;
    let containers = TraceReader::new(path.display().to_string(), bar.wrap_read(file))?;
    let outcome = outcome::run(&name(path), containers, &given, sizers, rules)?;
    Ok((outcome, given))
}

/// The file's name without its endings.
fn name(trace: &Path) -> String {
    let name = trace.file_name().unwrap_or(trace.as_os_str()).to_string_lossy();
    let stem = name.strip_suffix(".gz").unwrap_or(&name);
    stem.strip_suffix(".csv").unwrap_or(stem).to_owned()
}

/// plumb as the policy in this file asks.
fn policy_arm(path: &Path) -> anyhow::Result<NamedArm> {
    let policy = super::input::policy(path)?;
    let spec = policy.spec;
    let stated = spec.containers.iter().find(|container| container.name == "*");
    let ContainerRules { rules, .. } = rules::of_container(spec.objective, stated, spec.history.learn);
    let pace = rules::pace(&spec.band, &spec.actuation);
    Ok(NamedArm::new("policy", move || Plumb::new(rules, pace)))
}

/// The arms of these names.
pub(super) fn sizers<'a>(names: impl IntoIterator<Item = &'a str>) -> anyhow::Result<Vec<NamedArm>> {
    let mut found: Vec<NamedArm> = Vec::new();
    for name in names.into_iter().map(str::trim) {
        let Some(arm) = arms::named(name) else {
            let known: Vec<_> = arms::NAMES.iter().map(|(name, what)| format!("{name} ({what})")).collect();
            bail!("no arm {name:?}; there are {}", known.join(", "));
        };
        ensure!(found.iter().all(|other| other.name != arm.name), "arm {name} is named twice");
        found.push(arm);
    }
    Ok(found)
}

fn replay_rules(args: &Args) -> anyhow::Result<Vec<Rules>> {
    let seconds = |span: Span, flag| {
        i64::try_from(span.seconds).ok().with_context(|| format!("{flag} is too long: {span}"))
    };
    ensure!(args.interval.seconds > 0, "--interval must be above 0");
    let interval = seconds(args.interval, "--interval")?;
    let mut found: Vec<Rules> = Vec::new();
    for warmup in &args.warmup {
        let rules = Rules { interval, warmup: seconds(*warmup, "--warmup")? };
        ensure!(!found.contains(&rules), "--warmup {warmup} is named twice");
        found.push(rules);
    }
    Ok(found)
}

/// How much of the traces was read, each so many times; drawn on stderr, and only where that is a terminal.
pub(super) fn progress(traces: &[PathBuf], times: usize) -> ProgressBar {
    let bytes: u64 = traces.iter().filter_map(|trace| trace.metadata().ok()).map(|meta| meta.len()).sum();
    let bytes = bytes.saturating_mul(times as u64);
    let style = ProgressStyle::with_template("{bar:40} {percent:>3}%  {bytes} of {total_bytes}, {eta} left")
        .unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(bytes).with_style(style)
}
