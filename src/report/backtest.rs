//! What `plumb backtest` prints: one table per trace with a row per arm and warm-up, the same as JSON, and decisions as
//! CSV.

use std::io::{self, Write};

use serde::Serialize;

use super::Table;
use crate::api::Span;
use crate::replay::outcome::Outcome;
use crate::replay::score::Figures;

/// Columns of the decisions file.
const DECISION_COLUMNS: &str =
    "container_id,timestamp_s,cpu_request_cores,memory_request_bytes,memory_limit_bytes";

/// The figures of all arms over one trace after one warm-up.
#[derive(Clone, Debug, PartialEq)]
pub struct Score {
    /// The trace's name.
    pub trace: String,
    /// Seconds for which containers were only watched.
    pub warmup: i64,
    /// Each arm's name and figures, in the order in which they were asked for.
    pub arms: Vec<(String, Figures)>,
}

impl Score {
    /// The figures of an outcome, without its containers.
    #[must_use]
    pub fn of(outcome: &Outcome) -> Self {
        Self {
            trace: outcome.trace.clone(),
            warmup: outcome.rules.warmup,
            arms: outcome.arms.iter().map(|arm| (arm.name.clone(), arm.figures)).collect(),
        }
    }
}

/// The figures of one arm over one trace after one warm-up.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Row<'a> {
    /// The trace's name.
    pub trace: &'a str,
    /// The arm's name.
    pub arm: &'a str,
    /// Seconds for which containers were only watched.
    pub warmup: i64,
    /// Its figures.
    #[serde(flatten)]
    pub figures: Figures,
}

/// One row per trace, warm-up and arm.
#[must_use]
pub fn rows(scores: &[Score]) -> Vec<Row<'_>> {
    let arms = scores.iter().flat_map(|score| score.arms.iter().map(move |arm| (score, arm)));
    arms.map(|(score, (arm, figures))| Row {
        trace: &score.trace,
        arm,
        warmup: score.warmup,
        figures: *figures,
    })
    .collect()
}

/// A table for each trace, at most 80 columns wide where arms have short names. `scores`: those of a trace stand
/// together, one for each warm-up.
#[must_use]
pub fn table(scores: &[Score]) -> String {
    scores.chunk_by(|a, b| a.trace == b.trace).map(one_table).collect::<Vec<_>>().join("\n")
}

/// The table of one trace: of each arm one row for each warm-up.
fn one_table(scores: &[Score]) -> String {
    let mut table = Table::new(&[
        "ARM",
        ">AFTER",
        ">CPU SLACK",
        ">SHORT",
        ">/DAY",
        ">MEM SLACK",
        ">EXPOSED",
        ">OOMS",
        ">OOM DAYS",
        ">/DAY",
    ]);
    let Some(first) = scores.first() else { return String::new() };
    for (place, (arm, _)) in first.arms.iter().enumerate() {
        for (number, score) in scores.iter().enumerate() {
            if let Some((_, figures)) = score.arms.get(place) {
                table.row(cells(if number == 0 { arm } else { "" }, score.warmup, figures));
            }
        }
    }
    let figures = |score: &Score| score.arms.first().map(|(_, figures)| *figures).unwrap_or_default();
    let days: Vec<_> = scores.iter().map(|score| figures(score).container_days.to_string()).collect();
    format!(
        "{}: {} containers, {} days scored\n{}",
        first.trace,
        figures(first).containers,
        days.join(" and "),
        table.render()
    )
}

fn cells(arm: &str, warmup: i64, figures: &Figures) -> [String; 10] {
    let (cpu, memory) = (figures.cpu_slack.is_some(), figures.memory_slack.is_some());
    [
        arm.to_owned(),
        Span { seconds: u64::try_from(warmup).unwrap_or(0) }.to_string(),
        percent(figures.cpu_slack, 1),
        percent(figures.cpu_shortfall, 2),
        number(figures.cpu_changes_per_day.filter(|_| cpu)),
        percent(figures.memory_slack, 1),
        percent(figures.memory_exposure, 3),
        if memory { figures.oom_kills.to_string() } else { String::from("-") },
        percent(figures.oom_free_days.filter(|_| memory).map(|free| 1.0 - free), 2),
        number(figures.memory_changes_per_day.filter(|_| memory)),
    ]
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
