//! Samples and decisions as SVG paths over columns of equal time.
//!
//! Paths use absolute M, H and V only, in whole units: short, and easy for the page's script to read back.

use super::courses::HEIGHT;
use crate::replay::engine::{Decision, InForce, Rules, limit_of};
use crate::replay::trace::Series;
use crate::units::{Bytes, Timestamp};

/// The time of a container, cut into columns.
#[derive(Clone, Copy, Debug)]
pub(super) struct Columns {
    first: i64,
    last: i64,
    pub(super) count: usize,
}

impl Columns {
    /// At most `most` columns, and no more than samples.
    pub(super) fn of(series: &Series, most: usize) -> Self {
        let last = series.times().last().copied().unwrap_or_default();
        Self { first: series.start().0, last, count: series.len().clamp(1, most.max(1)) }
    }

    /// From the first sample to the last, in seconds.
    pub(super) fn span(self) -> i64 {
        self.last.saturating_sub(self.first)
    }
}

/// The column in which a time is; `None` outside of the container's time.
pub(super) fn column_of(time: Columns, at: i64) -> Option<usize> {
    let age = usize::try_from(at.checked_sub(time.first)?).ok()?;
    let span = usize::try_from(time.span()).ok()?;
    (age <= span)
        .then(|| (age as f64 / (span.max(1) as f64) * time.count as f64) as usize)
        .map(|c| c.min(time.count - 1))
}

/// A value's height, down from the top.
fn down(value: f64, max: f64) -> i64 {
    ((1.0 - value / max) * HEIGHT).round().clamp(0.0, HEIGHT) as i64
}

/// Steps that begin at each point's column and end at the last column. The last of a column's points holds.
pub(super) fn steps(points: &[(usize, f64)], columns: usize, max: f64) -> String {
    let mut path = String::new();
    let mut now: Option<i64> = None;
    for (place, &(column, value)) in points.iter().enumerate() {
        if points.get(place + 1).is_some_and(|next| next.0 == column) {
            continue;
        }
        let y = down(value, max);
        match now {
            None => path += &format!("M{column} {y}"),
            Some(before) if before != y => path += &format!("H{column}V{y}"),
            Some(_) => {}
        }
        now = Some(y);
    }
    if now.is_some() {
        path += &format!("H{columns}");
    }
    path
}

/// Stretches of columns that hold known values.
fn runs(values: &[f64]) -> Vec<std::ops::Range<usize>> {
    let mut found: Vec<std::ops::Range<usize>> = Vec::new();
    for (column, _) in values.iter().enumerate().filter(|(_, value)| !value.is_nan()) {
        match found.last_mut().filter(|run| run.end == column) {
            Some(run) => run.end += 1,
            None => found.push(column..column + 1),
        }
    }
    found
}

/// The upper edge of usage, as steps, with gaps where nothing is known.
pub(super) fn top(values: &[f64], max: f64) -> String {
    runs(values).into_iter().map(|run| edge(values, run, max)).collect()
}

/// The area between the lower and the upper edge of usage.
pub(super) fn band(low: &[f64], high: &[f64], max: f64) -> String {
    runs(high)
        .into_iter()
        .map(|run| {
            let mut path = edge(high, run.clone(), max);
            let mut y = None;
            for column in run.clone().rev() {
                let here = down(low[column], max);
                if y != Some(here) {
                    if y.is_some() {
                        path += &format!("H{}", column + 1);
                    }
                    path += &format!("V{here}");
                }
                y = Some(here);
            }
            path + &format!("H{}Z", run.start)
        })
        .collect()
}

fn edge(values: &[f64], run: std::ops::Range<usize>, max: f64) -> String {
    let mut y = down(values[run.start], max);
    let mut path = format!("M{} {y}", run.start);
    for column in run.clone() {
        let here = down(values[column], max);
        if here != y {
            path += &format!("H{column}V{here}");
            y = here;
        }
    }
    path + &format!("H{}", run.end)
}

/// The columns in which a container was OOM-killed, each once.
pub(super) fn kills(time: Columns, series: &Series, decisions: &[Decision], rules: &Rules) -> Vec<usize> {
    let mut columns: Vec<usize> =
        kill_times(series, decisions, rules).filter_map(|at| column_of(time, at)).collect();
    columns.dedup();
    columns
}

/// When the container was OOM-killed under these decisions, by the rule of the score.
fn kill_times<'a>(
    series: &'a Series,
    decisions: &'a [Decision],
    rules: &'a Rules,
) -> impl Iterator<Item = i64> + 'a {
    let mut in_force = InForce::new(decisions);
    series.samples().filter_map(move |(at, _, memory)| {
        let limit = in_force.at(at).and_then(limit_of).map(Bytes::as_f64)?;
        let scored = Timestamp(at).seconds_since(series.start()) >= rules.warmup;
        (scored && memory > limit).then_some(at)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_hold_until_the_next() {
        assert_eq!(steps(&[(0, 1.0), (2, 0.5), (4, 0.0)], 6, 1.0), "M0 0H2V250H4V500H6");
        assert_eq!(steps(&[(1, 1.0), (1, 0.5), (3, 0.5)], 4, 1.0), "M1 250H4", "the last of a column holds");
        assert_eq!(steps(&[], 6, 1.0), "");
    }

    #[test]
    fn usage_has_gaps_where_nothing_is_known() {
        let high = [1.0, 1.0, f64::NAN, 0.5];
        assert_eq!(top(&high, 1.0), "M0 0H2M3 250H4");
        assert_eq!(band(&[0.5, 0.0, f64::NAN, 0.5], &high, 1.0), "M0 0H2V500H1V250H0ZM3 250H4V250H3Z");
    }

    #[test]
    fn columns_share_the_time_evenly() {
        let mut series = Series::new("a".to_owned());
        for minute in 0..100 {
            series.push(Timestamp(1000 + 60 * minute), None, None);
        }
        let time = Columns::of(&series, 10);
        assert_eq!((column_of(time, 999), column_of(time, 1000)), (None, Some(0)));
        assert_eq!(column_of(time, 1000 + 60 * 50), Some(5));
        assert_eq!((column_of(time, 1000 + 60 * 99), column_of(time, 9000)), (Some(9), None));
        assert_eq!(Columns::of(&Series::default(), 10).count, 1);
    }
}
