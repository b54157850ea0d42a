//! `plumb scan`: requests against usage of every workload's containers, right now. Needs no CRD and only read rights.

use std::io::Write;

use clap::ValueEnum;

use super::Output;
use crate::cluster::owners::Owners;
use crate::cluster::{Connection, ConnectionOptions, pods};
use crate::report::scan::{self as report, Row};
use crate::sources::metrics_server;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    connection: ConnectionOptions,
    /// Look at this namespace only [default: all that may be read]
    #[arg(short, long, value_name = "NAME")]
    namespace: Option<String>,
    /// Look at pods with these labels only
    #[arg(short = 'l', long, value_name = "SELECTOR")]
    selector: Option<String>,
    /// What comes first
    #[arg(long, value_enum, default_value_t)]
    sort: Sort,
    /// Format
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Sort {
    /// By namespace, workload and container
    #[default]
    Name,
    /// The most unused CPU first
    Cpu,
    /// The most unused memory first
    Memory,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    let connection = Connection::open(&args.connection).await?;
    let namespace = args.namespace.as_deref();
    let selector = args.selector.as_deref();
    let (pods, owners, usage) = tokio::try_join!(
        pods::list(&connection, namespace, selector),
        Owners::read(&connection, namespace),
        metrics_server::read(&connection, namespace, selector),
    )?;
    let mut rows = report::rows(&pods, &owners, &usage);
    match args.sort {
        Sort::Name => {}
        Sort::Cpu => rows.sort_by(|a, b| Row::unused_cpu(b).total_cmp(&Row::unused_cpu(a))),
        Sort::Memory => rows.sort_by(|a, b| Row::unused_memory(b).total_cmp(&Row::unused_memory(a))),
    }
    let mut stdout = std::io::stdout().lock();
    match args.output {
        Output::Json => {
            serde_json::to_writer_pretty(&mut stdout, &rows)?;
            writeln!(stdout)?;
        }
        Output::Table => write!(stdout, "{}", report::table(&rows))?,
    }
    Ok(())
}
