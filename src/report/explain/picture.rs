//! A histogram as lines of a terminal.

use std::fmt::Write as _;

use serde::Serialize;

use crate::units::{Bytes, Cores};

/// Lines of a picture, at most.
const LINES: usize = 12;
/// Columns of the longest bar.
const COLUMNS: f64 = 30.0;
/// Eighths of a column.
const EIGHTHS: [char; 8] = [' ', '▏', '▎', '▍', '▌', '▋', '▊', '▉'];

/// A span of usage and which share of the samples lies in it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Bar {
    /// From here.
    pub from: f64,
    /// To here.
    pub to: f64,
    /// Share of all samples, 0..=1.
    pub share: f64,
}

/// What usage is counted in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Cores.
    Cores,
    /// Bytes.
    Bytes,
}

impl Unit {
    fn text(self, value: f64) -> String {
        match self {
            Self::Cores => Cores(value).to_string(),
            Self::Bytes => Bytes::from_f64(value).to_string(),
        }
    }
}

/// At most twelve bars of equal width from the buckets of a histogram (lower edge, upper edge, weight), each edge
/// times `scale`. A bucket belongs to the bar that holds its middle.
#[must_use]
pub fn bars(buckets: impl Iterator<Item = (f32, f32, f32)>, scale: f64) -> Vec<Bar> {
    let buckets: Vec<_> =
        buckets.map(|(a, b, w)| (f64::from(a) * scale, f64::from(b) * scale, f64::from(w))).collect();
    let (Some(&(low, ..)), Some(&(_, high, _))) = (buckets.first(), buckets.last()) else {
        return Vec::new();
    };
    let total: f64 = buckets.iter().map(|(_, _, weight)| weight).sum();
    let lines = buckets.len().min(LINES);
    let width = (high - low) / lines as f64;
    if !(total > 0.0 && width > 0.0) {
        return Vec::new();
    }
    let edge = |line: usize| low + width * line as f64;
    let mut bars: Vec<Bar> =
        (0..lines).map(|line| Bar { from: edge(line), to: edge(line + 1), share: 0.0 }).collect();
    for (from, to, weight) in buckets {
        let middle = f64::midpoint(from, to);
        let bar = bars.iter().position(|bar| middle < bar.to).unwrap_or(lines - 1);
        if let Some(bar) = bars.get_mut(bar) {
            bar.share += weight / total;
        }
    }
    bars
}

/// A line for each bar, and in their places the marks: what lies above or below all bars gets a line of its own.
pub(super) fn draw(bars: &[Bar], unit: Unit, marks: &[(&str, Option<f64>)]) -> String {
    let most = bars.iter().map(|bar| bar.share).fold(f64::MIN_POSITIVE, f64::max);
    let mut lines: Vec<(f64, String, bool)> = bars
        .iter()
        .map(|bar| {
            let drawn = stroke(bar.share / most * COLUMNS);
            (bar.from, format!("{:>8} {drawn} {:.1} %", unit.text(bar.from), bar.share * 100.0), false)
        })
        .collect();
    if let Some(last) = bars.last() {
        lines.push((last.to, format!("{:>8}", unit.text(last.to)), false));
    }
    for (name, at) in marks {
        if let Some(at) = at {
            lines.push((*at, format!("{:>8} ──── {name}", unit.text(*at)), true));
        }
    }
    lines.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.2.cmp(&b.2)));
    let mut text = String::new();
    for (_, line, _) in lines {
        let _infallible = writeln!(text, "  {line}");
    }
    text
}

/// A bar of so many columns, in eighths of one; what is there at all is seen.
#[expect(clippy::cast_sign_loss, reason = "a length is not negative, and the cast saturates")]
fn stroke(columns: f64) -> String {
    let eighths = (columns * 8.0).ceil().max(0.0) as usize;
    let mut text = "█".repeat(eighths / 8);
    if let Some(rest) = EIGHTHS.get(eighths % 8).filter(|_| !eighths.is_multiple_of(8)) {
        text.push(*rest);
    }
    text
}
