//! The table of arms: every figure of section "How a backtest is scored", best ones marked.

use super::palette::{Palette, key};
use super::text::{dash, escape, number, percent, thousands};
use crate::replay::outcome::{ArmOutcome, Outcome};
use crate::replay::score::Figures;

/// A column: which group, head, what it is, how it is written, and what is ranked (the least is best).
struct Column {
    head: &'static str,
    what: &'static str,
    write: fn(&Figures) -> String,
    rank: fn(&Figures) -> Option<f64>,
}

const CPU: [Column; 3] = [
    Column {
        head: "Slack",
        what: "share of the requested CPU that was not used",
        write: |f| percent(f.cpu_slack, 1),
        rank: |f| f.cpu_slack,
    },
    Column {
        head: "Shortfall",
        what: "share of the used CPU that was above the request",
        write: |f| percent(f.cpu_shortfall, 2),
        rank: |f| f.cpu_shortfall,
    },
    Column {
        head: "Changes a day",
        what: "how often the request changed, per container and day",
        write: |f| number(cpu(f).and(f.cpu_changes_per_day)),
        rank: |_| None,
    },
];

const MEMORY: [Column; 6] = [
    Column {
        head: "Slack",
        what: "share of the requested memory that was not used",
        write: |f| percent(f.memory_slack, 1),
        rank: |f| f.memory_slack,
    },
    Column {
        head: "Exposure",
        what: "share of the used memory that was above the request, below the limit",
        write: |f| percent(f.memory_exposure, 2),
        rank: |f| f.memory_exposure,
    },
    Column {
        head: "OOM kills",
        what: "samples above the memory limit, each a kill",
        write: |f| memory(f).map_or_else(dash, |_| thousands(f.oom_kills)),
        rank: |f| memory(f).map(|_| f.oom_kills as f64),
    },
    Column {
        head: "OOM-free days",
        what: "share of the container-days without an OOM kill",
        write: |f| percent(memory(f).and(f.oom_free_days), 2),
        rank: |f| memory(f).and(f.oom_free_days).map(|free| 1.0 - free),
    },
    Column {
        head: "Changes a day",
        what: "how often request or limit changed, per container and day",
        write: |f| number(memory(f).and(f.memory_changes_per_day)),
        rank: |_| None,
    },
    Column {
        head: "Node pressure",
        what: "share of time in which a node packed to the brim with 20 of these containers lacks a tenth of its memory",
        write: |f| percent(f.node_pressure, 2),
        rank: |f| f.node_pressure,
    },
];

fn cpu(figures: &Figures) -> Option<f64> {
    figures.cpu_slack
}

fn memory(figures: &Figures) -> Option<f64> {
    figures.memory_slack
}

/// All arms of a trace and all their figures.
pub(super) fn table(outcome: &Outcome, palette: &Palette) -> String {
    let columns = || CPU.iter().chain(&MEMORY);
    let heads: String =
        columns().map(|c| format!("<th scope=\"col\" title=\"{}\">{}</th>", c.what, c.head)).collect();
    let best: Vec<Option<String>> = columns().map(|column| best(column, outcome)).collect();
    let rows: String = outcome
        .arms
        .iter()
        .map(|arm| {
            let cells: String = columns()
                .zip(&best)
                .map(|(column, best)| cell(&(column.write)(&arm.figures), best.as_deref()))
                .collect();
            let (key, name) = (key(palette.look(&arm.name)), escape(&arm.name));
            format!(
                "<tr data-arm=\"{name}\" data-oom-kills=\"{}\"><th scope=\"row\">{key}{name}</th>{cells}</tr>\n",
                arm.figures.oom_kills
            )
        })
        .collect();
    let terms: String = [("CPU", &CPU[..]), ("Memory", &MEMORY[..])]
        .iter()
        .flat_map(|(group, columns)| columns.iter().map(move |c| (group, c)))
        .map(|(group, c)| {
            format!("<div><dt>{group}: {}</dt><dd>{}</dd></div>", c.head.to_lowercase(), c.what)
        })
        .collect();
    format!(
        "<div class=\"scroll\" role=\"region\" tabindex=\"0\" aria-label=\"Scores of all arms\">\n\
         <table>\n<caption>Less is better in each column but OOM-free days. The best of a column is set in bold.</caption>\n\
         <thead>\n<tr><td></td><th scope=\"colgroup\" colspan=\"{}\">CPU</th><th scope=\"colgroup\" colspan=\"{}\">Memory</th></tr>\n\
         <tr><th scope=\"col\">Arm</th>{heads}</tr>\n</thead>\n<tbody>\n{rows}</tbody>\n</table>\n</div>\n\
         <details class=\"terms\"><summary>What the columns mean</summary><dl>{terms}</dl></details>\n",
        CPU.len(),
        MEMORY.len(),
    )
}

/// The best figure of a column as it is written, unless all are written so.
fn best(column: &Column, outcome: &Outcome) -> Option<String> {
    let ranked = || outcome.arms.iter().filter(|arm| (column.rank)(&arm.figures).is_some());
    let best = ranked().min_by(|a, b| {
        let rank = |arm: &ArmOutcome| (column.rank)(&arm.figures).unwrap_or(f64::INFINITY);
        rank(a).total_cmp(&rank(b))
    })?;
    let text = (column.write)(&best.figures);
    ranked().any(|arm| (column.write)(&arm.figures) != text).then_some(text)
}

fn cell(text: &str, best: Option<&str>) -> String {
    if best == Some(text) { format!("<td><strong>{text}</strong></td>") } else { format!("<td>{text}</td>") }
}
