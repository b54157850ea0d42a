//! `plumb scan`: requests against usage of every workload's containers. Needs no CRD and only read rights.
//!
//! By itself it shows what the metrics API says right now; with `--prometheus` it sizes by the history there, and
//! needs nothing installed in the cluster, nor any access to it.

mod facts;
mod history;

use std::io::Write;
use std::path::PathBuf;

use clap::ValueEnum;

use crate::api::Span;
use crate::cluster::owners::Owners;
use crate::cluster::{Connection, ConnectionOptions, pods};
use crate::report::prices::Prices;
use crate::report::scan::{self as report, Row};
use crate::sources::metrics_server;
use crate::sources::prometheus::{Prometheus, PrometheusOptions};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    connection: ConnectionOptions,
    /// Look at this namespace only [default: all that may be read]
    #[arg(short, long, value_name = "NAME")]
    namespace: Option<String>,
    /// Look at pods with these labels only
    #[arg(short = 'l', long, value_name = "SELECTOR", conflicts_with = "prometheus")]
    selector: Option<String>,
    /// What comes first [default: name; with --prometheus: savings]
    #[arg(long, value_enum)]
    sort: Option<Sort>,
    /// Format; csv and html only with --prometheus
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
    /// Size by the past so long, from Prometheus
    #[arg(long, value_name = "SPAN", default_value = "14d", requires = "prometheus")]
    history: Span,
    /// Distance of the samples
    #[arg(long, value_name = "SPAN", default_value = "5m", requires = "prometheus")]
    step: Span,
    /// Write a patch file for each workload into this folder, and patches.sh with a line of kubectl for each
    #[arg(long, value_name = "DIR", requires = "prometheus")]
    patches: Option<PathBuf>,
    #[command(flatten)]
    prices: Prices,
    #[command(flatten)]
    prometheus: PrometheusOptions,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Sort {
    /// By namespace, workload and container
    Name,
    /// What saves most money first
    Savings,
    /// The most unused CPU first
    Cpu,
    /// The most unused memory first
    Memory,
}

/// How results are printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Columns for a person
    #[default]
    Table,
    /// One JSON document
    Json,
    /// One YAML document
    Yaml,
    /// Lines for a spreadsheet
    Csv,
    /// A page for a browser
    Html,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    if let Some(prometheus) = Prometheus::open(&args.prometheus)? {
        return history::run(&args, &prometheus).await;
    }
    anyhow::ensure!(
        !matches!(args.output, Format::Csv | Format::Html),
        "this format needs a history: name a Prometheus with --prometheus URL"
    );
    anyhow::ensure!(
        args.sort != Some(Sort::Savings),
        "what would be saved is known from a history only: name a Prometheus with --prometheus URL"
    );
    now(&args).await
}

/// What the metrics API says now.
async fn now(args: &Args) -> anyhow::Result<()> {
    let connection = Connection::open(&args.connection).await?;
    let namespace = args.namespace.as_deref();
    let selector = args.selector.as_deref();
    let (pods, owners, usage) = tokio::try_join!(
        pods::list(&connection, namespace, selector),
        Owners::read(&connection, namespace),
        metrics_server::read(&connection, namespace, selector),
    )?;
    let mut rows = report::rows(&pods, &owners, &usage.pods);
    match args.sort {
        None | Some(Sort::Name | Sort::Savings) => {}
        Some(Sort::Cpu) => rows.sort_by(|a, b| Row::unused_cpu(b).total_cmp(&Row::unused_cpu(a))),
        Some(Sort::Memory) => rows.sort_by(|a, b| Row::unused_memory(b).total_cmp(&Row::unused_memory(a))),
    }
    let mut stdout = std::io::stdout().lock();
    match args.output {
        Format::Json => {
            serde_json::to_writer_pretty(&mut stdout, &rows)?;
            writeln!(stdout)?;
        }
        Format::Yaml => write!(stdout, "{}", serde_saphyr::to_string(&rows)?)?,
        Format::Table | Format::Csv | Format::Html => write!(stdout, "{}", report::table(&rows))?,
    }
    Ok(())
}
