//! `plumb demo`: the first look. A generated fleet, or one's own trace, through the same model, policy and steps that run live.
//!
//! Needs no cluster and no network.

mod live;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Context;

use super::{Output, backtest, note};
use crate::replay::engine::Rules;
use crate::replay::generate;
use crate::replay::outcome::{self, Outcome};
use crate::replay::trace::Allocations;
use crate::report::demo::{self as report, Demo};
use crate::report::page;
use crate::report::prices::Prices;

/// plumb, those that it is compared with, and today's requests.
const ARMS: [&str; 5] = [report::OURS, "vpa", "krr", "window", report::TODAY];

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Replay this trace (see `plumb record`) instead of a generated fleet
    #[arg(long, value_name = "TRACE.csv[.gz]", conflicts_with_all = ["seed", "days"])]
    trace: Option<PathBuf>,
    /// Which fleet to generate; the same seed gives the same fleet
    #[arg(long, default_value_t = 1, value_name = "N")]
    seed: u64,
    /// How many days of it
    #[arg(long, default_value_t = 14, value_name = "N", value_parser = clap::value_parser!(u32).range(2..=i64::from(generate::MAX_DAYS)))]
    days: u32,
    #[command(flatten)]
    prices: Prices,
    /// Where to write the page [default: plumb-demo.html in the system's folder for temporary files]
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Format
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let prices = args.prices;
    let (outcome, given) = replayed(args)?;
    live::show(&outcome);
    let path = args.report.clone().unwrap_or_else(|| std::env::temp_dir().join("plumb-demo.html"));
    let seed = args.trace.is_none().then_some(args.seed);
    let demo = Demo::of(&outcome, &given, seed, prices, path.display().to_string());
    write_page(&path, &outcome, &demo)?;

    let mut stdout = std::io::stdout().lock();
    match args.output {
        Output::Json => {
            serde_json::to_writer_pretty(&mut stdout, &demo)?;
            writeln!(stdout)?;
        }
        Output::Yaml => write!(stdout, "{}", serde_saphyr::to_string(&demo)?)?,
        Output::Table => {
            let columns = comfy_table::Table::new().width().map_or(report::NARROW, usize::from);
            writeln!(stdout, "{}", report::whole(&demo, columns))?;
        }
    }
    Ok(())
}

/// The fleet or the trace, through all arms; and what the owners asked for.
fn replayed(args: &Args) -> anyhow::Result<(Outcome, Allocations)> {
    let sizers = backtest::sizers(ARMS)?;
    let rules = Rules::default();
    if let Some(trace) = &args.trace {
        note(format_args!("replaying {}; the first day of each container is only watched", trace.display()));
        let bar = backtest::progress(std::slice::from_ref(trace), 1);
        let replayed = backtest::replay_file(trace, &sizers, &rules, &bar)?;
        bar.finish_and_clear();
        return Ok(replayed);
    }
    let (fleet, given) = generate::fleet(args.seed, args.days);
    note(format_args!(
        "replaying {} days of a generated fleet of {} containers (seed {}); the first day is only watched",
        args.days,
        fleet.len(),
        args.seed
    ));
    let containers = fleet.into_iter().map(Ok);
    let outcome = outcome::run(report::GENERATED, containers, &given, &sizers, &rules)?;
    Ok((outcome, given))
}

fn write_page(path: &Path, outcome: &Outcome, demo: &Demo) -> anyhow::Result<()> {
    let html = page::render(report::TITLE, &demo.lead(), std::slice::from_ref(outcome));
    fs::write(path, html).with_context(|| format!("cannot write the report to {}", path.display()))
}
