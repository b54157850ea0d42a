//! `plumb import`: what another autoscaler was told and has learned, as plumb's own.

mod history;
mod read;

use std::fmt::Write as _;
use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context, bail, ensure};
use clap::Subcommand;
use serde_json::{Value, json};

use super::{Output, note};
use crate::cluster::{Connection, ConnectionOptions};
use crate::control::checkpoint::Place;
use crate::import::{Imported, convert};
use crate::report::Table;

#[derive(Debug, clap::Args)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    from: From,
}

#[derive(Debug, Subcommand)]
enum From {
    /// VerticalPodAutoscaler objects as policies, and what they have learned as a checkpoint to begin with
    ///
    /// What a field became, or why it has no equal, stands as a comment above each policy. The checkpoints of VPA hold
    /// how often how much was used, but no time of day and no order, and of memory each day's peak only: sizes begin
    /// careful, and follow usage within a day.
    Vpa(VpaArgs),
}

#[derive(Debug, clap::Args)]
struct VpaArgs {
    /// Files to read instead of the cluster; - is standard input
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    #[command(flatten)]
    connection: ConnectionOptions,
    /// Of this namespace only [default: the kubeconfig's; of files: all]
    #[arg(short, long, value_name = "NAME")]
    namespace: Option<String>,
    /// Of all namespaces
    #[arg(short = 'A', long, conflicts_with = "namespace")]
    all_namespaces: bool,
    /// Policies of VPAs that act in mode Auto, and not Recommend: plumb changes their pods as soon as they are applied
    #[arg(long)]
    keep_mode: bool,
    /// Also write what VPA has learned, where `plumb run --checkpoint` with the same place begins with it:
    /// configmaps:NAMESPACE or file:FOLDER. Not while plumb runs; what plumb has learned itself stays
    #[arg(long, value_name = "PLACE")]
    checkpoints: Option<Place>,
    /// Format: yaml to apply, json to apply, or a table of what became of each field
    #[arg(short, long, value_enum, default_value = "yaml")]
    output: Output,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    let From::Vpa(args) = args.from;
    ensure!(
        args.checkpoints != Some(Place::None),
        "--checkpoints none writes nothing: name configmaps:NAMESPACE or file:FOLDER, or leave it out"
    );
    let found = if args.files.is_empty() {
        let connection = Connection::open(&args.connection).await?;
        let namespace = args.namespace.clone().unwrap_or_else(|| connection.default_namespace.clone());
        let namespace = (!args.all_namespaces).then_some(namespace);
        read::cluster(&connection, namespace.as_deref(), args.checkpoints.is_some()).await?
    } else {
        read::files(&args.files, args.namespace.as_deref())?
    };
    if found.vpas.is_empty() {
        bail!(
            "there is no VerticalPodAutoscaler here; name another namespace with -n, all with -A, or files"
        );
    }
    let mut imported = Vec::new();
    let mut failed = 0;
    for vpa in &found.vpas {
        match convert(vpa, args.keep_mode) {
            Ok(one) => imported.push(one),
            Err(why) => {
                failed += 1;
                note(format_args!("VerticalPodAutoscaler {}: {why}", vpa.metadata.name));
            }
        }
    }
    print(&imported, args.output)?;
    tell(&imported);
    if let Some(place) = &args.checkpoints {
        history::write(&args.connection, place, &found).await?;
    }
    ensure!(failed == 0, "{failed} of {} VerticalPodAutoscalers are no policy now", found.vpas.len());
    Ok(())
}

fn print(imported: &[Imported], format: Output) -> anyhow::Result<()> {
    let mut stdout = std::io::stdout().lock();
    match format {
        Output::Table => write!(stdout, "{}", table(imported))?,
        Output::Json => {
            let items = imported.iter().map(Imported::object).collect::<Result<Vec<Value>, _>>()?;
            serde_json::to_writer_pretty(
                &mut stdout,
                &json!({"apiVersion": "v1", "kind": "List", "items": items}),
            )?;
            writeln!(stdout)?;
        }
        Output::Yaml => {
            for one in imported {
                let object =
                    serde_saphyr::to_string(&one.object()?).context("a policy cannot be written as YAML")?;
                write!(stdout, "---\n{}{object}", comments(one))?;
            }
        }
    }
    Ok(())
}

/// What became of each field, as comments.
fn comments(imported: &Imported) -> String {
    let mut text = format!("# From VerticalPodAutoscaler {}\n", one_line(&imported.name()));
    for note in &imported.notes {
        let became = note.became.as_deref().unwrap_or("no equal");
        let mut line = format!("{} ({}): {became}", note.field, note.was);
        if !note.why.is_empty() {
            let _infallible = write!(line, "; {}", note.why);
        }
        let _infallible = writeln!(text, "#   {}", one_line(&line));
    }
    text
}

/// Nothing from a file ends the comment that it stands in.
fn one_line(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{85}') { ' ' } else { c })
        .collect()
}

fn table(imported: &[Imported]) -> String {
    let mut table = Table::new(&["VPA", "FIELD", "WAS", "BECAME", "NOTE"]);
    for one in imported {
        for note in &one.notes {
            let became = note.became.as_deref().unwrap_or("-");
            table.row(
                [one.name(), note.field.clone(), note.was.clone(), became.to_owned(), note.why.clone()]
                    .map(|cell| one_line(&cell)),
            );
        }
    }
    table.render()
}

/// What has no equal is said once more where it is not overlooked.
fn tell(imported: &[Imported]) {
    for one in imported {
        for lost in one.notes.iter().filter(|note| note.became.is_none()) {
            note(one_line(&format!(
                "{}: {} ({}) has no equal; {}",
                one.name(),
                lost.field,
                lost.was,
                lost.why
            )));
        }
    }
    note(format_args!(
        "{} polic{} from VerticalPodAutoscalers; before one acts (mode Auto), set its VPA to updateMode Off",
        imported.len(),
        if imported.len() == 1 { "y" } else { "ies" }
    ));
}
