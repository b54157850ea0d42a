//! `plumb record`: usage from a live cluster, written in the format that `plumb backtest` reads.
//!
//! From the metrics API it polls until it is stopped; from Prometheus it reads the past. Both can be stopped at any
//! time and go on where they were: what is known is in a spool folder beside the output. Memory holds one name and
//! one time per container, and one answer.

mod from_metrics_api;
mod from_prometheus;
mod spool;

use std::path::PathBuf;

use anyhow::Context;

use self::spool::Spool;
use crate::api::Span;
use crate::cluster::ConnectionOptions;
use crate::sources::prometheus::{Prometheus, PrometheusOptions};
use crate::units::{Bytes, Cores, Timestamp};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    connection: ConnectionOptions,
    #[command(flatten)]
    prometheus: PrometheusOptions,
    /// Trace to write; compressed where the name ends in .gz. FILE.parts/ beside it holds what is known so far
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Record this namespace only [default: all that may be read]
    #[arg(short, long, value_name = "NAME")]
    namespace: Option<String>,
    /// From the metrics API: how often to read it
    #[arg(long, value_name = "SPAN", default_value = "1m", conflicts_with = "prometheus")]
    interval: Span,
    /// From the metrics API: for how long [default: until interrupted]
    #[arg(long, value_name = "SPAN", conflicts_with = "prometheus")]
    duration: Option<Span>,
    /// From Prometheus: how far back
    #[arg(long, value_name = "SPAN", default_value = "14d", requires = "prometheus")]
    since: Span,
    /// From Prometheus: distance of the samples
    #[arg(long, value_name = "SPAN", default_value = "5m", requires = "prometheus")]
    step: Span,
}

/// One line of a trace.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Sample {
    at: Timestamp,
    cpu: Option<Cores>,
    memory: Option<Bytes>,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    anyhow::ensure!(args.interval.seconds > 0, "--interval must be longer than 0");
    anyhow::ensure!(args.step.seconds > 0, "--step must be longer than 0");
    let mut spool = Spool::open(&args.out)?;
    if let Some(prometheus) = Prometheus::open(&args.prometheus)? {
        from_prometheus::record(&args, &prometheus, &mut spool).await?;
    } else {
        from_metrics_api::record(&args, &mut spool).await?;
    }
    let written =
        spool.assemble(&args.out).with_context(|| format!("cannot write {}", args.out.display()))?;
    super::note(format_args!(
        "{}: {} samples of {} containers; try: plumb backtest {}",
        args.out.display(),
        written.samples,
        written.containers,
        args.out.display()
    ));
    Ok(())
}
