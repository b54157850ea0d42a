//! Fewer points than samples, with the least and the largest of each stretch kept.

use crate::replay::engine::{Decision, InForce};
use crate::replay::trace::Series;
use crate::units::Bytes;

/// Stretches that a container's time is cut into; each keeps two values.
const STRETCHES: usize = 300;
/// Places along the time at which OOM kills can be told apart.
const KILL_PLACES: i64 = 120;
/// A sample stands for at least this long, in seconds.
const LEAST_GAP: i64 = 3600;

/// Some samples that follow each other.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Stretch {
    /// Time of the first.
    pub(super) from: i64,
    /// What they said; absent where nothing was known.
    pub(super) value: Option<Span>,
    /// Whether nothing was recorded for long before it.
    pub(super) after_gap: bool,
}

/// The known values of a stretch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Span {
    pub(super) min: f64,
    pub(super) max: f64,
    pub(super) last: f64,
}

/// Sums up `value` of each sample (`NAN` is unknown) by stretches.
pub(super) fn stretches(series: &Series, mut value: impl FnMut(i64, f64, f64) -> f64) -> Vec<Stretch> {
    let (times, size) = (series.times(), series.len().div_ceil(STRETCHES).max(1));
    let span = times.last().map_or(0, |last| last.saturating_sub(series.start().0));
    let parts = |n: usize| span / i64::try_from(n.max(1)).unwrap_or(i64::MAX);
    // A gap is longer than a stretch, so that there are at most as many of them.
    let gap = parts(series.len()).saturating_mul(4).max(LEAST_GAP).max(parts(STRETCHES));
    let mut found: Vec<Stretch> = Vec::with_capacity(STRETCHES);
    let mut before: Option<i64> = None;
    for (i, (at, cpu, memory)) in series.samples().enumerate() {
        let after_gap = before.is_some_and(|before| at.saturating_sub(before) > gap);
        before = Some(at);
        if i % size == 0 || after_gap {
            found.push(Stretch { from: at, value: None, after_gap });
        }
        let new = value(at, cpu, memory);
        if let Some(stretch) = found.last_mut().filter(|_| !new.is_nan()) {
            let old = stretch.value.unwrap_or(Span { min: new, max: new, last: new });
            stretch.value = Some(Span { min: old.min.min(new), max: old.max.max(new), last: new });
        }
    }
    found
}

/// What an arm has in force for a container, over the stretches of its usage.
pub(super) struct Course {
    pub(super) cpu: Vec<Stretch>,
    pub(super) memory: Vec<Stretch>,
    pub(super) limit: Vec<Stretch>,
}

impl Course {
    pub(super) fn of(series: &Series, decisions: &[Decision]) -> Self {
        let over = |part: fn(&crate::replay::arm::Size) -> Option<f64>| {
            let mut in_force = InForce::new(decisions);
            stretches(series, |at, _, _| in_force.at(at).and_then(part).unwrap_or(f64::NAN))
        };
        Self {
            cpu: over(|size| size.cpu_request.map(|cpu| cpu.0)),
            memory: over(|size| size.memory_request.map(Bytes::as_f64)),
            limit: over(|size| size.memory_limit.map(Bytes::as_f64)),
        }
    }
}

/// When a container was OOM-killed under these decisions, and at which usage. Of kills that lie too close together to be told apart, the one
/// with the largest usage.
pub(super) fn kills(series: &Series, decisions: &[Decision], warmup: i64) -> Vec<(i64, f64)> {
    let mut in_force = InForce::new(decisions);
    let start = series.start();
    let scored_from = start.plus(warmup).0;
    let span = series.times().last().map_or(0, |last| last.saturating_sub(start.0));
    let length = (span / KILL_PLACES).saturating_add(1);
    let mut found: Vec<(i64, f64)> = Vec::new();
    for (at, _, memory) in series.samples() {
        let limit = in_force.at(at).and_then(|size| size.memory_limit);
        if at < scored_from || limit.is_none_or(|limit| memory.is_nan() || memory <= limit.as_f64()) {
            continue;
        }
        let place = |at: i64| at.saturating_sub(start.0) / length;
        match found.last_mut().filter(|kill| place(kill.0) == place(at)) {
            Some(kill) if kill.1 >= memory => {}
            Some(kill) => *kill = (at, memory),
            None => found.push((at, memory)),
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::{Cores, Timestamp};

    fn series(values: impl IntoIterator<Item = (i64, Option<f64>)>) -> Series {
        let mut series = Series::new("c".to_owned());
        for (at, value) in values {
            series.push(Timestamp(at), value.map(Cores), None);
        }
        series
    }

    #[test]
    fn no_peak_and_no_trough_is_lost() {
        let at = |i: i64| {
            if i == 5000 {
                9.0
            } else if i == 7000 {
                0.1
            } else {
                1.0
            }
        };
        let found = stretches(&series((0..10_000).map(|i| (i * 60, Some(at(i))))), |_, cpu, _| cpu);
        assert!(found.len() <= STRETCHES, "{}", found.len());
        let spans: Vec<Span> = found.iter().filter_map(|s| s.value).collect();
        assert!(spans.iter().any(|s| s.max > 8.0) && spans.iter().any(|s| s.min < 0.2));
    }

    #[test]
    fn what_is_unknown_or_missing_stays_open() {
        let samples = (0..20).map(|i| (i * 300 + if i >= 10 { 90_000 } else { 0 }, (i != 4).then_some(1.0)));
        let found = stretches(&series(samples), |_, cpu, _| cpu);
        assert_eq!(found.iter().filter(|s| s.value.is_none()).map(|s| s.from).collect::<Vec<_>>(), [1200]);
        assert_eq!(found.iter().filter(|s| s.after_gap).map(|s| s.from).collect::<Vec<_>>(), [93_000]);
    }
}
