//! How a replay went over its simulated time: each arm's score up to a moment.

use rayon::prelude::*;

use crate::replay::outcome::{ArmOutcome, Outcome};
use crate::replay::score::{Sums, score};
use crate::replay::trace::Series;
use crate::units::Timestamp;

const DAY: i64 = 86_400;
/// Samples that are scored for all moments together, about; each moment scores all that was before it.
const MOST_SCORED: usize = 40_000_000;

/// The scores up to a moment.
#[derive(Clone, Debug, PartialEq)]
pub struct Progress {
    /// Seconds since the trace began.
    age: i64,
    days: i64,
    arms: Vec<(String, Sums)>,
}

/// The scores at so many moments of equal distance, fewer where the trace is large. The last is the end.
#[must_use]
pub fn progress(outcome: &Outcome, moments: usize) -> Vec<Progress> {
    let first =
        outcome.containers.iter().filter(|c| !c.is_empty()).map(|c| c.start().0).min().unwrap_or_default();
    let last = outcome.containers.iter().filter_map(|c| c.times().last()).max().copied().unwrap_or_default();
    let span = last.saturating_sub(first).max(1);
    let samples: usize = outcome.containers.iter().map(Series::len).sum();
    let most = MOST_SCORED / (samples * outcome.arms.len()).max(1);
    let moments = i64::try_from(moments.min(most).max(2)).unwrap_or(2);
    (1..=moments)
        .into_par_iter()
        .map(|n| {
            let age = (i128::from(span) * i128::from(n) / i128::from(moments)) as i64;
            let at = Timestamp(first.saturating_add(age));
            let arms = outcome.arms.iter().map(|arm| (arm.name.clone(), so_far(outcome, arm, at))).collect();
            Progress { age, days: (span + DAY / 2) / DAY, arms }
        })
        .collect()
}

fn so_far(outcome: &Outcome, arm: &ArmOutcome, at: Timestamp) -> Sums {
    let mut all = Sums::default();
    for (series, container) in outcome.containers.iter().zip(&arm.containers) {
        all += score(&series.until(at), &container.decisions, &outcome.rules);
    }
    all
}

impl Progress {
    /// `day  3 of 14`.
    #[must_use]
    pub fn day(&self) -> String {
        format!("day {:>2} of {}", ((self.age - 1) / DAY + 1).min(self.days), self.days)
    }

    /// The first arm, in words.
    #[must_use]
    pub fn line(&self) -> String {
        let Some((arm, sums)) = self.arms.first() else { return self.day() };
        if sums.days == 0 {
            return format!("{}: watching", self.day());
        }
        format!(
            "{}: {arm} made {} resizes, {} OOM kills, CPU slack {}, memory slack {}",
            self.day(),
            sums.cpu_changes + sums.memory_changes,
            sums.oom_kills,
            share(sums.cpu_slack, sums.cpu_requested),
            share(sums.memory_slack, sums.memory_requested),
        )
    }

    /// A line for each arm, under a head.
    #[must_use]
    pub fn table(&self) -> String {
        let head = format!(
            "{:<8} {:>10} {:>10} {:>10} {:>13}",
            "", "RESIZES", "OOM KILLS", "CPU SLACK", "MEMORY SLACK"
        );
        let lines = self.arms.iter().map(|(arm, sums)| {
            format!(
                "\n{arm:<8} {:>10} {:>10} {:>10} {:>13}",
                sums.cpu_changes + sums.memory_changes,
                sums.oom_kills,
                share(sums.cpu_slack, sums.cpu_requested),
                share(sums.memory_slack, sums.memory_requested),
            )
        });
        head + &lines.collect::<String>()
    }
}

fn share(part: f64, whole: f64) -> String {
    if whole > 0.0 { format!("{:.0}%", 100.0 * part / whole) } else { "-".to_owned() }
}
