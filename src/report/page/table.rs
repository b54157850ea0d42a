//! The scores as a table: a row per figure with what it means, a column per sizer, so that it fits a narrow screen.

use super::html::Html;
use super::look::badge;
use crate::replay::score::Figures;

/// Which value of a row is the best, where that can be said at all.
#[derive(Clone, Copy, PartialEq)]
enum Best {
    Least,
    Most,
    /// Changes alone are neither good nor bad.
    Neither,
}

/// A row: a figure of all sizers.
struct Row {
    name: &'static str,
    meaning: &'static str,
    value: fn(&Figures) -> Option<f64>,
    /// A share is written as percent.
    share: bool,
    decimals: usize,
    best: Best,
}

const fn row(
    name: &'static str,
    meaning: &'static str,
    value: fn(&Figures) -> Option<f64>,
    (share, decimals): (bool, usize),
    best: Best,
) -> Row {
    Row { name, meaning, value, share, decimals, best }
}

const CPU: [Row; 3] = [
    row("CPU slack, %", "requested and not used", |f| f.cpu_slack, (true, 1), Best::Least),
    row(
        "CPU shortfall, %",
        "of the used CPU: above the request",
        |f| f.cpu_shortfall,
        (true, 2),
        Best::Least,
    ),
    row(
        "CPU changes a day",
        "of the request, per container",
        |f| f.cpu_slack.and(f.cpu_changes_per_day),
        (false, 2),
        Best::Neither,
    ),
];

const MEMORY: [Row; 6] = [
    row("Memory slack, %", "requested and not used", |f| f.memory_slack, (true, 1), Best::Least),
    row(
        "Exposure, %",
        "of the used memory: above the request",
        |f| f.memory_exposure,
        (true, 3),
        Best::Least,
    ),
    row(
        "OOM kills",
        "samples above the memory limit",
        |f| f.memory_slack.map(|_| f.oom_kills as f64),
        (false, 0),
        Best::Least,
    ),
    row(
        "OOM-free days, %",
        "container-days without an OOM kill",
        |f| f.memory_slack.and(f.oom_free_days),
        (true, 2),
        Best::Most,
    ),
    row(
        "Memory changes a day",
        "of request or limit, per container",
        |f| f.memory_slack.and(f.memory_changes_per_day),
        (false, 2),
        Best::Neither,
    ),
    row(
        "Node pressure, %",
        "of the time, a node filled by 20 requests lacks a tenth of its memory",
        |f| f.node_pressure,
        (true, 2),
        Best::Least,
    ),
];

/// A sizer's column.
pub(super) type Column<'a> = (&'a str, Figures);

/// The whole table, with what each row means.
pub(super) fn whole(html: &mut Html, columns: &[Column<'_>]) {
    open(html, "scores", "What each sizer would have done. Bold: the best of its row.", columns);
    for rows in [CPU.as_slice(), MEMORY.as_slice()] {
        body(html, rows, columns, true);
    }
    html.put(format_args!("</table></div>\n"));
}

/// The table of one container.
pub(super) fn small(html: &mut Html, columns: &[Column<'_>]) {
    open(html, "scores small", "Scores of this container alone", columns);
    for rows in [CPU.as_slice(), MEMORY.as_slice()] {
        body(html, rows, columns, false);
    }
    html.put(format_args!("</table></div>\n"));
}

fn open(html: &mut Html, class: &str, caption: &str, columns: &[Column<'_>]) {
    // What can be scrolled must be reached by keyboard, and so needs a name.
    html.put(format_args!(
        "<div class=\"wide\" tabindex=\"0\" role=\"region\" aria-label=\"Scores\"><table class=\"{class}\">\n<caption>{caption}</caption>\n<thead><tr><th scope=\"col\">Score</th>"
    ));
    for (arm, (name, _)) in columns.iter().enumerate() {
        html.put(format_args!("<th scope=\"col\">"));
        badge(html, arm);
        html.put(format_args!("<br/>"));
        html.text(name);
        html.put(format_args!("</th>"));
    }
    html.put(format_args!("</tr></thead>\n"));
}

/// Rows that belong together; those that nobody has a value for are left out.
fn body(html: &mut Html, rows: &[Row], columns: &[Column<'_>], meanings: bool) {
    html.put(format_args!("<tbody>\n"));
    for row in rows {
        let cells: Vec<Option<String>> = columns.iter().map(|(_, figures)| row.cell(figures)).collect();
        if cells.iter().all(Option::is_none) && !columns.is_empty() {
            continue;
        }
        html.put(format_args!("<tr><th scope=\"row\">{}", row.name));
        if meanings {
            html.put(format_args!("<small>{}</small>", row.meaning));
        }
        html.put(format_args!("</th>"));
        let best = row.best_of(columns, &cells);
        for cell in cells {
            let class = if cell.is_some() && cell == best { " class=\"best\"" } else { "" };
            html.put(format_args!("<td{class}>{}</td>", cell.as_deref().unwrap_or("–")));
        }
        html.put(format_args!("</tr>\n"));
    }
    html.put(format_args!("</tbody>"));
}

impl Row {
    fn cell(&self, figures: &Figures) -> Option<String> {
        let value = (self.value)(figures)?;
        Some(format!("{:.*}", self.decimals, if self.share { value * 100.0 } else { value }))
    }

    /// The best as it is written, unless all are written alike or nothing is best.
    fn best_of(&self, columns: &[Column<'_>], cells: &[Option<String>]) -> Option<String> {
        let known = columns.iter().zip(cells).filter_map(|((_, f), cell)| Some(((self.value)(f)?, cell)));
        let by_value = |a: &(f64, &Option<String>), b: &(f64, &Option<String>)| a.0.total_cmp(&b.0);
        let best = match self.best {
            Best::Least => known.min_by(by_value),
            Best::Most => known.max_by(by_value),
            Best::Neither => None,
        };
        let best = best.and_then(|(_, cell)| cell.clone())?;
        cells.iter().flatten().any(|cell| *cell != best).then_some(best)
    }
}
