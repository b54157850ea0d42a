//! `plumb demo`: two weeks of a small fleet through recommender and updater, in seconds, with no cluster.

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use anyhow::Context;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use serde::Serialize;

use super::{Output, backtest};
use crate::replay::engine::Rules;
use crate::replay::generate;
use crate::replay::outcome::{self, Outcome};
use crate::replay::trace::{Allocations, Series};
use crate::report::backtest as scores;
use crate::report::demo::{self as report, Demo};
use crate::report::page;
use crate::report::prices::Prices;
use crate::units::Timestamp;

const OURS: &str = "plumb";
const BEFORE: &str = "fixed";
const ARMS: [&str; 5] = [OURS, "vpa", "krr", "window", BEFORE];
/// How long a simulated day is shown, so that a person can follow.
const SHOW_DAY: Duration = Duration::from_millis(160);
/// With more samples than this the days are not shown: scoring each of them would take longer than the replay.
const MOST_SHOWN: usize = 500_000;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Use this trace of your own instead of a generated fleet (see `plumb record`)
    #[arg(long, value_name = "TRACE.csv[.gz]")]
    trace: Option<PathBuf>,
    /// Which generated fleet
    #[arg(long, value_name = "N", default_value_t = 1, conflicts_with = "trace")]
    seed: u64,
    /// How many days of it
    #[arg(long, value_name = "N", default_value_t = 14, value_parser = clap::value_parser!(u32).range(2..=366), conflicts_with = "trace")]
    days: u32,
    #[command(flatten)]
    prices: Prices,
    /// Where to write the report [default: plumb-demo.html in the folder for temporary files]
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Format
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

/// All that the demo says, for programs.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Said<'a> {
    source: &'a str,
    recommendations: Vec<report::Row>,
    savings: report::Savings,
    arms: Vec<scores::Row<'a>>,
    report: String,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let (source, outcome, given) = replayed(args)?;
    let arm = |name: &str| outcome.arms.iter().find(|arm| arm.name == name).context("an arm is missing");
    let demo = Demo {
        outcome: &outcome,
        ours: arm(OURS)?,
        before: arm(BEFORE)?,
        given: &given,
        prices: args.prices,
    };
    show_days(&demo);
    let path = args.report.clone().unwrap_or_else(|| std::env::temp_dir().join("plumb-demo.html"));
    let html = page::render("plumb demo", &source, std::slice::from_ref(&outcome));
    fs::write(&path, html).with_context(|| format!("cannot write the report to {}", path.display()))?;

    let mut stdout = std::io::stdout().lock();
    let (rows, savings) = (demo.rows(), demo.savings());
    let outcomes = std::slice::from_ref(&outcome);
    if args.output == Output::Json {
        let arms = scores::rows(outcomes);
        let report = path.display().to_string();
        let said = Said { source: &source, recommendations: rows, savings, arms, report };
        serde_json::to_writer_pretty(&mut stdout, &said)?;
        writeln!(stdout)?;
        return Ok(());
    }
    writeln!(stdout, "{source}\n\n{}", report::table(&rows))?;
    writeln!(stdout, "{}", report::savings_text(&savings, &args.prices))?;
    writeln!(stdout, "{}", scores::table(outcomes))?;
    writeln!(stdout, "Report: {}", path.display())?;
    Ok(())
}

/// What was replayed, in words; the replay; what the owners had asked for.
fn replayed(args: &Args) -> anyhow::Result<(String, Outcome, Allocations)> {
    let sizers = backtest::sizers(ARMS)?;
    let rules = Rules::default();
    if let Some(path) = &args.trace {
        let bar = backtest::progress(std::slice::from_ref(path));
        let (outcome, given) = backtest::replay_file(path, &sizers, &rules, &bar)?;
        bar.finish_and_clear();
        let source = format!(
            "Your trace {}, sized by plumb as in mode Auto after a first day of watching.",
            path.display()
        );
        return Ok((source, outcome, given));
    }
    let (fleet, given) = generate::fleet(args.seed, args.days);
    let source = format!(
        "A generated fleet (nothing of it was measured): {} workloads, {} days, seed {}. The first day is\n\
         watched only; then plumb sizes it as in mode Auto.",
        fleet.len(),
        args.days,
        args.seed
    );
    let outcome = outcome::run("generated fleet", fleet.into_iter().map(Ok), &given, &sizers, &rules)?;
    Ok((source, outcome, given))
}

/// Shows on a terminal how the arms fared, day by day. Elsewhere nothing is shown.
fn show_days(demo: &Demo<'_>) {
    let series = &demo.outcome.containers;
    let first = series.iter().map(|s| s.start().0).min().unwrap_or_default();
    let last = series.iter().filter_map(|s| s.times().last().copied()).max().unwrap_or_default();
    let days = (last - first) / 86_400 + 1;
    let screen = MultiProgress::new();
    if screen.is_hidden() || series.iter().map(Series::len).sum::<usize>() > MOST_SHOWN {
        return;
    }
    let (Ok(head), Ok(line)) =
        (ProgressStyle::with_template("day {pos}/{len} {bar:40}"), ProgressStyle::with_template("  {msg}"))
    else {
        return;
    };
    let head = screen.add(ProgressBar::new(days.unsigned_abs()).with_style(head));
    let lines: Vec<ProgressBar> =
        demo.outcome.arms.iter().map(|_| screen.add(ProgressBar::new(1).with_style(line.clone()))).collect();
    for day in 1..=days {
        let at = Timestamp(first + day * 86_400);
        for (arm, line) in demo.outcome.arms.iter().zip(&lines) {
            line.set_message(demo.so_far(arm, at));
        }
        head.inc(1);
        thread::sleep(SHOW_DAY);
    }
    drop(screen.clear());
}
