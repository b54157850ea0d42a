//! `plumb export`: what is recommended, written into people's own files, or only held against them.

mod files;
mod read;

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use serde::Serialize;

use super::{Output, note};
use crate::cluster::ConnectionOptions;
use crate::export::target::{Container, Target};
use crate::export::{Change, ExportError, Options, edit};
use crate::report::Table;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Manifests, Kustomize patches or Helm values, as YAML or JSON; of a folder all of them
    #[arg(value_name = "PATH", required_unless_present = "patches")]
    paths: Vec<PathBuf>,
    /// Recommendations from a file instead of the cluster, as `kubectl get recommendations -A -o yaml` prints them;
    /// - is standard input
    #[arg(short = 'f', long = "from", value_name = "FILE")]
    from: Vec<PathBuf>,
    #[command(flatten)]
    connection: ConnectionOptions,
    /// Recommendations of this namespace only, and the namespace of files that state none [default: all]
    #[arg(short, long, value_name = "NAME")]
    namespace: Option<String>,
    /// Write nothing, and exit with 1 where something is past the band
    #[arg(long)]
    check: bool,
    /// Also change what is within the band
    #[arg(long)]
    exact: bool,
    /// Also use what rests on less than a day of usage
    #[arg(long)]
    any_confidence: bool,
    /// Keep a Kustomize patch for each workload in this folder: made where it is not there, else edited like any file
    #[arg(long, value_name = "DIR")]
    patches: Option<PathBuf>,
    /// Format of the list of changes
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

/// A change and the file that it is in.
#[derive(Debug, Serialize)]
struct Row {
    file: String,
    #[serde(flatten)]
    change: Change,
}

/// What came of all files.
#[derive(Default)]
struct Outcome {
    rows: Vec<Row>,
    containers: usize,
    unreadable: usize,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    let namespace = args.namespace.as_deref();
    let targets = match args.from.as_slice() {
        [] => read::cluster(&args.connection, namespace, args.any_confidence).await?,
        files => read::files(files, namespace, args.any_confidence)?,
    };
    let mut outcome = Outcome::default();
    for path in files::all(&args.paths)? {
        let text = files::read(&path)?;
        one(&args, &path, &text, &targets, false, &mut outcome)?;
    }
    if let Some(folder) = &args.patches {
        for target in &targets {
            let path = folder.join(files::patch_name(&target.workload));
            if path.exists() {
                one(&args, &path, &files::read(&path)?, std::slice::from_ref(target), false, &mut outcome)?;
            } else {
                let target = with_limits(target);
                one(&args, &path, &skeleton(&target)?, &[target], true, &mut outcome)?;
            }
        }
    }
    print(&outcome.rows, args.output)?;
    if outcome.containers == 0 && outcome.unreadable == 0 {
        note(
            "nothing is recommended for what is in these files: compare kind, name, namespace and container",
        );
    }
    ensure!(outcome.unreadable == 0, "{} files could not be read and were left", outcome.unreadable);
    if args.check && !outcome.rows.is_empty() {
        bail!("{} amounts are past the band; `plumb export` without --check writes them", outcome.rows.len());
    }
    Ok(())
}

fn one(
    args: &Args,
    path: &Path,
    text: &str,
    targets: &[Target],
    is_new: bool,
    outcome: &mut Outcome,
) -> anyhow::Result<()> {
    let file = path.display().to_string();
    let options = Options { namespace: args.namespace.as_deref(), exact: args.exact };
    let edited = match edit(text, targets, options) {
        Ok(edited) => edited,
        Err(ExportError::Unreadable { line, what }) => {
            note(format_args!("{file}:{line}: {what}; the file was left as it is"));
            outcome.unreadable += 1;
            return Ok(());
        }
        Err(error @ ExportError::WouldBreak) => bail!("{file}: {error}"),
    };
    for left in &edited.left {
        note(format_args!("{file}:{}: {} was left: {}", left.line, left.what, left.why));
    }
    if !edited.changes.is_empty() && !args.check {
        files::write(path, &edited.text)?;
        if is_new {
            note(format_args!("{file} is new: list it under `patches:` in your kustomization.yaml"));
        }
    }
    outcome.containers += edited.containers;
    outcome.rows.extend(edited.changes.into_iter().map(|change| Row { file: file.clone(), change }));
    Ok(())
}

/// A patch does not know what the manifest below it states: it states all limits, or one there could end below a request.
fn with_limits(target: &Target) -> Target {
    let mut target = target.clone();
    for container in &mut target.containers {
        for amounts in [&mut container.cpu, &mut container.memory] {
            amounts.add_limit = true;
        }
    }
    target
}

/// A patch that says nothing yet.
fn skeleton(target: &Target) -> anyhow::Result<String> {
    let of = &target.workload;
    let path: &[&str] = match of.kind.as_str() {
        "Pod" => &["spec"],
        "CronJob" => &["spec", "jobTemplate", "spec", "template", "spec"],
        _ => &["spec", "template", "spec"],
    };
    let list = |init: bool| -> Vec<serde_json::Value> {
        let of = |container: &&Container| container.init == init;
        let names = target.containers.iter().filter(of).map(|container| &container.name);
        names.map(|name| serde_json::json!({"name": name})).collect()
    };
    let mut spec = serde_json::Map::new();
    for (key, containers) in [("initContainers", list(true)), ("containers", list(false))] {
        if !containers.is_empty() {
            spec.insert(key.to_owned(), containers.into());
        }
    }
    let spec = path
        .iter()
        .rev()
        .fold(serde_json::Value::Object(spec), |inner, key| serde_json::json!({ *key: inner }));
    let mut patch = serde_json::json!({
        "apiVersion": target.api_version, "kind": of.kind,
        "metadata": {"name": of.name, "namespace": of.namespace},
    });
    patch["spec"] = spec["spec"].clone();
    let text = serde_saphyr::to_string(&patch).context("a patch cannot be written as YAML")?;
    Ok(format!("# Kept by `plumb export --patches`.\n{text}"))
}

fn print(rows: &[Row], format: Output) -> anyhow::Result<()> {
    let mut stdout = std::io::stdout().lock();
    match format {
        Output::Table if rows.is_empty() => {}
        Output::Table => write!(stdout, "{}", table(rows).render())?,
        Output::Yaml => write!(stdout, "{}", serde_saphyr::to_string(&rows)?)?,
        Output::Json => {
            serde_json::to_writer_pretty(&mut stdout, rows)?;
            writeln!(stdout)?;
        }
    }
    Ok(())
}

fn table(rows: &[Row]) -> Table {
    let mut table = Table::new(&["PLACE", "WORKLOAD", "CONTAINER", "WHAT", "FROM", "TO"]);
    for Row { file, change } in rows {
        table.row([
            format!("{file}:{}", change.line),
            change.workload.clone(),
            change.container.clone(),
            change.what.to_owned(),
            change.from.clone().unwrap_or_else(|| "none".to_owned()),
            change.to.clone(),
        ]);
    }
    table
}
