//! Recommendations as `kubectl get recommendations` prints them.

use super::{Demo, Row};
use crate::api::{Confidence, Mode};
use crate::report::prices::dollars_a_month;
use crate::report::saved::change;

/// Rows that are printed; JSON has them all.
pub const MAX_ROWS: usize = 40;
/// Columns of a terminal that does not say how many it has.
pub const NARROW: usize = 80;
/// Longer names are cut.
const MAX_NAME: usize = 40;

impl Row {
    /// The cells that kubectl prints, in the order of [`HEADS`].
    fn cells(&self) -> [String; 9] {
        let confidence = match self.confidence {
            Confidence::Low => "low",
            Confidence::Medium => "medium",
            Confidence::High => "high",
        };
        [
            shown(&self.name),
            match self.mode {
                Mode::Auto => "Auto".to_owned(),
                Mode::Recommend => "Recommend".to_owned(),
            },
            change(self.cpu.current, self.cpu.target),
            change(self.memory.current, self.memory.target),
            self.memory.target.map_or_else(|| "-".to_owned(), |_| self.oom_kills.to_string()),
            dollars_a_month(self.saves_per_month),
            confidence.to_owned(),
            self.state.to_owned(),
            format!("{}d", self.age_days),
        ]
    }
}

const HEADS: [&str; 9] = ["NAME", "MODE", "CPU", "MEMORY", "OOMS", "SAVES", "CONFIDENCE", "STATE", "AGE"];

/// A name from outside, safe for a terminal and not too long for it.
pub(super) fn shown(name: &str) -> String {
    let safe = |c: char| if c.is_control() { '\u{fffd}' } else { c };
    if name.chars().count() <= MAX_NAME {
        return name.chars().map(safe).collect();
    }
    name.chars().take(MAX_NAME - 1).map(safe).chain(['…']).collect()
}

/// The recommendations as `kubectl get recommendations` prints them, where that many columns hold them. Narrower, columns that
/// say the same in every row are named below the table instead, then names are cut.
#[must_use]
pub fn recommendations(demo: &Demo, columns: usize) -> String {
    // Those that save or cost most.
    let mut order: Vec<usize> = (0..demo.recommendations.len()).collect();
    if order.len() > MAX_ROWS {
        let weight = |&row: &usize| demo.recommendations[row].saves_per_month.abs();
        order.sort_by(|a, b| weight(b).total_cmp(&weight(a)));
        order.truncate(MAX_ROWS);
        order.sort_unstable();
    }
    let rows: Vec<[String; 9]> = order.iter().map(|&row| demo.recommendations[row].cells()).collect();
    let mut text = fitted(rows, columns);
    let left = demo.recommendations.len() - order.len();
    if left > 0 {
        text += &format!("… and {left} more, which save or cost less; -o json has them all\n");
    }
    text
}

fn fitted(mut rows: Vec<[String; 9]>, columns: usize) -> String {
    let all: Vec<usize> = (0..HEADS.len()).collect();
    if let Some(text) = aligned(&rows, &all, 3, columns) {
        return text;
    }
    let same = |column: usize| rows.windows(2).all(|pair| pair[0][column] == pair[1][column]);
    let (left_out, kept): (Vec<usize>, Vec<usize>) =
        all.into_iter().partition(|&column| matches!(column, 1 | 7 | 8) && same(column));
    let said: Vec<String> = rows.first().map_or_else(Vec::new, |row| {
        left_out.iter().map(|&column| format!("{} {}", HEADS[column], row[column])).collect()
    });
    let below = if said.is_empty() { String::new() } else { format!("(each: {})\n", said.join(", ")) };
    for name in (8..=MAX_NAME).rev() {
        for row in &mut rows {
            if row[0].chars().count() > name {
                row[0] = row[0].chars().take(name - 1).chain(['…']).collect();
            }
        }
        if let Some(text) = aligned(&rows, &kept, 2, columns) {
            return text + &below;
        }
    }
    aligned(&rows, &kept, 2, usize::MAX).unwrap_or_default() + &below
}

/// These columns set flush left with so many blanks between them; `None` where they are wider than `most`.
fn aligned(rows: &[[String; 9]], columns: &[usize], gap: usize, most: usize) -> Option<String> {
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.chain([HEADS[column].len()]).max().unwrap_or_default()
    };
    let widths: Vec<usize> = columns.iter().map(|&column| width(column)).collect();
    if widths.iter().sum::<usize>() + gap * columns.len().saturating_sub(1) > most {
        return None;
    }
    let line = |cell: &dyn Fn(usize) -> String| {
        let padded = columns.iter().zip(&widths).map(|(&column, &width)| {
            let text = cell(column);
            let blanks = width + gap - text.chars().count();
            text + &" ".repeat(blanks)
        });
        format!("{}\n", padded.collect::<String>().trim_end())
    };
    let head = line(&|column| HEADS[column].to_owned());
    Some(head + &rows.iter().map(|row| line(&|column| row[column].clone())).collect::<String>())
}
