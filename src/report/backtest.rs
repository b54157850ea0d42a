//! What `plumb backtest` prints: one table per trace with a row per arm, the same as JSON, and decisions as CSV.

use std::io::{self, Write};

use serde::Serialize;

use super::Table;
use crate::replay::outcome::Outcome;
use crate::replay::score::Figures;

/// Columns of the decisions file.
const DECISION_COLUMNS: &str =
    "container_id,timestamp_s,cpu_request_cores,memory_request_bytes,memory_limit_bytes";

/// The figures of one arm over one trace.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Row<'a> {
    /// The trace's name.
    pub trace: &'a str,
    /// The arm's name.
    pub arm: &'a str,
    /// Its figures.
    #[serde(flatten)]
    pub figures: Figures,
}

/// One row per trace and arm.
#[must_use]
pub fn rows(outcomes: &[Outcome]) -> Vec<Row<'_>> {
    let arms = outcomes.iter().flat_map(|outcome| outcome.arms.iter().map(move |arm| (outcome, arm)));
    arms.map(|(outcome, arm)| Row { trace: &outcome.trace, arm: &arm.name, figures: arm.figures }).collect()
}

/// A table for each trace, at most 80 columns wide where arms have short names.
#[must_use]
pub fn table(outcomes: &[Outcome]) -> String {
    outcomes.iter().map(one_table).collect::<Vec<_>>().join("\n")
}

fn one_table(outcome: &Outcome) -> String {
    let mut table = Table::new(&[
        "ARM",
        ">CPU SLACK",
        ">SHORT",
        ">/DAY",
        ">MEM SLACK",
        ">EXPOSED",
        ">OOMS",
        ">OOM DAYS",
        ">/DAY",
    ]);
    for arm in &outcome.arms {
        let figures = &arm.figures;
        let (cpu, memory) = (figures.cpu_slack.is_some(), figures.memory_slack.is_some());
        table.row([
            arm.name.clone(),
            percent(figures.cpu_slack, 1),
            percent(figures.cpu_shortfall, 2),
            number(figures.cpu_changes_per_day.filter(|_| cpu)),
            percent(figures.memory_slack, 1),
            percent(figures.memory_exposure, 3),
            if memory { figures.oom_kills.to_string() } else { String::from("-") },
            percent(figures.oom_free_days.filter(|_| memory).map(|free| 1.0 - free), 2),
            number(figures.memory_changes_per_day.filter(|_| memory)),
        ]);
    }
    let days = outcome.arms.first().map_or(0, |arm| arm.figures.container_days);
    format!(
        "{}: {} containers, {days} days scored\n{}",
        outcome.trace,
        outcome.containers.len(),
        table.render()
    )
}

fn percent(share: Option<f64>, decimals: usize) -> String {
    share.map_or_else(|| "-".to_owned(), |share| format!("{:.decimals$}%", share * 100.0))
}

fn number(value: Option<f64>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{value:.2}"))
}

/// Writes what the first arm of each outcome decided: a line for each decision that changed anything, in the trace's order of containers,
/// then time. Floats are written so that reading them gives the same float.
///
/// # Errors
/// Those of `to`.
pub fn write_decisions(outcomes: &[Outcome], mut to: impl Write) -> io::Result<()> {
    writeln!(to, "{DECISION_COLUMNS}")?;
    for outcome in outcomes {
        let Some(arm) = outcome.arms.first() else { continue };
        for (series, container) in outcome.containers.iter().zip(&arm.containers) {
            for decision in &container.decisions {
                let size = &decision.size;
                write!(to, "{},{},", series.id, decision.at.0)?;
                if let Some(cpu) = size.cpu_request {
                    write!(to, "{}", cpu.0)?;
                }
                for bytes in [size.memory_request, size.memory_limit] {
                    match bytes {
                        Some(bytes) => write!(to, ",{}", bytes.0)?,
                        None => write!(to, ",")?,
                    }
                }
                writeln!(to)?;
            }
        }
    }
    to.flush()
}
