//! Replays one container through one sizer: who decides when, what it is told, and what is in force.
//!
//! A request in force at a sample was decided at an earlier one. Warm-up is watched, not limited. See docs/backtest.md.

use super::arm::{Arm, Observation, Size};
use super::trace::Series;
use crate::units::{Bytes, Cores, Timestamp};

/// The rules that all arms of a backtest share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Least time between two decisions, in seconds; an OOM kill does not wait for it.
    pub interval: i64,
    /// How long a container is only watched, in seconds from its first sample.
    pub warmup: i64,
}

impl Default for Rules {
    /// A decision each 5 minutes, after a day of warm-up.
    fn default() -> Self {
        Self { interval: 300, warmup: 86_400 }
    }
}

/// A size that a sizer decided, where it differs from the one before.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Decision {
    /// The sample at which it was decided; in force from the next one on.
    pub at: Timestamp,
    /// What is in force from then on.
    pub size: Size,
}

/// Lets `arm` size the container of `series` and returns its decisions in time order.
#[must_use]
pub fn replay(series: &Series, arm: &mut dyn Arm, rules: &Rules) -> Vec<Decision> {
    let start = series.start();
    let mut decisions: Vec<Decision> = Vec::new();
    let mut in_force: Option<Size> = None;
    let mut limit = f64::INFINITY;
    let mut last_chance: Option<i64> = None;
    for (at, cpu, memory) in series.samples() {
        let age = Timestamp(at).seconds_since(start);
        // Unknown memory, NAN, is above nothing.
        let killed = age >= rules.warmup && memory > limit;
        let due = last_chance.is_none_or(|last| at.saturating_sub(last) >= rules.interval);
        let may_decide =
            age.saturating_add(1) >= rules.warmup.saturating_sub(rules.interval) && (killed || due);
        let seen = Observation {
            at: Timestamp(at),
            cpu: (!cpu.is_nan()).then_some(Cores(cpu)),
            memory: (!memory.is_nan()).then(|| Bytes::from_f64(if killed { limit } else { memory })),
            oom: killed.then(|| Bytes::from_f64(limit)),
            may_decide,
        };
        let answer = arm.step(&seen);
        if !may_decide {
            continue;
        }
        last_chance = Some(at);
        if let Some(size) = answer.filter(|size| in_force != Some(*size)) {
            in_force = Some(size);
            limit = size.memory_limit.map_or(f64::INFINITY, Bytes::as_f64);
            decisions.push(Decision { at: Timestamp(at), size });
        }
    }
    decisions
}

/// Walks the decisions of one container beside its samples.
#[derive(Clone, Debug)]
pub struct InForce<'a> {
    decisions: &'a [Decision],
    next: usize,
}

impl<'a> InForce<'a> {
    /// Starts before the first decision.
    #[must_use]
    pub fn new(decisions: &'a [Decision]) -> Self {
        Self { decisions, next: 0 }
    }

    /// The size in force at `at`: the last one that was decided strictly before. Times must not fall from call to call.
    pub fn at(&mut self, at: i64) -> Option<&'a Size> {
        while self.decisions.get(self.next).is_some_and(|decision| decision.at.0 < at) {
            self.next += 1;
        }
        let last = self.next.checked_sub(1)?;
        Some(&self.decisions[last].size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Answers every chance with the given sizes in turn, and notes what it was shown.
    #[derive(Default)]
    struct Script {
        answers: Vec<(f64, u64, u64)>,
        asked: usize,
        seen: Vec<Observation>,
    }

    impl Arm for Script {
        fn reset(&mut self) {}

        fn step(&mut self, seen: &Observation) -> Option<Size> {
            self.seen.push(*seen);
            if !seen.may_decide {
                return None;
            }
            let (cpu, request, limit) = *self.answers.get(self.asked).or(self.answers.last())?;
            self.asked += 1;
            Some(Size {
                cpu_request: Some(Cores(cpu)),
                memory_request: Some(Bytes(request)),
                memory_limit: Some(Bytes(limit)),
            })
        }
    }

    fn every(step: i64, memory: &[f64]) -> Series {
        let mut series = Series::new("c".to_owned());
        for (i, &bytes) in (0..).zip(memory) {
            series.push(Timestamp(1000 + i * step), Some(Cores(1.0)), Some(Bytes::from_f64(bytes)));
        }
        series
    }

    const RULES: Rules = Rules { interval: 300, warmup: 900 };

    #[test]
    fn the_first_size_is_in_force_at_the_first_scored_sample() {
        let series = every(300, &[1.0; 6]);
        let mut arm = Script { answers: vec![(1.0, 10, 10)], ..Script::default() };
        let decisions = replay(&series, &mut arm, &RULES);
        assert_eq!(decisions.len(), 1);
        assert_eq!(decisions[0].at, Timestamp(1600));
        let asked: Vec<_> = arm.seen.iter().map(|o| o.may_decide).collect();
        assert_eq!(asked, [false, false, true, true, true, true]);
        let mut in_force = InForce::new(&decisions);
        assert!(in_force.at(1600).is_none());
        assert!(in_force.at(1900).is_some());
    }

    #[test]
    fn a_kill_shows_the_limit_and_may_be_answered_at_once() {
        let mut series = every(60, &[5.0; 20]);
        for (i, bytes) in [(20, 99.0), (21, 99.0), (22, 15.0)] {
            series.push(Timestamp(1000 + i * 60), None, Some(Bytes::from_f64(bytes)));
        }
        let mut arm =
            Script { answers: vec![(1.0, 10, 20), (1.0, 10, 20), (1.0, 30, 40)], ..Script::default() };
        let decisions = replay(&series, &mut arm, &RULES);
        let kills: Vec<_> = arm.seen.iter().filter(|o| o.oom.is_some()).collect();
        assert_eq!(kills.len(), 2);
        assert_eq!((kills[0].memory, kills[0].oom), (Some(Bytes(20)), Some(Bytes(20))));
        assert_eq!((kills[1].memory, kills[1].oom), (Some(Bytes(40)), Some(Bytes(40))));
        assert!(kills.iter().all(|o| o.may_decide));
        assert_eq!(arm.seen[22].memory, Some(Bytes(15)));
        assert_eq!(decisions.len(), 2, "an unchanged size is no decision");
    }

    #[test]
    fn warm_up_is_not_limited() {
        let series = every(300, &[5.0, 5.0, 50.0, 50.0]);
        let mut arm = Script { answers: vec![(1.0, 10, 20)], ..Script::default() };
        replay(&series, &mut arm, &RULES).clear();
        assert_eq!(arm.seen.iter().map(|o| o.oom.is_some()).collect::<Vec<_>>(), [false, false, false, true]);
    }

    #[test]
    fn decisions_keep_their_interval() {
        let series = every(60, &[5.0; 40]);
        let mut arm = Script { answers: vec![(1.0, 10, 20)], ..Script::default() };
        replay(&series, &mut arm, &RULES).clear();
        let at: Vec<_> = arm.seen.iter().filter(|o| o.may_decide).map(|o| o.at.0).collect();
        assert!(at.windows(2).all(|w| w[1] - w[0] == 300));
    }
}
