//! `plumb scan --prometheus`: the model on days of history, without anything installed.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io::Write;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use anyhow::Context;

use super::facts::{Facts, usual};
use super::{Args, Format, Sort};
use crate::control::history::{Fed, Place, feed, standing_model};
use crate::model::{Estimate, Fleet, Series, SeriesId};
use crate::policy::{self, Baseline, ContainerSize, CpuLimitRule, MemoryLimitRule, Rules};
use crate::report::sizes::{self as report, Order, Row, Scan, Size};
use crate::sources::ContainerName;
use crate::sources::prometheus::history::History;
use crate::sources::prometheus::owners::{Origin, Workload};
use crate::sources::prometheus::{Prometheus, Range};
use crate::{cli, clock};

/// A container of a workload: what a series goes by.
type Key = (Workload, String);

pub(super) async fn run(args: &Args, prometheus: &Prometheus) -> anyhow::Result<()> {
    anyhow::ensure!(args.step.seconds > 0, "--step must be longer than 0");
    anyhow::ensure!(args.history.seconds >= args.step.seconds, "--history must be longer than --step");
    let queries = prometheus.queries(args.namespace.as_deref());
    let span = Range::last(args.history.seconds, args.step.seconds, clock::now());
    let mut facts = Facts::read(args, prometheus, &queries, span.end).await?;
    let mut fleet = Known::default();
    let mut history = History::plan(prometheus, queries.clone(), span).await?;
    let bar = cli::progress(span.points().max(0).unsigned_abs(), "reading from Prometheus");
    while let Some(next) = history.next_span() {
        facts.owners.learn(prometheus, &queries, next).await?;
        let Some(piece) = history.next().await? else { break };
        fleet.feed(&facts, &piece);
        bar.set_position((span.points() - history.left().points()).max(0).unsigned_abs());
    }
    bar.finish_and_clear();
    for warning in prometheus.take_warnings() {
        cli::note(format_args!("Prometheus warns: {warning}"));
    }
    anyhow::ensure!(
        !fleet.ids.is_empty(),
        "Prometheus at {} has no usage of containers{} in the last {}; `plumb doctor --prometheus` says what is missing",
        prometheus.url(),
        args.namespace.as_deref().map(|n| format!(" of namespace {n}")).unwrap_or_default(),
        args.history,
    );
    anyhow::ensure!(
        !facts.running.is_empty(),
        "Prometheus at {} knows of no container that runs now: its newest samples are older than 5 minutes; \
         look at its page of targets",
        prometheus.url(),
    );
    let scan = scan(args, prometheus, span, &facts, &mut fleet);
    say_what_was_read(prometheus, &scan, &fleet);
    print(args, &scan)?;
    match &args.patches {
        Some(folder) => write_patches(folder, &scan.containers),
        None => Ok(()),
    }
}

/// The series so far, by name.
struct Known {
    fleet: Fleet,
    ids: HashMap<Key, SeriesId>,
    fed: Fed,
}

impl Default for Known {
    fn default() -> Self {
        Self { fleet: Fleet::new(standing_model()), ids: HashMap::new(), fed: Fed::default() }
    }
}

impl Known {
    fn feed(&mut self, facts: &Facts, piece: &crate::sources::prometheus::history::Piece) {
        let Self { fleet, ids, fed } = self;
        let mut places: HashMap<ContainerName, Option<Place>> = HashMap::new();
        // The fleet grows while samples are taken in, so all places are made first.
        let names = piece.cpu.iter().chain(&piece.memory).map(|(name, _)| name);
        for name in names.chain(piece.kills.iter().map(|kill| &kill.container)) {
            if places.contains_key(name) {
                continue;
            }
            let (workload, _) = facts.owners.workload(&name.namespace, &name.pod);
            let ends = matches!(workload.kind.as_str(), "Job" | "CronJob");
            let key = (workload, name.container.clone());
            let series = match ids.get(&key) {
                Some(id) => Some(*id),
                None => fleet.add(Series::default()).inspect(|id| {
                    ids.insert(key, *id);
                }),
            };
            places.insert(name.clone(), series.map(|series| Place { series, ends, after: None }));
        }
        *fed += feed(fleet, piece, |name| places.get(name).copied().flatten(), |_, _, _, _| true);
    }
}

fn scan(args: &Args, prometheus: &Prometheus, span: Range, facts: &Facts, known: &mut Known) -> Scan {
    let mut running: BTreeMap<Key, Vec<&ContainerName>> = BTreeMap::new();
    let mut origins: BTreeMap<Origin, usize> = BTreeMap::new();
    let mut origin_of: HashMap<Key, Origin> = HashMap::new();
    for name in &facts.running {
        let (workload, origin) = facts.owners.workload(&name.namespace, &name.pod);
        *origins.entry(origin).or_default() += 1;
        let key = (workload, name.container.clone());
        origin_of.entry(key.clone()).and_modify(|known| *known = origin.max(*known)).or_insert(origin);
        running.entry(key).or_default().push(name);
    }
    // A CronJob is there also while none of its pods runs.
    for (workload, container) in known.ids.keys().filter(|(workload, _)| workload.kind == "CronJob") {
        running.entry((workload.clone(), container.clone())).or_default();
    }
    let guaranteed = guaranteed(facts, &running);
    let rules = |key: &Key| rules(facts, key, guaranteed.contains(&key.0));
    let estimates = estimates(known, &rules);
    let mut rows: Vec<Row> = running
        .iter()
        .filter_map(|(key, pods)| {
            let id = known.ids.get(key)?;
            let (series, estimate) = (known.fleet.get(*id)?, estimates.get(id)?);
            let origin = origin_of.get(key).copied().unwrap_or(Origin::Name);
            Some(row(args, facts, key, pods, series, estimate, &rules(key), origin))
        })
        .collect();
    report::sort(
        &mut rows,
        match args.sort {
            None | Some(Sort::Savings) => Order::Savings,
            Some(Sort::Name) => Order::Name,
            Some(Sort::Cpu) => Order::Cpu,
            Some(Sort::Memory) => Order::Memory,
        },
    );
    let owners: Vec<String> =
        origins.iter().map(|(origin, count)| format!("{count} containers from {}", origin.words())).collect();
    Scan {
        source: prometheus.url().to_owned(),
        days: span.end.seconds_since(span.start) as f64 / 86_400.0,
        step_seconds: span.step,
        owners: owners.join(", "),
        price_core_hour: args.prices.core_hour,
        price_gib_hour: args.prices.gib_hour,
        total: report::total(&rows),
        containers: rows,
    }
}

/// The workloads whose pods are of class Guaranteed: all their containers have limits, and requests equal to them.
fn guaranteed(
    facts: &Facts,
    running: &BTreeMap<Key, Vec<&ContainerName>>,
) -> std::collections::BTreeSet<Workload> {
    let equal = |size: &ContainerSize| {
        let cpu = size.cpu_limit.is_some() && size.cpu_limit == size.cpu_request;
        cpu && size.memory_limit.is_some() && size.memory_limit == size.memory_request
    };
    let mut all: BTreeMap<&Workload, bool> = BTreeMap::new();
    for ((workload, _), names) in running {
        let size = usual(names.iter().filter_map(|name| facts.sizes.get(*name)));
        *all.entry(workload).or_insert(true) &= size.as_ref().is_some_and(equal);
    }
    all.into_iter().filter(|(_, all)| *all).map(|(workload, _)| workload.clone()).collect()
}

/// The rules of a policy that says nothing, and its class stays a pod's class.
fn rules(facts: &Facts, _key: &Key, guaranteed: bool) -> Rules {
    let mut rules = Rules::default();
    if guaranteed {
        rules.cpu_limit = CpuLimitRule::Equal;
        rules.memory_limit = MemoryLimitRule::Equal;
    }
    // Where nobody knows what is set, what should be is said in full.
    rules.add_limit = facts.sizes.is_empty();
    rules
}

fn estimates(known: &mut Known, rules: &(impl Fn(&Key) -> Rules + Sync)) -> HashMap<SeriesId, Estimate> {
    let prices: HashMap<SeriesId, _> = known.ids.iter().map(|(key, id)| (*id, rules(key).prices())).collect();
    let usual = Rules::default().prices();
    let found = Mutex::new(HashMap::new());
    known.fleet.refresh(
        |id| Some(prices.get(&id).copied().unwrap_or(usual)),
        |id, estimate| {
            found.lock().unwrap_or_else(PoisonError::into_inner).insert(id, *estimate);
        },
    );
    found.into_inner().unwrap_or_else(PoisonError::into_inner)
}

#[expect(clippy::too_many_arguments, reason = "all that a row is made of")]
fn row(
    args: &Args,
    facts: &Facts,
    (workload, container): &Key,
    pods: &[&ContainerName],
    series: &Series,
    estimate: &Estimate,
    rules: &Rules,
    origin: Origin,
) -> Row {
    let stated = usual(pods.iter().filter_map(|name| facts.sizes.get(*name)));
    // Where others are known, one of whom nothing is said asks for nothing.
    let current =
        stated.or_else(|| (!facts.sizes.is_empty() && !pods.is_empty()).then(ContainerSize::default));
    // What runs is taken for what people set: a scan knows of nobody who has changed it.
    let baseline = Baseline { current: current.unwrap_or_default(), template: current };
    let (found, reasons) = policy::explain(estimate, rules, &baseline);
    let mut row = Row {
        namespace: workload.namespace.clone(),
        kind: workload.kind.clone(),
        workload: workload.name.clone(),
        container: container.clone(),
        replicas: pods.len(),
        current: current.map(Size::from),
        recommended: Size::from(found.target),
        saves_monthly: None,
        oom_kills: series.kills(),
        confidence: found.confidence.word(),
        samples: series.samples(),
        days: series.hours() / 24.0,
        owner_from: origin.words(),
        reasons: reasons.iter().map(ToString::to_string).collect(),
    };
    row.saves_monthly = row
        .current
        .map(|current| row.monthly(&current, &args.prices) - row.monthly(&row.recommended, &args.prices));
    row
}

fn say_what_was_read(prometheus: &Prometheus, scan: &Scan, known: &Known) {
    let asked = prometheus.asked();
    cli::note(format_args!(
        "read {} samples in {} queries, at most {} in one; owners: {}",
        asked.samples, asked.queries, asked.largest, scan.owners
    ));
    if known.fed.refused > 0 {
        cli::note(format_args!("{} samples were refused: no amounts, absurd or too old", known.fed.refused));
    }
}

fn print(args: &Args, scan: &Scan) -> anyhow::Result<()> {
    let mut stdout = std::io::stdout().lock();
    match args.output {
        Format::Table => write!(stdout, "{}", report::table(scan))?,
        Format::Json => {
            serde_json::to_writer_pretty(&mut stdout, scan)?;
            writeln!(stdout)?;
        }
        Format::Yaml => write!(stdout, "{}", serde_saphyr::to_string(scan)?)?,
        Format::Csv => stdout.write_all(&report::csv(scan)?)?,
        Format::Html => write!(stdout, "{}", report::page(scan))?,
    }
    Ok(())
}

fn write_patches(folder: &Path, rows: &[Row]) -> anyhow::Result<()> {
    let (patches, left_out) = report::patches::patches(rows);
    let write = |file: &str, text: String| {
        let path = folder.join(file);
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
    };
    fs::create_dir_all(folder).with_context(|| format!("cannot make the folder {}", folder.display()))?;
    let mut lines = "#!/bin/sh\n# Look at each file first; each line changes one workload.\nset -e\ncd \"$(dirname \"$0\")\"\n".to_owned();
    for patch in &patches {
        write(&patch.file, format!("# {}\n{}", patch.command, serde_saphyr::to_string(&patch.content)?))?;
        lines.push_str(&patch.command);
        lines.push('\n');
    }
    write("patches.sh", lines)?;
    for left in &left_out {
        cli::note(format_args!("no patch for {}: {}", left.workload, left.why));
    }
    cli::note(format_args!(
        "{} patches in {}; `sh {}` applies them",
        patches.len(),
        folder.display(),
        folder.join("patches.sh").display()
    ));
    Ok(())
}
