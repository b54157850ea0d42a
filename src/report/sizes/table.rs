//! The rows for a terminal of 80 columns. Nothing is cut off: a name that is too long has a line of its own.

use super::super::prices::{dollars, dollars_a_month};
use super::{Row, Scan, Size, dash};
use crate::units::{Bytes, Cores};

/// As wide as a terminal is at least.
const WIDTH: usize = 80;
const HEADS: [&str; 7] = ["WORKLOAD", "CPU", "MEMORY", "LIMIT", "SAVES/MO", "OOMS", "SURE"];
const GAP: usize = 2;

/// The rows and their sums.
#[must_use]
pub fn table(scan: &Scan) -> String {
    if scan.containers.is_empty() {
        return "Nothing to size.\n".to_owned();
    }
    let lines: Vec<[String; 7]> = scan.containers.iter().map(cells).collect();
    let width = |column: usize| {
        let cells = lines.iter().filter_map(|line| line.get(column)).map(|cell| cell.chars().count());
        cells.chain(HEADS.get(column).map(|head| head.len())).max().unwrap_or(0)
    };
    let figures: [usize; 6] = std::array::from_fn(|column| width(column + 1));
    let taken: usize = figures.iter().map(|width| width + GAP).sum();
    let name = width(0).min(WIDTH.saturating_sub(taken)).max(HEADS[0].len());
    let mut text = line(&HEADS.map(str::to_owned), name, &figures);
    for cells in &lines {
        text.push_str(&line(cells, name, &figures));
    }
    text.push_str(&sum(scan));
    text
}

fn line(cells: &[String; 7], name: usize, figures: &[usize; 6]) -> String {
    let [first, rest @ ..] = cells;
    let mut text = first.clone();
    if first.chars().count() > name {
        text.push('\n');
        text.push_str(&" ".repeat(name));
    } else {
        text.push_str(&" ".repeat(name - first.chars().count()));
    }
    for (column, (cell, width)) in rest.iter().zip(figures).enumerate() {
        let blank = " ".repeat(width.saturating_sub(cell.chars().count()));
        text.push_str(&" ".repeat(GAP));
        // Amounts flush left at their first figure, numbers flush right.
        match column {
            0 | 1 | 5 => text.extend([cell.as_str(), &blank]),
            _ => text.extend([blank.as_str(), cell]),
        }
    }
    format!("{}\n", text.trim_end())
}

fn cells(row: &Row) -> [String; 7] {
    let (now, then) = (row.current, row.recommended);
    let change = |now: Option<String>, then: String| match now {
        None => format!("?→{then}"),
        Some(now) => format!("{now}→{then}"),
    };
    [
        row.name(),
        change(now.map(|now| dash(now.cpu_request)), dash(then.cpu_request)),
        change(now.map(|now| dash(now.memory_request)), dash(then.memory_request)),
        dash(then.memory_limit),
        row.saves_monthly.map_or_else(|| "?".to_owned(), dollars),
        row.oom_kills.to_string(),
        match row.confidence {
            "medium" => "some".to_owned(),
            "low" => "little".to_owned(),
            other => other.to_owned(),
        },
    ]
}

fn sum(scan: &Scan) -> String {
    let total = &scan.total;
    let known: usize =
        scan.containers.iter().filter(|row| row.current.is_some()).map(|row| row.replicas).sum();
    if scan.containers.iter().all(|row| row.current == Some(Size::default()) || row.current.is_none()) {
        return String::new();
    }
    format!(
        "\n{known} containers: CPU {}→{}, memory {}→{}, saves {}\n",
        Cores(total.cpu_now),
        Cores(total.cpu_recommended),
        Bytes::from_f64(total.memory_now),
        Bytes::from_f64(total.memory_recommended),
        dollars_a_month(total.saves_monthly),
    )
}
